//! Invoices from draft to settled, and the documents made of them.

mod frozen;
mod issuing;

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

pub use frozen::{DocumentRow, document, documents_of, issued_ids, payment_terms};
pub use issuing::{DraftRow, Issued, add_drafts, issue, released_drafts};

use super::db::{Record, execute, execute_keyed, fetch_all, fetch_one, fetch_optional};
use super::{Key, StorageError, Tx, by_organization, damaged, one_or_all, parsed};
use crate::domain::cycle::Cycle;
use crate::domain::ids;
use crate::domain::invoice::{InvoiceDraft, InvoiceStatus};
use crate::domain::money::{Currency, Money};

/// Payment status of an invoice: words of the command line.
pub mod payment_status {
    /// Nothing has to be paid.
    pub const NOT_REQUIRED: &str = "not_required";
    /// Waits for a charge or a transfer.
    pub const DUE: &str = "due";
    /// The charge is under way.
    pub const PROCESSING: &str = "processing";
    /// Paid in full.
    pub const PAID: &str = "paid";
    /// The charge was declined.
    pub const DECLINED: &str = "declined";
    /// The customer must confirm the charge.
    pub const NEEDS_ACTION: &str = "needs_action";
    /// Accepted by the provider, settles later.
    pub const PENDING: &str = "pending";
    /// Not paid on the first day of the dunning calendar either.
    pub const PAST_DUE: &str = "past_due";
    /// Nothing is left to pay after credit notes.
    pub const CREDITED: &str = "credited";
    /// The provider's answer is not known; it is looked up.
    pub const UNKNOWN: &str = "unknown";
}

/// An invoice's row: what lists and steps need, without the document.
#[derive(Debug, Clone, Record!)]
pub struct Row {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Its cycle, as text.
    pub cycle: String,
    /// See [`InvoiceStatus`].
    pub status: String,
    /// See [`payment_status`].
    pub payment_status: String,
    /// ISO 4217.
    pub currency: String,
    /// Minor units.
    pub subtotal: i64,
    /// Minor units.
    pub tax: i64,
    /// Minor units.
    pub total: i64,
    /// Minor units.
    pub prepaid: i64,
    /// Minor units.
    pub amount_due: i64,
    /// The number, once issued.
    pub number: Option<String>,
    /// Its date, once issued.
    pub issued_on: Option<NaiveDate>,
    /// Path of the PDF inside the documents folder, once rendered.
    pub pdf: Option<String>,
    /// Path of the CSV inside the documents folder, once rendered.
    pub csv: Option<String>,
    /// What credit notes gave back, with tax, in minor units.
    pub credited: i64,
}

impl Row {
    /// What is still to be paid while it is unpaid: the amount due less its credit notes.
    pub fn outstanding(&self) -> Result<Money, StorageError> {
        let due = self.money(self.amount_due)?;
        due.minus(self.money(self.credited)?)
            .map_err(|error| damaged("invoice", "amount_due", &self.id, error))
    }

    /// The currency.
    pub fn currency(&self) -> Result<Currency, StorageError> {
        parsed("invoice", "currency", &self.id, &self.currency)
    }

    /// An amount of this invoice.
    pub fn money(&self, minor: i64) -> Result<Money, StorageError> {
        Ok(Money::from_minor(minor, self.currency()?))
    }

    /// The status.
    pub fn status(&self) -> Result<InvoiceStatus, StorageError> {
        parsed("invoice", "status", &self.id, &self.status)
    }
}

/// The id of an organization's invoice for a cycle: there is only one.
#[must_use]
pub fn cycle_invoice_id(organization: &str, cycle: Cycle, ends_at: DateTime<Utc>) -> String {
    ids::derived("inv", ends_at, &[organization, &cycle.to_string()])
}

/// Are there drafts of a cycle that became due at an instant?
pub async fn has_drafts(
    tx: &mut Tx,
    cycle: &str,
    due_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT i.id FROM billing_cycle c JOIN invoice i ON i.organization = c.organization AND i.cycle = c.cycle \
         WHERE c.cycle = $1 AND c.due_at = $2 AND i.status = 'draft' LIMIT 1",
        cycle,
        due_at
    );
    Ok(row.is_some())
}

/// Columns of an invoice with its documents.
macro_rules! select {
    ($condition:literal) => {
        select!("", $condition)
    };
    ($before:literal, $condition:literal) => {
        concat!(
            "SELECT i.organization, i.id, i.cycle, i.status, i.payment_status, i.currency, i.subtotal, i.tax, ",
            "i.total, i.prepaid, i.amount_due, i.number, i.issued_on, p.path AS pdf, c.path AS csv, ",
            "(SELECT CAST(COALESCE(SUM(d.total), 0) AS BIGINT) FROM document d WHERE d.kind = 'credit_note' ",
            "AND d.organization = i.organization AND d.subject_id = i.id) AS credited ",
            "FROM ",
            $before,
            "invoice i LEFT JOIN artifact p ON p.organization = i.organization AND p.invoice_id = i.id AND p.kind = 'pdf' ",
            "LEFT JOIN artifact c ON c.organization = i.organization AND c.invoice_id = i.id AND c.kind = 'csv' ",
            $condition
        )
    };
}

