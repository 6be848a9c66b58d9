//! Usage events, stored once, and the roll-ups the close reads.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, Statement, fetch_all, in_range, insert, record_with};
use super::{StorageError, Tx, by_organization, parsed, to_json};
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::cycle::Cycle;
use crate::domain::invoice::UsageSummary;
use crate::domain::rating::Rating;
use crate::domain::usage::UsageEvent;

/// A rated event, ready to be stored.
#[derive(Debug)]
pub struct RatedEvent<'a> {
    /// What was used.
    pub event: &'a UsageEvent,
    /// What it costs.
    pub rating: &'a Rating,
    /// Its own cycle.
    pub cycle: Cycle,
    /// The open cycle that bills it; differs for late use (D7).
    pub billed_cycle: Cycle,
    /// Its day in the organization's zone.
    pub day: NaiveDate,
    /// Hash of its content.
    pub content_hash: &'a str,
}

/// What became of an event that was offered for storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is new and was stored.
    New,
    /// The same event is there already: nothing to do.
    Duplicate,
    /// Another event is there under the same organization, source and id.
    Conflict,
}

#[derive(Record!)]
struct KeyRow {
    organization: String,
    source: String,
    event_id: String,
    content_hash: String,
    batch: String,
}

/// Stores events that are not there yet, and tells for each what became of it.
///
/// `events` name each key at most once; `batch` names this call and no other. `repeats`: most of them are expected to
/// be there, so they are looked for before anything is written.
pub async fn add_events(
    tx: &mut Tx,
    events: &[RatedEvent<'_>],
    batch: &str,
    repeats: bool,
    now: DateTime<Utc>,
) -> Result<Vec<Stored>, StorageError> {
    if repeats {
        let known = compare(tx, events, batch).await?;
        if !known.contains(&None) {
            return Ok(known.into_iter().flatten().collect());
        }
    }
    let mut rows = Vec::with_capacity(events.len());
    for rated in events {
        let name = &rated.event.id;
        let quantities: BTreeMap<&str, String> = rated
            .event
            .quantities
            .iter()
            .map(|(dimension, quantity)| {
                (dimension.as_str(), crate::domain::decimal::text(*quantity))
            })
            .collect();
        let quantities = to_json("usage_event", "quantities", name, &quantities)?;
        let components = to_json("usage_event", "components", name, &rated.rating.components)?;
        rows.push((rated, quantities, components));
    }
    let touched = insert!(
        tx,
        "INSERT INTO usage_event (organization, source, event_id, at, cycle, billed_cycle, day, meter, \
         project, member, environment, model, supplier, job, quantities, components, credits, \
         content_hash, batch, recorded_at)",
        " ON CONFLICT (organization, source, event_id) DO NOTHING",
        rows,
        row => [
            &row.0.event.organization,
            &row.0.event.source,
            &row.0.event.id,
            row.0.event.at,
            row.0.cycle.to_string(),
            row.0.billed_cycle.to_string(),
            row.0.day,
            &row.0.event.meter,
            &row.0.event.project,
            &row.0.event.member,
            &row.0.event.environment,
            &row.0.event.model,
            &row.0.event.supplier,
            &row.0.event.job,
            &row.1,
            &row.2,
            row.0.rating.credits.nano(),
            row.0.content_hash,
            batch,
            now,
        ]
    );
    if touched == events.len() as u64 {
        return Ok(vec![Stored::New; events.len()]);
    }
    let stored = compare(tx, events, batch).await?;
    Ok(stored.into_iter().map(|stored| stored.unwrap_or(Stored::Conflict)).collect())
}

/// Reads back what is stored under the keys of `events`; none: nothing.
async fn compare(
    tx: &mut Tx,
    events: &[RatedEvent<'_>],
    batch: &str,
) -> Result<Vec<Option<Stored>>, StorageError> {
    let mut stored: HashMap<(String, String, String), (String, String)> = HashMap::new();
    for chunk in events.chunks(super::db::rows_per_statement(3)) {
        let mut statement = Statement::new(
            "SELECT organization, source, event_id, content_hash, batch FROM usage_event \
             WHERE (organization, source, event_id) IN (",
        );
        statement
            .values(chunk, |row, rated| {
                row.bind(rated.event.organization.clone())
                    .bind(rated.event.source.clone())
                    .bind(rated.event.id.clone());
            })
            .push(")");
        let rows: Vec<KeyRow> = statement.fetch_all(tx).await?;
        for row in rows {
            stored.insert(
                (row.organization, row.source, row.event_id),
                (row.content_hash, row.batch),
            );
        }
    }
    Ok(events
        .iter()
        .map(|rated| {
            let event = &rated.event;
            let key = (event.organization.clone(), event.source.clone(), event.id.clone());
            let (hash, stored_in) = stored.get(&key)?;
            Some(match hash {
                _ if stored_in == batch => Stored::New,
                hash if hash == rated.content_hash => Stored::Duplicate,
                _ => Stored::Conflict,
            })
        })
        .collect())
}

/// Events of one organization and source.
pub type Group<'a> = &'a [&'a RatedEvent<'a>];

/// Events in groups. They mostly come in the order of their keys: who counts a group needs few look-ups.
#[must_use]
pub fn groups<'a>(events: &'a [&'a RatedEvent<'a>]) -> Vec<Group<'a>> {
    let feed = |rated: &RatedEvent<'a>| (&rated.event.organization, &rated.event.source);
    events.chunk_by(|a, b| feed(a) == feed(b)).collect()
}

