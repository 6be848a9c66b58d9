//! Whether a feed of usage is complete: a day without any event, from a source that always had some on that
//! weekday, is not read as a day without use.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate};

/// When a silent day looks like a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// How many days of its own history a feed is held against, whole weeks; 0: not at all.
    pub history_days: u32,
    /// Events that weekday must have had on average; a feed that has fewer may well have none.
    pub min_events: u32,
}

/// Days of the history, in percent, on which a feed may differ from its own week: an outage before, a holiday.
const ODD_PERCENT: u64 = 10;

/// The days from `first` to `last` on which nothing came and something should have: in each week of the history
/// there was use on that weekday, enough of it, and the feed kept to its week. Weekends off are a week to keep
/// to as well. `events` holds the days on which something came.
#[must_use]
pub fn missing(
    rule: Rule,
    events: &BTreeMap<NaiveDate, i64>,
    first: NaiveDate,
    last: NaiveDate,
) -> Vec<NaiveDate> {
    if rule.history_days == 0 {
        return Vec::new();
    }
    first
        .iter_days()
        .take_while(|day| *day <= last)
        .filter(|day| !events.contains_key(day) && was_expected(rule, events, *day))
        .collect()
}

fn was_expected(rule: Rule, events: &BTreeMap<NaiveDate, i64>, day: NaiveDate) -> bool {
    let weeks = u64::from(rule.history_days / 7);
    let before = |days: u64| day.checked_sub_days(Days::new(days));
    let on = |days: u64| before(days).and_then(|day| events.get(&day)).copied();
    let same: Vec<i64> = (1..=weeks).filter_map(|week| on(week * 7)).collect();
    let total: i128 = same.iter().map(|events| i128::from(*events)).sum();
    let enough = i128::from(rule.min_events) * i128::from(weeks);
    if same.len() as u64 != weeks || weeks == 0 || total < enough {
        return false;
    }
    // Against the week it mostly keeps: on how many days did it differ?
    let mut odd = 0;
    for weekday in 1..=7 {
        let came = (0..weeks).filter(|week| on(weekday + week * 7).is_some()).count() as u64;
        odd += came.min(weeks - came);
    }
    odd * 100 <= ODD_PERCENT * u64::from(rule.history_days)
}

/// A silent day, for people: `Tuesday 2026-02-24`.
#[must_use]
pub fn named(day: NaiveDate) -> String {
    let weekday = match day.weekday() {
        chrono::Weekday::Mon => "Monday",
        chrono::Weekday::Tue => "Tuesday",
        chrono::Weekday::Wed => "Wednesday",
        chrono::Weekday::Thu => "Thursday",
        chrono::Weekday::Fri => "Friday",
        chrono::Weekday::Sat => "Saturday",
        chrono::Weekday::Sun => "Sunday",
    };
    format!("{weekday} {day}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { history_days: 28, min_events: 100 };

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    /// January and February 2026, so many events on each day that `comes`.
    fn feed(events: i64, comes: impl Fn(NaiveDate) -> bool) -> BTreeMap<NaiveDate, i64> {
        let days = day("2026-01-01").iter_days().take(59);
        days.filter(|day| comes(*day)).map(|day| (day, events)).collect()
    }

    fn february(events: &BTreeMap<NaiveDate, i64>) -> Vec<NaiveDate> {
        missing(RULE, events, day("2026-02-01"), day("2026-02-28"))
    }

    #[test]
    fn one_silent_day() {
        assert_eq!(february(&feed(100, |_| true)), []);
        let silent = day("2026-02-24");
        assert_eq!(february(&feed(100, |day| day != silent)), [silent]);
        assert_eq!(named(silent), "Tuesday 2026-02-24");
        // The last day of the month too, and days outside the month not at all.
        let ends = day("2026-02-28");
        assert_eq!(february(&feed(100, |day| day != ends)), [ends]);
        assert_eq!(february(&feed(100, |other| other != day("2026-01-30"))), []);
    }

    #[test]
    fn too_little_use_may_well_be_none() {
        let silent = day("2026-02-24");
        assert_eq!(february(&feed(99, |day| day != silent)), []);
        // The average of that weekday counts: quiet Tuesdays are quiet.
        let mut quiet = feed(1_000, |day| day != silent);
        for (day, events) in &mut quiet {
            if day.weekday() == chrono::Weekday::Tue {
                *events = 99;
            }
        }
        assert_eq!(february(&quiet), []);
    }

    #[test]
    fn weekends_off_are_kept_to() {
        let works = |day: NaiveDate| day.weekday().number_from_monday() <= 5;
        assert_eq!(february(&feed(100, works)), []);
        let silent = day("2026-02-24");
        assert_eq!(february(&feed(100, |day| works(day) && day != silent)), [silent]);
        // A feed that comes on Mondays alone, and one Monday not.
        let monday = day("2026-02-23");
        let weekly = |day: NaiveDate| day.weekday() == chrono::Weekday::Mon;
        assert_eq!(february(&feed(100, |day| weekly(day) && day != monday)), [monday]);
    }

    #[test]
    fn a_feed_without_a_week_of_its_own_is_not_judged() {
        // Every third day off: no weekday is ever complete for four weeks.
        assert_eq!(february(&feed(100, |day| day.ordinal() % 3 != 0)), []);
        // Begun two weeks ago.
        let begun = day("2026-02-10");
        assert_eq!(february(&feed(100, |other| other >= begun && other != day("2026-02-24"))), []);
    }

    #[test]
    fn a_long_outage_is_seen_by_its_first_days() {
        let ends = day("2026-02-19");
        let missing = february(&feed(100, |day| day <= ends));
        assert_eq!(missing, [day("2026-02-20"), day("2026-02-21"), day("2026-02-22")]);
        // Two odd days in the history are forgiven, three are not.
        let odd = |days: &[&str]| {
            let days: Vec<NaiveDate> = days.iter().map(|text| day(text)).collect();
            february(&feed(100, |other| !days.contains(&other) && other != day("2026-02-24")))
        };
        assert!(odd(&["2026-01-29", "2026-01-30"]).contains(&day("2026-02-24")));
        assert!(!odd(&["2026-01-29", "2026-01-30", "2026-01-31"]).contains(&day("2026-02-24")));
    }

    #[test]
    fn off_is_off() {
        let off = Rule { history_days: 0, ..RULE };
        let silent = day("2026-02-24");
        let events = feed(100, |day| day != silent);
        assert_eq!(missing(off, &events, day("2026-02-01"), day("2026-02-28")), []);
    }
}
