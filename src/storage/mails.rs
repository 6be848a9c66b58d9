//! The outbox of mails: a row per recipient, made in the transaction of the fact it tells (M4).

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, Statement, execute, fetch_all, fetch_keyed, fetch_optional, insert};
use super::{Key, StorageError, Tx};

/// A mail to one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Mail {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Derived from what it tells and to whom: at most one mail per key.
    pub key: String,
    /// `invoice`, `receipt` or `payment_failed`.
    pub kind: String,
    /// The invoice or purchase it tells about.
    pub subject_id: String,
    /// The charge it tells about, for receipts and failed payments.
    pub charge_id: Option<String>,
    /// All recipients, separated by `;`, for the To header.
    pub recipients: String,
    /// The one this mail goes to.
    pub recipient: String,
    /// `ready` or `sent`.
    pub state: String,
    /// When the fact happened; the mail's date.
    pub created_at: DateTime<Utc>,
}

/// Records mails; a key that is there already is left alone.
pub async fn add(tx: &mut Tx, mails: &[Mail]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO mail (organization, id, key, kind, subject_id, charge_id, recipients, recipient, state, created_at)",
        " ON CONFLICT DO NOTHING",
        mails,
        mail => [
            &mail.organization,
            &mail.id,
            &mail.key,
            &mail.kind,
            &mail.subject_id,
            &mail.charge_id,
            &mail.recipients,
            &mail.recipient,
            "ready",
            mail.created_at,
        ]
    );
    Ok(())
}

/// Which of these mails' keys are stored.
pub async fn known_keys(tx: &mut Tx, mails: &[Mail]) -> Result<HashSet<Key>, StorageError> {
    let keys: Vec<Key> =
        mails.iter().map(|mail| (mail.organization.clone(), mail.key.clone())).collect();
    let head = "SELECT organization, key FROM mail WHERE (organization, key)";
    Ok(fetch_keyed!(tx, Key, head, keys).into_iter().collect())
}

/// Mails by their organizations and ids.
pub async fn these(tx: &mut Tx, keys: &[Key]) -> Result<HashMap<Key, Mail>, StorageError> {
    let rows = fetch_keyed!(
        tx,
        Mail,
        "SELECT organization, id, key, kind, subject_id, charge_id, recipients, recipient, state, created_at \
         FROM mail WHERE (organization, id)",
        keys
    );
    Ok(rows.into_iter().map(|mail| ((mail.organization.clone(), mail.id.clone()), mail)).collect())
}

/// One mail.
pub async fn get(tx: &mut Tx, organization: &str, id: &str) -> Result<Option<Mail>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Mail,
        "SELECT organization, id, key, kind, subject_id, charge_id, recipients, recipient, state, created_at \
         FROM mail WHERE organization = $1 AND id = $2",
        organization,
        id
    ))
}

/// Sends an unsent mail somewhere else.
pub async fn readdress(
    tx: &mut Tx,
    mail: &Mail,
    recipients: &str,
    recipient: &str,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE mail SET recipients = $3, recipient = $4 WHERE organization = $1 AND id = $2 AND state = 'ready'",
        mail.organization.clone(),
        mail.id.clone(),
        recipients.to_owned(),
        recipient.to_owned()
    );
    Ok(())
}

/// Marks mails as accepted by the server, each with its Message-ID.
pub async fn mark_sent(
    tx: &mut Tx,
    sent: &[(Key, String)],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    for chunk in sent.chunks(super::db::rows_per_statement(3)) {
        let mut statement = Statement::new("WITH sent (organization, id, message_id) AS (");
        statement
            .values(chunk, |row, (key, message_id)| {
                row.bind(key.0.clone()).bind(key.1.clone()).bind(message_id.clone());
            })
            .push(") UPDATE mail SET state = 'sent', message_id = sent.message_id, sent_at = ")
            .bind(now)
            .push(
                " FROM sent WHERE mail.organization = sent.organization AND mail.id = sent.id \
                 AND mail.state = 'ready'",
            );
        statement.execute(tx).await?;
    }
    Ok(())
}

/// Mails that are not sent and that no step will send: none at rest (M1).
pub async fn stranded(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT m.id FROM mail m WHERE m.state = 'ready' AND NOT EXISTS (SELECT 1 FROM step s \
         WHERE s.kind = 'mail' AND s.organization = m.organization AND s.subject = m.id \
         AND s.state IN ('ready', 'leased', 'parked')) ORDER BY m.id"
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// How many mails there are.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let rows = fetch_all!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM mail");
    Ok(rows.first().map_or(0, |(count,)| *count))
}

/// Numbers of invoices that have documents but no mail: none, ever (an organization has an address).
pub async fn invoices_without(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT i.number FROM invoice i JOIN artifact a ON a.organization = i.organization \
         AND a.invoice_id = i.id AND a.kind = 'pdf' WHERE NOT EXISTS (SELECT 1 FROM mail m \
         WHERE m.organization = i.organization AND m.subject_id = i.id AND m.kind = 'invoice') ORDER BY i.number"
    );
    Ok(rows.into_iter().map(|(number,)| number).collect())
}
