//! What happens to credits: expiry, rollover, caps, burn order, deficits.

use chrono::Duration;
use monthend::domain::grant::Source;
use monthend::domain::money::Currency;
use monthend::domain::organization::Contract;
use monthend::domain::plan::{RolloverCap, Term};
use rust_decimal::Decimal;

use super::{figures, plan_with};
use crate::model::year::{Year, contract, credits, cycle, plan};

// S32, S37: 1,000 granted in January, 400 used: on 1 February 600 expire, and the balance is 1,000.
#[test]
fn standard_expires_with_its_month() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.burn("400");
    assert_eq!(figures(&year.close()), ["0", "1000", "0", "400", "600", "0"]);
    assert_eq!(year.balance(), credits("1000"));
    assert_eq!(year.bounds().starts_at.to_rfc3339(), "2026-02-01T00:00:00+00:00");
}

// S33, S38, D1: 5,000 a month, nothing used: 20,000 during April; on 1 May January's expire: 20,000.
#[test]
fn professional_accumulates_four_months() {
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    let january = year.allowance_of("2026-01");
    for (month, balance) in [("2026-01", "5000"), ("2026-02", "10000"), ("2026-03", "15000")] {
        assert_eq!((year.open.cycle, year.balance()), (cycle(month), credits(balance)));
        year.close();
    }
    assert_eq!(year.open.cycle, cycle("2026-04"));
    assert_eq!(year.balance(), credits("20000"));
    assert_eq!(year.left(&january), credits("5000"));
    let april = year.close();
    assert_eq!(figures(&april), ["15000", "5000", "0", "0", "5000", "15000"]);
    assert_eq!(year.left(&january), credits("0"));
    assert_eq!(year.balance(), credits("20000"));
    assert_eq!(figures(&year.close()), ["15000", "5000", "0", "0", "5000", "15000"]);
}

// S38, D3: 1,000 used in each month: February burns what January left first.
#[test]
fn professional_burns_the_oldest_allowance_first() {
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    let january = year.allowance_of("2026-01");
    year.burn("1000");
    year.close();
    let february = year.allowance_of("2026-02");
    year.burn("1000");
    assert_eq!(figures(&year.close()), ["4000", "5000", "0", "1000", "0", "8000"]);
    assert_eq!((year.left(&january), year.left(&february)), (credits("3000"), credits("5000")));
    for _ in 0..2 {
        year.burn("1000");
        year.close();
    }
    // Each of the four months took 1,000 of January's; the last 1,000 lapsed with April.
    assert_eq!(year.closed[3].used, credits("1000"));
    assert_eq!(year.closed[3].expired, credits("1000"));
    assert_eq!(year.left(&february), credits("5000"));
}

fn enterprise(allowance: &str, cycles: u16, cap: RolloverCap) -> Contract {
    Contract {
        allowance: Some(credits(allowance)),
        rollover: Some(Term::Cycles(cycles)),
        rollover_cap: Some(cap),
        ..Contract::default()
    }
}

// S34, S39, D4: `cycles = 6, cap = 8,000`: what is carried over never exceeds 8,000.
#[test]
fn enterprise_never_carries_more_than_its_cap() {
    let cap = RolloverCap::Credits(credits("8000"));
    let terms = contract("enterprise", Currency::USD, &enterprise("3000", 6, cap));
    let mut year = Year::join(&terms, "2026-01-01");
    let january = year.allowance_of("2026-01");
    let closing: Vec<String> = (0..9).map(|_| year.close().statement.closing.to_string()).collect();
    assert_eq!(closing, ["3000", "6000", "8000", "8000", "8000", "8000", "8000", "8000", "8000"]);
    // Over the cap the soonest to expire lapse first: March cut January by 1,000, April by the rest.
    let of_january = |month: usize| {
        let line = year.closed[month].grants.iter().find(|line| line.id == january);
        line.map(|line| line.expired)
    };
    assert_eq!(of_january(2), Some(credits("1000")));
    assert_eq!(of_january(3), Some(credits("2000")));
    assert_eq!(of_january(4), None);
}

// D1, S39: a term of six cycles ends six cycles after its own, cap or not.
#[test]
fn six_cycles_end_after_the_sixth() {
    let cap = RolloverCap::Credits(credits("1000000"));
    let mut year =
        Year::join(&contract("enterprise", Currency::USD, &enterprise("10", 6, cap)), "2026-01-01");
    let january = year.allowance_of("2026-01");
    year.rest(6);
    assert_eq!((year.open.cycle, year.left(&january)), (cycle("2026-07"), credits("10")));
    year.close();
    assert_eq!(year.left(&january), credits("0"));
}

// D4: a cap in percent of the allowance, and it counts carried-over allowance alone.
#[test]
fn a_percent_cap_leaves_other_credits_alone() {
    let cap = RolloverCap::Percent(Decimal::from(50));
    let terms = contract("enterprise", Currency::USD, &enterprise("3001", 6, cap));
    let mut year = Year::join(&terms, "2026-01-01");
    year.buy("700");
    year.give(Source::Adjustment, "20", Term::Never);
    year.sign_up("3");
    let january = year.close();
    assert_eq!(figures(&january), ["0", "3024", "700", "0", "1500.5", "2223.5"]);
    assert_eq!(year.close().statement.closing, credits("2223.5"));
}

