//! What people ask the runner for: rerun a job, let parked work go again, buy credits, record a transfer.
//!
//! Each request leaves an audit row in the transaction of what it changes.

mod brakes;
mod money;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use crate::jobs::StepKind;
use crate::jobs::definition::Due;
use crate::jobs::plan::{self, DueGroup, ORDINALS_PER_PLAN, Only, Question};
use crate::jobs::report::{Report, no_run};
use crate::jobs::runner::{Runner, held_of};
use crate::jobs::steps::{Range, chunk_step, subject_step};
pub use brakes::{confirm, movers};
pub use money::{buy, credit, record_refund, record_transfer, reverse_transfer, void_charge};

use crate::app::App;
use crate::domain::close::OpenCycle;
use crate::domain::cycle::Cycle;
use crate::domain::plan::CycleTerms;
use crate::services::catalogs::History;
use crate::services::charging::attempts::Next;
use crate::services::{ServiceError, charging, no_organization};
use crate::storage::runs::Run;
use crate::storage::{
    Tx, audit, cycles, documents, invoices, ledger, one_or_all, organizations, runs, steps,
};

/// Organizations whose documents are looked at by one step of a rerun.
const AT_ONCE: i64 = 500;

/// What finance wants run.
#[derive(Debug, Clone)]
pub struct Rerun<'a> {
    /// Which job.
    pub job: &'a str,
    /// Which cycle; none: whatever is due.
    pub cycle: Option<Cycle>,
    /// Which organizations; empty: all.
    pub organizations: &'a [String],
    /// Why.
    pub reason: &'a str,
}

/// Runs a job by hand: continues what is unfinished, repeats what can be repeated, never twice what
/// must happen once.
///
/// # Errors
/// No such job, an organization or cycle that is not there, or a cycle that has not ended.
pub async fn rerun(app: &Arc<App>, request: &Rerun<'_>) -> Result<Report, ServiceError> {
    let job = app.job(request.job).map_err(|error| ServiceError::NotFound(format!("{error:#}")))?;
    let runner = Runner::new(app.clone(), CancellationToken::new())?;
    runner.refuse_far_clock().await?;
    match (&job.due, request.cycle) {
        (Due::CycleEnd, Some(cycle)) => rerun_cycle(app, &runner, request, cycle).await,
        (_, Some(_)) => Err(ServiceError::Refused(format!(
            "job {} is not about cycles; leave --cycle out",
            request.job
        ))),
        (Due::OnDemand, None) => Err(ServiceError::Refused(format!(
            "job {} has no schedule: its work is made by the commands that need it; \
             `run list` and `run retry` deal with what failed",
            request.job
        ))),
        (_, None) => {
            let mut tx = app.db.read().await?;
            for id in request.organizations {
                organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
            }
            drop(tx);
            write_audit(app, request, "what is due").await?;
            rerun_due(app, &runner, request).await
        }
    }
}

async fn write_audit(app: &App, request: &Rerun<'_>, what: &str) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    let command = format!("job run {} {what} {}", request.job, request.organizations.join(" "));
    audit::append(&mut tx, app.clock.now(), &app.actor, command.trim_end(), request.reason).await?;
    tx.commit().await?;
    Ok(())
}

/// What a person asks for: the named organizations, or all.
fn question(request: &Rerun<'_>, confirmed: Option<u32>) -> Question {
    Question { confirmed, only: Only::these(request.organizations) }
}

/// What is due of one job now, of the named organizations or all, and nothing else.
async fn rerun_due(
    app: &Arc<App>,
    runner: &Runner,
    request: &Rerun<'_>,
) -> Result<Report, ServiceError> {
    let mut touched = std::collections::BTreeSet::new();
    let mut held = Vec::new();
    for group in plan::due(app, &question(request, None)).await? {
        if group.job != request.job {
            continue;
        }
        if let Some(waiting) = held_of(&group) {
            held.push(waiting);
        } else {
            let cause = format!("{}: {}", app.actor, request.reason);
            touched.extend(plan::plan(app, &group, &cause).await?);
        }
    }
    for run in touched.clone() {
        runner.work(Some(&run), &mut touched).await?;
    }
    runner.report(&touched, held).await
}

