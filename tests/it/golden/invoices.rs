//! What is billed: fees and their timing, overage, late use, purchases, tax.

use monthend::domain::credits::Credits;
use monthend::domain::decimal;
use monthend::domain::invoice::LineKind;
use monthend::domain::organization::Contract;
use monthend::domain::plan::{CycleTerms, FeeTiming};
use rust_decimal::Decimal;

use super::{expect, figures, lines, plan_with, totals};
use crate::model::year::{Year, contract, credits, cycle, plan};

fn in_advance(id: &str) -> CycleTerms {
    plan_with(id, |terms| terms.fee_timing = FeeTiming::Advance)
}

fn with_overage(id: &str, price: &str) -> CycleTerms {
    plan_with(id, |terms| terms.overage_price = decimal::parse(price).ok())
}

// D11: in arrears the closed month's fee, once a month.
#[test]
fn a_fee_in_arrears_is_the_closed_months() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    assert_eq!(lines(&year.close()), expect([("Standard plan, January 2026", "49.00")]));
    assert_eq!(lines(&year.close()), expect([("Standard plan, February 2026", "49.00")]));
}

// D11: in advance the coming month's fee; the first month, which nobody billed before, beside it.
#[test]
fn a_fee_in_advance_is_the_coming_months() {
    let mut year = Year::join(&in_advance("standard"), "2026-01-01");
    let january = [
        ("Standard plan, January 2026", "49.00"),
        ("Standard plan, February 2026, in advance", "49.00"),
    ];
    assert_eq!(lines(&year.close()), expect(january));
    let march = [("Standard plan, March 2026, in advance", "49.00")];
    assert_eq!(lines(&year.close()), expect(march));
}

// D11, D5: whatever the changes, every month's fee is billed exactly once.
#[test]
fn a_change_of_fee_timing_bills_each_month_once() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.close();
    year.change_plan(&in_advance("professional"));
    let february = [
        ("Standard plan, February 2026", "49.00"),
        ("Professional plan, March 2026, in advance", "199.00"),
    ];
    assert_eq!(lines(&year.close()), expect(february));
    assert_eq!(
        lines(&year.close()),
        expect([("Professional plan, April 2026, in advance", "199.00")])
    );
    year.change_plan(&plan("standard"));
    let april = year.close();
    assert_eq!((lines(&april), april.invoice), (vec![], None));
    assert_eq!(lines(&year.close()), expect([("Standard plan, May 2026", "49.00")]));
}

// D13: a mid-month joiner has the full allowance and pays by days: 49.00 × 17 / 31 = 26.87.
#[test]
fn joining_mid_month_pays_by_days() {
    let mut year = Year::join(&plan("standard"), "2026-01-15");
    assert_eq!(year.balance(), credits("1000"));
    let january = year.close();
    let line = ("Standard plan, January 2026, 17 of 31 days", "26.87");
    assert_eq!(lines(&january), expect([line]));
    assert_eq!(lines(&year.close()), expect([("Standard plan, February 2026", "49.00")]));
}

// D13: both are switchable: 1,000 × 17 / 31 = 548.387096774, to 10⁻⁹; the whole fee.
#[test]
fn joining_mid_month_the_other_way_round() {
    let terms = plan_with("standard", |terms| {
        terms.prorate_fee = false;
        terms.prorate_allowance = true;
    });
    let mut year = Year::join(&terms, "2026-01-15");
    assert_eq!(year.balance(), credits("548.387096774"));
    assert_eq!(lines(&year.close()), expect([("Standard plan, January 2026", "49.00")]));
    assert_eq!(year.balance(), credits("1000"));
}

// D13, F44: the first day is a whole month, the last day is one day; in advance only the first.
#[test]
fn the_first_and_the_last_day_of_a_month() {
    let mut first = Year::join(&plan("professional"), "2026-02-01");
    assert_eq!(lines(&first.close()), expect([("Professional plan, February 2026", "199.00")]));
    let mut last = Year::join(&in_advance("professional"), "2026-02-28");
    let february = [
        ("Professional plan, February 2026, 1 of 28 days", "7.11"),
        ("Professional plan, March 2026, in advance", "199.00"),
    ];
    assert_eq!(lines(&last.close()), expect(february));
}

// D8, D9: an overage price bills what is beyond the credits, half to even, and carries nothing.
#[test]
fn overage_is_billed_at_its_price() {
    let mut year = Year::join(&with_overage("standard", "0.05"), "2026-01-01");
    year.burn("1000.1");
    let january = year.close();
    // 0.1 × 0.05 = 0.005 → 0.00, half to even.
    assert_eq!(lines(&january)[1], ("Use beyond credits, January 2026".into(), "0.00".into()));
    year.burn("1000.3");
    let february = year.close();
    // 0.3 × 0.05 = 0.015 → 0.02.
    assert_eq!(lines(&february)[1], ("Use beyond credits, February 2026".into(), "0.02".into()));
    assert_eq!(february.statement.overage, credits("0.3"));
    assert_eq!(february.statement.deficit, Credits::ZERO);
}