/// The key of a roll-up, after the organization.
type RollupKey<'a> =
    (Cycle, Cycle, NaiveDate, &'a str, &'a str, &'a str, &'a str, &'a str, &'a str);

/// Adds new events to the roll-ups, in the transaction that stored them.
pub async fn roll_up(tx: &mut Tx, groups: &[Group<'_>]) -> Result<(), StorageError> {
    let mut sums: BTreeMap<&str, BTreeMap<RollupKey<'_>, (i64, Credits)>> = BTreeMap::new();
    for group in groups {
        let Some(first) = group.first() else { continue };
        let organization = first.event.organization.as_str();
        let sums = sums.entry(organization).or_default();
        for rated in *group {
            let event = &rated.event;
            let key = (
                rated.billed_cycle,
                rated.cycle,
                rated.day,
                event.meter.as_str(),
                event.project.as_str(),
                event.member.as_str(),
                event.environment.as_str(),
                event.model.as_str(),
                event.supplier.as_str(),
            );
            let sum = sums.entry(key).or_default();
            sum.0 += 1;
            sum.1 = sum.1.plus(rated.rating.credits).map_err(|error: CreditsError| {
                StorageError::Refused(format!("organization {organization}: {error}"))
            })?;
        }
    }
    let rows: Vec<_> = sums
        .iter()
        .flat_map(|(organization, sums)| {
            sums.iter().map(move |(key, sum)| (organization, key, sum))
        })
        .collect();
    insert!(
        tx,
        "INSERT INTO usage_rollup (organization, billed_cycle, cycle, day, meter, project, member, \
         environment, model, supplier, events, credits)",
        " ON CONFLICT (organization, billed_cycle, cycle, day, meter, project, member, environment, model, \
          supplier) DO UPDATE SET events = usage_rollup.events + excluded.events, \
          credits = usage_rollup.credits + excluded.credits",
        rows,
        row => [
            *row.0,
            row.1.0.to_string(),
            row.1.1.to_string(),
            row.1.2,
            row.1.3,
            row.1.4,
            row.1.5,
            row.1.6,
            row.1.7,
            row.1.8,
            row.2.0,
            row.2.1.nano(),
        ]
    );
    Ok(())
}

#[derive(Record!)]
struct SummaryRow {
    organization: String,
    cycle: String,
    meter: String,
    events: i64,
    credits: i64,
}

impl SummaryRow {
    fn into_domain(self) -> Result<(String, UsageSummary), StorageError> {
        let cycle = parsed("usage_rollup", "cycle", &self.organization, &self.cycle)?;
        let summary = UsageSummary {
            cycle,
            meter: self.meter,
            events: self.events,
            credits: Credits::from_nano(self.credits),
        };
        Ok((self.organization, summary))
    }
}

/// Rated use that a cycle bills, by own cycle and meter, of a range of organizations.
pub async fn summaries(
    tx: &mut Tx,
    first: &str,
    last: &str,
    billed_cycle: Cycle,
) -> Result<HashMap<String, Vec<UsageSummary>>, StorageError> {
    let rows = fetch_all!(
        tx,
        SummaryRow,
        concat!(
            "SELECT organization, cycle, meter, CAST(SUM(events) AS BIGINT) AS events, \
             CAST(SUM(credits) AS BIGINT) AS credits FROM usage_rollup WHERE ",
            in_range!("organization"),
            " AND organization BETWEEN $1 AND $2 AND billed_cycle = $3 \
             GROUP BY organization, cycle, meter ORDER BY organization, cycle, meter"
        ),
        first,
        last,
        billed_cycle.to_string()
    );
    by_organization(rows.into_iter().map(SummaryRow::into_domain))
}

/// Rated use that each cycle bills, by own cycle and meter, of a range of organizations.
pub async fn summaries_of_all_cycles(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<(Cycle, UsageSummary)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        BilledRow,
        "SELECT organization, billed_cycle, cycle, meter, CAST(SUM(events) AS BIGINT) AS events, \
         CAST(SUM(credits) AS BIGINT) AS credits FROM usage_rollup WHERE organization BETWEEN $1 AND $2 \
         GROUP BY organization, billed_cycle, cycle, meter ORDER BY organization, billed_cycle, cycle, meter",
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| {
        let (organization, summary) = row.summary.into_domain()?;
        let billed = parsed("usage_rollup", "billed_cycle", &organization, &row.billed_cycle)?;
        Ok((organization, (billed, summary)))
    }))
}

