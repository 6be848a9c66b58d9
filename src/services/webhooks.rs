//! Webhooks as people look at them: what was sent, and does an endpoint take a test.

use chrono::SecondsFormat;
use serde_json::json;

use super::{ServiceError, identity, no_organization};
use crate::app::{App, random_id};
use crate::storage::organizations;
use crate::storage::webhooks::{self, Listed};
use crate::webhooks::Message;

/// Webhooks of one organization or all, oldest first.
///
/// # Errors
/// There is no such organization.
pub async fn list(app: &App, organization: Option<&str>) -> Result<Vec<Listed>, ServiceError> {
    let mut tx = app.db.read().await?;
    if let Some(id) = organization {
        organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    }
    Ok(webhooks::list(&mut tx, organization).await?)
}

/// Sends a test event to each endpoint; gives what each said, none where it took it. Nothing is stored.
///
/// # Errors
/// No endpoint is configured.
pub async fn test(app: &App) -> Result<Vec<(String, Option<String>)>, ServiceError> {
    identity::allow_effects(app)?;
    let now = app.clock.now();
    let timestamp = now.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let payload = json!({"type": "webhook.test", "timestamp": timestamp, "data": {}}).to_string();
    let mut tried = Vec::new();
    for endpoint in app.webhooks.names() {
        let id = random_id("msg").map_err(|error| ServiceError::Refused(error.to_string()))?;
        let message = Message { endpoint, id: &id, payload: &payload };
        let sent = app.webhooks.send(&message, now).await;
        tried.push((endpoint.to_owned(), sent.err().map(|error| error.to_string())));
    }
    if tried.is_empty() {
        return Err(ServiceError::Refused(
            "no endpoint is configured; add [[webhooks]] to monthend.toml".to_owned(),
        ));
    }
    Ok(tried)
}
