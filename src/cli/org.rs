//! `org import`, `list`, `show`, `pause`, `resume`.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::OrgCommand;
use super::output::{Output, instant, pause_reason, state_text, table};
use crate::app::App;
use crate::domain::decimal;
use crate::domain::plan::{CycleTerms, RolloverCap, Term};
use crate::services::admission::{self, Standing};
use crate::services::{credits, organizations};
use crate::storage::organizations::Stored;

pub(super) async fn run(app: &App, command: OrgCommand, output: &Output) -> Result<Outcome> {
    match command {
        OrgCommand::Import { file } => import(app, &file, output).await,
        OrgCommand::List => list(app, output).await,
        OrgCommand::Show { organization } => show(app, &organization, output).await,
        OrgCommand::Pause { organization, reason } => {
            let standing = admission::pause(app, &organization, &reason).await?;
            Ok(print_standing(&standing, output))
        }
        OrgCommand::Resume { organization, reason } => {
            let standing = admission::resume(app, &organization, &reason).await?;
            Ok(print_standing(&standing, output))
        }
    }
}

async fn import(app: &App, file: &Path, output: &Output) -> Result<Outcome> {
    let imported = if file == Path::new("-") {
        organizations::import(app, std::io::stdin().lock()).await
    } else {
        let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        organizations::import(app, open).await
    };
    let file = if file == Path::new("-") { Path::new("stdin") } else { file };
    let imported = imported.map_err(|error| error.in_file(file))?;
    let reason = |row: &crate::intake::organizations::Rejected| match row.field {
        Some(field) => format!("{field}: {}", row.reason),
        None => row.reason.clone(),
    };
    let rejected: Vec<Value> = imported
        .rejected
        .iter()
        .map(|row| json!({"line": row.line, "field": row.field, "reason": reason(row)}))
        .collect();
    let object =
        json!({"created": imported.created, "updated": imported.updated, "rejected": rejected});
    output.result(&object, || {
        let mut text = format!(
            "Created {}, updated {}, rejected {}.\n",
            imported.created,
            imported.updated,
            imported.rejected.len()
        );
        for row in &imported.rejected {
            text.push_str(&format!("  {}, line {}: {}\n", file.display(), row.line, reason(row)));
        }
        text
    });
    Ok(if imported.rejected.is_empty() { Outcome::Done } else { Outcome::Trouble })
}

fn print_standing(standing: &Standing, output: &Output) -> Outcome {
    let object = json!({"organization": standing.organization, "state": standing.state(),
        "reason": standing.reason, "available": standing.available});
    output.result(&object, || match standing.reason {
        None => format!("{} is active.", standing.organization),
        Some(reason) => {
            format!("{} is paused: {}.", standing.organization, pause_reason(reason))
        }
    });
    Outcome::Done
}

async fn list(app: &App, output: &Output) -> Result<Outcome> {
    let all = organizations::list(app).await?;
    let standings = admission::of_all(app).await?;
    let reason = |stored: &Stored| {
        standings.get(&stored.organization.id).and_then(|standing| standing.reason)
    };
    let state = |stored: &Stored| admission::state(reason(stored));
    let rows: Vec<Value> = all
        .iter()
        .map(|stored| {
            let o = &stored.organization;
            json!({"id": o.id, "name": o.name, "plan": o.plan, "state": state(stored),
                "reason": reason(stored), "zone": o.zone.name(), "currency": o.currency})
        })
        .collect();
    output.result(&json!({"organizations": rows}), || {
        let rows = all
            .iter()
            .map(|stored| {
                let o = &stored.organization;
                vec![
                    o.id.clone(),
                    o.name.clone(),
                    o.plan.clone(),
                    state(stored).to_owned(),
                    o.zone.name().to_owned(),
                    o.currency.to_string(),
                ]
            })
            .collect();
        table(&["id", "name", "plan", "state", "zone", "currency"], &[], rows)
    });
    Ok(Outcome::Done)
}

