//! Charges one invoice or purchase: an effect that cannot be rolled back.
//!
//! Intent committed → `sent` committed before the socket opens → call with a timeout → settle. An unclear
//! answer is `unknown`: looked up, sent again only with the same key inside the provider's window, else
//! parked for a person.

use std::time::Duration as StdDuration;

use chrono::Duration;

use super::{StepError, follow_up};
use crate::app::App;
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeState, Decline};
use crate::jobs::breaker;
use crate::payments::GatewayError;
use crate::services::{charging, pay_pages};
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::invoices::{self, payment_status};
use crate::storage::steps::{self, Step};

/// How long a provider honours a key; after that it is looked up, never sent again (C7).
pub(super) const KEY_WINDOW: Duration = Duration::hours(23);
/// When an unknown outcome is looked up again, counted in look-ups made: 1, 5 and 15 minutes, 1, 6 and 23 hours.
pub(super) const LOOKUPS_AFTER_MINUTES: [i64; 6] = [1, 5, 15, 60, 360, 1_380];
/// How often a charge is looked up that settles later, or waits for the customer: daily.
const PENDING_AFTER: Duration = Duration::hours(24);

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let Some(charge) = load(app, step).await? else {
        return finish_without(app, step).await;
    };
    breaker::refuse_while_down(app, step).await?;
    // Asked before every send, the first too: after a restored backup the provider may know the key (F71).
    let known = bounded(app, app.gateway.lookup(&charge.request)).await;
    breaker::note(app, known.as_ref().err()).await;
    match known {
        Ok(Some(outcome)) if outcome.state() == charge.state => wait(app, step, &charge).await,
        Ok(Some(outcome)) => settle(app, step, &charge, &outcome).await,
        Ok(None) if pay_pages::is_hosted(&charge.request.payment_method) => {
            no_page(app, step, &charge).await
        }
        Ok(None) if is_too_late(app, &charge) => Err(StepError::Park(format!(
            "the payment provider knows no charge for {}, and it is too late to send it again safely; check with the \
             provider, then `payment void` closes this attempt and `run retry` makes a new one",
            charge.request.reference
        ))),
        Ok(None) => send(app, step, &charge).await,
        Err(GatewayError::Unclear(reason) | GatewayError::NotSent(reason))
            if charge.state == ChargeState::Intended =>
        {
            // Nothing was ever sent: a provider that is away for days costs nothing but patience.
            let reference = &charge.request.reference;
            Err(StepError::Retry {
                reason: format!("charge of {reference}: {reason}"),
                after: Some(breaker::patience(step)),
            })
        }
        Err(error) => unclear(app, step, &charge, error).await,
    }
}

/// A page the customer was to pay on was never made, or its answer was lost: after an hour, in which the
/// provider had time to list it, it is called off.
async fn no_page(app: &App, step: &Step, charge: &Charge) -> Result<(), StepError> {
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
        Err(error) => return unclear(app, step, charge, error).await,
    };
    settle(app, step, charge, &outcome).await
}

/// Was it first sent so long ago that the provider may have forgotten the key (C7)?
fn is_too_late(app: &App, charge: &Charge) -> bool {
    charge.first_sent_at.is_some_and(|first| app.clock.now() - first >= KEY_WINDOW)
}

/// The charge of a step, if it still needs anything.
async fn load(app: &App, step: &Step) -> Result<Option<Charge>, StepError> {
    let (Some(organization), Some(id)) = (&step.organization, &step.subject) else {
        return Err(StepError::Park("this charge step names no charge".to_owned()));
    };
    let mut tx = app.db.read().await?;
    let charge = charges::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| StepError::Park(format!("charge {id} is not stored")))?;
    let settled = matches!(charge.state, ChargeState::Succeeded | ChargeState::Declined);
    Ok((!settled).then_some(charge))
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

async fn finish_without(app: &App, step: &Step) -> Result<(), StepError> {
    let mut tx = app.db.write().await?;
    steps::finish(&mut tx, step, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn send(app: &App, step: &Step, charge: &Charge) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    charges::mark_sent(&mut tx, charge, now).await?;
    tx.commit().await?;
    let error = match bounded(app, app.gateway.charge(&charge.request)).await {
        Ok(outcome) => return settle(app, step, charge, &outcome).await,
        Err(error) => error,
    };
    let certainly_nothing = matches!(error, GatewayError::NotSent(_) | GatewayError::Misuse(_));
    if certainly_nothing && charge.first_sent_at.is_none() {
        // The window of the key has not begun: a provider that was away all weekend costs nothing.
        let mut tx = app.db.write().await?;
        steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
        charges::mark_not_sent(&mut tx, charge).await?;
        tx.commit().await?;
    }
    unclear(app, step, charge, error).await
}

/// A provider that does not answer in time gave no clear answer.
async fn bounded<T>(
    app: &App,
    call: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    let limit = StdDuration::from_secs(u64::from(app.config.payments.timeout_s));
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(GatewayError::Unclear(format!("no answer within {} s", limit.as_secs()))),
    }
}

async fn settle(
    app: &App,
    step: &Step,
    charge: &Charge,
    outcome: &ChargeOutcome,
) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let follows = charging::settle(app, &mut tx, charge, outcome).await?;
    steps::add(&mut tx, &follow_up(&follows, &step.run_id, step.ordinal, now), now).await?;
    if matches!(outcome, ChargeOutcome::Pending { .. } | ChargeOutcome::NeedsAction { .. }) {
        // Not final: the provider is asked again until it is.
        steps::release(&mut tx, step, now + PENDING_AFTER, None).await?;
    } else {
        steps::finish(&mut tx, step, now).await?;
    }
    tx.commit().await?;
    tracing::info!(reference = charge.request.reference, state = %outcome.state(), "charge {}", outcome.state());
    Ok(())
}

async fn unclear(
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
