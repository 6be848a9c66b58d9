//! Rows as `verify` compares them with each other.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all};
use super::{StorageError, Tx, by_organization, from_json};
use crate::domain::invoice::{InvoiceDraft, InvoiceHeader};

/// An invoice's frozen texts, and what its row says of them beside.
#[derive(Debug, Clone, Record!)]
pub struct Filed {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Its cycle, as text.
    pub cycle: String,
    /// Where it stands.
    pub status: String,
    /// Where its payment stands.
    pub payment_status: String,
    /// ISO 4217.
    pub currency: String,
    /// Its series of numbers.
    pub series: String,
    /// Its place in the series.
    pub series_number: i64,
    /// The number customers see, once issued.
    pub number: Option<String>,
    /// Its date, once issued.
    pub issued_on: Option<NaiveDate>,
    /// Header text, once issued.
    pub header: Option<String>,
    /// Draft text.
    pub draft: String,
    /// Hash over both texts, once issued.
    pub content_hash: Option<String>,
}

impl Filed {
    /// The header, once issued.
    pub fn header(&self) -> Result<Option<InvoiceHeader>, StorageError> {
        let read = |text| from_json("invoice", "header", &self.id, text);
        self.header.as_deref().map(read).transpose()
    }

    /// The draft.
    pub fn draft(&self) -> Result<InvoiceDraft, StorageError> {
        from_json("invoice", "draft", &self.id, &self.draft)
    }
}

/// Invoices of a range of organizations, issued or not, oldest cycle first.
pub async fn filed(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Filed>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Filed,
        "SELECT organization, id, cycle, status, payment_status, currency, COALESCE(series, '') AS series, \
         COALESCE(series_number, 0) AS series_number, number, issued_on, header, draft, content_hash \
         FROM invoice WHERE organization BETWEEN $1 AND $2 ORDER BY organization, cycle",
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// Why each grant of a range of organizations was made, where a person said so.
pub async fn reasons(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<(String, Option<String>)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, Option<String>),
        "SELECT organization, id, reason FROM credit_grant WHERE organization BETWEEN $1 AND $2",
        first,
        last
    );
    by_organization(rows.into_iter().map(|(organization, id, why)| Ok((organization, (id, why)))))
}

/// When each closed cycle of a range of organizations was closed.
pub async fn closed_at(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<(String, DateTime<Utc>)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, DateTime<Utc>),
        "SELECT organization, cycle, closed_at FROM billing_cycle \
         WHERE organization BETWEEN $1 AND $2 AND closed_at IS NOT NULL",
        first,
        last
    );
    by_organization(
        rows.into_iter().map(|(organization, cycle, at)| Ok((organization, (cycle, at)))),
    )
}

/// A catalog version as stored.
#[derive(Debug, Clone, Record!)]
pub struct Version {
    /// Its number.
    pub version: i64,
    /// From when on.
    pub effective_at: DateTime<Utc>,
    /// Its text.
    pub content: String,
    /// Hash of the text.
    pub content_hash: String,
    /// When it was applied.
    pub recorded_at: DateTime<Utc>,
}

/// All catalog versions.
pub async fn versions(tx: &mut Tx) -> Result<Vec<Version>, StorageError> {
    Ok(fetch_all!(
        tx,
        Version,
        "SELECT version, effective_at, content, content_hash, recorded_at FROM catalog_version ORDER BY version"
    ))
}

/// What SQLite finds in its own file: pages, and indexes that say other than their rows. A statement that is
/// answered by an index alone would never see it. Empty on PostgreSQL, which keeps checksums of its own.
pub async fn unsound(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    if matches!(tx, Tx::Postgres(_)) {
        return Ok(Vec::new());
    }
    let rows = fetch_all!(tx, (String,), "PRAGMA integrity_check");
    Ok(rows.into_iter().map(|(found,)| found).filter(|found| found != "ok").collect())
}

/// Rows without the row they belong to, or with another instant or amount than it: none, ever.
pub async fn disagreeing(tx: &mut Tx) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT p.organization, 'payment ' || p.id || ': the ledger knows no such payment, or of another instant' \
         FROM payment p LEFT JOIN ledger_transaction t ON t.organization = p.organization \
         AND t.key = 'payment:' || p.id AND t.kind = 'payment' AND t.recorded_at = p.recorded_at \
         LEFT JOIN invoice i ON i.organization = p.organization AND i.id = p.invoice_id \
         WHERE t.seq IS NULL OR i.id IS NULL \
         UNION ALL SELECT r.organization, 'payment ' || r.payment_id || ': taken back, but there is no such payment' \
         FROM payment_reversal r LEFT JOIN payment p ON p.organization = r.organization AND p.id = r.payment_id \
         WHERE p.id IS NULL \
         UNION ALL SELECT p.organization, 'purchase ' || p.id || ': its grant, charge or ledger transaction differs' \
         FROM purchase p LEFT JOIN ledger_transaction t ON t.organization = p.organization \
         AND t.key = 'purchase:' || p.id AND t.recorded_at = p.paid_at AND t.cycle = p.cycle \
         LEFT JOIN credit_grant g ON g.organization = p.organization AND g.id = p.grant_id \
         AND g.granted = p.credits AND g.source = 'purchase' AND g.cycle = p.cycle \
         LEFT JOIN charge c ON c.organization = p.organization AND c.subject_id = p.id AND c.state = 'succeeded' \
         AND c.amount = p.net + p.tax AND c.currency = p.currency \
         WHERE p.state = 'paid' AND (t.seq IS NULL OR g.id IS NULL OR (c.id IS NULL AND p.net + p.tax > 0)) \
         UNION ALL SELECT e.organization, 'ledger entry ' || CAST(e.seq AS TEXT) || '/' || CAST(e.line AS TEXT) || \
         ': its transaction is missing, or a line before it' FROM ledger_entry e \
         LEFT JOIN ledger_transaction t ON t.organization = e.organization AND t.seq = e.seq \
         LEFT JOIN ledger_entry b ON b.organization = e.organization AND b.seq = e.seq AND b.line = e.line - 1 \
         WHERE t.seq IS NULL OR e.line < 1 OR (e.line > 1 AND b.line IS NULL) \
         UNION ALL SELECT t.organization, 'ledger transaction ' || CAST(t.seq AS TEXT) || ': no such organization' \
         FROM ledger_transaction t LEFT JOIN organization o ON o.id = t.organization WHERE o.id IS NULL \
         UNION ALL SELECT b.organization, 'balance of ' || b.grant_id || ': there is no such grant' \
         FROM credit_balance b LEFT JOIN credit_grant g ON g.organization = b.organization AND g.id = b.grant_id \
         WHERE g.id IS NULL \
         UNION ALL SELECT a.organization, 'file ' || a.path || ': there is no such document, or only half of it' \
         FROM artifact a LEFT JOIN invoice i ON i.organization = a.organization AND i.id = a.invoice_id \
         LEFT JOIN document d ON d.organization = a.organization AND d.id = a.invoice_id \
         LEFT JOIN artifact b ON b.organization = a.organization AND b.invoice_id = a.invoice_id AND b.kind <> a.kind \
         WHERE (i.id IS NULL AND d.id IS NULL) OR b.kind IS NULL \
         UNION ALL SELECT d.organization, 'document ' || d.number || ': there is no such organization' \
         FROM document d LEFT JOIN organization o ON o.id = d.organization WHERE o.id IS NULL"
    ))
}
