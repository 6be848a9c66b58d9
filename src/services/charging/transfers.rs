//! Bank transfers, as finance records them.

use chrono::NaiveDate;

use super::invoice::{Received, paid, receive};
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::invoice::InvoiceStatus;
use crate::domain::money::Money;
use crate::services::consequences::Consequences;
use crate::services::mails::{self, Kind};
use crate::services::{ServiceError, no_organization};
use crate::storage::invoices::{self, payment_status};
use crate::storage::payments::{self, Payment};
use crate::storage::{Tx, audit, charges, ledger, organizations};

/// A bank transfer that arrived, as finance records it.
#[derive(Debug, Clone)]
pub struct Transfer<'a> {
    /// The invoice's number.
    pub number: &'a str,
    /// How much; none: all that is due.
    pub amount: Option<&'a str>,
    /// The day it arrived.
    pub received_on: NaiveDate,
    /// The bank's reference.
    pub reference: &'a str,
    /// Why it is recorded by hand.
    pub reason: &'a str,
}

/// Records a bank transfer that pays what is left of an invoice.
///
/// # Errors
/// No such invoice, nothing due, a charge that may still take the money, or another amount than is due.
pub async fn record_transfer(
    app: &App,
    tx: &mut Tx,
    transfer: &Transfer<'_>,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let number = transfer.number;
    if transfer.received_on > now.date_naive() {
        return Err(ServiceError::Refused(format!(
            "{} lies in the future; a transfer is recorded once it has arrived",
            transfer.received_on
        )));
    }
    let found = invoices::by_number(tx, number).await?;
    let found = found.ok_or_else(|| crate::services::invoices::no_invoice(number))?;
    let id = found.organization.clone();
    ledger::lock(tx, &id, &id).await?;
    let row = invoices::by_number(tx, number).await?.unwrap_or(found);
    if row.status()? == InvoiceStatus::Settled {
        return Err(ServiceError::Refused(format!(
            "invoice {number} is settled already; what came in all the same goes back to the customer"
        )));
    }
    let cycle: Cycle =
        row.cycle.parse().map_err(|error| ServiceError::Refused(format!("{error}")))?;
    if transfer.received_on < cycle.first_day() {
        return Err(ServiceError::Refused(format!(
            "{} lies before the cycle {cycle} that invoice {number} is about; look at the date",
            transfer.received_on
        )));
    }
    let live = charges::of_subject(tx, &id, &row.id).await?;
    if let Some(charge) = live.iter().find(|charge| charge.state.is_live()) {
        return Err(ServiceError::Refused(format!(
            "a charge of invoice {number} is {}; it may still take the money: wait until it is settled",
            charge.state
        )));
    }
    let due = row.outstanding()?;
    let amount = match transfer.amount {
        None => due,
        Some(text) => Money::parse(text, due.currency())?,
    };
    if amount != due {
        return Err(ServiceError::Refused(format!(
            "invoice {number} is due {due}, not {amount}; a transfer is recorded for the whole amount that is due: \
             without --amount, once all of it is there; what came in beyond it goes back to the customer"
        )));
    }
    let stored = organizations::get(tx, &id).await?.ok_or_else(|| no_organization(&id))?;
    let before = payments::times_taken_back(tx, &id, &row.id).await?;
    let payment = Payment {
        organization: id.clone(),
        id: payments::transfer_id(&id, &row.id, transfer.reference, before, now),
        invoice_id: row.id.clone(),
        currency: due.currency().to_string(),
        amount: due.minor(),
        method: "transfer".to_owned(),
        reference: transfer.reference.to_owned(),
        received_on: transfer.received_on,
        reversed_at: None,
    };
    let received = Received { payment: &payment, amount: due, stored: &stored };
    receive(tx, &[received], now).await?;
    paid(app, tx, &[(id.clone(), row.id.clone())], payment_status::PAID).await?;
    let command = format!("payment record {number} {amount}");
    audit::append(tx, now, &app.actor, &command, transfer.reason).await?;
    let organization = &stored.organization;
    let receipt = Kind::Receipt(before);
    let mails = mails::of_fact(organization, receipt, &row.id, Some(&payment.id), now);
    mails::add(tx, &mails).await?;
    Ok(Consequences::mails(mails))
}

/// Other invoices, of whomever, for which a transfer of this reference counts: one transfer may pay several, or
/// the same was recorded twice.
///
/// # Errors
/// The database fails.
pub async fn others_with(
    app: &App,
    number: &str,
    reference: &str,
) -> Result<Vec<String>, ServiceError> {
    let mut tx = app.db.read().await?;
    let mut numbers = payments::invoices_with(&mut tx, reference).await?;
    numbers.retain(|other| other != number);
    Ok(numbers)
}
