//! The database room: rows to domain values and back, on SQLite and PostgreSQL.
//!
//! Invariants: each statement is static text beside its binds; no arithmetic on amounts in SQL but
//! sums that are cast and checked; no `now()`; every write happens in a caller's transaction.

pub mod admission;
pub mod alerts;
pub mod artifacts;
pub mod audit;
pub mod brakes;
pub mod catalog;
pub mod charges;
pub mod claims;
pub mod contacts;
pub mod corrections;
pub mod cycles;
pub mod db;
pub mod documents;
pub mod dunning;
pub mod facts;
pub mod feeds;
pub mod grants;
pub mod invoices;
pub mod ledger;
pub mod mails;
pub mod meta;
pub mod methods;
pub mod migrations;
pub mod notices;
pub mod numbers;
pub mod organizations;
pub mod pace;
pub mod payments;
pub mod provider;
pub mod purchases;
pub mod quarantine;
pub mod recharges;
pub mod refunds;
pub mod rights;
pub mod runs;
pub mod settings;
pub mod steps;
pub mod usage;
pub mod usage_reports;
pub mod webhooks;

use std::collections::HashMap;

pub use db::{Db, Tx};

/// Names a row of an organization: the organization, and the row's own id.
pub type Key = (String, String);

/// The range of one organization, or of all: `~` comes after every id.
#[must_use]
pub fn one_or_all(organization: Option<&str>) -> (&str, &str) {
    organization.map_or(("", "~"), |id| (id, id))
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The server refused or could not be reached.
    #[error("database: {0}")]
    Server(#[from] sqlx::Error),
    /// The embedded engine refused, or its file failed.
    #[error("database: {0}")]
    Embedded(#[from] rusqlite::Error),
    /// It could not be asked: no connection was free in time, or the process is ending.
    #[error("database: {0}")]
    Unavailable(String),
    /// The engine ended the transaction by itself, as when the disk is full; nothing of it remains.
    #[error("database: the transaction was ended by the engine; nothing of it was written")]
    Ended,
    /// The schema is not this program's.
    #[error("database schema: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A stored value is not what it must be.
    #[error(
        "{table}.{column} of {row}: {problem}; the stored data is damaged, run `monthend verify`"
    )]
    Damaged {
        /// Which table.
        table: &'static str,
        /// Which column.
        column: &'static str,
        /// Which row.
        row: String,
        /// What is wrong.
        problem: String,
    },
    /// Another worker finished this step, or its lease ran out: nothing was written.
    #[error("step {0} was taken over by another worker; nothing was written")]
    Fenced(String),
    /// A fact was posted before.
    #[error("{0}")]
    Refused(String),
}

impl StorageError {
    /// Is it worth trying the whole transaction again?
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            // Serialization, deadlock, lock timeout, shutdown, lost connection, out of resources: all pass.
            Self::Server(sqlx::Error::Database(error)) => {
                let code = error.code().unwrap_or_default();
                matches!(
                    code.as_ref(),
                    "40001" | "40P01" | "55P03" | "57P01" | "57P02" | "57P03" | "25P03"
                ) || code.starts_with("08")
                    || code.starts_with("53")
            }
            // BUSY, LOCKED, IOERR, FULL, CANTOPEN.
            Self::Embedded(rusqlite::Error::SqliteFailure(error, _)) => {
                matches!(error.extended_code & 0xFF, 5 | 6 | 10 | 13 | 14)
            }
            Self::Server(sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)
            | Self::Unavailable(_)
            | Self::Ended => true,
            _ => false,
        }
    }

    /// Did a value leave the range its column allows?
    #[must_use]
    pub fn is_out_of_range(&self) -> bool {
        match self {
            // 22003: an integer that does not fit.
            Self::Server(sqlx::Error::Database(error)) => {
                error.is_check_violation() || error.code().is_some_and(|code| code == "22003")
            }
            // The column's check; a sum that leaves the integers has only its words.
            Self::Embedded(rusqlite::Error::SqliteFailure(error, message)) => {
                error.extended_code == rusqlite::ffi::SQLITE_CONSTRAINT_CHECK
                    || message.as_deref() == Some("integer overflow")
            }
            _ => false,
        }
    }
}

/// Reads a stored text as a domain value; names table, column and row where it is none.
pub(crate) fn parsed<T>(
    table: &'static str,
    column: &'static str,
    row: &str,
    text: &str,
) -> Result<T, StorageError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error: T::Err| damaged(table, column, row, error))
}

/// Reads a stored JSON text as a domain value.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    row: &str,
    text: &str,
) -> Result<T, StorageError> {
    serde_json::from_str(text).map_err(|error| damaged(table, column, row, error))
}

/// A domain value as JSON text; the types stored cannot fail to serialize, their maps have text keys.
pub(crate) fn to_json<T: serde::Serialize>(
    table: &'static str,
    column: &'static str,
    row: &str,
    value: &T,
) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| damaged(table, column, row, error))
}

/// Values by the organization they belong to, in their order.
pub(crate) fn by_organization<T>(
    rows: impl IntoIterator<Item = Result<(String, T), StorageError>>,
) -> Result<HashMap<String, Vec<T>>, StorageError> {
    let mut by_organization: HashMap<String, Vec<T>> = HashMap::new();
    for row in rows {
        let (organization, value) = row?;
        by_organization.entry(organization).or_default().push(value);
    }
    Ok(by_organization)
}

pub(crate) fn damaged(
    table: &'static str,
    column: &'static str,
    row: &str,
    problem: impl std::fmt::Display,
) -> StorageError {
    StorageError::Damaged { table, column, row: row.to_owned(), problem: problem.to_string() }
}
