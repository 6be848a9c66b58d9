//! The close of one organization's cycle, as one pure function.
//!
//! In this order: take the rated use → burn it down → draft the invoice → lapse and carry over →
//! grant the next allowance. Preview, apply and verify all call [`close`].

use chrono::NaiveDate;
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::burn::{self, BurnDown};
use super::credits::{Credits, CreditsError};
use super::cycle::{Bounds, Cycle};
use super::grant::{Grant, OpenGrant, Source};
use super::ids;
use super::invoice::{self, InvoiceDraft, InvoiceError, Prepaid, UsageSummary};
use super::invoice_lines;
use super::ledger::{self, Account, Entry, Posting};
use super::money::Money;
use super::plan::CycleTerms;
use super::rollover;
use super::rounding::{self, RoundingError};
use super::statement::{CreditStatement, StatementGrant, StatementState};

/// Everything the close of a cycle depends on.
#[derive(Debug, Clone)]
pub struct CycleInput {
    /// Whose cycle.
    pub organization: String,
    /// Which cycle.
    pub cycle: Cycle,
    /// Its stored bounds.
    pub bounds: Bounds,
    /// The organization's zone, for the bounds of the cycles to come.
    pub zone: Tz,
    /// The day it joined; the fee of that cycle may be prorated.
    pub joined_on: NaiveDate,
    /// Tax on everything, in percent.
    pub tax_percent: Decimal,
    /// The terms frozen for this cycle.
    pub terms: CycleTerms,
    /// The terms of the next cycle.
    pub next_terms: CycleTerms,
    /// Was this cycle's fee billed in advance?
    pub fee_billed: bool,
    /// Grants of this and earlier cycles with credits left, in any order.
    pub grants: Vec<OpenGrant>,
    /// Rated use to be billed in this cycle, by own cycle and meter.
    pub usage: Vec<UsageSummary>,
    /// Deficit brought from the cycle before (D8).
    pub deficit_brought: Credits,
    /// Purchases paid in this cycle.
    pub purchases: Vec<PaidPurchase>,
    /// What credit notes of this cycle gave back to a grant (above zero) or took off it, by the grant's id.
    /// It is in what the grants have left already; a grant it left nothing of is among them, with zero.
    pub corrections: Vec<(String, Credits)>,
}

/// Credits bought and paid during the cycle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidPurchase {
    /// Its id.
    pub id: String,
    /// The package's name; none: a free number of credits.
    pub package: Option<String>,
    /// How many credits.
    pub credits: Credits,
    /// Net price.
    pub net: Money,
    /// The rate it was taxed at, in percent.
    pub tax_percent: Decimal,
    /// What was charged: net and tax.
    pub gross: Money,
}

/// A cycle that is open for use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCycle {
    /// Which cycle.
    pub cycle: Cycle,
    /// Its bounds, computed once (D6).
    pub bounds: Bounds,
    /// Its terms, frozen.
    pub terms: CycleTerms,
    /// Was its fee billed in advance?
    pub fee_billed: bool,
}

/// Everything the close of a cycle decides.
#[derive(Debug, Clone)]
pub struct CycleOutcome {
    /// What happened to the credits.
    pub statement: CreditStatement,
    /// The invoice; none: nothing to bill.
    pub invoice: Option<InvoiceDraft>,
    /// Facts for the ledger, in order.
    pub postings: Vec<Posting>,
    /// What is left of each grant that changed.
    pub remaining: Vec<(String, Credits)>,
    /// The cycle that opens.
    pub next: OpenCycle,
    /// Its allowance, if any.
    pub next_grant: Option<Grant>,
}

/// Why a cycle cannot be closed; finance reads it with the organization's name before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// An amount of credits is out of range.
    #[error("the credits of {cycle} cannot be added up: {source}")]
    Credits {
        /// Which cycle.
        cycle: Cycle,
        /// What went wrong.
        source: CreditsError,
    },
    /// A rounding failed.
    #[error("an amount of {cycle} cannot be computed: {source}")]
    Rounding {
        /// Which cycle.
        cycle: Cycle,
        /// What went wrong.
        source: RoundingError,
    },
    /// The invoice cannot be drawn up.
    #[error("the invoice of {cycle} cannot be drawn up: {source}")]
    Invoice {
        /// Which cycle.
        cycle: Cycle,
        /// What went wrong.
        source: InvoiceError,
    },
    /// Something of another cycle was given to the close.
    #[error(
        "the close of {cycle} was given {what}; the stored data is damaged, run `monthend verify`"
    )]
    Foreign {
        /// Which cycle.
        cycle: Cycle,
        /// What does not belong to it.
        what: &'static str,
    },
    /// A stored deficit, use or grant is negative.
    #[error("{what} of {cycle} is negative; the stored data is damaged, run `monthend verify`")]
    Negative {
        /// Which cycle.
        cycle: Cycle,
        /// What is negative.
        what: &'static str,
    },
}

