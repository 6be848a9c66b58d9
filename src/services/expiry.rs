//! Notices of credits that are about to lapse (D1, D2), in the caller's transaction.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};

use super::ServiceError;
use super::alerts::recipients;
use super::notices::{self, Telling};
use super::standings::Standing;
use crate::config::alerts::ExpiryNotices;
use crate::domain::credits::Credits;
use crate::domain::forecast;
use crate::domain::grant::{Grant, Source};
use crate::domain::rounding;
use crate::mail::{Notice, notices::ExpiringGrant};
use crate::storage::alerts::{self, Expiry};
use crate::storage::mails::Mail;
use crate::storage::{Tx, contacts};

/// Days before a cycle's end from which on it is told what the plan's cap will take: earlier the pace says little.
const CAP_DAYS: i64 = 7;

/// What lapses of one grant at an instant.
struct Lapsing<'a> {
    grant: &'a Grant,
    /// All that does, unless it is used before; of what is over the cap, what does at the present pace.
    total: Credits,
    /// What will at the present pace.
    unused: Credits,
    /// Because it is more than the plan carries on, not because the grant ends.
    over_cap: bool,
}

/// Tells organizations of a range what lapses soon, at each mark once; gives the mails, which need steps. The
/// organizations are locked by the caller.
///
/// # Errors
/// The database fails, or a sum is out of range.
pub async fn tell(
    tx: &mut Tx,
    settings: &ExpiryNotices,
    range: (&str, &str),
    standings: &[Standing],
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let known = alerts::expiries(tx, range.0, range.1, now).await?;
    let mut due = Vec::new();
    for standing in standings {
        due.extend(due_of(settings, standing, &known, now)?);
    }
    if due.is_empty() {
        return Ok(Vec::new());
    }
    let by_role = contacts::by_role(tx, range.0, range.1).await?;
    let (mut rows, mut tellings) = (Vec::with_capacity(due.len()), Vec::new());
    for (standing, row, notice) in due {
        tellings.push(Telling {
            organization: row.organization.clone(),
            recipients: recipients(&standing.stored.organization, &settings.recipients, &by_role),
            key: format!("expiry-{}-{}", row.expires_at.timestamp(), row.mark),
            notice,
        });
        rows.push(row);
    }
    alerts::add_expiries(tx, &rows).await?;
    notices::tell_all(tx, tellings, now).await
}

/// What one organization is to be told now: all grants that lapse together in one notice.
fn due_of<'a>(
    settings: &ExpiryNotices,
    standing: &'a Standing,
    known: &HashSet<(String, DateTime<Utc>, i64)>,
    now: DateTime<Utc>,
) -> Result<Vec<(&'a Standing, Expiry, Notice)>, ServiceError> {
    let organization = &standing.stored.organization;
    let (id, zone) = (&organization.id, organization.zone);
    let ends_at = standing.cycle.bounds.ends_at;
    let ends_soon = forecast::days_until(ends_at, zone, now) <= CAP_DAYS;
    let mut groups: BTreeMap<DateTime<Utc>, Vec<Lapsing<'_>>> = BTreeMap::new();
    for outlook in &standing.forecast.grants {
        let grant = &outlook.open.grant;
        let expires_at =
            grant.expires_at.filter(|_| settings.monthly_allowance || !is_monthly(grant));
        if let Some(at) = expires_at {
            let (total, unused) = (outlook.left_for(at)?, outlook.lapses_at(at));
            if total.is_positive() {
                let lapsing = Lapsing { grant, total, unused, over_cap: false };
                groups.entry(at).or_default().push(lapsing);
            }
        }
        // What the plan's cap takes of one that goes on.
        let cut = outlook.lapses_at(ends_at);
        if ends_soon && cut.is_positive() && grant.expires_at != Some(ends_at) {
            let lapsing = Lapsing { grant, total: cut, unused: cut, over_cap: true };
            groups.entry(ends_at).or_default().push(lapsing);
        }
    }
    let mut due = Vec::new();
    for (expires_at, lapsing) in groups {
        let until = |since| forecast::days_until(expires_at, zone, since);
        let granted = lapsing.iter().map(|lapsing| until(lapsing.grant.granted_at)).max();
        let days = until(now);
        let Some(mark) = forecast::mark(&settings.days, days, granted.unwrap_or(days)) else {
            continue;
        };
        if known.contains(&(id.clone(), expires_at, i64::from(mark))) {
            continue;
        }
        let total = Credits::total(lapsing.iter().map(|lapsing| lapsing.total))?;
        let unused = Credits::total(lapsing.iter().map(|lapsing| lapsing.unused))?;
        let over_cap = lapsing.iter().filter(|lapsing| lapsing.over_cap);
        let over_cap = Credits::total(over_cap.map(|lapsing| lapsing.total))?;
        let value = |price| rounding::credits_at_price(total, price, organization.currency);
        let days = u16::try_from(days).unwrap_or(mark);
        let notice = Notice::Expiry {
            days,
            usable_until: forecast::last_day(expires_at, zone),
            total,
            value: standing.price.map(value).transpose()?,
            grants: lapsing.iter().map(expiring).collect(),
            unused,
            over_cap,
        };
        let row = Expiry {
            organization: id.clone(),
            expires_at,
            mark,
            days,
            total: total.nano(),
            unused: unused.nano(),
            recorded_at: now,
        };
        due.push((standing, row, notice));
    }
    Ok(due)
}

/// An allowance for its own month alone: that it ends with the month is no news.
fn is_monthly(grant: &Grant) -> bool {
    grant.source == Source::Allowance && grant.last_cycle == Some(grant.cycle)
}

fn expiring(lapsing: &Lapsing<'_>) -> ExpiringGrant {
    let Lapsing { grant, total, .. } = lapsing;
    ExpiringGrant {
        id: grant.id.clone(),
        source: grant.source,
        cycle: grant.cycle,
        remaining: *total,
    }
}
