//! Credits of one organization: balance, statement, grants by finance.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::admission::{self, Ended};
use super::catalogs::History;
use super::projection::{self, Stands};
use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::admission::{Facts, Reason};
use crate::domain::close;
use crate::domain::credits::{Credits, NANO};
use crate::domain::cycle::Cycle;
use crate::domain::grant::{Grant, OpenGrant, Source};
use crate::domain::ids;
use crate::domain::statement::CreditStatement;
use crate::storage::admission::Who;
use crate::storage::organizations::{State, Stored};
use crate::storage::{Tx, audit, cycles, grants, ledger, organizations, usage};

/// A balance at an instant.
#[derive(Debug, Clone)]
pub struct Balance {
    /// Whose.
    pub organization: String,
    /// When.
    pub as_of: DateTime<Utc>,
    /// Why it is paused (S49); none: it is active.
    pub reason: Option<Reason>,
    /// `posted − unbilled − deficit`; below zero where more was used than there is.
    pub available: Credits,
    /// Left in all grants, once ended cycles are closed.
    pub posted: Credits,
    /// Rated use of the cycle that is running.
    pub unbilled: Credits,
    /// Use beyond all grants, brought from ended cycles (D8).
    pub deficit: Credits,
    /// Grants with credits left, in burn order (D3).
    pub grants: Vec<OpenGrant>,
}

/// The balance as of now (S14, S25, S72).
///
/// # Errors
/// There is no such organization.
pub async fn balance(app: &App, id: &str) -> Result<Balance, ServiceError> {
    let mut tx = app.db.read().await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    balance_of(app, &mut tx, &stored).await
}

/// The balance as of now, in the caller's transaction.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn balance_of(app: &App, tx: &mut Tx, stored: &Stored) -> Result<Balance, ServiceError> {
    let id = stored.organization.id.as_str();
    let now = app.clock.now();
    let open = open_cycle(tx, id).await?;
    let Some(stands) = projection::through(tx, vec![open], now).await?.remove(id) else {
        return Err(no_organization(id));
    };
    let Stands { cycle: open, mut grants } = stands;
    crate::domain::burn::sort(&mut grants);
    let posted = Credits::total(grants.iter().map(|open| open.remaining))?;
    let unbilled = usage::unbilled(tx, id, open.open.cycle).await?;
    let deficit = open.deficit_brought;
    let available = posted.minus(unbilled)?.minus(deficit)?;
    let facts = Facts {
        by_hand: stored.state == State::Paused,
        unpaid: stored.unpaid,
        bills_overage: open.open.terms.overage_price.is_some(),
        available,
    };
    Ok(Balance {
        organization: id.to_owned(),
        as_of: now,
        reason: facts.paused(),
        available,
        posted,
        unbilled,
        deficit,
        grants,
    })
}

async fn open_cycle(tx: &mut Tx, id: &str) -> Result<cycles::Stored, ServiceError> {
    cycles::open_of(tx, &[id.to_owned()]).await?.into_iter().next().ok_or_else(|| no_open_cycle(id))
}

fn no_open_cycle(id: &str) -> ServiceError {
    ServiceError::Refused(format!("organization {id} has no open cycle"))
}

/// The credit statement of a cycle: final for a closed one, so far for the open one (S22, S26).
///
/// # Errors
/// There is no such organization or cycle.
pub async fn statement(app: &App, id: &str, cycle: Cycle) -> Result<CreditStatement, ServiceError> {
    let mut tx = app.db.read().await?;
    organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let Some(stored) = cycles::get(&mut tx, id, cycle).await? else {
        let open = open_cycle(&mut tx, id).await?;
        return Err(ServiceError::NotFound(format!(
            "organization {id} has no cycle {cycle}; its open cycle is {}",
            open.open.cycle
        )));
    };
    if let Some(statement) = stored.statement {
        return Ok(statement);
    }
    let input = projection::input(&mut tx, stored).await?;
    Ok(close::preview_statement(&input)?)
}

/// What the use so far leaves of each grant in the open cycle, nothing lapsed yet.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn left_of_grants(tx: &mut Tx, stored: &Stored) -> Result<Vec<OpenGrant>, ServiceError> {
    let open = open_cycle(tx, &stored.organization.id).await?;
    let input = projection::input(tx, open).await?;
    let statement = close::preview_statement(&input)?;
    let closing: HashMap<&str, Credits> =
        statement.grants.iter().map(|line| (line.id.as_str(), line.closing)).collect();
    Ok(input
        .grants
        .iter()
        .filter_map(|open| {
            let remaining = *closing.get(open.grant.id.as_str())?;
            Some(OpenGrant { remaining, grant: open.grant.clone() })
        })
        .filter(|open| open.remaining.is_positive())
        .collect())
}

