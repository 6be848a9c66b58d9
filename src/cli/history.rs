//! `history ORG` and `payment list`: what was billed, bought, paid and given back.

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, instant, path, table};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::services::history::{self, Entry, Paid, Recurring};

pub(super) async fn run(app: &App, organization: &str, output: &Output) -> Result<Outcome> {
    let history = history::of_organization(app, organization).await?;
    let objects: Vec<Value> = history.entries.iter().map(|entry| object(app, entry)).collect();
    let recurring = history.recurring.as_ref().map(recurring_json);
    output.result(
        &json!({"organization": organization, "entries": objects, "recurring": recurring}),
        || {
            let rows = history.entries.iter().map(cells).collect();
            let header = ["at", "what", "number", "money", "credits", "status", "by"];
            let mut text = table(&header, &[3, 4], rows);
            if let Some(again) = &history.recurring {
                text.push_str(&recurring_text(again));
            }
            text
        },
    );
    Ok(Outcome::Done)
}

fn object(app: &App, entry: &Entry) -> Value {
    json!({"at": instant(entry.at), "kind": entry.kind, "id": entry.id, "number": entry.number,
        "amount": entry.amount, "credits": entry.credits, "status": entry.status, "by": entry.by,
        "pdf": entry.pdf.as_ref().map(|pdf| path(&app.documents().join(pdf)))})
}

fn cells(entry: &Entry) -> Vec<String> {
    vec![
        entry.at.format("%Y-%m-%d %H:%M").to_string(),
        entry.kind.replace('_', " "),
        entry.number.clone().unwrap_or_default(),
        entry.amount.map(|money| money.to_string()).unwrap_or_default(),
        entry.credits.map(|credits| credits.to_string()).unwrap_or_default(),
        entry.status.clone(),
        entry.by.clone().unwrap_or_default(),
    ]
}

fn recurring_json(again: &Recurring) -> Value {
    json!({"plan": again.plan, "fee": again.fee, "allowance": again.allowance,
        "next_invoice_at": instant(again.next_invoice_at),
        "recharge": again.recharge.as_ref().map(|recharge| json!({"state": recharge.state,
            "below": Credits::from_nano(recharge.threshold), "package": recharge.package}))})
}

fn recurring_text(again: &Recurring) -> String {
    let mut text = format!(
        "\nThis cycle: plan {}, {}, {} credits; next invoice {}",
        again.plan,
        again.fee,
        again.allowance,
        instant(again.next_invoice_at)
    );
    if let Some(recharge) = &again.recharge {
        let below = Credits::from_nano(recharge.threshold);
        text.push_str(&format!(
            "\nAutomatic purchases ({}): {} below {below} credits",
            recharge.state, recharge.package
        ));
    }
    text
}

pub(super) async fn payments(
    app: &App,
    organization: Option<&str>,
    limit: usize,
    output: &Output,
) -> Result<Outcome> {
    let all = history::payments(app, organization, limit).await?;
    let objects: Vec<Value> = all
        .iter()
        .map(|paid| {
            json!({"payment": paid.id, "organization": paid.organization, "at": instant(paid.at),
                "reference": paid.reference, "attempt": paid.attempt, "amount": paid.amount,
                "method": paid.method, "state": paid.state, "provider_id": paid.provider_id,
                "message": paid.message})
        })
        .collect();
    output.result(&json!({"payments": objects}), || {
        if all.is_empty() {
            return "There is no payment yet.".to_owned();
        }
        let header =
            ["at", "organization", "for", "attempt", "amount", "method", "state", "message"];
        table(&header, &[3, 4], all.iter().map(paid_cells).collect())
    });
    Ok(Outcome::Done)
}

fn paid_cells(paid: &Paid) -> Vec<String> {
    vec![
        paid.at.format("%Y-%m-%d %H:%M").to_string(),
        paid.organization.clone(),
        paid.reference.clone(),
        paid.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
        paid.amount.to_string(),
        paid.method.clone(),
        paid.state.clone(),
        paid.message.clone().unwrap_or_default(),
    ]
}
