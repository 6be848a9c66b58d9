//! Alerts: rules are evaluated over figures that were read in bulk, and what they find is recorded and told,
//! in the caller's transaction.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;

use super::ServiceError;
use super::notices::{self, Telling};
use super::standings::Standing;
use crate::app::App;
use crate::domain::alert::{self, Event, Figures, Kind, Measure, Rule};
use crate::domain::close::{self, CycleInput, CycleOutcome};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::money::Money;
use crate::domain::organization::Organization;
use crate::domain::plan::{CycleTerms, Depletion};
use crate::domain::{forecast, ids, rounding};
use crate::mail::{Notice, notices::AlertMeasure};
use crate::storage::alerts::{self, Alert};
use crate::storage::contacts::ByRole;
use crate::storage::mails::Mail;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, contacts, pace};

/// The role whose addresses are the organization's billing addresses.
pub const BILLING: &str = "billing";

/// Most addresses one notice goes to.
const MAX_RECIPIENTS: usize = 50;

/// What rules look at of one organization and cycle.
#[derive(Debug)]
pub struct Seen {
    /// Whose.
    pub organization: String,
    /// Which cycle.
    pub cycle: Cycle,
    /// The plan of the cycle.
    pub plan: String,
    /// Rated use the cycle bills.
    pub used: Credits,
    /// The cycle's allowance, prorated where its terms say so.
    pub allowance: Credits,
    /// Credits left after all use.
    pub available: Credits,
    /// Money price of a credit when the cycle began.
    pub price: Option<Decimal>,
    /// Whole days the credits last; none: they are not expected to run out.
    pub days_left: Option<u32>,
    /// What happens when the credits are used up.
    pub depletion: Depletion,
    /// The last day the credits last.
    pub runs_out_on: Option<NaiveDate>,
    /// The last day of the cycle.
    pub cycle_ends_on: NaiveDate,
    /// Is the cycle being closed? Nothing is used in it any more.
    is_over: bool,
}

impl Seen {
    /// What rules look at while a cycle is running.
    ///
    /// # Errors
    /// Out of range.
    pub fn running(standing: &Standing) -> Result<Self, ServiceError> {
        let organization = &standing.stored.organization;
        let open = &standing.cycle;
        let cycle_ends_on = forecast::last_day(open.bounds.ends_at, organization.zone);
        let joined_on = organization.joined_on;
        Ok(Self {
            organization: organization.id.clone(),
            cycle: open.cycle,
            plan: open.terms.plan.clone(),
            used: standing.used,
            allowance: close::joining_allowance(&open.terms, open.cycle, joined_on)?,
            available: standing.forecast.available,
            price: standing.price,
            days_left: standing.forecast.days_left,
            depletion: depletion(&open.terms),
            runs_out_on: standing.forecast.runs_out_on,
            cycle_ends_on,
            is_over: false,
        })
    }

    /// The final figures of a cycle that is being closed. Nothing lies ahead of it any more.
    ///
    /// # Errors
    /// Out of range.
    pub fn closing(
        input: &CycleInput,
        outcome: &CycleOutcome,
        price: Option<Decimal>,
    ) -> Result<Self, ServiceError> {
        let statement = &outcome.statement;
        let left = Credits::total(input.grants.iter().map(|open| open.remaining))?;
        Ok(Self {
            organization: input.organization.clone(),
            cycle: input.cycle,
            plan: input.terms.plan.clone(),
            used: statement.rated,
            allowance: close::joining_allowance(&input.terms, input.cycle, input.joined_on)?,
            available: left.minus(statement.rated)?.minus(statement.deficit_brought)?,
            price,
            days_left: None,
            depletion: depletion(&input.terms),
            runs_out_on: None,
            cycle_ends_on: forecast::last_day(input.bounds.ends_at, input.zone),
            is_over: true,
        })
    }

    fn figures(&self, used: Credits, organization: &Organization, grants: i64) -> Figures {
        let spent = self
            .price
            .and_then(|price| rounding::credits_at_price(used, price, organization.currency).ok());
        Figures {
            used,
            allowance: self.allowance,
            available: self.available,
            spent,
            days_left: self.days_left,
            grants,
        }
    }
}

fn depletion(terms: &CycleTerms) -> Depletion {
    if terms.overage_price.is_some() { Depletion::Overage } else { Depletion::Pause }
}

/// What is evaluated over whom.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// The rules.
    pub rules: &'a [Rule],
    /// First organization of the range.
    pub first: &'a str,
    /// Last one, included.
    pub last: &'a str,
    /// The organizations of the range.
    pub organizations: &'a HashMap<String, Stored>,
    /// Is the cycle being closed? Then recoveries are of no use to anybody.
    pub closing: bool,
}

/// A rule's event with the figures it came from.
struct Found<'a> {
    seen: &'a Seen,
    organization: &'a Organization,
    rule: &'a Rule,
    figures: Figures,
    event: Event,
}

/// Evaluates the rules over what was seen, records what they find and tells it once; gives the mails, which
/// need steps. The organizations are locked by the caller.
///
/// # Errors
/// The database fails.
pub async fn tell(
    tx: &mut Tx,
    watch: Watch<'_>,
    seen: &[Seen],
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let Some(since) = seen.iter().map(|seen| seen.cycle).min() else { return Ok(Vec::new()) };
    if watch.rules.is_empty() {
        return Ok(Vec::new());
    }
    let found = evaluate(tx, watch, seen, since).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let by_role = contacts::by_role(tx, watch.first, watch.last).await?;
    let (mut rows, mut tellings) = (Vec::with_capacity(found.len()), Vec::new());
    for found in &found {
        let row = found.row(now);
        if found.event.kind == Kind::Told {
            tellings.push(Telling {
                organization: row.organization.clone(),
                recipients: recipients(found.organization, &found.rule.recipients, &by_role),
                key: format!("alert-{}", row.id),
                notice: found.notice(),
            });
        }
        rows.push(row);
    }
    alerts::add(tx, &rows).await?;
    notices::tell_all(tx, tellings, now).await
}

