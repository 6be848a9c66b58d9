//! Documents beside the cycle's invoices, each in a gapless series of its own: the receipt of a purchase and
//! the credit note that corrects an issued document. Both are frozen when they are issued.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::cycle::Cycle;
use super::grant::Source;
use super::ids;
use super::invoice::{InvoiceLine, Party, TaxSubtotal};
use super::money::Money;

/// What every issued document says at its head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentHead {
    /// The gapless number, unique in its series: `RCT-2026-000001`, `CN-2026-000001`.
    pub number: String,
    /// Date of the document, in the organization's zone.
    pub issued_on: NaiveDate,
    /// The organization's zone, in which dates are printed.
    pub zone: String,
    /// Who sells.
    pub seller: Party,
    /// Who buys.
    pub buyer: Party,
    /// Where a customer finds help (S77).
    pub support: String,
    /// Free text at the foot of the document.
    pub notes: Vec<String>,
}

/// The receipt of a purchase: an invoice over a payment in advance (UNTDID 1001 code 386). The cycle's invoice
/// states the purchase again and deducts it as paid (EN 16931 BT-113), so its tax is owed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Number, dates, parties.
    pub head: DocumentHead,
    /// Billed organization.
    pub organization: String,
    /// Id of the purchase.
    pub purchase: String,
    /// The cycle the credits were bought in.
    pub cycle: Cycle,
    /// What was bought: one line.
    pub lines: Vec<InvoiceLine>,
    /// Tax per rate.
    pub tax_subtotals: Vec<TaxSubtotal>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// Sum of the taxes.
    pub tax: Money,
    /// `subtotal + tax`, all of it paid.
    pub total: Money,
    /// When it was paid, in the organization's zone.
    pub paid_on: NaiveDate,
    /// Payment method, without secrets.
    pub paid_with: String,
    /// Credits bought.
    pub credits: Credits,
    /// The last day they can be used; none: they never expire.
    pub usable_until: Option<NaiveDate>,
}

/// A credit note (UNTDID 1001 code 381): amounts are above zero and are owed to the customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditNote {
    /// Number, dates, parties.
    pub head: DocumentHead,
    /// Billed organization.
    pub organization: String,
    /// Number of the invoice or receipt it corrects.
    pub corrects: String,
    /// Date of that document.
    pub corrects_issued_on: NaiveDate,
    /// The cycle of that document.
    pub cycle: Cycle,
    /// Why, in finance's words.
    pub reason: String,
    /// What is credited; none: only credits are given back.
    pub lines: Vec<InvoiceLine>,
    /// Tax given back, per rate.
    pub tax_subtotals: Vec<TaxSubtotal>,
    /// Sum of the lines.
    pub subtotal: Money,
    /// Sum of the taxes.
    pub tax: Money,
    /// `subtotal + tax`.
    pub total: Money,
    /// What happens to the money.
    pub settled: CreditSettlement,
    /// Credits given back to the grants they came from, under those grants' own expiry.
    pub returned: Vec<GrantCredits>,
    /// Credits taken off the balance with the money that paid for them.
    pub taken_back: Vec<GrantCredits>,
}

/// What happens to the money of a credit note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case", deny_unknown_fields)]
pub enum CreditSettlement {
    /// No money is involved.
    None,
    /// It lowers what is still to be paid on the invoice.
    Offset {
        /// What is left to pay.
        still_due: Money,
    },
    /// It goes back to the payment method.
    Refund {
        /// The method, without secrets.
        label: String,
    },
    /// It is transferred by hand.
    Transfer,
}

impl CreditSettlement {
    /// Does its money go back to the customer?
    #[must_use]
    pub const fn goes_back(&self) -> bool {
        matches!(self, Self::Refund { .. } | Self::Transfer)
    }
}

/// Credits of one grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantCredits {
    /// The grant's id.
    pub grant: String,
    /// Where it came from.
    pub source: Source,
    /// The cycle it was granted in.
    pub cycle: Cycle,
    /// How many.
    pub credits: Credits,
    /// The last day they can be used; none: they never expire.
    pub usable_until: Option<NaiveDate>,
}

/// An issued document other than a cycle's invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "document", rename_all = "snake_case")]
pub enum Document {
    /// The receipt of a purchase.
    Receipt(Receipt),
    /// A correction.
    CreditNote(CreditNote),
}

impl Document {
    /// The stored word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Receipt(_) => "receipt",
            Self::CreditNote(_) => "credit_note",
        }
    }

    /// Number, dates, parties.
    #[must_use]
    pub const fn head(&self) -> &DocumentHead {
        match self {
            Self::Receipt(receipt) => &receipt.head,
            Self::CreditNote(note) => &note.head,
        }
    }
}

/// Hash over a document's stored text; it never changes once issued.
#[must_use]
pub fn content_hash(json: &str) -> String {
    ids::sha256_hex(format!("monthend-document-1\n{json}\n").as_bytes())
}
