//! Paces, run-out days and expected lapses, each worked out by hand.

use super::*;
use crate::domain::cycle::Cycle;
use crate::domain::grant::{Grant, Source};
use crate::domain::money::{Currency, Money};
use crate::domain::plan::{FeeTiming, RolloverCap, Term};

fn whole(credits: i64) -> Credits {
    Credits::whole(credits).unwrap()
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

fn terms(allowance: i64) -> CycleTerms {
    CycleTerms {
        plan: "p".to_owned(),
        plan_name: "P".to_owned(),
        catalog_version: 1,
        allowance: whole(allowance),
        fee: Money::zero(Currency::USD),
        fee_timing: FeeTiming::Arrears,
        rollover: Term::Cycles(0),
        rollover_cap: None,
        overage_price: None,
        prorate_fee: false,
        prorate_allowance: false,
        grace_hours: 2,
    }
}

fn grant(id: &str, source: Source, cycle: &str, last: Option<&str>, credits: i64) -> OpenGrant {
    let (cycle, last): (Cycle, Option<Cycle>) =
        (cycle.parse().unwrap(), last.map(|last| last.parse().unwrap()));
    let grant = Grant {
        id: id.to_owned(),
        source,
        cycle,
        granted: whole(credits),
        granted_at: cycle.bounds(Tz::UTC).starts_at,
        last_cycle: last,
        expires_at: last.map(|last| last.bounds(Tz::UTC).ends_at),
    };
    OpenGrant { grant, remaining: whole(credits) }
}

fn january(allowance: i64, grants: Vec<OpenGrant>, used: i64) -> Position {
    let cycle: Cycle = "2026-01".parse().unwrap();
    Position {
        organization: "acme".to_owned(),
        zone: Tz::UTC,
        cycle: OpenCycle {
            cycle,
            bounds: cycle.bounds(Tz::UTC),
            terms: terms(allowance),
            fee_billed: false,
        },
        deficit: Credits::ZERO,
        grants,
        used: whole(used),
    }
}

/// A pace of so many credits a day.
fn pace(credits: i64) -> Pace {
    Pace { since: day("2026-01-01"), used: whole(credits), micros: DAY_MICROS }
}

#[test]
fn a_pace_looks_back_seven_days_or_to_the_beginning() {
    let bounds = "2026-01".parse::<Cycle>().unwrap().bounds(Tz::UTC);
    let days: Vec<(NaiveDate, Credits)> = (1..=31)
        .map(|n| (NaiveDate::from_ymd_opt(2026, 1, n).unwrap(), whole(i64::from(n))))
        .collect();
    for (now, joined, since, used, hours) in [
        // The first hours count as a whole day.
        ("2026-01-01T01:00:00Z", "2025-06-01", "2026-01-01", 1, 24),
        ("2026-01-03T12:00:00Z", "2025-06-01", "2026-01-01", 6, 60),
        ("2026-01-07T00:00:00Z", "2025-06-01", "2026-01-01", 28, 144),
        ("2026-01-20T06:00:00Z", "2025-06-01", "2026-01-14", 119, 150),
        ("2026-01-20T06:00:00Z", "2026-01-19", "2026-01-19", 39, 30),
        // Joined tomorrow, by a row that says so: nothing to look back on but today.
        ("2026-01-20T06:00:00Z", "2026-01-25", "2026-01-20", 20, 24),
    ] {
        let known: Vec<_> =
            days.iter().copied().filter(|(d, _)| *d <= at(now).date_naive()).collect();
        let pace = Pace::of(&known, bounds, day(joined), Tz::UTC, at(now)).unwrap();
        let expected = Pace { since: day(since), used: whole(used), micros: hours * 3_600_000_000 };
        assert_eq!(pace, expected, "{now}");
    }
}

#[test]
fn a_pace_counts_the_hours_of_a_changed_clock() {
    let bounds = "2026-03".parse::<Cycle>().unwrap().bounds(Tz::Europe__Berlin);
    // Clocks went forward on 29 March: six days and a midnight are one hour short.
    let now = at("2026-03-30T22:00:00Z");
    let pace = Pace::of(&[], bounds, day("2025-01-01"), Tz::Europe__Berlin, now).unwrap();
    assert_eq!((pace.since, pace.micros), (day("2026-03-25"), (6 * 24 - 1) * 3_600_000_000));
}

#[test]
fn credits_run_out_where_no_allowance_comes_in_time() {
    let allowance = || grant("a", Source::Allowance, "2026-01", Some("2026-01"), 1_000);
    let bought = |credits| grant("b", Source::Purchase, "2026-01", Some("2027-01"), credits);
    let now = at("2026-01-11T00:00:00Z");
    for (position, pace, days, on) in [
        // 500 left at 50 a day: ten days, through the 20th.
        (january(1_000, vec![allowance()], 500), pace(50), Some(10), Some("2026-01-20")),
        // 500 left at 20 a day: the next allowance comes first, and each month's is enough.
        (january(1_000, vec![allowance()], 500), pace(20), None, None),
        // 40 a day is more than a month's 1,000: January's 500 are lost, February runs out on the 25th.
        (january(1_000, vec![allowance()], 100), pace(40), Some(46), Some("2026-02-25")),
        // Prepaid alone, across the month's end.
        (january(0, vec![bought(300)], 0), pace(10), Some(30), Some("2026-02-09")),
        (january(0, vec![bought(300)], 300), pace(10), Some(0), Some("2026-01-11")),
        (january(0, vec![bought(300)], 310), pace(10), Some(0), Some("2026-01-11")),
        // No use, no run-out.
        (january(0, vec![bought(300)], 0), pace(0), None, None),
    ] {
        let found = forecast(&position, pace, now).unwrap();
        assert_eq!((found.days_left, found.runs_out_on), (days, on.map(day)), "{position:?}");
    }
}

// D3: what expires first is used first, and each month's allowance before what was bought.
#[test]
fn what_will_lapse_is_what_is_not_burned_in_time() {
    let now = at("2026-01-11T00:00:00Z");
    let unused = |position: &Position, pace: Pace| -> Vec<(String, Credits)> {
        let found = forecast(position, pace, now).unwrap();
        found
            .grants
            .into_iter()
            .map(|out| (out.open.grant.id.clone(), out.unused().unwrap()))
            .collect()
    };
    let named = |lapses: &[(&str, i64)]| -> Vec<(String, Credits)> {
        lapses.iter().map(|(id, credits)| ((*id).to_owned(), whole(*credits))).collect()
    };
    let prepaid = vec![
        grant("soon", Source::Purchase, "2025-02", Some("2026-02"), 600),
        grant("later", Source::Purchase, "2025-04", Some("2026-04"), 600),
        grant("never", Source::Promotional, "2025-04", None, 600),
    ];
    // 49 days to 1 March, then 61 to 1 May.
    let position = january(0, prepaid.clone(), 0);
    assert_eq!(unused(&position, pace(10)), named(&[("soon", 110), ("later", 0), ("never", 0)]));
    assert_eq!(unused(&position, pace(0)), named(&[("soon", 600), ("later", 600), ("never", 0)]));
    assert_eq!(unused(&position, pace(13)), named(&[("soon", 0), ("later", 0), ("never", 0)]));
    // An allowance of 280 a month takes February's use of 280 and leaves "soon" alone.
    let mut grants = prepaid;
    grants.push(grant("allowance", Source::Allowance, "2026-01", Some("2026-01"), 280));
    let expected = named(&[("allowance", 70), ("soon", 600), ("later", 550), ("never", 0)]);
    assert_eq!(unused(&january(280, grants, 0), pace(10)), expected);
}

#[test]
fn days_and_marks_are_those_of_the_zone() {
    let marks = [30, 7, 1];
    // The end of March in Berlin is 22:00 UTC on the 31st.
    let end = at("2026-03-31T22:00:00Z");
    for (now, days) in [
        ("2026-03-31T21:59:59Z", 1),
        ("2026-03-30T22:00:00Z", 1),
        ("2026-03-30T21:59:59Z", 2),
        ("2026-03-24T23:00:00Z", 7),
        ("2026-03-31T22:00:00Z", 0),
    ] {
        assert_eq!(days_until(end, Tz::Europe__Berlin, at(now)), days, "{now}");
    }
    for (days, granted, expected) in [
        (31, 400, None),
        (30, 400, Some(30)),
        (29, 400, Some(30)),
        (8, 400, Some(30)),
        (7, 400, Some(7)),
        (2, 400, Some(7)),
        (1, 400, Some(1)),
        (0, 400, None),
        (-5, 400, None),
        // Granted 20 days before: the 30th day was not missed.
        (20, 20, None),
        (7, 20, Some(7)),
    ] {
        assert_eq!(mark(&marks, days, granted), expected, "{days} {granted}");
    }
}

// The cap of the plan takes what lies above it at each cycle's end, of what never ends too, used or not.
#[test]
fn what_the_cap_takes_lapses_before_its_grant_ends() {
    let now = at("2026-01-11T00:00:00Z");
    for (last, lapses) in [
        // 400 are carried on; in February there are 1,400 again, and the oldest go first.
        (Some("2026-03"), vec![("2026-02-01", 600), ("2026-03-01", 400)]),
        (None, vec![("2026-02-01", 600), ("2026-03-01", 400)]),
    ] {
        let mut position =
            january(1_000, vec![grant("a", Source::Allowance, "2026-01", last, 1_000)], 0);
        let rollover = if last.is_some() { Term::Cycles(2) } else { Term::Never };
        let cap = Some(RolloverCap::Credits(whole(400)));
        position.cycle.terms = CycleTerms { rollover, rollover_cap: cap, ..terms(1_000) };
        let found = forecast(&position, pace(0), now).unwrap().grants.remove(0);
        let told: Vec<(String, Credits)> =
            found.lapses.iter().map(|(at, lapse)| (at.date_naive().to_string(), *lapse)).collect();
        let expected: Vec<(String, Credits)> =
            lapses.into_iter().map(|(day, credits)| (day.to_owned(), whole(credits))).collect();
        assert_eq!(told, expected, "{last:?}");
        // Nothing of it is left for its own end.
        assert_eq!(found.left_for(at("2026-04-01T00:00:00Z")).unwrap(), Credits::ZERO);
    }
}
