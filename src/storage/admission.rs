//! How organizations stand, read set-based, and what was last told of it.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_named, insert};
use super::{StorageError, Tx, damaged, from_json, parsed};
use crate::domain::admission::Reason;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::plan::CycleTerms;

/// Which organizations.
#[derive(Debug, Clone, Copy)]
pub enum Who<'a> {
    /// From the first to the last, both included.
    Range(&'a str, &'a str),
    /// The named ones.
    These(&'a [String]),
}

impl Who<'_> {
    /// Everyone.
    pub const ALL: Who<'static> = Who::Range("", "~");
}

/// How one organization stands by its rows: exact while its open cycle is running.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Whose.
    pub organization: String,
    /// Finance set it aside.
    pub by_hand: bool,
    /// An invoice of it was given up.
    pub unpaid: bool,
    /// Its open cycle …
    pub cycle: Cycle,
    /// … and when that ends.
    pub ends_at: DateTime<Utc>,
    /// Left in all grants, less use no close has taken, less the deficit brought.
    pub available: Credits,
    /// Why it is paused, as last told; none: it was told to be active, or nothing was told.
    pub told: Option<Reason>,
    /// How many changes were told.
    pub version: i64,
    terms: String,
}

impl Figures {
    /// The terms of the open cycle; read only where they decide.
    ///
    /// # Errors
    /// The row is damaged.
    pub fn terms(&self) -> Result<CycleTerms, StorageError> {
        from_json("billing_cycle", "terms", &self.organization, &self.terms)
    }
}

#[derive(Record!)]
struct Row {
    organization: String,
    state: String,
    unpaid: bool,
    cycle: String,
    ends_at: DateTime<Utc>,
    terms: String,
    deficit_brought: i64,
    posted: i64,
    unbilled: i64,
    told: Option<String>,
    version: i64,
}

impl Row {
    fn into_domain(self) -> Result<Figures, StorageError> {
        let id = self.organization;
        let available = Credits::from_nano(self.posted)
            .minus(Credits::from_nano(self.unbilled))
            .and_then(|left| left.minus(Credits::from_nano(self.deficit_brought)))
            .map_err(|error| StorageError::Refused(format!("organization {id}: {error}")))?;
        Ok(Figures {
            by_hand: match self.state.as_str() {
                "active" => false,
                "paused" => true,
                other => return Err(damaged("organization", "state", &id, other)),
            },
            unpaid: self.unpaid,
            cycle: parsed("billing_cycle", "cycle", &id, &self.cycle)?,
            ends_at: self.ends_at,
            available,
            told: self
                .told
                .as_deref()
                .map(|text| parsed("admission", "reason", &id, text))
                .transpose()?,
            version: self.version,
            terms: self.terms,
            organization: id,
        })
    }
}

macro_rules! figures {
    ($condition:literal) => {
        concat!(
            "SELECT o.id AS organization, o.state, o.unpaid, c.cycle, c.ends_at, c.terms, c.deficit_brought, ",
            "CAST(COALESCE((SELECT SUM(b.remaining) FROM credit_balance b ",
            "WHERE b.organization = o.id AND b.remaining > 0), 0) AS BIGINT) AS posted, ",
            "CAST(COALESCE((SELECT SUM(u.credits) FROM usage_rollup u ",
            "WHERE u.organization = o.id AND u.billed_cycle >= c.cycle), 0) AS BIGINT) AS unbilled, ",
            "a.reason AS told, COALESCE(a.version, 0) AS version FROM organization o ",
            "JOIN billing_cycle c ON c.organization = o.id AND c.state = 'open' ",
            "LEFT JOIN admission a ON a.organization = o.id WHERE ",
            $condition
        )
    };
}

/// Organizations of a range whose standing a close may change, beside those it leaves without credits: they were told
/// they are paused, or used something of the cycle that opens.
///
/// Scalar subqueries, not `EXISTS`: PostgreSQL would read all roll-ups there are, once for each chunk.
pub async fn may_change(
    tx: &mut Tx,
    first: &str,
    last: &str,
    closed: Cycle,
) -> Result<BTreeSet<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT o.id FROM organization o WHERE o.id BETWEEN $1 AND $2 AND ((SELECT a.reason FROM admission a \
         WHERE a.organization = o.id) IS NOT NULL OR (SELECT u.billed_cycle FROM usage_rollup u \
         WHERE u.organization = o.id AND u.billed_cycle > $3 LIMIT 1) IS NOT NULL)",
        first,
        last,
        closed.to_string()
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// How organizations stand, in order of their ids for a range.
pub async fn figures(tx: &mut Tx, who: Who<'_>) -> Result<Vec<Figures>, StorageError> {
    let rows = match who {
        Who::Range(first, last) => {
            fetch_all!(
                tx,
                Row,
                figures!(
                    "o.id BETWEEN $1 AND $2 AND c.organization BETWEEN $1 AND $2 ORDER BY o.id"
                ),
                first,
                last
            )
        }
        Who::These(names) => fetch_named!(tx, Row, figures!("o.id"), " ORDER BY o.id", names),
    };
    rows.into_iter().map(Row::into_domain).collect()
}

/// A change that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Whose.
    pub organization: String,
    /// Why it is paused; none: it goes on.
    pub reason: Option<Reason>,
    /// 1, 2, 3 … for each organization.
    pub version: i64,
}

/// Records changes that are told in the same transaction. The organizations are locked.
pub async fn tell(tx: &mut Tx, rows: &[Told], now: DateTime<Utc>) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO admission (organization, state, reason, version, since)",
        " ON CONFLICT (organization) DO UPDATE SET state = excluded.state, reason = excluded.reason, \
          version = excluded.version, since = excluded.since",
        rows,
        row => [
            &row.organization,
            if row.reason.is_some() { "paused" } else { "active" },
            row.reason.map(Reason::as_str),
            row.version,
            now,
        ]
    );
    Ok(())
}

/// Everything that was last told, by organization.
pub async fn all(tx: &mut Tx) -> Result<Vec<Told>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, Option<String>, i64),
        "SELECT organization, reason, version FROM admission ORDER BY organization"
    );
    rows.into_iter()
        .map(|(organization, reason, version)| {
            let reason = reason
                .as_deref()
                .map(|text| parsed("admission", "reason", &organization, text))
                .transpose()?;
            Ok(Told { organization, reason, version })
        })
        .collect()
}

/// Keys and kinds of all notices whose key has a prefix, by organization.
pub async fn notices(
    tx: &mut Tx,
    prefix: &str,
) -> Result<Vec<(String, String, String)>, StorageError> {
    Ok(fetch_all!(
        tx,
        (String, String, String),
        "SELECT organization, key, kind FROM notice WHERE key LIKE $1 ORDER BY organization, key",
        format!("{prefix}%")
    ))
}

/// Sets or lifts what finance decided by hand. False: it was so already.
pub async fn set_by_hand(
    tx: &mut Tx,
    organization: &str,
    paused: bool,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let state = if paused { "paused" } else { "active" };
    let touched = execute!(
        tx,
        "UPDATE organization SET state = $2, updated_at = $3 WHERE id = $1 AND state <> $2",
        organization,
        state,
        now
    );
    Ok(touched == 1)
}

/// Sets or lifts the mark of an unpaid invoice. False: it was so already.
pub async fn set_unpaid(
    tx: &mut Tx,
    organization: &str,
    unpaid: bool,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE organization SET unpaid = $2, updated_at = $3 WHERE id = $1 AND unpaid <> $2",
        organization,
        unpaid,
        now
    );
    Ok(touched == 1)
}
