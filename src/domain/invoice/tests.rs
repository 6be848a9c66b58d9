//! Totals, the tax summary, the stored hash.

use super::*;

fn line(amount: &str) -> InvoiceLine {
    InvoiceLine {
        kind: LineKind::PlanFee,
        description: "Fee".into(),
        quantity: Decimal::ONE,
        unit: "month".into(),
        unit_price: super::super::decimal::parse(amount).unwrap(),
        amount: Money::parse(amount, Currency::USD).unwrap(),
        cycle: "2026-01".parse().unwrap(),
    }
}

// Complaint 51: three lines of 0.05 at 19 % are taxed 0.03 together, not 3 × 0.01.
#[test]
fn tax_is_computed_once_on_the_document_sum() {
    let lines = [line("0.03"), line("0.03"), line("0.03")];
    let nineteen = Decimal::from(19);
    let totals = totals(&lines, Currency::USD, nineteen, &[]).unwrap();
    assert_eq!(totals.subtotal.amount_text(), "0.09");
    assert_eq!(totals.tax.amount_text(), "0.02");
    assert_eq!(totals.total.amount_text(), "0.11");
}

// A rate that changes after a purchase leaves the purchase's tax alone.
#[test]
fn what_was_paid_is_not_taxed_again() {
    let usd = |text: &str| Money::parse(text, Currency::USD).unwrap();
    let bought = Prepaid { percent: Decimal::from(20), net: usd("1000.00"), tax: usd("200.00") };
    let lines = [line("49.00"), line("1000.00")];
    for (percent, due) in [(25, "61.25"), (20, "58.80"), (10, "53.90"), (0, "49.00")] {
        let made = totals(&lines, Currency::USD, Decimal::from(percent), &[bought]).unwrap();
        assert_eq!(made.amount_due, usd(due), "{percent} %");
        let parts = Money::total(Currency::USD, made.tax_subtotals.iter().map(|t| t.amount));
        assert_eq!(parts.unwrap(), made.tax);
    }
}

#[test]
fn prepaid_above_total_is_refused() {
    let net = Money::parse("2.00", Currency::USD).unwrap();
    let prepaid = Prepaid { percent: Decimal::ZERO, net, tax: Money::zero(Currency::USD) };
    assert!(matches!(
        totals(&[line("1.00")], Currency::USD, Decimal::ZERO, &[prepaid]),
        Err(InvoiceError::Overpaid { .. })
    ));
}

// A rate of nothing on nothing is no line of the tax summary; everything else is.
#[test]
fn the_tax_summary_names_what_is_taxed() {
    let named = |lines: &[InvoiceLine], percent: Decimal, prepaid: &[Prepaid]| {
        let made = totals(lines, Currency::USD, percent, prepaid).unwrap();
        made.tax_subtotals.iter().map(|part| part.amount.amount_text()).collect::<Vec<_>>()
    };
    assert_eq!(named(&[line("0.00")], Decimal::from(19), &[]), ["0.00"]);
    assert_eq!(named(&[line("1.00")], Decimal::from(19), &[]), ["0.19"]);
    assert!(named(&[line("1.00")], Decimal::ZERO, &[]).is_empty());
    // Stored facts that should not be are summed all the same, not dropped.
    let usd = |text: &str| Money::parse(text, Currency::USD).unwrap();
    let odd = Prepaid { percent: Decimal::ZERO, net: usd("1.00"), tax: usd("0.05") };
    assert_eq!(named(&[line("2.00")], Decimal::ZERO, &[odd]), ["0.05"]);
}

// The hash is stored: another one would make every issued invoice look altered. SHA-256 by another program.
#[test]
fn the_hash_of_a_document_never_changes() {
    let expected = "fa1660ee72b3fa79910c410315499dac9edfca529e6d28fcd70088a52171e560";
    assert_eq!(content_hash("{}", "[]"), expected);
    assert_ne!(content_hash("{}[", "]"), expected);
}

#[test]
fn a_status_is_its_word() {
    use InvoiceStatus::{Draft, Issued, Settled, Uncollectible};
    for (status, word) in [
        (Draft, "draft"),
        (Issued, "issued"),
        (Settled, "settled"),
        (Uncollectible, "uncollectible"),
    ] {
        assert_eq!((status.as_str(), word.parse()), (word, Ok(status)));
    }
    assert!("paid".parse::<InvoiceStatus>().is_err());
}
