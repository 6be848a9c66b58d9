//! What a closed cycle's invoice bills: fees, overage, late use, purchases (D7, D8, D11, D13).

use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;

use super::close::{CycleInput, PaidPurchase};
use super::credits::Credits;
use super::cycle::{self, Cycle};
use super::decimal;
use super::invoice::{InvoiceError, InvoiceLine, LineKind};
use super::money::Money;
use super::plan::{CycleTerms, FeeTiming};
use super::rounding::{self, RoundingError};
use super::statement::CreditStatement;

/// All lines of a cycle's invoice, in the order they are printed.
///
/// # Errors
/// Out of range.
pub fn lines(
    input: &CycleInput,
    statement: &CreditStatement,
) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let mut lines = Vec::new();
    lines.extend(closed_cycle_fee(input)?);
    lines.extend(next_cycle_fee(input));
    lines.extend(use_lines(input, statement.overage)?);
    for purchase in &input.purchases {
        lines.push(purchase_line(input.cycle, purchase));
    }
    Ok(lines)
}

/// Days of the joining cycle that are used, the joining day included; none for any other cycle.
#[must_use]
pub fn joining_days(cycle: Cycle, joined_on: NaiveDate) -> Option<u32> {
    (Cycle::of_date(joined_on) == cycle && joined_on.day() > 1)
        .then(|| cycle.days() + 1 - joined_on.day())
}

/// Is the coming cycle's fee on this invoice? Then the next close must not bill it again.
#[must_use]
pub fn bills_next_fee(input: &CycleInput) -> bool {
    input.next_terms.fee_timing == FeeTiming::Advance
}

/// The fee of the closed cycle, unless it was billed in advance. The first cycle of a plan that bills
/// in advance was billed by nobody before, so it is here.
fn closed_cycle_fee(input: &CycleInput) -> Result<Option<InvoiceLine>, InvoiceError> {
    let fee = input.terms.fee;
    if input.fee_billed || fee.is_zero() {
        return Ok(None);
    }
    let cycle = input.cycle;
    match joining_days(cycle, input.joined_on) {
        Some(days) if input.terms.prorate_fee => {
            let part = rounding::prorated_fee(fee, days, cycle.days())?;
            let share = format!(", {days} of {} days", cycle.days());
            Ok(Some(fee_line(&input.terms, cycle, part, &share)))
        }
        _ => Ok(Some(fee_line(&input.terms, cycle, fee, ""))),
    }
}

fn next_cycle_fee(input: &CycleInput) -> Option<InvoiceLine> {
    let terms = &input.next_terms;
    (bills_next_fee(input) && !terms.fee.is_zero())
        .then(|| fee_line(terms, input.cycle.next(), terms.fee, ", in advance"))
}

fn fee_line(terms: &CycleTerms, cycle: Cycle, fee: Money, remark: &str) -> InvoiceLine {
    InvoiceLine {
        kind: LineKind::PlanFee,
        description: format!("{} plan, {}{remark}", terms.plan_name, month_name(cycle)),
        quantity: Decimal::ONE,
        unit: "month".to_owned(),
        unit_price: fee.to_decimal(),
        amount: fee,
        cycle,
    }
}

/// A part of the demand, oldest first: credits pay for the oldest, so overage falls on the latest.
struct Demand {
    cycle: Cycle,
    kind: LineKind,
    rated: Credits,
    overage: Credits,
}

/// Overage of this cycle, and a line for late use of each earlier cycle that names that cycle (D7).
fn use_lines(input: &CycleInput, overage: Credits) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let credits = |source| RoundingError::Credits(source);
    let mut demands = demands(input).map_err(credits)?;
    let mut left = overage;
    for demand in demands.iter_mut().rev() {
        demand.overage = demand.rated.min(left);
        left = left.minus(demand.overage).map_err(credits)?;
    }
    let mut lines = Vec::new();
    for demand in demands.iter().rev() {
        lines.extend(lines_of_use(input, demand)?);
    }
    if left.is_positive() {
        // A deficit brought under a plan that pauses, billed now that the plan bills overage.
        let name = format!("Use beyond credits carried from before {}", month_name(input.cycle));
        lines.push(overage_line(input, LineKind::PriorCycle, name, input.cycle.previous(), left)?);
    }
    Ok(lines)
}

