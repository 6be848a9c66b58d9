//! `webhook list`, `webhook test`.

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::WebhookCommand;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::services::webhooks;

pub(super) async fn run(app: &App, command: WebhookCommand, output: &Output) -> Result<Outcome> {
    match command {
        WebhookCommand::List { organization } => list(app, organization.as_deref(), output).await,
        WebhookCommand::Test => test(app, output).await,
    }
}

async fn list(app: &App, organization: Option<&str>, output: &Output) -> Result<Outcome> {
    let all = webhooks::list(app, organization).await?;
    let objects: Vec<Value> = all
        .iter()
        .map(|row| {
            json!({"id": row.id, "organization": row.organization, "endpoint": row.endpoint,
                "event": row.event, "version": row.version, "state": row.state,
                "attempts": row.attempts, "error": row.error,
                "created_at": instant(row.created_at), "sent_at": row.sent_at.map(instant)})
        })
        .collect();
    output.result(&json!({"webhooks": objects}), || {
        if all.is_empty() {
            return "No webhook was made.".to_owned();
        }
        let rows = all
            .iter()
            .map(|row| {
                vec![
                    row.organization.clone(),
                    row.event.clone(),
                    row.version.to_string(),
                    row.endpoint.clone(),
                    row.state.clone(),
                    row.attempts.to_string(),
                    row.error.clone().unwrap_or_default(),
                ]
            })
            .collect();
        table(
            &["organization", "event", "version", "endpoint", "state", "attempts", ""],
            &[2, 5],
            rows,
        )
    });
    Ok(Outcome::Done)
}

async fn test(app: &App, output: &Output) -> Result<Outcome> {
    let tried = webhooks::test(app).await?;
    let objects: Vec<Value> = tried
        .iter()
        .map(|(endpoint, error)| {
            json!({"endpoint": endpoint, "ok": error.is_none(), "error": error})
        })
        .collect();
    output.result(&json!({"endpoints": objects}), || {
        let lines = tried.iter().map(|(endpoint, error)| match error {
            None => format!("{endpoint}: took the test event"),
            Some(error) => format!("{endpoint}: {error}"),
        });
        lines.collect::<Vec<_>>().join("\n")
    });
    let fine = tried.iter().all(|(_, error)| error.is_none());
    Ok(if fine { Outcome::Done } else { Outcome::Trouble })
}
