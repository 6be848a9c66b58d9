//! Mails: a row per recipient in the transaction of the fact, composed from stored facts when sent.

use chrono::{DateTime, Utc};

use super::methods::{self, Wallets};
use super::{ServiceError, dunning, no_organization, pay_pages};
use crate::app::App;
use crate::domain::ids;
use crate::domain::invoice::{InvoiceDocument, PaymentTerms};
use crate::domain::organization::Organization;
use crate::domain::payment::ChargeState;
use crate::mail::facts::last_day_before;
use crate::mail::{
    Attachment, Composed, CreditFacts, InvoiceFacts, MailFacts, Notice, Occasion, PaidFor,
    PurchaseFacts, compose,
};
use crate::storage::charges::{self, Charge};
use crate::storage::mails::{self, Mail};
use crate::storage::{
    Tx, artifacts, documents, from_json, grants, invoices, notices, organizations, payments,
    purchases,
};

/// What a mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An invoice was issued.
    Invoice,
    /// A payment arrived.
    Receipt,
    /// A charge was declined, or needs the customer.
    PaymentFailed,
}

impl Kind {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Receipt => "receipt",
            Self::PaymentFailed => "payment_failed",
        }
    }
}

/// The mails that tell a fact to everyone an organization named. Their keys are derived: the same fact
/// is told once.
#[must_use]
pub fn of_fact(
    organization: &Organization,
    kind: Kind,
    subject_id: &str,
    charge_id: Option<&str>,
    now: DateTime<Utc>,
) -> Vec<Mail> {
    let recipients = organization.billing_emails.join(";");
    (1_usize..)
        .zip(&organization.billing_emails)
        .map(|(ordinal, recipient)| {
            let fact = charge_id.unwrap_or(subject_id);
            let key = format!("{}-{fact}-{ordinal}", kind.as_str());
            Mail {
                id: ids::derived("mal", now, &[&organization.id, &key]),
                organization: organization.id.clone(),
                key,
                kind: kind.as_str().to_owned(),
                subject_id: subject_id.to_owned(),
                charge_id: charge_id.map(str::to_owned),
                recipients: recipients.clone(),
                recipient: recipient.clone(),
                state: "ready".to_owned(),
                created_at: now,
            }
        })
        .collect()
}

/// Writes one stored mail: reads what it tells, and its attachments, and fills the templates.
///
/// # Errors
/// A fact or file is missing, or a template fails; none of these goes away by itself.
pub async fn write(app: &App, mail: &Mail) -> Result<Composed, ServiceError> {
    let mut tx = app.db.read().await?;
    let stored = organizations::get(&mut tx, &mail.organization)
        .await?
        .ok_or_else(|| no_organization(&mail.organization))?;
    let (occasion, attached) = occasion(app, &mut tx, mail, &stored.organization).await?;
    drop(tx);
    let (seller, sender) = app.config.sender();
    let facts = MailFacts {
        key: message_key(app, mail, &occasion),
        at: mail.created_at,
        organization: mail.organization.clone(),
        organization_name: stored.organization.name.clone(),
        recipients: mail.recipients.split(';').map(str::to_owned).collect(),
        seller,
        sender,
        support: app.config.seller.support.clone(),
        occasion,
        attachments: attachments(app, &attached)?,
    };
    let composition = compose(&app.templates, &facts)
        .map_err(|error| ServiceError::Refused(error.to_string()))?;
    composition.mails.into_iter().find(|composed| composed.recipient == mail.recipient).ok_or_else(
        || {
            let id = &mail.organization;
            ServiceError::Refused(format!(
                "an address of organization {id} cannot receive mail; correct billing_email, import and retry"
            ))
        },
    )
}

/// One key, and so one Message-ID, for all recipients of a fact, and none of another deployment's. It
/// begins with what the mail is about, so that a folder of mails can be read.
fn message_key(app: &App, mail: &Mail, occasion: &Occasion) -> String {
    let deployment = app.deployment.get(4..16).unwrap_or(&app.deployment);
    let about = match occasion {
        Occasion::Invoice { invoice, .. } => format!("{}-invoice", invoice.number),
        Occasion::Receipt { paid_for: PaidFor::Invoice(invoice), .. } => {
            format!("{}-receipt", invoice.number)
        }
        Occasion::Receipt { paid_for: PaidFor::Purchase(purchase), .. } => {
            format!("{}-receipt", purchase.id)
        }
        Occasion::PaymentFailed { invoice, .. } => {
            let charge = mail.charge_id.as_deref().unwrap_or_default();
            let attempt = &ids::sha256_hex(charge.as_bytes())[..8];
            format!("{}-payment-failed-{attempt}", invoice.number)
        }
        Occasion::Notice(notice) => format!("{}-{}", mail.subject_id, notice.template()),
    };
    format!("{about}-{deployment}")
}

