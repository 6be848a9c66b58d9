//! What becomes of an invoice when a charge for it ends, and what is still to be paid.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use super::is_called_off;
use crate::app::App;
use crate::domain::ids;
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::money::Money;
use crate::domain::payment::ChargeOutcome;
use crate::services::consequences::Consequences;
use crate::services::credits::current_cycles;
use crate::services::mails::{self, Kind};
use crate::services::{ServiceError, admission, no_organization};
use crate::storage::charges::Charge;
use crate::storage::dunning::{self, Dunning};
use crate::storage::invoices::{self, payment_status};
use crate::storage::ledger::Postings;
use crate::storage::mails::Mail;
use crate::storage::organizations::Stored;
use crate::storage::payments::{self, Payment};
use crate::storage::{Key, Tx, ledger};

/// A charge that took the money of an invoice.
#[derive(Debug)]
pub(super) struct Paid<'a> {
    /// Its place among those that are settled together.
    pub index: usize,
    pub charge: &'a Charge,
    pub provider_id: &'a str,
    pub stored: &'a Stored,
}

/// Records the money of charges that succeeded; gives the receipts that are to be mailed, by the charges' places.
pub(super) async fn succeed(
    app: &App,
    tx: &mut Tx,
    all: &[Paid<'_>],
    now: DateTime<Utc>,
) -> Result<Vec<(usize, Vec<Mail>)>, ServiceError> {
    let payments: Vec<Payment> = all.iter().map(|paid| paid.payment(now)).collect();
    let received: Vec<Received<'_>> = payments
        .iter()
        .zip(all)
        .map(|(payment, paid)| Received {
            payment,
            amount: paid.charge.request.amount,
            stored: paid.stored,
        })
        .collect();
    receive(tx, &received, now).await?;
    let invoices: Vec<Key> = all
        .iter()
        .map(|Paid { charge, .. }| (charge.request.organization.clone(), charge.subject_id.clone()))
        .collect();
    self::paid(app, tx, &invoices, payment_status::PAID).await?;
    let before = payments::taken_back(tx, &invoices).await?;
    let receipts = all.iter().zip(&invoices).flat_map(|(Paid { charge, stored, .. }, invoice)| {
        let of = Some(charge.id.as_str());
        let kind = Kind::Receipt(before.get(invoice).copied().unwrap_or_default());
        mails::of_fact(&stored.organization, kind, &charge.subject_id, of, now)
    });
    let mut told: HashMap<Option<String>, Vec<Mail>> = HashMap::new();
    for mail in mails::add_new(tx, receipts.collect()).await? {
        told.entry(mail.charge_id.clone()).or_default().push(mail);
    }
    Ok(all
        .iter()
        .filter_map(|paid| Some((paid.index, told.remove(&Some(paid.charge.id.clone()))?)))
        .collect())
}

impl Paid<'_> {
    fn payment(&self, now: DateTime<Utc>) -> Payment {
        let Self { charge, stored: Stored { organization, .. }, .. } = self;
        let amount = charge.request.amount;
        Payment {
            organization: organization.id.clone(),
            id: ids::derived("pay", now, &[&organization.id, &charge.id]),
            invoice_id: charge.subject_id.clone(),
            currency: amount.currency().to_string(),
            amount: amount.minor(),
            method: "charge".to_owned(),
            reference: self.provider_id.to_owned(),
            received_on: now.with_timezone(&organization.zone).date_naive(),
            reversed_at: None,
        }
    }
}

/// What follows where no money was taken.
pub(super) async fn not_paid(
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
        // Money is received with that of others: see [`succeed`].
        ChargeOutcome::Succeeded { .. } => Vec::new(),
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

/// Invoices are paid, or nothing is left to pay: by whatever route, dunning stops at once.
///
/// # Errors
/// The database fails.
pub async fn paid(
    app: &App,
    tx: &mut Tx,
    invoices: &[Key],
    payment_status: &'static str,
) -> Result<(), ServiceError> {
    let organizations = super::organizations_of(invoices);
    let before = dunning::given_up(tx, &organizations).await?;
    invoices::settle(tx, invoices, payment_status).await?;
    dunning::end(tx, invoices, "paid").await?;
    if before.is_empty() {
        return Ok(());
    }
    // What was paused for such an invoice goes on; another one that was given up keeps it paused.
    let still = dunning::given_up(tx, &organizations).await?;
    let mut released: Vec<&String> = before.difference(&still).collect();
    released.sort();
    for id in released {
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
    Ok(dunning::begin(tx, &[Dunning::from_the_start(&app.calendar(), id, invoice, began_at)])
        .await?)
}

/// Money that came in for an invoice.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub payment: &'a Payment,
    pub amount: Money,
    pub stored: &'a Stored,
}

/// Money came in: the payments' rows and their ledger transactions.
pub(super) async fn receive(
    tx: &mut Tx,
    all: &[Received<'_>],
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let payments: Vec<Payment> = all.iter().map(|received| received.payment.clone()).collect();
    payments::add(tx, &payments, now).await?;
    let organizations: BTreeMap<&str, &Stored> = all
        .iter()
        .map(|received| (received.stored.organization.id.as_str(), received.stored))
        .collect();
    let cycles = current_cycles(tx, organizations.values().copied(), now).await?;
    let mut postings: BTreeMap<&str, Vec<Posting>> = BTreeMap::new();
    for Received { payment, amount, stored } in all {
        let id = stored.organization.id.as_str();
        let cycle = *cycles.get(id).ok_or_else(|| no_organization(id))?;
        let owed = amount.negated()?;
        postings.entry(id).or_default().push(Posting::new(
            "payment",
            format!("payment:{}", payment.id),
            cycle,
            now,
            [
                books::money_entry(Account::Cash, *amount),
                books::money_entry(Account::Receivable, owed),
            ],
        ));
    }
    let names: Vec<String> = postings.keys().map(|id| (*id).to_owned()).collect();
    let heads = ledger::heads_of(tx, &names).await?;
    let batch = postings
        .into_iter()
        .map(|(id, postings)| Postings { organization: id.to_owned(), postings })
        .collect();
    ledger::post(tx, batch, &heads, now).await?;
    Ok(())
}
