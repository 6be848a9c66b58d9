//! Receipts and credit notes as people ask for them, with their files and the money that goes back.

use super::ServiceError;
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::document::{CreditNote, Document};
use crate::storage::artifacts::{self, Artifact};
use crate::storage::documents::{self, Row};
use crate::storage::refunds::{self, Refund};
use crate::storage::{Tx, parsed};

/// A receipt or a credit note with everything about it.
#[derive(Debug)]
pub struct Shown {
    /// Whose.
    pub organization: String,
    /// The cycle it belongs to.
    pub cycle: Cycle,
    /// What is printed.
    pub document: Document,
    /// Its PDF and CSV, once drawn.
    pub files: Vec<Artifact>,
    /// Money on its way back for it, oldest first.
    pub refunds: Vec<Refund>,
    /// What was corrected of a receipt since, in the order of their numbers.
    pub credit_notes: Vec<CreditNote>,
}

impl Shown {
    /// Did the provider refuse to give the money back, or did it come back from there?
    #[must_use]
    pub fn refund_failed(&self) -> bool {
        self.refunds.iter().any(Refund::was_in_vain)
    }
}

/// The receipt or credit note of a number; none: no document has it.
///
/// # Errors
/// The database fails.
pub async fn show(app: &App, number: &str) -> Result<Option<Shown>, ServiceError> {
    let mut tx = app.db.read().await?;
    let Some(row) = documents::by_number(&mut tx, number).await? else { return Ok(None) };
    let (organization, id) = (row.organization.as_str(), row.id.as_str());
    let document = row.document()?;
    let credit_notes = match &document {
        Document::Receipt(_) => credit_notes_of(&mut tx, organization, &row.subject_id).await?,
        Document::CreditNote(_) => Vec::new(),
    };
    Ok(Some(Shown {
        cycle: parsed("document", "cycle", id, &row.cycle)?,
        document,
        credit_notes,
        files: artifacts::of_invoice(&mut tx, organization, id).await?,
        refunds: refunds::of_document(&mut tx, organization, id).await?,
        organization: row.organization,
    }))
}

/// The credit notes of an invoice or a receipt, in the order of their numbers.
///
/// # Errors
/// The database fails.
pub async fn credit_notes_of(
    tx: &mut Tx,
    organization: &str,
    subject_id: &str,
) -> Result<Vec<CreditNote>, ServiceError> {
    let mut rows = documents::of_subject(tx, organization, subject_id).await?;
    rows.sort_by_key(|row: &Row| (row.issued_at, row.series_number));
    let mut notes = Vec::new();
    for row in rows {
        if let Document::CreditNote(note) = row.document()? {
            notes.push(note);
        }
    }
    Ok(notes)
}
