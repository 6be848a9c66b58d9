//! What was used, as people ask for it: roll-ups of a cycle, and the single events behind them.

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, fetch_one};
use super::{StorageError, Tx};
use crate::domain::cycle::Cycle;

/// Use of one day that is alike in everything but the event.
#[derive(Debug, Clone, Record!)]
pub struct Rollup {
    /// The cycle it happened in.
    pub cycle: String,
    /// The day, in the organization's zone.
    pub day: NaiveDate,
    /// What was used.
    pub meter: String,
    /// Whose project; empty: none was named. So with what follows.
    pub project: String,
    /// Which member.
    pub member: String,
    /// Which environment.
    pub environment: String,
    /// Which model.
    pub model: String,
    /// Whose model.
    pub supplier: String,
    /// How many events.
    pub events: i64,
    /// Their rated credits, in 10⁻⁹ credit.
    pub credits: i64,
}

/// One stored event.
#[derive(Debug, Clone, Record!)]
pub struct Event {
    /// Whose.
    pub organization: String,
    /// Who sent it.
    pub source: String,
    /// Its id, unique in its source.
    pub event_id: String,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The cycle it happened in.
    pub cycle: String,
    /// What was used.
    pub meter: String,
    /// Whose project; empty: none was named. So with what follows.
    pub project: String,
    /// Which member.
    pub member: String,
    /// Which environment.
    pub environment: String,
    /// Which model.
    pub model: String,
    /// Whose model.
    pub supplier: String,
    /// Which job.
    pub job: String,
    /// Quantities by dimension, as JSON.
    pub quantities: String,
    /// How its credits came about, as JSON; see [`Component`](crate::domain::rating::Component).
    pub components: String,
    /// Rated credits, in 10⁻⁹ credit.
    pub credits: i64,
    /// Hash over what was reported.
    pub content_hash: String,
    /// When it came in.
    pub recorded_at: DateTime<Utc>,
}

/// Which events are meant; none: any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this meter.
    pub meter: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// Of this job.
    pub job: Option<String>,
    /// Of this day, in the organization's zone.
    pub day: Option<NaiveDate>,
}

/// The events of an organization that a cycle bills and a filter lets pass.
macro_rules! chosen {
    ($columns:literal, $tail:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM usage_event WHERE organization = $1 AND billed_cycle = $2 \
             AND (CAST($3 AS TEXT) IS NULL OR meter = $3) AND (CAST($4 AS TEXT) IS NULL OR model = $4) \
             AND (CAST($5 AS TEXT) IS NULL OR project = $5) AND (CAST($6 AS TEXT) IS NULL OR job = $6) \
             AND (CAST($7 AS DATE) IS NULL OR day = $7)",
            $tail
        )
    };
}

/// All roll-ups of an organization that a cycle bills, day by day.
pub async fn rollups(
    tx: &mut Tx,
    organization: &str,
    billed_cycle: Cycle,
) -> Result<Vec<Rollup>, StorageError> {
    Ok(fetch_all!(
        tx,
        Rollup,
        "SELECT cycle, day, meter, project, member, environment, model, supplier, events, credits \
         FROM usage_rollup WHERE organization = $1 AND billed_cycle = $2 \
         ORDER BY day, cycle, meter, project, member, environment, model, supplier",
        organization,
        billed_cycle.to_string()
    ))
}

/// How many events are chosen, and their credits in 10⁻⁹ credit.
pub async fn totals(
    tx: &mut Tx,
    organization: &str,
    billed_cycle: Cycle,
    filter: &Filter,
) -> Result<(i64, i64), StorageError> {
    Ok(fetch_one!(
        tx,
        (i64, i64),
        chosen!("CAST(COUNT(*) AS BIGINT), CAST(COALESCE(SUM(credits), 0) AS BIGINT)", ""),
        organization,
        billed_cycle.to_string(),
        filter.meter.clone(),
        filter.model.clone(),
        filter.project.clone(),
        filter.job.clone(),
        filter.day
    ))
}

/// The dearest of the chosen events.
pub async fn events(
    tx: &mut Tx,
    organization: &str,
    billed_cycle: Cycle,
    filter: &Filter,
    at_most: i64,
) -> Result<Vec<Event>, StorageError> {
    Ok(fetch_all!(
        tx,
        Event,
        chosen!(
            "organization, source, event_id, at, cycle, meter, project, member, environment, model, supplier, job, \
             quantities, components, credits, content_hash, recorded_at",
            " ORDER BY credits DESC, at, source, event_id LIMIT $8"
        ),
        organization,
        billed_cycle.to_string(),
        filter.meter.clone(),
        filter.model.clone(),
        filter.project.clone(),
        filter.job.clone(),
        filter.day,
        at_most
    ))
}

/// The next events of everybody in the order of organization, source and id, after one of them.
pub async fn after(
    tx: &mut Tx,
    last: Option<&Event>,
    at_most: i64,
) -> Result<Vec<Event>, StorageError> {
    let [organization, source, id] = last.map_or_else(Default::default, |last| {
        [&last.organization, &last.source, &last.event_id].map(Clone::clone)
    });
    Ok(fetch_all!(
        tx,
        Event,
        "SELECT organization, source, event_id, at, cycle, meter, project, member, environment, model, supplier, \
         job, quantities, components, credits, content_hash, recorded_at FROM usage_event \
         WHERE (organization, source, event_id) > ($1, $2, $3) \
         ORDER BY organization, source, event_id LIMIT $4",
        organization,
        source,
        id,
        at_most
    ))
}
