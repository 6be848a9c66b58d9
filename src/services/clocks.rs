//! This machine's clock against the database server's (F39). Leases and due instants are written with the
//! worker's clock; workers on machines that disagree would take each other's work for abandoned, or close early.

use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};

use super::ServiceError;
use crate::app::App;
use crate::storage::{StorageError, settings};

/// A difference that is told.
const WORTH_A_WARNING: Duration = Duration::seconds(5);
/// A difference with which no work is taken.
const TOO_FAR: Duration = Duration::seconds(60);
/// How long an answer is good for.
const EVERY: Duration = Duration::minutes(10);

/// Remembers when the clocks last agreed.
#[derive(Debug, Default)]
pub struct ClockCheck {
    agreed_at: Mutex<Option<DateTime<Utc>>>,
}

impl ClockCheck {
    /// Compares the clocks, if that was not done in the last ten minutes. A clock that is set by hand is a
    /// rehearsal's, and compared with nothing.
    ///
    /// # Errors
    /// [`ServiceError::Refused`]: they are more than a minute apart. Or the database fails.
    pub async fn refuse_far_clock(&self, app: &App) -> Result<(), ServiceError> {
        let now = app.clock.now();
        let agreed_at = *self.agreed_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = agreed_at.is_some_and(|at| (now - at).abs() < EVERY);
        if is_fresh || !app.clock.is_real() {
            return Ok(());
        }
        let ahead = ahead(app).await?;
        if ahead.abs() > TOO_FAR {
            return Err(ServiceError::Refused(format!(
                "the clock of this machine is {}; no work is taken until they agree, within a minute",
                words(ahead)
            )));
        }
        if ahead.abs() > WORTH_A_WARNING {
            tracing::warn!("the clock of this machine is {}", words(ahead));
        }
        *self.agreed_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }
}

/// How far this machine's clock is ahead of the server's, to the middle of the question.
async fn ahead(app: &App) -> Result<Duration, StorageError> {
    let mut tx = app.db.read().await?;
    let before = app.clock.now();
    let server = settings::server_clock(&mut tx).await?;
    let after = app.clock.now();
    Ok(server.map_or(Duration::zero(), |server| before + (after - before) / 2 - server))
}

fn words(ahead: Duration) -> String {
    let (seconds, side) =
        (ahead.num_seconds().abs(), if ahead < Duration::zero() { "behind" } else { "ahead of" });
    format!("{seconds} s {side} the database's")
}
