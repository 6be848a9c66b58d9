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

/// A notice and whom it is told.
#[derive(Debug)]
pub struct Telling {
    /// Whose.
    pub organization: String,
    /// Addresses.
    pub recipients: Vec<String>,
    /// Names what is told: the same key is told once.
    pub key: String,
    /// The facts.
    pub notice: Notice,
}

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
    let telling = Telling {
        organization: organization.id.clone(),
        recipients: recipients.to_vec(),
        key: key.to_owned(),
        notice,
    };
    let (row, mails) = rows(telling, now)?;
    if !notices::add(tx, &row).await? {
        return Ok(Vec::new());
    }
    mails::add(tx, &mails).await?;
    Ok(mails)
}

/// Like [`tell`] for many notices whose keys are known to be new, with few statements.
///
/// # Errors
/// The database fails, or a key is there already: nothing of the batch remains.
pub async fn tell_all(
    tx: &mut Tx,
    tellings: Vec<Telling>,
    now: DateTime<Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    let (mut notices, mut mails) = (Vec::with_capacity(tellings.len()), Vec::new());
    for telling in tellings {
        let (row, of_it) = rows(telling, now)?;
        notices.push(row);
        mails.extend(of_it);
    }
    notices::add_all(tx, &notices).await?;
    mails::add(tx, &mails).await?;
    Ok(mails)
}

fn rows(
    telling: Telling,
    now: DateTime<Utc>,
) -> Result<(notices::Notice, Vec<Mail>), ServiceError> {
    let Telling { organization, recipients, key, notice } = telling;
    let notice = notice.cleaned();
    let id = ids::derived("ntc", now, &[&organization, &key]);
    let everyone = recipients.join(";");
    let mails = (1_usize..)
        .zip(recipients)
        .map(|(ordinal, recipient)| {
            let key = format!("{KIND}-{key}-{ordinal}");
            Mail {
                id: ids::derived("mal", now, &[&organization, &key]),
                organization: organization.clone(),
                key,
                kind: KIND.to_owned(),
                subject_id: id.clone(),
                charge_id: None,
                recipients: everyone.clone(),
                recipient,
                state: "ready".to_owned(),
                created_at: now,
            }
        })
        .collect();
    let row = notices::Notice {
        organization,
        key,
        kind: notice.template().to_owned(),
        facts: to_json("notice", "facts", &id, &notice)?,
        created_at: now,
        id,
    };
    Ok((row, mails))
}
