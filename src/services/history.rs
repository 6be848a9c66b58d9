//! Billing history (S42, S43, S74): everything that was billed, bought, paid, given back and granted, and what
//! comes again.

use std::collections::HashMap;

use chrono::{DateTime, Utc};

use super::{ServiceError, methods, no_organization};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::domain::money::Money;
use crate::storage::charges::{self, Attempted, Charge, Subject};
use crate::storage::organizations::Stored;
use crate::storage::recharges::{self, Recharge};
use crate::storage::{
    Tx, artifacts, cycles, documents, grants, invoices, methods as saved, one_or_all,
    organizations, payments, purchases, refunds,
};

/// One line of a history.
#[derive(Debug, Clone)]
pub struct Entry {
    /// When.
    pub at: DateTime<Utc>,
    /// `invoice`, `receipt`, `credit_note`, `charge`, `transfer`, `refund`, `purchase` or `grant`.
    pub kind: &'static str,
    /// Its id.
    pub id: String,
    /// The document's number, or that of the document it belongs to.
    pub number: Option<String>,
    /// How much money.
    pub amount: Option<Money>,
    /// How many credits.
    pub credits: Option<Credits>,
    /// Where it stands.
    pub status: String,
    /// With which method, without secrets; or where a grant came from.
    pub by: Option<String>,
    /// Path of its PDF inside the documents folder.
    pub pdf: Option<String>,
}

/// What comes again by itself.
#[derive(Debug, Clone)]
pub struct Recurring {
    /// The plan of the open cycle.
    pub plan: String,
    /// Its fee.
    pub fee: Money,
    /// Credits it grants each cycle.
    pub allowance: Credits,
    /// When the next invoice is due.
    pub next_invoice_at: DateTime<Utc>,
    /// Automatic purchases.
    pub recharge: Option<Recharge>,
}

/// A history with what comes again.
#[derive(Debug, Clone)]
pub struct History {
    /// Oldest first.
    pub entries: Vec<Entry>,
    /// What comes again; none where no cycle is open.
    pub recurring: Option<Recurring>,
}

/// The whole history of one organization.
///
/// # Errors
/// There is no such organization.
pub async fn of_organization(app: &App, id: &str) -> Result<History, ServiceError> {
    let mut tx = app.db.read().await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let mut entries = Vec::new();
    let mut numbers: HashMap<String, String> = HashMap::new();
    documented(&mut tx, &stored, &mut entries, &mut numbers).await?;
    paid(app, &mut tx, &stored, &mut entries, &numbers).await?;
    granted(&mut tx, &stored, &mut entries).await?;
    entries.sort_by(|a, b| (a.at, a.kind, &a.id).cmp(&(b.at, b.kind, &b.id)));
    let open = cycles::open_of(&mut tx, &[id.to_owned()]).await?.pop();
    let recharge = recharges::get(&mut tx, id).await?;
    let recurring = open.map(|open| Recurring {
        plan: open.open.terms.plan_name.clone(),
        fee: open.open.terms.fee,
        allowance: open.open.terms.allowance,
        next_invoice_at: open.due_at,
        recharge,
    });
    Ok(History { entries, recurring })
}

/// Invoices, receipts and credit notes.
async fn documented(
    tx: &mut Tx,
    stored: &Stored,
    entries: &mut Vec<Entry>,
    numbers: &mut HashMap<String, String>,
) -> Result<(), ServiceError> {
    let id = stored.organization.id.as_str();
    for row in invoices::of_organization(tx, id).await? {
        let Some(number) = row.number.clone() else { continue };
        numbers.insert(row.id.clone(), number.clone());
        let issued_on = row.issued_on.unwrap_or_default();
        entries.push(Entry {
            at: crate::domain::cycle::start_of_day(issued_on, stored.organization.zone),
            kind: "invoice",
            amount: Some(row.money(row.total)?),
            credits: None,
            status: format!("{}, {}", row.status, row.payment_status),
            by: None,
            pdf: row.pdf.clone(),
            number: Some(number),
            id: row.id,
        });
    }
    for row in documents::of_organization(tx, id).await? {
        numbers.insert(row.id.clone(), row.number.clone());
        if row.kind == "receipt" {
            numbers.insert(row.subject_id.clone(), row.number.clone());
        }
        let files = artifacts::of_invoice(tx, id, &row.id).await?;
        entries.push(Entry {
            at: row.issued_at,
            kind: if row.kind == "receipt" { "receipt" } else { "credit_note" },
            amount: Some(row.money(row.total)?),
            credits: None,
            status: "issued".to_owned(),
            by: None,
            pdf: files.into_iter().find(|file| file.kind == "pdf").map(|file| file.path),
            number: Some(row.number),
            id: row.id,
        });
    }
    Ok(())
}

