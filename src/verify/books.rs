//! Everything stored of an organization, read for many of them at once: checks then only look at it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::OpenGrant;
use crate::domain::invoice::{InvoiceDraft, InvoiceHeader, UsageSummary};
use crate::domain::ledger::{Head, LedgerTransaction};
use crate::services::ServiceError;
use crate::storage::artifacts::{self, Artifact};
use crate::storage::charges::{self, Charge};
use crate::storage::facts::{self, Filed};
use crate::storage::organizations::Stored;
use crate::storage::payments::{self, Payment};
use crate::storage::purchases::{self, Purchase};
use crate::storage::refunds::{self, Refund};
use crate::storage::{
    StorageError, Tx, corrections, cycles, documents, grants, invoices, ledger, usage,
};

/// Organizations whose books are read at once: few statements, and few books in memory.
pub(super) const AT_ONCE: usize = 100;

/// An invoice as lists show it, and its frozen texts.
pub(super) struct Invoice {
    pub row: invoices::Row,
    pub filed: Filed,
    pub draft: InvoiceDraft,
    /// Once issued.
    pub header: Option<InvoiceHeader>,
}

impl Invoice {
    /// Its number, or its id before it has one.
    pub fn name(&self) -> &str {
        self.row.number.as_deref().unwrap_or(&self.row.id)
    }
}

/// What is stored of one organization.
pub(super) struct Books {
    pub stored: Stored,
    pub chain: Vec<LedgerTransaction>,
    pub head: Head,
    pub grants: Vec<OpenGrant>,
    /// Why a person made a grant, by the grant's id.
    pub reasons: HashMap<String, Option<String>>,
    pub cycles: Vec<cycles::Stored>,
    /// By cycle, as text.
    pub closed_at: HashMap<String, DateTime<Utc>>,
    /// By the cycle that bills it.
    pub usage: HashMap<Cycle, Vec<UsageSummary>>,
    pub corrections: HashMap<Cycle, Vec<(String, Credits)>>,
    pub purchases: Vec<Purchase>,
    pub invoices: Vec<Invoice>,
    pub documents: Vec<documents::Row>,
    pub charges: Vec<Charge>,
    pub payments: Vec<Payment>,
    pub refunds: Vec<Refund>,
    pub artifacts: Vec<Artifact>,
}

impl Books {
    /// The organization's id.
    pub fn id(&self) -> &str {
        &self.stored.organization.id
    }

    /// The one cycle that is not closed.
    pub fn open_cycle(&self) -> Option<&cycles::Stored> {
        self.cycles.iter().find(|cycle| !cycle.closed)
    }

    /// The invoice of an id.
    pub fn invoice(&self, id: &str) -> Option<&Invoice> {
        self.invoices.iter().find(|invoice| invoice.row.id == id)
    }

    /// Invoices that have a number.
    pub fn issued(&self) -> impl Iterator<Item = &Invoice> {
        self.invoices.iter().filter(|invoice| invoice.row.number.is_some())
    }

    /// Charges for an invoice or purchase.
    pub fn charges_of(&self, subject: &str) -> impl Iterator<Item = &Charge> {
        self.charges.iter().filter(move |charge| charge.subject_id == subject)
    }

    /// Payments of an invoice.
    pub fn payments_of(&self, invoice: &str) -> impl Iterator<Item = &Payment> {
        self.payments.iter().filter(move |payment| payment.invoice_id == invoice)
    }
}

/// The books of neighbouring organizations, which are in the order of their ids.
pub(super) async fn read(tx: &mut Tx, all: &[Stored]) -> Result<Vec<Books>, ServiceError> {
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(Vec::new()) };
    let (first, last) = (first.organization.id.as_str(), last.organization.id.as_str());
    let mut chains = ledger::chains(tx, first, last).await?;
    let mut heads = ledger::heads(tx, first, last).await?;
    let mut grants = grants::in_range(tx, first, last).await?;
    let mut reasons = facts::reasons(tx, first, last).await?;
    let mut cycles = cycles::in_range(tx, first, last).await?;
    let mut closed_at = facts::closed_at(tx, first, last).await?;
    let mut used = usage::summaries_of_all_cycles(tx, first, last).await?;
    let mut corrected = corrections::of_all_cycles(tx, first, last).await?;
    let mut purchases = purchases::in_range(tx, first, last).await?;
    let mut rows = invoices::in_range(tx, first, last).await?;
    let mut filed = facts::filed(tx, first, last).await?;
    let mut documents = documents::in_range(tx, first, last).await?;
    let mut charges = charges::in_range(tx, first, last).await?;
    let mut payments = payments::in_range(tx, first, last).await?;
    let mut refunds = refunds::in_range(tx, first, last).await?;
    let mut artifacts = artifacts::of_all_cycles(tx, first, last).await?;
    let mut books = Vec::with_capacity(all.len());
    for stored in all {
        let id = stored.organization.id.as_str();
        let mut usage: HashMap<Cycle, Vec<UsageSummary>> = HashMap::new();
        for (billed, summary) in used.remove(id).unwrap_or_default() {
            usage.entry(billed).or_default().push(summary);
        }
        let mut corrections: HashMap<Cycle, Vec<(String, Credits)>> = HashMap::new();
        for (cycle, grant, credits) in corrected.remove(id).unwrap_or_default() {
            corrections.entry(cycle).or_default().push((grant, credits));
        }
        books.push(Books {
            stored: stored.clone(),
            chain: chains.remove(id).unwrap_or_default(),
            head: heads.remove(id),
            grants: grants.remove(id).unwrap_or_default(),
            reasons: reasons.remove(id).unwrap_or_default().into_iter().collect(),
            cycles: cycles.remove(id).unwrap_or_default(),
            closed_at: closed_at.remove(id).unwrap_or_default().into_iter().collect(),
            usage,
            corrections,
            purchases: purchases.remove(id).unwrap_or_default(),
            invoices: together(
                rows.remove(id).unwrap_or_default(),
                filed.remove(id).unwrap_or_default(),
            )?,
            documents: documents.remove(id).unwrap_or_default(),
            charges: charges.remove(id).unwrap_or_default(),
            payments: payments.remove(id).unwrap_or_default(),
            refunds: refunds.remove(id).unwrap_or_default(),
            artifacts: artifacts.remove(id).unwrap_or_default(),
        });
    }
    Ok(books)
}

/// Each invoice's row with its texts.
fn together(rows: Vec<invoices::Row>, filed: Vec<Filed>) -> Result<Vec<Invoice>, StorageError> {
    let mut texts: HashMap<String, Filed> =
        filed.into_iter().map(|filed| (filed.id.clone(), filed)).collect();
    rows.into_iter()
        .filter_map(|row| Some((texts.remove(&row.id)?, row)))
        .map(|(filed, row)| {
            Ok(Invoice { draft: filed.draft()?, header: filed.header()?, row, filed })
        })
        .collect()
}