async fn rerun_cycle(
    app: &Arc<App>,
    runner: &Runner,
    request: &Rerun<'_>,
    cycle: Cycle,
) -> Result<Report, ServiceError> {
    refuse_unknown(app, request, cycle).await?;
    write_audit(app, request, &cycle.to_string()).await?;
    let label = cycle.to_string();
    let (mut touched, mut held) = (std::collections::BTreeSet::new(), Vec::new());
    // Confirmed by the person who asks: any number of missed cycles, but only this one is closed.
    for group in plan::due(app, &question(request, Some(u32::MAX))).await? {
        if group.cycle == label && group.job == request.job {
            if let Some(waiting) = held_of(&group) {
                held.push(waiting);
            } else {
                let cause = format!("{}: {}", app.actor, request.reason);
                touched.extend(plan::plan(app, &group, &cause).await?);
            }
        }
    }
    let mut tx = app.db.read().await?;
    let known = runs::of_cycle(&mut tx, request.job, &label).await?;
    drop(tx);
    if known.is_empty() && touched.is_empty() && held.is_empty() {
        return Err(ServiceError::Refused(format!(
            "no organization's cycle {cycle} is over and next to be closed; cycles close oldest first, \
             `job due` shows what is due"
        )));
    }
    for run in &known {
        again(app, run, request).await?;
        touched.insert(run.id.clone());
    }
    for run in touched.clone() {
        runner.work(Some(&run), &mut touched).await?;
    }
    runner.report(&touched, held).await
}

