//! Automatic purchases (S35): below a threshold a package is bought, within a monthly limit, with a cool-off
//! between two, and not at all after failures in a row.

use chrono::{Datelike, Duration};

use super::catalogs::History;
use super::consequences::Consequences;
use super::purchases::{self, Begun, Wanted};
use super::{ServiceError, credits, no_organization, notices};
use crate::app::App;
use crate::domain::admission::Reason;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::dunning::NoMethod;
use crate::domain::money::Money;
use crate::domain::organization::Organization;
use crate::mail::Notice;
use crate::storage::purchases::{self as bought, Purchase};
use crate::storage::recharges::{self, Recharge};
use crate::storage::{Tx, audit, ledger, organizations};

/// Failures in a row after which nothing is bought by itself any more (complaint 33).
pub const MOST_FAILURES: i64 = 3;

/// What finance or the customer asked for.
#[derive(Debug, Clone)]
pub struct Settings<'a> {
    /// Below so many available credits one is bought.
    pub threshold: Credits,
    /// The package.
    pub package: &'a str,
    /// Most money a calendar month, tax included, like `500.00`.
    pub monthly_limit: &'a str,
    /// Minutes between two.
    pub cool_off_minutes: u32,
}

/// Turns automatic purchases on, or on again with other limits.
///
/// # Errors
/// No such organization or package, no payment method, a limit below the package's price, or a manual gateway.
pub async fn set(
    app: &App,
    id: &str,
    settings: &Settings<'_>,
    reason: &str,
) -> Result<Listed, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    if !app.gateway.collects() {
        return Err(ServiceError::Refused(
            "the payment gateway is manual: nothing can be bought by itself".to_owned(),
        ));
    }
    if stored.organization.payment_method.is_none() {
        return Err(ServiceError::Refused(format!(
            "organization {id} has no stored payment method: nothing can be bought by itself; `method add` one first"
        )));
    }
    let currency = stored.organization.currency;
    let limit = Money::parse(settings.monthly_limit, currency)?;
    let wanted = Wanted::Package(settings.package.to_owned());
    let price = purchases::price_of(app, &mut tx, &stored, &wanted).await?;
    if limit.minor() < price.minor() {
        return Err(ServiceError::Refused(format!(
            "the monthly limit {limit} is less than one package, which costs {price} with tax"
        )));
    }
    let recharge = Recharge {
        organization: id.to_owned(),
        threshold: settings.threshold.nano(),
        package: settings.package.to_owned(),
        monthly_limit: limit.minor(),
        cool_off_minutes: i64::from(settings.cool_off_minutes),
        state: "on".to_owned(),
        failures: 0,
        last_at: None,
    };
    recharges::set(&mut tx, &recharge, now).await?;
    let command = format!(
        "recharge set {id} below {} buy {}, at most {limit} a month",
        settings.threshold, settings.package
    );
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    let listed = listed(&mut tx, recharge, now).await?;
    tx.commit().await?;
    Ok(listed)
}

/// Turns automatic purchases off.
///
/// # Errors
/// The organization has none.
pub async fn off(app: &App, id: &str, reason: &str) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    let Some(recharge) = recharges::get(&mut tx, id).await? else {
        return Err(ServiceError::NotFound(format!(
            "organization {id} has no automatic purchases"
        )));
    };
    recharges::set(&mut tx, &Recharge { state: "off".to_owned(), ..recharge }, now).await?;
    audit::append(&mut tx, now, &app.actor, &format!("recharge off {id}"), reason).await?;
    tx.commit().await?;
    Ok(())
}

/// Automatic purchases of an organization, and how far they are from their limit.
#[derive(Debug)]
pub struct Listed {
    /// What it buys.
    pub recharge: Recharge,
    /// Most money a calendar month, tax included.
    pub limit: Money,
    /// What they came to in this one.
    pub spent: Money,
}

/// All organizations with automatic purchases.
///
/// # Errors
/// The database fails.
pub async fn list(app: &App) -> Result<Vec<Listed>, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.read().await?;
    let mut all = Vec::new();
    for recharge in recharges::all(&mut tx).await? {
        all.push(listed(&mut tx, recharge, now).await?);
    }
    Ok(all)
}

