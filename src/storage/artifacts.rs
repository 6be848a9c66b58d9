//! Document files: what was rendered, where it lies, what its bytes hash to.

use std::collections::HashMap;

use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, fetch_keyed, in_range, insert};
use super::{Key, StorageError, Tx, by_organization};
use crate::domain::cycle::Cycle;

/// A stored document file.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Artifact {
    /// Whose.
    pub organization: String,
    /// Of which invoice.
    pub invoice_id: String,
    /// `pdf` or `csv`.
    pub kind: String,
    /// Path inside the documents folder.
    pub path: String,
    /// Hash of the bytes.
    pub sha256: String,
    /// Number of bytes.
    pub length: i64,
}

/// Records files that are on disk and synced.
pub async fn add(tx: &mut Tx, artifacts: &[Artifact]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO artifact (organization, invoice_id, kind, path, sha256, length)",
        " ON CONFLICT (organization, invoice_id, kind) DO NOTHING",
        artifacts,
        row => [
            &row.organization,
            &row.invoice_id,
            &row.kind,
            &row.path,
            &row.sha256,
            row.length,
        ]
    );
    Ok(())
}

/// The files of one invoice.
pub async fn of_invoice(
    tx: &mut Tx,
    organization: &str,
    invoice_id: &str,
) -> Result<Vec<Artifact>, StorageError> {
    Ok(fetch_all!(
        tx,
        Artifact,
        "SELECT organization, invoice_id, kind, path, sha256, length FROM artifact \
         WHERE organization = $1 AND invoice_id = $2 ORDER BY kind DESC",
        organization,
        invoice_id
    ))
}

/// The files of many invoices, each invoice's PDF first.
pub async fn these(
    tx: &mut Tx,
    invoices: &[Key],
) -> Result<HashMap<Key, Vec<Artifact>>, StorageError> {
    let mut rows = fetch_keyed!(
        tx,
        Artifact,
        "SELECT organization, invoice_id, kind, path, sha256, length FROM artifact \
         WHERE (organization, invoice_id)",
        invoices
    );
    rows.sort_by(|a, b| b.kind.cmp(&a.kind));
    let mut files: HashMap<Key, Vec<Artifact>> = HashMap::new();
    for row in rows {
        files.entry((row.organization.clone(), row.invoice_id.clone())).or_default().push(row);
    }
    Ok(files)
}

/// All files of a range of organizations.
pub async fn of_all_cycles(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Artifact>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Artifact,
        "SELECT organization, invoice_id, kind, path, sha256, length FROM artifact \
         WHERE organization BETWEEN $1 AND $2 ORDER BY organization, invoice_id, kind DESC",
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// The files of a cycle's invoices of a range of organizations.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<Vec<Artifact>, StorageError> {
    Ok(fetch_all!(
        tx,
        Artifact,
        concat!(
            "SELECT a.organization, a.invoice_id, a.kind, a.path, a.sha256, a.length FROM artifact a \
             JOIN invoice i ON i.organization = a.organization AND i.id = a.invoice_id WHERE ",
            in_range!("i.organization"),
            " AND i.cycle = $3"
        ),
        first,
        last,
        cycle.to_string()
    ))
}
