//! The catalog over time: versions, suppliers' rates, and what holds at an instant.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};

use super::ServiceError;
use crate::app::App;
use crate::domain::catalog::{Catalog, Rate};
use crate::domain::organization::Organization;
use crate::domain::plan::{CycleTerms, TermsError};
use crate::domain::rating::RateCard;
use crate::domain::{decimal, ids};
use crate::intake::{catalog_file, prices};
use crate::storage::catalog::{self, SupplierRateRow, VersionRow};
use crate::storage::{Tx, audit, damaged, meta, organizations};

/// All versions of the catalog.
#[derive(Debug, Clone)]
pub struct History {
    versions: Vec<Version>,
}

/// One version.
#[derive(Debug, Clone)]
pub struct Version {
    /// 1, 2, 3 …
    pub number: i64,
    /// Cycles that open at or after this instant take it.
    pub effective_at: DateTime<Utc>,
    /// What it says.
    pub catalog: Arc<Catalog>,
}

/// Terms for a cycle that opens.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The terms.
    pub terms: CycleTerms,
    /// They were corrected after the cycle began: why contract and catalog of then did not fit.
    pub unfit: Option<TermsError>,
}

/// Parsed texts by their hash: a version never changes, and each chunk of a close asks for it.
static PARSED: LazyLock<Mutex<HashMap<String, Arc<Catalog>>>> = LazyLock::new(Mutex::default);

impl History {
    /// Reads all versions.
    ///
    /// # Errors
    /// None was applied yet, or a stored one is damaged.
    pub async fn load(tx: &mut Tx) -> Result<Self, ServiceError> {
        let mut versions = Vec::new();
        for row in catalog::versions(tx).await? {
            let name = format!("version {}", row.version);
            let catalog = stored(&name, &row)?;
            versions.push(Version { number: row.version, effective_at: row.effective_at, catalog });
        }
        if versions.is_empty() {
            return Err(ServiceError::Refused(
                "no catalog was applied yet; run `monthend init` or `monthend catalog apply`"
                    .to_owned(),
            ));
        }
        Ok(Self { versions })
    }

    /// The version in force at an instant: the latest that had become effective. Before the first one
    /// became effective, the latest applied.
    #[must_use]
    pub fn in_force(&self, at: DateTime<Utc>) -> &Version {
        let effective = self.versions.iter().rev().find(|version| version.effective_at <= at);
        effective.unwrap_or_else(|| self.latest())
    }

    /// The terms of a cycle that begins at an instant, for the contract of then: by the catalog in force. Two that do
    /// not fit each other open nothing, so what was corrected afterwards counts: the first later catalog that the
    /// contract fits, or else the contract of today, likewise.
    ///
    /// # Errors
    /// Nothing fits: why those of then do not.
    pub fn terms(
        &self,
        at: DateTime<Utc>,
        then: &Organization,
        today: &Organization,
    ) -> Result<Opening, TermsError> {
        let in_force = self.in_force(at);
        let terms = |version: &Version, contract| version.catalog.terms(contract, version.number);
        let unfit = match terms(in_force, then) {
            Ok(terms) => return Ok(Opening { terms, unfit: None }),
            Err(unfit) => unfit,
        };
        let later = self.versions.iter().filter(|version| version.number > in_force.number);
        let later = std::iter::once(in_force).chain(later);
        let mut corrected = [then, today]
            .into_iter()
            .flat_map(|contract| later.clone().map(move |version| (version, contract)));
        match corrected.find_map(|(version, contract)| terms(version, contract).ok()) {
            Some(terms) => Ok(Opening { terms, unfit: Some(unfit) }),
            None => Err(unfit),
        }
    }

    /// The version applied last.
    #[must_use]
    pub fn latest(&self) -> &Version {
        // `load` refuses an empty history.
        &self.versions[self.versions.len() - 1]
    }
}

fn stored(name: &str, row: &VersionRow) -> Result<Arc<Catalog>, ServiceError> {
    let mut known = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(catalog) = known.get(&row.content_hash) {
        return Ok(catalog.clone());
    }
    let catalog = catalog_file::parse(name, &row.content)
        .map_err(|error| damaged("catalog_version", "content", name, error))?;
    let catalog = Arc::new(catalog);
    known.insert(row.content_hash.clone(), catalog.clone());
    Ok(catalog)
}

