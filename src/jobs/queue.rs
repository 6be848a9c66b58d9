//! How long what waits outside will take: charges and mails leave at a pace the other side sets, not we.

use chrono::{DateTime, Utc};

use super::StepKind;
use crate::app::App;
use crate::pace;
use crate::services::ServiceError;
use crate::storage::steps;

/// Requests a charge takes when all goes well: what the provider knows of it, and the charge.
const REQUESTS_OF_A_CHARGE: u64 = 2;
/// Shorter queues are not worth a word.
const WORTH_TELLING: std::time::Duration = std::time::Duration::from_mins(1);

/// A queue that leaves at a pace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Which kind of steps.
    pub kind: StepKind,
    /// How many may go now.
    pub waiting: u64,
    /// How many requests or mails leave in a second at most.
    pub per_second: u32,
    /// When the last is expected to have left, if this process alone works and nothing fails.
    pub ends_at: DateTime<Utc>,
}

/// The queues that will take more than a minute.
///
/// # Errors
/// The database fails.
pub async fn queues(app: &App) -> Result<Vec<Queue>, ServiceError> {
    let paces = [
        (StepKind::Charge, app.gateway.requests_per_second(), REQUESTS_OF_A_CHARGE),
        (StepKind::Mail, app.mailer.messages_per_second(), 1),
    ];
    let now = app.clock.now();
    let mut found = Vec::new();
    for (kind, per_second, requests) in paces {
        let Some(per_second) = per_second else { continue };
        let mut tx = app.db.read().await?;
        let waiting = steps::ready(&mut tx, kind.as_str(), now).await?;
        drop(tx);
        let takes = pace::takes(waiting.saturating_mul(requests), per_second);
        if takes > WORTH_TELLING {
            found.push(Queue { kind, waiting, per_second, ends_at: now + takes });
        }
    }
    Ok(found)
}

/// Tells them, for those who wait for the night to end.
pub(super) fn tell(queues: &[Queue]) {
    for Queue { kind, waiting, per_second, ends_at } in queues {
        tracing::info!(
            waiting,
            per_second,
            "{waiting} {}s wait; at {per_second} {} a second the last leaves about {}",
            kind.as_str(),
            if *kind == StepKind::Charge { "requests" } else { "mails" },
            ends_at.format("%Y-%m-%d %H:%M UTC")
        );
    }
}
