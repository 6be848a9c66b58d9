//! A script of months in plain integers, played through the real close.
//!
//! The script is what [`super::naive`] computes on its own; [`play`] gives the close's answer in the
//! same figures, so that the two can be compared month by month.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;

use chrono::Duration;
use chrono_tz::Tz;
use monthend::domain::close::{CycleOutcome, PaidPurchase};
use monthend::domain::credits::Credits;
use monthend::domain::cycle::Cycle;
use monthend::domain::grant::Source;
use monthend::domain::invoice::{InvoiceDraft, LineKind};
use monthend::domain::money::{Currency, Money};
use monthend::domain::plan::{CycleTerms, FeeTiming, RolloverCap, Term};
use rust_decimal::Decimal;

use super::year::Year;

/// A decimal number as an integer and a number of decimals.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// All its digits.
    pub digits: i64,
    /// How many of them are decimals.
    pub decimals: u32,
}

/// A limit on carried-over allowance.
#[derive(Debug, Clone, Copy)]
pub enum Cap {
    /// In 10⁻⁹ credit.
    Credits(i64),
    /// In percent of the allowance.
    Percent(Number),
}

/// The terms of a month.
#[derive(Debug, Clone)]
pub struct Terms {
    /// In 10⁻⁹ credit.
    pub allowance: i64,
    /// In minor units.
    pub fee: i64,
    /// Is the fee billed a month ahead?
    pub advance: bool,
    /// Months after its own in which an allowance can be used; none: for ever.
    pub rollover: Option<u16>,
    /// Limit on what is carried over.
    pub cap: Option<Cap>,
    /// Price of a credit beyond the balance; none: pause.
    pub overage: Option<Number>,
    /// Is the fee of the joining month prorated?
    pub prorate_fee: bool,
    /// Is the allowance of the joining month prorated?
    pub prorate_allowance: bool,
}

/// Where a lot comes from, other than the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A gift.
    Promotional,
    /// A correction.
    Adjustment,
    /// Bought for so many minor units, net, and tax.
    Purchase(i64, i64),
}

/// Credits that come in during a month.
#[derive(Debug, Clone)]
pub struct Lot {
    /// Unique.
    pub id: String,
    /// Where they come from.
    pub kind: Kind,
    /// In 10⁻⁹ credit, more than zero.
    pub credits: i64,
    /// Months after its own in which they can be used; none: for ever.
    pub term: Option<u16>,
    /// Minutes after the month's start.
    pub minute: i64,
}

/// What happens in a month.
#[derive(Debug, Clone)]
pub struct Month {
    /// Rated use, each in 10⁻⁹ credit.
    pub used: Vec<i64>,
    /// Late use: how many months back, and 10⁻⁹ credit, more than zero.
    pub late: Vec<(i32, i64)>,
    /// Credits that come in.
    pub lots: Vec<Lot>,
    /// The terms from the next month on, where they change.
    pub next: Option<Terms>,
    /// Tax on the month's invoice, in percent.
    pub tax: Number,
}

/// The whole script.
#[derive(Debug, Clone)]
pub struct History {
    /// ISO 4217 code and its decimals.
    pub currency: (&'static str, u32),
    /// Whose midnight.
    pub zone: Tz,
    /// Year, month and day of joining.
    pub joined: (i32, u32, u32),
    /// The first month's terms.
    pub terms: Terms,
    /// Month by month.
    pub months: Vec<Month>,
}

/// What a line bills; without its text.
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

/// One line: what, for which month (months since year 0), 10⁻⁹ credits of use, minor units.
pub type BilledLine = (Billed, i64, i128, i128);

/// An invoice in plain integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bill {
    /// Its lines, sorted.
    pub lines: Vec<BilledLine>,
    /// Subtotal, tax, total, prepaid, amount due.
    pub totals: [i128; 5],
}

/// A closed month in plain integers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Opening, granted, purchased, used, expired, closing.
    pub credits: [i128; 6],
    /// Billed in money.
    pub overage: i128,
    /// Carried on.
    pub deficit: i128,
    /// Opening, granted, used, expired, closing of each lot with credits in the month.
    pub lots: BTreeMap<String, [i128; 5]>,
    /// The invoice; none: nothing to bill.
    pub bill: Option<Bill>,
}

/// The name both models give to the allowance of a month.
pub fn allowance_name(month: i64) -> String {
    format!("allowance-{month}")
}

fn index(cycle: Cycle) -> i64 {
    i64::from(cycle.year()) * 12 + i64::from(cycle.month()) - 1
}

fn decimal(number: Number) -> Decimal {
    Decimal::new(number.digits, number.decimals)
}