async fn show(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let (stored, open) = organizations::show(app, id).await?;
    let balance = credits::balance(app, id).await?;
    let o = &stored.organization;
    let contract = json!({
        "allowance": o.contract.allowance,
        "rollover_cycles": o.contract.rollover.map(term),
        "rollover_cap": o.contract.rollover_cap.map(cap),
        "fee": o.contract.fee,
        "overage_price": o.contract.overage_price.map(decimal::text),
    });
    let object = json!({
        "id": o.id, "name": o.name, "plan": o.plan, "state": admission::state(balance.reason),
        "reason": balance.reason,
        "billing_emails": o.billing_emails, "joined_on": o.joined_on, "zone": o.zone.name(),
        "currency": o.currency, "country": o.country, "address": o.address, "tax_id": o.tax_id,
        "tax_percent": decimal::text(o.tax_percent), "language": o.language,
        "payment_method": o.payment_method.as_ref().map(|method| app.gateway.describe(method)),
        "contract": contract,
        "open_cycle": open.as_ref().map(|open| json!({
            "cycle": open.open.cycle, "starts_at": instant(open.open.bounds.starts_at),
            "ends_at": instant(open.open.bounds.ends_at), "due_at": instant(open.due_at),
            "plan": open.open.terms.plan, "allowance": open.open.terms.allowance,
            "fee": open.open.terms.fee, "overage_price": open.open.terms.overage_price.map(decimal::text),
        })),
        "available": balance.available,
    });
    output.result(&object, || {
        let mut text = format!("{} — {}\n", o.id, o.name);
        let cycle = open.as_ref().map_or_else(String::new, |open| {
            format!("{}, ends {}", open.open.cycle, instant(open.open.bounds.ends_at))
        });
        let is_new = open.as_ref().is_some_and(|open| open.open.terms.plan != o.plan);
        let plan = format!("{}{}", o.plan, if is_new { ", from the next cycle on" } else { "" });
        let terms = open.as_ref().map_or_else(String::new, |open| frozen(&open.open.terms));
        for (what, value) in [
            ("plan", plan),
            ("state", state_text(balance.reason)),
            ("available", format!("{} credits", balance.available)),
            ("open cycle", cycle),
            ("its terms", terms),
            ("zone, currency", format!("{}, {}", o.zone.name(), o.currency)),
            ("joined on", o.joined_on.to_string()),
            ("mails go to", o.billing_emails.join(", ")),
            (
                "payment method",
                o.payment_method
                    .as_ref()
                    .map_or("none".to_owned(), |method| app.gateway.describe(method)),
            ),
            ("tax", format!("{} %", decimal::text(o.tax_percent))),
            ("own terms", own_terms(&contract)),
        ] {
            text.push_str(&format!("  {what:<16}{value}\n"));
        }
        text
    });
    Ok(Outcome::Done)
}

/// The terms a cycle has had since it opened: a plan or contract that changed since holds from the next one on.
fn frozen(terms: &CycleTerms) -> String {
    let overage = terms.overage_price.map_or_else(
        || "pauses without credits".to_owned(),
        |price| format!("overage {}", decimal::text(price)),
    );
    format!("plan {}, {} credits, fee {}, {overage}", terms.plan, terms.allowance, terms.fee)
}

/// What a contract says, for people; nothing where the plan decides.
fn own_terms(contract: &Value) -> String {
    let said = contract.as_object().into_iter().flatten().filter_map(|(name, value)| match value {
        Value::Null => None,
        Value::String(text) => Some(format!("{name} {text}")),
        money => {
            let part = |key: &str| money[key].as_str().unwrap_or_default().to_owned();
            Some(format!("{name} {} {}", part("amount"), part("currency")))
        }
    });
    let said: Vec<String> = said.collect();
    if said.is_empty() { "none, the plan's".to_owned() } else { said.join(", ") }
}

fn term(term: Term) -> String {
    match term {
        Term::Cycles(cycles) => cycles.to_string(),
        Term::Never => "never".to_owned(),
    }
}

fn cap(cap: RolloverCap) -> String {
    match cap {
        RolloverCap::Credits(credits) => credits.to_string(),
        RolloverCap::Percent(percent) => format!("{}%", decimal::text(percent)),
    }
}