/// A summary with the cycle that bills it.
struct BilledRow {
    billed_cycle: String,
    summary: SummaryRow,
}

record_with!(BilledRow { summary: SummaryRow, billed_cycle });

/// Rated use not yet taken by a close: all roll-ups billed in a cycle from `first_open` on.
pub async fn unbilled(
    tx: &mut Tx,
    organization: &str,
    first_open: Cycle,
) -> Result<Credits, StorageError> {
    let rows = fetch_all!(
        tx,
        (i64,),
        "SELECT CAST(COALESCE(SUM(credits), 0) AS BIGINT) FROM usage_rollup \
         WHERE organization = $1 AND billed_cycle >= $2",
        organization,
        first_open.to_string()
    );
    Ok(Credits::from_nano(rows.first().map_or(0, |(credits,)| *credits)))
}

/// Rated use of a range of organizations that no close has taken, by the cycle that bills it.
pub async fn by_billed_cycle(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<(Cycle, Credits)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, i64),
        "SELECT u.organization, u.billed_cycle, CAST(SUM(u.credits) AS BIGINT) \
         FROM billing_cycle c CROSS JOIN usage_rollup u WHERE c.organization BETWEEN $1 AND $2 AND c.state = 'open' \
         AND u.organization = c.organization AND u.billed_cycle >= c.cycle GROUP BY u.organization, u.billed_cycle",
        first,
        last
    );
    let mut by_organization: HashMap<String, Vec<(Cycle, Credits)>> = HashMap::new();
    for (organization, cycle, nano) in rows {
        let cycle = parsed("usage_rollup", "billed_cycle", &organization, &cycle)?;
        let used = (cycle, Credits::from_nano(nano));
        by_organization.entry(organization).or_default().push(used);
    }
    Ok(by_organization)
}

/// Where a roll-up and the events it should sum differ.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct RollupDifference {
    /// Whose.
    pub organization: String,
    /// Billed in which cycle.
    pub billed_cycle: String,
    /// Sum of the events.
    pub events_credits: i64,
    /// Sum of the roll-ups.
    pub rollup_credits: i64,
    /// Number of events.
    pub events: i64,
    /// Number the roll-ups say.
    pub rollup_events: i64,
}

/// Recomputes the roll-ups from the events; gives where they differ.
pub async fn rollup_differences(tx: &mut Tx) -> Result<Vec<RollupDifference>, StorageError> {
    Ok(fetch_all!(
        tx,
        RollupDifference,
        "SELECT organization, billed_cycle, CAST(SUM(ec) AS BIGINT) AS events_credits, \
         CAST(SUM(rc) AS BIGINT) AS rollup_credits, CAST(SUM(en) AS BIGINT) AS events, \
         CAST(SUM(rn) AS BIGINT) AS rollup_events FROM (\
         SELECT organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier, \
         credits AS ec, 1 AS en, 0 AS rc, 0 AS rn FROM usage_event UNION ALL \
         SELECT organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier, \
         0, 0, credits, events FROM usage_rollup) AS both_sides \
         GROUP BY organization, billed_cycle, cycle, day, meter, project, member, environment, model, supplier \
         HAVING SUM(ec) <> SUM(rc) OR SUM(en) <> SUM(rn) ORDER BY organization, billed_cycle"
    ))
}
