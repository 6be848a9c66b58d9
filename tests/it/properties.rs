//! Random histories: whatever happens, the books agree, and so does a model that shares no code.

use chrono_tz::Tz;
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::model::history::{Billed, Cap, Figures, History, Kind, Lot, Month, Number, Terms, play};
use crate::model::naive;

const CREDIT: i64 = 1_000_000_000;

/// Amounts of the size of an allowance: whole credits, odd billionths, and tiny ones.
fn amount() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => (1..=3_000_i64).prop_map(|credits| credits * CREDIT),
        3 => 1..=2_000 * CREDIT,
        1 => 1..=3_i64,
    ]
}

fn number(digits: i64, decimals: u32) -> impl Strategy<Value = Number> {
    (0..=digits, 0..=decimals).prop_map(|(digits, decimals)| Number { digits, decimals })
}

/// Months a lot can be used after its own; often the same, so that expiries meet.
fn term() -> impl Strategy<Value = Option<u16>> {
    prop_oneof![
        3 => Just(Some(0)), 2 => Just(Some(1)), 3 => Just(Some(3)),
        1 => (2..=14_u16).prop_map(Some), 1 => Just(None),
    ]
}

fn cap() -> impl Strategy<Value = Option<Cap>> {
    prop_oneof![
        3 => Just(None),
        1 => amount().prop_map(|nano| Some(Cap::Credits(nano))),
        1 => Just(Some(Cap::Credits(0))),
        1 => number(2_000, 3).prop_map(|percent| Some(Cap::Percent(percent))),
    ]
}

fn terms() -> impl Strategy<Value = Terms> {
    let allowance = prop_oneof![1 => Just(0), 4 => amount()];
    let fee = prop_oneof![1 => Just(0), 4 => 1..=100_000_i64];
    let overage = weighted(0.5, number(9_999, 4));
    (allowance, fee, any::<bool>(), term(), cap(), overage, any::<bool>(), any::<bool>()).prop_map(
        |(allowance, fee, advance, rollover, cap, overage, prorate_fee, prorate_allowance)| Terms {
            allowance,
            fee,
            advance,
            rollover,
            cap,
            overage,
            prorate_fee,
            prorate_allowance,
        },
    )
}

/// A lot without its id; names and minutes often meet, so that only the id decides.
fn lot() -> impl Strategy<Value = (u8, Lot)> {
    let kind = prop_oneof![
        Just(Kind::Promotional),
        Just(Kind::Adjustment),
        (0..=50_000_i64, 0..=300_i64)
            .prop_map(|(net, permille)| Kind::Purchase(net, net * permille / 1_000)),
    ];
    (any::<u8>(), kind, amount(), term(), 0..=2_i64).prop_map(
        |(name, kind, credits, term, minute)| {
            (name, Lot { id: String::new(), kind, credits, term, minute })
        },
    )
}

fn month() -> impl Strategy<Value = (Month, Vec<(u8, Lot)>)> {
    let used = prop_oneof![1 => Just(0), 9 => amount()];
    let late = (1..=2_i32, amount());
    (vec(used, 0..3), vec(late, 0..3), vec(lot(), 0..3), weighted(0.2, terms()), number(4_000, 3))
        .prop_map(|(used, late, lots, next, tax)| {
            (Month { used, late, lots: Vec::new(), next, tax }, lots)
        })
}