fn demands(input: &CycleInput) -> Result<Vec<Demand>, super::credits::CreditsError> {
    let mut demands: Vec<Demand> = Vec::new();
    for usage in &input.usage {
        let kind =
            if usage.cycle == input.cycle { LineKind::Overage } else { LineKind::PriorCycle };
        match demands.iter_mut().find(|demand| demand.cycle == usage.cycle) {
            Some(demand) => demand.rated = demand.rated.plus(usage.credits)?,
            None => demands.push(Demand {
                cycle: usage.cycle,
                kind,
                rated: usage.credits,
                overage: Credits::ZERO,
            }),
        }
    }
    demands.sort_by_key(|demand| demand.cycle);
    Ok(demands)
}

fn lines_of_use(input: &CycleInput, demand: &Demand) -> Result<Vec<InvoiceLine>, InvoiceError> {
    let month = month_name(demand.cycle);
    let late = demand.kind == LineKind::PriorCycle;
    let mut lines = Vec::new();
    if demand.overage.is_positive() {
        let name = if late {
            format!("Late use of {month} beyond credits")
        } else {
            format!("Use beyond credits, {month}")
        };
        lines.push(overage_line(input, demand.kind, name, demand.cycle, demand.overage)?);
    }
    let counted = demand.rated.minus(demand.overage).map_err(RoundingError::Credits)?;
    if late && counted.is_positive() {
        // Taken from grants, or carried as a deficit: named, and worth nothing in money.
        lines.push(InvoiceLine {
            kind: LineKind::PriorCycle,
            description: format!("Late use of {month}, counted against credits"),
            quantity: counted.to_decimal().normalize(),
            unit: "credit".to_owned(),
            unit_price: Decimal::ZERO,
            amount: Money::zero(input.terms.fee.currency()),
            cycle: demand.cycle,
        });
    }
    Ok(lines)
}

fn overage_line(
    input: &CycleInput,
    kind: LineKind,
    description: String,
    cycle: Cycle,
    credits: Credits,
) -> Result<InvoiceLine, InvoiceError> {
    let price = input.terms.overage_price.unwrap_or_default();
    Ok(InvoiceLine {
        kind,
        description,
        quantity: credits.to_decimal().normalize(),
        unit: "credit".to_owned(),
        unit_price: price.normalize(),
        amount: rounding::credits_at_price(credits, price, input.terms.fee.currency())?,
        cycle,
    })
}

/// The line of a purchase, the same on its receipt and on the cycle's invoice.
#[must_use]
pub fn purchase_line(cycle: Cycle, purchase: &PaidPurchase) -> InvoiceLine {
    let credits = purchase.credits;
    let unit_price = match &purchase.package {
        Some(_) => None,
        None => decimal::quotient(purchase.net.to_decimal(), credits.to_decimal()).ok(),
    };
    let bought = format!("{credits} credits");
    let name = purchase.package.as_ref().filter(|name| **name != bought);
    let name = name.map_or_else(String::new, |name| format!(" ({name})"));
    let description = format!("{bought} bought{name}, already paid");
    let (quantity, unit, unit_price) = match unit_price {
        Some(price) => (credits.to_decimal().normalize(), "credit", price),
        None => (Decimal::ONE, "package", purchase.net.to_decimal()),
    };
    InvoiceLine {
        kind: LineKind::Purchase,
        description,
        quantity,
        unit: unit.to_owned(),
        unit_price,
        amount: purchase.net,
        cycle,
    }
}

/// `January 2026`, as printed.
#[must_use]
pub fn month_name(cycle: Cycle) -> String {
    format!("{} {}", cycle::month_name(cycle.month()), cycle.year())
}
