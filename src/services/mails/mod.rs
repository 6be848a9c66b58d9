//! Mails: a row per recipient in the transaction of the fact, composed from stored facts when sent.

mod letters;

use chrono::{DateTime, Utc};

pub use letters::write;

use super::ServiceError;
use super::methods::Wallets;
use crate::app::App;
use crate::domain::ids;
use crate::domain::invoice::PaymentTerms;
use crate::domain::organization::Organization;
use crate::storage::Tx;
use crate::storage::mails::{self, Mail};

/// What the keys of receipts begin with that are not the first of their invoice; which one it is follows.
const AGAIN: &str = "receipt_";

/// Which receipt of its invoice a mail is, where it is not the first.
fn again(mail: &Mail) -> Option<&str> {
    Some(mail.key.strip_prefix(AGAIN)?.split_once('-')?.0)
}

/// What a mail tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An invoice was issued.
    Invoice,
    /// A payment of an invoice arrived, after so many before it were taken back; or one of a purchase.
    Receipt(usize),
    /// A charge was declined, or needs the customer.
    PaymentFailed,
}

impl Kind {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invoice => "invoice",
            Self::Receipt(_) => "receipt",
            Self::PaymentFailed => "payment_failed",
        }
    }

    /// What the key of its mails begins with: receipts of one invoice are kept apart.
    fn key(self) -> String {
        match self {
            Self::Receipt(before @ 1..) => format!("{AGAIN}{}", before + 1),
            other => other.as_str().to_owned(),
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
            let key = format!("{}-{fact}-{ordinal}", kind.key());
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
