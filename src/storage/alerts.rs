//! What alert rules told and when they were armed again; marks of expiring credits that were told.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, in_range, insert};
use super::{StorageError, Tx, one_or_all, parsed};
use crate::domain::alert::{Measure, State};
use crate::domain::cycle::Cycle;

/// An event of a rule, with the figures of its moment. Amounts are in stored units.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Alert {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// The rule's id.
    pub rule: String,
    /// What the rule measures.
    pub measure: String,
    /// The project it watches; empty: all use.
    pub scope: String,
    /// The cycle it counts for.
    pub cycle: String,
    /// Grants of the cycle when the rule was last armed.
    pub arming: i64,
    /// `told` or `recovered`.
    pub kind: String,
    /// The threshold, in the measure's unit.
    pub threshold: i64,
    /// What the measure read.
    pub figure: i64,
    /// The most severe threshold that stands after it.
    pub standing: Option<i64>,
    /// Rated use the figure is about.
    pub used: i64,
    /// The cycle's allowance.
    pub allowance: i64,
    /// Credits left after all use.
    pub available: i64,
    /// The organization's currency, for money.
    pub currency: String,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
}

/// Records events.
///
/// # Errors
/// One of them was recorded before; nothing of the batch remains.
pub async fn add(tx: &mut Tx, alerts: &[Alert]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO alert (organization, id, rule, measure, scope, cycle, arming, kind, threshold, figure, \
         standing, used, allowance, available, currency, recorded_at)",
        "",
        alerts,
        row => [
            &row.organization,
            &row.id,
            &row.rule,
            &row.measure,
            &row.scope,
            &row.cycle,
            row.arming,
            &row.kind,
            row.threshold,
            row.figure,
            row.standing,
            row.used,
            row.allowance,
            row.available,
            &row.currency,
            row.recorded_at,
        ]
    );
    Ok(())
}

/// What a state is of: organization, cycle, rule, measure, scope.
pub type Of = (String, Cycle, String, Measure, String);

/// Where the rules of a range of organizations stand, in cycles from `since` on.
pub async fn states(
    tx: &mut Tx,
    first: &str,
    last: &str,
    since: Cycle,
) -> Result<HashMap<Of, State>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, String, String, String, i64, Option<i64>),
        concat!(
            "SELECT organization, cycle, rule, measure, scope, arming, standing FROM alert WHERE ",
            in_range!("organization"),
            " AND cycle >= $3"
        ),
        first,
        last,
        since.to_string()
    );
    let mut states: HashMap<Of, State> = HashMap::with_capacity(rows.len());
    for (organization, cycle, rule, measure, scope, arming, standing) in rows {
        let cycle = parsed("alert", "cycle", &organization, &cycle)?;
        let measure: Measure = parsed("alert", "measure", &organization, &measure)?;
        let state = states.entry((organization, cycle, rule, measure, scope)).or_default();
        *state = state.after(measure, arming, standing);
    }
    Ok(states)
}

/// Events, oldest first, of one organization or cycle, or of all.
pub async fn list(
    tx: &mut Tx,
    organization: Option<&str>,
    cycle: Option<&str>,
) -> Result<Vec<Alert>, StorageError> {
    let (first, last) = one_or_all(organization);
    Ok(fetch_all!(
        tx,
        Alert,
        "SELECT organization, id, rule, measure, scope, cycle, arming, kind, threshold, figure, standing, used, \
         allowance, available, currency, recorded_at FROM alert \
         WHERE organization BETWEEN $1 AND $2 AND ($3 = '' OR cycle = $3) \
         ORDER BY recorded_at, organization, id",
        first,
        last,
        cycle.unwrap_or_default()
    ))
}

/// Told alerts whose notice is not stored, as `organization/id`: none, ever.
pub async fn without_notice(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT a.organization || '/' || a.id FROM alert a WHERE a.kind = 'told' AND NOT EXISTS \
         (SELECT 1 FROM notice n WHERE n.organization = a.organization AND n.key = 'alert-' || a.id) \
         ORDER BY a.organization, a.id"
    );
    Ok(rows.into_iter().map(|(name,)| name).collect())
}

/// A mark at which an organization was told of credits that lapse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// Whose.
    pub organization: String,
    /// When they lapse.
    pub expires_at: DateTime<Utc>,
    /// Days before, as configured.
    pub mark: u16,
    /// Days left when it was told.
    pub days: u16,
    /// All that lapses then, in 10⁻⁹ credit.
    pub total: i64,
    /// What will probably lapse of it.
    pub unused: i64,
    /// When it was told.
    pub recorded_at: DateTime<Utc>,
}

/// Records marks.
///
/// # Errors
/// One of them was recorded before.
pub async fn add_expiries(tx: &mut Tx, told: &[Expiry]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO expiry_notice (organization, expires_at, mark, days, total, unused, recorded_at)",
        "",
        told,
        row => [
            &row.organization,
            row.expires_at,
            i64::from(row.mark),
            i64::from(row.days),
            row.total,
            row.unused,
            row.recorded_at,
        ]
    );
    Ok(())
}

/// Marks told to a range of organizations about credits that lapse after an instant.
pub async fn expiries(
    tx: &mut Tx,
    first: &str,
    last: &str,
    after: DateTime<Utc>,
) -> Result<HashSet<(String, DateTime<Utc>, i64)>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, DateTime<Utc>, i64),
        "SELECT organization, expires_at, mark FROM expiry_notice \
         WHERE organization BETWEEN $1 AND $2 AND expires_at > $3",
        first,
        last,
        after
    );
    Ok(rows.into_iter().collect())
}
