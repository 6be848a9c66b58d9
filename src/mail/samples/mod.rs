//! Sample facts: every branch of the default templates, for `doctor` and for tests.

pub(crate) mod notices;

use chrono::{DateTime, NaiveDate, Utc};

use super::facts::{
    Attachment, CreditFacts, InvoiceFacts, MailFacts, NextExpiry, Occasion, PaidFor, PurchaseFacts,
};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::invoice::PaymentTerms;
use crate::domain::money::{Currency, Money};

/// 1 November 2026, 06:00 UTC.
const AT_SECONDS: i64 = 1_793_512_800;

fn usd(minor: i64) -> Money {
    Money::from_minor(minor, Currency::USD)
}

fn credits(whole: i64) -> Credits {
    Credits::whole(whole).unwrap_or(Credits::ZERO)
}

fn day(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).unwrap_or_default()
}

fn october() -> Cycle {
    Cycle::of_date(day(2026, 10, 1))
}

fn invoice() -> InvoiceFacts {
    InvoiceFacts {
        number: "INV-2026-000001".to_owned(),
        cycle: october(),
        total: usd(123_450),
        prepaid: usd(10_000),
        amount_due: usd(113_450),
        due_on: day(2026, 11, 15),
    }
}

fn mail(key: &str, occasion: Occasion) -> MailFacts {
    MailFacts {
        key: key.to_owned(),
        at: DateTime::<Utc>::from_timestamp(AT_SECONDS, 0).unwrap_or_default(),
        organization: "acme".to_owned(),
        organization_name: "Acme Robotics GmbH".to_owned(),
        recipients: vec!["finance@acme.example".to_owned(), "cfo@acme.example".to_owned()],
        seller: "Example AI Ltd".to_owned(),
        sender: "billing@example.com".to_owned(),
        support: "support@example.com".to_owned(),
        occasion,
        attachments: Vec::new(),
    }
}

/// An invoice with its statement, paid as said.
pub(crate) fn invoice_mail(payment: PaymentTerms) -> MailFacts {
    let statement = CreditFacts {
        opening: credits(4_000),
        granted: credits(5_000),
        purchased: credits(100),
        used: credits(6_250),
        expired: credits(850),
        closing: credits(2_000),
        deficit: Credits::ZERO,
        next_expiry: Some(NextExpiry { amount: credits(1_500), usable_until: day(2026, 12, 31) }),
    };
    let mut facts = mail(
        "mail-invoice-1",
        Occasion::Invoice { invoice: invoice(), payment, credits: Some(statement) },
    );
    attach(&mut facts, "INV-2026-000001");
    facts
}

/// A document goes with the mail, as PDF and as CSV.
fn attach(facts: &mut MailFacts, number: &str) {
    for (extension, content_type, bytes) in [
        ("pdf", "application/pdf", &b"%PDF-1.7\n%%EOF\n"[..]),
        ("csv", "text/csv", &b"number,total\r\nINV-2026-000001,1234.50\r\n"[..]),
    ] {
        facts.attachments.push(Attachment {
            file_name: format!("{number}.{extension}"),
            content_type: content_type.to_owned(),
            bytes: bytes.to_vec(),
        });
    }
}

/// An invoice that the stored card pays.
pub(crate) fn invoice_by_card() -> MailFacts {
    invoice_mail(PaymentTerms::StoredMethod { label: "card ending 4242".to_owned() })
}

/// An invoice that the customer transfers.
pub(crate) fn invoice_by_transfer() -> MailFacts {
    invoice_mail(PaymentTerms::BankTransfer {
        details: vec!["IBAN DE02 1203 0000 0000 2020 51".to_owned(), "Example Bank".to_owned()],
    })
}

/// An invoice without anything left to pay and without a statement.
pub(crate) fn invoice_settled() -> MailFacts {
    let mut facts = invoice_mail(PaymentTerms::NothingDue);
    if let Occasion::Invoice { invoice, credits, .. } = &mut facts.occasion {
        invoice.prepaid = invoice.total;
        invoice.amount_due = usd(0);
        *credits = None;
    }
    facts
}

/// An invoice after a cycle that used more credits than there were, some of which were taken back.
pub(crate) fn invoice_with_deficit() -> MailFacts {
    let mut facts = invoice_by_card();
    if let Occasion::Invoice { credits: Some(statement), .. } = &mut facts.occasion {
        statement.purchased = credits(-100);
        statement.used = credits(8_900);
        statement.expired = Credits::ZERO;
        statement.closing = Credits::ZERO;
        statement.deficit = credits(120);
        statement.next_expiry = None;
    }
    facts
}

/// The receipt of an invoice.
pub(crate) fn receipt() -> MailFacts {
    receipt_for(PaidFor::Invoice(invoice()), usd(113_450))
}

/// The receipt of a transfer that was taken back before the mail could leave.
pub(crate) fn receipt_taken_back() -> MailFacts {
    let mut facts = receipt();
    if let Occasion::Receipt { taken_back, label, .. } = &mut facts.occasion {
        *taken_back = true;
        "bank transfer".clone_into(label);
    }
    facts
}

/// The receipt of a purchase of credits.
pub(crate) fn receipt_of_purchase(usable_until: Option<NaiveDate>) -> MailFacts {
    let purchase = PurchaseFacts {
        id: "pur_01KQ8Z4T3V".to_owned(),
        receipt: "RCT-2026-000007".to_owned(),
        automatic: false,
        bought: credits(1_000),
        usable_until,
    };
    let mut facts = receipt_for(PaidFor::Purchase(purchase), usd(100_000));
    attach(&mut facts, "RCT-2026-000007");
    facts
}

/// The receipt of credits that were bought automatically.
pub(crate) fn receipt_of_automatic_purchase() -> MailFacts {
    let mut facts = receipt_of_purchase(Some(day(2027, 11, 30)));
    if let Occasion::Receipt { paid_for: PaidFor::Purchase(purchase), .. } = &mut facts.occasion {
        purchase.automatic = true;
    }
    facts
}

fn receipt_for(paid_for: PaidFor, amount: Money) -> MailFacts {
    let (paid_on, label) = (day(2026, 11, 1), "card ending 4242".to_owned());
    mail(
        "mail-receipt-1",
        Occasion::Receipt { paid_for, amount, paid_on, label, taken_back: false },
    )
}

/// A declined card, with or without a next automatic attempt.
pub(crate) fn payment_failed(next_attempt_on: Option<NaiveDate>) -> MailFacts {
    mail(
        "mail-failed-1",
        Occasion::PaymentFailed {
            invoice: invoice(),
            amount: usd(113_450),
            label: "card ending 4242".to_owned(),
            reason: "The card does not have enough funds.".to_owned(),
            what_to_do: "Please make sure the card can be charged, or add another payment method."
                .to_owned(),
            next_attempt_on,
            pay_link: next_attempt_on
                .map(|_| "https://pay.example/invoice?org=acme&to=2026-11".to_owned()),
        },
    )
}

/// All samples.
pub(crate) fn all() -> Vec<MailFacts> {
    let mut all = vec![
        invoice_by_card(),
        invoice_by_transfer(),
        invoice_settled(),
        invoice_with_deficit(),
        receipt(),
        receipt_taken_back(),
        receipt_of_purchase(Some(day(2027, 11, 30))),
        receipt_of_purchase(None),
        receipt_of_automatic_purchase(),
        payment_failed(Some(day(2026, 11, 4))),
        payment_failed(None),
    ];
    all.extend(notices::all());
    all
}
