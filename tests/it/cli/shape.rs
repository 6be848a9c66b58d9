//! What the values of the contract look like.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use chrono::{DateTime, NaiveDate};
use serde_json::Value;

/// A kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text but none.
    Text,
    /// A decimal as text, without trailing zeros.
    Credits,
    /// Amount with the currency's decimals, and its code.
    Money,
    /// RFC 3339 in UTC.
    Instant,
    /// `YYYY-MM-DD`.
    Day,
    /// `YYYY-MM`.
    Cycle,
    /// A whole number from 0.
    Count,
    /// True or false.
    Bool,
    /// A list.
    List,
    /// An object.
    Object,
    /// Any of the above, or null.
    Null,
}

/// Has the object all keys the contract lists, each of its kind (the first that fits)?
#[track_caller]
pub(super) fn has(object: &Value, keys: &[(&str, &[Kind])]) {
    let fields = object.as_object().unwrap();
    for (key, kinds) in keys {
        let value = fields.get(*key);
        assert!(value.is_some(), "no {key:?} in {object}");
        let value = value.unwrap();
        assert!(kinds.iter().any(|kind| is(value, *kind)), "{key} is {value}, not {kinds:?}");
    }
}

fn is(value: &Value, kind: Kind) -> bool {
    let text = value.as_str();
    match kind {
        Kind::Text => text.is_some_and(|text| !text.is_empty()),
        Kind::Credits => text.is_some_and(is_credits),
        Kind::Money => is_money(value),
        Kind::Instant => text
            .is_some_and(|text| text.ends_with('Z') && DateTime::parse_from_rfc3339(text).is_ok()),
        Kind::Day => text.is_some_and(|text| text.len() == 10 && text.parse::<NaiveDate>().is_ok()),
        Kind::Cycle => text.is_some_and(|text| {
            text.len() == 7 && format!("{text}-01").parse::<NaiveDate>().is_ok()
        }),
        Kind::Count => value.as_u64().is_some(),
        Kind::Bool => value.is_boolean(),
        Kind::List => value.is_array(),
        Kind::Object => value.is_object(),
        Kind::Null => value.is_null(),
    }
}

fn is_credits(text: &str) -> bool {
    let magnitude = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = magnitude.split_once('.').unwrap_or((magnitude, "1"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let plain = whole == "0" || !whole.starts_with('0');
    digits(whole)
        && plain
        && digits(part)
        && part.len() <= 9
        && !part.ends_with('0')
        && text != "-0"
}

fn is_money(value: &Value) -> bool {
    let (Some(amount), Some(currency)) = (value["amount"].as_str(), value["currency"].as_str())
    else {
        return false;
    };
    let decimals = match currency {
        "JPY" => 0,
        "KWD" => 3,
        _ => 2,
    };
    let part = amount.split_once('.').map_or(0, |(_, part)| part.len());
    value.as_object().unwrap().len() == 2 && part == decimals && amount.parse::<f64>().is_ok()
}

/// Nano-credits of a decimal text: exact sums in tests.
pub(super) fn nano(value: &Value) -> i64 {
    let text = value.as_str().unwrap();
    assert!(is_credits(text), "{text:?}");
    let negative = text.starts_with('-');
    let magnitude = text.trim_start_matches('-');
    let (whole, part) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let nano: i64 = format!("{whole}{part:0<9}").parse().unwrap();
    if negative { -nano } else { nano }
}

#[test]
fn kinds_are_told_apart() {
    for good in ["0", "1", "-1", "0.99996", "-0.000000001", "1000"] {
        assert!(is_credits(good), "{good}");
    }
    for bad in ["", "01", "1.0", "1.", ".5", "-0", "1e3", "+1", "1,000", "0.0000000001"] {
        assert!(!is_credits(bad), "{bad}");
    }
    assert_eq!(nano(&Value::from("-1.5")), -1_500_000_000);
    assert!(is(&serde_json::json!({"amount": "12.30", "currency": "USD"}), Kind::Money));
    assert!(!is(&serde_json::json!({"amount": "12.3", "currency": "USD"}), Kind::Money));
    assert!(!is(&Value::from("2026-01-01T00:00:00+00:00"), Kind::Instant));
}
