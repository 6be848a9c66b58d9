//! `alert list`, `contact import`, `contact list`.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Subcommand;
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::domain::alert::Measure;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::money::Money;
use crate::services::{alerts, contacts};
use crate::storage::alerts::Alert;

#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// Alerts, oldest first, with the figures of their moment
    List {
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
        /// Only this cycle
        #[arg(long)]
        cycle: Option<Cycle>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContactCommand {
    /// Import contacts from CSV (organization, role, email); replaces those of each organization in it
    Import {
        /// The CSV file; - for stdin
        file: PathBuf,
    },
    /// All contacts
    List {
        /// Only this organization
        #[arg(long = "org", value_name = "ORG")]
        organization: Option<String>,
    },
}

pub(super) async fn run(app: &App, command: AlertCommand, output: &Output) -> Result<Outcome> {
    let AlertCommand::List { organization, cycle } = command;
    let all = alerts::list(app, organization.as_deref(), cycle).await?;
    let rows: Vec<Value> = all
        .iter()
        .map(|row| {
            json!({"organization": row.organization, "cycle": row.cycle, "rule": row.rule,
                "measure": row.measure, "project": project(row), "kind": row.kind,
                "threshold": amount(row, row.threshold), "figure": amount(row, row.figure),
                "used": Credits::from_nano(row.used), "allowance": Credits::from_nano(row.allowance),
                "available": Credits::from_nano(row.available), "at": instant(row.recorded_at)})
        })
        .collect();
    output.result(&json!({"alerts": rows}), || {
        let rows = all
            .iter()
            .map(|row| {
                vec![
                    instant(row.recorded_at),
                    row.organization.clone(),
                    row.cycle.clone(),
                    row.rule.clone(),
                    project(row).unwrap_or_default().to_owned(),
                    row.kind.clone(),
                    amount(row, row.threshold),
                    amount(row, row.figure),
                    Credits::from_nano(row.available).to_string(),
                ]
            })
            .collect();
        let header = [
            "at",
            "organization",
            "cycle",
            "rule",
            "project",
            "what",
            "threshold",
            "figure",
            "left",
        ];
        table(&header, &[6, 7, 8], rows)
    });
    Ok(Outcome::Done)
}

fn project(row: &Alert) -> Option<&str> {
    Some(row.scope.as_str()).filter(|scope| !scope.is_empty())
}

/// A threshold or figure as people write it.
fn amount(row: &Alert, number: i64) -> String {
    match row.measure.parse() {
        Ok(Measure::CreditsLeft) => Credits::from_nano(number).to_string(),
        Ok(Measure::AllowanceUsed) => format!("{number}%"),
        Ok(Measure::Spend) => row.currency.parse().map_or_else(
            |_| number.to_string(),
            |currency| format!("{} {currency}", Money::from_minor(number, currency).amount_text()),
        ),
        _ => format!("{number} d"),
    }
}

pub(super) async fn contact(
    app: &App,
    command: ContactCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        ContactCommand::Import { file } => import(app, &file, output).await,
        ContactCommand::List { organization } => {
            let all = contacts::list(app, organization.as_deref()).await?;
            let rows: Vec<Value> = all
                .iter()
                .map(|c| json!({"organization": c.organization, "role": c.role, "email": c.email}))
                .collect();
            output.result(&json!({"contacts": rows}), || {
                let rows = all
                    .iter()
                    .map(|c| vec![c.organization.clone(), c.role.clone(), c.email.clone()])
                    .collect();
                table(&["organization", "role", "email"], &[], rows)
            });
            Ok(Outcome::Done)
        }
    }
}

async fn import(app: &App, file: &Path, output: &Output) -> Result<Outcome> {
    let imported = if file == Path::new("-") {
        contacts::import(app, std::io::stdin().lock()).await
    } else {
        let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        contacts::import(app, open).await
    };
    let file = if file == Path::new("-") { Path::new("stdin") } else { file };
    let imported = imported.map_err(|error| error.in_file(file))?;
    let rejected: Vec<Value> = imported
        .rejected
        .iter()
        .map(|row| json!({"line": row.line, "field": row.field, "reason": row.reason}))
        .collect();
    let object = json!({"organizations": imported.organizations, "contacts": imported.contacts,
        "rejected": rejected});
    output.result(&object, || {
        let mut text = format!(
            "{} contacts of {} organizations, {} rows rejected.\n",
            imported.contacts,
            imported.organizations,
            imported.rejected.len()
        );
        for row in &imported.rejected {
            text.push_str(&format!("  {}, {row}\n", file.display()));
        }
        text
    });
    Ok(if imported.rejected.is_empty() { Outcome::Done } else { Outcome::Trouble })
}
