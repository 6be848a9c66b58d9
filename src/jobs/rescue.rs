//! Takes over what dead workers left, beside the workers: none of them has to be free for it, however long a step
//! of theirs waits for a lock or a provider (F17).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::perform::{groups, perform};
use super::runner::Runner;
use crate::services::ServiceError;
use crate::storage::claims::Claimed;

/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// A sleep that is so much longer than it should be, by either clock: this process, or its machine, stood still, or its
/// clock was set.
const STOOD_STILL: Duration = Duration::from_secs(5);

/// Looks until `stop` is cancelled, then waits for what it has in hand. What ends wakes the workers: it may have left
/// steps for them.
pub async fn rescue(runner: Runner, wake: Arc<Notify>, stop: CancellationToken) {
    let app = runner.app();
    // As much as a host like this one leaves, whose workers have charges and mails in hand.
    let at_once = usize::from(app.config.runner.workers) * runner.most_in_hand();
    let (mut in_hand, mut steps_in_hand) = (JoinSet::new(), 0_usize);
    let mut rests_until = None;
    while !stop.is_cancelled() {
        if in_hand.is_empty() {
            steps_in_hand = 0;
        }
        let rests = rests_until.is_some_and(|until| Instant::now() < until);
        let room = if rests { 0 } else { at_once.saturating_sub(steps_in_hand) };
        match runner.take_over(room).await {
            Ok(steps) => {
                for Claimed { step, .. } in &steps {
                    let kind = &step.kind;
                    tracing::info!(step = step.id, kind, "taken over from a worker that is gone");
                }
                steps_in_hand += steps.len();
                for group in groups(steps) {
                    let (app, stop, count) = (app.clone(), stop.clone(), group.len());
                    in_hand.spawn(async move { (count, perform(app, stop, group).await) });
                }
            }
            Err(error) => tracing::error!(%error, "this look failed; the next one tries again"),
        }
        let (fell_asleep, at) = (Instant::now(), app.clock.now());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOKS_EVERY) => {}
            Some(ended) = in_hand.join_next() => {
                steps_in_hand = steps_in_hand.saturating_sub(tell(ended));
                wake.notify_waiters();
            }
        }
        let moved = (app.clock.now() - at).abs().to_std().unwrap_or_default();
        if fell_asleep.elapsed().max(moved) > LOOKS_EVERY + STOOD_STILL {
            // The leases of this process are over as well. Its own workers, which live, renew them first.
            rests_until = Some(Instant::now() + app.lease().to_std().unwrap_or_default() / 3);
        }
    }
    while let Some(ended) = in_hand.join_next().await {
        tell(ended);
    }
}

/// How many steps ended. Of a failure: the steps stay leased and are taken over again.
fn tell(ended: Result<(usize, Result<(), ServiceError>), JoinError>) -> usize {
    match ended {
        Ok((count, Ok(()))) => count,
        Ok((count, Err(error))) => {
            tracing::error!(%error, "a step that was taken over failed");
            count
        }
        Err(error) => {
            tracing::error!(%error, "a step that was taken over failed");
            0
        }
    }
}