/// Issued invoices of a cycle of a range of organizations: each is looked up, for the range has those of all cycles.
macro_rules! issued {
    ($more:literal) => {
        concat!(
            select!(
                "organization o CROSS JOIN ",
                "WHERE o.id BETWEEN $1 AND $2 AND i.organization = o.id AND i.cycle = $3 AND i.number IS NOT NULL "
            ),
            $more,
            "ORDER BY o.id"
        )
    };
}

/// Invoices of an organization, a cycle, or all, by number; drafts last.
pub async fn list(
    tx: &mut Tx,
    organization: Option<&str>,
    cycle: Option<Cycle>,
) -> Result<Vec<Row>, StorageError> {
    let (first, last) = one_or_all(organization);
    Ok(fetch_all!(
        tx,
        Row,
        select!(
            "WHERE i.organization BETWEEN $1 AND $2 AND ($3 = '' OR i.cycle = $3) \
             ORDER BY i.number IS NULL, i.series, i.series_number, i.organization"
        ),
        first,
        last,
        cycle.map(|cycle| cycle.to_string()).unwrap_or_default()
    ))
}

/// How many invoices there are, drafts too.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let (count,) = fetch_one!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM invoice");
    Ok(count)
}

/// Organization and cycle of drafts that have no number yet.
pub async fn without_number(tx: &mut Tx) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT organization, cycle FROM invoice WHERE number IS NULL ORDER BY organization, cycle"
    ))
}

/// Invoices of one organization, drafts too, oldest cycle first.
pub async fn of_organization(tx: &mut Tx, organization: &str) -> Result<Vec<Row>, StorageError> {
    let mut invoices = in_range(tx, organization, organization).await?;
    Ok(invoices.remove(organization).unwrap_or_default())
}

/// Invoices of a range of organizations, drafts too, oldest cycle first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Row>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        select!("WHERE i.organization BETWEEN $1 AND $2 ORDER BY i.organization, i.cycle"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// Issued invoices of a cycle of a range of organizations, in order of the organizations.
pub async fn issued_in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<Vec<Row>, StorageError> {
    Ok(fetch_all!(tx, Row, issued!(""), first, last, cycle.to_string()))
}

/// Those of them whose cycle became due at an instant, and whose charge was declined, on the first day of the dunning
/// calendar or later, or that are due again because a payment was taken back.
pub async fn declined_in_range(
    tx: &mut Tx,
    (first, last): (&str, &str),
    cycle: Cycle,
    due_at: DateTime<Utc>,
) -> Result<Vec<Row>, StorageError> {
    Ok(fetch_all!(
        tx,
        Row,
        issued!(
            "AND (i.payment_status IN ($4, $5) OR (i.payment_status = $7 AND EXISTS (SELECT 1 FROM payment p \
             JOIN payment_reversal r ON r.organization = p.organization AND r.payment_id = p.id \
             WHERE p.organization = i.organization AND p.invoice_id = i.id))) \
             AND EXISTS (SELECT 1 FROM billing_cycle c \
             WHERE c.organization = i.organization AND c.cycle = i.cycle AND c.due_at = $6) "
        ),
        first,
        last,
        cycle.to_string(),
        payment_status::DECLINED,
        payment_status::PAST_DUE,
        due_at,
        payment_status::DUE
    ))
}

/// The invoice with a number.
pub async fn by_number(tx: &mut Tx, number: &str) -> Result<Option<Row>, StorageError> {
    Ok(fetch_optional!(tx, Row, select!("WHERE i.number = $1"), number))
}

/// The oldest invoice of an organization that was given up.
pub async fn given_up(tx: &mut Tx, organization: &str) -> Result<Option<Row>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Row,
        select!(
            "WHERE i.organization = $1 AND i.status = 'uncollectible' ORDER BY i.cycle LIMIT 1"
        ),
        organization
    ))
}

/// The invoice with an id.
pub async fn get(tx: &mut Tx, organization: &str, id: &str) -> Result<Option<Row>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Row,
        select!("WHERE i.organization = $1 AND i.id = $2"),
        organization,
        id
    ))
}

/// Settles invoices; a settled one stays as it is.
pub async fn settle(
    tx: &mut Tx,
    keys: &[Key],
    payment_status: &'static str,
) -> Result<(), StorageError> {
    execute_keyed!(
        tx,
        "UPDATE invoice SET status = 'settled', payment_status = ",
        payment_status,
        " WHERE status <> 'settled' AND (organization, id)",
        keys
    );
    Ok(())
}

/// An invoice whose payment was taken back is to be paid again.
pub async fn unsettle(tx: &mut Tx, organization: &str, id: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE invoice SET status = 'issued', payment_status = $3 \
         WHERE organization = $1 AND id = $2 AND status = 'settled'",
        organization,
        id,
        payment_status::DUE
    );
    Ok(())
}

/// Sets where an invoice stands; a settled one stays settled.
pub async fn set_status(
    tx: &mut Tx,
    organization: &str,
    id: &str,
    status: InvoiceStatus,
    payment_status: &str,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE invoice SET status = $3, payment_status = $4 WHERE organization = $1 AND id = $2 \
         AND status <> 'settled'",
        organization,
        id,
        status.as_str(),
        payment_status
    );
    Ok(())
}

/// The draft of an invoice, issued or not.
pub async fn draft(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<InvoiceDraft>, StorageError> {
    fetch_optional!(
        tx,
        DraftRow,
        "SELECT organization, id, draft FROM invoice WHERE organization = $1 AND id = $2",
        organization,
        id
    )
    .map(|row| row.draft())
    .transpose()
}