async fn occasion(
    app: &App,
    tx: &mut Tx,
    mail: &Mail,
    organization: &Organization,
) -> Result<(Occasion, Vec<artifacts::Artifact>), ServiceError> {
    if mail.kind == super::notices::KIND {
        return notice(tx, mail).await;
    }
    let charge = match &mail.charge_id {
        None => None,
        Some(id) => charges::get(tx, &mail.organization, id).await?,
    };
    let document = document(tx, mail).await?;
    // A purchase's document is its receipt.
    let documented = match &document {
        Some(_) => mail.subject_id.clone(),
        None => receipt_of(tx, mail).await?.map_or_else(String::new, |row| row.id),
    };
    let files = artifacts::of_invoice(tx, &mail.organization, &documented).await?;
    match (mail.kind.as_str(), document) {
        ("invoice", Some(document)) => Ok((invoice(&document, organization)?, files)),
        ("receipt", document) => {
            let (paid_for, files) = match document {
                Some(document) => (PaidFor::Invoice(InvoiceFacts::of(&document)), Vec::new()),
                None => (PaidFor::Purchase(purchase(tx, mail, organization).await?), files),
            };
            receipt(app, tx, mail, organization, paid_for, charge).await.map(|o| (o, files))
        }
        ("payment_failed", Some(document)) => {
            let charge = charge.ok_or_else(|| missing(mail, "its charge"))?;
            Ok((payment_failed(app, tx, organization, &document, &charge).await?, files))
        }
        _ => Err(missing(mail, "its invoice")),
    }
}

/// A notice as it was made, with the document it is about.
async fn notice(
    tx: &mut Tx,
    mail: &Mail,
) -> Result<(Occasion, Vec<artifacts::Artifact>), ServiceError> {
    let stored = notices::get(tx, &mail.organization, &mail.subject_id)
        .await?
        .ok_or_else(|| missing(mail, "its notice"))?;
    let notice = from_json::<Notice>("notice", "facts", &stored.id, &stored.facts)?;
    let files = match &notice {
        Notice::CreditNote { number, .. } => {
            let document = documents::by_number(tx, number).await?;
            let document = document.ok_or_else(|| missing(mail, "its credit note"))?;
            artifacts::of_invoice(tx, &mail.organization, &document.id).await?
        }
        Notice::PaymentReminder { invoice, .. } | Notice::Uncollectible { invoice, .. } => {
            let row = invoices::by_number(tx, &invoice.number).await?;
            let row = row.ok_or_else(|| missing(mail, "its invoice"))?;
            artifacts::of_invoice(tx, &mail.organization, &row.id).await?
        }
        _ => Vec::new(),
    };
    Ok((Occasion::Notice(notice), files))
}

async fn document(tx: &mut Tx, mail: &Mail) -> Result<Option<InvoiceDocument>, ServiceError> {
    let row = invoices::document(tx, &mail.organization, &mail.subject_id).await?;
    Ok(row.map(|row| row.document()).transpose()?)
}

fn missing(mail: &Mail, what: &str) -> ServiceError {
    ServiceError::Refused(format!(
        "mail {} of organization {}: {what} is not stored; run `monthend verify`",
        mail.id, mail.organization
    ))
}

fn invoice(
    document: &InvoiceDocument,
    organization: &Organization,
) -> Result<Occasion, ServiceError> {
    Ok(Occasion::Invoice {
        invoice: InvoiceFacts::of(document),
        payment: document.header.payment.clone(),
        credits: Some(CreditFacts::of(&document.draft.statement, organization.zone)?),
    })
}

async fn purchase(
    tx: &mut Tx,
    mail: &Mail,
    organization: &Organization,
) -> Result<PurchaseFacts, ServiceError> {
    let purchase = purchases::get(tx, &mail.organization, &mail.subject_id)
        .await?
        .ok_or_else(|| missing(mail, "its purchase"))?;
    let grants = grants::all(tx, &mail.organization).await?;
    let expires_at = grants
        .iter()
        .find(|open| Some(&open.grant.id) == purchase.grant.as_ref())
        .and_then(|open| open.grant.expires_at);
    Ok(PurchaseFacts {
        // Paid before there were receipts: named by itself.
        receipt: receipt_of(tx, mail).await?.map_or_else(|| purchase.id.clone(), |row| row.number),
        automatic: purchase.automatic,
        id: purchase.id,
        bought: purchase.credits,
        usable_until: expires_at.map(|at| last_day_before(at, organization.zone)),
    })
}

/// The receipt of the purchase a mail is about.
async fn receipt_of(tx: &mut Tx, mail: &Mail) -> Result<Option<documents::Row>, ServiceError> {
    let all = documents::of_subject(tx, &mail.organization, &mail.subject_id).await?;
    Ok(all.into_iter().find(|row| row.kind == "receipt"))
}

