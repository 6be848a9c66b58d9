//! Where the dunning calendar of each unpaid invoice stands.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, execute_keyed, fetch_all, fetch_named, fetch_optional, insert};
use super::{Key, StorageError, Tx};
use crate::domain::dunning::Calendar;

/// The dunning of one invoice.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Dunning {
    /// Whose.
    pub organization: String,
    /// Which invoice.
    pub invoice_id: String,
    /// `open`, `paid` or `given_up`.
    pub state: String,
    /// The first failed attempt, or the due date that passed.
    pub began_at: DateTime<Utc>,
    /// The next day of the calendar, counted from 0.
    pub stage: i64,
    /// When that is.
    pub next_at: DateTime<Utc>,
}

impl Dunning {
    /// A calendar that begins at an instant, with its first day ahead.
    #[must_use]
    pub fn from_the_start(
        calendar: &Calendar,
        organization: &str,
        invoice_id: &str,
        began_at: DateTime<Utc>,
    ) -> Self {
        Self {
            organization: organization.to_owned(),
            invoice_id: invoice_id.to_owned(),
            state: "open".to_owned(),
            began_at,
            stage: 0,
            next_at: calendar.due_at(began_at, 0).unwrap_or(began_at),
        }
    }
}

/// Begins dunning of invoices; one whose calendar runs already keeps it.
pub async fn begin(tx: &mut Tx, rows: &[Dunning]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO dunning (organization, invoice_id, state, began_at, stage, next_at)",
        " ON CONFLICT (organization, invoice_id) DO NOTHING",
        rows,
        row => [
            &row.organization,
            &row.invoice_id,
            &row.state,
            row.began_at,
            row.stage,
            row.next_at,
        ]
    );
    Ok(())
}

/// Begins the dunning of an invoice once more: it counted as paid, and does not any more.
pub async fn begin_again(tx: &mut Tx, row: &Dunning) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO dunning (organization, invoice_id, state, began_at, stage, next_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (organization, invoice_id) DO UPDATE \
         SET state = excluded.state, began_at = excluded.began_at, stage = excluded.stage, \
         next_at = excluded.next_at",
        row.organization.clone(),
        row.invoice_id.clone(),
        row.state.clone(),
        row.began_at,
        row.stage,
        row.next_at
    );
    Ok(())
}

/// The dunning of one invoice.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    invoice_id: &str,
) -> Result<Option<Dunning>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Dunning,
        "SELECT organization, invoice_id, state, began_at, stage, next_at FROM dunning \
         WHERE organization = $1 AND invoice_id = $2",
        organization,
        invoice_id
    ))
}

/// Invoices of a range of organizations whose calendar has a day that is due.
pub async fn due(
    tx: &mut Tx,
    first: &str,
    last: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Dunning>, StorageError> {
    Ok(fetch_all!(
        tx,
        Dunning,
        "SELECT organization, invoice_id, state, began_at, stage, next_at FROM dunning \
         WHERE state = 'open' AND next_at <= $3 AND organization BETWEEN $1 AND $2 \
         ORDER BY organization, invoice_id",
        first,
        last,
        now
    ))
}

/// Moves on to a stage of the calendar, or only to another instant.
pub async fn advance(
    tx: &mut Tx,
    row: &Dunning,
    stage: i64,
    next_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE dunning SET stage = $3, next_at = $4 \
         WHERE organization = $1 AND invoice_id = $2 AND state = 'open'",
        row.organization.clone(),
        row.invoice_id.clone(),
        stage,
        next_at
    );
    Ok(())
}

/// Brings the next day of an organization's open calendars forward to now: it has a new method.
pub async fn hurry(
    tx: &mut Tx,
    organization: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE dunning SET next_at = $2 WHERE organization = $1 AND state = 'open' AND next_at > $2",
        organization,
        now
    );
    Ok(())
}

/// Ends the dunning of invoices: `paid` or `given_up`. Paid ends what was given up, too.
pub async fn end(tx: &mut Tx, invoices: &[Key], state: &'static str) -> Result<(), StorageError> {
    execute_keyed!(
        tx,
        "UPDATE dunning SET state = ",
        state,
        " WHERE state <> 'paid' AND (organization, invoice_id)",
        invoices
    );
    Ok(())
}

/// Of the named organizations those with invoices that were given up and are still unpaid.
pub async fn given_up(
    tx: &mut Tx,
    organizations: &[String],
) -> Result<HashSet<String>, StorageError> {
    let rows = fetch_named!(
        tx,
        (String,),
        "SELECT DISTINCT organization FROM dunning WHERE state = 'given_up' AND organization",
        "",
        organizations
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// Unpaid invoices of a range whose last charge failed and whose dunning never began: those of a database
/// that is older than dunning.
pub async fn forgotten(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT i.organization, i.id FROM invoice i WHERE i.organization BETWEEN $1 AND $2 \
         AND i.status = 'issued' AND i.payment_status IN ('declined', 'needs_action') AND NOT EXISTS \
         (SELECT 1 FROM dunning d WHERE d.organization = i.organization AND d.invoice_id = i.id) \
         ORDER BY i.organization, i.id",
        first,
        last
    ))
}

/// How many invoices have, or had, a calendar.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let row = fetch_optional!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM dunning");
    Ok(row.map_or(0, |(count,)| count))
}

/// Dunning of invoices that are paid, or paid invoices that are still dunned: none, ever.
pub async fn mismatches(tx: &mut Tx) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT d.organization, d.invoice_id FROM dunning d JOIN invoice i \
         ON i.organization = d.organization AND i.id = d.invoice_id \
         WHERE (i.status = 'settled') <> (d.state = 'paid') \
         OR (i.status = 'uncollectible') <> (d.state = 'given_up') ORDER BY d.organization, d.invoice_id"
    ))
}
