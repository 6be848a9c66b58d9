//! Instants of usage: RFC 3339, to the microsecond.

use chrono::{DateTime, Datelike, Duration, NaiveDate, Utc};

use crate::intake::shown;

/// Years usage can lie in: those billing cycles have.
const YEARS: std::ops::RangeInclusive<u32> = 1970..=2500;

/// An instant with any offset. More than six digits of a second are cut. A leap second is the last
/// microsecond before it (F47). With a space instead of `T` and no offset, as some exports
/// write it, the instant is taken as UTC.
pub(super) fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    read(text.as_bytes()).ok_or_else(|| {
        format!(
            "{} is not an instant from 1970 to 2500 like 2026-10-31T23:59:59Z (RFC 3339, with Z or \
             an offset like +02:00)",
            shown(text)
        )
    })
}

fn read(text: &[u8]) -> Option<DateTime<Utc>> {
    let (day, rest) = text.split_at_checked(10)?;
    let (&separator, rest) = rest.split_first()?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let year = digits(&day[..4])?;
    let punctuated = day[4] == b'-' && day[7] == b'-' && clock[2] == b':' && clock[5] == b':';
    if !punctuated || !matches!(separator, b'T' | b't' | b' ') || !YEARS.contains(&year) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(
        i32::try_from(year).ok()?,
        digits(&day[5..7])?,
        digits(&day[8..])?,
    )?;
    let (hour, minute) = (digits(&clock[..2])?, digits(&clock[3..5])?);
    let (micro, rest) = fraction(rest)?;
    let (second, micro) = match digits(&clock[6..])? {
        60 => (59, 999_999),
        second => (second, micro),
    };
    let local = date.and_hms_micro_opt(hour, minute, second, micro)?;
    let offset = match rest {
        [b'Z' | b'z'] => 0,
        [] if separator == b' ' => 0,
        _ => offset_minutes(rest)?,
    };
    let at = local.and_utc().checked_sub_signed(Duration::minutes(offset))?;
    // Its offset may move it out of the years that have cycles.
    u32::try_from(at.year()).ok().filter(|year| YEARS.contains(year)).map(|_| at)
}

/// The microseconds of `.123…`, and what follows.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(part) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (part, rest) = part.split_at(count);
    let kept = digits(part.get(..count.min(6))?)?;
    let places = u32::try_from(6_usize.saturating_sub(count)).ok()?;
    Some((kept * 10_u32.pow(places), rest))
}

/// Minutes east of UTC of `+02:00`.
fn offset_minutes(text: &[u8]) -> Option<i64> {
    let [sign, h1, h2, b':', m1, m2] = text else { return None };
    let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
    let east = i64::from(hours * 60 + minutes);
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(east),
        b'-' => Some(-east),
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    text.iter().try_fold(0_u32, |number, digit| {
        number.checked_mul(10)?.checked_add(u32::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_the_same_utc_instant() {
        for (given, utc) in [
            ("2026-10-31T23:59:59Z", "2026-10-31T23:59:59Z"),
            ("2026-10-31t23:59:59.5z", "2026-10-31T23:59:59.5Z"),
            ("2026-11-01 01:59:59+02:00", "2026-10-31T23:59:59Z"),
            ("2026-10-31T20:29:59-03:30", "2026-10-31T23:59:59Z"),
            // The published trace: a space, seven digits, no zone.
            ("2023-11-16 18:17:03.9799600", "2023-11-16T18:17:03.97996Z"),
            ("2026-01-01T00:00:00.1234567899999999999999Z", "2026-01-01T00:00:00.123456Z"),
            // F47: leap seconds.
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59.999999Z"),
            ("2016-12-31T23:59:60.5Z", "2016-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(instant(given).unwrap(), utc.parse::<DateTime<Utc>>().unwrap(), "{given}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "2026-10-31",
            "2026-10-31T23:59:59",
            "2026-10-31T24:00:00Z",
            "2026-10-31T23:60:00Z",
            "2026-10-31T23:59:61Z",
            "2026-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2501-01-01T00:00:00Z",
            "2026-10-31T23:59:59.Z",
            "2026-10-31T23:59:59+24:00",
            "2026-10-31T23:59:59+02",
            "31.10.2026 23:59:59",
            "1761955199",
            "２026-10-31T23:59:59Z",
        ] {
            assert!(instant(bad).is_err(), "{bad}");
        }
    }

    // Such an event was taken, and could not be read again from the quarantine.
    #[test]
    fn an_offset_does_not_lead_out_of_the_years_of_cycles() {
        for bad in ["1970-01-01T00:00:00+00:01", "2500-12-31T23:59:59-00:01"] {
            assert!(instant(bad).is_err(), "{bad}");
        }
        for good in ["1970-01-01T00:01:00+00:01", "2500-12-31T23:58:59-00:01"] {
            assert!(instant(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn the_standard_form_agrees_with_chrono() {
        for seconds in (0..1_900_000_000).step_by(86_399 * 7) {
            let at = DateTime::from_timestamp(seconds, 0).unwrap();
            assert_eq!(instant(&at.to_rfc3339()).unwrap(), at);
        }
    }
}
