//! What follows from a charge: its derived key before, the facts after the provider's word.

use chrono::{DateTime, NaiveDate, Utc};

use super::credits::{add_grant, current_cycle, make_grant};
use super::mails::{self, Kind};
use super::{ServiceError, catalogs, no_organization};
use crate::app::App;
use crate::domain::grant::Source;
use crate::domain::ids;
use crate::domain::invoice::InvoiceStatus;
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::money::Money;
use crate::domain::payment::{ChargeOutcome, ChargeRequest, ChargeState};
use crate::storage::charges::{self, Charge, Payment, Subject};
use crate::storage::invoices::{self, payment_status};
use crate::storage::mails::Mail;
use crate::storage::organizations::Stored;
use crate::storage::{StorageError, Tx, audit, ledger, organizations, purchases};

/// What a charge is for.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// Invoice or purchase.
    pub subject: Subject,
    /// Its id.
    pub subject_id: &'a str,
    /// Who pays.
    pub organization: &'a str,
    /// The number or id the provider shows.
    pub reference: &'a str,
    /// How much.
    pub amount: Money,
    /// With which stored method.
    pub payment_method: &'a str,
    /// 1, 2, 3 …
    pub attempt: i64,
}

/// The charge of an intent. Its key is derived, so a restart, a second worker and a restored backup
/// come to the same one.
#[must_use]
pub fn charge_of(app: &App, intent: &Intent<'_>, now: DateTime<Utc>) -> Charge {
    let attempt = intent.attempt.to_string();
    let parts = [app.deployment.as_str(), intent.organization, intent.subject_id, &attempt];
    Charge {
        id: ids::derived("chg", now, &parts[1..]),
        subject: intent.subject,
        subject_id: intent.subject_id.to_owned(),
        attempt: intent.attempt,
        request: ChargeRequest {
            key: ids::key("monthend", &parts),
            amount: intent.amount,
            payment_method: intent.payment_method.to_owned(),
            organization: intent.organization.to_owned(),
            reference: intent.reference.to_owned(),
        },
        state: ChargeState::Intended,
        provider_id: None,
        message: None,
        decline_code: None,
        decline_hard: false,
        lookups: 0,
        first_sent_at: None,
    }
}

/// Records the provider's word and everything that follows, in the caller's transaction. Gives the mails
/// that tell it; a charge that is settled already gives none.
///
/// # Errors
/// The database fails, or an amount is out of range.
pub async fn settle(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
) -> Result<Vec<Mail>, ServiceError> {
    let now = app.clock.now();
    let id = charge.request.organization.as_str();
    ledger::lock(tx, id, id).await?;
    if !charges::settle(tx, charge, outcome, now).await? {
        return Ok(Vec::new());
    }
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let mails = match charge.subject {
        Subject::Invoice => settle_invoice(tx, charge, outcome, &stored, now).await?,
        Subject::Purchase => settle_purchase(app, tx, charge, outcome, &stored, now).await?,
    };
    mails::add_new(tx, mails).await
}

async fn settle_invoice(
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let organization = &stored.organization;
    let (id, invoice) = (organization.id.as_str(), charge.subject_id.as_str());
    let mail = |kind| mails::of_fact(organization, kind, invoice, Some(&charge.id), now);
    match outcome {
        ChargeOutcome::Succeeded { provider_id } => {
            let payment = Payment {
                organization: id.to_owned(),
                id: ids::derived("pay", now, &[id, &charge.id]),
                invoice_id: invoice.to_owned(),
                currency: charge.request.amount.currency().to_string(),
                amount: charge.request.amount.minor(),
                method: "charge".to_owned(),
                reference: provider_id.clone(),
                received_on: now.with_timezone(&organization.zone).date_naive(),
            };
            receive(tx, &payment, charge.request.amount, stored, now).await?;
            invoices::set_status(tx, id, invoice, InvoiceStatus::Settled, payment_status::PAID)
                .await?;
            Ok(mail(Kind::Receipt))
        }
        ChargeOutcome::Declined { decline, .. } => {
            invoices::set_status(tx, id, invoice, InvoiceStatus::Issued, payment_status::DECLINED)
                .await?;
            // Nobody declined what a person closed: there is nothing to tell the customer.
            let voided = decline.code == charges::VOIDED;
            Ok(if voided { Vec::new() } else { mail(Kind::PaymentFailed) })
        }
        ChargeOutcome::NeedsAction { .. } => {
            let status = payment_status::NEEDS_ACTION;
            invoices::set_status(tx, id, invoice, InvoiceStatus::Issued, status).await?;
            Ok(mail(Kind::PaymentFailed))
        }
        ChargeOutcome::Pending { .. } => {
            let status = payment_status::PENDING;
            invoices::set_status(tx, id, invoice, InvoiceStatus::Issued, status).await?;
            Ok(Vec::new())
        }
    }
}

