//! Who may start new operations (S49, S50): derived at each question by one rule, and told when it changes.
//!
//! The answer is never stored. What is stored is what was last told outside, with a version for each
//! organization, so that a receiver can drop what comes late. A change is told in the transaction that makes
//! it, where that is cheap; the job `admission` looks at everyone and finds the rest.

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::{ServiceError, no_organization, notices, pay_pages, projection};
use crate::app::App;
use crate::domain::admission::{Facts, Reason};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::ids;
use crate::domain::plan::CycleTerms;
use crate::domain::webhook::Event;
use crate::jobs::plan::daily_run;
use crate::jobs::steps::{mail_steps, subject_step};
use crate::jobs::{StepKind, names};
use crate::mail::Notice;
use crate::mail::notices::{PauseReason, UnpaidInvoice};
use crate::storage::admission::{self, Figures, Told, Who};
use crate::storage::organizations::Stored;
use crate::storage::steps;
use crate::storage::webhooks::{self, Webhook};
use crate::storage::{Tx, audit, cycles, invoices, ledger, organizations, usage};

/// How an organization stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose.
    pub organization: String,
    /// Why it is paused; none: it is active.
    pub reason: Option<Reason>,
    /// Credits available; below zero where more was used than there is.
    pub available: Credits,
    /// How many changes were told so far.
    pub version: i64,
    told: Option<Reason>,
    /// The running cycle, if its end brings new credits.
    renewed_after: Option<Cycle>,
}

impl Standing {
    /// `active` or `paused`.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        state(self.reason)
    }
}

/// The printed word of a state.
#[must_use]
pub const fn state(reason: Option<Reason>) -> &'static str {
    if reason.is_some() { "paused" } else { "active" }
}

/// What to do about organizations whose open cycle has ended but is not closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// See through it: exact, a few statements more for each month that waits.
    SeeThrough,
    /// Leave them to their close, and to the job that looks at everyone.
    Leave,
}

/// How one organization stands: an indexed read or two in the normal case.
///
/// # Errors
/// There is no such organization.
pub async fn of(app: &App, id: &str) -> Result<Standing, ServiceError> {
    let mut tx = app.db.read().await?;
    let found = standings(&mut tx, Who::Range(id, id), Ended::SeeThrough, app.clock.now()).await?;
    found.into_iter().next().ok_or_else(|| no_organization(id))
}

/// How everyone stands, by organization.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn of_all(app: &App) -> Result<HashMap<String, Standing>, ServiceError> {
    let mut tx = app.db.read().await?;
    let found = standings(&mut tx, Who::ALL, Ended::SeeThrough, app.clock.now()).await?;
    Ok(found.into_iter().map(|standing| (standing.organization.clone(), standing)).collect())
}

/// Names of those whose standing differs from what was told.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn differing(
    tx: &mut Tx,
    who: Who<'_>,
    now: DateTime<Utc>,
) -> Result<Vec<String>, ServiceError> {
    let found = standings(tx, who, Ended::SeeThrough, now).await?;
    let differing = found.into_iter().filter(|standing| standing.reason != standing.told);
    Ok(differing.map(|standing| standing.organization).collect())
}

async fn standings(
    tx: &mut Tx,
    who: Who<'_>,
    ended: Ended,
    now: DateTime<Utc>,
) -> Result<Vec<Standing>, ServiceError> {
    let figures = admission::figures(tx, who).await?;
    let over: Vec<String> = figures
        .iter()
        .filter(|figures| figures.ends_at <= now)
        .map(|figures| figures.organization.clone())
        .collect();
    let mut seen = match ended {
        Ended::SeeThrough => seen_through(tx, over, now).await?,
        Ended::Leave => HashMap::new(),
    };
    let mut found = Vec::with_capacity(figures.len());
    for mut figures in figures {
        let thought = seen.remove(&figures.organization);
        match thought {
            Some((cycle, terms, available)) => {
                (figures.cycle, figures.available) = (cycle, available);
                found.push(standing(figures, Some(terms))?);
            }
            None if figures.ends_at <= now => {}
            None => found.push(standing(figures, None)?),
        }
    }
    Ok(found)
}

