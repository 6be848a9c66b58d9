//! Closes a chunk of organizations' cycles: one transaction, all facts or none.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::{StepError, brake, chunk_step, cycle_of, mail_steps, range_of, run_of};
use crate::app::App;
use crate::domain::close::{self, CycleInput, CycleOutcome, PaidPurchase};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::OpenGrant;
use crate::domain::invoice::UsageSummary;
use crate::jobs::StepKind;
use crate::services::ServiceError;
use crate::services::admission::{self, Ended};
use crate::services::alerts::{self, Seen, Watch};
use crate::services::catalogs::History;
use crate::storage::admission::Who;
use crate::storage::cycles::Closed;
use crate::storage::ledger::Postings;
use crate::storage::organizations::Stored;
use crate::storage::steps::Step;
use crate::storage::{
    self, StorageError, Tx, audit, corrections, cycles, grants, invoices, ledger, organizations,
    purchases, steps, usage,
};

/// What is read of a chunk before anything is decided.
struct Chunk {
    history: History,
    organizations: HashMap<String, Stored>,
    grants: HashMap<String, Vec<OpenGrant>>,
    usage: HashMap<String, Vec<UsageSummary>>,
    purchases: HashMap<String, Vec<PaidPurchase>>,
    corrections: HashMap<String, Vec<(String, Credits)>>,
    /// Organizations whose next cycle opens with terms that were corrected after it began.
    corrected: Vec<String>,
}

/// An organization that cannot be closed, and why.
struct Poisoned {
    organization: String,
    reason: String,
}

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let run = run_of(&mut tx, step).await?;
    let cycle = cycle_of(&run)?;
    let range = range_of(step);
    let locked = ledger::lock(&mut tx, range.first, range.last).await?;
    let held: HashSet<String> =
        cycles::held_alone(&mut tx, range.first, range.last, &step.id).await?.into_iter().collect();
    // State decides: whatever is closed already, or not due with this run, is left alone.
    let due: Vec<cycles::Stored> = cycles::open_in_range(&mut tx, range.first, range.last)
        .await?
        .into_iter()
        .filter(|stored| stored.open.cycle == cycle && stored.due_at == run.due_at)
        .filter(|stored| !held.contains(&stored.organization))
        .filter(|stored| locked.as_ref().is_none_or(|ids| ids.contains(&stored.organization)))
        .collect();
    let mut chunk = Chunk::read(&mut tx, step, cycle).await?;
    let (mut outcomes, mut poisoned) = (Vec::with_capacity(due.len()), Vec::new());
    let mut seen = Vec::with_capacity(due.len());
    for stored in due {
        let organization = stored.organization.clone();
        match chunk.close(&mut tx, stored).await {
            Ok((outcome, figures)) => {
                seen.extend(figures);
                outcomes.push((organization, outcome));
            }
            Err(ServiceError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                let reason = format!(
                    "{error}; correct its contract (`org import`) or the catalog, then \
                     `run retry {} --org {organization}`",
                    step.run_id
                );
                poisoned.push(Poisoned { organization, reason });
            }
        }
    }
    if let [alone] = poisoned.as_slice()
        && step.organization.is_some()
    {
        return Err(StepError::Park(alone.reason.clone()));
    }
    // Crossings of the last hour, or of a time nobody looked: told with the final figures, before the invoice.
    let watch = Watch {
        rules: &app.config.alert_rules,
        first: range.first,
        last: range.last,
        organizations: &chunk.organizations,
        closing: true,
    };
    let mails = alerts::tell(&mut tx, watch, &seen, now).await?;
    steps::add(&mut tx, &mail_steps(&mails, &step.run_id, step.ordinal, now), now).await?;
    let closed = outcomes.len();
    // The next cycle's allowance lets those go on who had run out (S50); others may be left with nothing.
    let (first, last) = (range.first, range.last);
    let mut changed = storage::admission::may_change(&mut tx, first, last, cycle).await?;
    changed.extend(
        outcomes
            .iter()
            .filter(|(_, outcome)| may_be_empty(outcome))
            .map(|(organization, _)| organization.clone()),
    );
    write(&mut tx, step, outcomes, now).await?;
    let changed: Vec<String> = changed.into_iter().collect();
    admission::update(app, &mut tx, Who::These(&changed), Ended::Leave, now).await?;
    park(&mut tx, step, &poisoned, now).await?;
    steps::finish(&mut tx, step, now).await?;
    brake::when_closed(&mut tx, &step.run_id, now).await?;
    // The run first, then the audit trail, as whoever retries a run locks them.
    note_corrected(app, &mut tx, cycle, &chunk.corrected, now).await?;
    tx.commit().await?;
    tracing::info!(closed, parked = poisoned.len(), "closed {closed} organizations for {cycle}");
    Ok(())
}

