//! Refunds: money on its way back, by the provider or by a transfer that finance makes.

use super::consequences::Consequences;
use super::{ServiceError, credits, methods, no_organization, notices};
use crate::app::App;
use crate::domain::document::Document;
use crate::domain::ids;
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::money::Money;
use crate::domain::payment::{RefundOutcome, RefundRequest};
use crate::mail::Notice;
use crate::storage::charges::{self, Charge};
use crate::storage::organizations::Stored;
use crate::storage::refunds::{self, Refund};
use crate::storage::{Tx, audit, documents, ledger, organizations};

/// Records that money is to go back: to the charge that took it, or by a transfer where there is none.
///
/// # Errors
/// The database fails.
pub async fn intend(
    app: &App,
    tx: &mut Tx,
    organization: &str,
    document_id: &str,
    charge: Option<&Charge>,
    amount: Money,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let earlier = refunds::of_document(tx, organization, document_id).await?.len().to_string();
    let (subject, place) = place_of(tx, organization, document_id).await?;
    // The key names what is given back of what, not when: entered again after an older copy was restored, the
    // provider knows it.
    let parts = [app.deployment.as_str(), organization, &subject, &place, &earlier];
    let refund = Refund {
        organization: organization.to_owned(),
        id: ids::derived("ref", now, &[organization, document_id, &earlier]),
        document_id: document_id.to_owned(),
        charge_id: charge.map(|charge| charge.id.clone()),
        key: ids::key("monthend-refund", &parts),
        currency: amount.currency().to_string(),
        amount: amount.minor(),
        method: if charge.is_some() { "charge" } else { "transfer" }.to_owned(),
        state: "intended".to_owned(),
        provider_id: None,
        message: None,
        lookups: 0,
        created_at: now,
        first_sent_at: None,
        returned_at: None,
    };
    refunds::add(tx, &refund).await?;
    let mut follows = Consequences::default();
    if charge.is_some() {
        follows.refunds.push((organization.to_owned(), refund.id));
    }
    Ok(follows)
}

/// What a credit note corrects, and its place among the credit notes of the same.
async fn place_of(
    tx: &mut Tx,
    organization: &str,
    document_id: &str,
) -> Result<(String, String), ServiceError> {
    let document = documents::get(tx, organization, document_id).await?.ok_or_else(|| {
        ServiceError::Refused(format!(
            "credit note {document_id} is not stored; run `monthend verify`"
        ))
    })?;
    let mut notes = documents::of_subject(tx, organization, &document.subject_id).await?;
    notes.retain(|row| row.kind == document.kind);
    // Those of one instant in the order of their numbers.
    notes.sort_by_key(|note| (note.issued_at, note.series_number));
    let place = notes.iter().position(|row| row.id == document_id).unwrap_or_default();
    Ok((document.subject_id, place.to_string()))
}

/// What is sent to the provider for a refund.
///
/// # Errors
/// Its charge or credit note is not stored.
pub async fn request(tx: &mut Tx, refund: &Refund) -> Result<RefundRequest, ServiceError> {
    let missing = |what: &str| {
        ServiceError::Refused(format!(
            "refund {}: its {what} is not stored; run `monthend verify`",
            refund.id
        ))
    };
    let charge_id = refund.charge_id.as_deref().ok_or_else(|| missing("charge"))?;
    let charge = charges::get(tx, &refund.organization, charge_id)
        .await?
        .ok_or_else(|| missing("charge"))?;
    let document = documents::get(tx, &refund.organization, &refund.document_id)
        .await?
        .ok_or_else(|| missing("credit note"))?;
    Ok(RefundRequest {
        key: refund.key.clone(),
        provider_id: charge.provider_id.clone().ok_or_else(|| missing("charge's provider id"))?,
        charge: charge.request,
        amount: refund.money()?,
        reference: document.number,
    })
}

/// Records the provider's word on a refund and what follows. One that has ended already leaves nothing.
///
/// # Errors
/// The database fails.
pub async fn settle(
    app: &App,
    tx: &mut Tx,
    refund: &Refund,
    outcome: &RefundOutcome,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = refund.organization.as_str();
    ledger::lock(tx, id, id).await?;
    match outcome {
        RefundOutcome::Pending { provider_id } => {
            refunds::set_state(tx, refund, "pending", Some(provider_id), None, now).await?;
            Ok(Consequences::default())
        }
        RefundOutcome::Failed { provider_id, message } => {
            let by = provider_id.as_deref();
            if !refunds::set_state(tx, refund, "failed", by, Some(message), now).await? {
                return Ok(Consequences::default());
            }
            // The customer's money is still owed: it goes back by transfer now.
            let amount = refund.money()?;
            intend(app, tx, id, &refund.document_id, None, amount).await
        }
        RefundOutcome::Succeeded { provider_id } => {
            if !refunds::set_state(tx, refund, "succeeded", Some(provider_id), None, now).await? {
                return Ok(Consequences::default());
            }
            paid_out(app, tx, refund).await
        }
    }
}

