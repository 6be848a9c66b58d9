//! Facts about this deployment: its id, its mode, the latest instant it worked at.

use chrono::{DateTime, Duration, Utc};

use super::db::{execute, fetch_optional};
use super::{StorageError, Tx, damaged};

/// Names of the stored facts.
pub mod names {
    /// Random id of this deployment, part of every derived key.
    pub const DEPLOYMENT: &str = "deployment";
    /// `test` or `live`.
    pub const MODE: &str = "mode";
    /// Secret of the links that mails carry.
    pub const LINK_SECRET: &str = "link_secret";
    /// There is a home that acts for this deployment.
    pub const HOME: &str = "home";
    /// The provider account that collects for it.
    pub const GATEWAY: &str = "gateway";
    /// The latest instant at which work was done; a clock behind it is refused.
    pub const HIGH_WATER: &str = "high_water_at";
}

/// A stored fact.
pub async fn get(tx: &mut Tx, name: &str) -> Result<Option<String>, StorageError> {
    let row = fetch_optional!(tx, (String,), "SELECT value FROM meta WHERE name = $1", name);
    Ok(row.map(|(value,)| value))
}

/// Stores a fact unless it is there.
async fn set_once(tx: &mut Tx, name: &str, value: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        name,
        value
    );
    Ok(())
}

/// Stores a fact unless it is there; gives what is stored then.
pub async fn get_or_set(tx: &mut Tx, name: &str, value: &str) -> Result<String, StorageError> {
    set_once(tx, name, value).await?;
    Ok(get(tx, name).await?.unwrap_or_else(|| value.to_owned()))
}

/// Stores a fact in place of what is there.
pub async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        name,
        value
    );
    Ok(())
}

/// Contracts and catalogs are checked against each other before they are stored: whoever stores one waits for the
/// other. SQLite has one writer already.
pub async fn lock_terms(tx: &mut Tx) -> Result<(), StorageError> {
    if let Tx::Postgres(tx) = tx {
        sqlx::query("SELECT value FROM meta WHERE name = $1 FOR UPDATE")
            .bind(names::DEPLOYMENT)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The latest instant at which work was done.
pub async fn high_water(tx: &mut Tx) -> Result<Option<DateTime<Utc>>, StorageError> {
    let Some(text) = get(tx, names::HIGH_WATER).await? else { return Ok(None) };
    DateTime::parse_from_rfc3339(&text)
        .map(|at| Some(at.with_timezone(&Utc)))
        .map_err(|error| damaged("meta", "value", names::HIGH_WATER, error))
}

/// How far the stored instant may lag behind the work.
const LAG: Duration = Duration::seconds(30);

/// Does a stored instant lag so far behind that it has to be raised?
#[must_use]
pub fn lags(stored: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now >= stored + LAG
}

/// The raise, with what makes it skip a row in other hands on PostgreSQL.
macro_rules! raise {
    ($skip:literal) => {
        concat!(
            "UPDATE meta SET value = $2 WHERE name IN (SELECT name FROM meta WHERE name = $1 AND value < $2 ",
            $skip,
            ")"
        )
    };
}

/// Raises the latest instant; never lowers it. It is written only where it lags, and waits for nobody: every claim
/// comes by here, and a process that is stopped with this row in hand would keep all others from claiming.
/// Gives an instant that is stored then, or a later one is.
pub async fn raise_high_water(
    tx: &mut Tx,
    at: DateTime<Utc>,
) -> Result<DateTime<Utc>, StorageError> {
    let text = at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    match high_water(tx).await? {
        None => {
            set_once(tx, names::HIGH_WATER, &text).await?;
            Ok(at)
        }
        Some(high) if lags(high, at) => {
            let sql = match tx {
                Tx::Sqlite(..) => raise!(""),
                Tx::Postgres(_) => raise!("FOR UPDATE SKIP LOCKED"),
            };
            let raised = execute!(tx, sql, names::HIGH_WATER, text) == 1;
            Ok(if raised { at } else { high })
        }
        Some(high) => Ok(high),
    }
}
