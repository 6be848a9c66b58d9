//! Purchases of credits (S21, S35, S60): priced, recorded with their charge; granted when paid.

use super::catalogs::History;
use super::charging::{self, Intent};
use super::credits::{current_cycle, refuse_beyond_range};
use super::methods::Wallets;
use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::domain::dunning::NoMethod;
use crate::domain::ids;
use crate::domain::money::Money;
use crate::domain::rounding;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::organizations::Stored;
use crate::storage::purchases::{self, Purchase};
use crate::storage::{Tx, grants, ledger, organizations};

/// What is bought.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Any number of credits, at the price book's price.
    Credits(Credits),
    /// A package of the catalog.
    Package(String),
}

/// What a purchase began with.
#[derive(Debug)]
pub enum Begun {
    /// Recorded, with a charge that needs a step.
    Charge(Purchase, Box<Charge>),
    /// Recorded as declined without asking the provider: the saved method was declined for good, or
    /// too often lately.
    Declined(Purchase, NoMethod),
}

/// Records a purchase and the intent to charge it, in the caller's transaction. `automatic`: it buys
/// itself because credits ran low.
///
/// # Errors
/// No such organization or package, no price in its currency, or no stored payment method.
pub async fn begin(
    app: &App,
    tx: &mut Tx,
    id: &str,
    wanted: &Wanted,
    automatic: bool,
) -> Result<Begun, ServiceError> {
    let now = app.clock.now();
    ledger::lock(tx, id, id).await?;
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    if stored.organization.payment_method.is_none() {
        return Err(ServiceError::Refused(format!(
            "organization {id} has no stored payment method; import it with payment_method first"
        )));
    }
    if !app.gateway.collects() {
        return Err(ServiceError::Refused(
            "the payment gateway is manual: it cannot charge; use `credits grant` after the transfer arrived".to_owned(),
        ));
    }
    let purchase = Purchase { automatic, ..priced(app, tx, &stored, wanted).await? };
    refuse_beyond_range(id, &grants::all(tx, id).await?, purchase.credits)?;
    let gross = purchase.net.plus(purchase.tax)?;
    if !gross.is_positive() {
        return Err(ServiceError::Refused(format!(
            "{} credits come to {gross}; there is nothing to charge",
            purchase.credits
        )));
    }
    purchases::add(tx, &purchase).await?;
    let wallets = Wallets::read(app, tx, id, id).await?;
    let method = match wallets.choose(app, &stored.organization, &[]) {
        Ok(method) => method,
        Err(none) => {
            purchases::mark_declined(tx, &purchase).await?;
            return Ok(Begun::Declined(purchase, none));
        }
    };
    let intent = Intent {
        subject: Subject::Purchase,
        subject_id: &purchase.id,
        organization: id,
        reference: &purchase.id,
        amount: gross,
        payment_method: &method,
        attempt: 1,
    };
    let charge = charging::charge_of(app, &intent, now);
    charges::intend(tx, std::slice::from_ref(&charge), now).await?;
    Ok(Begun::Charge(purchase, Box::new(charge)))
}

async fn priced(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    wanted: &Wanted,
) -> Result<Purchase, ServiceError> {
    let now = app.clock.now();
    let organization = &stored.organization;
    let history = History::load(tx).await?;
    let catalog = &history.in_force(now).catalog;
    let price =
        |error: crate::domain::catalog::PriceError| ServiceError::Refused(error.to_string());
    let (package, name, credits, net) = match wanted {
        Wanted::Package(id) => {
            let (package, net) = catalog.package(id, organization.currency).map_err(price)?;
            (Some(package.id.clone()), Some(package.name.clone()), package.credits, net)
        }
        Wanted::Credits(credits) if credits.is_positive() => {
            let net = catalog.price_of(*credits, organization.currency).map_err(price)?;
            (None, None, *credits, net)
        }
        Wanted::Credits(credits) => {
            return Err(ServiceError::Refused(format!(
                "{credits} credits cannot be bought; give more than 0"
            )));
        }
    };
    let earlier = purchases::all(tx, &organization.id).await?;
    let cycle = current_cycle(tx, stored, now).await?;
    let tax = cumulative_tax(&earlier, cycle, net, organization.tax_percent)?;
    let ordinal = earlier.len().to_string();
    Ok(Purchase {
        organization: organization.id.clone(),
        id: ids::derived("pur", now, &[&organization.id, &ordinal]),
        package,
        package_name: name,
        credits,
        net,
        tax,
        tax_percent: organization.tax_percent,
        state: "open".to_owned(),
        cycle: None,
        grant: None,
        automatic: false,
        created_at: now,
    })
}

/// What a purchase would come to now, tax included.
///
/// # Errors
/// No such package, or no price in the organization's currency.
pub async fn price_of(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    wanted: &Wanted,
) -> Result<Money, ServiceError> {
    let purchase = priced(app, tx, stored, wanted).await?;
    Ok(purchase.gross()?)
}

/// Tax of one more purchase in a cycle, so that the taxes of all together are the tax on their sum: the
/// monthly invoice, taxed on its sum, then never falls a cent short of what was paid.
fn cumulative_tax(
    earlier: &[Purchase],
    cycle: crate::domain::cycle::Cycle,
    net: Money,
    percent: rust_decimal::Decimal,
) -> Result<Money, ServiceError> {
    let paid = || {
        earlier.iter().filter(|bought| bought.cycle == Some(cycle) && bought.tax_percent == percent)
    };
    let nets = Money::total(net.currency(), paid().map(|purchase| purchase.net))?;
    let taxes = Money::total(net.currency(), paid().map(|purchase| purchase.tax))?;
    let tax = rounding::tax(nets.plus(net)?, percent)?.minus(taxes)?;
    Ok(if tax.minor() < 0 { Money::zero(net.currency()) } else { tax })
}

/// A purchase as it stands.
///
/// # Errors
/// There is none.
pub async fn get(app: &App, organization: &str, id: &str) -> Result<Purchase, ServiceError> {
    let mut tx = app.db.read().await?;
    purchases::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| ServiceError::NotFound(format!("there is no purchase {id}")))
}

/// The state of a purchase for people and programs: `paid`, `declined`, or where its charge stands.
///
/// # Errors
/// The database fails.
pub async fn status(app: &App, purchase: &Purchase) -> Result<String, ServiceError> {
    if purchase.state != "open" {
        return Ok(purchase.state.clone());
    }
    let mut tx = app.db.read().await?;
    let attempts = charges::of_subject(&mut tx, &purchase.organization, &purchase.id).await?;
    Ok(attempts.last().map_or("open", |charge| charge.state.as_str()).to_owned())
}