/// Closes one cycle of one organization.
///
/// # Errors
/// Out of range, or damaged input. Nothing is half decided.
pub fn close(input: &CycleInput) -> Result<CycleOutcome, CloseError> {
    let cycle = input.cycle;
    let credits = |source| CloseError::Credits { cycle, source };
    let rounding = |source| CloseError::Rounding { cycle, source };
    check(input)?;
    let mut grants = input.grants.clone();
    burn::sort(&mut grants);
    let rated = Credits::total(input.usage.iter().map(|usage| usage.credits)).map_err(credits)?;
    let demand = rated.plus(input.deficit_brought).map_err(credits)?;
    let burned = burn::burn_down(&grants, demand).map_err(credits)?;
    let left = after_burn(&grants, &burned).map_err(credits)?;
    let cap = match input.terms.rollover_cap {
        Some(cap) => Some(cap.in_credits(input.terms.allowance).map_err(rounding)?),
        None => None,
    };
    let lapsed = rollover::lapses(&left, cycle, cap).map_err(credits)?;
    let beyond = Beyond::new(input, burned.uncovered);
    let lines = Parts { grants: &grants, burned: &burned, lapsed: &lapsed };
    let statement =
        statement(input, StatementState::Closed, &lines, rated, beyond).map_err(credits)?;
    let invoice =
        draft(input, &statement).map_err(|source| CloseError::Invoice { cycle, source })?;
    let next = next_cycle(input);
    let next_grant = allowance_grant(&input.organization, &next, input.zone, next.terms.allowance);
    let mut postings = Vec::with_capacity(2);
    postings.extend(close_posting(input, &lines, rated, beyond).map_err(credits)?);
    postings.extend(next_grant.as_ref().map(grant_posting).transpose().map_err(credits)?);
    let remaining = remaining_after(&left, &lapsed, &grants).map_err(credits)?;
    Ok(CycleOutcome { statement, invoice, postings, remaining, next, next_grant })
}

/// The statement of a cycle that is still open: use so far, nothing lapsed yet.
///
/// # Errors
/// Out of range, or damaged input.
pub fn preview_statement(input: &CycleInput) -> Result<CreditStatement, CloseError> {
    let credits = |source| CloseError::Credits { cycle: input.cycle, source };
    check(input)?;
    let mut grants = input.grants.clone();
    burn::sort(&mut grants);
    let rated = Credits::total(input.usage.iter().map(|usage| usage.credits)).map_err(credits)?;
    let demand = rated.plus(input.deficit_brought).map_err(credits)?;
    let burned = burn::burn_down(&grants, demand).map_err(credits)?;
    let lapsed = vec![Credits::ZERO; grants.len()];
    let beyond = Beyond::new(input, burned.uncovered);
    let lines = Parts { grants: &grants, burned: &burned, lapsed: &lapsed };
    statement(input, StatementState::Open, &lines, rated, beyond).map_err(credits)
}

/// Grants with what was burned and what lapsed of each.
struct Parts<'a> {
    grants: &'a [OpenGrant],
    burned: &'a BurnDown,
    lapsed: &'a [Credits],
}

/// Use beyond all grants: billed in money, or carried as a deficit (D8).
#[derive(Clone, Copy)]
struct Beyond {
    overage: Credits,
    deficit: Credits,
}

impl Beyond {
    fn new(input: &CycleInput, uncovered: Credits) -> Self {
        if input.terms.overage_price.is_some() {
            Self { overage: uncovered, deficit: Credits::ZERO }
        } else {
            Self { overage: Credits::ZERO, deficit: uncovered }
        }
    }
}

