//! What an organization used in a cycle: sums by what people ask for (S41), and the events behind a line with the
//! parts of their price (S55, S76).

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::storage::usage_reports::{self, Event, Filter, Rollup};
use crate::storage::{Tx, organizations};

/// What sums are made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// The cycle it happened in: another one than asked for is late use (D7).
    Cycle,
    /// The day, in the organization's zone.
    Day,
    /// The meter.
    Meter,
    /// The project.
    Project,
    /// The member.
    Member,
    /// The environment.
    Environment,
    /// The model.
    Model,
    /// The model's supplier.
    Supplier,
}

impl FromStr for Key {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|key| key.as_str() == text).ok_or_else(|| {
            format!("{text:?} is none of {}", Self::ALL.map(Self::as_str).join(", "))
        })
    }
}

impl Key {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Cycle,
        Self::Day,
        Self::Meter,
        Self::Project,
        Self::Member,
        Self::Environment,
        Self::Model,
        Self::Supplier,
    ];

    /// The word of the command line and of JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cycle => "cycle",
            Self::Day => "day",
            Self::Meter => "meter",
            Self::Project => "project",
            Self::Member => "member",
            Self::Environment => "environment",
            Self::Model => "model",
            Self::Supplier => "supplier",
        }
    }

    fn of(self, row: &Rollup) -> String {
        match self {
            Self::Cycle => row.cycle.clone(),
            Self::Day => row.day.to_string(),
            Self::Meter => row.meter.clone(),
            Self::Project => row.project.clone(),
            Self::Member => row.member.clone(),
            Self::Environment => row.environment.clone(),
            Self::Model => row.model.clone(),
            Self::Supplier => row.supplier.clone(),
        }
    }
}

/// Events and their rated credits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub events: i64,
    /// Their credits.
    pub credits: Credits,
}

/// Use of a cycle by some keys.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// All of it.
    pub total: Sum,
    /// By the values of the keys, in order.
    pub rows: Vec<(Vec<String>, Sum)>,
}

async fn known(tx: &mut Tx, id: &str) -> Result<(), ServiceError> {
    organizations::get(tx, id).await?.map(|_| ()).ok_or_else(|| no_organization(id))
}

/// Sums of what a cycle bills.
///
/// # Errors
/// There is no such organization.
pub async fn sums(app: &App, id: &str, cycle: Cycle, by: &[Key]) -> Result<Sums, ServiceError> {
    let mut tx = app.db.read().await?;
    known(&mut tx, id).await?;
    let mut total = Sum::default();
    let mut groups: BTreeMap<Vec<String>, Sum> = BTreeMap::new();
    for row in usage_reports::rollups(&mut tx, id, cycle).await? {
        let group = groups.entry(by.iter().map(|key| key.of(&row)).collect()).or_default();
        for sum in [group, &mut total] {
            sum.events = sum.events.saturating_add(row.events);
            sum.credits = sum.credits.plus(Credits::from_nano(row.credits))?;
        }
    }
    Ok(Sums { total, rows: groups.into_iter().collect() })
}

/// The dearest events of what a cycle bills, and what all that were chosen come to.
///
/// # Errors
/// There is no such organization.
pub async fn events(
    app: &App,
    id: &str,
    cycle: Cycle,
    filter: &Filter,
    at_most: u32,
) -> Result<(Sum, Vec<Event>), ServiceError> {
    let mut tx = app.db.read().await?;
    known(&mut tx, id).await?;
    let (events, credits) = usage_reports::totals(&mut tx, id, cycle, filter).await?;
    let shown = usage_reports::events(&mut tx, id, cycle, filter, at_most.into()).await?;
    Ok((Sum { events, credits: Credits::from_nano(credits) }, shown))
}