async fn receipt(
    app: &App,
    tx: &mut Tx,
    mail: &Mail,
    organization: &Organization,
    paid_for: PaidFor,
    charge: Option<Charge>,
) -> Result<Occasion, ServiceError> {
    let paid_on = mail.created_at.with_timezone(&organization.zone).date_naive();
    if let Some(charge) = charge {
        let id = organization.id.as_str();
        let label = methods::label(app, tx, id, &charge.request.payment_method).await?;
        return Ok(Occasion::Receipt { paid_for, amount: charge.request.amount, paid_on, label });
    }
    // A transfer that finance recorded; its id stands where a charge's would.
    let payments = payments::of_invoice(tx, &mail.organization, &mail.subject_id).await?;
    let payment = payments
        .into_iter()
        .find(|payment| Some(&payment.id) == mail.charge_id.as_ref())
        .ok_or_else(|| missing(mail, "its payment"))?;
    Ok(Occasion::Receipt {
        paid_for,
        amount: payment.money()?,
        paid_on: payment.received_on,
        label: "bank transfer".to_owned(),
    })
}

async fn payment_failed(
    app: &App,
    tx: &mut Tx,
    organization: &Organization,
    document: &InvoiceDocument,
    charge: &Charge,
) -> Result<Occasion, ServiceError> {
    let id = organization.id.as_str();
    let next_attempt_on =
        dunning::next_attempt_on(app, tx, organization, &charge.subject_id).await?;
    let row = invoices::get(tx, id, &charge.subject_id).await?;
    let pay_link = match row {
        Some(row) => pay_pages::pay_link(app, tx, &row).await?,
        None => None,
    };
    let label = methods::label(app, tx, id, &charge.request.payment_method).await?;
    let needs_action = charge.state == ChargeState::NeedsAction;
    let (reason, what_to_do) = if needs_action {
        (
            "Your bank asks you to confirm this payment before it goes through.",
            "Please confirm it with your bank or in its app, or contact us.",
        )
    } else if charge.decline_hard {
        (
            "Your bank declined this payment, and this payment method cannot be used again.",
            "Please save another payment method, or pay by bank transfer, or contact us.",
        )
    } else {
        (
            "Your bank declined this payment.",
            "Please check the payment method with your bank, or save another one, or contact us.",
        )
    };
    Ok(Occasion::PaymentFailed {
        invoice: InvoiceFacts::of(document),
        amount: charge.request.amount,
        label,
        reason: reason.to_owned(),
        what_to_do: what_to_do.to_owned(),
        next_attempt_on,
        pay_link,
    })
}

/// How an invoice is meant to be paid, as printed on it.
#[must_use]
pub fn payment_terms(
    app: &App,
    wallets: &Wallets,
    organization: &Organization,
    due: bool,
) -> PaymentTerms {
    match (&organization.payment_method, due) {
        (_, false) => PaymentTerms::NothingDue,
        (Some(method), true) if app.gateway.collects() => {
            PaymentTerms::StoredMethod { label: wallets.label(app, &organization.id, method) }
        }
        _ => PaymentTerms::BankTransfer { details: app.config.seller.bank_details.clone() },
    }
}

fn attachments(app: &App, files: &[artifacts::Artifact]) -> Result<Vec<Attachment>, ServiceError> {
    files
        .iter()
        .map(|file| {
            let path = app.documents().join(&file.path);
            let bytes = std::fs::read(&path).map_err(|error| {
                ServiceError::Refused(format!(
                    "the document {} cannot be read ({error}); `monthend job run monthly_close --cycle C` makes it again",
                    path.display()
                ))
            })?;
            let name = file.path.rsplit('/').next().unwrap_or(&file.path).to_owned();
            let content_type = if file.kind == "pdf" { "application/pdf" } else { "text/csv" };
            Ok(Attachment { file_name: name, content_type: content_type.to_owned(), bytes })
        })
        .collect()
}

/// Stores mails in the transaction of their fact.
pub async fn add(tx: &mut Tx, rows: &[Mail]) -> Result<(), ServiceError> {
    Ok(mails::add(tx, rows).await?)
}

/// Gives an unsent mail the address its organization has now, in the place of the old one.
pub async fn readdress(
    tx: &mut Tx,
    mail_id: &str,
    organization: &Organization,
) -> Result<(), ServiceError> {
    let Some(mail) = mails::get(tx, &organization.id, mail_id).await? else { return Ok(()) };
    let ordinal: usize = mail.key.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(1);
    let emails = &organization.billing_emails;
    let recipient = emails.get(ordinal - 1).or_else(|| emails.last()).cloned().unwrap_or_default();
    Ok(mails::readdress(tx, &mail, &emails.join(";"), &recipient).await?)
}

/// Stores mails whose keys are new, and gives those: a fact that was told is not told again.
pub async fn add_new(tx: &mut Tx, mut rows: Vec<Mail>) -> Result<Vec<Mail>, ServiceError> {
    let known = mails::known_keys(tx, &rows).await?;
    rows.retain(|mail| !known.contains(&(mail.organization.clone(), mail.key.clone())));
    mails::add(tx, &rows).await?;
    Ok(rows)
}
