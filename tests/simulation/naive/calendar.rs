//! Months and their midnights: found by looking at every minute around the first of the month.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::cell::RefCell;
use std::collections::HashMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

/// Microseconds of a minute.
const MINUTE: i64 = 60_000_000;
/// Microseconds of an hour.
pub const HOUR: i64 = 60 * MINUTE;
/// Microseconds of a day.
pub const DAY: i64 = 24 * HOUR;

thread_local! {
    static STARTS: RefCell<HashMap<(Tz, i64), i64>> = RefCell::default();
}

/// Year and month (1–12) of a month.
pub fn year_and_month(month: i64) -> (i32, u32) {
    (i32::try_from(month / 12).unwrap(), u32::try_from(month % 12).unwrap() + 1)
}

/// The month of a year and month (1–12).
pub fn month(year: i32, month: u32) -> i64 {
    i64::from(year) * 12 + i64::from(month) - 1
}

/// `2026-01`.
pub fn label(of: i64) -> String {
    let (year, month) = year_and_month(of);
    format!("{year:04}-{month:02}")
}

/// The month of a label.
pub fn labelled(text: &str) -> i64 {
    let (year, of) = text.split_once('-').unwrap();
    month(year.parse().unwrap(), of.parse().unwrap())
}

/// Days of a month.
pub fn days_of(of: i64) -> i128 {
    let (year, month) = year_and_month(of);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// When a month begins somewhere: the first minute whose date there is the first or later (D6).
pub fn start(zone: Tz, of: i64) -> i64 {
    if let Some(known) = STARTS.with_borrow(|starts| starts.get(&(zone, of)).copied()) {
        return known;
    }
    let (year, month) = year_and_month(of);
    let first = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
    let midnight = Utc.from_utc_datetime(&first.and_hms_opt(0, 0, 0).unwrap()).timestamp_micros();
    let mut at = midnight - 16 * HOUR;
    while instant(at).with_timezone(&zone).date_naive() < first {
        at += MINUTE;
    }
    STARTS.with_borrow_mut(|starts| starts.insert((zone, of), at));
    at
}

/// The month an instant lies in somewhere.
pub fn month_of(zone: Tz, at: i64) -> i64 {
    let there = instant(at).with_timezone(&zone).date_naive();
    let mut of = month(there.year(), there.month()) + 1;
    while start(zone, of) > at {
        of -= 1;
    }
    of
}

/// An instant.
pub fn instant(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap()
}