// F43: months are counted, not days, from every month of a leap and a common year.
#[test]
fn three_months_are_three_cycles_from_any_month() {
    for first in 0..24 {
        let month = cycle("2027-06").plus(first);
        let mut year = Year::join(&plan("professional"), &month.first_day().to_string());
        let grant = year.allowance_of(&month.to_string());
        year.rest(3);
        assert_eq!(year.left(&grant), credits("5000"), "{month}");
        assert_eq!(year.close().statement.expired, credits("5000"), "{month}");
        assert_eq!(year.left(&grant), credits("0"), "{month}");
    }
}

// D2, S35: bought credits live through the twelfth month after the one they were bought in.
#[test]
fn a_purchase_lives_twelve_months_after_its_own() {
    let mut year = Year::join(&plan("starter"), "2026-01-01");
    year.close();
    let bought = year.buy("100");
    year.rest(12);
    assert_eq!((year.open.cycle, year.left(&bought)), (cycle("2027-02"), credits("100")));
    assert_eq!(figures(&year.close()), ["100", "0", "0", "0", "100", "0"]);
}

// S2, D2, D10: 500 at sign-up never expire; no allowance follows, and the plan pauses at zero.
#[test]
fn sign_up_credits_never_expire() {
    let mut year = Year::join(&plan("starter"), "2026-01-15");
    let gift = year.sign_up("500");
    assert_eq!(figures(&year.close()), ["0", "500", "0", "0", "0", "500"]);
    year.rest(59);
    assert_eq!((year.open.cycle, year.balance()), (cycle("2031-01"), credits("500")));
    year.burn("500.000000001");
    let last = year.close();
    assert_eq!(last.statement.deficit, credits("0.000000001"));
    assert_eq!(last.next_grant, None);
    assert_eq!(year.left(&gift), credits("0"));
}

// D3: earliest expiry; then allowance, promotional, purchase; then earliest granted; then id. F58.
#[test]
fn grants_burn_in_order() {
    let mut year =
        Year::join(&plan_with("standard", |t| t.rollover = Term::Cycles(1)), "2026-01-01");
    let at = year.bounds().starts_at + Duration::days(3);
    // Named against the order, added against the order.
    for (id, source, term, days) in [
        ("h", Source::Promotional, Term::Never, 0),
        ("a", Source::Purchase, Term::Cycles(1), 0),
        ("g", Source::Promotional, Term::Cycles(1), 1),
        ("f", Source::Promotional, Term::Cycles(1), 1),
        ("z", Source::Promotional, Term::Cycles(1), 0),
        ("y", Source::Purchase, Term::Cycles(0), 0),
    ] {
        year.add(year.lot(id.into(), source, credits("10"), term, at + Duration::days(days)));
    }
    let order = ["y", &year.allowance_of("2026-01"), "z", "f", "g", "a", "h"].map(str::to_owned);
    year.burn("1035");
    let january = year.close();
    let burned: Vec<(String, String)> = january
        .statement
        .grants
        .iter()
        .map(|line| (line.id.clone(), line.used.to_string()))
        .collect();
    let used = ["10", "1000", "10", "10", "5", "0", "0"].map(str::to_owned);
    assert_eq!(burned, order.into_iter().zip(used).collect::<Vec<_>>());
}

// D5: grants keep their terms when the plan changes, in both directions.
#[test]
fn a_plan_change_leaves_grants_as_they_were() {
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    year.change_plan(&plan("standard"));
    year.close();
    assert_eq!(year.balance(), credits("6000"));
    // February's 1,000 are the soonest to expire, so they burn first; January's live until April.
    year.burn("1200");
    assert_eq!(figures(&year.close()), ["5000", "1000", "0", "1200", "0", "4800"]);
    year.change_plan(&plan("professional"));
    assert_eq!(figures(&year.close()), ["4800", "1000", "0", "0", "1000", "4800"]);
    assert_eq!(figures(&year.close()), ["4800", "5000", "0", "0", "4800", "5000"]);
}

// D8, S49: beyond zero under `pause` is carried, and the next allowance fills it first.
#[test]
fn a_deficit_is_filled_by_the_next_allowance() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.burn("2300");
    let january = year.close();
    assert_eq!(figures(&january), ["0", "1000", "0", "1000", "0", "0"]);
    assert_eq!(january.statement.deficit, credits("1300"));
    assert_eq!(year.balance(), credits("-300"));
    assert_eq!(year.close().statement.deficit, credits("300"));
    year.burn("100");
    let march = year.close();
    assert_eq!(march.statement.deficit_brought, credits("300"));
    assert_eq!(figures(&march), ["0", "1000", "0", "400", "600", "0"]);
    assert_eq!(march.statement.deficit, credits("0"));
}

// D8, S50: a purchase fills the deficit too, in burn order after the allowance.
#[test]
fn a_deficit_is_filled_by_a_purchase() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.burn("1500");
    year.close();
    let bought = year.buy("800");
    year.burn("900");
    let february = year.close();
    assert_eq!(figures(&february), ["0", "1000", "800", "1400", "0", "400"]);
    assert_eq!((february.statement.deficit, year.left(&bought)), (credits("0"), credits("400")));
}

// D8, D3: with a deficit, a full year of rollover is not eaten: only what is owed is taken.
#[test]
fn a_deficit_takes_no_more_than_is_owed() {
    let mut year = Year::join(&plan("professional"), "2026-01-01");
    year.burn("5000.5");
    year.close();
    assert_eq!(figures(&year.close()), ["0", "5000", "0", "0.5", "0", "4999.5"]);
}
