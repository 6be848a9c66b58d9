//! The payment provider: notifications heard, and whether it answers.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_optional};
use super::{StorageError, Tx};

/// Records a notification. False: it was heard before.
pub async fn hear(
    tx: &mut Tx,
    id: &str,
    kind: &str,
    about: Option<(&str, &str)>,
    now: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "INSERT INTO provider_event (id, kind, organization, subject_id, received_at) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
        id,
        kind,
        about.map(|(organization, _)| organization.to_owned()),
        about.map(|(_, subject)| subject.to_owned()),
        now
    );
    Ok(touched == 1)
}

/// Was a notification heard before?
pub async fn heard(tx: &mut Tx, id: &str) -> Result<bool, StorageError> {
    let row = fetch_optional!(tx, (String,), "SELECT id FROM provider_event WHERE id = $1", id);
    Ok(row.is_some())
}

/// How a provider has been answering.
#[derive(Debug, Clone, Default, PartialEq, Eq, Record!)]
pub struct Health {
    /// Unclear answers in a row.
    pub failures: i64,
    /// Not asked before this instant.
    pub open_until: Option<DateTime<Utc>>,
}

/// How a provider has been answering.
pub async fn health(tx: &mut Tx, provider: &str) -> Result<Health, StorageError> {
    let row = fetch_optional!(
        tx,
        Health,
        "SELECT failures, open_until FROM provider_health WHERE provider = $1",
        provider
    );
    Ok(row.unwrap_or_default())
}

/// Records how a provider has been answering.
pub async fn set_health(tx: &mut Tx, provider: &str, health: &Health) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO provider_health (provider, failures, open_until) VALUES ($1, $2, $3) \
         ON CONFLICT (provider) DO UPDATE SET failures = excluded.failures, open_until = excluded.open_until",
        provider,
        health.failures,
        health.open_until
    );
    Ok(())
}
