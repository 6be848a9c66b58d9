//! Facts of notices, frozen when made: at most one per key.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional, insert};
use super::{StorageError, Tx};

/// A stored notice.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Notice {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Derived from what it tells: at most one notice per key.
    pub key: String,
    /// What it tells, as in its facts.
    pub kind: String,
    /// The facts, as JSON.
    pub facts: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Records a notice. False: one of that key is there already.
pub async fn add(tx: &mut Tx, notice: &Notice) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "INSERT INTO notice (organization, id, key, kind, facts, created_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT DO NOTHING",
        notice.organization.clone(),
        notice.id.clone(),
        notice.key.clone(),
        notice.kind.clone(),
        notice.facts.clone(),
        notice.created_at
    );
    Ok(touched == 1)
}

/// Records many notices whose keys are known to be new.
///
/// # Errors
/// One of them is there already.
pub async fn add_all(tx: &mut Tx, notices: &[Notice]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO notice (organization, id, key, kind, facts, created_at)",
        "",
        notices,
        row => [
            &row.organization,
            &row.id,
            &row.key,
            &row.kind,
            &row.facts,
            row.created_at,
        ]
    );
    Ok(())
}

/// One notice.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<Notice>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Notice,
        "SELECT organization, id, key, kind, facts, created_at FROM notice \
         WHERE organization = $1 AND id = $2",
        organization,
        id
    ))
}

/// All notices of an organization, oldest first.
pub async fn all(tx: &mut Tx, organization: &str) -> Result<Vec<Notice>, StorageError> {
    Ok(fetch_all!(
        tx,
        Notice,
        "SELECT organization, id, key, kind, facts, created_at FROM notice \
         WHERE organization = $1 ORDER BY id",
        organization
    ))
}
