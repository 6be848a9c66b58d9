//! Pages of the provider where customers pay or save a method, and our own lasting links to them.
//!
//! A page of the provider lasts a day; the link in a mail must last as long as the bill is open. So mails
//! carry an address of ours with a token that nobody can guess, and that address leads to a fresh page.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::charging::{self, Intent};
use super::{ServiceError, identity, methods};
use crate::app::App;
use crate::domain::ids;
use crate::domain::invoice::InvoiceStatus;
use crate::domain::money::Money;
use crate::domain::payment::{ChargeOutcome, ChargeState};
use crate::jobs::plan::daily_run;
use crate::jobs::steps::{follow_up, subject_step};
use crate::jobs::{StepKind, names};
use crate::payments::GatewayError;
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::invoices::{self, Row, payment_status};
use crate::storage::{Tx, ledger, meta, steps};

/// Does a charge's method stand for a page where the customer pays by himself?
#[must_use]
pub fn is_hosted(payment_method: &str) -> bool {
    payment_method.rsplit('/').next() == Some("hosted")
}

/// The lasting address to pay an invoice at; none where this deployment has no public address.
///
/// # Errors
/// The database fails.
pub async fn pay_link(app: &App, tx: &mut Tx, row: &Row) -> Result<Option<String>, ServiceError> {
    link(app, tx, "pay", &row.organization, &row.id).await
}

/// The lasting address to save another method at.
///
/// # Errors
/// The database fails.
pub async fn method_link(
    app: &App,
    tx: &mut Tx,
    organization: &str,
) -> Result<Option<String>, ServiceError> {
    link(app, tx, "method", organization, organization).await
}

async fn link(
    app: &App,
    tx: &mut Tx,
    what: &str,
    organization: &str,
    subject: &str,
) -> Result<Option<String>, ServiceError> {
    let Some(base) = app.public_url() else { return Ok(None) };
    let Some(secret) = meta::get(tx, meta::names::LINK_SECRET).await? else { return Ok(None) };
    let signature = signature(&secret, what, organization, subject);
    Ok(Some(format!("{base}/{what}/{organization}/{subject}/{signature}")))
}

/// Is a link one of ours? Compared in constant time.
///
/// # Errors
/// The database fails.
pub async fn is_ours(
    app: &App,
    what: &str,
    organization: &str,
    subject: &str,
    given: &str,
) -> Result<bool, ServiceError> {
    let mut tx = app.db.read().await?;
    let Some(secret) = meta::get(&mut tx, meta::names::LINK_SECRET).await? else {
        return Ok(false);
    };
    let expected = signature(&secret, what, organization, subject);
    let differs = expected.bytes().zip(given.bytes()).fold(0_u8, |all, (a, b)| all | (a ^ b));
    Ok(expected.len() == given.len() && differs == 0)
}

fn signature(secret: &str, what: &str, organization: &str, subject: &str) -> String {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{what}\n{organization}\n{subject}").as_bytes());
    // 128 of 256 bits: short enough for a mail, far beyond guessing.
    ids::sha256_hex(&mac.finalize().into_bytes())[..32].to_owned()
}

/// What a customer who opens the link of an invoice is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// It can be paid.
    ToPay {
        /// The invoice's number.
        number: String,
        /// What is still to be paid.
        amount: Money,
    },
    /// It cannot, or need not: this is to be said.
    Text(&'static str),
}

/// What a customer who opens the link of an invoice is shown; changes nothing.
///
/// # Errors
/// The database fails.
pub async fn shown(app: &App, organization: &str, invoice: &str) -> Result<Shown, ServiceError> {
    let mut tx = app.db.read().await?;
    let Some(row) = invoices::get(&mut tx, organization, invoice).await? else {
        return Ok(Shown::Text("There is no such invoice."));
    };
    if row.status()? == InvoiceStatus::Settled {
        return Ok(Shown::Text(PAID));
    }
    let attempts = charges::of_subject(&mut tx, organization, invoice).await?;
    let underway = attempts
        .iter()
        .any(|charge| charge.state.is_live() && charge.state != ChargeState::NeedsAction);
    if underway {
        return Ok(Shown::Text(UNDER_WAY));
    }
    Ok(Shown::ToPay { amount: row.outstanding()?, number: row.number.unwrap_or_default() })
}

const PAID: &str = "This invoice is paid. Thank you.";
const UNDER_WAY: &str = "A payment of this invoice is under way. Please look again in a while.";

const ENDED: &str =
    "The last attempt to pay this invoice has ended. Please open the link once more.";

/// Where a customer who wants to pay an invoice is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// To this page of the provider.
    Page(String),
    /// Nowhere: this is to be said instead.
    Text(&'static str),
}

/// Opens a page for an unpaid invoice: an attempt like any other, so that nothing else charges it
/// meanwhile. An attempt that waits for the customer is called off first; one that may have taken the
/// money is not touched.
///
/// # Errors
/// The database or the provider fails.
pub async fn open(
    app: &App,
    organization: &str,
    invoice: &str,
) -> Result<Destination, ServiceError> {
    identity::allow_money(app).await?;
    let mut tx = app.db.read().await?;
    let Some(row) = invoices::get(&mut tx, organization, invoice).await? else {
        return Ok(Destination::Text("There is no such invoice."));
    };
    let attempts = charges::of_subject(&mut tx, organization, invoice).await?;
    drop(tx);
    if row.status()? == InvoiceStatus::Settled {
        return Ok(Destination::Text(PAID));
    }
    if let Some(live) = attempts.iter().find(|charge| charge.state.is_live()) {
        let waits = live.state == ChargeState::NeedsAction;
        if waits && is_hosted(&live.request.payment_method) {
            return page(app, live).await;
        }
        if !waits {
            return Ok(Destination::Text(UNDER_WAY));
        }
        call_off(app, live).await?;
    }
    let Some(charge) = intend(app, organization, invoice).await? else {
        let text = "This invoice cannot be paid here. Please contact us.";
        return Ok(Destination::Text(text));
    };
    page(app, &charge).await
}

