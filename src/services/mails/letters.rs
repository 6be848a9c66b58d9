//! Writing: from stored facts to the letters that are handed over.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::app::App;
use crate::cores;
use crate::domain::ids;
use crate::domain::invoice::InvoiceDocument;
use crate::domain::organization::Organization;
use crate::domain::payment::{ChargeRequest, ChargeState};
use crate::mail::facts::last_day_before;
use crate::mail::{
    Attachment, Composed, CreditFacts, InvoiceFacts, MailFacts, Notice, Occasion, PaidFor,
    PurchaseFacts, compose,
};
use crate::services::{ServiceError, dunning, no_organization, notices, pay_pages};
use crate::storage::artifacts::{self, Artifact};
use crate::storage::charges::{self, Charge};
use crate::storage::invoices::{self, DocumentRow};
use crate::storage::mails::Mail;
use crate::storage::methods::{self, Method};
use crate::storage::{
    Key, Tx, documents, from_json, grants, notices as notice_rows, organizations, payments,
    purchases,
};

/// What many mails tell of, read together.
struct Facts {
    organizations: HashMap<String, Organization>,
    charges: HashMap<Key, Charge>,
    documents: HashMap<Key, DocumentRow>,
    /// The files of those documents.
    files: HashMap<Key, Vec<Artifact>>,
    methods: HashMap<Key, Method>,
}

impl Facts {
    async fn read(tx: &mut Tx, mails: &[Mail]) -> Result<Self, ServiceError> {
        let names: BTreeSet<&String> = mails.iter().map(|mail| &mail.organization).collect();
        let names: Vec<String> = names.into_iter().cloned().collect();
        let about = |of: &dyn Fn(&Mail) -> Option<String>| -> Vec<Key> {
            let keys: BTreeSet<Key> = mails
                .iter()
                .filter_map(|mail| Some((mail.organization.clone(), of(mail)?)))
                .collect();
            keys.into_iter().collect()
        };
        let told = |mail: &Mail| mail.kind != notices::KIND;
        let subjects = about(&|mail| told(mail).then(|| mail.subject_id.clone()));
        let charges =
            charges::these(tx, &about(&|mail| mail.charge_id.clone().filter(|_| told(mail))))
                .await?;
        let tokens: BTreeSet<Key> = charges
            .values()
            .map(|charge| {
                (charge.request.organization.clone(), charge.request.payment_method.clone())
            })
            .collect();
        Ok(Self {
            organizations: organizations::these(tx, &names)
                .await?
                .into_iter()
                .map(|stored| (stored.organization.id.clone(), stored.organization))
                .collect(),
            documents: invoices::documents_of(tx, &subjects).await?,
            files: artifacts::these(tx, &subjects).await?,
            methods: methods::these(tx, &tokens.into_iter().collect::<Vec<Key>>()).await?,
            charges,
        })
    }

    fn document(&self, mail: &Mail) -> Result<Option<InvoiceDocument>, ServiceError> {
        let key = (mail.organization.clone(), mail.subject_id.clone());
        Ok(self.documents.get(&key).map(DocumentRow::document).transpose()?)
    }

    fn files(&self, mail: &Mail) -> Vec<Artifact> {
        let key = (mail.organization.clone(), mail.subject_id.clone());
        self.files.get(&key).cloned().unwrap_or_default()
    }

    fn charge(&self, mail: &Mail) -> Option<&Charge> {
        self.charges.get(&(mail.organization.clone(), mail.charge_id.clone()?))
    }

    /// How the method of a charge is shown.
    fn label(&self, app: &App, charge: &Charge) -> String {
        let ChargeRequest { organization, payment_method, .. } = &charge.request;
        self.methods
            .get(&(organization.clone(), payment_method.clone()))
            .and_then(Method::label)
            .unwrap_or_else(|| app.gateway.describe(payment_method))
    }
}

/// Writes stored mails: reads what they tell, and their attachments, and fills the templates.
///
/// # Errors
/// The database fails. For one mail: a fact or file is missing, or a template fails; none of these goes away by
/// itself.
pub async fn write(
    app: &Arc<App>,
    mails: Vec<Mail>,
) -> Result<Vec<Result<Composed, ServiceError>>, ServiceError> {
    let mut tx = app.db.read().await?;
    let facts = Facts::read(&mut tx, &mails).await?;
    let mut told = Vec::with_capacity(mails.len());
    for mail in mails {
        let Some(organization) = facts.organizations.get(&mail.organization) else {
            told.push(Err(no_organization(&mail.organization)));
            continue;
        };
        let occasion = occasion(app, &mut tx, &facts, &mail, organization).await;
        let organization = organization.name.clone();
        // The transaction may be of no more use: nothing is said of the mails that follow.
        let occasion = match occasion {
            Err(ServiceError::Storage(error)) => return Err(error.into()),
            occasion => occasion,
        };
        told.push(occasion.map(|(occasion, files)| Told { mail, organization, occasion, files }));
    }
    drop(tx);
    on_all_cores(app, told).await
}

/// What one mail tells.
struct Told {
    mail: Mail,
    organization: String,
    occasion: Occasion,
    files: Vec<Artifact>,
}

