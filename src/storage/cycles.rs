//! Billing cycles: open ones to close, closed ones to read.

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use macro_rules_attribute::derive;

use super::db::{
    Record, Statement, execute, fetch_all, fetch_named, fetch_one, fetch_optional, insert,
};
use super::{StorageError, Tx, by_organization, from_json, parsed, to_json};
use crate::domain::close::OpenCycle;
use crate::domain::credits::Credits;
use crate::domain::cycle::{Bounds, Cycle};
use crate::domain::plan::CycleTerms;
use crate::domain::statement::CreditStatement;

/// A stored cycle.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Whose.
    pub organization: String,
    /// Cycle, bounds, terms.
    pub open: OpenCycle,
    /// Its end plus grace: from then on it is due (D7).
    pub due_at: DateTime<Utc>,
    /// Deficit brought from the cycle before.
    pub deficit_brought: Credits,
    /// Is it closed?
    pub closed: bool,
    /// The final statement of a closed cycle.
    pub statement: Option<CreditStatement>,
}

/// A cycle that has ended, with its grace, and is not closed.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Due {
    /// Whose.
    pub organization: String,
    /// Which cycle, as text.
    pub cycle: String,
    /// Its end.
    pub ends_at: DateTime<Utc>,
    /// Since when it is due.
    pub due_at: DateTime<Utc>,
    /// The organization's zone, as text.
    pub zone: String,
    /// Does a close step of its own hold it?
    pub alone: bool,
}

#[derive(Record!)]
struct Row {
    organization: String,
    cycle: String,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    terms: String,
    fee_billed: bool,
    deficit_brought: i64,
    state: String,
    statement: Option<String>,
}

impl Row {
    fn into_domain(self) -> Result<Stored, StorageError> {
        let name = format!("{}/{}", self.organization, self.cycle);
        let terms: CycleTerms = from_json("billing_cycle", "terms", &name, &self.terms)?;
        let statement = self
            .statement
            .as_deref()
            .map(|text| from_json("billing_cycle", "statement", &name, text))
            .transpose()?;
        Ok(Stored {
            open: OpenCycle {
                cycle: parsed("billing_cycle", "cycle", &name, &self.cycle)?,
                bounds: Bounds { starts_at: self.starts_at, ends_at: self.ends_at },
                terms,
                fee_billed: self.fee_billed,
            },
            organization: self.organization,
            due_at: self.due_at,
            deficit_brought: Credits::from_nano(self.deficit_brought),
            closed: self.state == "closed",
            statement,
        })
    }
}

/// When a cycle becomes due: its end plus the grace of its own terms (D7).
#[must_use]
pub fn due_at(open: &OpenCycle) -> DateTime<Utc> {
    open.bounds.ends_at + Duration::hours(i64::from(open.terms.grace_hours))
}

/// Opens cycles, each with the deficit it is brought.
pub async fn open(
    tx: &mut Tx,
    cycles: &[(String, OpenCycle, Credits)],
) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(cycles.len());
    for (organization, open, deficit) in cycles {
        let terms = to_json("billing_cycle", "terms", organization, &open.terms)?;
        rows.push((organization, open, deficit, terms));
    }
    insert!(
        tx,
        "INSERT INTO billing_cycle (organization, cycle, starts_at, ends_at, due_at, terms, fee_billed, \
         deficit_brought, state)",
        "",
        rows,
        row => [
            row.0,
            row.1.cycle.to_string(),
            row.1.bounds.starts_at,
            row.1.bounds.ends_at,
            due_at(row.1),
            &row.3,
            row.1.fee_billed,
            row.2.nano(),
            "open",
        ]
    );
    Ok(())
}

/// A cycle to be marked closed.
#[derive(Debug)]
pub struct Closed {
    /// Whose.
    pub organization: String,
    /// Which cycle.
    pub cycle: Cycle,
    /// Its final statement.
    pub statement: CreditStatement,
    /// Is there an invoice?
    pub invoiced: bool,
}

