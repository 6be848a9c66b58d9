//! What follows from a charge: its derived key before, the facts after the provider's word.

pub mod attempts;
mod invoice;
mod purchase;
mod reversals;
pub mod transfers;

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};

pub use attempts::{last_attempt, next_attempt};
pub use invoice::{begin_dunning, paid};
pub use reversals::reverse_transfer;
pub use transfers::{Transfer, record_transfer};

use super::consequences::Consequences;
use super::{ServiceError, no_organization};
use crate::app::App;
use crate::domain::ids;
use crate::domain::money::Money;
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeRequest, ChargeState, VOIDED};
use crate::storage::charges::{self, Charge, Subject};
use crate::storage::organizations::Stored;
use crate::storage::{Key, StorageError, Tx, ledger, methods, organizations};

/// What a charge is for.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// Invoice or purchase.
    pub subject: Subject,
    /// Its id.
    pub subject_id: &'a str,
    /// Who pays.
    pub organization: &'a str,
    /// The number or id the provider shows.
    pub reference: &'a str,
    /// How much.
    pub amount: Money,
    /// With which stored method.
    pub payment_method: &'a str,
    /// 1, 2, 3 …
    pub attempt: i64,
}

/// The charge of an intent. Its key is derived, so a restart, a second worker and a restored backup
/// come to the same one.
#[must_use]
pub fn charge_of(app: &App, intent: &Intent<'_>, now: DateTime<Utc>) -> Charge {
    let attempt = intent.attempt.to_string();
    let parts = [app.deployment.as_str(), intent.organization, intent.subject_id, &attempt];
    Charge {
        id: ids::derived("chg", now, &parts[1..]),
        subject: intent.subject,
        subject_id: intent.subject_id.to_owned(),
        attempt: intent.attempt,
        request: ChargeRequest {
            key: ids::key("monthend", &parts),
            amount: intent.amount,
            payment_method: intent.payment_method.to_owned(),
            organization: intent.organization.to_owned(),
            reference: intent.reference.to_owned(),
        },
        state: ChargeState::Intended,
        provider_id: None,
        message: None,
        decline_code: None,
        decline_hard: false,
        lookups: 0,
        first_sent_at: None,
    }
}

/// Records the provider's word and everything that follows, in the caller's transaction. A charge that is
/// settled already leaves nothing to do.
///
/// # Errors
/// The database fails, or an amount is out of range.
pub async fn settle(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
) -> Result<Consequences, ServiceError> {
    let all = settle_together(app, tx, &[(charge, outcome)]).await?;
    Ok(all.into_iter().next().unwrap_or_default())
}

/// As [`settle`], of many charges: what each leaves behind, in their order.
///
/// # Errors
/// As [`settle`], about any of them.
pub async fn settle_together(
    app: &App,
    tx: &mut Tx,
    answers: &[(&Charge, &ChargeOutcome)],
) -> Result<Vec<Consequences>, ServiceError> {
    let now = app.clock.now();
    let keys: Vec<Key> = answers.iter().map(|(charge, _)| charge.key()).collect();
    let organizations = organizations_of(&keys);
    ledger::lock_these(tx, &organizations).await?;
    // What was told before is not told again: a charge that still waits has nothing new to say.
    let before = charges::these(tx, &keys).await?;
    let settled = charges::settle(tx, answers, now).await?;
    let stored: HashMap<String, Stored> = organizations::these(tx, &organizations)
        .await?
        .into_iter()
        .map(|stored| (stored.organization.id.clone(), stored))
        .collect();
    let mut follows: Vec<Consequences> = answers.iter().map(|_| Consequences::default()).collect();
    let mut paid = Vec::new();
    for (index, ((charge, outcome), key)) in answers.iter().zip(&keys).enumerate() {
        let told = before.get(key).is_some_and(|before| before.state == outcome.state());
        if !settled.contains(key) || told {
            continue;
        }
        let id = charge.request.organization.as_str();
        if let ChargeOutcome::Declined { decline, .. } = outcome
            && decline.hard
        {
            // Never again with this method, whatever it is asked to pay for.
            methods::refuse(tx, id, &charge.request.payment_method).await?;
        }
        let stored = stored.get(id).ok_or_else(|| no_organization(id))?;
        match (charge.subject, outcome) {
            (Subject::Invoice, ChargeOutcome::Succeeded { provider_id }) => {
                paid.push(invoice::Paid { index, charge, provider_id, stored });
            }
            (Subject::Invoice, _) => {
                follows[index] = invoice::not_paid(app, tx, charge, outcome, stored, now).await?;
            }
            (Subject::Purchase, _) => {
                follows[index] = purchase::settle(app, tx, charge, outcome, stored, now).await?;
            }
        }
    }
    for (index, mails) in invoice::succeed(app, tx, &paid, now).await? {
        follows[index] = Consequences::mails(mails);
    }
    Ok(follows)
}

/// The organizations of some keys, each once and in order: locks are taken in one order everywhere.
fn organizations_of(keys: &[Key]) -> Vec<String> {
    let all: BTreeSet<&String> = keys.iter().map(|(organization, _)| organization).collect();
    all.into_iter().cloned().collect()
}

/// Was an attempt called off by a person or by us? Nobody declined it then: there is nothing to tell.
#[must_use]
pub fn is_called_off(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::Declined { decline, .. }
        if decline.code == VOIDED || decline.code == CANCELED)
}

impl From<ServiceError> for StorageError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Storage(error) => error,
            other => Self::Refused(other.to_string()),
        }
    }
}