/// Calls an attempt off that waits for the customer, and records how it ended.
///
/// # Errors
/// The provider does not answer.
pub async fn call_off(app: &App, charge: &Charge) -> Result<(), ServiceError> {
    let outcome = app.gateway.cancel(&charge.request).await.map_err(|error| provider(&error))?;
    let Some(outcome) = outcome else {
        return Err(ServiceError::Refused(format!(
            "the payment provider does not know the payment of {} that waits",
            charge.request.reference
        )));
    };
    record(app, charge, &outcome).await
}

/// Records how an attempt ended, and what follows.
async fn record(app: &App, charge: &Charge, outcome: &ChargeOutcome) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let follows = charging::settle(app, &mut tx, charge, outcome).await?;
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    steps::add(&mut tx, &follow_up(&follows, &run, 0, now), now).await?;
    tx.commit().await?;
    Ok(())
}

/// Where the provider sends the customer back to.
fn back(app: &App) -> String {
    app.public_url().map_or_else(|| "https://example.com".to_owned(), |url| format!("{url}/thanks"))
}

fn provider(error: &GatewayError) -> ServiceError {
    ServiceError::Refused(error.to_string())
}

/// Records the attempt on a page; none: nothing is to be paid, or another attempt is live.
async fn intend(
    app: &App,
    organization: &str,
    invoice: &str,
) -> Result<Option<Charge>, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, organization, organization).await?;
    let Some(row) = invoices::get(&mut tx, organization, invoice).await? else { return Ok(None) };
    let attempts = charges::of_subject(&mut tx, organization, invoice).await?;
    let amount = row.outstanding()?;
    let unpaid = matches!(row.status()?, InvoiceStatus::Issued | InvoiceStatus::Uncollectible);
    let payer = methods::payer(&mut tx, organization).await?;
    let live = attempts.iter().any(|charge| charge.state.is_live());
    let Some(method) = app.gateway.hosted_method(&payer) else { return Ok(None) };
    if live || !unpaid || !amount.is_positive() {
        return Ok(None);
    }
    let intent = Intent {
        subject: Subject::Invoice,
        subject_id: invoice,
        organization,
        reference: row.number.as_deref().unwrap_or(invoice),
        amount,
        payment_method: &method,
        attempt: attempts.last().map_or(1, |charge| charge.attempt + 1),
    };
    let charge = charging::charge_of(app, &intent, now);
    charges::intend(&mut tx, std::slice::from_ref(&charge), now).await?;
    charges::mark_sent(&mut tx, &[charge.key()], now).await?;
    invoices::set_status(&mut tx, organization, invoice, row.status()?, payment_status::PROCESSING)
        .await?;
    // Its step is there before the provider is asked: whatever becomes of this request, somebody looks after it.
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    let step = subject_step(StepKind::Charge, &run, Some(organization), &charge.id, 0, now);
    steps::add(&mut tx, &[step], now).await?;
    tx.commit().await?;
    Ok(Some(charge))
}

/// Asks the provider for the page, and records that the attempt waits for the customer. Without a clear
/// answer the attempt stays "sent", and its step looks it up.
async fn page(app: &App, charge: &Charge) -> Result<Destination, ServiceError> {
    let mut tx = app.db.read().await?;
    let payer = methods::payer(&mut tx, &charge.request.organization).await?;
    drop(tx);
    // As before every attempt: a restored copy knows nothing of what was paid under this key since.
    match app.gateway.lookup(&charge.request).await.map_err(|error| provider(&error))? {
        None | Some(ChargeOutcome::NeedsAction { .. }) => {}
        Some(outcome) => {
            let text = match outcome {
                ChargeOutcome::Succeeded { .. } => PAID,
                ChargeOutcome::Declined { .. } => ENDED,
                _ => UNDER_WAY,
            };
            record(app, charge, &outcome).await?;
            return Ok(Destination::Text(text));
        }
    }
    let back = back(app);
    let page = app
        .gateway
        .pay_page(&charge.request, &payer, &back)
        .await
        .map_err(|error| provider(&error))?;
    let mut tx = app.db.write().await?;
    let waits = ChargeOutcome::NeedsAction { provider_id: page.provider_id };
    // Nothing follows from a page that is open.
    let _ = charging::settle(app, &mut tx, charge, &waits).await?;
    tx.commit().await?;
    Ok(Destination::Page(page.url))
}

/// A page of the provider where an organization saves a payment method (S61).
///
/// # Errors
/// No such organization, or the provider gives none.
pub async fn save_method(app: &App, organization: &str) -> Result<String, ServiceError> {
    identity::allow_money(app).await?;
    let mut tx = app.db.read().await?;
    let payer = methods::payer(&mut tx, organization).await?;
    drop(tx);
    let back = back(app);
    Ok(app.gateway.save_method_page(&payer, &back).await.map_err(|error| provider(&error))?.url)
}

/// A page of the provider where an organization sees and changes its saved methods.
///
/// # Errors
/// No such organization, or the provider gives none.
pub async fn portal(app: &App, organization: &str) -> Result<String, ServiceError> {
    identity::allow_money(app).await?;
    let mut tx = app.db.read().await?;
    let payer = methods::payer(&mut tx, organization).await?;
    drop(tx);
    let back = back(app);
    Ok(app.gateway.portal_page(&payer, &back).await.map_err(|error| provider(&error))?.url)
}
