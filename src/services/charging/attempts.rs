//! Attempts: at most one at a time may take money, and attempt k+1 exists only where attempt k is final (C5).

use super::{Intent, charge_of};
use crate::app::App;
use crate::domain::dunning::NoMethod;
use crate::domain::invoice::{InvoiceStatus, PaymentTerms};
use crate::services::methods::Wallets;
use crate::services::{ServiceError, no_organization};
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::invoices::{self, Row, payment_status};
use crate::storage::{Tx, ledger, organizations};

/// What came of asking for another attempt.
#[derive(Debug)]
pub enum Next {
    /// An attempt was recorded; it needs a charge step.
    Attempt(Box<Charge>),
    /// The invoice is not unpaid, or the gateway does not collect.
    NothingToPay,
    /// An earlier attempt may still take the money.
    Live(Box<Charge>),
    /// No saved method can be charged.
    NoMethod(NoMethod),
    /// Its document asks for a transfer: it is never charged, whatever method was saved since.
    ByTransfer,
}

/// The next attempt for an invoice, in the caller's transaction: with a method that is not refused and
/// within its budget of attempts.
///
/// # Errors
/// The database fails.
pub async fn next_attempt(app: &App, tx: &mut Tx, row: &Row) -> Result<Next, ServiceError> {
    attempt(app, tx, row, Among::All).await
}

/// The attempt before an invoice is given up: only with a method that did not fail for it yet.
///
/// # Errors
/// The database fails.
pub async fn last_attempt(app: &App, tx: &mut Tx, row: &Row) -> Result<Next, ServiceError> {
    attempt(app, tx, row, Among::Untried).await
}

/// Which saved methods may be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Among {
    All,
    Untried,
}

async fn attempt(app: &App, tx: &mut Tx, row: &Row, among: Among) -> Result<Next, ServiceError> {
    let id = row.organization.as_str();
    // A transfer may have been recorded since the row was read: lock first, then look again.
    ledger::lock(tx, id, id).await?;
    let Some(row) = invoices::get(tx, id, &row.id).await? else { return Ok(Next::NothingToPay) };
    let unpaid = matches!(row.status()?, InvoiceStatus::Issued | InvoiceStatus::Uncollectible);
    let amount = row.outstanding()?;
    if !unpaid || !amount.is_positive() || !app.gateway.collects() {
        return Ok(Next::NothingToPay);
    }
    let attempts = charges::of_subject(tx, id, &row.id).await?;
    if let Some(live) = attempts.iter().find(|charge| charge.state.is_live()) {
        return Ok(Next::Live(Box::new(live.clone())));
    }
    if by_transfer(tx, &row).await? {
        return Ok(Next::ByTransfer);
    }
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let wallets = Wallets::read(app, tx, id, id).await?;
    let method = match wallets.choose(app, &stored.organization, &attempts) {
        Ok(method) => method,
        Err(none) => return Ok(Next::NoMethod(none)),
    };
    let was_tried = attempts.iter().any(|charge| charge.request.payment_method == method);
    if among == Among::Untried && was_tried {
        return Ok(Next::NoMethod(NoMethod::Spent));
    }
    let intent = Intent {
        subject: Subject::Invoice,
        subject_id: &row.id,
        organization: id,
        reference: row.number.as_deref().unwrap_or(&row.id),
        amount,
        payment_method: &method,
        attempt: attempts.last().map_or(1, |charge| charge.attempt + 1),
    };
    let now = app.clock.now();
    let charge = charge_of(app, &intent, now);
    charges::intend(tx, std::slice::from_ref(&charge), now).await?;
    invoices::set_status(tx, id, &row.id, row.status()?, payment_status::PROCESSING).await?;
    Ok(Next::Attempt(Box::new(charge)))
}

/// Does an invoice's document ask for a transfer?
///
/// # Errors
/// The database fails.
pub async fn by_transfer(tx: &mut Tx, row: &Row) -> Result<bool, ServiceError> {
    let document = invoices::document(tx, &row.organization, &row.id).await?;
    let asked = document.map(|document| document.document()).transpose()?;
    Ok(asked.is_none_or(|asked| matches!(asked.header.payment, PaymentTerms::BankTransfer { .. })))
}