fn history(months: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = History> {
    let currency =
        prop_oneof![Just(("USD", 2)), Just(("EUR", 2)), Just(("JPY", 0)), Just(("KWD", 3)),];
    let zone = prop_oneof![
        Just(Tz::UTC),
        Just(Tz::America__Havana),
        Just(Tz::Pacific__Apia),
        Just(Tz::Asia__Kolkata),
    ];
    let joined = (2019..=2028, 1..=12_u32, prop_oneof![Just(1), 1..=28_u32]);
    let first_tax = number(4_000, 3);
    (currency, zone, joined, terms(), vec((month(), weighted(0.2, Just(()))), months), first_tax)
        .prop_map(|(currency, zone, joined, terms, scripts, mut tax)| {
            let mut months = Vec::with_capacity(scripts.len());
            for (place, ((mut month, lots), new_tax)) in scripts.into_iter().enumerate() {
                // The rate stays, but for a few months.
                tax = if new_tax.is_some() { month.tax } else { tax };
                month.tax = tax;
                let named = lots.into_iter().enumerate().map(|(at, (name, lot))| Lot {
                    id: format!("lot-{name:03}-{place:02}-{at}"),
                    ..lot
                });
                month.lots = named.collect();
                months.push(month);
            }
            History { currency, zone, joined, terms, months }
        })
}

/// Plays both and compares them month by month.
fn agree(history: &History) -> Vec<Figures> {
    let (real, naive) = (play(history), naive::run(history));
    assert_eq!(real.len(), history.months.len());
    for (place, (real, naive)) in real.iter().zip(&naive).enumerate() {
        assert_eq!(real, naive, "month {place} (left: the close, right: the naive model)");
    }
    real
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    // L1–L5, L8, L9, L11–L13, V2, D1–D5, D7, D8, D11, D13, F26, F43–F45, F49–F53, F57–F59: every
    // check of the model after every close, and the naive model's figures to the last unit.
    #[test]
    fn every_history_agrees_with_the_naive_model(history in history(1..=24)) {
        agree(&history);
    }

    // F26, L10: use and purchases count the same whatever their order within a month.
    #[test]
    fn the_order_within_a_month_does_not_matter(history in history(1..=6)) {
        let mut turned = history.clone();
        for month in &mut turned.months {
            month.used.reverse();
            month.late.reverse();
            month.lots.reverse();
        }
        prop_assert_eq!(play(&history), play(&turned));
    }
}

/// How often each thing a history can hold was seen.
#[derive(Debug, Default)]
struct Seen {
    overage: u32,
    deficit: u32,
    deficit_billed: u32,
    late_beyond: u32,
    late_covered: u32,
    lapsed_early: u32,
    nothing_to_bill: u32,
    taxed_as_paid: u32,
    two_fees: u32,
}

impl Seen {
    fn count(&mut self, history: &History, figures: &[Figures]) {
        let mut brought = 0;
        for (month, figures) in history.months.iter().zip(figures) {
            let add = |seen: bool| u32::from(seen);
            self.overage += add(figures.overage > 0);
            self.deficit += add(figures.deficit > 0);
            self.deficit_billed += add(brought > 0 && figures.overage > brought);
            self.lapsed_early += add(figures.lots.values().any(|lot| lot[3] > 0 && lot[4] > 0));
            self.nothing_to_bill += add(figures.bill.is_none());
            brought = figures.deficit;
            let Some(bill) = &figures.bill else { continue };
            let late = bill.lines.iter().filter(|line| line.0 == Billed::Prior);
            self.late_beyond += add(late.clone().any(|line| line.3 > 0));
            self.late_covered += add(late.clone().any(|line| line.3 == 0));
            let paid_tax = month.lots.iter().map(|lot| match lot.kind {
                Kind::Purchase(_, tax) => i128::from(tax),
                _ => 0,
            });
            let paid_tax: i128 = paid_tax.sum();
            self.taxed_as_paid += add(paid_tax > 0 && bill.totals[1] == paid_tax);
            let fees = bill.lines.iter().filter(|line| line.0 == Billed::Fee);
            self.two_fees += add(fees.count() == 2);
        }
    }
}

// The histories hold what they are meant to hold: a property over nothing would always be true.
#[test]
fn random_histories_are_not_empty() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Seen::default();
    for _ in 0..60 {
        let history = history(1..=24).new_tree(&mut runner).unwrap().current();
        seen.count(&history, &agree(&history));
    }
    let Seen { overage, deficit, deficit_billed, late_beyond, late_covered, .. } = seen;
    let Seen { lapsed_early, nothing_to_bill, taxed_as_paid, two_fees, .. } = seen;
    for count in [overage, deficit, deficit_billed, late_beyond, late_covered] {
        assert!(count >= 10, "{seen:?}");
    }
    for count in [lapsed_early, nothing_to_bill, taxed_as_paid, two_fees] {
        assert!(count >= 5, "{seen:?}");
    }
}