/// The one rule, applied to one organization's figures.
fn standing(figures: Figures, terms: Option<CycleTerms>) -> Result<Standing, ServiceError> {
    // The terms are read only where they decide.
    let terms = match terms {
        None if !figures.available.is_positive() => Some(figures.terms()?),
        known => known,
    };
    let facts = Facts {
        by_hand: figures.by_hand,
        unpaid: figures.unpaid,
        bills_overage: terms.as_ref().is_some_and(|terms| terms.overage_price.is_some()),
        available: figures.available,
    };
    let renewed = terms.is_some_and(|terms| terms.allowance.is_positive());
    Ok(Standing {
        reason: facts.paused(),
        available: figures.available,
        version: figures.version,
        told: figures.told,
        renewed_after: renewed.then_some(figures.cycle),
        organization: figures.organization,
    })
}

/// Cycle, terms and available credits of organizations whose open cycle is over.
async fn seen_through(
    tx: &mut Tx,
    mut ids: Vec<String>,
    now: DateTime<Utc>,
) -> Result<HashMap<String, (Cycle, CycleTerms, Credits)>, ServiceError> {
    ids.sort();
    let (Some(first), Some(last)) = (ids.first().cloned(), ids.last().cloned()) else {
        return Ok(HashMap::new());
    };
    let open = cycles::open_of(tx, &ids).await?;
    let used = usage::by_billed_cycle(tx, &first, &last).await?;
    let mut seen = HashMap::with_capacity(open.len());
    for (id, stands) in projection::through(tx, open, now).await? {
        let running = stands.cycle.open.cycle;
        let posted = Credits::total(stands.grants.iter().map(|open| open.remaining))?;
        let unbilled = used.get(&id).into_iter().flatten();
        let unbilled = unbilled.filter(|(cycle, _)| *cycle >= running).map(|(_, credits)| *credits);
        let available =
            posted.minus(Credits::total(unbilled)?)?.minus(stands.cycle.deficit_brought)?;
        seen.insert(id, (running, stands.cycle.open.terms, available));
    }
    Ok(seen)
}

/// Tells what differs from what was told: the row with the next version, a notice with its mails, webhooks,
/// and the steps that send them, in the caller's transaction. The organizations are locked. Gives how they stand;
/// who is left to the close is not among them.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn update(
    app: &App,
    tx: &mut Tx,
    who: Who<'_>,
    ended: Ended,
    now: DateTime<Utc>,
) -> Result<Vec<Standing>, ServiceError> {
    let all = standings(tx, who, ended, now).await?;
    let changes: Vec<&Standing> =
        all.iter().filter(|standing| standing.reason != standing.told).collect();
    if changes.is_empty() {
        return Ok(all);
    }
    let ids: Vec<String> = changes.iter().map(|change| change.organization.clone()).collect();
    let stored: HashMap<String, Stored> = organizations::these(tx, &ids)
        .await?
        .into_iter()
        .map(|stored| (stored.organization.id.clone(), stored))
        .collect();
    let run = daily_run(tx, names::ADMISSION, now).await?;
    let (mut told, mut outbox, mut work) = (Vec::new(), Vec::new(), Vec::new());
    for change in changes {
        let id = change.organization.as_str();
        let organization = &stored.get(id).ok_or_else(|| no_organization(id))?.organization;
        let version = change.version + 1;
        let key = key_of(version);
        let to = &organization.billing_emails;
        let notice = notice(app, tx, change).await?;
        let mails = notices::tell(tx, organization, to, &key, notice, now).await?;
        work.extend(mail_steps(&mails, &run, 0, now));
        for webhook in payloads(app, change, version, now) {
            let step = subject_step(StepKind::Webhook, &run, Some(id), &webhook.id, 0, now);
            // Of one organization in the order of versions, where nothing fails.
            work.push(steps::Step { ordinal: version, ..step });
            outbox.push(webhook);
        }
        told.push(Told { organization: id.to_owned(), reason: change.reason, version });
        tracing::info!(organization = id, version, "told: {}", change.state());
    }
    admission::tell(tx, &told, now).await?;
    webhooks::add(tx, &outbox).await?;
    steps::add(tx, &work, now).await?;
    Ok(all)
}

/// The key of the notice that tells a version.
#[must_use]
pub fn key_of(version: i64) -> String {
    format!("{KEY}{version}")
}

/// Begins the keys of all notices of this kind.
pub const KEY: &str = "admission-";