fn term(months: Option<u16>) -> Term {
    months.map_or(Term::Never, Term::Cycles)
}

fn cycle_terms(terms: &Terms, currency: Currency) -> CycleTerms {
    CycleTerms {
        plan: "random".to_owned(),
        plan_name: "Random".to_owned(),
        catalog_version: 1,
        allowance: Credits::from_nano(terms.allowance),
        fee: Money::from_minor(terms.fee, currency),
        fee_timing: if terms.advance { FeeTiming::Advance } else { FeeTiming::Arrears },
        rollover: term(terms.rollover),
        rollover_cap: terms.cap.map(|cap| match cap {
            Cap::Credits(nano) => RolloverCap::Credits(Credits::from_nano(nano)),
            Cap::Percent(percent) => RolloverCap::Percent(decimal(percent)),
        }),
        overage_price: terms.overage.map(decimal),
        prorate_fee: terms.prorate_fee,
        prorate_allowance: terms.prorate_allowance,
        grace_hours: 2,
    }
}

/// Plays a script through the close, with every check after every month.
pub fn play(history: &History) -> Vec<Figures> {
    let currency: Currency = history.currency.0.parse().unwrap();
    assert_eq!(currency.exponent(), history.currency.1);
    let (y, m, d) = history.joined;
    let joined_on = chrono::NaiveDate::from_ymd_opt(y, m, d).unwrap();
    let mut year = Year::join_in(history.zone, &cycle_terms(&history.terms, currency), joined_on);
    let mut figures = Vec::with_capacity(history.months.len());
    for month in &history.months {
        play_month(&mut year, month, currency);
        figures.push(plain(&year.close()));
    }
    figures
}

fn play_month(year: &mut Year, month: &Month, currency: Currency) {
    let cycle = year.open.cycle;
    year.tax_percent = decimal(month.tax);
    for nano in &month.used {
        year.use_of(cycle, "prompt", Credits::from_nano(*nano));
    }
    for (back, nano) in &month.late {
        year.use_of(cycle.plus(-back), "prompt", Credits::from_nano(*nano));
    }
    for lot in &month.lots {
        let at = year.bounds().starts_at + Duration::minutes(lot.minute);
        let credits = Credits::from_nano(lot.credits);
        let source = match lot.kind {
            Kind::Promotional => Source::Promotional,
            Kind::Adjustment => Source::Adjustment,
            Kind::Purchase(net, tax) => {
                let (net, gross) =
                    (Money::from_minor(net, currency), Money::from_minor(net + tax, currency));
                let id = lot.id.clone();
                let tax_percent = year.tax_percent;
                year.paid(PaidPurchase { id, package: None, credits, net, tax_percent, gross });
                Source::Purchase
            }
        };
        year.add(year.lot(lot.id.clone(), source, credits, term(lot.term), at));
    }
    if let Some(next) = &month.next {
        year.change_plan(&cycle_terms(next, currency));
    }
}

fn plain(outcome: &CycleOutcome) -> Figures {
    let nano = |credits: Credits| i128::from(credits.nano());
    let s = &outcome.statement;
    let lots = s.grants.iter().map(|line| {
        let id = match line.source {
            Source::Allowance => allowance_name(index(line.cycle)),
            _ => line.id.clone(),
        };
        (id, [line.opening, line.granted, line.used, line.expired, line.closing].map(nano))
    });
    Figures {
        credits: [s.opening, s.granted, s.purchased, s.used, s.expired, s.closing].map(nano),
        overage: nano(s.overage),
        deficit: nano(s.deficit),
        lots: lots.collect(),
        bill: outcome.invoice.as_ref().map(bill),
    }
}

fn bill(draft: &InvoiceDraft) -> Bill {
    let lines = draft.lines.iter().map(|line| {
        let used = (line.quantity * Decimal::from(1_000_000_000)).normalize();
        assert_eq!(used.scale(), 0, "{} credits are not whole billionths", line.quantity);
        let (billed, used) = match line.kind {
            LineKind::PlanFee => (Billed::Fee, 0),
            LineKind::Overage => (Billed::Overage, used.mantissa()),
            LineKind::PriorCycle => (Billed::Prior, used.mantissa()),
            LineKind::Purchase => (Billed::Purchase, 0),
            LineKind::Correction => unreachable!("a close corrects nothing"),
        };
        (billed, index(line.cycle), used, i128::from(line.amount.minor()))
    });
    let mut lines: Vec<BilledLine> = lines.collect();
    lines.sort_unstable();
    let totals = [draft.subtotal, draft.tax, draft.total, draft.prepaid, draft.amount_due];
    Bill { lines, totals: totals.map(|money| i128::from(money.minor())) }
}
