//! Runs that are held before their invoices are numbered, and the figures a person confirmed.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional};
use super::{StorageError, Tx, parsed};
use crate::domain::brake::Line;
use crate::domain::cycle::Cycle;
use crate::domain::ids;
use crate::domain::money::Money;

/// A run that was held.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Brake {
    /// Which of the run's.
    pub ordinal: i64,
    /// Names the figures it was held for.
    pub figures: String,
    /// Why.
    pub reason: String,
    /// When a person let exactly these figures go.
    pub confirmed_at: Option<DateTime<Utc>>,
}

/// Characters by which a person names what was read.
const SHORT: usize = 8;

impl Brake {
    /// What the figures, and why the run was held for them, are called where people read and write it.
    #[must_use]
    pub fn short_figures(&self) -> String {
        short_figures(&self.figures, &self.reason)
    }
}

/// Names figures together with what is told of them, for people: one cannot be confirmed for the other.
#[must_use]
pub fn short_figures(figures: &str, reason: &str) -> String {
    let mut name = ids::sha256_hex(format!("{figures}\n{reason}").as_bytes());
    name.truncate(SHORT);
    name
}

/// What a run was held for last.
pub async fn latest(tx: &mut Tx, run: &str) -> Result<Option<Brake>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Brake,
        "SELECT ordinal, figures, reason, confirmed_at FROM brake WHERE run_id = $1 \
         ORDER BY ordinal DESC LIMIT 1",
        run
    ))
}

/// Were exactly these figures of a run confirmed, and what is told of them?
pub async fn is_confirmed(
    tx: &mut Tx,
    run: &str,
    figures: &str,
    reason: &str,
) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT ordinal FROM brake WHERE run_id = $1 AND figures = $2 AND reason = $3 \
         AND confirmed_at IS NOT NULL LIMIT 1",
        run,
        figures,
        reason
    );
    Ok(row.is_some())
}

/// Holds a run, unless it is held for the same already.
pub async fn hold(
    tx: &mut Tx,
    run: &str,
    figures: &str,
    reason: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    let latest = latest(tx, run).await?;
    let same = |brake: &Brake| {
        brake.confirmed_at.is_none() && (&*brake.figures, &*brake.reason) == (figures, reason)
    };
    if latest.as_ref().is_some_and(same) {
        return Ok(());
    }
    execute!(
        tx,
        "INSERT INTO brake (run_id, ordinal, figures, reason, held_at) VALUES ($1, $2, $3, $4, $5)",
        run,
        latest.map_or(1, |brake| brake.ordinal + 1),
        figures,
        reason,
        now
    );
    Ok(())
}

/// Notes that a person let the figures go.
pub async fn confirm(
    tx: &mut Tx,
    run: &str,
    ordinal: i64,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE brake SET confirmed_at = $3 WHERE run_id = $1 AND ordinal = $2",
        run,
        ordinal,
        now
    );
    Ok(())
}

#[derive(Record!)]
struct Row {
    organization: String,
    is_closed: bool,
    currency: Option<String>,
    amount_due: Option<i64>,
    status: Option<String>,
    currency_before: Option<String>,
    amount_before: Option<i64>,
    status_before: Option<String>,
    credited_before: i64,
}

/// Some organizations of a run, in order.
#[derive(Debug)]
pub struct Page {
    /// Those that are closed.
    pub lines: Vec<Line>,
    /// The last that was looked at, closed or not; none: there is none any more.
    pub last: Option<String>,
}

/// The first so many organizations of a run after one, with this cycle's invoice and the one of the cycle before.
pub async fn lines(
    tx: &mut Tx,
    (cycle, due_at): (Cycle, DateTime<Utc>),
    after: &str,
    at_most: i64,
) -> Result<Page, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        // Which are closed is asked last: where statistics know of none, PostgreSQL would collect all that are left
        // and sort them for each page.
        "SELECT c.organization, c.state = 'closed' AS is_closed, i.currency, i.amount_due, i.status, \
         p.currency AS currency_before, p.amount_due AS amount_before, p.status AS status_before, \
         (SELECT CAST(COALESCE(SUM(d.total), 0) AS BIGINT) FROM document d WHERE d.kind = 'credit_note' \
         AND d.organization = p.organization AND d.subject_id = p.id) AS credited_before \
         FROM (SELECT organization, cycle, state FROM billing_cycle WHERE cycle = $1 AND due_at = $2 \
         AND organization > $4 ORDER BY organization LIMIT $5) c \
         LEFT JOIN invoice i ON i.organization = c.organization AND i.cycle = c.cycle \
         LEFT JOIN invoice p ON p.organization = c.organization AND p.cycle = $3 ORDER BY c.organization",
        cycle.to_string(),
        due_at,
        cycle.previous().to_string(),
        after,
        at_most
    );
    let last = rows.last().map(|row| row.organization.clone());
    let closed = rows.into_iter().filter(|row| row.is_closed);
    Ok(Page { lines: closed.map(Row::into_domain).collect::<Result<_, _>>()?, last })
}

impl Row {
    fn into_domain(self) -> Result<Line, StorageError> {
        let name = self.organization.clone();
        let money = |currency: Option<String>, minor: Option<i64>| match (currency, minor) {
            (Some(currency), Some(minor)) => {
                let currency = parsed("invoice", "currency", &name, &currency)?;
                Ok::<_, StorageError>(Some(Money::from_minor(minor, currency)))
            }
            _ => Ok(None),
        };
        Ok(Line {
            now: money(self.currency, self.amount_due)?,
            draft: self.status.as_deref() == Some("draft"),
            before: money(
                self.currency_before,
                self.amount_before.map(|due| due.saturating_sub(self.credited_before)),
            )?,
            before_is_draft: self.status_before.as_deref() == Some("draft"),
            organization: self.organization,
        })
    }
}
