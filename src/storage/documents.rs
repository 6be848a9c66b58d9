//! Receipts and credit notes: numbered and frozen in the transaction of the fact they state.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional};
use super::{StorageError, Tx, by_organization, from_json, parsed};
use crate::domain::cycle::Cycle;
use crate::domain::document::Document;
use crate::domain::money::{Currency, Money};

/// A stored document.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Row {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// `receipt` or `credit_note`.
    pub kind: String,
    /// `invoice` or `purchase`: what it is about.
    pub subject: String,
    /// Which one.
    pub subject_id: String,
    /// The cycle it belongs to.
    pub cycle: String,
    /// Its series of numbers.
    pub series: String,
    /// Its place in the series, from 1.
    pub series_number: i64,
    /// The number customers see.
    pub number: String,
    /// ISO 4217.
    pub currency: String,
    /// Net amount, minor units.
    pub subtotal: i64,
    /// Tax, minor units.
    pub tax: i64,
    /// `subtotal + tax`.
    pub total: i64,
    /// Its date.
    pub issued_on: NaiveDate,
    /// When it was really issued.
    pub issued_at: DateTime<Utc>,
    /// The document itself, as JSON.
    pub content: String,
    /// Hash over the content.
    pub content_hash: String,
}

impl Row {
    /// The document itself.
    pub fn document(&self) -> Result<Document, StorageError> {
        from_json("document", "content", &self.id, &self.content)
    }

    /// An amount in its currency.
    pub fn money(&self, minor: i64) -> Result<Money, StorageError> {
        let currency: Currency = parsed("document", "currency", &self.id, &self.currency)?;
        Ok(Money::from_minor(minor, currency))
    }
}

/// Columns of a document.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, id, kind, subject, subject_id, cycle, series, series_number, number, currency, ",
            "subtotal, tax, total, issued_on, issued_at, content, content_hash FROM document ",
            $condition
        )
    };
}

/// Records an issued document.
pub async fn add(tx: &mut Tx, row: &Row) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO document (organization, id, kind, subject, subject_id, cycle, series, series_number, number, \
         currency, subtotal, tax, total, issued_on, issued_at, content, content_hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        row.organization.clone(),
        row.id.clone(),
        row.kind.clone(),
        row.subject.clone(),
        row.subject_id.clone(),
        row.cycle.clone(),
        row.series.clone(),
        row.series_number,
        row.number.clone(),
        row.currency.clone(),
        row.subtotal,
        row.tax,
        row.total,
        row.issued_on,
        row.issued_at,
        row.content.clone(),
        row.content_hash.clone()
    );
    Ok(())
}

/// One document.
pub async fn get(tx: &mut Tx, organization: &str, id: &str) -> Result<Option<Row>, StorageError> {
    Ok(fetch_optional!(tx, Row, select!("WHERE organization = $1 AND id = $2"), organization, id))
}

/// The document of a number.
pub async fn by_number(tx: &mut Tx, number: &str) -> Result<Option<Row>, StorageError> {
    Ok(fetch_optional!(tx, Row, select!("WHERE number = $1"), number))
}

/// The documents about one invoice or purchase, oldest first.
pub async fn of_subject(
    tx: &mut Tx,
    organization: &str,
    subject_id: &str,
) -> Result<Vec<Row>, StorageError> {
    Ok(fetch_all!(
        tx,
        Row,
        select!("WHERE organization = $1 AND subject_id = $2 ORDER BY issued_at, id"),
        organization,
        subject_id
    ))
}

/// All documents of an organization, oldest first.
pub async fn of_organization(tx: &mut Tx, organization: &str) -> Result<Vec<Row>, StorageError> {
    let mut documents = in_range(tx, organization, organization).await?;
    Ok(documents.remove(organization).unwrap_or_default())
}

/// All documents of a range of organizations, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Row>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        select!("WHERE organization BETWEEN $1 AND $2 ORDER BY organization, issued_at, id"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// Organization and id of the documents of a cycle of a range of organizations.
pub async fn of_cycle(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT organization, id FROM document WHERE organization BETWEEN $1 AND $2 AND cycle = $3 \
         ORDER BY organization, id",
        first,
        last,
        cycle.to_string()
    ))
}

/// All documents, by series and place.
pub async fn all(tx: &mut Tx) -> Result<Vec<Row>, StorageError> {
    Ok(fetch_all!(tx, Row, select!("ORDER BY series, series_number")))
}

/// When the latest document of a series was issued.
pub async fn last_issued_at(
    tx: &mut Tx,
    series: &str,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let row = fetch_optional!(
        tx,
        (DateTime<Utc>,),
        "SELECT issued_at FROM document WHERE series = $1 ORDER BY series_number DESC LIMIT 1",
        series
    );
    Ok(row.map(|(at,)| at))
}
