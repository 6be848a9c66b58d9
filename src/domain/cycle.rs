//! Billing cycles: calendar months, half-open, in the organization's own zone (S28–S30, D6).

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Duration, LocalResult, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A calendar month that is billed as a whole, written `2026-10`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cycle {
    /// Months since January of year 0.
    index: i32,
}

/// First and last year a cycle can lie in; four digits in text, far from any overflow.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2500;

/// The text is not a cycle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a billing cycle (a month like 2026-10, from 1970 to 2500)")]
pub struct CycleError(pub String);

/// The instants a cycle covers: from `starts_at` up to, not including, `ends_at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bounds {
    /// First instant.
    pub starts_at: DateTime<Utc>,
    /// First instant of the next cycle.
    pub ends_at: DateTime<Utc>,
}

impl Cycle {
    /// The cycle of a year and month (1–12).
    ///
    /// # Errors
    /// A month or year out of range.
    pub fn new(year: i32, month: u32) -> Result<Self, CycleError> {
        let valid = YEARS.contains(&year) && (1..=12).contains(&month);
        let month0 = i32::try_from(month.wrapping_sub(1)).unwrap_or(0);
        valid
            .then_some(Self { index: year * 12 + month0 })
            .ok_or_else(|| CycleError(format!("{year}-{month}")))
    }

    /// The cycle a calendar date lies in; dates outside 1970–2500 lie in the first or last one.
    #[must_use]
    pub fn of_date(date: NaiveDate) -> Self {
        let year = date.year().clamp(*YEARS.start(), *YEARS.end());
        Self { index: year * 12 + i32::try_from(date.month0()).unwrap_or(0) }
    }

    /// The cycle an instant lies in, for a zone. Consistent with [`Cycle::bounds`] at every instant.
    #[must_use]
    pub fn of_instant(at: DateTime<Utc>, zone: Tz) -> Self {
        let guess = Self::of_date(at.with_timezone(&zone).date_naive());
        // Around a doubled midnight local dates run twice; the bounds decide.
        if at < guess.bounds(zone).starts_at {
            guess.previous()
        } else if at >= guess.bounds(zone).ends_at {
            guess.next()
        } else {
            guess
        }
    }

    /// The cycle `months` later (or earlier).
    #[must_use]
    pub fn plus(self, months: i32) -> Self {
        Self { index: self.index.saturating_add(months) }
    }

    /// The cycle after this.
    #[must_use]
    pub fn next(self) -> Self {
        self.plus(1)
    }

    /// The cycle before this.
    #[must_use]
    pub fn previous(self) -> Self {
        self.plus(-1)
    }

    /// How many cycles lie from `earlier` to this.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.index - earlier.index
    }

    /// Calendar year.
    #[must_use]
    pub fn year(self) -> i32 {
        self.index.div_euclid(12)
    }

    /// Calendar month, 1–12.
    #[must_use]
    pub fn month(self) -> u32 {
        self.index.rem_euclid(12).unsigned_abs() + 1
    }

    /// The first calendar day.
    #[must_use]
    pub fn first_day(self) -> NaiveDate {
        NaiveDate::from_ymd_opt(self.year(), self.month(), 1).unwrap_or(NaiveDate::MIN)
    }

    /// The last calendar day.
    #[must_use]
    pub fn last_day(self) -> NaiveDate {
        self.next().first_day().pred_opt().unwrap_or(NaiveDate::MAX)
    }

    /// Number of calendar days, 28–31.
    #[must_use]
    pub fn days(self) -> u32 {
        self.last_day().day()
    }

    /// Start and end as instants in a zone (D6): the first valid instant of each first day; a
    /// missing midnight gives the first instant after it, a doubled one the earlier.
    #[must_use]
    pub fn bounds(self, zone: Tz) -> Bounds {
        Bounds {
            starts_at: start_of_day(self.first_day(), zone),
            ends_at: start_of_day(self.next().first_day(), zone),
        }
    }
}

/// A calendar month's name in English: 1 is January.
#[must_use]
pub fn month_name(month: u32) -> &'static str {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    (month as usize).checked_sub(1).and_then(|index| MONTHS.get(index)).copied().unwrap_or("?")
}

