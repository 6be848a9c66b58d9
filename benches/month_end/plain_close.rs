//! The close of one organization as a plain program would do it: the same figures, none of the evidence.

use anyhow::{Context, Result};

use crate::input::Customer;

const NANO: i128 = 1_000_000_000;
const DAYS: i128 = 31;

/// A grant with credits left.
pub struct Grant {
    pub id: String,
    /// Part of the plan's allowance, to which the cap applies.
    pub is_allowance: bool,
    /// Lapses with this cycle.
    pub ends: bool,
    pub remaining: i64,
}

/// Use of one meter.
pub struct Use {
    pub meter: String,
    pub credits: i64,
}

/// A line of an invoice: its kind, how many credits or months, and minor units.
pub struct Line {
    pub kind: String,
    pub quantity: i64,
    pub amount: i64,
}

/// What is written.
pub struct Closed {
    /// Account, grant and signed credits; two entries for each fact.
    pub entries: Vec<(&'static str, String, i64)>,
    /// What is left of each grant.
    pub remaining: Vec<(String, i64)>,
    pub lines: Vec<Line>,
    pub subtotal: i64,
    pub tax: i64,
    pub deficit: i64,
}

/// `grants` are in burn order.
pub fn close(customer: &Customer, grants: &[Grant], usage: &[Use]) -> Result<Closed> {
    let mut demand: i64 = usage.iter().map(|one| one.credits).sum();
    let (mut entries, mut left) = (Vec::new(), Vec::new());
    for grant in grants {
        let taken = grant.remaining.min(demand);
        demand -= taken;
        left.push(grant.remaining - taken);
        post(&mut entries, ("grant", "used"), &grant.id, taken);
    }
    let may_carry = |grant: &Grant| grant.is_allowance && !grant.ends;
    let carried: i64 =
        grants.iter().zip(&left).filter(|(grant, _)| may_carry(grant)).map(|(_, left)| *left).sum();
    let mut over = customer.cap.map_or(0, |cap| (carried - cap).max(0));
    let mut remaining = Vec::new();
    for (grant, left) in grants.iter().zip(left) {
        let lapsed = match (grant.ends, may_carry(grant)) {
            (true, _) => left,
            (false, true) => left.min(over),
            (false, false) => 0,
        };
        if may_carry(grant) {
            over -= lapsed;
        }
        post(&mut entries, ("grant", "expired"), &grant.id, lapsed);
        remaining.push((grant.id.clone(), left - lapsed));
    }
    let mut lines = Vec::new();
    let days = DAYS + 1 - i128::from(customer.joined_day);
    let fee = half_even(i128::from(customer.fee) * days, DAYS)?;
    if fee > 0 {
        lines.push(Line { kind: "plan_fee".to_owned(), quantity: 1, amount: fee });
    }
    if let Some(price) = customer.price
        && demand > 0
    {
        let amount = half_even(i128::from(demand) * i128::from(price), NANO)?;
        lines.push(Line { kind: "overage".to_owned(), quantity: demand, amount });
        post(&mut entries, ("receivable", "overage"), "", demand);
    }
    for one in usage {
        let kind = format!("usage of {}", one.meter);
        lines.push(Line { kind, quantity: one.credits, amount: 0 });
    }
    post(&mut entries, ("issued", "grant"), &next_grant(customer), customer.allowance);
    let subtotal = lines.iter().map(|line| line.amount).sum();
    let tax = half_even(i128::from(subtotal) * i128::from(customer.tax_percent), 100)?;
    let deficit = if customer.price.is_none() { demand } else { 0 };
    Ok(Closed { entries, remaining, lines, subtotal, tax, deficit })
}

/// The id of the next cycle's allowance.
pub fn next_grant(customer: &Customer) -> String {
    format!("next-{}", customer.id)
}

/// The last cycle in which the next cycle's allowance can be used.
pub fn next_last_cycle(customer: &Customer) -> &'static str {
    match customer.plan {
        "professional" => "2026-05",
        "enterprise" => "2026-04",
        _ => "2026-02",
    }
}

fn post(
    entries: &mut Vec<(&'static str, String, i64)>,
    (from, to): (&'static str, &'static str),
    grant: &str,
    credits: i64,
) {
    if credits != 0 {
        entries.push((from, grant.to_owned(), -credits));
        entries.push((to, grant.to_owned(), credits));
    }
}

/// A quotient of whole numbers, halves to the even neighbour.
fn half_even(whole: i128, of: i128) -> Result<i64> {
    let (floor, rest) = (whole.div_euclid(of), whole.rem_euclid(of));
    let up = rest * 2 > of || (rest * 2 == of && floor % 2 != 0);
    i64::try_from(floor + i128::from(up)).context("an amount is out of range")
}
