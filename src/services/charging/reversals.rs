//! Transfers that were recorded by mistake, taken back.

use crate::app::App;
use crate::domain::document::Document;
use crate::domain::invoice::{InvoiceDocument, PaymentTerms};
use crate::mail::{InvoiceFacts, Notice};
use crate::services::consequences::Consequences;
use crate::services::{ServiceError, dunning, no_organization, notices, pay_pages, refunds};
use crate::storage::dunning::{self as calendars, Dunning};
use crate::storage::invoices::{self, Row};
use crate::storage::organizations::Stored;
use crate::storage::payments::{self, Payment};
use crate::storage::{Tx, audit, documents, ledger, organizations};

/// Takes back the transfer that settled an invoice: it was another's money, or never came. The payment stays in
/// history and counts no more, the invoice is due again, its dunning begins anew, and the customer, who has a
/// receipt, is told.
///
/// # Errors
/// No such invoice, no transfer that counts, or a credit note has given its money back meanwhile.
pub async fn reverse_transfer(
    app: &App,
    tx: &mut Tx,
    number: &str,
    reason: &str,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let found = invoices::by_number(tx, number).await?;
    let found = found.ok_or_else(|| crate::services::invoices::no_invoice(number))?;
    let id = found.organization.clone();
    ledger::lock(tx, &id, &id).await?;
    let row = invoices::by_number(tx, number).await?.unwrap_or(found);
    let payment = reversible(tx, &row, number).await?;
    let amount = payment.money()?;
    let stored = organizations::get(tx, &id).await?.ok_or_else(|| no_organization(&id))?;

    payments::reverse(tx, &payment, now).await?;
    let posting = ("payment_reversed", format!("payment-reversed:{}", payment.id));
    refunds::money_left(app, tx, &stored, posting, amount).await?;
    invoices::unsettle(tx, &id, &row.id).await?;
    let command = format!("payment reverse {number} {amount} ({})", payment.id);
    audit::append(tx, now, &app.actor, &command, reason).await?;

    let document = dunning::document(tx, &row).await?;
    calendars::begin_again(tx, &anew(app, &stored, &row, &document)).await?;
    tell(app, tx, &stored, &row, document, &payment).await
}

/// The transfer that settled an invoice, if it may be taken back.
async fn reversible(tx: &mut Tx, row: &Row, number: &str) -> Result<Payment, ServiceError> {
    let refused = |why: String| Err(ServiceError::Refused(why));
    let all = payments::of_invoice(tx, &row.organization, &row.id).await?;
    let Some(payment) = all.into_iter().find(Payment::counts) else {
        return refused(format!(
            "no payment of invoice {number} counts: there is nothing to take back; `invoice show {number}` lists \
             what came in"
        ));
    };
    if payment.method != "transfer" {
        return refused(format!(
            "invoice {number} was paid by a charge, which took the money; `invoice credit` gives it back"
        ));
    }
    for note in documents::of_subject(tx, &row.organization, &row.id).await? {
        if matches!(note.document()?, Document::CreditNote(note) if note.settled.goes_back()) {
            return refused(format!(
                "credit note {0} gives money of invoice {number} back: its transfer counts and cannot be taken back; \
                 once the customer has transferred what is left, `refund record {0}` with that reference evens it out",
                note.number
            ));
        }
    }
    Ok(payment)
}

/// Its calendar from the start: from now on, or from the day after it is due where a transfer was asked for and
/// that day is still ahead.
fn anew(app: &App, stored: &Stored, row: &Row, document: &InvoiceDocument) -> Dunning {
    let (organization, now) = (&stored.organization, app.clock.now());
    let from_now = Dunning::from_the_start(&app.calendar(), &organization.id, &row.id, now);
    if !matches!(document.header.payment, PaymentTerms::BankTransfer { .. }) {
        return from_now;
    }
    let due = dunning::of_transfer(app, organization, &row.id, document.header.due_on);
    if due.began_at > now { due } else { from_now }
}

async fn tell(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    row: &Row,
    document: InvoiceDocument,
    payment: &Payment,
) -> Result<Consequences, ServiceError> {
    let organization = &stored.organization;
    let notice = Notice::PaymentReversed {
        invoice: InvoiceFacts::of(&document),
        amount: payment.money()?,
        received_on: payment.received_on,
        outstanding: row.outstanding()?,
        payment: document.header.payment,
        next_attempt_on: dunning::next_attempt_on(app, tx, organization, &row.id).await?,
        pay_link: pay_pages::pay_link(app, tx, row).await?,
    };
    let key = format!("payment-reversed-{}", payment.id);
    let recipients = &organization.billing_emails;
    let now = app.clock.now();
    let mails = notices::tell(tx, organization, recipients, &key, notice, now).await?;
    Ok(Consequences::mails(mails))
}