/// What the invoice of the open cycle would leave to pay if it were closed now; none: no invoice.
///
/// # Errors
/// The database fails, or the cycle cannot be closed.
pub async fn expected_due(
    tx: &mut Tx,
    stored: &Stored,
) -> Result<Option<crate::domain::money::Money>, ServiceError> {
    let open = open_cycle(tx, &stored.organization.id).await?;
    let input = projection::input(tx, open).await?;
    Ok(close::close(&input)?.invoice.map(|draft| draft.amount_due))
}

/// The cycle a grant or purchase of now belongs to: the calendar's, but never a closed one.
pub async fn current_cycle(
    tx: &mut Tx,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Cycle, ServiceError> {
    let open = open_cycle(tx, &stored.organization.id).await?;
    Ok(open.open.cycle.max(Cycle::of_instant(now, stored.organization.zone)))
}

/// The [`current_cycle`] of each of some organizations, by their ids.
pub async fn current_cycles(
    tx: &mut Tx,
    organizations: impl Iterator<Item = &Stored> + Clone,
    now: DateTime<Utc>,
) -> Result<HashMap<String, Cycle>, ServiceError> {
    let names: Vec<String> =
        organizations.clone().map(|stored| stored.organization.id.clone()).collect();
    let open: HashMap<String, Cycle> = cycles::open_of(tx, &names)
        .await?
        .into_iter()
        .map(|stored| (stored.organization, stored.open.cycle))
        .collect();
    organizations
        .map(|stored| {
            let id = &stored.organization.id;
            let open = open.get(id).ok_or_else(|| no_open_cycle(id))?;
            Ok((id.clone(), (*open).max(Cycle::of_instant(now, stored.organization.zone))))
        })
        .collect()
}

/// Grants credits by hand: a gift, or a correction that never edits what is posted.
///
/// # Errors
/// There is no such organization, or the amount is not above zero.
pub async fn grant(
    app: &App,
    id: &str,
    credits: Credits,
    source: Source,
    reason: &str,
) -> Result<String, ServiceError> {
    if !credits.is_positive() {
        return Err(ServiceError::Refused(format!(
            "{credits} credits cannot be granted; give more than 0"
        )));
    }
    if !matches!(source, Source::Promotional | Source::Adjustment) {
        return Err(ServiceError::Refused(format!(
            "{source} grants are made by the product; give promotional or adjustment"
        )));
    }
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let cycle = current_cycle(&mut tx, &stored, now).await?;
    let history = History::load(&mut tx).await?;
    let catalog = &history.in_force(now).catalog;
    let term = match source {
        Source::Adjustment => catalog.adjustment_term,
        _ => catalog.promotional_term,
    };
    let earlier = grants::all(&mut tx, id).await?;
    refuse_beyond_range(id, &earlier, credits)?;
    let ordinal = earlier.len().to_string();
    let grant = make_grant(&stored, source, cycle, credits, term, now, &ordinal);
    add_grant(app, &mut tx, id, &grant, Some(reason), now).await?;
    let command = format!("credits grant {id} {credits} --source {source}: {}", grant.id);
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(grant.id)
}

/// All credits an organization was ever granted must fit together, with room for years of allowances: a
/// balance that cannot be added up could be neither shown nor closed (F52).
pub(crate) fn refuse_beyond_range(
    id: &str,
    earlier: &[OpenGrant],
    credits: Credits,
) -> Result<(), ServiceError> {
    const MOST: Credits = Credits::from_nano(4_000_000_000 * NANO);
    let granted = Credits::total(earlier.iter().map(|open| open.grant.granted))?.plus(credits);
    if granted.is_ok_and(|granted| granted <= MOST) {
        return Ok(());
    }
    Err(ServiceError::Refused(format!(
        "{credits} credits are too many: organization {id} would have been granted more than {MOST}"
    )))
}

/// A grant of now, with its terms frozen.
#[must_use]
pub fn make_grant(
    stored: &Stored,
    source: Source,
    cycle: Cycle,
    credits: Credits,
    term: crate::domain::plan::Term,
    now: DateTime<Utc>,
    distinction: &str,
) -> Grant {
    let last_cycle = term.last_cycle(cycle);
    Grant {
        id: ids::derived(
            "grt",
            now,
            &[&stored.organization.id, source.as_str(), &cycle.to_string(), distinction],
        ),
        source,
        cycle,
        granted: credits,
        granted_at: now,
        last_cycle,
        expires_at: last_cycle.map(|last| last.bounds(stored.organization.zone).ends_at),
    }
}

/// Stores and posts a grant; an organization that was paused for want of credits goes on (S49).
pub async fn add_grant(
    app: &App,
    tx: &mut Tx,
    id: &str,
    grant: &Grant,
    reason: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    grants::add(tx, &[(id.to_owned(), grant.clone())], reason).await?;
    ledger::post_for(tx, id, vec![close::grant_posting(grant)?], now).await?;
    admission::update(app, tx, Who::Range(id, id), Ended::SeeThrough, now).await?;
    Ok(())
}
