//! Instants, months, decimals, money and credits: what is taken is what was written (F47).

use chrono::{DateTime, Datelike as _, Utc};
use chrono_tz::Tz;
use monthend::domain::credits::Credits;
use monthend::domain::cycle::Cycle;
use monthend::domain::money::{Currency, Money};
use monthend::domain::{decimal, rounding, text};
use monthend::intake::usage::UsageReader;

use super::plain;

/// The same text as each of them.
pub fn target(data: &[u8]) {
    let Ok(given) = std::str::from_utf8(data) else { return };
    instant(given);
    month(given);
    amounts(given);
    let clean = text::cleaned(given);
    assert!(text::is_harmless(&clean) && text::cleaned(&clean) == clean, "{clean:?}");
    assert!(text::clipped(given, 20).chars().count() <= 20);
    assert_eq!(
        text::grouped(given).chars().filter(|c| *c != ',').collect::<String>(),
        given.chars().filter(|c| *c != ',').collect::<String>()
    );
}

/// An instant, as the `at` of a row of usage.
fn instant(given: &str) {
    if given.contains(['"', ',', '\n', '\r']) {
        return;
    }
    let file = format!("id,organization,at,meter\n1,acme,{given},m\n");
    let mut rows = UsageReader::new(file.as_bytes()).expect("a header");
    let row = rows.next().expect("a row").expect("bytes in memory");
    let Ok(event) = row.event else { return };
    let at = event.at;
    assert!((1970..=2500).contains(&at.year()), "{given:?} is {at}");
    // F47: a leap second is the last microsecond before it, so it stays in its month.
    let given = given.trim_ascii();
    if &given[17..19] == "60" {
        assert_eq!(at.timestamp_subsec_micros(), 999_999, "{given:?} is {at}");
    } else if let Ok(other) = DateTime::parse_from_rfc3339(given) {
        assert_eq!(at.timestamp_micros(), other.timestamp_micros(), "{given:?}");
    }
    for zone in [Tz::UTC, Tz::Pacific__Apia, Tz::America__Sao_Paulo, Tz::Africa__Cairo] {
        within(at, zone);
    }
}

/// The month of an instant covers it.
fn within(at: DateTime<Utc>, zone: Tz) {
    let cycle = Cycle::of_instant(at, zone);
    let bounds = cycle.bounds(zone);
    let inside = bounds.starts_at <= at && at < bounds.ends_at;
    // Years outside 1970 to 2500 have no months: they lie in the first or the last one.
    let beyond = cycle.year() <= 1970 || cycle.year() >= 2500;
    assert!(inside || beyond, "{at} in {zone}: {cycle}");
}

fn month(given: &str) {
    let Ok(cycle) = given.parse::<Cycle>() else { return };
    assert_eq!(cycle.to_string(), given);
    assert_eq!(Cycle::of_date(cycle.first_day()), cycle);
    assert_eq!(Cycle::of_date(cycle.last_day()), cycle);
    assert!((28..=31).contains(&cycle.days()));
    assert_eq!(cycle.bounds(Tz::UTC).ends_at, cycle.next().bounds(Tz::UTC).starts_at);
}

fn amounts(given: &str) {
    let exact = decimal::parse(given);
    if let Ok(number) = exact {
        assert_eq!(plain(&number.to_string()), plain(given), "{given:?}");
        assert_eq!(
            decimal::parse(&decimal::text(number)).map(|n| n.normalize()),
            Ok(number.normalize())
        );
    }
    if let Ok(number) = decimal::parse_scientific(given)
        && let Ok(exact) = exact
    {
        assert_eq!(number, exact);
    }
    if let Ok(credits) = given.parse::<Credits>() {
        assert_eq!(plain(&credits.to_string()), plain(given), "{given:?}");
        assert_eq!(credits.to_string().parse(), Ok(credits));
    }
    for currency in ["USD", "JPY", "KWD"] {
        let currency: Currency = currency.parse().expect("a currency");
        if let Ok(money) = Money::parse(given, currency) {
            assert_eq!(plain(&money.amount_text()), plain(given), "{given:?} {currency}");
            assert_eq!(rounding::minor_units(money.to_decimal(), currency), Ok(money));
        }
        if let (Ok(number), true) = (decimal::parse(given), given.len() < 20)
            && let Ok(rounded) = rounding::minor_units(number, currency)
        {
            // Off by at most half a minor unit.
            let apart = (rounded.to_decimal() - number).abs() * rust_decimal::Decimal::TWO;
            let unit = rust_decimal::Decimal::new(1, currency.exponent());
            assert!(apart <= unit, "{given:?} {currency}: {rounded}");
        }
    }
}
