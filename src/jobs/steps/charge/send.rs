//! Sending: `sent` is committed first, for those whose method may still be charged.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::unclear::unclear;
use super::{Attempt, STANDSTILL, at_once};
use crate::app::App;
use crate::domain::payment::{CANCELED, ChargeOutcome, Decline};
use crate::jobs::steps::{Ends, StepError, bounded, some_at_once};
use crate::payments::GatewayError;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::steps::{self, Step};
use crate::storage::{Key, Tx, methods};

/// Commits that they are sent, then sends them. Answers are added to those that are settled.
pub(super) async fn send<'a>(
    app: &App,
    stop: &CancellationToken,
    attempts: Vec<Attempt<'a>>,
    ends: &mut Ends,
    answers: &mut Vec<(Attempt<'a>, ChargeOutcome)>,
) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let steps: Vec<&Step> = attempts.iter().map(|attempt| attempt.step).collect();
    let ours = steps::hold_together(&mut tx, &steps, now + app.lease()).await?;
    let (attempts, lost): (Vec<_>, Vec<_>) =
        attempts.into_iter().partition(|attempt| ours.contains(&attempt.step.id));
    for attempt in lost {
        ends[attempt.place] = Err(StepError::Fenced);
    }
    let attempts = chargeable(&mut tx, attempts, ends, answers).await?;
    let keys: Vec<Key> = attempts.iter().map(|attempt| attempt.charge.key()).collect();
    charges::mark_sent(&mut tx, &keys, now).await?;
    tx.commit().await?;
    let sends = attempts.iter().map(|attempt| send_one(app, stop, attempt, now)).collect();
    let sent = some_at_once(at_once(app), sends).await;
    for (attempt, sent) in attempts.into_iter().zip(sent) {
        match sent {
            Ok(outcome) => answers.push((attempt, outcome)),
            Err(error) => ends[attempt.place] = Err(error),
        }
    }
    Ok(())
}

/// Those whose method may still be charged. One that was taken away, or declined for good, after an attempt with it was
/// recorded is never charged again: what was never sent is called off, what may have been is left to a person.
async fn chargeable<'a>(
    tx: &mut Tx,
    attempts: Vec<Attempt<'a>>,
    ends: &mut Ends,
    answers: &mut Vec<(Attempt<'a>, ChargeOutcome)>,
) -> Result<Vec<Attempt<'a>>, StepError> {
    let method = |attempt: &Attempt<'_>| -> Key {
        let request = &attempt.charge.request;
        (request.organization.clone(), request.payment_method.clone())
    };
    let keys: BTreeSet<Key> = attempts.iter().map(method).collect();
    let saved = methods::these(tx, &Vec::from_iter(keys)).await?;
    let (fit, unfit): (Vec<_>, Vec<_>) = attempts.into_iter().partition(|attempt| {
        saved.get(&method(attempt)).is_none_or(|saved| saved.state == methods::USABLE)
    });
    for mut attempt in unfit {
        if attempt.charge.first_sent_at.is_some() {
            let way_out = match attempt.charge.subject {
                Subject::Invoice => "`run retry` makes a new one with another method",
                Subject::Purchase => "buy again with another method",
            };
            ends[attempt.place] = Err(StepError::Park(format!(
                "the payment method of {} was taken away, or declined for good, while the outcome of its charge was \
                 unknown: `payment void` closes this attempt; then {way_out}",
                attempt.charge.request.reference
            )));
            continue;
        }
        let decline = Decline {
            code: CANCELED.to_owned(),
            hard: false,
            message: "the payment method was taken away before it was charged".to_owned(),
        };
        attempt.is_replaced = true;
        answers.push((attempt, ChargeOutcome::Declined { provider_id: None, decline }));
    }
    Ok(fit)
}

async fn send_one(
    app: &App,
    stop: &CancellationToken,
    Attempt { step, charge, .. }: &Attempt<'_>,
    marked_at: DateTime<Utc>,
) -> Result<ChargeOutcome, StepError> {
    if stop.is_cancelled() {
        not_sent(app, step, charge).await?;
        return Err(StepError::NotBegun);
    }
    // A host that stood still: its step is another's by now, and the provider may forget the key.
    if app.clock.now() - marked_at >= STANDSTILL {
        return Err(StepError::Fenced);
    }
    let error = match bounded(app, app.gateway.charge(&charge.request)).await {
        Ok(outcome) => return Ok(outcome),
        Err(error) => error,
    };
    if matches!(error, GatewayError::NotSent(_) | GatewayError::Misuse(_)) {
        not_sent(app, step, charge).await?;
    }
    Err(unclear(app, step, charge, error).await.err().unwrap_or(StepError::Fenced))
}

/// Certainly nothing left. The window of a key that was never sent has not begun: a provider that was away all
/// weekend costs nothing.
async fn not_sent(app: &App, step: &Step, charge: &Charge) -> Result<(), StepError> {
    if charge.first_sent_at.is_some() {
        return Ok(());
    }
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
    charges::mark_not_sent(&mut tx, charge).await?;
    tx.commit().await?;
    Ok(())
}
