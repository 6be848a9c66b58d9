//! What becomes of an invoice when a charge for it ends, and what is still to be paid.

use chrono::{DateTime, Utc};

use super::is_called_off;
use crate::app::App;
use crate::domain::ids;
use crate::domain::invoice::InvoiceStatus;
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::money::Money;
use crate::domain::payment::ChargeOutcome;
use crate::services::consequences::Consequences;
use crate::services::credits::current_cycle;
use crate::services::mails::{self, Kind};
use crate::services::{ServiceError, admission};
use crate::storage::charges::Charge;
use crate::storage::dunning::{self, Dunning};
use crate::storage::invoices::{self, payment_status};
use crate::storage::organizations::Stored;
use crate::storage::payments::{self, Payment};
use crate::storage::{Tx, ledger};

pub(super) async fn settle(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Consequences, ServiceError> {
    let organization = &stored.organization;
    let (id, invoice) = (organization.id.as_str(), charge.subject_id.as_str());
    let told = |kind| mails::of_fact(organization, kind, invoice, Some(&charge.id), now);
    let mails = match outcome {
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
            paid(app, tx, id, invoice, payment_status::PAID).await?;
            told(Kind::Receipt)
        }
        ChargeOutcome::Declined { .. } => {
            // What came by another route meanwhile stays settled: the status has its own guard.
            let status = failed_status(tx, id, invoice).await?;
            set_unpaid(tx, id, invoice, status).await?;
            if is_called_off(outcome) {
                Vec::new()
            } else {
                begin_dunning(app, tx, id, invoice, now).await?;
                told(Kind::PaymentFailed)
            }
        }
        ChargeOutcome::NeedsAction { .. } => {
            set_unpaid(tx, id, invoice, payment_status::NEEDS_ACTION).await?;
            let hosted = crate::services::pay_pages::is_hosted(&charge.request.payment_method);
            if hosted {
                // The customer has the page open; there is nothing to tell.
                Vec::new()
            } else {
                begin_dunning(app, tx, id, invoice, now).await?;
                told(Kind::PaymentFailed)
            }
        }
        ChargeOutcome::Pending { .. } => {
            set_unpaid(tx, id, invoice, payment_status::PENDING).await?;
            Vec::new()
        }
    };
    Ok(Consequences::mails(mails::add_new(tx, mails).await?))
}

/// `declined`, and `past_due` once the calendar has begun to count days.
async fn failed_status(tx: &mut Tx, id: &str, invoice: &str) -> Result<&'static str, ServiceError> {
    let row = dunning::get(tx, id, invoice).await?;
    Ok(match row {
        Some(row) if row.stage > 0 => payment_status::PAST_DUE,
        _ => payment_status::DECLINED,
    })
}

/// Sets the payment status of an invoice that is not paid; one that was given up stays so.
async fn set_unpaid(
    tx: &mut Tx,
    id: &str,
    invoice: &str,
    payment_status: &str,
) -> Result<(), ServiceError> {
    if let Some(row) = invoices::get(tx, id, invoice).await? {
        invoices::set_status(tx, id, invoice, row.status()?, payment_status).await?;
    }
    Ok(())
}

/// An invoice is paid, or nothing is left to pay: by whatever route, dunning stops at once.
///
/// # Errors
/// The database fails.
pub async fn paid(
    app: &App,
    tx: &mut Tx,
    id: &str,
    invoice: &str,
    payment_status: &str,
) -> Result<(), ServiceError> {
    let before = dunning::given_up(tx, id).await?;
    invoices::set_status(tx, id, invoice, InvoiceStatus::Settled, payment_status).await?;
    dunning::end(tx, id, invoice, "paid").await?;
    // What was paused for this invoice goes on; another one that was given up keeps it paused.
    if before > 0 && dunning::given_up(tx, id).await? == 0 {
        admission::set_unpaid(app, tx, id, false, app.clock.now()).await?;
    }
    Ok(())
}

/// The dunning calendar of an invoice begins, unless it runs already.
///
/// # Errors
/// The database fails.
pub async fn begin_dunning(
    app: &App,
    tx: &mut Tx,
    id: &str,
    invoice: &str,
    began_at: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let row = Dunning {
        organization: id.to_owned(),
        invoice_id: invoice.to_owned(),
        state: "open".to_owned(),
        began_at,
        stage: 0,
        next_at: app.calendar().due_at(began_at, 0).unwrap_or(began_at),
    };
    Ok(dunning::begin(tx, &[row]).await?)
}

/// Money came in: the payment's row and its ledger transaction.
pub(super) async fn receive(
    tx: &mut Tx,
    payment: &Payment,
    amount: Money,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    payments::add(tx, payment, now).await?;
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
