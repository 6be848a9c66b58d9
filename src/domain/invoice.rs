//! Invoices: the draft a close makes, the header issuing adds, and the document both form.
//!
//! Names of amounts follow EN 16931: line net amounts sum to the subtotal (BT-109), tax is computed
//! per rate on the document's sum (BR-CO-17), `total` is BT-112, `prepaid` BT-113, `amount_due` BT-115.

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::cycle::Cycle;
use super::ids;
use super::money::{Currency, Money, MoneyError};
use super::rounding::{self, RoundingError};
use super::statement::CreditStatement;

/// What a line bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// The plan's fee for a cycle.
    PlanFee,
    /// Use beyond the credits, at the overage price.
    Overage,
    /// The part of the overage that comes from use of an earlier, closed cycle (D7).
    PriorCycle,
    /// Credits bought during the cycle; already paid.
    Purchase,
    /// What a credit note gives back.
    Correction,
}

/// One line. `amount` is its net amount, rounded once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceLine {
    /// What it bills.
    pub kind: LineKind,
    /// Text for the customer, in English, without control characters.
    pub description: String,
    /// Exact decimal quantity in `unit`.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// `credit`, `month` or `package`.
    pub unit: String,
    /// Exact price of one unit in the major unit of the currency.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// Net amount.
    pub amount: Money,
    /// The cycle the line is for; differs from the invoice's for prior-cycle lines.
    pub cycle: Cycle,
}

/// Tax for one rate, on the sum of all lines at that rate (EN 16931 BG-23).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaxSubtotal {
    /// The rate in percent.
    #[serde(with = "rust_decimal::serde::str")]
    pub percent: Decimal,
    /// The sum it applies to.
    pub taxable: Money,
    /// Tax, rounded once.
    pub amount: Money,
}

/// Use of one meter in the invoiced cycle, for information; billed through the credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsageSummary {
    /// The cycle the use happened in.
    pub cycle: Cycle,
    /// The meter.
    pub meter: String,
    /// Number of events.
    pub events: i64,
    /// Rated credits.
    pub credits: Credits,
}

/// What the close writes: everything about an invoice that does not depend on when it is issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceDraft {
    /// Billed organization.
    pub organization: String,
    /// Billed cycle.
    pub cycle: Cycle,
    /// Start of the cycle.
    pub starts_at: DateTime<Utc>,
    /// End of the cycle; not included.
    pub ends_at: DateTime<Utc>,
    /// Currency of every amount.
    pub currency: Currency,
    /// The plan's name in the billed cycle.
    pub plan: String,
    /// The organization's tax rate when the cycle was closed, in percent.
    #[serde(with = "rust_decimal::serde::str")]
    pub tax_percent: Decimal,
    /// Billed lines, in order.
    pub lines: Vec<InvoiceLine>,
    /// Tax per rate.
    pub tax_subtotals: Vec<TaxSubtotal>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// Sum of the taxes.
    pub tax: Money,
    /// `subtotal + tax`.
    pub total: Money,
    /// Already paid: purchases of the cycle with their tax.
    pub prepaid: Money,
    /// `total − prepaid`, never negative.
    pub amount_due: Money,
    /// What happened to the credits.
    pub statement: CreditStatement,
    /// Use by meter.
    pub usage: Vec<UsageSummary>,
}

/// Why an invoice could not be drawn up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// An amount is out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A rounding failed.
    #[error(transparent)]
    Rounding(#[from] RoundingError),
    /// More was paid in advance than the invoice comes to.
    #[error("already paid {prepaid} is more than the total {total}")]
    Overpaid {
        /// What was paid.
        prepaid: Money,
        /// What the invoice comes to.
        total: Money,
    },
}

/// Totals of a list of lines: subtotal, tax per rate on the document's sum, and what is left to pay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Totals {
    /// Sum of the lines.
    pub subtotal: Money,
    /// Tax per rate.
    pub tax_subtotals: Vec<TaxSubtotal>,
    /// Sum of the taxes.
    pub tax: Money,
    /// `subtotal + tax`.
    pub total: Money,
    /// What purchases have paid.
    pub prepaid: Money,
    /// `total − prepaid`.
    pub amount_due: Money,
}

/// A purchase that was paid, with its tax, before the invoice it is a line of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prepaid {
    /// The rate it was taxed at, in percent.
    pub percent: Decimal,
    /// Its net amount, as on its line.
    pub net: Money,
    /// The tax charged with it.
    pub tax: Money,
}

