//! What people did by hand: who, which command, why; chained so that a gap shows.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_one, fetch_optional};
use super::{StorageError, Tx};
use crate::domain::ids;

/// One thing a person did.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct AuditRow {
    /// Place in the chain, from 1.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who, as the operating system or `MONTHEND_ACTOR` names them.
    pub actor: String,
    /// Which command, with its arguments.
    pub command: String,
    /// Why.
    pub reason: String,
    /// Hash of the row before.
    pub previous_hash: String,
    /// Hash over this row and the one before.
    pub hash: String,
}

impl AuditRow {
    /// The hash its fields give.
    #[must_use]
    pub fn computed_hash(&self) -> String {
        let fields = [
            self.previous_hash.as_str(),
            &self.seq.to_string(),
            &self.at.timestamp_micros().to_string(),
            &self.actor,
            &self.command,
            &self.reason,
        ];
        let mut text = String::from("monthend-audit-1\n");
        for field in fields {
            // Lengths keep two fields from running into each other.
            let _ = writeln!(text, "{}:{field}", field.len());
        }
        ids::sha256_hex(text.as_bytes())
    }
}

/// Adds a row, in the transaction of what was done.
pub async fn append(
    tx: &mut Tx,
    at: DateTime<Utc>,
    actor: &str,
    command: &str,
    reason: &str,
) -> Result<(), StorageError> {
    // The counter's row lock keeps two writers in line.
    let (seq,) = fetch_one!(
        tx,
        (i64,),
        "INSERT INTO series (name, last) VALUES ('audit', 1) ON CONFLICT (name) DO UPDATE \
         SET last = series.last + 1 RETURNING last"
    );
    let previous = fetch_optional!(tx, (String,), "SELECT hash FROM audit WHERE seq = $1", seq - 1);
    let mut row = AuditRow {
        seq,
        at,
        actor: actor.to_owned(),
        command: command.to_owned(),
        reason: reason.to_owned(),
        previous_hash: previous.map(|(hash,)| hash).unwrap_or_default(),
        hash: String::new(),
    };
    row.hash = row.computed_hash();
    execute!(
        tx,
        "INSERT INTO audit (seq, at, actor, command, reason, previous_hash, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        row.seq,
        row.at,
        row.actor.clone(),
        row.command.clone(),
        row.reason.clone(),
        row.previous_hash.clone(),
        row.hash.clone()
    );
    Ok(())
}

/// The whole chain, in order.
pub async fn all(tx: &mut Tx) -> Result<Vec<AuditRow>, StorageError> {
    Ok(fetch_all!(
        tx,
        AuditRow,
        "SELECT seq, at, actor, command, reason, previous_hash, hash FROM audit ORDER BY seq"
    ))
}
