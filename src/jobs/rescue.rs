//! Takes over what dead workers left, beside the workers: none of them has to be free for it, however long a step
//! of theirs waits for a lock or a provider (F17).

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::perform::perform;
use super::runner::Runner;
use crate::services::ServiceError;

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
    let settings = &app.config.runner;
    let at_once = 2 * usize::from(settings.workers) * usize::from(settings.effects_at_once);
    let mut in_hand = JoinSet::new();
    let mut rests_until = None;
    while !stop.is_cancelled() {
        let rests = rests_until.is_some_and(|until| Instant::now() < until);
        let room = if rests { 0 } else { at_once.saturating_sub(in_hand.len()) };
        match runner.take_over(room).await {
            Ok(steps) => {
                for claimed in steps {
                    let left = &claimed.step;
                    tracing::info!(
                        step = left.id,
                        kind = left.kind,
                        "taken over from a worker that is gone"
                    );
                    in_hand.spawn(perform(app.clone(), claimed));
                }
            }
            Err(error) => tracing::error!(%error, "this look failed; the next one tries again"),
        }
        let (fell_asleep, at) = (Instant::now(), app.clock.now());
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOKS_EVERY) => {}
            Some(ended) = in_hand.join_next() => {
                tell(ended);
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

/// The step stays leased and is taken over again.
fn tell(ended: Result<Result<(), ServiceError>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a step that was taken over failed"),
        Err(error) => tracing::error!(%error, "a step that was taken over failed"),
    }
}
