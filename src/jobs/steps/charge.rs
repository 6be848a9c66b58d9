//! Charges invoices and purchases: an effect that cannot be rolled back.
//!
//! Intent committed → `sent` committed before the socket opens → call with a timeout → settle. An unclear
//! answer is `unknown`: looked up, sent again only with the same key inside the provider's window, else
//! parked for a person.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration as StdDuration;

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use super::{Ends, StepError, follow_up, some_at_once};
use crate::app::App;
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeState, Decline};
use crate::jobs::breaker;
use crate::payments::GatewayError;
use crate::services::{charging, pay_pages};
use crate::storage::Key;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::invoices::{self, payment_status};
use crate::storage::steps::{self, Step};

/// How long a provider honours a key; after that it is looked up, never sent again (C7).
pub(super) const KEY_WINDOW: Duration = Duration::hours(23);
/// When an unknown outcome is looked up again, counted in look-ups made: 1, 5 and 15 minutes, 1, 6 and 23 hours.
pub(super) const LOOKUPS_AFTER_MINUTES: [i64; 6] = [1, 5, 15, 60, 360, 1_380];
/// How often a charge is looked up that settles later, or waits for the customer: daily.
const PENDING_AFTER: Duration = Duration::hours(24);

/// How many are asked at once of a provider on this machine, each by a thread.
const LOCAL_AT_ONCE: usize = 8;

/// A charge that still needs something, and the step that looks after it.
struct Attempt<'a> {
    /// The step's place among those that are done together.
    place: usize,
    step: &'a Step,
    charge: Charge,
}

/// What is to be done once the provider said what it knows.
enum Next {
    Send,
    Settle(ChargeOutcome),
    /// This charge's step ends, or waits, by itself.
    Ended(Result<(), StepError>),
}

pub(super) async fn execute(
    app: &App,
    stop: &CancellationToken,
    steps: &[Step],
) -> Result<Ends, StepError> {
    let (mut ends, attempts) = load(app, steps).await?;
    let troubled = AtomicBool::new(breaker::is_troubled(app).await?);
    let looks = attempts.iter().map(|attempt| look(app, stop, &troubled, attempt)).collect();
    let looked = some_at_once(at_once(app), looks).await;
    let (mut sends, mut answers) = (Vec::new(), Vec::new());
    for (attempt, next) in attempts.into_iter().zip(looked) {
        match next {
            Next::Send => sends.push(attempt),
            Next::Settle(outcome) => answers.push((attempt, outcome)),
            Next::Ended(end) => ends[attempt.place] = end,
        }
    }
    if !sends.is_empty() {
        let places: Vec<usize> = sends.iter().map(|attempt| attempt.place).collect();
        // What was answered is settled, whatever becomes of these.
        if let Err(error) = send(app, stop, sends, &mut ends, &mut answers).await {
            for place in places {
                ends[place] = Err(error.clone());
            }
        }
    }
    settle(app, &answers, &mut ends).await;
    Ok(ends)
}

fn at_once(app: &App) -> usize {
    if app.gateway.is_local() { LOCAL_AT_ONCE } else { app.config.runner.effects_at_once.into() }
}

/// The charges of steps that still need anything. The steps of the others are done.
async fn load<'a>(app: &App, steps: &'a [Step]) -> Result<(Ends, Vec<Attempt<'a>>), StepError> {
    let keys: Vec<Key> = steps.iter().filter_map(Step::key).collect();
    let mut tx = app.db.read().await?;
    let stored = charges::these(&mut tx, &keys).await?;
    drop(tx);
    let mut ends: Ends = Vec::with_capacity(steps.len());
    let (mut attempts, mut over) = (Vec::new(), Vec::new());
    for (place, step) in steps.iter().enumerate() {
        ends.push(Ok(()));
        match step.key().and_then(|key| stored.get(&key).cloned()) {
            None => {
                ends[place] =
                    Err(StepError::Park("the charge of this step is not stored".to_owned()));
            }
            Some(Charge { state: ChargeState::Succeeded | ChargeState::Declined, .. }) => {
                over.push((place, step));
            }
            Some(charge) => attempts.push(Attempt { place, step, charge }),
        }
    }
    if !over.is_empty() {
        let mut tx = app.db.write().await?;
        let steps: Vec<&Step> = over.iter().map(|(_, step)| *step).collect();
        let ours = steps::finish_together(&mut tx, &steps, app.clock.now()).await?;
        tx.commit().await?;
        for (place, _) in over.iter().filter(|(_, step)| !ours.contains(&step.id)) {
            ends[*place] = Err(StepError::Fenced);
        }
    }
    Ok((ends, attempts))
}