fn check(input: &CycleInput) -> Result<(), CloseError> {
    let negative = |what| Err(CloseError::Negative { cycle: input.cycle, what });
    if input.deficit_brought < Credits::ZERO {
        return negative("the deficit brought");
    }
    if input.usage.iter().any(|usage| usage.credits < Credits::ZERO) {
        return negative("the rated use");
    }
    if input.grants.iter().any(|open| open.remaining < Credits::ZERO) {
        return negative("what is left of a grant");
    }
    let foreign = |what| Err(CloseError::Foreign { cycle: input.cycle, what });
    if input.usage.iter().any(|usage| usage.cycle > input.cycle) {
        return foreign("use of a later cycle");
    }
    let usable = |grant: &Grant| {
        grant.cycle <= input.cycle && grant.last_cycle.is_none_or(|last| last >= input.cycle)
    };
    if input.grants.iter().any(|open| !usable(&open.grant)) {
        return foreign("a grant that cannot be used in it");
    }
    Ok(())
}

fn after_burn(grants: &[OpenGrant], burned: &BurnDown) -> Result<Vec<OpenGrant>, CreditsError> {
    grants
        .iter()
        .zip(&burned.taken)
        .map(|(open, taken)| {
            Ok(OpenGrant { grant: open.grant.clone(), remaining: open.remaining.minus(*taken)? })
        })
        .collect()
}

fn remaining_after(
    left: &[OpenGrant],
    lapsed: &[Credits],
    before: &[OpenGrant],
) -> Result<Vec<(String, Credits)>, CreditsError> {
    let mut remaining = Vec::new();
    for ((open, lapsed), before) in left.iter().zip(lapsed).zip(before) {
        let now = open.remaining.minus(*lapsed)?;
        if now != before.remaining {
            remaining.push((open.grant.id.clone(), now));
        }
    }
    Ok(remaining)
}

fn statement(
    input: &CycleInput,
    state: StatementState,
    lines: &Parts<'_>,
    rated: Credits,
    beyond: Beyond,
) -> Result<CreditStatement, CreditsError> {
    let mut total = CreditStatement {
        organization: input.organization.clone(),
        cycle: input.cycle,
        state,
        opening: Credits::ZERO,
        granted: Credits::ZERO,
        purchased: Credits::ZERO,
        used: Credits::ZERO,
        expired: Credits::ZERO,
        closing: Credits::ZERO,
        rated,
        overage: beyond.overage,
        deficit_brought: input.deficit_brought,
        deficit: beyond.deficit,
        grants: Vec::with_capacity(lines.grants.len()),
    };
    for ((open, used), expired) in lines.grants.iter().zip(&lines.burned.taken).zip(lines.lapsed) {
        let new = open.grant.cycle == input.cycle;
        let corrected = correction_of(input, &open.grant.id)?;
        let (opening, granted) = if new {
            (Credits::ZERO, open.remaining)
        } else {
            (open.remaining.minus(corrected)?, corrected)
        };
        let closing = open.remaining.minus(*used)?.minus(*expired)?;
        // What goes back with its money was never bought; use given back is granted once more.
        if open.grant.source == Source::Purchase && (new || granted < Credits::ZERO) {
            total.purchased = total.purchased.plus(granted)?;
        } else {
            total.granted = total.granted.plus(granted)?;
        }
        total.opening = total.opening.plus(opening)?;
        total.used = total.used.plus(*used)?;
        total.expired = total.expired.plus(*expired)?;
        total.closing = total.closing.plus(closing)?;
        total.grants.push(StatementGrant {
            id: open.grant.id.clone(),
            source: open.grant.source,
            cycle: open.grant.cycle,
            opening,
            granted,
            used: *used,
            expired: *expired,
            closing,
            expires_at: open.grant.expires_at,
        });
    }
    Ok(total)
}

/// What credit notes of the cycle gave back to a grant, less what they took off it.
fn correction_of(input: &CycleInput, grant: &str) -> Result<Credits, CreditsError> {
    let of_grant = input.corrections.iter().filter(|(id, _)| id == grant);
    Credits::total(of_grant.map(|(_, credits)| *credits))
}