/// Composes on all cores: attachments are read and encoded.
async fn on_all_cores(
    app: &Arc<App>,
    told: Vec<Result<Told, ServiceError>>,
) -> Result<Vec<Result<Composed, ServiceError>>, ServiceError> {
    let app = app.clone();
    let letters = cores::each(told, move |told| letter(&app, told?)).await;
    letters.map_err(|error| ServiceError::Refused(format!("a mail cannot be composed: {error}")))
}

/// Fills the templates for the one recipient of a mail.
fn letter(app: &App, told: Told) -> Result<Composed, ServiceError> {
    let Told { mail, organization, occasion, files } = told;
    let (seller, sender) = app.config.sender();
    let facts = MailFacts {
        key: message_key(app, &mail, &occasion),
        at: mail.created_at,
        organization: mail.organization.clone(),
        organization_name: organization,
        recipients: mail.recipients.split(';').map(str::to_owned).collect(),
        seller,
        sender,
        support: app.config.seller.support.clone(),
        occasion,
        attachments: attachments(app, &files)?,
    };
    let composition =
        compose(&app.templates, facts).map_err(|error| ServiceError::Refused(error.to_string()))?;
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
        Occasion::Receipt { paid_for: PaidFor::Invoice(invoice), .. } => match super::again(mail) {
            Some(nth) => format!("{}-receipt-{nth}", invoice.number),
            None => format!("{}-receipt", invoice.number),
        },
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
    facts: &Facts,
    mail: &Mail,
    organization: &Organization,
) -> Result<(Occasion, Vec<Artifact>), ServiceError> {
    if mail.kind == notices::KIND {
        return notice(tx, mail).await;
    }
    match (mail.kind.as_str(), facts.document(mail)?) {
        ("invoice", Some(document)) => match facts.files(mail) {
            // It would never be sent again with them.
            files if files.is_empty() => Err(missing(mail, "its document")),
            files => Ok((invoice(&document, organization)?, files)),
        },
        ("receipt", Some(document)) => {
            let paid_for = PaidFor::Invoice(InvoiceFacts::of(&document));
            Ok((receipt(app, tx, facts, mail, organization, paid_for).await?, Vec::new()))
        }
        // A purchase's document is its receipt.
        ("receipt", None) => {
            let files = match receipt_of(tx, mail).await? {
                Some(row) => artifacts::of_invoice(tx, &mail.organization, &row.id).await?,
                None => Vec::new(),
            };
            let paid_for = PaidFor::Purchase(purchase(tx, mail, organization).await?);
            Ok((receipt(app, tx, facts, mail, organization, paid_for).await?, files))
        }
        ("payment_failed", Some(document)) => {
            let charge = facts.charge(mail).ok_or_else(|| missing(mail, "its charge"))?;
            let label = facts.label(app, charge);
            let occasion = payment_failed(app, tx, organization, &document, charge, label).await?;
            Ok((occasion, facts.files(mail)))
        }
        _ => Err(missing(mail, "its invoice")),
    }
}

/// A notice as it was made, with the document it is about.
async fn notice(tx: &mut Tx, mail: &Mail) -> Result<(Occasion, Vec<Artifact>), ServiceError> {
    let stored = notice_rows::get(tx, &mail.organization, &mail.subject_id)
        .await?
        .ok_or_else(|| missing(mail, "its notice"))?;
    let notice = from_json::<Notice>("notice", "facts", &stored.id, &stored.facts)?;
    let files = match &notice {
        Notice::CreditNote { number, .. } => {
            let document = documents::by_number(tx, number).await?;
            let document = document.ok_or_else(|| missing(mail, "its credit note"))?;
            artifacts::of_invoice(tx, &mail.organization, &document.id).await?
        }
        Notice::PaymentReminder { invoice, .. }
        | Notice::PaymentReversed { invoice, .. }
        | Notice::Uncollectible { invoice, .. } => {
            let row = invoices::by_number(tx, &invoice.number).await?;
            let row = row.ok_or_else(|| missing(mail, "its invoice"))?;
            artifacts::of_invoice(tx, &mail.organization, &row.id).await?
        }
        _ => Vec::new(),
    };
    Ok((Occasion::Notice(notice), files))
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
    facts: &Facts,
    mail: &Mail,
    organization: &Organization,
    paid_for: PaidFor,
) -> Result<Occasion, ServiceError> {
    let paid_on = mail.created_at.with_timezone(&organization.zone).date_naive();
    if let Some(charge) = facts.charge(mail) {
        let label = facts.label(app, charge);
        let amount = charge.request.amount;
        return Ok(Occasion::Receipt { paid_for, amount, paid_on, label, taken_back: false });
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
        taken_back: !payment.counts(),
    })
}

async fn payment_failed(
    app: &App,
    tx: &mut Tx,
    organization: &Organization,
    document: &InvoiceDocument,
    charge: &Charge,
    label: String,
) -> Result<Occasion, ServiceError> {
    let id = organization.id.as_str();
    let next_attempt_on =
        dunning::next_attempt_on(app, tx, organization, &charge.subject_id).await?;
    let row = invoices::get(tx, id, &charge.subject_id).await?;
    let pay_link = match row {
        Some(row) => pay_pages::pay_link(app, tx, &row).await?,
        None => None,
    };
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

fn attachments(app: &App, files: &[Artifact]) -> Result<Vec<Attachment>, ServiceError> {
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