/// May the next cycle begin without credits? Grants this close did not touch are not counted.
fn may_be_empty(outcome: &CycleOutcome) -> bool {
    let allowance = outcome.next_grant.iter().map(|grant| grant.granted);
    let left = outcome.remaining.iter().map(|(_, left)| *left).chain(allowance);
    let left = left.map(Credits::nano).fold(0_i64, i64::saturating_add);
    left <= outcome.statement.deficit.nano()
}

impl Chunk {
    async fn read(tx: &mut Tx, step: &Step, cycle: Cycle) -> Result<Self, StepError> {
        let range = range_of(step);
        let organizations = organizations::range(tx, range.first, range.last).await?;
        Ok(Self {
            history: History::load(tx).await?,
            organizations: organizations
                .into_iter()
                .map(|stored| (stored.organization.id.clone(), stored))
                .collect(),
            grants: grants::for_close(tx, range.first, range.last, cycle).await?,
            corrections: corrections::in_range(tx, range.first, range.last, cycle).await?,
            usage: usage::summaries(tx, range.first, range.last, cycle).await?,
            purchases: purchases::paid_in_range(tx, range.first, range.last, cycle).await?,
            corrected: Vec::new(),
        })
    }

    /// Decides one organization's close, with what alert rules look at; reads further only where its
    /// terms changed after the next cycle began.
    async fn close(
        &mut self,
        tx: &mut Tx,
        cycle: cycles::Stored,
    ) -> Result<(CycleOutcome, Option<Seen>), ServiceError> {
        let id = cycle.organization;
        let stored = self.organizations.get(&id).ok_or_else(|| {
            ServiceError::Storage(StorageError::Refused(format!("organization {id} is not stored")))
        })?;
        let next_start = cycle.open.bounds.ends_at;
        let next = organizations::at(tx, stored, next_start).await?;
        let opening =
            self.history.terms(next_start, &next, &stored.organization).map_err(|error| {
                ServiceError::Refused(format!(
                    "the next cycle cannot open: {error}; correct it with `org import` or `catalog apply`"
                ))
            })?;
        let label = cycle.open.cycle;
        let mut grants = self.grants.remove(&id).unwrap_or_default();
        // Bought or granted after this cycle ended: it is the next one's.
        grants.retain(|open| open.grant.cycle <= label);
        let organization = &stored.organization;
        let input = CycleInput {
            cycle: label,
            bounds: cycle.open.bounds,
            zone: organization.zone,
            joined_on: organization.joined_on,
            tax_percent: organization.tax_percent,
            terms: cycle.open.terms,
            next_terms: opening.terms,
            fee_billed: cycle.open.fee_billed,
            grants,
            usage: self.usage.remove(&id).unwrap_or_default(),
            deficit_brought: cycle.deficit_brought,
            purchases: self.purchases.remove(&id).unwrap_or_default(),
            corrections: self.corrections.remove(&id).unwrap_or_default(),
            organization: id,
        };
        let outcome = close::close(&input)?;
        let book = &self.history.in_force(input.bounds.starts_at).catalog.price_book;
        // What cannot be told is no reason not to close.
        let price = book.get(&organization.currency).copied();
        let seen = Seen::closing(&input, &outcome, price).ok();
        if let Some(unfit) = opening.unfit {
            let (plan, version) = (&input.next_terms.plan, input.next_terms.catalog_version);
            self.corrected.push(format!(
                "{}: plan {plan} of catalog version {version}, as {unfit}",
                input.organization
            ));
        }
        Ok((outcome, seen))
    }
}