/// Money came in: the payment's row and its ledger transaction.
async fn receive(
    tx: &mut Tx,
    payment: &Payment,
    amount: Money,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    charges::add_payment(tx, payment, now).await?;
    let cycle = current_cycle(tx, stored, now).await?;
    let owed = Money::zero(amount.currency()).minus(amount)?;
    let posting = Posting::new(
        "payment",
        format!("payment:{}", payment.id),
        cycle,
        now,
        [books::money_entry(Account::Cash, amount), books::money_entry(Account::Receivable, owed)],
    );
    ledger::post_for(tx, &stored.organization.id, vec![posting], now).await?;
    Ok(())
}

async fn settle_purchase(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let id = stored.organization.id.as_str();
    let purchase = purchases::get(tx, id, &charge.subject_id).await?.ok_or_else(|| {
        ServiceError::Refused(format!("purchase {} of {id} is not stored", charge.subject_id))
    })?;
    match outcome {
        ChargeOutcome::Succeeded { .. } => {
            let cycle = current_cycle(tx, stored, now).await?;
            let history = catalogs::History::load(tx).await?;
            let term = history.in_force(now).catalog.purchase_term;
            let grant = make_grant(
                stored,
                Source::Purchase,
                cycle,
                purchase.credits,
                term,
                now,
                &purchase.id,
            );
            if !purchases::mark_paid(tx, &purchase, cycle, &grant.id, now).await? {
                return Ok(Vec::new());
            }
            add_grant(app, tx, id, &grant, None, now).await?;
            let amount = charge.request.amount;
            let held = Money::zero(amount.currency()).minus(amount)?;
            let posting = Posting::new(
                "purchase",
                format!("purchase:{}", purchase.id),
                cycle,
                now,
                [
                    books::money_entry(Account::Cash, amount),
                    books::money_entry(Account::Prepayments, held),
                ],
            );
            ledger::post_for(tx, id, vec![posting], now).await?;
            let organization = &stored.organization;
            Ok(mails::of_fact(organization, Kind::Receipt, &purchase.id, Some(&charge.id), now))
        }
        ChargeOutcome::Declined { .. } => {
            // The buyer is told on the spot by the command's answer; no mail.
            purchases::mark_declined(tx, &purchase).await?;
            Ok(Vec::new())
        }
        ChargeOutcome::NeedsAction { .. } | ChargeOutcome::Pending { .. } => Ok(Vec::new()),
    }
}

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

