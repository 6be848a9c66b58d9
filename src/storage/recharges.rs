//! Automatic purchases: who wants them, within which limits, and how they went.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional};
use super::{StorageError, Tx};

/// An organization's automatic purchases.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Recharge {
    /// Whose.
    pub organization: String,
    /// Below so many available credits (10⁻⁹) one is bought.
    pub threshold: i64,
    /// The package.
    pub package: String,
    /// Most money a calendar month, tax included, in minor units of the organization's currency.
    pub monthly_limit: i64,
    /// Minutes between two.
    pub cool_off_minutes: i64,
    /// `on`, `off`, or `stopped` after failures.
    pub state: String,
    /// Failures in a row.
    pub failures: i64,
    /// When the last one was begun.
    pub last_at: Option<DateTime<Utc>>,
}

/// Columns of a recharge.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, threshold, package, monthly_limit, cool_off_minutes, state, failures, last_at ",
            "FROM recharge ",
            $condition
        )
    };
}

/// Sets an organization's automatic purchases; failures are forgotten.
pub async fn set(tx: &mut Tx, recharge: &Recharge, now: DateTime<Utc>) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO recharge (organization, threshold, package, monthly_limit, cool_off_minutes, state, failures, \
         updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7) ON CONFLICT (organization) DO UPDATE SET \
         threshold = excluded.threshold, package = excluded.package, monthly_limit = excluded.monthly_limit, \
         cool_off_minutes = excluded.cool_off_minutes, state = excluded.state, failures = 0, \
         updated_at = excluded.updated_at",
        recharge.organization.clone(),
        recharge.threshold,
        recharge.package.clone(),
        recharge.monthly_limit,
        recharge.cool_off_minutes,
        recharge.state.clone(),
        now
    );
    Ok(())
}

/// One organization's.
pub async fn get(tx: &mut Tx, organization: &str) -> Result<Option<Recharge>, StorageError> {
    Ok(fetch_optional!(tx, Recharge, select!("WHERE organization = $1"), organization))
}

/// All of a range that are on.
pub async fn on_in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Vec<Recharge>, StorageError> {
    Ok(fetch_all!(
        tx,
        Recharge,
        select!("WHERE organization BETWEEN $1 AND $2 AND state = 'on' ORDER BY organization"),
        first,
        last
    ))
}

/// All.
pub async fn all(tx: &mut Tx) -> Result<Vec<Recharge>, StorageError> {
    Ok(fetch_all!(tx, Recharge, select!("ORDER BY organization")))
}

/// Notes that one was begun.
pub async fn begun(
    tx: &mut Tx,
    organization: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(tx, "UPDATE recharge SET last_at = $2 WHERE organization = $1", organization, now);
    Ok(())
}

/// Notes how one ended: the failures in a row, and whether to go on.
pub async fn ended(
    tx: &mut Tx,
    organization: &str,
    failures: i64,
    state: &str,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE recharge SET failures = $2, state = CASE WHEN state = 'on' THEN $3 ELSE state END \
         WHERE organization = $1",
        organization,
        failures,
        state.to_owned()
    );
    Ok(())
}