async fn evaluate<'a>(
    tx: &mut Tx,
    watch: Watch<'a>,
    seen: &'a [Seen],
    since: Cycle,
) -> Result<Vec<Found<'a>>, ServiceError> {
    let (first, last) = (watch.first, watch.last);
    let states = alerts::states(tx, first, last, since).await?;
    let made = pace::grants_made(tx, first, last, since).await?;
    let projects: Vec<&str> =
        watch.rules.iter().filter_map(|rule| rule.project.as_deref()).collect();
    let by_project = pace::by_project(tx, first, last, since, &projects).await?;
    let mut found = Vec::new();
    for seen in seen {
        let Some(stored) = watch.organizations.get(&seen.organization) else { continue };
        let organization = &stored.organization;
        let of_cycle = (organization.id.clone(), seen.cycle);
        let grants = made.get(&of_cycle).copied().unwrap_or_default();
        for rule in watch.rules.iter().filter(|rule| rule.watches(organization, &seen.plan)) {
            let used = match &rule.project {
                None => seen.used,
                Some(project) => {
                    let key = (of_cycle.0.clone(), seen.cycle, project.clone());
                    by_project.get(&key).copied().unwrap_or_default()
                }
            };
            let (id, scope) = (rule.id.clone(), rule.scope().to_owned());
            let key = (of_cycle.0.clone(), seen.cycle, id, rule.measure, scope);
            let state = states.get(&key).copied().unwrap_or_default();
            let figures = seen.figures(used, organization, grants);
            match alert::evaluate(rule, &figures, state) {
                Some(event) if event.kind == Kind::Told || !watch.closing => {
                    found.push(Found { seen, organization, rule, figures, event });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

impl Found<'_> {
    fn row(&self, now: DateTime<Utc>) -> Alert {
        let Self { seen, organization, rule, figures, event } = self;
        let (cycle, kind) = (seen.cycle.to_string(), event.kind.as_str());
        let (arming, threshold) = (event.arming.to_string(), event.threshold.to_string());
        let measure = rule.measure.as_str();
        let meaning =
            [&organization.id, &rule.id, measure, rule.scope(), &cycle, kind, &arming, &threshold];
        Alert {
            id: ids::derived("alr", now, &meaning),
            organization: organization.id.clone(),
            rule: rule.id.clone(),
            measure: measure.to_owned(),
            scope: rule.scope().to_owned(),
            arming: event.arming,
            kind: kind.to_owned(),
            threshold: event.threshold,
            figure: event.figure,
            standing: event.standing,
            used: figures.used.nano(),
            allowance: figures.allowance.nano(),
            available: figures.available.nano(),
            currency: organization.currency.to_string(),
            recorded_at: now,
            cycle,
        }
    }

    fn notice(&self) -> Notice {
        let Self { seen, organization, rule, figures, event } = self;
        let small = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        let measure = match rule.measure {
            Measure::AllowanceUsed => AlertMeasure::AllowanceUsed {
                threshold_percent: small(event.threshold),
                percent: u64::try_from(event.figure).unwrap_or_default(),
                allowance: figures.allowance,
            },
            Measure::CreditsLeft => {
                AlertMeasure::CreditsLeft { threshold: Credits::from_nano(event.threshold) }
            }
            Measure::Spend => AlertMeasure::Spend {
                threshold: Money::from_minor(event.threshold, organization.currency),
                spent: Money::from_minor(event.figure, organization.currency),
            },
            Measure::DaysLeft => AlertMeasure::DaysLeft {
                threshold_days: small(event.threshold),
                days: small(event.figure),
            },
        };
        Notice::Alert {
            rule: rule.id.clone(),
            measure,
            project: rule.project.clone(),
            cycle: seen.cycle,
            available: figures.available,
            used: figures.used,
            depletion: seen.depletion,
            // Beyond the cycle's end it is said only by the rule that counts days.
            runs_out_on: seen
                .runs_out_on
                .filter(|day| rule.measure == Measure::DaysLeft || *day <= seen.cycle_ends_on),
            cycle_ends_on: seen.cycle_ends_on,
            is_over: seen.is_over,
            link: None,
        }
    }
}

/// Addresses of some roles, each once; a role nobody holds goes to the billing addresses.
#[must_use]
pub fn recipients(organization: &Organization, roles: &[String], by_role: &ByRole) -> Vec<String> {
    let mut addresses: Vec<String> = Vec::new();
    for role in roles {
        let held = by_role.get(&(organization.id.clone(), role.clone()));
        let held = held.filter(|_| role != BILLING).unwrap_or(&organization.billing_emails);
        for address in held {
            if !addresses.contains(address) && addresses.len() < MAX_RECIPIENTS {
                addresses.push(address.clone());
            }
        }
    }
    addresses
}

/// What was told, oldest first, of one organization or cycle, or of all.
///
/// # Errors
/// The database fails.
pub async fn list(
    app: &App,
    organization: Option<&str>,
    cycle: Option<Cycle>,
) -> Result<Vec<Alert>, ServiceError> {
    let mut tx = app.db.read().await?;
    let cycle = cycle.map(|cycle| cycle.to_string());
    Ok(alerts::list(&mut tx, organization, cycle.as_deref()).await?)
}
