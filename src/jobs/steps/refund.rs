//! Gives the money of one credit note back: an effect like a charge. Looked up before every send, sent again
//! only with the same key inside the provider's window, else parked for a person.

use chrono::Duration;

use super::charge::{KEY_WINDOW, LOOKUPS_AFTER_MINUTES, STANDSTILL};
use super::{StepError, bounded, follow_up};
use crate::app::App;
use crate::domain::payment::{RefundOutcome, RefundRequest};
use crate::jobs::breaker;
use crate::payments::GatewayError;
use crate::services::refunds;
use crate::storage::refunds::{self as stored, Refund};
use crate::storage::steps::{self, Step};

/// How often a refund that is under way is looked up.
const PENDING_AFTER: Duration = Duration::hours(24);

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let (Some(organization), Some(id)) = (&step.organization, &step.subject) else {
        return Err(StepError::Park("this refund step names no refund".to_owned()));
    };
    let mut tx = app.db.read().await?;
    let refund = stored::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| StepError::Park(format!("refund {id} is not stored")))?;
    if refund.is_final() {
        drop(tx);
        return finish(app, step).await;
    }
    let request = refunds::request(&mut tx, &refund).await?;
    drop(tx);
    breaker::refuse_while_down(app, step).await?;
    let known = bounded(app, app.gateway.lookup_refund(&request)).await;
    breaker::note(app, known.as_ref().err()).await;
    match known {
        Ok(Some(RefundOutcome::Pending { .. })) if refund.state == "pending" => {
            let mut tx = app.db.write().await?;
            steps::release(&mut tx, step, app.clock.now() + PENDING_AFTER, None).await?;
            tx.commit().await?;
            Ok(())
        }
        Ok(Some(outcome)) => settle(app, step, &refund, &outcome).await,
        Ok(None) if is_too_late(app, &refund) => Err(StepError::Park(format!(
            "the payment provider knows no refund for {}, and it is too late to send it again safely; check with the \
             provider, then make the transfer and `refund record` it",
            request.reference
        ))),
        Ok(None) => send(app, step, &refund, &request).await,
        // Nothing was ever sent: a provider that is away for days costs nothing but patience.
        Err(GatewayError::Unclear(reason)) if refund.first_sent_at.is_none() => {
            unclear(app, step, &refund, &request, GatewayError::NotSent(reason)).await
        }
        Err(error) => unclear(app, step, &refund, &request, error).await,
    }
}

fn is_too_late(app: &App, refund: &Refund) -> bool {
    refund.first_sent_at.is_some_and(|first| app.clock.now() - first >= KEY_WINDOW)
}

async fn finish(app: &App, step: &Step) -> Result<(), StepError> {
    let mut tx = app.db.write().await?;
    steps::finish(&mut tx, step, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn send(
    app: &App,
    step: &Step,
    refund: &Refund,
    request: &RefundRequest,
) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    stored::set_state(&mut tx, refund, "sent", None, None, now).await?;
    tx.commit().await?;
    if app.clock.now() - now >= STANDSTILL {
        return Err(StepError::Fenced);
    }
    match bounded(app, app.gateway.refund(request)).await {
        Ok(outcome) => settle(app, step, refund, &outcome).await,
        Err(error) => {
            if matches!(error, GatewayError::NotSent(_)) && refund.first_sent_at.is_none() {
                let mut tx = app.db.write().await?;
                steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
                stored::mark_not_sent(&mut tx, refund).await?;
                tx.commit().await?;
            }
            unclear(app, step, refund, request, error).await
        }
    }
}

async fn settle(
    app: &App,
    step: &Step,
    refund: &Refund,
    outcome: &RefundOutcome,
) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let follows = refunds::settle(app, &mut tx, refund, outcome).await?;
    steps::add(&mut tx, &follow_up(&follows, &step.run_id, step.ordinal, now), now).await?;
    match outcome {
        RefundOutcome::Pending { .. } => {
            steps::release(&mut tx, step, now + PENDING_AFTER, None).await?;
        }
        RefundOutcome::Succeeded { .. } => steps::finish(&mut tx, step, now).await?,
        RefundOutcome::Failed { message, .. } => {
            let remark = format!(
                "the provider gives no refund ({message}); transfer the money and record it with `refund record`"
            );
            steps::finish_with_remark(&mut tx, step, now, &remark).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

async fn unclear(
    app: &App,
    step: &Step,
    refund: &Refund,
    request: &RefundRequest,
    error: GatewayError,
) -> Result<(), StepError> {
    let reference = &request.reference;
    let now = app.clock.now();
    match error {
        GatewayError::NotSent(reason) => Err(StepError::Retry {
            reason: format!("refund of {reference}: {reason}"),
            after: Some(breaker::patience(step)),
        }),
        GatewayError::Unclear(reason) => {
            let mut tx = app.db.write().await?;
            steps::hold(&mut tx, step, now + app.lease()).await?;
            stored::set_state(&mut tx, refund, "unknown", None, Some(&reason), now).await?;
            tx.commit().await?;
            let made = usize::try_from(refund.lookups).unwrap_or(usize::MAX);
            match LOOKUPS_AFTER_MINUTES.get(made) {
                Some(minutes) => Err(StepError::Retry {
                    reason: format!(
                        "the outcome of the refund of {reference} is unknown: {reason}"
                    ),
                    after: Some(Duration::minutes(*minutes)),
                }),
                None => Err(StepError::Park(format!(
                    "the outcome of the refund of {reference} is still unknown after {made} look-ups: {reason}; ask \
                     the provider before anything else"
                ))),
            }
        }
        GatewayError::Misuse(_) | GatewayError::Unsupported(_) | GatewayError::Mismatch(_) => {
            Err(StepError::Park(format!("refund of {reference}: {error}")))
        }
    }
}
