//! Drafts of invoices, and the numbers that make them final.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::{cycle_invoice_id, payment_status};
use crate::domain::invoice::{InvoiceDraft, InvoiceHeader, InvoiceStatus};
use crate::storage::db::{Record, Statement, fetch_all, fetch_keyed, insert, rows_per_statement};
use crate::storage::runs::Run;
use crate::storage::{Key, StorageError, Tx, from_json, to_json};

/// Stores drafts.
pub async fn add_drafts(tx: &mut Tx, drafts: &[InvoiceDraft]) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let json = to_json("invoice", "draft", &draft.organization, draft)?;
        rows.push((draft, cycle_invoice_id(&draft.organization, draft.cycle, draft.ends_at), json));
    }
    insert!(
        tx,
        "INSERT INTO invoice (organization, id, cycle, status, payment_status, currency, subtotal, tax, total, \
         prepaid, amount_due, draft)",
        "",
        rows,
        row => [
            &row.0.organization,
            &row.1,
            row.0.cycle.to_string(),
            InvoiceStatus::Draft.as_str(),
            payment_status::DUE,
            row.0.currency.to_string(),
            row.0.subtotal.minor(),
            row.0.tax.minor(),
            row.0.total.minor(),
            row.0.prepaid.minor(),
            row.0.amount_due.minor(),
            &row.2,
        ]
    );
    Ok(())
}

/// A draft as stored, to be issued.
#[derive(Debug, Clone, Record!)]
pub struct DraftRow {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// The draft's exact text, part of the content hash.
    pub draft: String,
}

impl DraftRow {
    /// The draft.
    pub fn draft(&self) -> Result<InvoiceDraft, StorageError> {
        from_json("invoice", "draft", &self.id, &self.draft)
    }
}

/// Drafts of a run of a range of organizations, in order of the organizations: those that may be numbered. While
/// a close of the run is at work, or its figures are to be looked at, none may; each draft lies before one of
/// the two, as both are made in the transaction that makes it.
pub async fn released_drafts(
    tx: &mut Tx,
    run: &Run,
    first: &str,
    last: &str,
) -> Result<Vec<DraftRow>, StorageError> {
    let released = fetch_all!(
        tx,
        Key,
        "SELECT organization, cycle FROM billing_cycle \
         WHERE organization BETWEEN $1 AND $2 AND cycle = $3 AND due_at = $4 \
         AND NOT EXISTS (SELECT 1 FROM step s WHERE s.run_id = $5 \
         AND s.state IN ('ready', 'leased', 'parked') \
         AND ((s.kind = 'close' AND s.state <> 'parked') OR s.kind = 'brake'))",
        first,
        last,
        run.cycle.clone(),
        run.due_at,
        run.id.clone()
    );
    // By their keys: joined to the range, PostgreSQL went through all invoices or through all of each organization,
    // as its statistics happened to be.
    let head = "SELECT organization, id, draft FROM invoice WHERE status = 'draft' AND (organization, cycle)";
    let mut drafts = fetch_keyed!(tx, DraftRow, head, released);
    drafts.sort_by(|a, b| a.organization.cmp(&b.organization));
    Ok(drafts)
}

/// An invoice to be issued.
#[derive(Debug)]
pub struct Issued {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Its series.
    pub series: String,
    /// Its place in the series.
    pub series_number: i64,
    /// What issuing adds.
    pub header: InvoiceHeader,
    /// The header's exact text.
    pub header_json: String,
    /// Hash over header and draft.
    pub content_hash: String,
    /// Nothing is left to pay.
    pub settled: bool,
    /// When it was issued: never before the number before it.
    pub issued_at: DateTime<Utc>,
}

/// Freezes drafts with number, header and hash.
///
/// # Errors
/// One of them is not a draft any more; nothing remains of the batch.
pub async fn issue(tx: &mut Tx, invoices: &[Issued]) -> Result<(), StorageError> {
    let mut touched = 0;
    for chunk in invoices.chunks(rows_per_statement(11)) {
        let mut statement = Statement::new(
            "WITH issued (organization, id, status, payment_status, series, series_number, number, \
             issued_on, issued_at, header, content_hash) AS (",
        );
        statement.values(chunk, |row, invoice| {
            let (status, payment_status) = if invoice.settled {
                ("settled", payment_status::NOT_REQUIRED)
            } else {
                ("issued", payment_status::DUE)
            };
            row.bind(invoice.organization.clone())
                .bind(invoice.id.clone())
                .bind(status)
                .bind(payment_status)
                .bind(invoice.series.clone())
                .bind(invoice.series_number)
                .bind(invoice.header.number.clone())
                .bind(invoice.header.issued_on)
                .bind(invoice.issued_at)
                .bind(invoice.header_json.clone())
                .bind(invoice.content_hash.clone());
        });
        statement.push(
            ") UPDATE invoice SET status = issued.status, payment_status = issued.payment_status, \
             series = issued.series, series_number = issued.series_number, number = issued.number, \
             issued_on = issued.issued_on, issued_at = issued.issued_at, header = issued.header, \
             content_hash = issued.content_hash FROM issued \
             WHERE invoice.organization = issued.organization AND invoice.id = issued.id \
             AND invoice.status = 'draft'",
        );
        touched += statement.execute(tx).await?;
    }
    if touched != invoices.len() as u64 {
        return Err(StorageError::Refused(
            "an invoice was issued by another worker meanwhile".to_owned(),
        ));
    }
    Ok(())
}
