//! Sends one webhook: at least once, with the same id at each attempt, until the endpoint takes it.

use super::StepError;
use crate::app::App;
use crate::storage::steps::{self, Step};
use crate::storage::webhooks as outbox;
use crate::webhooks::{Message, SendError};

/// How often a message is offered to an endpoint that understands and does not want it.
const MOST_REFUSALS: i64 = 4;

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let (Some(organization), Some(id)) = (&step.organization, &step.subject) else {
        return Err(StepError::Park("this webhook step names no webhook".to_owned()));
    };
    let mut tx = app.db.read().await?;
    let webhook = outbox::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| StepError::Park(format!("webhook {id} is not stored")))?;
    drop(tx);
    if webhook.state == "ready" {
        let message =
            Message { endpoint: &webhook.endpoint, id: &webhook.id, payload: &webhook.payload };
        let sent = app.webhooks.send(&message, app.clock.now()).await;
        sent.map_err(|error| next(error, step.attempts))?;
    }
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    outbox::mark_sent(&mut tx, organization, id, now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    Ok(())
}

/// What follows a failure: the job's delay, or a person.
fn next(error: SendError, attempts: i64) -> StepError {
    match error {
        SendError::Away(reason) => StepError::Retry { reason, after: None },
        SendError::Refused(reason) if attempts < MOST_REFUSALS => {
            StepError::Retry { reason, after: None }
        }
        SendError::Refused(reason) => StepError::Park(format!("{reason} (tried {attempts} times)")),
        SendError::Gone(reason) | SendError::Unknown(reason) => StepError::Park(reason),
    }
}