/// Writes all outcomes of a chunk with a handful of statements.
async fn write(
    tx: &mut Tx,
    step: &Step,
    outcomes: Vec<(String, CycleOutcome)>,
    now: DateTime<Utc>,
) -> Result<(), StepError> {
    let range = range_of(step);
    let heads = ledger::heads(tx, range.first, range.last).await?;
    let count = outcomes.len();
    let (mut closed, mut opened) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut drafts, mut batch) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let (mut remaining, mut new_grants) = (Vec::new(), Vec::new());
    for (organization, outcome) in outcomes {
        let deficit: Credits = outcome.statement.deficit;
        closed.push(Closed {
            organization: organization.clone(),
            cycle: outcome.statement.cycle,
            statement: outcome.statement,
            invoiced: outcome.invoice.is_some(),
        });
        drafts.extend(outcome.invoice);
        remaining.extend(
            outcome.remaining.into_iter().map(|(grant, left)| (organization.clone(), grant, left)),
        );
        new_grants.extend(outcome.next_grant.map(|grant| (organization.clone(), grant)));
        if !outcome.postings.is_empty() {
            batch.push(Postings { organization: organization.clone(), postings: outcome.postings });
        }
        opened.push((organization, outcome.next, deficit));
    }
    cycles::close(tx, &closed, now).await?;
    cycles::open(tx, &opened).await?;
    ledger::set_remaining(tx, &remaining).await?;
    grants::add(tx, &new_grants, None).await?;
    ledger::post(tx, batch, &heads, now).await?;
    invoices::add_drafts(tx, &drafts).await?;
    Ok(())
}

/// Names in the log and in the audit trail whose next cycle did not open with the terms of its beginning: finance may
/// have meant the correction for later.
async fn note_corrected(
    app: &App,
    tx: &mut Tx,
    cycle: Cycle,
    corrected: &[String],
    now: DateTime<Utc>,
) -> Result<(), StepError> {
    const NAMED: usize = 20;
    if corrected.is_empty() {
        return Ok(());
    }
    let mut named = corrected.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    if corrected.len() > NAMED {
        named.push_str("; …");
    }
    let what = format!(
        "{} open {} with terms that were corrected after it began",
        corrected.len(),
        cycle.next()
    );
    tracing::warn!("{what}: {named}");
    audit::append(tx, now, &app.actor, &what, &named).await?;
    Ok(())
}

/// Sets organizations that cannot be closed aside, each as a step of its own.
async fn park(
    tx: &mut Tx,
    step: &Step,
    poisoned: &[Poisoned],
    now: DateTime<Utc>,
) -> Result<(), StepError> {
    let parked: Vec<Step> = poisoned
        .iter()
        .map(|poisoned| {
            let name = poisoned.organization.as_str();
            let range = super::Range { first: name, last: name, organizations: 1 };
            Step {
                state: "parked".to_owned(),
                attempts: 1,
                error: Some(poisoned.reason.clone()),
                ..chunk_step(StepKind::Close, &step.run_id, &range, step.ordinal, now)
            }
        })
        .collect();
    for poisoned in poisoned {
        tracing::warn!(
            organization = poisoned.organization,
            reason = poisoned.reason,
            "parked: this organization's cycle cannot be closed"
        );
    }
    steps::add(tx, &parked, now).await?;
    Ok(())
}
