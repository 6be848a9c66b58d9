//! Organizations: imported, opened with their first cycle and grants, shown.

use std::collections::HashMap;
use std::io::Read;

use chrono::{DateTime, Utc};

use super::catalogs::History;
use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::close::{self, OpenCycle};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::{Grant, Source};
use crate::domain::ids;
use crate::domain::ledger::Posting;
use crate::domain::organization::{Contract, Organization};
use crate::intake::organizations::{self as intake, Rejected};
use crate::storage::ledger::{Heads, Postings};
use crate::storage::organizations::{self, Stored};
use crate::storage::{Tx, cycles, grants, ledger, meta, methods};

/// What became of an organizations file.
#[derive(Debug, Default)]
pub struct Imported {
    /// New organizations.
    pub created: usize,
    /// Organizations that were there, changed or not.
    pub updated: usize,
    /// Rows that were not taken.
    pub rejected: Vec<Rejected>,
}

/// Rows of one transaction.
const BATCH: usize = 500;

/// Imports organizations: new ones are opened with their first cycle, known ones are updated.
///
/// # Errors
/// The file as a whole cannot be read; nothing is applied then.
pub async fn import(app: &App, reader: impl Read) -> Result<Imported, ServiceError> {
    let file = intake::read(reader).map_err(|error| ServiceError::Input(error.to_string()))?;
    let mut imported = Imported::default();
    let mut valid = Vec::new();
    for (line, row) in file.rows {
        match row {
            Ok(organization) => valid.push((line, organization)),
            Err(rejected) => imported.rejected.push(rejected),
        }
    }
    for batch in valid.chunks(BATCH) {
        import_batch(app, &file.columns, batch, &mut imported).await?;
    }
    imported.rejected.sort_by_key(|rejected| rejected.line);
    Ok(imported)
}

async fn import_batch(
    app: &App,
    columns: &[&str],
    batch: &[(u64, Organization)],
    imported: &mut Imported,
) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    meta::lock_terms(&mut tx).await?;
    // After the wait, in which a catalog may have become effective.
    let now = app.clock.now();
    // Every column is written back: what others change meanwhile, such as a saved card, waits or is read.
    let ids: Vec<String> = batch.iter().map(|(_, organization)| organization.id.clone()).collect();
    ledger::lock_these(&mut tx, &ids).await?;
    let history = History::load(&mut tx).await?;
    let known = known(&mut tx, batch).await?;
    let (mut created, mut updated, mut rejected) = (Vec::new(), 0, Vec::new());
    for (line, organization) in batch {
        let stored = known.get(&organization.id);
        let organization = &match stored {
            None => organization.clone(),
            Some(stored) => merged(&stored.organization, organization, columns),
        };
        let reject = |field, reason: String| Rejected { line: *line, field, reason };
        let version = history.in_force(now);
        if let Err(error) = version.catalog.terms(organization, version.number) {
            rejected.push(reject(Some("plan"), error.to_string()));
            continue;
        }
        match stored {
            None => created.push(organization.clone()),
            Some(stored) => {
                if let Some((field, reason)) = fixed_field_changed(stored, organization) {
                    rejected.push(reject(Some(field), reason));
                } else {
                    organizations::update(&mut tx, stored, organization, now).await?;
                    replace_method(&mut tx, &stored.organization, organization, now).await?;
                    updated += 1;
                }
            }
        }
    }
    open_all(&mut tx, &history, &created, now).await?;
    tx.commit().await?;
    imported.created += created.len();
    imported.updated += updated;
    imported.rejected.extend(rejected);
    Ok(())
}

/// A default method that a file replaces is never charged again, not as a fallback either.
async fn replace_method(
    tx: &mut Tx,
    old: &Organization,
    new: &Organization,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    if old.payment_method == new.payment_method {
        return Ok(());
    }
    if let Some(replaced) = &old.payment_method {
        methods::set_state(tx, &old.id, replaced, methods::REMOVED).await?;
    }
    if let Some(token) = &new.payment_method {
        methods::save(tx, &[(new.id.clone(), token.clone())], now).await?;
    }
    Ok(())
}

/// What a file says of a known organization, over what is stored: a column that is not in the file
/// changes nothing, a blank cell of one that is means the default.
fn merged(old: &Organization, new: &Organization, columns: &[&str]) -> Organization {
    fn pick<T: Clone>(said: bool, new: &T, old: &T) -> T {
        if said { new.clone() } else { old.clone() }
    }
    let said = |column: &str| columns.contains(&column);
    let (to, from) = (&new.contract, &old.contract);
    Organization {
        zone: pick(said("zone"), &new.zone, &old.zone),
        currency: pick(said("currency"), &new.currency, &old.currency),
        country: pick(said("country"), &new.country, &old.country),
        address: pick(said("address"), &new.address, &old.address),
        tax_id: pick(said("tax_id"), &new.tax_id, &old.tax_id),
        tax_percent: pick(said("tax_percent"), &new.tax_percent, &old.tax_percent),
        language: pick(said("language"), &new.language, &old.language),
        payment_method: pick(said("payment_method"), &new.payment_method, &old.payment_method),
        contract: Contract {
            allowance: pick(said("allowance"), &to.allowance, &from.allowance),
            rollover: pick(said("rollover_cycles"), &to.rollover, &from.rollover),
            rollover_cap: pick(said("rollover_cap"), &to.rollover_cap, &from.rollover_cap),
            fee: pick(said("fee"), &to.fee, &from.fee),
            overage_price: pick(said("overage_price"), &to.overage_price, &from.overage_price),
        },
        ..new.clone()
    }
}

