//! Everything of a month end: closed, numbered, rendered, charged, mailed, and what each kind of step took.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use monthend::app::App;
use monthend::documents::pdf::{DocumentStyle, Renderer};
use monthend::documents::sample::sample_document;
use monthend::jobs::requests::{self, Rerun};
use monthend::jobs::runner::Runner;
use monthend::jobs::{StepKind, names};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::close::{number, totals};
use crate::deployment::{self, Place};
use crate::input;
use crate::measure::{Measured, Meter, cpu};

/// Parts of the night, each up to a kind of step.
pub const PARTS: [(&str, StepKind); 6] = [
    ("close", StepKind::Close),
    ("issue", StepKind::Issue),
    ("render", StepKind::Render),
    ("watch", StepKind::Document),
    ("charge", StepKind::Charge),
    ("mail", StepKind::Webhook),
];

const ORGANIZATIONS: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM organization";
const UNSENT: &str = "SELECT CAST(COUNT(*) AS BIGINT) FROM mail WHERE state <> 'sent'";
const UNSETTLED: &str =
    "SELECT CAST(COUNT(*) AS BIGINT) FROM invoice WHERE status <> 'settled' AND amount_due > 0";

/// The night as `serve` goes through it: no part waits for the whole of the one before.
const EVERYTHING: [(&str, StepKind); 1] = [("everything", StepKind::Webhook)];

/// The whole night, and the same cycle asked for once more by a person.
pub async fn run(place: &Place, in_parts: bool) -> Result<Measured> {
    let (app, _) = deployment::open(place, input::CLOSED_AT).await?;
    let organizations = usize::try_from(number(&app.db, ORGANIZATIONS).await?)?;
    let meter = Meter::start()?;
    let parts = parts(&app, if in_parts { &PARTS } else { &EVERYTHING }).await?;
    let mut measured = meter.stop(organizations)?;
    measured.parts.extend(parts);
    ensure!(number(&app.db, UNSENT).await? == 0, "a mail was not sent");
    ensure!(number(&app.db, UNSETTLED).await? == 0, "an invoice was not paid");
    let began = Instant::now();
    let rerun = Rerun {
        job: names::MONTHLY_CLOSE,
        cycle: Some(input::CYCLE.parse()?),
        organizations: &[],
        reason: "to see what it costs",
    };
    requests::rerun(&app, &rerun).await?;
    measured.parts.insert("rerun".to_owned(), began.elapsed().as_secs_f64());
    measured.total = totals(&app.db).await?.0;
    app.db.close().await;
    Ok(measured)
}

/// Some parts, one after the other, each by as many workers as `serve` has.
async fn parts(app: &Arc<App>, parts: &[(&str, StepKind)]) -> Result<Vec<(String, f64)>> {
    let mut times = Vec::new();
    for (name, kind) in parts {
        let (began, busy) = (Instant::now(), cpu()?);
        let runner = Runner::new(app.clone(), CancellationToken::new())?.up_to(*kind);
        let over = CancellationToken::new();
        let others = others(app, *kind, &over)?;
        let report = runner.tick(None).await?;
        over.cancel();
        for other in others.join_all().await {
            other?;
        }
        ensure!(report.refused.is_none(), "refused: {:?}", report.refused);
        ensure!(report.runs.iter().all(|run| run.troubled.is_empty()), "a step failed");
        times.push(((*name).to_owned(), began.elapsed().as_secs_f64()));
        times.push((busy_in(name), cpu()? - busy));
    }
    Ok(times)
}

/// The workers beside the one that plans, until the part is over.
fn others(app: &Arc<App>, kind: StepKind, over: &CancellationToken) -> Result<JoinSet<Result<()>>> {
    let mut others = JoinSet::new();
    for worker in 1..app.config.runner.workers {
        let runner = Runner::new(app.clone(), CancellationToken::new())?;
        let runner = runner.up_to(kind).as_worker(worker);
        let over = over.clone();
        others.spawn(async move {
            while !over.is_cancelled() {
                runner.work(None, &mut BTreeSet::new()).await?;
                // What is left is in the other's hands, and may make more work.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        });
    }
    Ok(others)
}

/// The name of a part's processor time.
pub fn busy_in(part: &str) -> String {
    format!("{part}, busy")
}

/// Everything but the mails.
pub async fn without_mails(place: &Place) -> Result<Measured> {
    let (app, _) = deployment::open(place, input::CLOSED_AT).await?;
    parts(&app, &PARTS[..PARTS.len() - 1]).await?;
    app.db.close().await;
    Ok(Measured::default())
}

/// The mails of a night that is done but for them, by as many workers as `serve` has.
pub async fn mails(place: &Place) -> Result<Measured> {
    let (app, _) = deployment::open(place, input::CLOSED_AT).await?;
    let count = usize::try_from(number(&app.db, UNSENT).await?)?;
    let meter = Meter::start()?;
    parts(&app, &EVERYTHING).await?;
    let measured = meter.stop(count)?;
    ensure!(number(&app.db, UNSENT).await? == 0, "a mail was not sent");
    app.db.close().await;
    Ok(measured)
}

/// One-page invoices on one core.
pub fn pages(count: usize) -> Result<Measured> {
    let renderer = Renderer::new(&DocumentStyle::default())?;
    let mut document = sample_document();
    let meter = Meter::start()?;
    for place in 0..count {
        document.header.number = format!("INV-2026-{place:06}");
        let pdf = renderer.render(&document)?;
        ensure!(pdf.pages == 1, "a page too many");
    }
    meter.stop(count)
}