/// Asks what the provider knows. Before every send, the first too: after a restored backup it may know the key (F71).
async fn look(
    app: &App,
    stop: &CancellationToken,
    troubled: &AtomicBool,
    Attempt { step, charge, .. }: &Attempt<'_>,
) -> Next {
    if stop.is_cancelled() {
        return Next::Ended(Err(StepError::NotBegun));
    }
    if troubled.load(Ordering::Relaxed)
        && let Err(error) = breaker::refuse_while_down(app, step).await
    {
        return Next::Ended(Err(error));
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
            Next::Ended(wait(app, step, charge).await)
        }
        Ok(Some(outcome)) => Next::Settle(outcome),
        Ok(None) if pay_pages::is_hosted(&charge.request.payment_method) => {
            no_page(app, step, charge).await.unwrap_or_else(|error| Next::Ended(Err(error)))
        }
        Ok(None) if is_too_late(app, charge) => Next::Ended(Err(StepError::Park(format!(
            "the payment provider knows no charge for {}, and it is too late to send it again safely; check with the \
             provider, then `payment void` closes this attempt and `run retry` makes a new one",
            charge.request.reference
        )))),
        Ok(None) => Next::Send,
        Err(GatewayError::Unclear(reason) | GatewayError::NotSent(reason))
            if charge.state == ChargeState::Intended =>
        {
            // Nothing was ever sent: a provider that is away for days costs nothing but patience.
            let reference = &charge.request.reference;
            Next::Ended(Err(StepError::Retry {
                reason: format!("charge of {reference}: {reason}"),
                after: Some(breaker::patience(step)),
            }))
        }
        Err(error) => Next::Ended(unclear(app, step, charge, error).await),
    }
}

/// A page the customer was to pay on was never made, or its answer was lost: after an hour, in which the
/// provider had time to list it, it is called off.
async fn no_page(app: &App, step: &Step, charge: &Charge) -> Result<Next, StepError> {
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
        Err(error) => return Ok(Next::Ended(unclear(app, step, charge, error).await)),
    };
    Ok(Next::Settle(outcome))
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

/// Commits that they are sent, then sends them. Answers are added to those that are settled.
async fn send<'a>(
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
    let keys: Vec<Key> = attempts.iter().map(|attempt| attempt.charge.key()).collect();
    charges::mark_sent(&mut tx, &keys, now).await?;
    tx.commit().await?;
    for attempt in lost {
        ends[attempt.place] = Err(StepError::Fenced);
    }
    let sends = attempts.iter().map(|attempt| send_one(app, stop, attempt)).collect();
    let sent = some_at_once(at_once(app), sends).await;
    for (attempt, sent) in attempts.into_iter().zip(sent) {
        match sent {
            Ok(outcome) => answers.push((attempt, outcome)),
            Err(error) => ends[attempt.place] = Err(error),
        }
    }
    Ok(())
}

async fn send_one(
    app: &App,
    stop: &CancellationToken,
    Attempt { step, charge, .. }: &Attempt<'_>,
) -> Result<ChargeOutcome, StepError> {
    if stop.is_cancelled() {
        not_sent(app, step, charge).await?;
        return Err(StepError::NotBegun);
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

/// Settles what was answered; where that fails for all together, each by itself.
async fn settle(app: &App, answers: &[(Attempt<'_>, ChargeOutcome)], ends: &mut Ends) {
    match settle_together(app, answers).await {
        Ok(settled) => {
            for ((attempt, _), end) in answers.iter().zip(settled) {
                ends[attempt.place] = end;
            }
        }
        Err(error) => {
            if let [(attempt, _)] = answers {
                ends[attempt.place] = Err(error);
                return;
            }
            for answer in answers {
                let settled = settle_together(app, std::slice::from_ref(answer)).await;
                ends[answer.0.place] = settled.and_then(|ends| ends.into_iter().collect());
            }
        }
    }
}

async fn settle_together(
    app: &App,
    answers: &[(Attempt<'_>, ChargeOutcome)],
) -> Result<Ends, StepError> {
    if answers.is_empty() {
        return Ok(Vec::new());
    }
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let steps: Vec<&Step> = answers.iter().map(|(attempt, _)| attempt.step).collect();
    let held = steps::hold_together(&mut tx, &steps, now + app.lease()).await?;
    let ours: Vec<&(Attempt<'_>, ChargeOutcome)> =
        answers.iter().filter(|(attempt, _)| held.contains(&attempt.step.id)).collect();
    let words: Vec<(&Charge, &ChargeOutcome)> =
        ours.iter().map(|(attempt, outcome)| (&attempt.charge, outcome)).collect();
    let follows = charging::settle_together(app, &mut tx, &words).await?;
    let (mut next, mut done) = (Vec::new(), Vec::new());
    for ((Attempt { step, .. }, outcome), follows) in ours.iter().zip(&follows) {
        next.extend(follow_up(follows, &step.run_id, step.ordinal, now));
        if matches!(outcome, ChargeOutcome::Pending { .. } | ChargeOutcome::NeedsAction { .. }) {
            // Not final: the provider is asked again until it is.
            steps::release(&mut tx, step, now + PENDING_AFTER, None).await?;
        } else {
            done.push(*step);
        }
    }
    steps::add(&mut tx, &next, now).await?;
    let finished = steps::finish_together(&mut tx, &done, now).await?;
    if finished.len() != done.len() {
        return Err(StepError::Fenced);
    }
    tx.commit().await?;
    for (charge, outcome) in words {
        let reference = &charge.request.reference;
        tracing::info!(reference, state = %outcome.state(), "charge {}", outcome.state());
    }
    let fenced =
        |step: &Step| if held.contains(&step.id) { Ok(()) } else { Err(StepError::Fenced) };
    Ok(steps.into_iter().map(fenced).collect())
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
