//! Organizations and their effective-dated terms.

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_named, fetch_one, fetch_optional, insert};
use super::{StorageError, Tx, damaged, parsed};
use crate::domain::credits::Credits;
use crate::domain::decimal;
use crate::domain::money::{Currency, Money};
use crate::domain::organization::{Contract, Organization};
use crate::domain::plan::{RolloverCap, Term};

/// Did finance set an organization aside by hand? Whether it may work is derived: `domain::admission`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No.
    Active,
    /// Yes.
    Paused,
}

impl State {
    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }
}

/// An organization as stored.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The domain value, with the terms in force now.
    pub organization: Organization,
    /// Active, or paused by hand.
    pub state: State,
    /// Paused for an invoice that was given up.
    pub unpaid: bool,
    /// Since when its plan and contract hold.
    pub terms_since: DateTime<Utc>,
    /// When it was first imported.
    pub created_at: DateTime<Utc>,
}

#[derive(Record!)]
struct Row {
    id: String,
    name: String,
    billing_emails: String,
    joined_on: NaiveDate,
    zone: String,
    currency: String,
    country: Option<String>,
    address: Option<String>,
    tax_id: Option<String>,
    tax_percent: String,
    language: String,
    payment_method: Option<String>,
    state: String,
    unpaid: bool,
    terms_since: DateTime<Utc>,
    created_at: DateTime<Utc>,
    plan: String,
    allowance: Option<i64>,
    rollover_cycles: Option<String>,
    rollover_cap: Option<String>,
    fee: Option<i64>,
    overage_price: Option<String>,
}

impl Row {
    fn into_domain(self) -> Result<Stored, StorageError> {
        let id = self.id.clone();
        let bad = |column, problem: String| damaged("organization", column, &id, problem);
        let currency: Currency = parsed("organization", "currency", &id, &self.currency)?;
        let contract = Contract {
            allowance: self.allowance.map(Credits::from_nano),
            rollover: self
                .rollover_cycles
                .as_deref()
                .map(|text| term_from(text).ok_or_else(|| bad("rollover_cycles", text.to_owned())))
                .transpose()?,
            rollover_cap: self
                .rollover_cap
                .as_deref()
                .map(|text| cap_from(text).ok_or_else(|| bad("rollover_cap", text.to_owned())))
                .transpose()?,
            fee: self.fee.map(|minor| Money::from_minor(minor, currency)),
            overage_price: self
                .overage_price
                .as_deref()
                .map(|text| {
                    decimal::parse(text).map_err(|error| bad("overage_price", error.to_string()))
                })
                .transpose()?,
        };
        Ok(Stored {
            state: match self.state.as_str() {
                "active" => State::Active,
                "paused" => State::Paused,
                other => return Err(bad("state", other.to_owned())),
            },
            unpaid: self.unpaid,
            terms_since: self.terms_since,
            created_at: self.created_at,
            organization: Organization {
                name: self.name,
                billing_emails: self.billing_emails.split(';').map(str::to_owned).collect(),
                plan: self.plan,
                joined_on: self.joined_on,
                zone: parsed("organization", "zone", &id, &self.zone)?,
                currency,
                country: self.country,
                address: self.address,
                tax_id: self.tax_id,
                tax_percent: decimal::parse(&self.tax_percent)
                    .map_err(|error| bad("tax_percent", error.to_string()))?,
                language: self.language,
                payment_method: self.payment_method,
                contract,
                id: self.id,
            },
        })
    }
}

fn term_from(text: &str) -> Option<Term> {
    if text == "never" { Some(Term::Never) } else { text.parse().ok().map(Term::Cycles) }
}

fn term_text(term: Term) -> String {
    match term {
        Term::Never => "never".to_owned(),
        Term::Cycles(cycles) => cycles.to_string(),
    }
}

fn cap_from(text: &str) -> Option<RolloverCap> {
    match text.strip_suffix('%') {
        Some(percent) => decimal::parse(percent).ok().map(RolloverCap::Percent),
        None => text.parse().ok().map(RolloverCap::Credits),
    }
}

fn cap_text(cap: RolloverCap) -> String {
    match cap {
        RolloverCap::Credits(credits) => credits.to_string(),
        RolloverCap::Percent(percent) => format!("{}%", decimal::text(percent)),
    }
}

/// Columns of an organization joined with its terms in force.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT o.id, o.name, o.billing_emails, o.joined_on, o.zone, o.currency, o.country, o.address, ",
            "o.tax_id, o.tax_percent, o.language, o.payment_method, o.state, o.unpaid, o.terms_since, ",
            "o.created_at, ",
            "t.plan, t.allowance, t.rollover_cycles, t.rollover_cap, t.fee, t.overage_price ",
            "FROM organization o JOIN organization_terms t ",
            "ON t.organization = o.id AND t.effective_at = o.terms_since ",
            $condition
        )
    };
}

/// One organization.
pub async fn get(tx: &mut Tx, id: &str) -> Result<Option<Stored>, StorageError> {
    fetch_optional!(tx, Row, select!("WHERE o.id = $1"), id).map(Row::into_domain).transpose()
}

/// A range of organizations, in order of their ids.
pub async fn range(tx: &mut Tx, first: &str, last: &str) -> Result<Vec<Stored>, StorageError> {
    fetch_all!(tx, Row, select!("WHERE o.id BETWEEN $1 AND $2 ORDER BY o.id"), first, last)
        .into_iter()
        .map(Row::into_domain)
        .collect()
}