async fn notice(app: &App, tx: &mut Tx, change: &Standing) -> Result<Notice, ServiceError> {
    let reason = match change.reason {
        None => return Ok(Notice::Resumed { available: change.available }),
        Some(Reason::ByHand) => PauseReason::ByHand,
        Some(Reason::Unpaid) => PauseReason::Unpaid,
        Some(Reason::OutOfCredits) => PauseReason::OutOfCredits,
    };
    let renewed = change.renewed_after.filter(|_| reason == PauseReason::OutOfCredits);
    let id = change.organization.as_str();
    let unpaid = match reason {
        PauseReason::Unpaid => invoices::given_up(tx, id).await?,
        _ => None,
    };
    let link = match &unpaid {
        Some(row) => pay_pages::pay_link(app, tx, row).await?,
        None => None,
    };
    let unpaid = match unpaid {
        Some(row) => Some(UnpaidInvoice {
            outstanding: row.outstanding()?,
            number: row.number.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Notice::Paused {
        reason,
        unpaid,
        available: change.available,
        next_credits_on: renewed.map(|cycle| cycle.next().first_day()),
        link,
    })
}

/// One webhook for each endpoint that wants the event.
fn payloads(app: &App, change: &Standing, version: i64, now: DateTime<Utc>) -> Vec<Webhook> {
    let event = match change.reason {
        Some(_) => Event::OrganizationPaused,
        None => Event::OrganizationResumed,
    };
    let id = change.organization.as_str();
    let data = json!({"organization": id, "state": change.state(), "reason": change.reason,
        "version": version, "available": change.available});
    let payload = json!({"type": event.as_str(), "data": data,
        "timestamp": now.to_rfc3339_opts(SecondsFormat::AutoSi, true)});
    let to = app.webhooks.wanting(event);
    to.map(|endpoint| Webhook {
        organization: id.to_owned(),
        id: ids::derived("msg", now, &[&app.deployment, id, &key_of(version), endpoint]),
        endpoint: endpoint.to_owned(),
        event: event.as_str().to_owned(),
        version,
        payload: payload.to_string(),
        state: "ready".to_owned(),
        created_at: now,
    })
    .collect()
}

/// Marks an organization as having, or no longer having, an invoice that was given up, and tells what
/// follows. The organization is locked. False: it was marked so already.
///
/// # Errors
/// The database fails.
pub async fn set_unpaid(
    app: &App,
    tx: &mut Tx,
    id: &str,
    unpaid: bool,
    now: DateTime<Utc>,
) -> Result<bool, ServiceError> {
    let changed = admission::set_unpaid(tx, id, unpaid, now).await?;
    update(app, tx, Who::Range(id, id), Ended::SeeThrough, now).await?;
    Ok(changed)
}

/// Finance pauses an organization (S49).
///
/// # Errors
/// There is none of that name, or it is paused by hand already.
pub async fn pause(app: &App, id: &str, reason: &str) -> Result<Standing, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    if !admission::set_by_hand(&mut tx, id, true, now).await? {
        return Err(ServiceError::Refused(format!("organization {id} is paused by hand already")));
    }
    update(app, &mut tx, Who::Range(id, id), Ended::SeeThrough, now).await?;
    audit::append(&mut tx, now, &app.actor, &format!("org pause {id}"), reason).await?;
    tx.commit().await?;
    of(app, id).await
}

/// Finance lifts its own pause, and the mark of an unpaid invoice. Only credits end a lack of credits.
///
/// # Errors
/// There is none of that name, or there is nothing to lift.
pub async fn resume(app: &App, id: &str, reason: &str) -> Result<Standing, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let by_hand = admission::set_by_hand(&mut tx, id, false, now).await?;
    let unpaid = admission::set_unpaid(&mut tx, id, false, now).await?;
    if !by_hand && !unpaid {
        return Err(ServiceError::Refused(format!(
            "organization {id} is paused neither by hand nor for an unpaid invoice; where it is out of credits, \
             `credits buy` or `credits grant` lets it go on"
        )));
    }
    update(app, &mut tx, Who::Range(id, id), Ended::SeeThrough, now).await?;
    let lifted = if unpaid { "unpaid" } else { "by hand" };
    let command = format!("org resume {id} ({lifted})");
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    of(app, id).await
}