/// Records a bank transfer that pays an invoice in full. Gives the organization and the receipts to mail.
///
/// # Errors
/// No such invoice, nothing due, a charge that may still take the money, or another amount than is due.
pub async fn record_transfer(
    app: &App,
    tx: &mut Tx,
    transfer: &Transfer<'_>,
) -> Result<(String, Vec<Mail>), ServiceError> {
    let now = app.clock.now();
    let number = transfer.number;
    if transfer.received_on > now.date_naive() {
        return Err(ServiceError::Refused(format!(
            "{} lies in the future; a transfer is recorded once it has arrived",
            transfer.received_on
        )));
    }
    let found = invoices::by_number(tx, number).await?;
    let found = found.ok_or_else(|| super::invoices::no_invoice(number))?;
    let id = found.organization.clone();
    ledger::lock(tx, &id, &id).await?;
    let row = invoices::by_number(tx, number).await?.unwrap_or(found);
    if row.status()? == InvoiceStatus::Settled {
        return Err(ServiceError::Refused(format!("invoice {number} is settled already")));
    }
    let live = charges::of_subject(tx, &id, &row.id).await?;
    if let Some(charge) = live.iter().find(|charge| charge.state.is_live()) {
        return Err(ServiceError::Refused(format!(
            "a charge of invoice {number} is {}; it may still take the money: wait until it is settled",
            charge.state
        )));
    }
    let due = row.money(row.amount_due)?;
    let amount = match transfer.amount {
        None => due,
        Some(text) => Money::parse(text, due.currency())?,
    };
    if amount != due {
        return Err(ServiceError::Refused(format!(
            "invoice {number} is due {due}, not {amount}; a transfer is recorded for the whole amount"
        )));
    }
    let stored = organizations::get(tx, &id).await?.ok_or_else(|| no_organization(&id))?;
    let payment = Payment {
        organization: id.clone(),
        id: ids::derived("pay", now, &[&id, &row.id, transfer.reference]),
        invoice_id: row.id.clone(),
        currency: due.currency().to_string(),
        amount: due.minor(),
        method: "transfer".to_owned(),
        reference: transfer.reference.to_owned(),
        received_on: transfer.received_on,
    };
    receive(tx, &payment, due, &stored, now).await?;
    invoices::set_status(tx, &id, &row.id, InvoiceStatus::Settled, payment_status::PAID).await?;
    let command = format!("payment record {number} {amount}");
    audit::append(tx, now, &app.actor, &command, transfer.reason).await?;
    let organization = &stored.organization;
    let mails = mails::of_fact(organization, Kind::Receipt, &row.id, Some(&payment.id), now);
    mails::add(tx, &mails).await?;
    Ok((id, mails))
}

/// The next attempt for an invoice whose last one was declined. None: nothing to try.
///
/// # Errors
/// The database fails.
pub async fn next_attempt(
    app: &App,
    tx: &mut Tx,
    row: &invoices::Row,
) -> Result<Option<Charge>, ServiceError> {
    let id = row.organization.as_str();
    // A transfer may have been recorded since the row was read: lock first, then look again.
    ledger::lock(tx, id, id).await?;
    let Some(row) = invoices::get(tx, id, &row.id).await? else { return Ok(None) };
    if row.status()? != InvoiceStatus::Issued || row.amount_due == 0 || !app.gateway.collects() {
        return Ok(None);
    }
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let Some(method) = stored.organization.payment_method.as_deref() else { return Ok(None) };
    let attempts = charges::of_subject(tx, id, &row.id).await?;
    let refused_for_good =
        |charge: &Charge| charge.decline_hard && charge.request.payment_method == method;
    // Attempt k+1 exists only where attempt k is final (C5); a hard decline ends its method.
    if attempts.iter().any(|charge| charge.state.is_live() || refused_for_good(charge)) {
        return Ok(None);
    }
    let intent = Intent {
        subject: Subject::Invoice,
        subject_id: &row.id,
        organization: id,
        reference: row.number.as_deref().unwrap_or(&row.id),
        amount: row.money(row.amount_due)?,
        payment_method: method,
        attempt: attempts.last().map_or(1, |charge| charge.attempt + 1),
    };
    let now = app.clock.now();
    let charge = charge_of(app, &intent, now);
    charges::intend(tx, std::slice::from_ref(&charge), now).await?;
    invoices::set_status(tx, id, &row.id, InvoiceStatus::Issued, payment_status::PROCESSING)
        .await?;
    Ok(Some(charge))
}

impl From<ServiceError> for StorageError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Storage(error) => error,
            other => Self::Refused(other.to_string()),
        }
    }
}