/// Marks cycles closed.
///
/// # Errors
/// One of them is not open any more: another worker closed it; nothing remains of the batch.
pub async fn close(tx: &mut Tx, cycles: &[Closed], now: DateTime<Utc>) -> Result<(), StorageError> {
    let mut rows = Vec::with_capacity(cycles.len());
    for closed in cycles {
        let json = to_json("billing_cycle", "statement", &closed.organization, &closed.statement)?;
        rows.push((closed, json));
    }
    let mut touched = 0;
    for chunk in rows.chunks(super::db::rows_per_statement(5)) {
        let mut statement =
            Statement::new("WITH closed (organization, cycle, statement, outcome, closed_at) AS (");
        statement
            .values(chunk, |row, (closed, json)| {
                row.bind(closed.organization.clone())
                    .bind(closed.cycle.to_string())
                    .bind(json.clone())
                    .bind(if closed.invoiced { "invoiced" } else { "nothing_to_bill" })
                    .bind(now);
            })
            .push(
                ") UPDATE billing_cycle SET state = 'closed', statement = closed.statement, \
                 outcome = closed.outcome, closed_at = closed.closed_at FROM closed \
                 WHERE billing_cycle.organization = closed.organization \
                 AND billing_cycle.cycle = closed.cycle AND billing_cycle.state = 'open' \
                 AND billing_cycle.organization BETWEEN ",
            );
        // The range is said, too: what PostgreSQL guesses of a list may make it go through all cycles there are.
        let names = || chunk.iter().map(|(closed, _)| closed.organization.as_str());
        let (first, last) = (names().min().unwrap_or_default(), names().max().unwrap_or_default());
        statement.bind(first.to_owned()).push(" AND ").bind(last.to_owned());
        touched += statement.execute(tx).await?;
    }
    if touched != rows.len() as u64 {
        return Err(StorageError::Refused(
            "a cycle was closed by another worker meanwhile".to_owned(),
        ));
    }
    Ok(())
}

/// Columns of a cycle.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, cycle, starts_at, ends_at, due_at, terms, fee_billed, deficit_brought, ",
            "state, statement FROM billing_cycle ",
            $condition
        )
    };
}

/// The open cycles of a range of organizations, by organization.
pub async fn open_in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Vec<Stored>, StorageError> {
    fetch_all!(
        tx,
        Row,
        select!("WHERE organization BETWEEN $1 AND $2 AND state = 'open' ORDER BY organization"),
        first,
        last
    )
    .into_iter()
    .map(Row::into_domain)
    .collect()
}

/// The open cycle of each named organization.
pub async fn open_of(tx: &mut Tx, organizations: &[String]) -> Result<Vec<Stored>, StorageError> {
    let head = select!("WHERE state = 'open' AND organization");
    fetch_named!(tx, Row, head, "", organizations).into_iter().map(Row::into_domain).collect()
}

/// The label of the open cycle of each named organization.
pub async fn open_labels(
    tx: &mut Tx,
    organizations: &[String],
) -> Result<HashMap<String, Cycle>, StorageError> {
    let head =
        "SELECT organization, cycle FROM billing_cycle WHERE state = 'open' AND organization";
    fetch_named!(tx, (String, String), head, "", organizations)
        .into_iter()
        .map(|(organization, cycle)| {
            let cycle = parsed("billing_cycle", "cycle", &organization, &cycle)?;
            Ok((organization, cycle))
        })
        .collect()
}

/// One cycle of one organization.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    cycle: Cycle,
) -> Result<Option<Stored>, StorageError> {
    fetch_optional!(
        tx,
        Row,
        select!("WHERE organization = $1 AND cycle = $2"),
        organization,
        cycle.to_string()
    )
    .map(Row::into_domain)
    .transpose()
}

/// All cycles of one organization, oldest first.
pub async fn all(tx: &mut Tx, organization: &str) -> Result<Vec<Stored>, StorageError> {
    let mut cycles = in_range(tx, organization, organization).await?;
    Ok(cycles.remove(organization).unwrap_or_default())
}

/// All cycles of a range of organizations, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Stored>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Row,
        select!("WHERE organization BETWEEN $1 AND $2 ORDER BY organization, cycle"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| {
        let stored = row.into_domain()?;
        Ok((stored.organization.clone(), stored))
    }))
}

/// Where a page of due cycles ended.
pub type Place = (DateTime<Utc>, String);

impl Due {
    /// The place of this cycle in the order in which they are read.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.due_at, self.organization.clone())
    }
}

