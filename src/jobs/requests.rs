//! What people ask the runner for: rerun a job, let parked work go again, buy credits, record a transfer.
//!
//! Each request leaves an audit row in the transaction of what it changes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::definition::Due;
use super::plan::{self, DueGroup, ORDINALS_PER_PLAN, daily_run};
use super::report::{Report, no_run};
use super::runner::{Runner, held_of};
use super::steps::{Range, chunk_step, follow_up, subject_step};
use super::{StepKind, names};
use crate::app::App;
use crate::domain::close::OpenCycle;
use crate::domain::cycle::Cycle;
use crate::domain::payment::{ChargeOutcome, ChargeState, Decline};
use crate::domain::plan::CycleTerms;
use crate::services::catalogs::History;
use crate::services::charging::attempts::Next;
use crate::services::charging::{self, Transfer};
use crate::services::consequences::Consequences;
use crate::services::pay_pages::{self, Destination};
use crate::services::purchases::{self, Begun, Wanted};
use crate::services::{ServiceError, credit_notes, no_organization, refunds};
use crate::storage::invoices::payment_status;
use crate::storage::runs::Run;
use crate::storage::{Tx, audit, charges, cycles, invoices, ledger, organizations, runs, steps};

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

/// What is due of one job now, of the named organizations or all, and nothing else.
async fn rerun_due(
    app: &Arc<App>,
    runner: &Runner,
    request: &Rerun<'_>,
) -> Result<Report, ServiceError> {
    let mut touched = std::collections::BTreeSet::new();
    let mut held = Vec::new();
    for mut group in plan::due(app, None).await? {
        if group.job != request.job {
            continue;
        }
        if !request.organizations.is_empty() {
            group.organizations.retain(|id| request.organizations.contains(id));
        }
        if let Some(waiting) = held_of(&group) {
            held.push(waiting);
        } else if !group.organizations.is_empty() || !group.files.is_empty() {
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
    let wanted = |organization: &String| {
        request.organizations.is_empty() || request.organizations.contains(organization)
    };
    let label = cycle.to_string();
    let mut touched = std::collections::BTreeSet::new();
    // Confirmed by the person who asks: any number of missed cycles, but only this one is closed.
    for mut group in plan::due(app, Some(u32::MAX)).await? {
        if group.cycle == label && group.job == request.job {
            group.organizations.retain(wanted);
            if !group.organizations.is_empty() {
                let cause = format!("{}: {}", app.actor, request.reason);
                touched.extend(plan::plan(app, &group, &cause).await?);
            }
        }
    }
    let mut tx = app.db.read().await?;
    let known = runs::of_cycle(&mut tx, request.job, &label).await?;
    drop(tx);
    if known.is_empty() && touched.is_empty() {
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
    runner.report(&touched, Vec::new()).await
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
        let (first, last) = organization.map_or(("", "~"), |id| (id, id));
        attempt_declined(app, &mut tx, run, cycle, (first, last)).await?;
        let issued = invoices::issued_in_range(&mut tx, first, last, cycle).await?;
        let next: Vec<_> = issued
            .chunks(500)
            .filter_map(|part| {
                let range = Range {
                    first: &part.first()?.organization,
                    last: &part.last()?.organization,
                    organizations: i64::try_from(part.len()).unwrap_or(i64::MAX),
                };
                Some(chunk_step(StepKind::Render, &run.id, &range, ordinal, now))
            })
            .collect();
        steps::add(&mut tx, &next, now).await?;
    }
    runs::reopen(&mut tx, &run.id).await?;
    tx.commit().await?;
    Ok(())
}

/// New attempts for declined invoices of a range.
async fn attempt_declined(
    app: &App,
    tx: &mut Tx,
    run: &Run,
    cycle: Cycle,
    (first, last): (&str, &str),
) -> Result<usize, ServiceError> {
    let now = app.clock.now();
    let mut next = Vec::new();
    for row in invoices::issued_in_range(tx, first, last, cycle).await? {
        let failed = [payment_status::DECLINED, payment_status::PAST_DUE];
        if !failed.contains(&row.payment_status.as_str()) {
            continue;
        }
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
    let parked = steps::unpark(&mut tx, run, organization, now).await?;
    let hurried = steps::hurry(&mut tx, run, organization, now).await?;
    let attempts = match stored.cycle.parse::<Cycle>() {
        Ok(cycle) => {
            let range = organization.map_or(("", "~"), |id| (id, id));
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

/// Buys credits: charges the stored method, grants when paid, mails the receipt. Gives the purchase's id.
///
/// # Errors
/// See [`purchases::begin`].
pub async fn buy(
    app: &Arc<App>,
    organization: &str,
    wanted: &Wanted,
) -> Result<(String, Report), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let begun = purchases::begin(app, &mut tx, organization, wanted, false).await?;
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    let (purchase, refused) = match begun {
        Begun::Charge(purchase, charge) => {
            let step = subject_step(StepKind::Charge, &run, Some(organization), &charge.id, 0, now);
            steps::add(&mut tx, &[step], now).await?;
            (purchase, None)
        }
        Begun::Declined(purchase, none) => (purchase, Some(none)),
    };
    let command = format!("credits buy {organization} {} ({})", purchase.credits, purchase.id);
    audit::append(&mut tx, now, &app.actor, &command, "purchase").await?;
    tx.commit().await?;
    let report = Runner::new(app.clone(), CancellationToken::new())?.finish_run(&run).await?;
    if let Some(none) = refused {
        tracing::warn!(organization, "nothing was charged: {}", none.reason());
    }
    Ok((purchase.id, report))
}

/// Records a bank transfer and mails the receipt.
///
/// # Errors
/// See [`charging::record_transfer`].
pub async fn record_transfer(
    app: &Arc<App>,
    transfer: &Transfer<'_>,
) -> Result<Report, ServiceError> {
    let mut tx = app.db.write().await?;
    let follows = charging::record_transfer(app, &mut tx, transfer).await?;
    finish(app, tx, &follows).await
}

/// Commits a request with the steps it leaves behind, in today's run, and does them.
async fn finish(
    app: &Arc<App>,
    mut tx: Tx,
    follows: &Consequences,
) -> Result<Report, ServiceError> {
    let now = app.clock.now();
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    steps::add(&mut tx, &follow_up(follows, &run, 0, now), now).await?;
    tx.commit().await?;
    Runner::new(app.clone(), CancellationToken::new())?.finish_run(&run).await
}

/// Issues a credit note, renders and mails it, and sends its money back. Gives its number.
///
/// # Errors
/// See [`credit_notes::issue`].
pub async fn credit(
    app: &Arc<App>,
    wanted: &credit_notes::Wanted<'_>,
) -> Result<(String, Report), ServiceError> {
    let mut tx = app.db.write().await?;
    let issued = credit_notes::issue(app, &mut tx, wanted).await?;
    let report = finish(app, tx, &issued.follows).await?;
    Ok((issued.number, report))
}

/// Records that finance transferred the money of a credit note back.
///
/// # Errors
/// See [`refunds::record_transfer`].
pub async fn record_refund(
    app: &Arc<App>,
    number: &str,
    reference: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    let mut tx = app.db.write().await?;
    let follows = refunds::record_transfer(app, &mut tx, number, reference, reason).await?;
    finish(app, tx, &follows).await
}

/// Opens a page for a customer who wants to pay an invoice; the attempt gets its step, which looks after it.
///
/// # Errors
/// See [`pay_pages::open`].
pub async fn open_pay_page(
    app: &Arc<App>,
    organization: &str,
    invoice: &str,
) -> Result<Destination, ServiceError> {
    let (destination, follows) = pay_pages::open(app, organization, invoice).await?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    steps::add(&mut tx, &follow_up(&follows, &run, 0, now), now).await?;
    tx.commit().await?;
    Ok(destination)
}

/// How long an unknown charge must have been quiet before a person may close it.
const QUIET: chrono::Duration = chrono::Duration::hours(24);

/// Closes an invoice's open charge as not taken, after a person checked with the provider. The provider is
/// asked once more: a charge it took is settled instead.
///
/// # Errors
/// No such invoice, no open charge, an unknown one sent less than a day ago, or a provider that does
/// not answer.
pub async fn void_charge(
    app: &Arc<App>,
    number: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.read().await?;
    let row = invoices::by_number(&mut tx, number)
        .await?
        .ok_or_else(|| crate::services::invoices::no_invoice(number))?;
    let attempts = charges::of_subject(&mut tx, &row.organization, &row.id).await?;
    drop(tx);
    let Some(charge) = attempts
        .into_iter()
        .find(|charge| charge.state.is_live() && charge.state != ChargeState::Succeeded)
    else {
        return Err(ServiceError::Refused(format!("invoice {number} has no open charge")));
    };
    let unclear = matches!(charge.state, ChargeState::Sent | ChargeState::Unknown);
    if unclear && charge.first_sent_at.is_some_and(|first| now - first < QUIET) {
        return Err(ServiceError::Refused(format!(
            "the charge of invoice {number} was sent less than a day ago and may still go through; wait"
        )));
    }
    let outcome = match app.gateway.lookup(&charge.request).await {
        Ok(Some(outcome @ ChargeOutcome::Succeeded { .. })) => outcome,
        Ok(Some(ChargeOutcome::Pending { .. })) => {
            return Err(ServiceError::Refused(format!(
                "the provider says the charge of invoice {number} is still pending; it may go through: wait"
            )));
        }
        Ok(_) => ChargeOutcome::Declined {
            provider_id: charge.provider_id.clone(),
            decline: Decline {
                code: crate::domain::payment::VOIDED.to_owned(),
                hard: false,
                message: format!("closed by {} as not taken: {reason}", app.actor),
            },
        },
        Err(error) => return Err(ServiceError::Refused(error.to_string())),
    };
    let mut tx = app.db.write().await?;
    let follows = charging::settle(app, &mut tx, &charge, &outcome).await?;
    steps::finish_subject(&mut tx, &row.organization, &charge.id, now).await?;
    let command = format!("payment void {number}, attempt {}: {}", charge.attempt, outcome.state());
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    finish(app, tx, &follows).await
}

/// Everything that is due now; watches, which mostly find nothing, are left out.
///
/// # Errors
/// The clock is behind, or the database fails.
pub async fn due(app: &App) -> Result<Vec<DueGroup>, ServiceError> {
    let mut groups = plan::due(app, None).await?;
    groups.retain(|group| !app.jobs.iter().any(|job| job.watch && job.name == group.job));
    Ok(groups)
}
