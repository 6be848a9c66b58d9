//! Input rows that were set aside with a reason, until somebody mends the cause and retries them.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, Statement, execute, fetch_all, fetch_one, insert, rows_per_statement};
use super::{StorageError, Tx};
use crate::domain::ids;

/// A row to set aside.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// Which file, by its name.
    pub file: String,
    /// Which line of it.
    pub line: i64,
    /// Whose, where it could be read.
    pub organization: Option<String>,
    /// The row itself, as a JSON object, so that it can be read again alone.
    pub raw: String,
    /// Why.
    pub reason: String,
}

/// A row that is, or was, set aside.
#[derive(Debug, Clone, Record!)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Which file.
    pub file: String,
    /// Which line.
    pub line: i64,
    /// Whose.
    pub organization: Option<String>,
    /// The row.
    pub raw: String,
    /// Why it was set aside.
    pub reason: String,
    /// Since when.
    pub received_at: DateTime<Utc>,
    /// Why a person took it off the list; none: nobody did.
    pub dismissed: Option<String>,
    /// When it left the list.
    pub resolved_at: Option<DateTime<Utc>>,
}

/// Columns of a row.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, file, line, organization, raw, reason, received_at, dismissed, resolved_at ",
            "FROM usage_quarantine ",
            $condition
        )
    };
}

/// Sets rows aside; a row that is set aside already is not set aside twice.
pub async fn add(tx: &mut Tx, rows: &[Rejected], now: DateTime<Utc>) -> Result<(), StorageError> {
    let rows: Vec<(&Rejected, String, String)> = rows
        .iter()
        .map(|row| {
            let hash = ids::sha256_hex(row.raw.as_bytes());
            let id = ids::derived("qrn", now, &[&row.file, &row.line.to_string(), &hash]);
            (row, hash, id)
        })
        .collect();
    insert!(
        tx,
        "INSERT INTO usage_quarantine (id, file, line, organization, raw, raw_hash, reason, state, received_at)",
        " ON CONFLICT DO NOTHING",
        rows,
        row => [
            &row.2,
            &row.0.file,
            row.0.line,
            &row.0.organization,
            &row.0.raw,
            &row.1,
            &row.0.reason,
            "open",
            now,
        ]
    );
    Ok(())
}

/// How many rows are set aside.
pub async fn count_open(tx: &mut Tx) -> Result<i64, StorageError> {
    let sql = "SELECT CAST(COUNT(*) AS BIGINT) FROM usage_quarantine WHERE state = 'open'";
    let (rows,) = fetch_one!(tx, (i64,), sql);
    Ok(rows)
}

/// Rows that are set aside, oldest first.
pub async fn open(tx: &mut Tx) -> Result<Vec<Row>, StorageError> {
    let sql = select!("WHERE state = 'open' ORDER BY received_at, file, line, id");
    Ok(fetch_all!(tx, Row, sql))
}

/// Rows that a person took off the list, oldest first.
pub async fn dismissed(tx: &mut Tx) -> Result<Vec<Row>, StorageError> {
    let sql = select!("WHERE dismissed IS NOT NULL ORDER BY resolved_at, file, line, id");
    Ok(fetch_all!(tx, Row, sql))
}

/// Marks a row as accepted after all, or as dismissed for a reason. False: it is not set aside any more.
pub async fn resolve(
    tx: &mut Tx,
    id: &str,
    dismissed: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE usage_quarantine SET state = 'resolved', resolved_at = $2, dismissed = $3 \
         WHERE id = $1 AND state = 'open'",
        id.to_owned(),
        now,
        dismissed.map(str::to_owned)
    );
    Ok(touched == 1)
}

/// Marks rows of these contents as accepted after all: they arrived by another file.
pub async fn arrived(
    tx: &mut Tx,
    contents: &[String],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let hashes: Vec<String> = contents.iter().map(|raw| ids::sha256_hex(raw.as_bytes())).collect();
    for chunk in hashes.chunks(rows_per_statement(1)) {
        let mut statement =
            Statement::new("UPDATE usage_quarantine SET state = 'resolved', resolved_at = ");
        statement.bind(now).push(" WHERE state = 'open' AND raw_hash IN (").list(chunk).push(")");
        statement.execute(tx).await?;
    }
    Ok(())
}

/// Notes why a row was refused again.
pub async fn refuse_again(tx: &mut Tx, id: &str, reason: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE usage_quarantine SET reason = $2 WHERE id = $1 AND state = 'open'",
        id.to_owned(),
        reason.to_owned()
    );
    Ok(())
}