/// All organizations, in order of their ids.
pub async fn all(tx: &mut Tx) -> Result<Vec<Stored>, StorageError> {
    fetch_all!(tx, Row, select!("ORDER BY o.id")).into_iter().map(Row::into_domain).collect()
}

/// Sets the method that is charged first; none: it pays by transfer.
pub async fn set_payment_method(
    tx: &mut Tx,
    id: &str,
    token: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE organization SET payment_method = $2, updated_at = $3 WHERE id = $1",
        id,
        token.map(str::to_owned),
        now
    );
    Ok(())
}

/// The named organizations, in no order.
pub async fn these(tx: &mut Tx, ids: &[String]) -> Result<Vec<Stored>, StorageError> {
    fetch_named!(tx, Row, select!("WHERE o.id"), "", ids)
        .into_iter()
        .map(Row::into_domain)
        .collect()
}

/// Ids of a range of organizations, in order.
pub async fn ids_between(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT id FROM organization WHERE id BETWEEN $1 AND $2 ORDER BY id",
        first,
        last
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The first so many ids after one, in order.
pub async fn ids_after(
    tx: &mut Tx,
    after: &str,
    at_most: i64,
) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT id FROM organization WHERE id > $1 ORDER BY id LIMIT $2",
        after,
        at_most
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// How many organizations there are.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let (count,) = fetch_one!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM organization");
    Ok(count)
}

/// Ids of all organizations, in order.
pub async fn ids(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(tx, (String,), "SELECT id FROM organization ORDER BY id");
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// The terms of an organization that were in force at an instant, or its first ones.
pub async fn at(
    tx: &mut Tx,
    stored: &Stored,
    at: DateTime<Utc>,
) -> Result<Organization, StorageError> {
    if stored.terms_since <= at {
        return Ok(stored.organization.clone());
    }
    let id = stored.organization.id.as_str();
    let row = fetch_optional!(
        tx,
        (DateTime<Utc>,),
        "SELECT COALESCE(MAX(CASE WHEN effective_at <= $2 THEN effective_at END), MIN(effective_at)) \
         FROM organization_terms WHERE organization = $1",
        id,
        at
    );
    let since = row.map_or(stored.terms_since, |(since,)| since);
    let row = fetch_optional!(
        tx,
        Row,
        "SELECT o.id, o.name, o.billing_emails, o.joined_on, o.zone, o.currency, o.country, o.address, \
         o.tax_id, o.tax_percent, o.language, o.payment_method, o.state, o.unpaid, o.terms_since, o.created_at, \
         t.plan, t.allowance, t.rollover_cycles, t.rollover_cap, t.fee, t.overage_price \
         FROM organization o JOIN organization_terms t ON t.organization = o.id \
         WHERE o.id = $1 AND t.effective_at = $2",
        id,
        since
    );
    match row {
        Some(row) => Ok(row.into_domain()?.organization),
        None => Err(damaged("organization_terms", "effective_at", id, "no terms in force")),
    }
}

/// Stores new organizations with their first terms.
pub async fn add(
    tx: &mut Tx,
    organizations: &[Organization],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO organization (id, name, billing_emails, joined_on, zone, currency, country, address, \
         tax_id, tax_percent, language, payment_method, state, terms_since, created_at, updated_at)",
        "",
        organizations,
        o => [
            &o.id,
            &o.name,
            o.billing_emails.join(";"),
            o.joined_on,
            o.zone.name(),
            o.currency.to_string(),
            &o.country,
            &o.address,
            &o.tax_id,
            decimal::text(o.tax_percent),
            &o.language,
            &o.payment_method,
            "active",
            now,
            now,
            now,
        ]
    );
    add_terms(tx, organizations, now).await
}

async fn add_terms(
    tx: &mut Tx,
    organizations: &[Organization],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO organization_terms (organization, effective_at, plan, allowance, rollover_cycles, \
         rollover_cap, fee, overage_price)",
        "",
        organizations,
        o => [
            &o.id,
            now,
            &o.plan,
            o.contract.allowance.map(Credits::nano),
            o.contract.rollover.map(term_text),
            o.contract.rollover_cap.map(cap_text),
            o.contract.fee.map(Money::minor),
            o.contract.overage_price.map(decimal::text),
        ]
    );
    Ok(())
}

/// Stores changes of an organization; changed plan or contract become new terms from now on.
pub async fn update(
    tx: &mut Tx,
    before: &Stored,
    after: &Organization,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let old = &before.organization;
    let new_terms = old.plan != after.plan || old.contract != after.contract;
    // Terms are history: a second change at the same instant comes a microsecond later.
    let since = now.max(before.terms_since + chrono::Duration::microseconds(1));
    if new_terms {
        add_terms(tx, std::slice::from_ref(after), since).await?;
    }
    execute!(
        tx,
        "UPDATE organization SET name = $2, billing_emails = $3, country = $4, address = $5, tax_id = $6, \
         tax_percent = $7, language = $8, payment_method = $9, terms_since = $10, updated_at = $11 \
         WHERE id = $1",
        after.id.clone(),
        after.name.clone(),
        after.billing_emails.join(";"),
        after.country.clone(),
        after.address.clone(),
        after.tax_id.clone(),
        decimal::text(after.tax_percent),
        after.language.clone(),
        after.payment_method.clone(),
        if new_terms { since } else { before.terms_since },
        now
    );
    Ok(())
}
