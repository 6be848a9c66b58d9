//! Due instants of cron patterns, computed from what is stored: nothing depends on a timer having fired.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

/// How far back the last due instant of a pattern is looked for.
const LOOK_BACK_DAYS: i64 = 400;

fn cron(pattern: &str) -> Result<Cron, String> {
    CronParser::builder().seconds(Seconds::Disallowed).build().parse(pattern).map_err(|error| {
        format!(
            "{pattern:?} is not a cron pattern of 5 fields (minute hour day month weekday): {error}"
        )
    })
}

/// Is it a pattern?
///
/// # Errors
/// What is wrong with it.
pub fn check(pattern: &str) -> Result<(), String> {
    cron(pattern).map(|_| ())
}

/// The latest instant of a pattern at or before `now`; none within 400 days.
///
/// # Errors
/// Not a pattern.
pub fn last_due(
    pattern: &str,
    zone: Tz,
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, String> {
    let cron = cron(pattern)?;
    let local = now.with_timezone(&zone);
    match cron.find_previous_occurrence(&local, true) {
        Ok(at) => {
            let at = at.with_timezone(&Utc);
            Ok((now - at <= Duration::days(LOOK_BACK_DAYS)).then_some(at))
        }
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_due_instant_is_at_or_before_now() {
        let five = last_due("*/5 * * * *", Tz::UTC, at("2026-03-01T10:07:30Z")).unwrap();
        assert_eq!(five, Some(at("2026-03-01T10:05:00Z")));
        let exact = last_due("*/5 * * * *", Tz::UTC, at("2026-03-01T10:05:00Z")).unwrap();
        assert_eq!(exact, Some(at("2026-03-01T10:05:00Z")));
    }

    // The zone's rules at the due instant count, not those at start-up.
    #[test]
    fn local_hours_follow_the_zone_across_clock_changes() {
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        let winter = last_due("0 3 * * *", berlin, at("2026-02-01T12:00:00Z")).unwrap();
        let summer = last_due("0 3 * * *", berlin, at("2026-07-01T12:00:00Z")).unwrap();
        assert_eq!(winter, Some(at("2026-02-01T02:00:00Z")));
        assert_eq!(summer, Some(at("2026-07-01T01:00:00Z")));
    }

    #[test]
    fn not_a_pattern() {
        for bad in ["", "x", "* * * *", "61 * * * *", "0 0 0 1 1 *"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
