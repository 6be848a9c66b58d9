//! Takes over what dead workers left, beside the workers: none of them has to be free for it, however long a step
//! of theirs waits for a lock or a provider (F17).

use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use super::perform::perform;
use super::runner::Runner;
use crate::services::ServiceError;

/// How often it looks.
const LOOKS_EVERY: Duration = Duration::from_secs(1);
/// Steps in its hands at one time: more than a host with eight workers leaves.
const AT_ONCE: usize = 128;

/// Looks until `stop` is cancelled, then waits for what it has in hand.
pub async fn rescue(runner: Runner, stop: CancellationToken) {
    let mut in_hand = JoinSet::new();
    while !stop.is_cancelled() {
        while let Some(ended) = in_hand.try_join_next() {
            tell(ended);
        }
        match runner.take_over(AT_ONCE - in_hand.len()).await {
            Ok(steps) => {
                for claimed in steps {
                    let step = &claimed.step;
                    tracing::info!(
                        step = step.id,
                        kind = step.kind,
                        "taken over from a worker that is gone"
                    );
                    in_hand.spawn(perform(runner.app(), claimed));
                }
            }
            Err(error) => tracing::error!(%error, "this look failed; the next one tries again"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOKS_EVERY) => {}
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