/// The first so many cycles after a place that are due, in the order of their instants and organizations; of one
/// cycle and instant, or of all.
pub async fn due(
    tx: &mut Tx,
    now: DateTime<Utc>,
    of: Option<(&str, DateTime<Utc>)>,
    after: Option<&Place>,
    at_most: i64,
) -> Result<Vec<Due>, StorageError> {
    let (cycle, first, last) =
        of.map_or(("", DateTime::UNIX_EPOCH, now), |(cycle, due_at)| (cycle, due_at, due_at));
    // The place is the lower bound: no organization is called nothing.
    let (instant, organization) =
        after.map_or((first, ""), |(instant, organization)| (*instant, organization.as_str()));
    Ok(fetch_all!(
        tx,
        Due,
        // Not `EXISTS`, for which PostgreSQL would read all steps there are.
        "SELECT c.organization, c.cycle, c.ends_at, c.due_at, o.zone, (SELECT s.id FROM step s \
         WHERE s.organization = c.organization AND s.kind = 'close' AND s.state IN ('ready', 'leased', 'parked') \
         LIMIT 1) IS NOT NULL AS alone FROM billing_cycle c JOIN organization o ON o.id = c.organization WHERE c.state = 'open' \
         AND c.due_at <= $1 AND ($2 = '' OR c.cycle = $2) AND (c.due_at, c.organization) > ($3, $4) \
         ORDER BY c.due_at, c.organization LIMIT $5",
        last,
        cycle,
        instant,
        organization,
        at_most
    ))
}

/// How many cycles are due that no close step of their own holds.
pub async fn count_due(tx: &mut Tx, now: DateTime<Utc>) -> Result<i64, StorageError> {
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM billing_cycle c WHERE c.state = 'open' AND c.due_at <= $1 \
         AND (SELECT s.id FROM step s WHERE s.organization = c.organization AND s.kind = 'close' \
         AND s.state IN ('ready', 'leased', 'parked') LIMIT 1) IS NULL",
        now
    );
    Ok(count)
}

/// Organizations that have a cycle, in a range, in order.
pub async fn organizations(
    tx: &mut Tx,
    cycle: &str,
    first: &str,
    last: &str,
) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT organization FROM billing_cycle WHERE cycle = $1 AND organization BETWEEN $2 AND $3 \
         ORDER BY organization",
        cycle,
        first,
        last
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// Organizations of a range that a close step of their own holds: a chunk leaves them to it.
pub async fn held_alone(
    tx: &mut Tx,
    first: &str,
    last: &str,
    step: &str,
) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT organization FROM step WHERE kind = 'close' AND state IN ('ready', 'leased', 'parked') \
         AND organization BETWEEN $1 AND $2 AND id <> $3",
        first,
        last,
        step
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// Gives an open cycle other terms: finance corrected what it was opened with.
pub async fn set_open_terms(
    tx: &mut Tx,
    organization: &str,
    terms: &CycleTerms,
) -> Result<(), StorageError> {
    let json = to_json("billing_cycle", "terms", organization, terms)?;
    execute!(
        tx,
        "UPDATE billing_cycle SET terms = $2 WHERE organization = $1 AND state = 'open'",
        organization,
        json
    );
    Ok(())
}

/// Closed cycles whose stored outcome their invoice does not bear out: none, ever.
pub async fn without_outcome(tx: &mut Tx) -> Result<Vec<(String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String),
        "SELECT c.organization, c.cycle FROM billing_cycle c LEFT JOIN invoice i \
         ON i.organization = c.organization AND i.cycle = c.cycle WHERE c.state = 'closed' \
         AND (c.outcome IS NULL OR (c.outcome = 'invoiced') <> (i.id IS NOT NULL)) \
         ORDER BY c.organization, c.cycle"
    ))
}

/// When the next open cycle becomes due after an instant.
pub async fn next_due(
    tx: &mut Tx,
    after: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let row = fetch_optional!(
        tx,
        (Option<DateTime<Utc>>,),
        "SELECT MIN(due_at) FROM billing_cycle WHERE state = 'open' AND due_at > $1",
        after
    );
    Ok(row.and_then(|(at,)| at))
}
