//! How a range of organizations stands at an instant, read with a few queries: what alerts, notices of expiry
//! and forecasts look at.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::catalogs::History;
use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::close::{OpenCycle, allowance_grant};
use crate::domain::credits::Credits;
use crate::domain::cycle::{Bounds, Cycle};
use crate::domain::forecast::{self, Forecast, Pace, Position};
use crate::domain::grant::OpenGrant;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, cycles, grants, organizations, pace};

/// How one organization stands.
#[derive(Debug)]
pub struct Standing {
    /// The organization.
    pub stored: Stored,
    /// The cycle that is running; one that has ended and is not closed yet is closed in thought (S25).
    pub cycle: OpenCycle,
    /// The cycle's use so far.
    pub used: Credits,
    /// Money price of a credit when the cycle began (D9); none: there is none in its currency.
    pub price: Option<Decimal>,
    /// Its pace.
    pub pace: Pace,
    /// What lies ahead.
    pub forecast: Forecast,
}

/// All standings of a range of organizations. One that cannot be computed is left out, with a warning:
/// its close says what is wrong.
///
/// # Errors
/// The database fails.
pub async fn of_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
    now: DateTime<Utc>,
) -> Result<Vec<Standing>, ServiceError> {
    let open = cycles::open_in_range(tx, first, last).await?;
    let Some(since) = open.iter().map(|cycle| cycle.open.cycle).min() else {
        return Ok(Vec::new());
    };
    let history = History::load(tx).await?;
    let stored = organizations::range(tx, first, last).await?;
    let mut stored: HashMap<String, Stored> =
        stored.into_iter().map(|stored| (stored.organization.id.clone(), stored)).collect();
    let mut grants = grants::open(tx, first, last).await?;
    let mut daily = pace::daily(tx, first, last, since).await?;
    let mut standings = Vec::with_capacity(open.len());
    for cycle in open {
        let id = cycle.organization.clone();
        let Some(stored) = stored.remove(&id) else { continue };
        let read = Read {
            stored,
            cycle: cycle.open,
            deficit: cycle.deficit_brought,
            grants: grants.remove(&id).unwrap_or_default(),
            days: daily.remove(&id).unwrap_or_default(),
        };
        match read.stands(tx, &history, now).await {
            Ok(standing) => standings.push(standing),
            Err(ServiceError::Storage(error)) => return Err(error.into()),
            Err(error) => tracing::warn!(organization = id, %error, "left out"),
        }
    }
    Ok(standings)
}

/// One organization's standing now.
///
/// # Errors
/// There is no such organization, or it cannot be computed.
pub async fn of_one(app: &App, id: &str) -> Result<Standing, ServiceError> {
    let mut tx = app.db.read().await?;
    organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let mut found = of_range(&mut tx, id, id, app.clock.now()).await?;
    found.pop().ok_or_else(|| {
        ServiceError::Refused(format!("the credits of organization {id} cannot be forecast"))
    })
}

/// What is read of one organization.
struct Read {
    stored: Stored,
    cycle: OpenCycle,
    deficit: Credits,
    grants: Vec<OpenGrant>,
    days: pace::Days,
}

impl Read {
    fn used_in(&self, cycle: Cycle) -> Result<Credits, ServiceError> {
        let of_cycle = self.days.iter().filter(|(billed, ..)| *billed == cycle);
        Ok(Credits::total(of_cycle.map(|(.., used)| *used))?)
    }

    async fn stands(
        mut self,
        tx: &mut Tx,
        history: &History,
        now: DateTime<Utc>,
    ) -> Result<Standing, ServiceError> {
        while self.cycle.bounds.ends_at <= now {
            self.end_cycle(tx, history).await?;
        }
        let used = self.used_in(self.cycle.cycle)?;
        let organization = &self.stored.organization;
        let days: Vec<_> = self
            .days
            .iter()
            .filter(|(billed, ..)| *billed == self.cycle.cycle)
            .map(|(_, day, used)| (*day, *used))
            .collect();
        let (bounds, zone) = (self.cycle.bounds, organization.zone);
        let pace = Pace::of(&days, bounds, organization.joined_on, zone, now)?;
        let catalog = &history.in_force(bounds.starts_at).catalog;
        let price = catalog.price_book.get(&organization.currency).copied();
        let position = Position {
            organization: organization.id.clone(),
            zone,
            cycle: self.cycle,
            deficit: self.deficit,
            grants: self.grants,
            used,
        };
        let forecast = forecast::forecast(&position, pace, now)?;
        Ok(Standing { stored: self.stored, cycle: position.cycle, used, price, pace, forecast })
    }

    /// Closes the cycle in thought; reads further only where terms changed after the next one began.
    async fn end_cycle(&mut self, tx: &mut Tx, history: &History) -> Result<(), ServiceError> {
        let (label, ends_at) = (self.cycle.cycle, self.cycle.bounds.ends_at);
        let demand = self.used_in(label)?.plus(self.deficit)?;
        let grants = std::mem::take(&mut self.grants);
        let (usable, later): (Vec<_>, Vec<_>) =
            grants.into_iter().partition(|open| open.grant.cycle <= label);
        let ended = forecast::end_cycle(usable, demand, label, &self.cycle.terms)?;
        let zone = self.stored.organization.zone;
        let organization = organizations::at(tx, &self.stored, ends_at).await?;
        let opening = history.terms(ends_at, &organization, &self.stored.organization);
        let terms = opening.map_or_else(|_| self.cycle.terms.clone(), |opening| opening.terms);
        let cycle = label.next();
        let bounds = Bounds { starts_at: ends_at, ends_at: cycle.bounds(zone).ends_at };
        self.cycle = OpenCycle { cycle, bounds, terms, fee_billed: false };
        let allowance = self.cycle.terms.allowance;
        let granted = allowance_grant(&organization.id, &self.cycle, zone, allowance);
        self.grants = ended.carried;
        self.grants.extend(later);
        self.grants.extend(granted.map(|grant| OpenGrant { remaining: grant.granted, grant }));
        self.deficit = ended.deficit;
        Ok(())
    }
}
