//! Forecasts: how long credits last at the present pace, and what will lapse unused (S22, S25, D1–D3).
//!
//! The pace is the rated use of the last seven calendar days of the cycle, today included, over the time they
//! took so far; in the first days, of the days since the cycle began or the organization joined. A window
//! shorter than a day counts as a day, so that a busy first hour is no trend.

use chrono::{DateTime, Days, Duration, NaiveDate, Utc};
use chrono_tz::Tz;

use super::burn;
use super::close::{OpenCycle, allowance_grant};
use super::credits::Credits;
use super::cycle::{Bounds, start_of_day};
use super::grant::{OpenGrant, Source};
use super::plan::CycleTerms;
use super::rollover;
use super::rounding::{self, RoundingError};

/// Calendar days a pace looks back over, today included.
const WINDOW_DAYS: u64 = 7;
/// Cycles a forecast looks ahead: beyond, a pace says nothing.
const HORIZON_CYCLES: usize = 24;
const DAY_MICROS: i64 = 86_400_000_000;

/// Use over a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// First day of the window, in the organization's zone.
    pub since: NaiveDate,
    /// Rated use in it.
    pub used: Credits,
    /// How long it is, in microseconds; a day at least.
    pub micros: i64,
}

impl Pace {
    /// The pace at an instant of a cycle, from use by calendar day of the organization's zone.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn of(
        days: &[(NaiveDate, Credits)],
        bounds: Bounds,
        joined_on: NaiveDate,
        zone: Tz,
        now: DateTime<Utc>,
    ) -> Result<Self, RoundingError> {
        let today = now.with_timezone(&zone).date_naive();
        let back = today.checked_sub_days(Days::new(WINDOW_DAYS - 1)).unwrap_or(today);
        let cycle_begins = bounds.starts_at.with_timezone(&zone).date_naive();
        let since = back.max(cycle_begins).max(joined_on.min(today));
        let begins = start_of_day(since, zone).max(bounds.starts_at);
        let micros = (now - begins).num_microseconds().unwrap_or(i64::MAX).max(DAY_MICROS);
        let recent = days.iter().filter(|(day, _)| *day >= since).map(|(_, used)| *used);
        Ok(Self { since, used: Credits::total(recent)?, micros })
    }

    /// Use in a day.
    ///
    /// # Errors
    /// Out of range.
    pub fn per_day(self) -> Result<Credits, RoundingError> {
        self.over(Duration::microseconds(DAY_MICROS))
    }

    /// Use in a time to come.
    fn over(self, time: Duration) -> Result<Credits, RoundingError> {
        let micros = time.num_microseconds().unwrap_or(i64::MAX).max(0);
        rounding::at_pace(self.used, micros, self.micros)
    }

    /// How long credits last; none: for ever.
    fn lasts(self, credits: Credits) -> Option<Duration> {
        if !self.used.is_positive() {
            return None;
        }
        let micros = i128::from(credits.nano().max(0)) * i128::from(self.micros)
            / i128::from(self.used.nano());
        Some(Duration::microseconds(i64::try_from(micros).ok()?))
    }
}

/// An organization's credits at an instant.
#[derive(Debug, Clone)]
pub struct Position {
    /// Whose.
    pub organization: String,
    /// Its zone.
    pub zone: Tz,
    /// The cycle that is running.
    pub cycle: OpenCycle,
    /// Deficit brought into it.
    pub deficit: Credits,
    /// Grants with credits left, before the cycle's use.
    pub grants: Vec<OpenGrant>,
    /// The cycle's use so far.
    pub used: Credits,
}

/// What is left of a grant, and what of it will probably lapse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The grant, with what is left of it after the use so far.
    pub open: OpenGrant,
    /// What will lapse of it at the present pace, by the end of the cycle that takes it: what it then has above the
    /// plan's cap, and at last what is left.
    pub lapses: Vec<(DateTime<Utc>, Credits)>,
}

