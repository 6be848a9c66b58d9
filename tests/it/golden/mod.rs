//! The golden numbers of the close: each one a sentence of the requirements, in figures.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod credits;
mod invoices;
mod limits;

use monthend::domain::close::CycleOutcome;
use monthend::domain::credits::Credits;
use monthend::domain::money::Money;
use monthend::domain::plan::CycleTerms;

use crate::model::year;

/// Terms of a starter plan, changed.
fn plan_with(id: &str, change: impl FnOnce(&mut CycleTerms)) -> CycleTerms {
    let mut terms = year::plan(id);
    change(&mut terms);
    terms
}

/// Opening, granted, purchased, used, expired, closing of a closed month.
fn figures(outcome: &CycleOutcome) -> [String; 6] {
    let s = &outcome.statement;
    [s.opening, s.granted, s.purchased, s.used, s.expired, s.closing]
        .map(|credits| Credits::to_string(&credits))
}

/// Each line's text and amount.
fn lines(outcome: &CycleOutcome) -> Vec<(String, String)> {
    let lines = outcome.invoice.iter().flat_map(|draft| &draft.lines);
    lines.map(|line| (line.description.clone(), line.amount.amount_text())).collect()
}

/// Subtotal, tax, total, prepaid and amount due of the invoice.
fn totals(outcome: &CycleOutcome) -> [String; 5] {
    let draft = outcome.invoice.as_ref().unwrap();
    [draft.subtotal, draft.tax, draft.total, draft.prepaid, draft.amount_due]
        .map(Money::amount_text)
}

/// Text and amount as the tests write them.
fn expect<const N: usize>(lines: [(&str, &str); N]) -> Vec<(String, String)> {
    lines.map(|(text, amount)| (text.to_owned(), amount.to_owned())).to_vec()
}
