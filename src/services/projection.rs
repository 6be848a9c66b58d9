//! How things stand at an instant: a cycle that has ended but is not closed yet (within its grace, or after
//! downtime) is closed in thought, so that expired credits are not shown as there (S25). Set-based: a question
//! about everyone reads a few statements for each month that waits.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};

use super::ServiceError;
use super::catalogs::History;
use crate::domain::close::{self, CycleInput, PaidPurchase};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::OpenGrant;
use crate::domain::invoice::UsageSummary;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, corrections, cycles, grants, organizations, purchases, usage};

/// An organization's open cycle and grants with credits left.
#[derive(Debug, Clone)]
pub struct Stands {
    /// The cycle that is running, stored or thought.
    pub cycle: cycles::Stored,
    /// Grants with credits left.
    pub grants: Vec<OpenGrant>,
}

/// How organizations stand at an instant, from their open cycles as stored.
///
/// # Errors
/// The database fails.
pub async fn through(
    tx: &mut Tx,
    open: Vec<cycles::Stored>,
    at: DateTime<Utc>,
) -> Result<HashMap<String, Stands>, ServiceError> {
    let (Some(first), Some(last)) = (
        open.iter().map(|stored| stored.organization.clone()).min(),
        open.iter().map(|stored| stored.organization.clone()).max(),
    ) else {
        return Ok(HashMap::new());
    };
    let mut grants = grants::open(tx, &first, &last).await?;
    let mut stands: BTreeMap<String, Stands> = open
        .into_iter()
        .map(|cycle| {
            let grants = grants.remove(&cycle.organization).unwrap_or_default();
            (cycle.organization.clone(), Stands { cycle, grants })
        })
        .collect();
    // What cannot be closed is shown as the ledger has it; its step is parked with the reason.
    let mut stuck: HashSet<String> = HashSet::new();
    loop {
        let mut ended: BTreeMap<Cycle, Vec<String>> = BTreeMap::new();
        for (id, stands) in &stands {
            if stands.cycle.open.bounds.ends_at <= at && !stuck.contains(id) {
                ended.entry(stands.cycle.open.cycle).or_default().push(id.clone());
            }
        }
        // The oldest month first: a later one may need what it leaves.
        let Some((cycle, ids)) = ended.pop_first() else { break };
        let mut inputs = Inputs::read(tx, &ids, cycle).await?;
        for id in ids {
            let moved = match stands.get_mut(&id) {
                Some(stands) => inputs.advance(tx, stands).await?,
                None => false,
            };
            if !moved {
                stuck.insert(id);
            }
        }
    }
    Ok(stands.into_iter().collect())
}

/// What the close of an open cycle would be given now.
///
/// # Errors
/// The database fails.
pub async fn input(tx: &mut Tx, cycle: cycles::Stored) -> Result<CycleInput, ServiceError> {
    let id = cycle.organization.clone();
    let mut inputs = Inputs::read(tx, std::slice::from_ref(&id), cycle.open.cycle).await?;
    let label = cycle.open.cycle;
    let grants = grants::for_close(tx, &id, &id, label).await?.remove(&id).unwrap_or_default();
    inputs.input(tx, cycle, &grants).await
}

/// What is read of organizations whose cycle of one month is closed in thought.
struct Inputs {
    history: History,
    organizations: HashMap<String, Stored>,
    usage: HashMap<String, Vec<UsageSummary>>,
    purchases: HashMap<String, Vec<PaidPurchase>>,
    corrections: HashMap<String, Vec<(String, Credits)>>,
}

impl Inputs {
    /// `ids` are in order.
    async fn read(tx: &mut Tx, ids: &[String], cycle: Cycle) -> Result<Self, ServiceError> {
        let first = ids.first().map_or("", String::as_str);
        let last = ids.last().map_or("", String::as_str);
        Ok(Self {
            history: History::load(tx).await?,
            organizations: organizations::these(tx, ids)
                .await?
                .into_iter()
                .map(|stored| (stored.organization.id.clone(), stored))
                .collect(),
            usage: usage::summaries(tx, first, last, cycle).await?,
            purchases: purchases::paid_in_range(tx, first, last, cycle).await?,
            corrections: corrections::in_range(tx, first, last, cycle).await?,
        })
    }

    /// Closes a cycle in thought. False: it cannot be closed.
    async fn advance(&mut self, tx: &mut Tx, stands: &mut Stands) -> Result<bool, ServiceError> {
        let input = self.input(tx, stands.cycle.clone(), &stands.grants).await?;
        let Ok(outcome) = close::close(&input) else { return Ok(false) };
        for (grant, left) in outcome.remaining {
            for open in stands.grants.iter_mut().filter(|open| open.grant.id == grant) {
                open.remaining = left;
            }
        }
        stands.grants.retain(|open| open.remaining.is_positive());
        let next = outcome.next_grant.map(|grant| OpenGrant { remaining: grant.granted, grant });
        stands.grants.extend(next);
        stands.cycle.deficit_brought = outcome.statement.deficit;
        stands.cycle.due_at = cycles::due_at(&outcome.next);
        stands.cycle.open = outcome.next;
        Ok(true)
    }

    async fn input(
        &mut self,
        tx: &mut Tx,
        cycle: cycles::Stored,
        grants: &[OpenGrant],
    ) -> Result<CycleInput, ServiceError> {
        let id = cycle.organization;
        let stored =
            self.organizations.get(&id).ok_or_else(|| super::no_organization(&id))?.clone();
        let (label, next_start) = (cycle.open.cycle, cycle.open.bounds.ends_at);
        let next = organizations::at(tx, &stored, next_start).await?;
        // A plan that has gone is no reason not to show a statement: it does not depend on the next terms.
        let opening = self.history.terms(next_start, &next, &stored.organization);
        let next_terms = opening.map_or_else(|_| cycle.open.terms.clone(), |opening| opening.terms);
        let organization = stored.organization;
        Ok(CycleInput {
            cycle: label,
            bounds: cycle.open.bounds,
            zone: organization.zone,
            joined_on: organization.joined_on,
            tax_percent: organization.tax_percent,
            terms: cycle.open.terms,
            next_terms,
            fee_billed: cycle.open.fee_billed,
            // Bought or granted after this cycle ended: it is the next one's.
            grants: grants.iter().filter(|open| open.grant.cycle <= label).cloned().collect(),
            usage: self.usage.remove(&id).unwrap_or_default(),
            deficit_brought: cycle.deficit_brought,
            purchases: self.purchases.remove(&id).unwrap_or_default(),
            corrections: self.corrections.remove(&id).unwrap_or_default(),
            organization: id,
        })
    }
}
