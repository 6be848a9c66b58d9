//! What the provider knows, asked before anything is sent.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use super::unclear::unclear;
use super::{Attempt, KEY_WINDOW, Known, PENDING_AFTER};
use crate::app::App;
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeState, Decline};
use crate::jobs::breaker;
use crate::jobs::steps::{StepError, bounded};
use crate::payments::GatewayError;
use crate::services::pay_pages;
use crate::storage::charges::Charge;
use crate::storage::steps::{self, Step};

/// Asks what the provider knows. Before every send, the first too: after a restored backup it may know the key (F71).
pub(super) async fn look(
    app: &App,
    stop: &CancellationToken,
    troubled: &AtomicBool,
    Attempt { step, charge, .. }: &Attempt<'_>,
) -> Known {
    if stop.is_cancelled() {
        return Known::Ended(Err(StepError::NotBegun));
    }
    if troubled.load(Ordering::Relaxed)
        && let Err(error) = breaker::refuse_while_down(app, step).await
    {
        return Known::Ended(Err(error));
    }
    let known = bounded(app, app.gateway.lookup(&charge.request)).await;
    if known.is_err() {
        troubled.store(true, Ordering::Relaxed);
    }
    // Each answer of a provider elsewhere counts, whichever process got it: only failures in a row tell that it is down.
    if troubled.load(Ordering::Relaxed) || !app.gateway.is_local() {
        breaker::note(app, known.as_ref().err()).await;
    }
    match known {
        Ok(Some(outcome)) if outcome.state() == charge.state => {
            Known::Ended(wait(app, step, charge).await)
        }
        Ok(Some(outcome)) => Known::Settle(outcome),
        Ok(None) if pay_pages::is_hosted(&charge.request.payment_method) => {
            no_page(app, step, charge).await.unwrap_or_else(|error| Known::Ended(Err(error)))
        }
        Ok(None) if is_too_late(app, charge) => Known::Ended(Err(StepError::Park(format!(
            "the payment provider knows no charge for {}, and it is too late to send it again safely; check with the \
             provider, then `payment void` closes this attempt and `run retry` makes a new one",
            charge.request.reference
        )))),
        Ok(None) => Known::Send,
        Err(GatewayError::Unclear(reason) | GatewayError::NotSent(reason))
            if charge.state == ChargeState::Intended =>
        {
            // Nothing was ever sent: a provider that is away for days costs nothing but patience.
            let reference = &charge.request.reference;
            Known::Ended(Err(StepError::Retry {
                reason: format!("charge of {reference}: {reason}"),
                after: Some(breaker::patience(step)),
            }))
        }
        Err(error) => Known::Ended(unclear(app, step, charge, error).await),
    }
}

/// A page the customer was to pay on was never made, or its answer was lost: after an hour, in which the
/// provider had time to list it, it is called off.
async fn no_page(app: &App, step: &Step, charge: &Charge) -> Result<Known, StepError> {
    let young = Duration::hours(1);
    let sent = charge.first_sent_at.unwrap_or_else(|| app.clock.now());
    if app.clock.now() - sent < young {
        return Err(StepError::Retry {
            reason: format!("the page to pay {} is not known yet", charge.request.reference),
            after: Some(young),
        });
    }
    let outcome = match bounded(app, app.gateway.cancel(&charge.request)).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => ChargeOutcome::Declined {
            provider_id: None,
            decline: Decline {
                code: CANCELED.to_owned(),
                hard: false,
                message: "the page was never opened".to_owned(),
            },
        },
        Err(error) => return Ok(Known::Ended(unclear(app, step, charge, error).await)),
    };
    Ok(Known::Settle(outcome))
}

/// Was it first sent so long ago that the provider may have forgotten the key (C7)?
fn is_too_late(app: &App, charge: &Charge) -> bool {
    charge.first_sent_at.is_some_and(|first| app.clock.now() - first >= KEY_WINDOW)
}

/// Nothing new: the customer has not acted, or the bank has not settled.
async fn wait(app: &App, step: &Step, charge: &Charge) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    steps::release(&mut tx, step, now + PENDING_AFTER, None).await?;
    tx.commit().await?;
    tracing::info!(reference = charge.request.reference, state = %charge.state, "still {}", charge.state);
    Ok(())
}