impl Outlook {
    /// What will lapse of it at the present pace.
    ///
    /// # Errors
    /// Out of range.
    pub fn unused(&self) -> Result<Credits, RoundingError> {
        Ok(Credits::total(self.lapses.iter().map(|(_, lapse)| *lapse))?)
    }

    /// What will lapse of it at an instant.
    #[must_use]
    pub fn lapses_at(&self, at: DateTime<Utc>) -> Credits {
        let found = self.lapses.iter().find(|(end, _)| *end == at);
        found.map_or(Credits::ZERO, |(_, lapse)| *lapse)
    }

    /// What is left of it for an instant: without what the cap will have taken before.
    ///
    /// # Errors
    /// Out of range.
    pub fn left_for(&self, at: DateTime<Utc>) -> Result<Credits, RoundingError> {
        let before = self.lapses.iter().filter(|(end, _)| *end < at).map(|(_, lapse)| *lapse);
        Ok(self.open.remaining.minus(Credits::total(before)?)?)
    }
}

/// A forecast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Credits left after the use so far; below zero where more was used than there is.
    pub available: Credits,
    /// When they run out; none: not within two years, or there is no use.
    pub runs_out_at: Option<DateTime<Utc>>,
    /// Whole days until then.
    pub days_left: Option<u32>,
    /// The last day they last, in the organization's zone.
    pub runs_out_on: Option<NaiveDate>,
    /// Grants with credits left, in burn order.
    pub grants: Vec<Outlook>,
}

/// How a cycle ends: what of each grant is carried on, what lapsed of each, and the deficit.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Grants with credits left.
    pub carried: Vec<OpenGrant>,
    /// What lapsed, by grant.
    pub lapsed: Vec<(String, Credits)>,
    /// Demand that nothing covered and nobody bills (D8).
    pub deficit: Credits,
}

/// Ends a cycle as its close will: burns the demand, lapses and carries over.
///
/// # Errors
/// Out of range.
pub fn end_cycle(
    mut grants: Vec<OpenGrant>,
    demand: Credits,
    cycle: super::cycle::Cycle,
    terms: &CycleTerms,
) -> Result<Ended, RoundingError> {
    let uncovered = burn(&mut grants, demand)?;
    let cap = terms.rollover_cap.map(|cap| cap.in_credits(terms.allowance)).transpose()?;
    let lapses = rollover::lapses(&grants, cycle, cap)?;
    let mut gone = Vec::new();
    for (open, lapse) in grants.iter_mut().zip(lapses) {
        if lapse.is_positive() {
            open.remaining = open.remaining.minus(lapse)?;
            gone.push((open.grant.id.clone(), lapse));
        }
    }
    grants.retain(|open| open.remaining.is_positive());
    let deficit = if terms.overage_price.is_some() { Credits::ZERO } else { uncovered };
    Ok(Ended { carried: grants, lapsed: gone, deficit })
}

/// Sorts grants into burn order and takes a demand from them; gives what they could not cover.
fn burn(grants: &mut [OpenGrant], demand: Credits) -> Result<Credits, RoundingError> {
    burn::sort(grants);
    let burned = burn::burn_down(grants, demand)?;
    for (open, taken) in grants.iter_mut().zip(&burned.taken) {
        open.remaining = open.remaining.minus(*taken)?;
    }
    Ok(burned.uncovered)
}

/// The cycle after one, under the same terms.
fn next_cycle(open: &OpenCycle, zone: Tz) -> OpenCycle {
    let cycle = open.cycle.next();
    let bounds = Bounds { starts_at: open.bounds.ends_at, ends_at: cycle.bounds(zone).ends_at };
    OpenCycle { cycle, bounds, terms: open.terms.clone(), fee_billed: false }
}

