//! Refunds: money given back for a credit note, by the provider or by a transfer.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional};
use super::{StorageError, Tx, by_organization, parsed};
use crate::domain::money::{Currency, Money};

/// A stored refund.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Refund {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// The credit note it belongs to.
    pub document_id: String,
    /// The charge that took the money; none: it came by transfer and goes back so.
    pub charge_id: Option<String>,
    /// Idempotency key.
    pub key: String,
    /// ISO 4217.
    pub currency: String,
    /// Minor units.
    pub amount: i64,
    /// `charge` or `transfer`.
    pub method: String,
    /// `intended`, `sent`, `unknown`, `pending`, `succeeded` or `failed`.
    pub state: String,
    /// The provider's id, or the bank's reference.
    pub provider_id: Option<String>,
    /// Why it failed, or what is unclear.
    pub message: Option<String>,
    /// Look-ups made of an unknown outcome.
    pub lookups: i64,
    /// When it was decided.
    pub created_at: DateTime<Utc>,
    /// When it was first sent.
    pub first_sent_at: Option<DateTime<Utc>>,
    /// When it came back after it had succeeded.
    pub returned_at: Option<DateTime<Utc>>,
}

impl Refund {
    /// The amount.
    pub fn money(&self) -> Result<Money, StorageError> {
        let currency: Currency = parsed("refund", "currency", &self.id, &self.currency)?;
        Ok(Money::from_minor(self.amount, currency))
    }

    /// Has it come to its end?
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "failed")
    }

    /// Does the customer have the money?
    #[must_use]
    pub fn has_arrived(&self) -> bool {
        self.state == "succeeded" && self.returned_at.is_none()
    }

    /// Did its way of going back come to nothing? Another refund took its place.
    #[must_use]
    pub fn was_in_vain(&self) -> bool {
        self.state == "failed" || self.returned_at.is_some()
    }
}

/// Columns of a refund.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT organization, id, document_id, charge_id, key, currency, amount, method, state, provider_id, ",
            "message, lookups, created_at, first_sent_at, returned_at FROM refund ",
            $condition
        )
    };
}

/// Records a refund that is to be made.
pub async fn add(tx: &mut Tx, refund: &Refund) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO refund (organization, id, document_id, charge_id, key, currency, amount, method, state, \
         provider_id, message, lookups, created_at, first_sent_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        refund.organization.clone(),
        refund.id.clone(),
        refund.document_id.clone(),
        refund.charge_id.clone(),
        refund.key.clone(),
        refund.currency.clone(),
        refund.amount,
        refund.method.clone(),
        refund.state.clone(),
        refund.provider_id.clone(),
        refund.message.clone(),
        refund.lookups,
        refund.created_at,
        refund.first_sent_at
    );
    Ok(())
}

/// One refund.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<Refund>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Refund,
        select!("WHERE organization = $1 AND id = $2"),
        organization,
        id
    ))
}

/// The refund of a key.
pub async fn by_key(tx: &mut Tx, key: &str) -> Result<Option<Refund>, StorageError> {
    Ok(fetch_optional!(tx, Refund, select!("WHERE key = $1"), key))
}

/// The refunds of a credit note, oldest first.
pub async fn of_document(
    tx: &mut Tx,
    organization: &str,
    document_id: &str,
) -> Result<Vec<Refund>, StorageError> {
    Ok(fetch_all!(
        tx,
        Refund,
        select!("WHERE organization = $1 AND document_id = $2 ORDER BY created_at, id"),
        organization,
        document_id
    ))
}

/// All refunds of an organization, oldest first.
pub async fn of_organization(tx: &mut Tx, organization: &str) -> Result<Vec<Refund>, StorageError> {
    let mut refunds = in_range(tx, organization, organization).await?;
    Ok(refunds.remove(organization).unwrap_or_default())
}

/// All refunds of a range of organizations, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Refund>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Refund,
        select!("WHERE organization BETWEEN $1 AND $2 ORDER BY organization, created_at, id"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// Records that nothing left after all: the window of its key has not begun.
pub async fn mark_not_sent(tx: &mut Tx, refund: &Refund) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE refund SET state = 'intended', first_sent_at = NULL \
         WHERE organization = $1 AND id = $2 AND state = 'sent'",
        refund.organization.clone(),
        refund.id.clone()
    );
    Ok(())
}

/// Records that a refund came back after it had succeeded. False: that is known.
pub async fn mark_returned(
    tx: &mut Tx,
    refund: &Refund,
    message: &str,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE refund SET returned_at = $3, message = $4 \
         WHERE organization = $1 AND id = $2 AND state = 'succeeded' AND returned_at IS NULL",
        refund.organization.clone(),
        refund.id.clone(),
        now,
        message.to_owned()
    );
    Ok(touched == 1)
}

/// Refunds of everyone that have not ended, oldest first.
pub async fn open(tx: &mut Tx) -> Result<Vec<Refund>, StorageError> {
    Ok(fetch_all!(
        tx,
        Refund,
        select!("WHERE state NOT IN ('succeeded', 'failed') ORDER BY created_at, id")
    ))
}

/// Records where a refund stands; a final one is left alone. False: it was final already.
pub async fn set_state(
    tx: &mut Tx,
    refund: &Refund,
    state: &str,
    provider_id: Option<&str>,
    message: Option<&str>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE refund SET state = $3, provider_id = COALESCE($4, provider_id), message = $5, \
         first_sent_at = CASE WHEN $3 = 'sent' THEN COALESCE(first_sent_at, $6) ELSE first_sent_at END, \
         lookups = lookups + CASE WHEN $3 = 'unknown' THEN 1 ELSE 0 END, \
         settled_at = CASE WHEN $3 IN ('succeeded', 'failed') THEN $6 ELSE NULL END \
         WHERE organization = $1 AND id = $2 AND state NOT IN ('succeeded', 'failed')",
        refund.organization.clone(),
        refund.id.clone(),
        state.to_owned(),
        provider_id.map(str::to_owned),
        message.map(str::to_owned),
        now
    );
    Ok(touched == 1)
}