/// Charges, transfers and refunds.
async fn paid(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    entries: &mut Vec<Entry>,
    numbers: &HashMap<String, String>,
) -> Result<(), ServiceError> {
    let id = stored.organization.id.as_str();
    for attempt in charges::history(tx, Some(id), i64::MAX).await? {
        entries.push(Entry {
            by: Some(methods::label(app, tx, id, &attempt.charge.request.payment_method).await?),
            ..entry_of(&attempt, numbers)
        });
    }
    for payment in payments::transfers(tx, Some(id)).await? {
        entries.push(Entry {
            at: crate::domain::cycle::start_of_day(payment.received_on, stored.organization.zone),
            kind: "transfer",
            number: numbers.get(&payment.invoice_id).cloned(),
            amount: Some(payment.money()?),
            credits: None,
            status: payment.state().to_owned(),
            by: Some(format!("bank transfer {}", payment.reference)),
            pdf: None,
            id: payment.id,
        });
    }
    for refund in refunds::of_organization(tx, id).await? {
        entries.push(Entry {
            at: refund.created_at,
            kind: "refund",
            number: numbers.get(&refund.document_id).cloned(),
            amount: Some(refund.money()?),
            credits: None,
            status: match refund.returned_at {
                Some(_) => "returned".to_owned(),
                None => refund.state.clone(),
            },
            by: Some(
                if refund.method == "transfer" { "bank transfer" } else { "payment method" }
                    .to_owned(),
            ),
            pdf: None,
            id: refund.id,
        });
    }
    Ok(())
}

fn entry_of(attempt: &Attempted, numbers: &HashMap<String, String>) -> Entry {
    let charge = &attempt.charge;
    let status = match &charge.decline_code {
        Some(code) => format!("{} ({code})", charge.state),
        None => charge.state.to_string(),
    };
    Entry {
        at: attempt.created_at,
        kind: "charge",
        number: numbers.get(&charge.subject_id).cloned(),
        amount: Some(charge.request.amount),
        credits: None,
        status,
        by: None,
        pdf: None,
        id: charge.id.clone(),
    }
}

/// Purchases and grants.
async fn granted(
    tx: &mut Tx,
    stored: &Stored,
    entries: &mut Vec<Entry>,
) -> Result<(), ServiceError> {
    let id = stored.organization.id.as_str();
    for purchase in purchases::all(tx, id).await? {
        entries.push(Entry {
            at: purchase.created_at,
            kind: "purchase",
            number: None,
            amount: Some(purchase.gross()?),
            credits: Some(purchase.credits),
            status: purchase.state.clone(),
            by: purchase.automatic.then(|| "automatic".to_owned()),
            pdf: None,
            id: purchase.id,
        });
    }
    for open in grants::all(tx, id).await? {
        entries.push(Entry {
            at: open.grant.granted_at,
            kind: "grant",
            number: None,
            amount: None,
            credits: Some(open.grant.granted),
            status: format!("{} left on the last close", open.remaining),
            by: Some(open.grant.source.to_string()),
            pdf: None,
            id: open.grant.id,
        });
    }
    Ok(())
}

/// One payment, for finance's list.
#[derive(Debug, Clone)]
pub struct Paid {
    /// Whose.
    pub organization: String,
    /// When it was begun, or arrived.
    pub at: DateTime<Utc>,
    /// Its id.
    pub id: String,
    /// The invoice's number or the purchase's id.
    pub reference: String,
    /// Which attempt; none: a transfer.
    pub attempt: Option<i64>,
    /// How much.
    pub amount: Money,
    /// With what, without secrets.
    pub method: String,
    /// Where it stands; `received` for a transfer, `reversed` once it was taken back.
    pub state: String,
    /// The provider's id, or the bank's reference.
    pub provider_id: Option<String>,
    /// Why it was declined, or what is unclear.
    pub message: Option<String>,
}

/// Charges and transfers, latest first: of one organization or of all.
///
/// # Errors
/// The database fails, or there is no such organization.
pub async fn payments(
    app: &App,
    organization: Option<&str>,
    limit: usize,
) -> Result<Vec<Paid>, ServiceError> {
    let mut tx = app.db.read().await?;
    if let Some(id) = organization {
        organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    }
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut labels: HashMap<(String, String), String> = HashMap::new();
    let (first, last) = one_or_all(organization);
    for method in saved::in_range(&mut tx, first, last).await? {
        if let Some(label) = method.label() {
            labels.insert((method.organization, method.token), label);
        }
    }
    let mut all = Vec::new();
    for attempt in charges::history(&mut tx, organization, most).await? {
        let Charge { request, .. } = &attempt.charge;
        let key = (request.organization.clone(), request.payment_method.clone());
        let label = labels.get(&key).cloned();
        all.push(Paid {
            organization: request.organization.clone(),
            at: attempt.created_at,
            reference: match attempt.charge.subject {
                Subject::Invoice => request.reference.clone(),
                Subject::Purchase => attempt.charge.subject_id.clone(),
            },
            attempt: Some(attempt.charge.attempt),
            amount: request.amount,
            method: label.unwrap_or_else(|| app.gateway.describe(&request.payment_method)),
            state: attempt.charge.state.to_string(),
            provider_id: attempt.charge.provider_id.clone(),
            message: attempt.charge.message.clone(),
            id: attempt.charge.id,
        });
    }
    for payment in payments::transfers(&mut tx, organization).await? {
        let number = invoices::get(&mut tx, &payment.organization, &payment.invoice_id).await?;
        all.push(Paid {
            at: payment.received_on.and_time(chrono::NaiveTime::MIN).and_utc(),
            reference: number.and_then(|row| row.number).unwrap_or_default(),
            attempt: None,
            amount: payment.money()?,
            method: "bank transfer".to_owned(),
            state: payment.state().to_owned(),
            provider_id: Some(payment.reference),
            message: None,
            organization: payment.organization,
            id: payment.id,
        });
    }
    all.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    all.truncate(limit);
    Ok(all)
}