/// The first instant of a calendar day in a zone; see [`Cycle::bounds`] for clock changes.
#[must_use]
pub fn start_of_day(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    match zone.from_local_datetime(&midnight) {
        LocalResult::Single(at) => at.with_timezone(&Utc),
        LocalResult::Ambiguous(earlier, _) => earlier.with_timezone(&Utc),
        LocalResult::None => {
            // Across a gap local time only rises: find the first instant at or after midnight.
            let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
            let (mut before, mut after) =
                (midnight.and_utc() - Days::new(2), midnight.and_utc() + Days::new(2));
            while after - before > Duration::seconds(1) {
                let middle = before + Duration::seconds((after - before).num_seconds() / 2);
                if local(middle) < midnight {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            after
        }
    }
}

impl fmt::Display for Cycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl FromStr for Cycle {
    type Err = CycleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || CycleError(text.chars().take(20).collect());
        let digits = |part: &str, len: usize| {
            (part.len() == len && part.bytes().all(|b| b.is_ascii_digit()))
                .then(|| part.parse().ok())
                .flatten()
        };
        let (year, month) = text.split_once('-').ok_or_else(invalid)?;
        let year: u32 = digits(year, 4).ok_or_else(invalid)?;
        let month = digits(month, 2).ok_or_else(invalid)?;
        Self::new(i32::try_from(year).map_err(|_| invalid())?, month).map_err(|_| invalid())
    }
}

impl Serialize for Cycle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cycle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn text_round_trips_and_nothing_else_parses() {
        assert_eq!("2026-10".parse::<Cycle>().unwrap().to_string(), "2026-10");
        for bad in [
            "2026-13",
            "2026-00",
            "2026-1",
            "26-01",
            "2026/01",
            "",
            "2026-01-01",
            "+026-01",
            "9999-01",
        ] {
            assert!(bad.parse::<Cycle>().is_err(), "{bad}");
        }
    }

    // F42: leap years and year ends.
    #[test]
    fn months_have_their_days() {
        for (cycle, days) in
            [("2024-02", 29), ("2026-02", 28), ("2026-12", 31), ("2100-02", 28), ("2000-02", 29)]
        {
            let cycle: Cycle = cycle.parse().unwrap();
            assert_eq!(cycle.days(), days);
            assert_eq!(cycle.next().previous(), cycle);
        }
    }

    // F40, F41, D6: 599 zone names × every month 2010–2037 touch and never overlap.
    #[test]
    fn cycles_of_every_zone_touch_and_never_overlap() {
        let zones = chrono_tz::TZ_VARIANTS;
        let mut checked = 0;
        for zone in zones {
            let mut cycle = Cycle::new(2010, 1).unwrap();
            let mut previous_end = cycle.bounds(zone).starts_at;
            while cycle.year() <= 2037 {
                let bounds = cycle.bounds(zone);
                assert_eq!(bounds.starts_at, previous_end, "{zone} {cycle}");
                let hours = (bounds.ends_at - bounds.starts_at).num_hours();
                assert!((27 * 24..=32 * 24).contains(&hours), "{zone} {cycle}: {hours} h");
                assert_eq!(Cycle::of_instant(bounds.starts_at, zone), cycle, "{zone} {cycle}");
                let last = bounds.ends_at - Duration::microseconds(1);
                assert_eq!(Cycle::of_instant(last, zone), cycle, "{zone} {cycle}");
                previous_end = bounds.ends_at;
                cycle = cycle.next();
                checked += 1;
            }
        }
        assert!(zones.len() >= 590, "{} zones", zones.len());
        assert_eq!(checked, zones.len() * 28 * 12);
    }

    // F41: a midnight that does not exist, and one that exists twice.
    #[test]
    fn missing_and_doubled_midnights() {
        // Asunción sprang from 00:00 to 01:00 on 1 October 2017.
        let asuncion = Cycle::new(2017, 10).unwrap().bounds(chrono_tz::America::Asuncion);
        assert_eq!(asuncion.starts_at, at("2017-10-01T04:00:00Z"));
        // Havana fell back from 01:00 to 00:00 on 1 November 2020: the earlier midnight.
        let havana = Cycle::new(2020, 11).unwrap().bounds(chrono_tz::America::Havana);
        assert_eq!(havana.starts_at, at("2020-11-01T04:00:00Z"));
        assert_eq!(
            Cycle::of_instant(at("2020-11-01T05:30:00Z"), chrono_tz::America::Havana).to_string(),
            "2020-11"
        );
    }

    // F40, F41: against a naive walk over the hours around each midnight: a month starts at the first instant
    // whose local time has reached it. `MONTHEND_ALL_MONTHS=1` walks every zone × 816 months, some minutes
    // unoptimized; an ordinary run every 23rd month.
    #[test]
    fn starts_agree_with_a_naive_walk() {
        let step = if std::env::var_os("MONTHEND_ALL_MONTHS").is_some() { 1 } else { 23 };
        let (mut missing, mut walked) = (0, 0);
        for zone in chrono_tz::TZ_VARIANTS {
            let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
            let mut cycle = Cycle::new(1970, 1).unwrap();
            while cycle.year() <= 2037 {
                let midnight = cycle.first_day().and_time(chrono::NaiveTime::MIN);
                let start = cycle.bounds(zone).starts_at;
                assert!(local(start) >= midnight, "{zone} {cycle}: {start}");
                assert!(local(start - Duration::seconds(1)) < midnight, "{zone} {cycle}: {start}");
                let mut walk = midnight.and_utc() - Duration::hours(26);
                while walk < start {
                    assert!(local(walk) < midnight, "{zone} {cycle}: {walk} is earlier");
                    walk += Duration::minutes(15);
                }
                missing += u32::from(local(start) > midnight);
                walked += 1;
                cycle = cycle.plus(step);
            }
        }
        let months: usize = (816_i32 / step + i32::from(816 % step > 0)).try_into().unwrap();
        assert!(chrono_tz::TZ_VARIANTS.len() >= 590);
        assert_eq!(walked, chrono_tz::TZ_VARIANTS.len() * months);
        assert!(step > 1 || missing >= 300, "{missing} midnights that do not exist");
    }

    // F42: every month of 1970–2100 by the rule of the calendar, half-open in UTC.
    #[test]
    fn every_month_has_the_days_of_the_calendar() {
        let mut before = Cycle::new(1970, 1).unwrap().bounds(Tz::UTC).starts_at;
        for year in 1970..=2100 {
            let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
            for month in 1..=12_u32 {
                let days = match month {
                    2 => 28 + u32::from(is_leap),
                    4 | 6 | 9 | 11 => 30,
                    _ => 31,
                };
                let cycle = Cycle::new(year, month).unwrap();
                let bounds = cycle.bounds(Tz::UTC);
                assert_eq!((cycle.days(), bounds.starts_at), (days, before), "{cycle}");
                assert_eq!(
                    bounds.ends_at - bounds.starts_at,
                    Duration::days(days.into()),
                    "{cycle}"
                );
                before = bounds.ends_at;
            }
        }
    }

    // F44: 64 boundary cases: eight instants around a month in eight zones, two of which have no midnight then or
    // two of them. Half-open: the first instant is in, the last is not.
    #[test]
    fn instants_on_the_boundary_belong_to_one_month() {
        let zones = [
            ("UTC", "2020-11"),
            ("America/Havana", "2020-11"),
            ("America/Asuncion", "2017-10"),
            ("Pacific/Kiritimati", "2026-02"),
            ("Pacific/Pago_Pago", "2026-02"),
            ("Asia/Kolkata", "2024-02"),
            ("America/St_Johns", "2026-12"),
            ("Australia/Lord_Howe", "2026-01"),
        ];
        let micro = Duration::microseconds(1);
        let mut cases = 0;
        for (zone, month) in zones {
            let (zone, month): (Tz, Cycle) = (zone.parse().unwrap(), month.parse().unwrap());
            let Bounds { starts_at, ends_at } = month.bounds(zone);
            for (at, expected) in [
                (starts_at - Duration::hours(1), month.previous()),
                (starts_at - micro, month.previous()),
                (starts_at, month),
                (starts_at + micro, month),
                (ends_at - Duration::hours(1), month),
                (ends_at - micro, month),
                (ends_at, month.next()),
                (ends_at + micro, month.next()),
            ] {
                assert_eq!(Cycle::of_instant(at, zone), expected, "{zone} {at}");
                cases += 1;
            }
        }
        assert_eq!(cases, 64);
    }

    // F43: from each month of 1970–2100, by every number of months up to ten years: as counted one by one.
    #[test]
    fn terms_are_counted_month_by_month() {
        for year in 1970..=2100 {
            for month in 1..=12 {
                let first = Cycle::new(year, month).unwrap();
                let (mut y, mut m) = (year, month);
                for months in 0..=120 {
                    let last = first.plus(months);
                    assert_eq!((last.year(), last.month(), last.since(first)), (y, m, months));
                    (y, m) = if m == 12 { (y + 1, 1) } else { (y, m + 1) };
                }
            }
        }
    }

    // F43: terms count cycles, not days.
    #[test]
    fn terms_count_cycles() {
        let january: Cycle = "2026-01".parse().unwrap();
        assert_eq!(january.plus(3).to_string(), "2026-04");
        assert_eq!(january.plus(12).since(january), 12);
    }
}
