//! Our side: the runner up to the numbered invoice, and what it came to.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use monthend::files::write_durably;
use monthend::jobs::StepKind;
use monthend::jobs::runner::Runner;
use monthend::storage::Db;
use sqlx::AssertSqlSafe;
use tokio_util::sync::CancellationToken;

use crate::deployment::{self, Place};
use crate::measure::{Measured, Meter};
use crate::{child, input};

/// Organizations that naive loops do.
pub const SAMPLE: usize = 500;

/// Closes and issues the month, then asks again, as a second tick would.
pub async fn run(place: &Place) -> Result<Measured> {
    let (app, _) = deployment::open(place, input::CLOSED_AT).await?;
    let runner = Runner::new(app.clone(), CancellationToken::new())?.up_to(StepKind::Issue);
    let meter = Meter::start()?;
    let report = runner.tick(None).await?;
    let organizations =
        number(&app.db, "SELECT CAST(COUNT(*) AS BIGINT) FROM organization").await?;
    let mut measured = meter.stop(usize::try_from(organizations)?)?;
    ensure!(report.held.is_empty(), "something was held: {:?}", report.held);
    ensure!(report.runs.iter().all(|run| run.troubled.is_empty()), "a step failed");
    ensure!(number(&app.db, UNNUMBERED).await? == 0, "not every organization has an invoice");
    let began = Instant::now();
    runner.tick(None).await?;
    runner.work(None, &mut BTreeSet::new()).await?;
    measured.parts.insert("again".to_owned(), began.elapsed().as_secs_f64());
    (measured.total, measured.sample) = totals(&app.db).await?;
    app.db.close().await;
    Ok(measured)
}

/// One of some workers of the same database: ready, waits for the word, works until all is numbered.
pub async fn work(place: &Place) -> Result<Measured> {
    let (app, _) = deployment::open(place, input::CLOSED_AT).await?;
    let runner = Runner::new(app.clone(), CancellationToken::new())?.up_to(StepKind::Issue);
    child::wait_for_the_word()?;
    let meter = Meter::start()?;
    loop {
        let report = runner.tick(None).await?;
        ensure!(report.held.is_empty(), "something was held: {:?}", report.held);
        if number(&app.db, UNFINISHED).await? == 0 {
            break;
        }
        // What is left is in the other's hands, and may make more work.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut measured = meter.stop(0)?;
    ensure!(number(&app.db, UNNUMBERED).await? == 0, "not every organization has an invoice");
    (measured.total, measured.sample) = totals(&app.db).await?;
    app.db.close().await;
    Ok(measured)
}

const UNFINISHED: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM step WHERE state IN ('ready', 'leased') \
    AND kind IN ('close', 'brake', 'issue')";
const UNNUMBERED: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM organization o WHERE NOT EXISTS \
    (SELECT 1 FROM invoice i WHERE i.organization = o.id AND i.number IS NOT NULL)";

/// What was invoiced: of all, and of the sample.
pub async fn totals(db: &Db) -> Result<(i64, i64)> {
    let all = "SELECT CAST(SUM(total) AS BIGINT) FROM invoice";
    let sample = format!(
        "{all} WHERE organization IN (SELECT id FROM organization ORDER BY id LIMIT {SAMPLE})"
    );
    Ok((number(db, all).await?, number(db, &sample).await?))
}

/// One number.
pub async fn number(db: &Db, sql: &str) -> Result<i64> {
    let (number,): (i64,) = match db {
        Db::Sqlite(file) => file.read().await?.fetch_one(sql, &[])?,
        Db::Postgres(pool) => sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await?,
    };
    Ok(number)
}

/// A database of our schema with nothing in it.
pub async fn empty(place: &Place) -> Result<()> {
    std::fs::create_dir_all(&place.home)?;
    write_durably(&place.home.join("monthend.toml"), monthend::config::STARTER.as_bytes())?;
    monthend::app::open_database(&place.database).await?.close().await;
    Ok(())
}
