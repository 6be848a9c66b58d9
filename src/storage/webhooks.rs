//! The outbox of webhooks: a row for each fact and endpoint, made in the transaction of the fact.

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_optional, insert};
use super::{StorageError, Tx, one_or_all};

/// A webhook to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Webhook {
    /// Whose.
    pub organization: String,
    /// Its id, the same at each attempt.
    pub id: String,
    /// Name of the endpoint it goes to.
    pub endpoint: String,
    /// What it tells: `organization.paused`.
    pub event: String,
    /// Which change of the organization it tells: 1, 2, 3 …
    pub version: i64,
    /// The body, to the byte.
    pub payload: String,
    /// `ready` or `sent`.
    pub state: String,
    /// When the fact happened.
    pub created_at: DateTime<Utc>,
}

/// A webhook as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Listed {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// Name of the endpoint it goes to.
    pub endpoint: String,
    /// What it tells.
    pub event: String,
    /// Which change of the organization it tells.
    pub version: i64,
    /// `ready`, `sent` or `parked`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it waits or is parked.
    pub error: Option<String>,
    /// When the fact happened.
    pub created_at: DateTime<Utc>,
    /// When the endpoint took it.
    pub sent_at: Option<DateTime<Utc>>,
}

/// Records webhooks; one that is there already is left alone.
pub async fn add(tx: &mut Tx, rows: &[Webhook]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO webhook (organization, id, endpoint, event, version, payload, state, created_at)",
        " ON CONFLICT (organization, id) DO NOTHING",
        rows,
        row => [
            &row.organization,
            &row.id,
            &row.endpoint,
            &row.event,
            row.version,
            &row.payload,
            "ready",
            row.created_at,
        ]
    );
    Ok(())
}

/// One webhook.
pub async fn get(
    tx: &mut Tx,
    organization: &str,
    id: &str,
) -> Result<Option<Webhook>, StorageError> {
    Ok(fetch_optional!(
        tx,
        Webhook,
        "SELECT organization, id, endpoint, event, version, payload, state, created_at FROM webhook \
         WHERE organization = $1 AND id = $2",
        organization,
        id
    ))
}

/// Marks a webhook as taken by its endpoint.
pub async fn mark_sent(
    tx: &mut Tx,
    organization: &str,
    id: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE webhook SET state = 'sent', sent_at = $3 WHERE organization = $1 AND id = $2 AND state = 'ready'",
        organization,
        id,
        now
    );
    Ok(())
}

/// Webhooks of one organization or all, oldest first, with where their steps stand.
pub async fn list(tx: &mut Tx, organization: Option<&str>) -> Result<Vec<Listed>, StorageError> {
    let (first, last) = one_or_all(organization);
    Ok(fetch_all!(
        tx,
        Listed,
        "SELECT w.organization, w.id, w.endpoint, w.event, w.version, \
         CASE WHEN s.state = 'parked' THEN 'parked' ELSE w.state END AS state, \
         COALESCE(s.attempts, 0) AS attempts, s.error, w.created_at, w.sent_at FROM webhook w \
         LEFT JOIN step s ON s.organization = w.organization AND s.kind = 'webhook' AND s.subject = w.id \
         WHERE w.organization BETWEEN $1 AND $2 ORDER BY w.created_at, w.organization, w.version, w.id",
        first,
        last
    ))
}

/// How many webhooks there are.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let rows = fetch_all!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM webhook");
    Ok(rows.first().map_or(0, |(count,)| *count))
}

/// Webhooks that are not sent and that no step will send: none at rest.
pub async fn stranded(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT w.id FROM webhook w WHERE w.state = 'ready' AND NOT EXISTS (SELECT 1 FROM step s \
         WHERE s.kind = 'webhook' AND s.organization = w.organization AND s.subject = w.id \
         AND s.state IN ('ready', 'leased', 'parked')) ORDER BY w.id"
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}
