//! Series of numbers: taken in the transaction that uses them, so that there are no gaps.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, fetch_one, fetch_optional};
use super::{StorageError, Tx};

/// Takes `count` numbers of a series; gives the first. The row lock orders issuers, and a rollback
/// gives the numbers back: no gaps.
pub async fn take(tx: &mut Tx, series: &str, count: i64) -> Result<i64, StorageError> {
    let (last,) = fetch_one!(
        tx,
        (i64,),
        "INSERT INTO series (name, last) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE \
         SET last = series.last + excluded.last RETURNING last",
        series,
        count
    );
    Ok(last - count + 1)
}

/// When the last invoice of a series was issued.
pub async fn last_issued_at(
    tx: &mut Tx,
    series: &str,
) -> Result<Option<DateTime<Utc>>, StorageError> {
    let row = fetch_optional!(
        tx,
        (DateTime<Utc>,),
        "SELECT issued_at FROM invoice WHERE series = $1 ORDER BY series_number DESC LIMIT 1",
        series
    );
    Ok(row.map(|(at,)| at))
}

/// A number as issued.
#[derive(Debug, Clone, Record!)]
pub struct NumberRow {
    /// Its series.
    pub series: String,
    /// Its place in it.
    pub series_number: i64,
    /// The whole number.
    pub number: String,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
}

/// All numbers, by series and place.
pub async fn all(tx: &mut Tx) -> Result<Vec<NumberRow>, StorageError> {
    Ok(fetch_all!(
        tx,
        NumberRow,
        "SELECT series, series_number, number, issued_at FROM invoice WHERE number IS NOT NULL \
         UNION ALL SELECT series, series_number, number, issued_at FROM document ORDER BY series, series_number"
    ))
}

/// The counters of all series.
pub async fn counters(tx: &mut Tx) -> Result<Vec<(String, i64)>, StorageError> {
    Ok(fetch_all!(tx, (String, i64), "SELECT name, last FROM series ORDER BY name"))
}
