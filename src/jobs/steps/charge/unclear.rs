//! Answers that are none: what is waited for, looked up again, or left to a person.

use chrono::Duration;

use super::LOOKUPS_AFTER_MINUTES;
use crate::app::App;
use crate::domain::payment::ChargeState;
use crate::jobs::breaker;
use crate::jobs::steps::StepError;
use crate::payments::GatewayError;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::invoices::{self, payment_status};
use crate::storage::steps::{self, Step};

pub(super) async fn unclear(
    app: &App,
    step: &Step,
    charge: &Charge,
    error: GatewayError,
) -> Result<(), StepError> {
    let reference = &charge.request.reference;
    match error {
        GatewayError::NotSent(reason) => Err(StepError::Retry {
            reason: format!("charge of {reference}: {reason}"),
            after: Some(breaker::patience(step)),
        }),
        GatewayError::Unclear(reason) => {
            mark_unknown(app, step, charge, &reason).await?;
            let made = usize::try_from(charge.lookups).unwrap_or(usize::MAX);
            // The first look-up follows a send at once; a provider that is slow to list a charge, or does
            // not answer, gets time.
            let after = match made.checked_sub(1) {
                None if charge.state == ChargeState::Intended => Some(Duration::zero()),
                None => Some(Duration::minutes(1)),
                Some(index) => {
                    LOOKUPS_AFTER_MINUTES.get(index).map(|minutes| Duration::minutes(*minutes))
                }
            };
            match after {
                Some(after) => Err(StepError::Retry {
                    reason: format!(
                        "the outcome of the charge of {reference} is unknown: {reason}"
                    ),
                    after: Some(after),
                }),
                None => Err(StepError::Park(format!(
                    "the outcome of the charge of {reference} is still unknown after {made} look-ups: {reason}; \
                     ask the provider before anything else"
                ))),
            }
        }
        GatewayError::Misuse(_) | GatewayError::Unsupported(_) => {
            Err(StepError::Park(format!("charge of {reference}: {error}")))
        }
        GatewayError::Mismatch(_) => {
            mark_unknown(app, step, charge, &error.to_string()).await?;
            let mut tx = app.db.write().await?;
            steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
            charges::mark_mismatch(&mut tx, charge).await?;
            tx.commit().await?;
            Err(StepError::Park(format!("charge of {reference}: {error}")))
        }
    }
}

async fn mark_unknown(
    app: &App,
    step: &Step,
    charge: &Charge,
    reason: &str,
) -> Result<(), StepError> {
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
    charges::mark_unknown(&mut tx, charge, reason).await?;
    let may_have_acted = !matches!(charge.state, ChargeState::Pending | ChargeState::NeedsAction);
    if charge.subject == Subject::Invoice && may_have_acted {
        let id = &charge.request.organization;
        let status = payment_status::UNKNOWN;
        if let Some(row) = invoices::get(&mut tx, id, &charge.subject_id).await? {
            invoices::set_status(&mut tx, id, &row.id, row.status()?, status).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}
