//! Purchases of credits: asked for, paid, granted.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;
use rust_decimal::Decimal;

use super::db::{Record, execute, fetch_all, fetch_optional, in_range};
use super::{StorageError, Tx, by_organization, damaged, parsed};
use crate::domain::close::PaidPurchase;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::decimal;
use crate::domain::money::{Currency, Money};

/// A stored purchase.
#[derive(Debug, Clone)]
pub struct Purchase {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// The package, if it was one.
    pub package: Option<String>,
    /// The package's name on documents.
    pub package_name: Option<String>,
    /// How many credits.
    pub credits: Credits,
    /// Net price.
    pub net: Money,
    /// Tax on it.
    pub tax: Money,
    /// The rate of that tax, in percent.
    pub tax_percent: Decimal,
    /// `open`, `paid` or `declined`.
    pub state: String,
    /// The cycle it was paid in.
    pub cycle: Option<Cycle>,
    /// The grant it led to.
    pub grant: Option<String>,
    /// Was it bought by itself, because credits ran low?
    pub automatic: bool,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

impl Purchase {
    /// Net price and tax.
    pub fn gross(&self) -> Result<Money, StorageError> {
        self.net
            .plus(self.tax)
            .map_err(|error| StorageError::Refused(format!("purchase {}: {error}", self.id)))
    }

    /// A paid one as the close takes it.
    pub fn as_paid(&self) -> Result<PaidPurchase, StorageError> {
        Ok(PaidPurchase {
            id: self.id.clone(),
            package: self.package_name.clone(),
            credits: self.credits,
            net: self.net,
            tax_percent: self.tax_percent,
            gross: self.gross()?,
        })
    }
}

#[derive(Record!)]
struct Row {
    organization: String,
    id: String,
    package: Option<String>,
    package_name: Option<String>,
    credits: i64,
    currency: String,
    net: i64,
    tax: i64,
    tax_percent: String,
    state: String,
    cycle: Option<String>,
    grant_id: Option<String>,
    automatic: bool,
    created_at: DateTime<Utc>,
}

impl Row {
    fn into_domain(self) -> Result<Purchase, StorageError> {
        let currency: Currency = parsed("purchase", "currency", &self.id, &self.currency)?;
        let cycle = self
            .cycle
            .as_deref()
            .map(|text| parsed::<Cycle>("purchase", "cycle", &self.id, text))
            .transpose()?;
        let tax_percent = decimal::parse(&self.tax_percent)
            .map_err(|error| damaged("purchase", "tax_percent", &self.id, error))?;
        Ok(Purchase {
            organization: self.organization,
            id: self.id,
            package: self.package,
            package_name: self.package_name,
            credits: Credits::from_nano(self.credits),
            net: Money::from_minor(self.net, currency),
            tax: Money::from_minor(self.tax, currency),
            tax_percent,
            state: self.state,
            cycle,
            grant: self.grant_id,
            automatic: self.automatic,
            created_at: self.created_at,
        })
    }
}

/// Columns of a purchase.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, id, package, package_name, credits, currency, net, tax, tax_percent, state, cycle, grant_id, ",
            "automatic, created_at ",
            "FROM purchase ",
            $condition
        )
    };
}

/// Records what a customer wants to buy.
pub async fn add(tx: &mut Tx, purchase: &Purchase) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO purchase (organization, id, package, package_name, credits, currency, net, tax, tax_percent, state, \
         automatic, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 'open', $10, $11)",
        purchase.organization.clone(),
        purchase.id.clone(),
        purchase.package.clone(),
        purchase.package_name.clone(),
        purchase.credits.nano(),
        purchase.net.currency().to_string(),
        purchase.net.minor(),
        purchase.tax.minor(),
        decimal::text(purchase.tax_percent),
        purchase.automatic,
        purchase.created_at
    );
    Ok(())
}

/// One purchase.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<Purchase>, StorageError> {
    fetch_optional!(tx, Row, select!("WHERE organization = $1 AND id = $2"), organization, id)
        .map(Row::into_domain)
        .transpose()
}

/// The purchase of an id, whoever's it is.
pub async fn by_id(tx: &mut Tx, id: &str) -> Result<Option<Purchase>, StorageError> {
    fetch_optional!(tx, Row, select!("WHERE id = $1"), id).map(Row::into_domain).transpose()
}

/// All purchases of an organization, oldest first.
pub async fn all(tx: &mut Tx, organization: &str) -> Result<Vec<Purchase>, StorageError> {
    let mut purchases = in_range(tx, organization, organization).await?;
    Ok(purchases.remove(organization).unwrap_or_default())
}

/// All purchases of a range of organizations, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Purchase>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        select!("WHERE organization BETWEEN $1 AND $2 ORDER BY organization, id"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| {
        let purchase = row.into_domain()?;
        Ok((purchase.organization.clone(), purchase))
    }))
}

/// Marks a purchase paid: it led to a grant in a cycle. False: it was not open.
pub async fn mark_paid(
    tx: &mut Tx,
    purchase: &Purchase,
    cycle: Cycle,
    grant: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE purchase SET state = 'paid', cycle = $3, grant_id = $4, paid_at = $5 \
         WHERE organization = $1 AND id = $2 AND state = 'open'",
        purchase.organization.clone(),
        purchase.id.clone(),
        cycle.to_string(),
        grant.to_owned(),
        now
    );
    Ok(touched == 1)
}

/// Marks a purchase declined.
pub async fn mark_declined(tx: &mut Tx, purchase: &Purchase) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE purchase SET state = 'declined' WHERE organization = $1 AND id = $2 AND state = 'open'",
        purchase.organization.clone(),
        purchase.id.clone()
    );
    Ok(())
}

/// Purchases paid in a cycle of a range of organizations, as the close takes them.
pub async fn paid_in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<HashMap<String, Vec<PaidPurchase>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        concat!(
            select!("WHERE "),
            in_range!("organization"),
            " AND cycle = $3 AND state = 'paid' ORDER BY id"
        ),
        first,
        last,
        cycle.to_string()
    );
    by_organization(rows.into_iter().map(|row| {
        let purchase = row.into_domain()?;
        let paid = purchase.as_paid()?;
        Ok((purchase.organization, paid))
    }))
}
