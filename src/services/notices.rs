//! Notices: facts frozen in the transaction that makes them true, told to the people they concern.

use chrono::{DateTime, Utc};

use super::ServiceError;
use crate::domain::ids;
use crate::domain::organization::Organization;
use crate::mail::Notice;
use crate::storage::mails::{self, Mail};
use crate::storage::{Tx, notices, to_json};

/// The stored kind of mails that tell a notice.
pub const KIND: &str = "notice";

/// Records a notice and its mails, in the caller's transaction; gives the mails, which need steps. A notice
/// whose key was told before gives none: the key names what is told, such as `reminder-INVOICE-STAGE`.
///
/// # Errors
/// The database fails.
pub async fn tell(
    tx: &mut Tx,
    organization: &Organization,
    recipients: &[String],
    key: &str,
    notice: Notice,
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let notice = notice.cleaned();
    let id = ids::derived("ntc", now, &[&organization.id, key]);
    let row = notices::Notice {
        organization: organization.id.clone(),
        key: key.to_owned(),
        kind: notice.template().to_owned(),
        facts: to_json("notice", "facts", &id, &notice)?,
        created_at: now,
        id,
    };
    if !notices::add(tx, &row).await? {
        return Ok(Vec::new());
    }
    let everyone = recipients.join(";");
    let rows: Vec<Mail> = (1_usize..)
        .zip(recipients)
        .map(|(ordinal, recipient)| {
            let key = format!("{KIND}-{key}-{ordinal}");
            Mail {
                id: ids::derived("mal", now, &[&organization.id, &key]),
                organization: organization.id.clone(),
                key,
                kind: KIND.to_owned(),
                subject_id: row.id.clone(),
                charge_id: None,
                recipients: everyone.clone(),
                recipient: recipient.clone(),
                state: "ready".to_owned(),
                created_at: now,
            }
        })
        .collect();
    mails::add(tx, &rows).await?;
    Ok(rows)
}
