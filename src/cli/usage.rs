//! `usage import`, `usage quarantine list`, `retry`, `dismiss`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use chrono::NaiveDate;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::reason;
use super::output::{Output, instant, table};
use super::usage_report;
use crate::app::App;
use crate::services::usage::{self, Imported, Quarantined, Which};
use crate::storage::quarantine::Row;

#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Import usage from CSV or CloudEvents NDJSON, told apart by content
    Import {
        /// The files; - for stdin
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// What an organization used in a cycle: sums by meter, project, day …
    Report(usage_report::Report),
    /// The events behind it, the dearest first, and how their credits came about
    List(usage_report::List),
    /// Rows that were set aside
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List them with their reasons
    List {
        /// Those taken off the list instead, and why
        #[arg(long)]
        dismissed: bool,
    },
    /// Try them again, after the cause is mended
    Retry,
    /// Take rows off the list that will never be accepted: they are not billed
    Dismiss {
        /// Ids of the rows
        #[arg(value_name = "ROW", required_unless_present = "file", conflicts_with = "file")]
        rows: Vec<String>,
        /// All rows of this file instead
        #[arg(long)]
        file: Option<String>,
        /// Of those, the rows set aside on this day (UTC)
        #[arg(long, value_name = "DATE", requires = "file")]
        received_on: Option<NaiveDate>,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

/// Quarantined rows a person is shown; all are listed by `usage quarantine list`.
const SHOWN: usize = 20;

pub(super) async fn run(app: &App, command: UsageCommand, output: &Output) -> Result<Outcome> {
    match command {
        UsageCommand::Import { files } => {
            let (mut total, mut imported_files) = (Imported::default(), 0);
            for file in files {
                let imported = match import(app, &file, output).await {
                    Ok(imported) => imported,
                    Err(error) => {
                        // What came of the files before it is told first.
                        if imported_files > 0 {
                            print(&total, output);
                        }
                        return Err(error);
                    }
                };
                imported_files += 1;
                total.accepted += imported.accepted;
                total.duplicates += imported.duplicates;
                total.credits = total.credits.plus(imported.credits)?;
                total.quarantined.extend(imported.quarantined);
            }
            Ok(print(&total, output))
        }
        UsageCommand::Report(asked) => usage_report::report(app, asked, output).await,
        UsageCommand::List(asked) => usage_report::list(app, asked, output).await,
        UsageCommand::Quarantine(QuarantineCommand::List { dismissed }) => {
            list(app, dismissed, output).await
        }
        UsageCommand::Quarantine(QuarantineCommand::Retry) => {
            let retried = usage::retry_quarantine(app).await?;
            Ok(print(&retried.imported, output))
        }
        UsageCommand::Quarantine(QuarantineCommand::Dismiss {
            rows,
            file,
            received_on,
            reason,
        }) => {
            let which = match &file {
                Some(file) => Which::OfFile(file, received_on),
                None => Which::These(&rows),
            };
            let dismissed = usage::dismiss(app, which, &reason).await?;
            let organizations: BTreeSet<&str> =
                dismissed.iter().filter_map(|row| row.organization.as_deref()).collect();
            let object = json!({"dismissed": dismissed.len(), "organizations": organizations});
            output.result(&object, || {
                format!(
                    "Dismissed {} rows of {} organizations; they are not billed. To bill them after all, import \
                     their file again.",
                    dismissed.len(),
                    organizations.len()
                )
            });
            Ok(Outcome::Done)
        }
    }
}

async fn import(app: &App, file: &Path, output: &Output) -> Result<Imported> {
    if file == Path::new("-") {
        return Ok(usage::import(app, "stdin", BufReader::new(std::io::stdin())).await?);
    }
    let open = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let length = open.metadata().map_or(0, |metadata| metadata.len());
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let bar = output.bytes_bar(length, &name);
    let reader = BufReader::with_capacity(1 << 20, bar.wrap_read(open));
    let imported = usage::import(app, &name, reader).await;
    bar.finish_and_clear();
    Ok(imported?)
}

fn print(imported: &Imported, output: &Output) -> Outcome {
    let row = |row: &Quarantined| {
        json!({"file": row.file, "line": row.line, "organization": row.organization,
            "reason": row.reason})
    };
    let object = json!({
        "accepted": imported.accepted, "duplicates": imported.duplicates,
        "quarantined": imported.quarantined.len(), "credits": imported.credits,
        "rows": imported.quarantined.iter().map(row).collect::<Vec<Value>>(),
    });
    output.result(&object, || {
        let mut text = format!(
            "Accepted {} events ({} credits), {} duplicates, {} set aside.\n",
            imported.accepted,
            imported.credits,
            imported.duplicates,
            imported.quarantined.len()
        );
        for row in imported.quarantined.iter().take(SHOWN) {
            text.push_str(&format!("  {}, line {}: {}\n", row.file, row.line, row.reason));
        }
        if imported.quarantined.len() > SHOWN {
            text.push_str("  … `usage quarantine list` shows all\n");
        }
        text
    });
    if imported.quarantined.is_empty() { Outcome::Done } else { Outcome::Trouble }
}

/// Rows that are set aside, or those that were dismissed.
async fn list(app: &App, dismissed: bool, output: &Output) -> Result<Outcome> {
    let rows =
        if dismissed { usage::dismissed(app).await? } else { usage::quarantined(app).await? };
    let object = |row: &Row| {
        json!({"id": row.id, "file": row.file, "line": row.line, "organization": row.organization,
            "reason": row.reason, "row": row.raw, "received_at": instant(row.received_at),
            "dismissed": row.dismissed, "resolved_at": row.resolved_at.map(instant)})
    };
    let objects: Vec<Value> = rows.iter().map(object).collect();
    let (none, last) = if dismissed {
        ("No row was dismissed.", "dismissed, as")
    } else {
        ("No row is set aside.", "reason")
    };
    output.result(&json!({"rows": objects}), || {
        if rows.is_empty() {
            return none.to_owned();
        }
        let cells = |row: &Row| {
            vec![
                row.id.clone(),
                row.file.clone(),
                row.line.to_string(),
                row.organization.clone().unwrap_or_default(),
                row.dismissed.as_ref().unwrap_or(&row.reason).clone(),
            ]
        };
        let cells = rows.iter().map(cells).collect();
        table(&["row", "file", "line", "organization", last], &[2], cells)
    });
    Ok(Outcome::Done)
}