/// The rates by which usage is rated that arrives now: those of the catalog in force and all suppliers'.
pub async fn rate_card(
    tx: &mut Tx,
    history: &History,
    now: DateTime<Utc>,
) -> Result<RateCard, ServiceError> {
    let catalog = &history.in_force(now).catalog;
    let mut rates = catalog.rates.clone();
    for row in catalog::supplier_rates(tx).await? {
        let unit_price = decimal::parse(&row.unit_price)
            .map_err(|error| damaged("supplier_rate", "unit_price", &row.model, error))?;
        rates.push(Rate {
            meter: row.meter,
            dimensions: vec![row.dimension],
            model: Some(row.model),
            unit_price,
            effective_on: row.effective_on,
        });
    }
    Ok(RateCard::new(catalog.meters.values(), rates))
}

/// Makes a catalog effective from now on; the same text again is no new version.
///
/// # Errors
/// With every problem of the text, or the organizations it would leave without a plan or price.
pub async fn apply(app: &App, file: &str, text: &str) -> Result<i64, ServiceError> {
    let parsed =
        catalog_file::parse(file, text).map_err(|error| ServiceError::Input(error.to_string()))?;
    let hash = ids::sha256_hex(text.as_bytes());
    let mut tx = app.db.write().await?;
    meta::lock_terms(&mut tx).await?;
    // After the wait: effective later than all that was checked before.
    let now = app.clock.now();
    let latest = catalog::latest(&mut tx).await?;
    if let Some(latest) = latest.as_ref().filter(|latest| latest.content_hash == hash) {
        return Ok(latest.version);
    }
    let version = latest.as_ref().map_or(1, |latest| latest.version + 1);
    refuse_if_left_without_terms(&mut tx, &parsed, version).await?;
    if let Some(latest) = latest {
        let before = stored(&format!("version {}", latest.version), &latest)?;
        for meter in changed_in_place(&before, &parsed) {
            tracing::warn!(
                "a rate of {meter} has another price and the same effective_on: use of earlier days that is imported \
                 from now on has the new price too; to keep theirs, leave the old row and add one with a later \
                 effective_on"
            );
        }
    }
    let row =
        VersionRow { version, effective_at: now, content: text.to_owned(), content_hash: hash };
    catalog::add_version(&mut tx, &row, now).await?;
    let command = format!("catalog apply: version {version}");
    audit::append(&mut tx, now, &app.actor, &command, "new catalog version").await?;
    tx.commit().await?;
    tracing::info!(version, "catalog version {version} is effective from now on");
    Ok(version)
}

/// Meters with a rate whose price is another from the same day on.
fn changed_in_place(before: &Catalog, after: &Catalog) -> BTreeSet<String> {
    let same = |a: &Rate, b: &Rate| {
        (&a.meter, &a.dimensions, &a.model, a.effective_on)
            == (&b.meter, &b.dimensions, &b.model, b.effective_on)
    };
    let is_changed = |rate: &&Rate| {
        before.rates.iter().any(|old| same(old, rate) && old.unit_price != rate.unit_price)
    };
    after.rates.iter().filter(is_changed).map(|rate| rate.meter.clone()).collect()
}

async fn refuse_if_left_without_terms(
    tx: &mut Tx,
    catalog: &Catalog,
    version: i64,
) -> Result<(), ServiceError> {
    const SHOWN: usize = 10;
    let mut problems = Vec::new();
    for stored in organizations::all(tx).await? {
        if let Err(error) = catalog.terms(&stored.organization, version) {
            problems.push(format!("organization {}: {error}", stored.organization.id));
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    let more = problems.len().saturating_sub(SHOWN);
    problems.truncate(SHOWN);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(ServiceError::Refused(format!(
        "this catalog cannot be applied, organizations need what it lacks:\n{}",
        problems.join("\n")
    )))
}

/// Stores a published price map as suppliers' rates.
///
/// # Errors
/// The file cannot be read as one; nothing is stored then.
pub async fn import_prices(
    app: &App,
    text: &str,
    effective_on: Option<NaiveDate>,
) -> Result<prices::PriceImport, ServiceError> {
    let import = prices::read(text).map_err(|error| ServiceError::Input(error.to_string()))?;
    let now = app.clock.now();
    let effective_on = effective_on.unwrap_or_else(|| now.date_naive());
    let rows: Vec<SupplierRateRow> = import
        .rates
        .iter()
        .map(|rate| SupplierRateRow {
            meter: rate.meter.clone(),
            model: rate.model.clone(),
            dimension: rate.dimension.clone(),
            effective_on,
            supplier: rate.supplier.clone().unwrap_or_default(),
            unit_price: decimal::text(rate.unit_price),
        })
        .collect();
    let mut tx = app.db.write().await?;
    catalog::put_supplier_rates(&mut tx, &rows, now).await?;
    let command = format!(
        "catalog import-prices: {} models, effective {effective_on}",
        import.imported_models
    );
    audit::append(&mut tx, now, &app.actor, &command, "published prices").await?;
    tx.commit().await?;
    Ok(import)
}
