//! The invoice of a month: lines, tax, what is due (D7, D8, D11, D13).

use std::collections::BTreeMap;

use super::account::{Account, Bought, Terms};
use super::number::{Number, half_even, percent, price};
use super::prices::exponent;

/// What a line bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Billed {
    /// A plan's fee.
    Fee,
    /// Use of the month beyond credits.
    Overage,
    /// Use of an earlier month.
    Prior,
    /// Credits bought.
    Purchase,
}

/// One line: what, for which month, 10⁻⁹ credit of use, minor units.
pub type Line = (Billed, i64, i128, i128);

/// An invoice in plain integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Its lines, sorted.
    pub lines: Vec<Line>,
    /// Subtotal, tax, total, prepaid, amount due.
    pub totals: [i128; 5],
}

/// The invoice of an account's open month; none: nothing to bill.
pub fn bill(
    account: &Account,
    demand: &BTreeMap<i64, i128>,
    covered: i128,
    next: &Terms,
) -> Option<Bill> {
    let mut lines = fees(account, next);
    lines.extend(uses(account, demand, covered));
    let bought: Vec<&Bought> =
        account.bought.iter().filter(|bought| bought.month == Some(account.month)).collect();
    lines.extend(bought.iter().map(|bought| (Billed::Purchase, account.month, 0, bought.net)));
    if lines.is_empty() && demand.is_empty() {
        return None;
    }
    lines.sort_unstable();
    let subtotal: i128 = lines.iter().map(|line| line.3).sum();
    let tax = tax(subtotal, account.row.tax, &bought);
    let paid: i128 = bought.iter().map(|bought| bought.net + bought.tax).sum();
    let total = subtotal + tax;
    Some(Bill { lines, totals: [subtotal, tax, total, paid, total - paid] })
}

/// Tax once on the sum; what was bought at another rate keeps its tax, and no less than what was paid.
fn tax(subtotal: i128, rate: Number, bought: &[&Bought]) -> i128 {
    let (same, others): (Vec<&Bought>, Vec<&Bought>) =
        bought.iter().partition(|bought| bought.percent == rate);
    let elsewhere: i128 = others.iter().map(|bought| bought.net).sum();
    let kept: i128 = others.iter().map(|bought| bought.tax).sum();
    let charged: i128 = same.iter().map(|bought| bought.tax).sum();
    percent(subtotal - elsewhere, rate).max(charged) + kept
}

fn fees(account: &Account, next: &Terms) -> Vec<Line> {
    let mut lines = Vec::new();
    let terms = &account.terms;
    if !account.fee_billed && terms.fee > 0 {
        let fee = match account.joining() {
            Some((days, of)) if terms.prorate_fee => half_even(terms.fee * days, of),
            _ => terms.fee,
        };
        lines.push((Billed::Fee, account.month, 0, fee));
    }
    if next.advance && next.fee > 0 {
        lines.push((Billed::Fee, account.month + 1, 0, next.fee));
    }
    lines
}

/// The credits pay for the oldest use first: the deficit, then late use, then the month's own.
fn uses(account: &Account, demand: &BTreeMap<i64, i128>, covered: i128) -> Vec<Line> {
    let terms = &account.terms;
    let mut pot = covered;
    let mut beyond = |rated: i128| {
        let paid = rated.min(pot);
        pot -= paid;
        if terms.overage.is_some() { rated - paid } else { 0 }
    };
    let cost = |nano: i128| {
        terms.overage.map_or(0, |of_one| price(nano, of_one, exponent(account.row.currency)))
    };
    let mut lines = Vec::new();
    let old = beyond(account.deficit);
    if old > 0 {
        lines.push((Billed::Prior, account.month - 1, old, cost(old)));
    }
    for (own, rated) in demand {
        let over = beyond(*rated);
        let kind = if *own == account.month { Billed::Overage } else { Billed::Prior };
        if over > 0 {
            lines.push((kind, *own, over, cost(over)));
        }
        if *own != account.month && *rated > over {
            lines.push((kind, *own, rated - over, 0));
        }
    }
    lines
}