async fn refuse_unknown(app: &App, request: &Rerun<'_>, cycle: Cycle) -> Result<(), ServiceError> {
    let mut tx = app.db.read().await?;
    let now = app.clock.now();
    for id in request.organizations {
        organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
        match cycles::get(&mut tx, id, cycle).await? {
            None => {
                return Err(ServiceError::Refused(format!(
                    "organization {id} has no cycle {cycle} yet, or joined after it; cycles close oldest first"
                )));
            }
            Some(stored) if !stored.closed && stored.due_at > now => {
                return Err(ServiceError::Refused(format!(
                    "cycle {cycle} of organization {id} is not over: it is due at {}",
                    stored.due_at.to_rfc3339()
                )));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Lets parked steps of a run go again, repeats its documents, and tries declined invoices once more.
async fn again(app: &App, run: &Run, request: &Rerun<'_>) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let cycle: Cycle =
        run.cycle.parse().map_err(|error| ServiceError::Refused(format!("{error}")))?;
    let ordinal = run.plans * ORDINALS_PER_PLAN;
    let mut tx = app.db.write().await?;
    let everyone: Vec<Option<&str>> = vec![None];
    let named: Vec<Option<&str>> =
        request.organizations.iter().map(|id| Some(id.as_str())).collect();
    for organization in if named.is_empty() { &everyone } else { &named } {
        steps::unpark(&mut tx, &run.id, *organization, now).await?;
        let (first, last) = one_or_all(*organization);
        attempt_declined(app, &mut tx, run, cycle, (first, last)).await?;
        // Page by page: there may be very many.
        let mut after = String::new();
        loop {
            let part = invoices::issued_ids(&mut tx, (first, last), cycle, &after, AT_ONCE).await?;
            let (Some((first, _)), Some((last, _))) = (part.first(), part.last()) else { break };
            let organizations = i64::try_from(part.len()).unwrap_or(i64::MAX);
            let range = Range { first, last, organizations };
            let next = chunk_step(StepKind::Render, &run.id, &range, ordinal, now);
            steps::add(&mut tx, &[next], now).await?;
            after.clone_from(last);
        }
        // Receipts and credit notes of the cycle too: a lost file is made again, the same to the byte.
        let beside = documents::of_cycle(&mut tx, first, last, cycle).await?;
        let again: Vec<_> = beside
            .iter()
            .map(|(id, document)| {
                subject_step(StepKind::Document, &run.id, Some(id), document, ordinal, now)
            })
            .collect();
        steps::add(&mut tx, &again, now).await?;
    }
    runs::reopen(&mut tx, &run.id).await?;
    tx.commit().await?;
    Ok(())
}

/// New attempts for declined invoices of a run: those of a range whose cycle became due with it.
async fn attempt_declined(
    app: &App,
    tx: &mut Tx,
    run: &Run,
    cycle: Cycle,
    (first, last): (&str, &str),
) -> Result<usize, ServiceError> {
    let now = app.clock.now();
    let mut next = Vec::new();
    for row in invoices::declined_in_range(tx, (first, last), cycle, run.due_at).await? {
        if let Next::Attempt(charge) = charging::next_attempt(app, tx, &row).await? {
            let id = Some(row.organization.as_str());
            let ordinal = run.plans * ORDINALS_PER_PLAN;
            next.push(subject_step(StepKind::Charge, &run.id, id, &charge.id, ordinal, now));
        }
    }
    steps::add(tx, &next, now).await?;
    Ok(next.len())
}

/// Lets parked steps of a run go again, for one organization or all. A parked close takes its plan's
/// terms anew, so that a corrected contract or catalog counts.
///
/// # Errors
/// No such run, or nothing in it to retry.
pub async fn retry(
    app: &Arc<App>,
    run: &str,
    organization: Option<&str>,
    reason: &str,
) -> Result<Report, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let stored = runs::get(&mut tx, run).await?.ok_or_else(|| no_run(run))?;
    if let Some(id) = organization {
        organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    }
    let refrozen = refreeze_terms(&mut tx, run, organization, now).await?;
    readdress_mails(&mut tx, run, organization).await?;
    runs::lock(&mut tx, run).await?;
    let parked = steps::unpark(&mut tx, run, organization, now).await?;
    let hurried = steps::hurry(&mut tx, run, organization, now).await?;
    let attempts = match stored.cycle.parse::<Cycle>() {
        Ok(cycle) => {
            let range = one_or_all(organization);
            attempt_declined(app, &mut tx, &stored, cycle, range).await?
        }
        Err(_) => 0,
    };
    if parked == 0 && hurried == 0 && attempts == 0 {
        let whose = organization.map(|id| format!(" for organization {id}")).unwrap_or_default();
        return Err(ServiceError::Refused(format!(
            "run {run} has nothing to retry{whose}: no parked or waiting step, no declined invoice \
             with a usable payment method"
        )));
    }
    let whose = organization.unwrap_or("all");
    let command = format!(
        "run retry {run} --org {whose}: {parked} parked, {attempts} declined, terms taken anew of {refrozen:?}"
    );
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    runs::reopen(&mut tx, &stored.id).await?;
    tx.commit().await?;
    Runner::new(app.clone(), CancellationToken::new())?.finish_run(run).await
}

/// Gives parked mails the addresses their organizations have now.
async fn readdress_mails(
    tx: &mut Tx,
    run: &str,
    organization: Option<&str>,
) -> Result<(), ServiceError> {
    for step in steps::unfinished(tx, run, StepKind::Mail.as_str()).await? {
        let (Some(id), Some(mail)) = (&step.organization, &step.subject) else { continue };
        if step.state != "parked" || organization.is_some_and(|wanted| wanted != id) {
            continue;
        }
        let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
        crate::services::mails::readdress(tx, mail, &stored.organization).await?;
    }
    Ok(())
}

/// Gives organizations whose close is parked their plan's terms of today; what was granted stays.
async fn refreeze_terms(
    tx: &mut Tx,
    run: &str,
    organization: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Vec<String>, ServiceError> {
    let history = History::load(tx).await?;
    let version = history.in_force(now);
    let mut names = Vec::new();
    for step in steps::unfinished(tx, run, StepKind::Close.as_str()).await? {
        let Some(id) = step.organization.filter(|_| step.state == "parked") else { continue };
        if organization.is_some_and(|wanted| wanted != id) {
            continue;
        }
        ledger::lock(tx, &id, &id).await?;
        let stored = organizations::get(tx, &id).await?.ok_or_else(|| no_organization(&id))?;
        let Some(open) = cycles::open_of(tx, std::slice::from_ref(&id)).await?.pop() else {
            continue;
        };
        let open = open.open;
        // A plan changed since is the next cycle's; only the same plan's terms are taken anew.
        if stored.organization.plan != open.terms.plan {
            continue;
        }
        let mut terms = version
            .catalog
            .terms(&stored.organization, version.number)
            .map_err(|error| ServiceError::Refused(format!("organization {id}: {error}")))?;
        keep_what_was_billed(&mut terms, &open);
        cycles::set_open_terms(tx, &id, &terms).await?;
        names.push(id);
    }
    Ok(names)
}

/// The invoice of the cycle before said whether, and at what price, this one was billed in advance: a
/// correction does not change that.
fn keep_what_was_billed(terms: &mut CycleTerms, open: &OpenCycle) {
    terms.fee_timing = open.terms.fee_timing;
    if open.fee_billed {
        terms.fee = open.terms.fee;
        terms.plan_name.clone_from(&open.terms.plan_name);
    }
}

/// Everything that is due now; watches, which mostly find nothing, are left out.
///
/// # Errors
/// The clock is behind, or the database fails.
pub async fn due(app: &App) -> Result<Vec<DueGroup>, ServiceError> {
    let mut groups = plan::due(app, &Question::default()).await?;
    groups.retain(|group| !app.jobs.iter().any(|job| job.watch && job.name == group.job));
    Ok(groups)
}
