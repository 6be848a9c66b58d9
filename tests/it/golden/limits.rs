//! Edges: months of odd zones, damaged input, numbers that do not fit, and what is derived again.

use chrono_tz::Tz;
use monthend::domain::close::{CloseError, close};
use monthend::domain::credits::Credits;
use monthend::domain::decimal;
use monthend::domain::grant::Source;
use monthend::domain::money::{Currency, Money};
use monthend::domain::plan::Term;

use super::plan_with;
use crate::model::year::{Year, credits, cycle, plan};

// D6, F40, F41: months touch in zones whose midnights go missing or come twice, over three years.
#[test]
fn months_touch_in_every_odd_zone() {
    for zone in
        ["America/Havana", "America/Asuncion", "Pacific/Apia", "Asia/Kolkata", "Asia/Beirut"]
    {
        let zone: Tz = zone.parse().unwrap();
        let mut year = Year::join_in(zone, &plan("professional"), "2019-12-31".parse().unwrap());
        let start = year.bounds().starts_at;
        let outcome = year.rest(36);
        assert_eq!(outcome.next.cycle, cycle("2022-12"));
        let days = (outcome.next.bounds.starts_at - start).num_hours();
        assert!((1096 * 24 - 2..=1096 * 24 + 2).contains(&days), "{zone}: {days} hours");
    }
}

// D6: the stored end is the next start, whatever the zone's rules say when the month is closed.
#[test]
fn the_stored_end_is_the_next_start() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.close();
    let mut input = year.input();
    input.bounds.ends_at += chrono::Duration::hours(1);
    let outcome = close(&input).unwrap();
    assert_eq!(outcome.next.bounds.starts_at, input.bounds.ends_at);
    assert_eq!(outcome.next_grant.unwrap().granted_at, input.bounds.ends_at);
}

// F3: a close that is done again decides the same, to the last id and hash.
#[test]
fn a_close_done_again_decides_the_same() {
    let mut year = Year::join(&plan("professional"), "2026-01-31");
    year.burn("7000");
    year.buy("50");
    year.give(Source::Adjustment, "1", Term::Cycles(2));
    let mut input = year.input();
    let first = close(&input).unwrap();
    input.grants.reverse();
    let second = close(&input).unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

// L4: damaged input is refused by name; nothing is half decided.
#[test]
fn negative_input_is_refused() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.burn("1");
    let sound = year.input();
    assert!(close(&sound).is_ok());
    let minus = Credits::from_nano(-1);
    let mut deficit = sound.clone();
    deficit.deficit_brought = minus;
    let mut usage = sound.clone();
    usage.usage[0].credits = minus;
    let mut grant = sound;
    grant.grants[0].remaining = minus;
    for (input, named) in [
        (deficit, "the deficit brought"),
        (usage, "the rated use"),
        (grant, "what is left of a grant"),
    ] {
        let error = close(&input).unwrap_err();
        assert_eq!(error, CloseError::Negative { cycle: cycle("2026-01"), what: named });
    }
}

// L4: what belongs to another month is refused by name too; a lot that is used up belongs to any.
#[test]
fn what_belongs_to_another_month_is_refused() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.close();
    year.burn("1");
    let mut sound = year.input();
    sound.grants[0].remaining = Credits::ZERO;
    assert!(close(&sound).is_ok());
    let mut usage = sound.clone();
    usage.usage[0].cycle = cycle("2026-03");
    let mut early = sound.clone();
    (early.grants[0].grant.cycle, early.grants[0].grant.last_cycle) = (cycle("2026-03"), None);
    let mut lapsed = sound;
    lapsed.grants[0].grant.cycle = cycle("2025-12");
    lapsed.grants[0].grant.last_cycle = Some(cycle("2026-01"));
    for (input, named) in [
        (usage, "use of a later cycle"),
        (early, "a grant that cannot be used in it"),
        (lapsed, "a grant that cannot be used in it"),
    ] {
        let error = close(&input).unwrap_err();
        assert_eq!(error, CloseError::Foreign { cycle: cycle("2026-02"), what: named });
    }
}

// Credits given back are granted once more; bought credits that went back with their money were never bought.
#[test]
fn corrections_are_counted_by_what_they_correct() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    let bought = year.buy("50");
    year.close();
    year.buy("7");
    let figures = |corrections: &[(&str, &str)]| {
        let mut input = year.input();
        let of = |(grant, amount): &(&str, &str)| ((*grant).to_owned(), credits(amount));
        input.corrections = corrections.iter().map(of).collect();
        let total = close(&input).unwrap().statement;
        [total.opening, total.granted, total.purchased].map(|credits| Credits::to_string(&credits))
    };
    assert_eq!(figures(&[]), ["50", "1000", "7"]);
    assert_eq!(figures(&[(&bought, "10")]), ["40", "1010", "7"]);
    assert_eq!(figures(&[(&bought, "-10")]), ["60", "1000", "-3"]);
    assert_eq!(figures(&[(&bought, "10"), (&bought, "-4"), ("another", "1")]), ["44", "1006", "7"]);
}

// F52: at the limits of the numbers the close is an error or exact; it never wraps and never panics.
#[test]
fn numbers_that_do_not_fit_are_errors() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.use_of(year.open.cycle, "prompt", Credits::from_nano(i64::MAX));
    assert_eq!(year.close().statement.deficit, Credits::from_nano(i64::MAX - 1_000_000_000_000));
    year.use_of(year.open.cycle, "prompt", Credits::from_nano(i64::MAX));
    assert!(matches!(close(&year.input()), Err(CloseError::Credits { .. })));

    let terms = plan_with("standard", |terms| {
        terms.overage_price = decimal::parse("79228162514264337593543950335").ok();
    });
    let mut year = Year::join(&terms, "2026-01-01");
    year.burn("1001");
    assert!(matches!(close(&year.input()), Err(CloseError::Invoice { .. })));

    let terms =
        plan_with("standard", |terms| terms.fee = Money::from_minor(i64::MAX, Currency::USD));
    let mut year = Year::join(&terms, "2026-01-01");
    assert!(close(&year.input()).is_ok());
    year.tax_percent = decimal::parse("0.000001").unwrap();
    assert!(matches!(close(&year.input()), Err(CloseError::Invoice { .. })));
}

// D8, L13: the smallest amounts count: nothing is lost below a credit.
#[test]
fn the_last_billionth_counts() {
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    year.burn("4999.999999999");
    assert_eq!(year.close().statement.closing, credits("0.000000001"));
    year.burn("5000.000000002");
    assert_eq!(year.close().statement.deficit, credits("0.000000001"));
}

// L1, S11: a month in which nothing moved posts nothing but the next allowance; with none, nothing.
#[test]
fn a_quiet_month_posts_nothing() {
    let mut year = Year::join(&plan("starter"), "2026-01-01");
    year.sign_up("5");
    assert_eq!(year.books.len(), 1);
    year.use_of(year.open.cycle, "log", Credits::ZERO);
    assert!(year.close().postings.is_empty());
    assert_eq!(year.books.len(), 1);
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    let kinds: Vec<&str> = year.close().postings.iter().map(|posting| posting.kind).collect();
    assert_eq!(kinds, ["grant"]);
}