// D7, F45: late use is billed on lines that name its own month; credits pay for the oldest first.
#[test]
fn late_use_names_its_own_month() {
    let mut year = Year::join(&with_overage("standard", "2"), "2026-01-01");
    year.rest(2);
    year.burn("900");
    year.burn_late("2026-02", "250");
    year.burn_late("2026-01", "60");
    let march = year.close();
    // 1,210 used of 1,000: January's 60, February's 250 and 690 of March are covered.
    let expected = [
        ("Standard plan, March 2026", "49.00"),
        ("Use beyond credits, March 2026", "420.00"),
        ("Late use of February 2026, counted against credits", "0.00"),
        ("Late use of January 2026, counted against credits", "0.00"),
    ];
    assert_eq!(lines(&march), expect(expected));
    year.burn_late("2026-03", "1500");
    year.burn("10");
    let expected = [
        ("Standard plan, April 2026", "49.00"),
        ("Use beyond credits, April 2026", "20.00"),
        ("Late use of March 2026 beyond credits", "1000.00"),
        ("Late use of March 2026, counted against credits", "0.00"),
    ];
    let april = year.close();
    assert_eq!(lines(&april), expect(expected));
    let late = april.invoice.iter().flat_map(|draft| &draft.lines).next_back();
    let late = late.map(|line| (line.kind, line.cycle, line.quantity));
    assert_eq!(late, Some((LineKind::PriorCycle, cycle("2026-03"), Decimal::from(1_000))));
}

// D8: a deficit carried under `pause` is billed when the plan changes to one with a price.
#[test]
fn a_deficit_is_billed_under_a_plan_with_a_price() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.burn("2500");
    year.change_plan(&with_overage("standard", "0.10"));
    assert_eq!(year.close().statement.deficit, credits("1500"));
    year.burn("30");
    let february = year.close();
    let expected = [
        ("Standard plan, February 2026", "49.00"),
        ("Use beyond credits, February 2026", "3.00"),
        ("Use beyond credits carried from before February 2026", "50.00"),
    ];
    assert_eq!(lines(&february), expect(expected));
    assert_eq!(figures(&february), ["0", "1000", "0", "1000", "0", "0"]);
}

// D11, S35, S51: purchases are shown as already paid; amount due is the total less what was paid.
#[test]
fn purchases_are_shown_as_paid() {
    let mut year = Year::join(&plan("standard"), "2026-01-01");
    year.tax_percent = Decimal::from(19);
    year.buy_package("small");
    year.buy("12.5");
    let january = year.close();
    let expected = [
        ("Standard plan, January 2026", "49.00"),
        ("100 credits bought, already paid", "100.00"),
        ("12.5 credits bought, already paid", "12.50"),
    ];
    assert_eq!(lines(&january), expect(expected));
    // Tax 19 % of 161.50 = 30.685 → 30.68; paid 119.00 + 14.88 (2.375 → 2.38).
    assert_eq!(totals(&january), ["161.50", "30.68", "192.18", "133.88", "58.30"]);
}

// V2, F50: tax is on the document's sum, not a sum of taxes per line.
#[test]
fn tax_is_on_the_documents_sum() {
    let terms = plan_with("standard", |terms| {
        terms.fee_timing = FeeTiming::Advance;
        terms.overage_price = decimal::parse("0.03").ok();
    });
    let mut year = Year::join(&terms, "2026-01-01");
    year.tax_percent = decimal::parse("7.7").unwrap();
    year.close();
    year.burn("1001");
    let february = year.close();
    assert_eq!(lines(&february).len(), 2);
    // 49.00 and 0.03 are taxed 3.773 and 0.00231: 3.77 and 0.00 apart, 3.78 (3.77531) together.
    assert_eq!(totals(&february), ["49.03", "3.78", "52.81", "0.00", "52.81"]);
}

// V2: a tax rate that fell after a purchase leaves nothing due, not less than nothing.
#[test]
fn a_fallen_tax_rate_never_owes_money_back() {
    let mut year = Year::join(&plan("starter"), "2026-01-01");
    year.tax_percent = Decimal::from(19);
    year.buy("100");
    year.tax_percent = Decimal::from(16);
    assert_eq!(totals(&year.close()), ["100.00", "19.00", "119.00", "119.00", "0.00"]);
}

// F51: currencies without minor units and with three decimals, prorated and taxed.
#[test]
fn currencies_with_other_exponents() {
    let jpy = contract("professional", "JPY".parse().unwrap(), &Contract::default());
    let mut year = Year::join(&jpy, "2026-03-09");
    year.tax_percent = Decimal::from(10);
    // 30,000 × 23 / 31 = 22,258.06; 10 % = 2,225.8.
    assert_eq!(totals(&year.close()), ["22258", "2226", "24484", "0", "24484"]);
    let kwd = contract("standard", "KWD".parse().unwrap(), &Contract::default());
    let mut year = Year::join(&kwd, "2026-03-09");
    year.tax_percent = Decimal::from(5);
    // 15.000 × 23 / 31 = 11.129032; 5 % = 0.55645.
    assert_eq!(totals(&year.close()), ["11.129", "0.556", "11.685", "0.000", "11.685"]);
}

// D11, F53: nothing used and nothing sold is nothing to bill; use paid by credits is an invoice of zero.
#[test]
fn nothing_to_bill_and_invoices_of_zero() {
    let mut year = Year::join(&plan("starter"), "2026-01-01");
    year.sign_up("500");
    assert!(year.close().invoice.is_none());
    year.burn("120");
    let february = year.close();
    assert_eq!(lines(&february), vec![]);
    assert_eq!(totals(&february), ["0.00", "0.00", "0.00", "0.00", "0.00"]);
    assert!(year.close().invoice.is_none());
}

// F59: a price that changes is the next month's; the open month keeps the terms it began with.
#[test]
fn a_new_price_waits_for_the_next_month() {
    let mut year = Year::join(&with_overage("standard", "1"), "2026-01-01");
    year.change_plan(&with_overage("standard", "3"));
    year.burn("1001");
    assert_eq!(lines(&year.close())[1].1, "1.00");
    year.burn("1001");
    assert_eq!(lines(&year.close())[1].1, "3.00");
}
