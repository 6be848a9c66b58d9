//! Catalog versions and suppliers' rates.

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional, insert};
use super::{StorageError, Tx};

/// A version of the catalog as it was applied: the text of the file.
#[derive(Debug, Clone, Record!)]
pub struct VersionRow {
    /// 1, 2, 3 …
    pub version: i64,
    /// Cycles that open at or after this instant take it.
    pub effective_at: DateTime<Utc>,
    /// The file's text.
    pub content: String,
    /// Its hash.
    pub content_hash: String,
}

/// A supplier's published price of one dimension of a model.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct SupplierRateRow {
    /// Which meter.
    pub meter: String,
    /// Which model.
    pub model: String,
    /// Which dimension.
    pub dimension: String,
    /// First day it holds.
    pub effective_on: NaiveDate,
    /// Who supplies the model; empty: not named.
    pub supplier: String,
    /// Exact credits per unit, as decimal text.
    pub unit_price: String,
}

/// All versions, oldest first.
pub async fn versions(tx: &mut Tx) -> Result<Vec<VersionRow>, StorageError> {
    Ok(fetch_all!(
        tx,
        VersionRow,
        "SELECT version, effective_at, content, content_hash FROM catalog_version ORDER BY version"
    ))
}

/// The latest version.
pub async fn latest(tx: &mut Tx) -> Result<Option<VersionRow>, StorageError> {
    Ok(fetch_optional!(
        tx,
        VersionRow,
        "SELECT version, effective_at, content, content_hash FROM catalog_version \
         ORDER BY version DESC LIMIT 1"
    ))
}

/// Adds a version.
pub async fn add_version(
    tx: &mut Tx,
    row: &VersionRow,
    recorded_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO catalog_version (version, effective_at, content, content_hash, recorded_at) \
         VALUES ($1, $2, $3, $4, $5)",
        row.version,
        row.effective_at,
        row.content.clone(),
        row.content_hash.clone(),
        recorded_at
    );
    Ok(())
}

/// Stores suppliers' rates; a price published again for the same day replaces the one before.
pub async fn put_supplier_rates(
    tx: &mut Tx,
    rates: &[SupplierRateRow],
    recorded_at: DateTime<Utc>,
) -> Result<u64, StorageError> {
    Ok(insert!(
        tx,
        "INSERT INTO supplier_rate (meter, model, dimension, effective_on, supplier, unit_price, recorded_at)",
        " ON CONFLICT (meter, model, dimension, effective_on) DO UPDATE SET supplier = excluded.supplier, \
          unit_price = excluded.unit_price, recorded_at = excluded.recorded_at",
        rates,
        rate => [
            &rate.meter,
            &rate.model,
            &rate.dimension,
            rate.effective_on,
            &rate.supplier,
            &rate.unit_price,
            recorded_at,
        ]
    ))
}

/// All suppliers' rates.
pub async fn supplier_rates(tx: &mut Tx) -> Result<Vec<SupplierRateRow>, StorageError> {
    Ok(fetch_all!(
        tx,
        SupplierRateRow,
        "SELECT meter, model, dimension, effective_on, supplier, unit_price FROM supplier_rate"
    ))
}
