//! What issued invoices say: texts that never change.

use std::collections::HashMap;

use macro_rules_attribute::derive;

use crate::domain::cycle::Cycle;
use crate::domain::invoice::{InvoiceDocument, InvoiceHeader, PaymentTerms};
use crate::storage::db::{Record, fetch_all, fetch_keyed, fetch_optional};
use crate::storage::{Key, StorageError, Tx, from_json};

/// The stored texts of an issued invoice.
#[derive(Debug, Clone, Record!)]
pub struct DocumentRow {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Draft text.
    pub draft: String,
    /// Header text.
    pub header: String,
    /// Hash over both.
    pub content_hash: String,
}

impl DocumentRow {
    /// The document.
    pub fn document(&self) -> Result<InvoiceDocument, StorageError> {
        Ok(InvoiceDocument {
            header: from_json("invoice", "header", &self.id, &self.header)?,
            draft: from_json("invoice", "draft", &self.id, &self.draft)?,
        })
    }
}

/// Organizations and ids of a cycle's issued invoices of a range of organizations, in their order: at most so many,
/// after one of the organizations.
pub async fn issued_ids(
    tx: &mut Tx,
    (first, last): (&str, &str),
    cycle: Cycle,
    after: &str,
    most: i64,
) -> Result<Vec<Key>, StorageError> {
    Ok(fetch_all!(
        tx,
        Key,
        "SELECT i.organization, i.id FROM organization o CROSS JOIN invoice i \
         WHERE o.id BETWEEN $1 AND $2 AND o.id <> $3 AND i.organization = o.id AND i.cycle = $4 \
         AND i.number IS NOT NULL ORDER BY o.id LIMIT $5",
        // One lower bound: a second is not looked up, it is gone through.
        first.max(after),
        last,
        after,
        cycle.to_string(),
        most
    ))
}

/// How issued invoices say that they are paid.
pub async fn payment_terms(
    tx: &mut Tx,
    keys: &[Key],
) -> Result<HashMap<Key, PaymentTerms>, StorageError> {
    let rows = fetch_keyed!(
        tx,
        (String, String, String),
        "SELECT organization, id, header FROM invoice WHERE number IS NOT NULL AND (organization, id)",
        keys
    );
    let terms = rows.into_iter().map(|(organization, id, header)| {
        let header: InvoiceHeader = from_json("invoice", "header", &id, &header)?;
        Ok(((organization, id), header.payment))
    });
    terms.collect()
}

/// The document of one issued invoice.
pub async fn document(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<DocumentRow>, StorageError> {
    Ok(fetch_optional!(
        tx,
        DocumentRow,
        "SELECT organization, id, draft, header, content_hash FROM invoice \
         WHERE organization = $1 AND id = $2 AND number IS NOT NULL",
        organization,
        id
    ))
}

/// The documents of issued invoices, by their organizations and ids.
pub async fn documents_of(
    tx: &mut Tx,
    keys: &[Key],
) -> Result<HashMap<Key, DocumentRow>, StorageError> {
    let rows = fetch_keyed!(
        tx,
        DocumentRow,
        "SELECT organization, id, draft, header, content_hash FROM invoice \
         WHERE number IS NOT NULL AND (organization, id)",
        keys
    );
    Ok(rows.into_iter().map(|row| ((row.organization.clone(), row.id.clone()), row)).collect())
}