fn draft(
    input: &CycleInput,
    statement: &CreditStatement,
) -> Result<Option<InvoiceDraft>, InvoiceError> {
    let currency = input.terms.fee.currency();
    let lines = invoice_lines::lines(input, statement)?;
    if lines.is_empty() && input.usage.is_empty() {
        return Ok(None);
    }
    let mut prepaid = Vec::with_capacity(input.purchases.len());
    for purchase in &input.purchases {
        prepaid.push(Prepaid {
            percent: purchase.tax_percent,
            net: purchase.net,
            tax: purchase.gross.minus(purchase.net)?,
        });
    }
    let totals = invoice::totals(&lines, currency, input.tax_percent, &prepaid)?;
    Ok(Some(InvoiceDraft {
        organization: input.organization.clone(),
        cycle: input.cycle,
        starts_at: input.bounds.starts_at,
        ends_at: input.bounds.ends_at,
        currency,
        plan: input.terms.plan_name.clone(),
        tax_percent: input.tax_percent,
        lines,
        tax_subtotals: totals.tax_subtotals,
        subtotal: totals.subtotal,
        tax: totals.tax,
        total: totals.total,
        prepaid: totals.prepaid,
        amount_due: totals.amount_due,
        statement: statement.clone(),
        usage: input.usage.clone(),
    }))
}

fn next_cycle(input: &CycleInput) -> OpenCycle {
    let cycle = input.cycle.next();
    OpenCycle {
        cycle,
        // The stored end is the next start, whatever the zone's rules say today (D6).
        bounds: Bounds {
            starts_at: input.bounds.ends_at,
            ends_at: cycle.bounds(input.zone).ends_at,
        },
        terms: input.next_terms.clone(),
        fee_billed: invoice_lines::bills_next_fee(input),
    }
}

/// The allowance of a cycle that opens; none for an allowance of zero.
#[must_use]
pub fn allowance_grant(
    organization: &str,
    open: &OpenCycle,
    zone: Tz,
    allowance: Credits,
) -> Option<Grant> {
    let last_cycle = open.terms.rollover.last_cycle(open.cycle);
    allowance.is_positive().then(|| Grant {
        id: ids::derived(
            "grt",
            open.bounds.starts_at,
            &[organization, "allowance", &open.cycle.to_string()],
        ),
        source: Source::Allowance,
        cycle: open.cycle,
        granted: allowance,
        granted_at: open.bounds.starts_at,
        last_cycle,
        expires_at: last_cycle.map(|last| {
            if last == open.cycle { open.bounds.ends_at } else { last.bounds(zone).ends_at }
        }),
    })
}

/// The allowance of the cycle an organization joins in, prorated if its terms say so (D13).
///
/// # Errors
/// Out of range.
pub fn joining_allowance(
    terms: &CycleTerms,
    cycle: Cycle,
    joined_on: NaiveDate,
) -> Result<Credits, RoundingError> {
    match invoice_lines::joining_days(cycle, joined_on) {
        Some(days) if terms.prorate_allowance => {
            rounding::prorated_allowance(terms.allowance, days, cycle.days())
        }
        _ => Ok(terms.allowance),
    }
}

/// The fact that a grant was made.
///
/// # Errors
/// Out of range.
pub fn grant_posting(grant: &Grant) -> Result<Posting, CreditsError> {
    Ok(Posting::new(
        "grant",
        format!("grant:{}", grant.id),
        grant.cycle,
        grant.granted_at,
        [
            ledger::grant_entry(&grant.id, grant.granted),
            ledger::credit_entry(Account::Granted, grant.granted.negated()?),
        ],
    ))
}

/// The fact of the close: use, what paid for it, what lapsed. None: nothing moved.
fn close_posting(
    input: &CycleInput,
    lines: &Parts<'_>,
    rated: Credits,
    beyond: Beyond,
) -> Result<Option<Posting>, CreditsError> {
    let mut entries: Vec<Entry> = Vec::with_capacity(lines.grants.len() * 2 + 4);
    entries.push(ledger::credit_entry(Account::Used, rated));
    for (open, used) in lines.grants.iter().zip(&lines.burned.taken) {
        entries.push(ledger::grant_entry(&open.grant.id, used.negated()?));
    }
    entries.push(ledger::credit_entry(Account::Overage, beyond.overage.negated()?));
    let deficit = input.deficit_brought.minus(beyond.deficit)?;
    entries.push(ledger::credit_entry(Account::Deficit, deficit));
    for (open, lapsed) in lines.grants.iter().zip(lines.lapsed) {
        entries.push(ledger::grant_entry(&open.grant.id, lapsed.negated()?));
    }
    let lapsed = Credits::total(lines.lapsed.iter().copied())?;
    entries.push(ledger::credit_entry(Account::Expired, lapsed));
    let posting = Posting::new(
        "close",
        format!("close:{}", input.cycle),
        input.cycle,
        input.bounds.ends_at,
        entries,
    );
    Ok((!posting.entries.is_empty()).then_some(posting))
}
