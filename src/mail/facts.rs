//! What a mail is about: every figure and text a template may show.

use chrono::{DateTime, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::notices::Notice;
use crate::domain::credits::{Credits, CreditsError};
use crate::domain::cycle::Cycle;
use crate::domain::invoice::{InvoiceDocument, PaymentTerms};
use crate::domain::money::Money;
use crate::domain::statement::CreditStatement;
use crate::domain::text;

/// One mail, before it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MailFacts {
    /// Message key: one mail per key. Message-ID, boundaries and file names derive from it.
    pub key: String,
    /// Instant of the `Date` header: when the mail's fact came about, so that a retry makes equal
    /// bytes.
    pub at: DateTime<Utc>,
    /// Id of the billed organization.
    pub organization: String,
    /// Its name.
    pub organization_name: String,
    /// Addresses, without names, in the organization's order.
    #[serde(skip)]
    pub recipients: Vec<String>,
    /// Name of the seller, shown as the sender.
    pub seller: String,
    /// The sender's address.
    #[serde(skip)]
    pub sender: String,
    /// Where a customer finds help (S77): a mail address or a link.
    pub support: String,
    /// What happened.
    #[serde(flatten)]
    pub occasion: Occasion,
    /// Files that go with it.
    #[serde(skip)]
    pub attachments: Vec<Attachment>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Occasion {
    /// An invoice was issued (S28–S31).
    Invoice {
        /// The invoice.
        invoice: InvoiceFacts,
        /// How it will be paid.
        payment: PaymentTerms,
        /// What happened to the credits in its cycle.
        credits: Option<CreditFacts>,
    },
    /// A payment arrived.
    Receipt {
        /// What was paid for.
        paid_for: PaidFor,
        /// How much was paid.
        amount: Money,
        /// When, in the organization's zone.
        paid_on: NaiveDate,
        /// Payment method, without secrets.
        label: String,
        /// Was the payment taken back before this was sent? Another letter says what follows.
        taken_back: bool,
    },
    /// A charge was declined.
    PaymentFailed {
        /// The invoice that stays open.
        invoice: InvoiceFacts,
        /// What was tried to charge.
        amount: Money,
        /// Payment method, without secrets.
        label: String,
        /// Why, as a full sentence for the customer.
        reason: String,
        /// What the customer can do, as full sentences.
        what_to_do: String,
        /// When the next automatic attempt takes place; none: there will be none.
        next_attempt_on: Option<NaiveDate>,
        /// A page to pay it on.
        pay_link: Option<String>,
    },
    /// Anything else, with its facts as they were when it was made.
    #[serde(untagged)]
    Notice(Notice),
}

impl Occasion {
    /// Name of its templates: `invoice`, `receipt`, `payment_failed` or a notice's.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::Invoice { .. } => "invoice",
            Self::Receipt { .. } => "receipt",
            Self::PaymentFailed { .. } => "payment_failed",
            Self::Notice(notice) => notice.template(),
        }
    }
}

/// An invoice's figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvoiceFacts {
    /// Number.
    pub number: String,
    /// Billed cycle.
    pub cycle: Cycle,
    /// Total with tax.
    pub total: Money,
    /// Already paid before the invoice was issued.
    pub prepaid: Money,
    /// What is left to pay.
    pub amount_due: Money,
    /// Date by which it is due.
    pub due_on: NaiveDate,
}

impl InvoiceFacts {
    /// The figures of an issued invoice.
    #[must_use]
    pub fn of(document: &InvoiceDocument) -> Self {
        let InvoiceDocument { header, draft } = document;
        Self {
            number: header.number.clone(),
            cycle: draft.cycle,
            total: draft.total,
            prepaid: draft.prepaid,
            amount_due: draft.amount_due,
            due_on: header.due_on,
        }
    }
}

/// What a payment was for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PaidFor {
    /// An invoice.
    Invoice(InvoiceFacts),
    /// Credits bought (S35).
    Purchase(PurchaseFacts),
}

/// Credits bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PurchaseFacts {
    /// Id of the purchase.
    pub id: String,
    /// Number of the receipt that is attached.
    pub receipt: String,
    /// Was it bought by itself, because credits ran low?
    pub automatic: bool,
    /// How many credits.
    pub bought: Credits,
    /// Last day they can be used; none: they never expire.
    pub usable_until: Option<NaiveDate>,
}

