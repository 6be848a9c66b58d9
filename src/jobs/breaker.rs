//! Whether the payment provider answers: after some questions in a row without an answer it is left alone for
//! a while, so that a day without it costs neither a storm nor a single mail (F73).
//!
//! Only look-ups tell that it is down: they change nothing, and one is asked before and after every send. A
//! charge whose answer is lost may be that charge's own trouble.

use chrono::Duration;

use super::steps::StepError;
use crate::app::App;
use crate::payments::GatewayError;
use crate::storage::StorageError;
use crate::storage::provider::{self, Health};
use crate::storage::steps::Step;

/// Look-ups in a row without an answer after which it is left alone.
const MOST_FAILURES: i64 = 5;
/// The first pause; each further failure doubles it.
const FIRST_PAUSE: Duration = Duration::minutes(2);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::minutes(30);
/// Questions after a pause come back spread over so many seconds, not all at once.
const SPREAD_S: i64 = 60;

/// Refuses a step while the provider is left alone: it comes back after the pause.
///
/// # Errors
/// [`StepError::Retry`] with the time that is left, or the database fails.
pub async fn refuse_while_down(app: &App, step: &Step) -> Result<(), StepError> {
    let mut tx = app.db.read().await?;
    let health = provider::health(&mut tx, app.gateway.name()).await?;
    let now = app.clock.now();
    match health.open_until {
        Some(until) if until > now => {
            let last =
                step.id.bytes().rev().take(2).fold(0_i64, |sum, byte| sum * 31 + i64::from(byte));
            Err(StepError::Retry {
                reason: format!(
                    "the payment provider did not answer {} times in a row; it is left alone until {}",
                    health.failures,
                    until.format("%H:%M:%S UTC")
                ),
                after: Some(until - now + Duration::seconds(last % SPREAD_S)),
            })
        }
        _ => Ok(()),
    }
}

/// Did the provider leave a question without an answer lately?
///
/// # Errors
/// The database fails.
pub async fn is_troubled(app: &App) -> Result<bool, StorageError> {
    let mut tx = app.db.read().await?;
    Ok(provider::health(&mut tx, app.gateway.name()).await? != Health::default())
}

/// How long a step waits for a provider that took nothing: a minute at first, an hour at last, for as long as it
/// takes. A step like that is never given up: nothing was sent, and it is listed as waiting.
#[must_use]
pub fn patience(step: &Step) -> Duration {
    let doublings = u32::try_from(step.attempts.clamp(1, 7)).unwrap_or(7) - 1;
    let spread = step.id.bytes().next_back().map_or(0, |byte| i64::from(byte) % 30);
    Duration::minutes((1_i64 << doublings).min(60)) + Duration::seconds(spread)
}

/// Notes how a look-up was answered. Declines and refusals are answers. What cannot be noted is not: the
/// provider is then asked a little more often than it need be.
pub async fn note(app: &App, error: Option<&GatewayError>) {
    if let Err(error) = try_note(app, error).await {
        tracing::warn!(%error, "how the payment provider answers cannot be noted");
    }
}

async fn try_note(app: &App, error: Option<&GatewayError>) -> Result<(), StorageError> {
    let name = app.gateway.name();
    let failed = matches!(error, Some(GatewayError::Unclear(_) | GatewayError::NotSent(_)));
    let mut tx = app.db.read().await?;
    let before = provider::health(&mut tx, name).await?;
    drop(tx);
    if !failed && before == Health::default() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    let health = if failed {
        worse(app, &provider::health(&mut tx, name).await?)
    } else {
        Health::default()
    };
    provider::set_health(&mut tx, name, &health).await?;
    tx.commit().await
}

fn worse(app: &App, before: &Health) -> Health {
    let now = app.clock.now();
    let failures = before.failures + 1;
    let beyond = u32::try_from(failures - MOST_FAILURES).ok();
    let open_until = beyond.map(|beyond| {
        let pause = FIRST_PAUSE * 2_i32.pow(beyond.min(10));
        now + pause.min(LONGEST_PAUSE)
    });
    // Answers that were under way when it was left alone do not prolong the pause.
    let open_until = match (before.open_until, open_until) {
        (Some(until), _) if until > now => Some(until),
        (_, next) => next,
    };
    Health { failures, open_until }
}