/// Looks ahead: cycle by cycle at one pace, each with its allowance under the present terms.
///
/// # Errors
/// Out of range.
pub fn forecast(
    position: &Position,
    pace: Pace,
    now: DateTime<Utc>,
) -> Result<Forecast, RoundingError> {
    let zone = position.zone;
    let mut grants = position.grants.clone();
    let posted = Credits::total(grants.iter().map(|open| open.remaining))?;
    let available = posted.minus(position.used)?.minus(position.deficit)?;
    let uncovered = burn(&mut grants, position.used.plus(position.deficit)?)?;
    grants.retain(|open| open.remaining.is_positive());
    let mut outlook: Vec<Outlook> =
        grants.iter().map(|open| Outlook { open: open.clone(), lapses: Vec::new() }).collect();
    let (mut cycle, mut from) = (position.cycle.clone(), now);
    // Use beyond all grants is billed, or the next allowance pays for it first (D8).
    let bills = cycle.terms.overage_price.is_some();
    let mut deficit = if bills { Credits::ZERO } else { uncovered };
    let mut runs_out_at = None;
    for _ in 0..HORIZON_CYCLES {
        let left = Credits::total(grants.iter().map(|open| open.remaining))?;
        let time = (cycle.bounds.ends_at - from).max(Duration::zero());
        if runs_out_at.is_none()
            && let Some(lasts) = pace.lasts(left.minus(deficit)?).filter(|lasts| *lasts < time)
        {
            runs_out_at = Some(from + lasts);
        }
        let is_capped = cycle.terms.rollover_cap.is_some();
        let may_lapse = |out: &Outlook| match out.open.grant.last_cycle {
            Some(last) => last >= cycle.cycle,
            // What never ends may still be more than the plan carries on.
            None => is_capped && out.open.grant.source == Source::Allowance,
        };
        if (runs_out_at.is_some() || !pace.used.is_positive()) && !outlook.iter().any(may_lapse) {
            break;
        }
        let demand = pace.over(time)?.plus(deficit)?;
        let ended = end_cycle(grants, demand, cycle.cycle, &cycle.terms)?;
        for (id, lapse) in ended.lapsed {
            for out in outlook.iter_mut().filter(|out| out.open.grant.id == id) {
                out.lapses.push((cycle.bounds.ends_at, lapse));
            }
        }
        // Operations pause when nothing is left: the pace makes no deficit of its own.
        (grants, deficit) = (ended.carried, ended.deficit.min(deficit));
        cycle = next_cycle(&cycle, zone);
        from = cycle.bounds.starts_at;
        let next = allowance_grant(&position.organization, &cycle, zone, cycle.terms.allowance);
        grants.extend(next.map(|grant| OpenGrant { remaining: grant.granted, grant }));
    }
    let days_left = runs_out_at.map(|at| u32::try_from((at - now).num_days()).unwrap_or(0));
    let runs_out_on = runs_out_at.map(|at| last_day(at.max(now + Duration::microseconds(1)), zone));
    Ok(Forecast { available, runs_out_at, days_left, runs_out_on, grants: outlook })
}

/// The calendar day of the last instant before an end.
#[must_use]
pub fn last_day(end: DateTime<Utc>, zone: Tz) -> NaiveDate {
    (end - Duration::microseconds(1)).with_timezone(&zone).date_naive()
}

/// Calendar days until credits that expire at an instant are gone: 1 on the last day they can be used.
#[must_use]
pub fn days_until(expires_at: DateTime<Utc>, zone: Tz, now: DateTime<Utc>) -> i64 {
    (last_day(expires_at, zone) - now.with_timezone(&zone).date_naive()).num_days() + 1
}

/// The mark an expiry stands at: the nearest one that has come; none: none has come, or it is over. A mark that
/// lies before the credits were granted is none: nobody missed it.
#[must_use]
pub fn mark(marks: &[u16], days: i64, days_when_granted: i64) -> Option<u16> {
    let come = |mark: &&u16| days >= 1 && i64::from(**mark) >= days;
    marks.iter().filter(come).min().copied().filter(|mark| i64::from(*mark) <= days_when_granted)
}

#[cfg(test)]
mod tests;