/// The credit statement in short: `opening + granted + purchased = used + expired + closing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CreditFacts {
    /// Remaining when the cycle began.
    pub opening: Credits,
    /// Granted in it.
    pub granted: Credits,
    /// Bought in it.
    pub purchased: Credits,
    /// Used in it.
    pub used: Credits,
    /// Lapsed at its end.
    pub expired: Credits,
    /// Carried into the next.
    pub closing: Credits,
    /// Used beyond all grants and carried into the next cycle, where new grants fill it first (D8).
    pub deficit: Credits,
    /// What lapses next, if anything does.
    pub next_expiry: Option<NextExpiry>,
}

/// The credits that lapse next unless they are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NextExpiry {
    /// How many.
    pub amount: Credits,
    /// The last day they can be used, in the organization's zone.
    pub usable_until: NaiveDate,
}

impl CreditFacts {
    /// The statement in short. Days are those of `zone`.
    ///
    /// # Errors
    /// A sum out of range.
    pub fn of(statement: &CreditStatement, zone: Tz) -> Result<Self, CreditsError> {
        let left = || {
            statement
                .grants
                .iter()
                .filter(|grant| grant.closing > Credits::ZERO)
                .filter_map(|grant| grant.expires_at.map(|at| (at, grant.closing)))
        };
        let next_expiry = match left().map(|(at, _)| at).min() {
            None => None,
            Some(next) => Some(NextExpiry {
                amount: Credits::total(
                    left().filter(|(at, _)| *at == next).map(|(_, closing)| closing),
                )?,
                usable_until: last_day_before(next, zone),
            }),
        };
        Ok(Self {
            opening: statement.opening,
            granted: statement.granted,
            purchased: statement.purchased,
            used: statement.used,
            expired: statement.expired,
            closing: statement.closing,
            deficit: statement.deficit,
            next_expiry,
        })
    }
}

/// The last day that has an instant before `end`: an expiry at midnight means the day that just
/// ended.
#[must_use]
pub fn last_day_before(end: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let last_instant = end.checked_sub_signed(Duration::microseconds(1)).unwrap_or(end);
    last_instant.with_timezone(&zone).date_naive()
}

/// A file that goes with a mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name: `INV-2026-000001.pdf`.
    pub file_name: String,
    /// Its type: `application/pdf`, `text/csv`.
    pub content_type: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({} bytes)", self.file_name, self.bytes.len())
    }
}

impl MailFacts {
    /// The same facts with every text made harmless: no control characters, no bidi overrides, no
    /// endless names (F76, F86), and without links to anything but pages of the web. Addresses are not
    /// cleaned but checked, where they are used.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        for name in [
            &mut self.organization,
            &mut self.organization_name,
            &mut self.seller,
            &mut self.support,
        ] {
            clip(name);
        }
        match &mut self.occasion {
            Occasion::Invoice { invoice, payment, .. } => {
                clip(&mut invoice.number);
                clip_terms(payment);
            }
            Occasion::Receipt { paid_for, label, .. } => {
                clip(label);
                match paid_for {
                    PaidFor::Invoice(invoice) => clip(&mut invoice.number),
                    PaidFor::Purchase(purchase) => {
                        clip(&mut purchase.id);
                        clip(&mut purchase.receipt);
                    }
                }
            }
            Occasion::PaymentFailed { invoice, label, reason, what_to_do, pay_link, .. } => {
                for name in [&mut invoice.number, label, reason, what_to_do] {
                    clip(name);
                }
                keep_web_link(pay_link);
            }
            Occasion::Notice(notice) => *notice = notice.clone().cleaned(),
        }
        for attachment in &mut self.attachments {
            clip(&mut attachment.file_name);
        }
        self
    }
}

/// Makes one text harmless.
pub(super) fn clip(name: &mut String) {
    *name = text::clipped(name, text::MAX_NAME_CHARS);
}

/// Makes the texts of payment terms harmless.
pub(super) fn clip_terms(terms: &mut PaymentTerms) {
    match terms {
        PaymentTerms::NothingDue => {}
        PaymentTerms::StoredMethod { label } => clip(label),
        PaymentTerms::BankTransfer { details } => details.iter_mut().for_each(clip),
    }
}

/// Longest link that is kept; a link is never cut.
const MAX_LINK_CHARS: usize = 2_000;

/// Drops a link that is not one to a page of the web, in plain letters and as one word: the mail then
/// names the support instead.
pub(super) fn keep_web_link(link: &mut Option<String>) {
    let is_plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '\'' | '`' | '\\');
    link.take_if(|link| {
        let host = ["https://", "http://"].iter().find_map(|scheme| link.strip_prefix(scheme));
        let begins = host.is_some_and(|host| host.starts_with(|c: char| c.is_ascii_alphanumeric()));
        !begins || link.len() > MAX_LINK_CHARS || !link.chars().all(is_plain)
    });
}
