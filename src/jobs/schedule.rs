//! Due instants of cron patterns, computed from what is stored: nothing depends on a timer having fired.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use croner::Cron;
use croner::parser::{CronParser, Seconds};

/// How far back the last due instant of a pattern is looked for.
const LOOK_BACK_DAYS: i64 = 400;

/// A cron pattern of five fields: minute, hour, day, month, weekday.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: String,
    /// Some 300 bytes, which not every job has.
    cron: Box<Cron>,
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!(
                "{text:?} is not a cron pattern of 5 fields (minute hour day month weekday): {error}"
            )
        })?;
        Ok(Self { text: text.to_owned(), cron: Box::new(cron) })
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Pattern {
    /// Its latest instant at or before `now`, its fields read in a zone; none within 400 days.
    #[must_use]
    pub fn last_due(&self, zone: Tz, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = now.with_timezone(&zone);
        let at = self.cron.find_previous_occurrence(&local, true).ok()?.with_timezone(&Utc);
        (now - at <= Duration::days(LOOK_BACK_DAYS)).then_some(at)
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
        let pattern: Pattern = "*/5 * * * *".parse().unwrap();
        let five = pattern.last_due(Tz::UTC, at("2026-03-01T10:07:30Z"));
        assert_eq!(five, Some(at("2026-03-01T10:05:00Z")));
        let exact = pattern.last_due(Tz::UTC, at("2026-03-01T10:05:00Z"));
        assert_eq!(exact, Some(at("2026-03-01T10:05:00Z")));
    }

    // The zone's rules at the due instant count, not those at start-up.
    #[test]
    fn local_hours_follow_the_zone_across_clock_changes() {
        let berlin: Tz = "Europe/Berlin".parse().unwrap();
        let pattern: Pattern = "0 3 * * *".parse().unwrap();
        let winter = pattern.last_due(berlin, at("2026-02-01T12:00:00Z"));
        let summer = pattern.last_due(berlin, at("2026-07-01T12:00:00Z"));
        assert_eq!(winter, Some(at("2026-02-01T02:00:00Z")));
        assert_eq!(summer, Some(at("2026-07-01T01:00:00Z")));
    }

    #[test]
    fn not_a_pattern() {
        for bad in ["", "x", "* * * *", "61 * * * *", "0 0 0 1 1 *"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }
}
