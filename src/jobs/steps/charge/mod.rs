//! Charges invoices and purchases: an effect that cannot be rolled back.
//!
//! Intent committed → `sent` committed before the socket opens → call with a timeout → settle. An unclear
//! answer is `unknown`: looked up, sent again only with the same key inside the provider's window, else
//! parked for a person.

mod look;
mod send;
mod unclear;

use std::sync::atomic::AtomicBool;

use chrono::Duration;
use tokio_util::sync::CancellationToken;

use self::look::look;
use self::send::send;
use super::{Ends, StepError, follow_up, some_at_once};
use crate::app::App;
use crate::domain::payment::{ChargeOutcome, ChargeState};
use crate::jobs::breaker;
use crate::services::charging;
use crate::services::charging::attempts::Next;
use crate::services::consequences::Consequences;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::steps::{self, Step};
use crate::storage::{Key, Tx, invoices};

/// How long a provider honours a key; after that it is looked up, never sent again (C7).
pub(super) const KEY_WINDOW: Duration = Duration::hours(23);

/// When an unknown outcome is looked up again, counted in look-ups made: 1, 5 and 15 minutes, 1, 6 and 23 hours.
pub(super) const LOOKUPS_AFTER_MINUTES: [i64; 6] = [1, 5, 15, 60, 360, 1_380];

/// How often a charge is looked up that settles later, or waits for the customer: daily.
const PENDING_AFTER: Duration = Duration::hours(24);

/// A host that takes so long from its commit to the call stood still: what it knows is old.
pub(super) const STANDSTILL: Duration = Duration::hours(1);

/// How many are asked at once of a provider on this machine, each by a thread.
const LOCAL_AT_ONCE: usize = 8;

/// A charge that still needs something, and the step that looks after it.
struct Attempt<'a> {
    /// The step's place among those that are done together.
    place: usize,
    step: &'a Step,
    charge: Charge,
    /// Its method may no longer be charged, and nothing was ever sent: another attempt takes its place.
    is_replaced: bool,
}

/// What is to be done once the provider said what it knows.
enum Known {
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
            Known::Send => sends.push(attempt),
            Known::Settle(outcome) => answers.push((attempt, outcome)),
            Known::Ended(end) => ends[attempt.place] = end,
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
            Some(charge) => attempts.push(Attempt { place, step, charge, is_replaced: false }),
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

/// What follows where the method of an invoice's attempt had gone: an attempt with another one, or the calendar of
/// unpaid invoices.
async fn instead(app: &App, tx: &mut Tx, charge: &Charge) -> Result<Consequences, StepError> {
    let (id, invoice) = (charge.request.organization.as_str(), charge.subject_id.as_str());
    let row = invoices::get(tx, id, invoice).await?;
    let row = row.filter(|_| charge.subject == Subject::Invoice);
    let Some(row) = row else { return Ok(Consequences::default()) };
    match charging::next_attempt(app, tx, &row).await? {
        Next::Attempt(next) => {
            let charges = vec![(id.to_owned(), next.id.clone())];
            return Ok(Consequences { charges, ..Consequences::default() });
        }
        Next::NoMethod(_) => charging::begin_dunning(app, tx, id, invoice, app.clock.now()).await?,
        Next::NothingToPay | Next::Live(_) | Next::ByTransfer => {}
    }
    Ok(Consequences::default())
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
    for ((Attempt { step, charge, is_replaced, .. }, outcome), follows) in ours.iter().zip(&follows)
    {
        next.extend(follow_up(follows, &step.run_id, step.ordinal, now));
        if *is_replaced {
            let follows = instead(app, &mut tx, charge).await?;
            next.extend(follow_up(&follows, &step.run_id, step.ordinal, now));
        }
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