/// Computes the totals; an organization has one tax rate at a time.
///
/// Tax is rounded once per rate, on the document's sum at that rate. A purchase that was taxed at
/// another rate keeps its tax: what is paid is not taxed again. At the current rate the tax is never
/// less than what was charged with purchases, so rounding cannot leave a negative amount due.
///
/// # Errors
/// Out of range, or more prepaid than the total.
pub fn totals(
    lines: &[InvoiceLine],
    currency: Currency,
    tax_percent: Decimal,
    prepaid: &[Prepaid],
) -> Result<Totals, InvoiceError> {
    let subtotal = Money::total(currency, lines.iter().map(|line| line.amount))?;
    let mut rates: Vec<Decimal> = prepaid.iter().map(|purchase| purchase.percent).collect();
    rates.retain(|percent| *percent != tax_percent);
    rates.sort_unstable();
    rates.dedup();
    let at = |percent: Decimal| prepaid.iter().filter(move |paid| paid.percent == percent);
    let mut others = Vec::with_capacity(rates.len());
    let mut taxable = subtotal;
    for percent in rates {
        let net = Money::total(currency, at(percent).map(|paid| paid.net))?;
        let amount = Money::total(currency, at(percent).map(|paid| paid.tax))?;
        taxable = taxable.minus(net)?;
        others.push(TaxSubtotal { percent, taxable: net, amount });
    }
    let charged = Money::total(currency, at(tax_percent).map(|paid| paid.tax))?;
    let rounded = rounding::tax(taxable, tax_percent)?;
    let amount = if rounded.minor() < charged.minor() { charged } else { rounded };
    let mut tax_subtotals = vec![TaxSubtotal { percent: tax_percent, taxable, amount }];
    tax_subtotals.extend(others);
    tax_subtotals.retain(|part| !part.percent.is_zero() || !part.amount.is_zero());
    let tax = Money::total(currency, tax_subtotals.iter().map(|part| part.amount))?;
    let total = subtotal.plus(tax)?;
    let nets = Money::total(currency, prepaid.iter().map(|paid| paid.net))?;
    let taxes = Money::total(currency, prepaid.iter().map(|paid| paid.tax))?;
    let prepaid = nets.plus(taxes)?;
    let amount_due = total.minus(prepaid)?;
    if amount_due.minor() < 0 {
        return Err(InvoiceError::Overpaid { prepaid, total });
    }
    Ok(Totals { subtotal, tax_subtotals, tax, total, prepaid, amount_due })
}

/// Seller or buyer, as frozen on the issued document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Party {
    /// Name.
    pub name: String,
    /// Lines of the postal address.
    pub address: Vec<String>,
    /// ISO 3166 country code or name, if known.
    pub country: Option<String>,
    /// Tax registration, if any.
    pub tax_id: Option<String>,
    /// Billing (buyer) or contact (seller) address.
    pub email: Option<String>,
}

/// How the amount due is meant to be paid, as printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by", deny_unknown_fields)]
pub enum PaymentTerms {
    /// Nothing is due.
    NothingDue,
    /// The stored payment method is charged automatically (S31).
    StoredMethod {
        /// A label without secrets.
        label: String,
    },
    /// The customer transfers the money.
    BankTransfer {
        /// Where to, as configured.
        details: Vec<String>,
    },
}

/// What issuing adds to the draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceHeader {
    /// The gapless number, unique in its series: `INV-2026-000001`.
    pub number: String,
    /// Date of the invoice: the first day after the cycle, in the organization's zone.
    pub issued_on: NaiveDate,
    /// Date by which the amount is due.
    pub due_on: NaiveDate,
    /// The organization's zone, in which dates are printed.
    pub zone: String,
    /// Who sells.
    pub seller: Party,
    /// Who buys.
    pub buyer: Party,
    /// How it is paid.
    pub payment: PaymentTerms,
    /// Where a customer finds help (S77).
    pub support: String,
    /// Free text at the foot of the document.
    pub notes: Vec<String>,
}

/// An issued invoice: exactly what is printed, never changed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceDocument {
    /// Number, dates, parties.
    pub header: InvoiceHeader,
    /// Lines, totals, statement.
    pub draft: InvoiceDraft,
}

/// Hash over the stored texts of header and draft; it never changes once issued.
#[must_use]
pub fn content_hash(header_json: &str, draft_json: &str) -> String {
    ids::sha256_hex(format!("monthend-invoice-1\n{header_json}\n{draft_json}\n").as_bytes())
}

/// Where an invoice stands as a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceStatus {
    /// Written by the close, not yet numbered.
    Draft,
    /// Numbered and frozen.
    Issued,
    /// Nothing is left to pay.
    Settled,
    /// Given up.
    Uncollectible,
}

impl InvoiceStatus {
    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Issued => "issued",
            Self::Settled => "settled",
            Self::Uncollectible => "uncollectible",
        }
    }
}

impl std::str::FromStr for InvoiceStatus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Draft, Self::Issued, Self::Settled, Self::Uncollectible]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not an invoice status"))
    }
}

#[cfg(test)]
mod tests;