/// The ledger's side of money that left, or of a refund that came back (`amount` below zero): it is owed again.
///
/// # Errors
/// The database fails.
pub(super) async fn money_left(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    (kind, key): (&'static str, String),
    amount: Money,
) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let cycle = credits::current_cycle(tx, stored, now).await?;
    let gone = amount.negated()?;
    let entries =
        [books::money_entry(Account::Receivable, amount), books::money_entry(Account::Cash, gone)];
    let posting = Posting::new(kind, key, cycle, now, entries);
    ledger::post_for(tx, &stored.organization.id, vec![posting], now).await?;
    Ok(())
}

/// The provider says that a refund came back after it had gone through: the money is here again, and still the
/// customer's. It goes back by transfer. Said again, it leaves nothing.
///
/// # Errors
/// The database fails.
pub async fn came_back(
    app: &App,
    tx: &mut Tx,
    refund: &Refund,
    message: &str,
) -> Result<bool, ServiceError> {
    let id = refund.organization.as_str();
    ledger::lock(tx, id, id).await?;
    if !refunds::mark_returned(tx, refund, message, app.clock.now()).await? {
        return Ok(false);
    }
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let amount = refund.money()?;
    let back = amount.negated()?;
    let posting = ("refund_returned", format!("refund-returned:{}", refund.id));
    money_left(app, tx, &stored, posting, back).await?;
    // A transfer waits for finance: no step follows.
    let _ = intend(app, tx, id, &refund.document_id, None, amount).await?;
    Ok(true)
}

/// The money has left: the ledger's side, and the mail.
async fn paid_out(app: &App, tx: &mut Tx, refund: &Refund) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = refund.organization.as_str();
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let amount = refund.money()?;
    money_left(app, tx, &stored, ("refund", format!("refund:{}", refund.id)), amount).await?;
    let document = documents::get(tx, id, &refund.document_id).await?;
    let number = document.map(|document| document.number).unwrap_or_default();
    let label = match &refund.charge_id {
        None => "bank transfer".to_owned(),
        Some(charge) => match charges::get(tx, id, charge).await? {
            Some(charge) => methods::label(app, tx, id, &charge.request.payment_method).await?,
            None => "payment method".to_owned(),
        },
    };
    let organization = &stored.organization;
    let refunded_on = now.with_timezone(&organization.zone).date_naive();
    let notice = Notice::Refunded { number, amount, refunded_on, label };
    let key = format!("refunded-{}", refund.id);
    let mails =
        notices::tell(tx, organization, &organization.billing_emails, &key, notice, now).await?;
    Ok(Consequences::mails(mails))
}

/// Records that finance transferred the money of a credit note back.
///
/// # Errors
/// No such credit note, or no transfer is owed for it.
pub async fn record_transfer(
    app: &App,
    tx: &mut Tx,
    number: &str,
    reference: &str,
    reason: &str,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let document = documents::by_number(tx, number)
        .await?
        .filter(|row| matches!(row.document(), Ok(Document::CreditNote(_))))
        .ok_or_else(|| {
            ServiceError::NotFound(format!(
                "there is no credit note {:?}",
                number.chars().take(60).collect::<String>()
            ))
        })?;
    let id = document.organization.as_str();
    ledger::lock(tx, id, id).await?;
    let owed = refunds::of_document(tx, id, &document.id).await?;
    let Some(refund) =
        owed.into_iter().find(|refund| refund.method == "transfer" && !refund.is_final())
    else {
        return Err(ServiceError::Refused(format!(
            "no transfer is owed for credit note {number}: it lowered an unpaid invoice, or its money went back \
             already"
        )));
    };
    let outcome = RefundOutcome::Succeeded { provider_id: reference.to_owned() };
    let follows = settle(app, tx, &refund, &outcome).await?;
    let command = format!("refund record {number} {}", refund.money()?);
    audit::append(tx, now, &app.actor, &command, reason).await?;
    Ok(follows)
}

/// Refunds that have not ended, with their credit note's number and amount.
///
/// # Errors
/// The database fails.
pub async fn open(app: &App) -> Result<Vec<(String, Refund, Money)>, ServiceError> {
    let mut tx = app.db.read().await?;
    let mut open = Vec::new();
    for refund in refunds::open(&mut tx).await? {
        let document = documents::get(&mut tx, &refund.organization, &refund.document_id).await?;
        let amount = refund.money()?;
        open.push((document.map(|row| row.number).unwrap_or_default(), refund, amount));
    }
    Ok(open)
}
