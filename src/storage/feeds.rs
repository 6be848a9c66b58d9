//! Feeds of usage: events by source and day, whom a source serves, and silent days a person said are complete.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};

use super::db::{execute, fetch_all, fetch_optional, insert};
use super::usage::Group;
use super::{StorageError, Tx};

/// Counts new events, in the transaction that stored them and last in it: others that import at the same time
/// wait for the row of their source's day.
pub async fn count(tx: &mut Tx, groups: &[Group<'_>]) -> Result<(), StorageError> {
    let mut days: BTreeMap<&str, BTreeMap<NaiveDate, i64>> = BTreeMap::new();
    let mut served: BTreeMap<(&str, &str), (NaiveDate, NaiveDate)> = BTreeMap::new();
    for group in groups {
        let Some(first) = group.first() else { continue };
        let (source, organization) = (&first.event.source, &first.event.organization);
        let day = first.event.at.date_naive();
        let days = days.entry(source).or_default();
        let span = served.entry((source, organization)).or_insert((day, day));
        for rated in *group {
            let day = rated.event.at.date_naive();
            *days.entry(day).or_default() += 1;
            *span = (span.0.min(day), span.1.max(day));
        }
    }
    let served: Vec<_> = served.into_iter().collect();
    insert!(
        tx,
        "INSERT INTO feed_organization (source, organization, first_day, last_day)",
        " ON CONFLICT (source, organization) DO UPDATE SET \
         first_day = CASE WHEN excluded.first_day < feed_organization.first_day THEN excluded.first_day \
         ELSE feed_organization.first_day END, \
         last_day = CASE WHEN excluded.last_day > feed_organization.last_day THEN excluded.last_day \
         ELSE feed_organization.last_day END",
        served,
        row => [row.0.0, row.0.1, row.1.0, row.1.1]
    );
    let days: Vec<_> = days
        .iter()
        .flat_map(|(source, days)| days.iter().map(move |(day, events)| (source, day, events)))
        .collect();
    insert!(
        tx,
        "INSERT INTO feed (source, day, events)",
        " ON CONFLICT (source, day) DO UPDATE SET events = feed.events + excluded.events",
        days,
        row => [*row.0, *row.1, *row.2]
    );
    Ok(())
}

/// Events of each source on the days from `first` to `last` that had any.
pub async fn days(
    tx: &mut Tx,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<BTreeMap<String, BTreeMap<NaiveDate, i64>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, NaiveDate, i64),
        "SELECT source, day, events FROM feed WHERE day BETWEEN $1 AND $2",
        first,
        last
    );
    let mut sources: BTreeMap<String, BTreeMap<NaiveDate, i64>> = BTreeMap::new();
    for (source, day, events) in rows {
        sources.entry(source).or_default().insert(day, events);
    }
    Ok(sources)
}

/// Organizations a source served between two days, or before and after them.
pub async fn served(
    tx: &mut Tx,
    source: &str,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<BTreeSet<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT organization FROM feed_organization WHERE source = $1 AND last_day >= $2 AND first_day <= $3",
        source,
        first,
        last
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// Silent days that a person said are complete.
pub async fn confirmed(
    tx: &mut Tx,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<BTreeSet<(String, NaiveDate)>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, NaiveDate),
        "SELECT source, day FROM feed_confirmation WHERE day BETWEEN $1 AND $2",
        first,
        last
    );
    Ok(rows.into_iter().collect())
}

/// Notes that a silent day is complete. False: that was said before.
pub async fn confirm(
    tx: &mut Tx,
    source: &str,
    day: NaiveDate,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "INSERT INTO feed_confirmation (source, day, confirmed_at) VALUES ($1, $2, $3) \
         ON CONFLICT (source, day) DO NOTHING",
        source,
        day,
        now
    );
    Ok(touched == 1)
}

/// Has anything ever come from a source?
pub async fn is_known(tx: &mut Tx, source: &str) -> Result<bool, StorageError> {
    let row =
        fetch_optional!(tx, (NaiveDate,), "SELECT day FROM feed WHERE source = $1 LIMIT 1", source);
    Ok(row.is_some())
}

/// Events of a source on a day.
pub async fn events_on(tx: &mut Tx, source: &str, day: NaiveDate) -> Result<i64, StorageError> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT events FROM feed WHERE source = $1 AND day = $2",
        source,
        day
    );
    Ok(row.map_or(0, |(events,)| events))
}

/// Sources whose counted days are not the events that are stored: none, ever.
pub async fn differences(tx: &mut Tx) -> Result<Vec<(String, i64, i64)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, i64, i64),
        "SELECT e.source, e.events, CAST(COALESCE(f.events, 0) AS BIGINT) FROM \
         (SELECT source, CAST(COUNT(*) AS BIGINT) AS events FROM usage_event GROUP BY source) e LEFT JOIN \
         (SELECT source, CAST(SUM(events) AS BIGINT) AS events FROM feed GROUP BY source) f \
         ON f.source = e.source WHERE e.events <> COALESCE(f.events, 0) ORDER BY e.source"
    ))
}