async fn known(
    tx: &mut Tx,
    batch: &[(u64, Organization)],
) -> Result<HashMap<String, Stored>, ServiceError> {
    let mut known = HashMap::new();
    for (_, organization) in batch {
        if let Some(stored) = organizations::get(tx, &organization.id).await? {
            known.insert(organization.id.clone(), stored);
        }
    }
    Ok(known)
}

/// Cycles, grants and amounts already exist in an organization's zone and currency.
fn fixed_field_changed(stored: &Stored, new: &Organization) -> Option<(&'static str, String)> {
    let old = &stored.organization;
    let fixed = |what: &str, was: &str| {
        format!(
            "{what} is fixed at sign-up ({was}): its cycles and amounts are kept in it; open a new organization instead"
        )
    };
    if old.zone != new.zone {
        Some(("zone", fixed("the zone", old.zone.name())))
    } else if old.currency != new.currency {
        Some(("currency", fixed("the currency", old.currency.code())))
    } else if old.joined_on != new.joined_on {
        Some(("joined_on", fixed("the joining day", &old.joined_on.to_string())))
    } else {
        None
    }
}

/// Stores new organizations with their first cycle, its allowance and the sign-up grant (S2, D10).
async fn open_all(
    tx: &mut Tx,
    history: &History,
    created: &[Organization],
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    organizations::add(tx, created, now).await?;
    let saved: Vec<(String, String)> = created
        .iter()
        .filter_map(|new| Some((new.id.clone(), new.payment_method.clone()?)))
        .collect();
    methods::save(tx, &saved, now).await?;
    let version = history.in_force(now);
    let mut first_cycles = Vec::new();
    let mut first_grants = Vec::new();
    let mut batch = Vec::new();
    for organization in created {
        let cycle = Cycle::of_date(organization.joined_on);
        let terms = version
            .catalog
            .terms(organization, version.number)
            .map_err(|error| ServiceError::Refused(error.to_string()))?;
        let allowance = close::joining_allowance(&terms, cycle, organization.joined_on)?;
        let open =
            OpenCycle { cycle, bounds: cycle.bounds(organization.zone), terms, fee_billed: false };
        let mut grants = Vec::new();
        grants.extend(close::allowance_grant(
            &organization.id,
            &open,
            organization.zone,
            allowance,
        ));
        let plan = version
            .catalog
            .plan(&organization.plan)
            .map_err(|error| ServiceError::Refused(error.to_string()))?;
        grants.extend(sign_up_grant(organization, &open, plan.signup_credits, version));
        let postings =
            grants.iter().map(close::grant_posting).collect::<Result<Vec<Posting>, _>>()?;
        if !postings.is_empty() {
            batch.push(Postings { organization: organization.id.clone(), postings });
        }
        first_grants.extend(grants.into_iter().map(|grant| (organization.id.clone(), grant)));
        first_cycles.push((organization.id.clone(), open, Credits::ZERO));
    }
    cycles::open(tx, &first_cycles).await?;
    grants::add(tx, &first_grants, None).await?;
    ledger::post(tx, batch, &Heads::default(), now).await?;
    Ok(())
}

fn sign_up_grant(
    organization: &Organization,
    open: &OpenCycle,
    credits: Credits,
    version: &super::catalogs::Version,
) -> Option<Grant> {
    let last_cycle = version.catalog.promotional_term.last_cycle(open.cycle);
    credits.is_positive().then(|| Grant {
        // Once per organization: the id has no cycle in it (D10).
        id: ids::derived("grt", open.bounds.starts_at, &[&organization.id, "sign-up"]),
        source: Source::Promotional,
        cycle: open.cycle,
        granted: credits,
        granted_at: open.bounds.starts_at,
        last_cycle,
        expires_at: last_cycle.map(|last| last.bounds(organization.zone).ends_at),
    })
}

/// All organizations, in order of their ids.
pub async fn list(app: &App) -> Result<Vec<Stored>, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(organizations::all(&mut tx).await?)
}

/// One organization with its open cycle.
///
/// # Errors
/// There is none.
pub async fn show(app: &App, id: &str) -> Result<(Stored, Option<cycles::Stored>), ServiceError> {
    let mut tx = app.db.read().await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let open = cycles::open_of(&mut tx, &[id.to_owned()]).await?.into_iter().next();
    Ok((stored, open))
}
