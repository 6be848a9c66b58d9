//! `demo`: three months of seven organizations, on real input, through the same calls as any deployment.

mod input;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::credits::statement_text;
use super::output::{Output, path, table};
use crate::app::{App, Options, open_database, sqlite_address};
use crate::clock::HandClock;
use crate::config::Config;
use crate::files::{store_batch, write_durably};
use crate::intake::catalog_file;
use crate::jobs::requests;
use crate::jobs::runner::Runner;
use crate::services::purchases::Wanted;
use crate::services::{catalogs, credits, invoices, organizations, usage};
use crate::storage::invoices::Row;
use crate::verify;

/// The folder, and the file that tells it is a demo's.
const FOLDER: &str = "monthend-demo";
const MARK: &str = "this-is-a-demo";

pub(super) async fn run(dir: &Path, output: &Output) -> Result<Outcome> {
    let home = dir.join(FOLDER);
    fresh(&home)?;
    let clock = Arc::new(HandClock::new(instant("2023-11-01T00:00:00Z")?));
    let app = open(&home, clock.clone()).await?;
    let bar = output.spinner("three months of seven organizations");
    let played = play(&app, &clock).await;
    bar.finish_and_clear();
    played?;
    let rows = invoices::list(&app, None, None).await?;
    let statements = statements(&app, &rows).await?;
    let mails = mails(&home)?;
    let sound = verify::verify(&app).await?.iter().all(verify::Check::ok);
    let objects =
        rows.iter().map(|row| super::invoice::row_json(&app, row)).collect::<Result<Vec<_>>>()?;
    output.result(
        &json!({"folder": path(&home), "invoices": objects, "mails": mails, "statements": statements,
            "verified": sound}),
        || text(&home, &rows, &mails, &statements, sound),
    );
    app.db.close().await;
    Ok(if sound { Outcome::Done } else { Outcome::Trouble })
}

/// Makes the folder anew; one that no demo made is left alone.
fn fresh(home: &Path) -> Result<()> {
    if home.exists() {
        if !home.join(MARK).exists() {
            bail!("{} exists and was not made by the demo; move it away first", home.display());
        }
        std::fs::remove_dir_all(home)
            .with_context(|| format!("cannot remove the old {}", home.display()))?;
    }
    super::init::files(home, false)?;
    write_durably(
        &home.join(MARK),
        b"made by `monthend demo`; the next demo removes this folder\n",
    )?;
    Ok(())
}

async fn open(home: &Path, clock: Arc<HandClock>) -> Result<Arc<App>> {
    let config = Config::load(home)?;
    let options = Options {
        home: home.to_owned(),
        database: None,
        clock,
        clock_is_set: true,
        actor: "demo".to_owned(),
    };
    let db = open_database(&sqlite_address(home)).await?;
    Ok(Arc::new(App::with_database(options, config, db).await?))
}

fn instant(text: &str) -> Result<DateTime<Utc>> {
    Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc))
}

/// The three months.
async fn play(app: &Arc<App>, clock: &HandClock) -> Result<()> {
    catalogs::apply(app, "catalog.toml", catalog_file::STARTER).await?;
    let first_day = chrono::NaiveDate::from_ymd_opt(2023, 11, 1);
    catalogs::import_prices(app, input::PRICES, first_day).await?;
    let imported = organizations::import(app, input::ORGANIZATIONS.as_bytes()).await?;
    if let Some(rejected) = imported.rejected.first() {
        bail!("the demo's organizations: {rejected}");
    }
    for month in &input::MONTHS {
        clock.set(instant(month.used_by)?);
        let file = format!("usage-{}.csv", month.cycle);
        let csv = input::usage(month)?;
        write_durably(&app.home.join(&file), csv.as_bytes())?;
        let used = usage::import(app, &file, std::io::Cursor::new(csv)).await?;
        if let Some(row) = used.quarantined.first() {
            bail!("{file}, line {}: {}", row.line, row.reason);
        }
        if let Some(package) = month.bought {
            requests::buy(app, "example-studio", &Wanted::Package(package.to_owned())).await?;
        }
        clock.set(instant(month.closed_at)?);
        Runner::new(app.clone(), CancellationToken::new())?.tick(None).await?;
    }
    Ok(())
}

/// Writes each invoiced cycle's credit statement as a text file.
async fn statements(app: &App, rows: &[Row]) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for row in rows {
        let statement = credits::statement(app, &row.organization, row.cycle.parse()?).await?;
        let name = format!("{}/{}.txt", row.cycle, row.organization);
        files.push((name, format!("{}\n", statement_text(&statement)).into_bytes()));
    }
    let folder = app.home.join("statements");
    store_batch(&folder, &files)?;
    Ok(files.iter().map(|(name, _)| path(&folder.join(name))).collect())
}

fn mails(home: &Path) -> Result<Vec<String>> {
    let folder = home.join("outbox");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| path(&folder))? {
        names.push(path(&entry?.path()));
    }
    names.sort();
    Ok(names)
}

fn text(home: &Path, rows: &[Row], mails: &[String], statements: &[String], sound: bool) -> String {
    let cells = rows
        .iter()
        .map(|row| {
            let total = row.money(row.total).map_or_else(|e| e.to_string(), |m| m.to_string());
            vec![
                row.number.clone().unwrap_or_default(),
                row.organization.clone(),
                row.cycle.clone(),
                total,
                row.payment_status.clone(),
                row.pdf.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let home_text = path(home);
    let kinds = |kind: &str| mails.iter().filter(|mail| mail.contains(kind)).count();
    format!(
        "{}\n\n{} invoices as PDF and CSV in {home_text}/documents/\n{} mails in {home_text}/outbox/ ({} invoices, {} receipts, {} failed payments)\n{} credit statements in {home_text}/statements/\nevery invariant {}: `monthend --dir {home_text} verify`\n\nLook closer:\n  monthend --dir {home_text} invoice show {}\n  monthend --dir {home_text} credits statement example-robotics --cycle 2024-01",
        table(&["invoice", "organization", "cycle", "total", "payment", "document"], &[3], cells),
        rows.len(),
        mails.len(),
        kinds("-invoice-"),
        kinds("-receipt-"),
        kinds("-payment-failed-"),
        statements.len(),
        if sound { "holds" } else { "DOES NOT HOLD" },
        rows.last().and_then(|row| row.number.clone()).unwrap_or_default(),
    )
}