async fn listed(
    tx: &mut Tx,
    recharge: Recharge,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Listed, ServiceError> {
    let id = recharge.organization.as_str();
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let limit = Money::from_minor(recharge.monthly_limit, stored.organization.currency);
    let spent = spent_this_month(&stored.organization, &bought::all(tx, id).await?, now)?;
    Ok(Listed { recharge, limit, spent })
}

/// Buys for one organization if it wants it now. Gives what follows; empty: nothing was bought.
///
/// # Errors
/// The database fails, or its package has gone.
pub async fn buy_if_low(
    app: &App,
    tx: &mut Tx,
    recharge: &Recharge,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = recharge.organization.as_str();
    ledger::lock(tx, id, id).await?;
    let Some(recharge) = recharges::get(tx, id).await?.filter(|found| found.state == "on") else {
        return Ok(Consequences::default());
    };
    let cooling = Duration::minutes(recharge.cool_off_minutes);
    if recharge.last_at.is_some_and(|last| now - last < cooling) {
        return Ok(Consequences::default());
    }
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let balance = credits::balance_of(app, tx, &stored).await?;
    let earlier = bought::all(tx, id).await?;
    // What it could not use is not sold to it; that it has run out is why it buys.
    if matches!(balance.reason, Some(Reason::ByHand | Reason::Unpaid)) {
        return Ok(Consequences::default());
    }
    // Credits that are being paid for count as there: an unclear charge must not buy twice.
    let underway = earlier.iter().any(|purchase| purchase.state == "open");
    if underway || balance.available.nano() >= recharge.threshold {
        return Ok(Consequences::default());
    }
    let wanted = Wanted::Package(recharge.package.clone());
    let price = purchases::price_of(app, tx, &stored, &wanted).await?;
    let spent = spent_this_month(&stored.organization, &earlier, now)?;
    if spent.plus(price)?.minor() > recharge.monthly_limit {
        tracing::info!(organization = id, "the monthly limit of automatic purchases is reached");
        return Ok(Consequences::default());
    }
    recharges::begun(tx, id, now).await?;
    // It was there when they were turned on.
    if stored.organization.payment_method.is_none() {
        return failed(app, tx, &stored.organization, NoMethod::Missing.reason()).await;
    }
    match purchases::begin(app, tx, id, &wanted, true).await? {
        Begun::Charge(_, charge) => Ok(Consequences {
            charges: vec![(id.to_owned(), charge.id)],
            ..Consequences::default()
        }),
        // Ours to look at first: the customer's card is not to blame.
        Begun::Declined(_, NoMethod::Held) => Ok(Consequences::default()),
        Begun::Declined(_, none) => failed(app, tx, &stored.organization, none.reason()).await,
    }
}

/// What automatic purchases of the calendar month came to, tax included; those under way count.
fn spent_this_month(
    organization: &Organization,
    earlier: &[Purchase],
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Money, ServiceError> {
    let month = Cycle::of_date(
        now.with_timezone(&organization.zone).date_naive().with_day(1).unwrap_or_default(),
    );
    let mut spent = Money::zero(organization.currency);
    for purchase in
        earlier.iter().filter(|purchase| purchase.automatic && purchase.state != "declined")
    {
        if Cycle::of_instant(purchase.created_at, organization.zone) == month {
            spent = spent.plus(purchase.gross()?)?;
        }
    }
    Ok(spent)
}

/// An automatic purchase went well: failures are forgotten.
///
/// # Errors
/// The database fails.
pub async fn succeeded(tx: &mut Tx, id: &str) -> Result<(), ServiceError> {
    Ok(recharges::ended(tx, id, 0, "on").await?)
}

/// An automatic purchase was declined: after some in a row they stop, and the customer is told.
///
/// # Errors
/// The database fails.
pub async fn failed(
    app: &App,
    tx: &mut Tx,
    organization: &Organization,
    why: &str,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = organization.id.as_str();
    let Some(recharge) = recharges::get(tx, id).await? else { return Ok(Consequences::default()) };
    let failures = recharge.failures + 1;
    if failures < MOST_FAILURES || recharge.state != "on" {
        recharges::ended(tx, id, failures, "on").await?;
        return Ok(Consequences::default());
    }
    recharges::ended(tx, id, failures, "stopped").await?;
    let history = History::load(tx).await?;
    let package = history.in_force(now).catalog.package(&recharge.package, organization.currency);
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let notice = Notice::RechargeStopped {
        credits: package.map_or(Credits::ZERO, |(package, _)| package.credits),
        reason: sentence(why),
        stopped_on: now.with_timezone(&organization.zone).date_naive(),
        available: credits::balance_of(app, tx, &stored).await?.available,
        link: super::pay_pages::method_link(app, tx, id).await?,
    };
    // Told once each time they stop: turning them on again begins a new count.
    let key = format!("recharge-stopped-{}", now.timestamp_micros());
    let mails =
        notices::tell(tx, organization, &organization.billing_emails, &key, notice, now).await?;
    Ok(Consequences::mails(mails))
}

/// A reason as a sentence of its own.
fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let Some(first) = letters.next() else { return String::new() };
    let mut whole: String = first.to_uppercase().chain(letters).collect();
    if !whole.ends_with(['.', '!', '?']) {
        whole.push('.');
    }
    whole
}
