//! How fast a month ends: closes from roll-ups, invoices numbered, pages rendered.
//!
//! `cargo bench` prints the median of three runs on fresh databases, with their spread, and exits with 1
//! below the floors. `MONTHEND_BENCH_ORGANIZATIONS` sets the size (10,000).

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::float_arithmetic, reason = "rates per second")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use monthend::app::{App, Options, open_database, sqlite_address};
use monthend::clock::HandClock;
use monthend::config::{Config, STARTER};
use monthend::documents::files::write_durably;
use monthend::documents::pdf::{DocumentStyle, Renderer};
use monthend::documents::sample::sample_document;
use monthend::http;
use monthend::intake::catalog_file;
use monthend::jobs::StepKind;
use monthend::jobs::runner::Runner;
use monthend::services::{admission, catalogs, organizations, usage};
use monthend::verify;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

/// Organizations closed per second on SQLite.
const CLOSE_FLOOR: f64 = 5_000.0;
/// Pages rendered per second on one core.
const PAGE_FLOOR: f64 = 300.0;
const REPEATS: usize = 3;

fn main() -> ExitCode {
    let count = std::env::var("MONTHEND_BENCH_ORGANIZATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    match run(count) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            println!("{error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(count: usize) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut close = Vec::new();
    let mut issue = Vec::new();
    for repeat in 0..REPEATS {
        let night = runtime.block_on(night(count, repeat == 0))?;
        close.push(rate(count, night.close));
        issue.push(rate(count, night.issue));
    }
    let pages: Vec<f64> = (0..REPEATS).map(|_| pages(600)).collect::<Result<_>>()?;
    let closed = print("close from roll-ups, SQLite, organizations/s", &mut close, CLOSE_FLOOR);
    print("number and freeze, SQLite, invoices/s", &mut issue, 0.0);
    let rendered = print("one-page invoice PDF, one core, pages/s", &mut pages.clone(), PAGE_FLOOR);
    Ok(closed && rendered)
}

fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Prints median and spread; is the median at or above the floor?
fn print(what: &str, rates: &mut [f64], floor: f64) -> bool {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    let (low, high) = (rates[0], rates[rates.len() - 1]);
    let verdict = match floor {
        0.0 => String::new(),
        floor if median >= floor => format!("  floor {floor:.0}: ok"),
        floor => format!("  floor {floor:.0}: BELOW"),
    };
    println!("{what:<48} {median:>9.0}  ({low:.0}–{high:.0}){verdict}");
    median >= floor
}

/// How long the parts of a night took.
struct Night {
    close: Duration,
    issue: Duration,
}

async fn night(count: usize, check: bool) -> Result<Night> {
    let home = tempfile::tempdir()?;
    let clock = Arc::new(HandClock::new("2026-01-01T00:00:00Z".parse()?));
    let app = open(home.path(), clock.clone()).await?;
    organizations::import(&app, organizations_csv(count).as_bytes()).await?;
    clock.set("2026-01-20T00:00:00Z".parse()?);
    let imported = usage::import(&app, "bench", usage_csv(count).as_bytes()).await?;
    anyhow::ensure!(imported.quarantined.is_empty(), "rows were set aside");
    clock.set("2026-02-01T02:00:00Z".parse()?);
    let started = Instant::now();
    let runner = Runner::new(app.clone(), CancellationToken::new())?.up_to(StepKind::Close);
    let report = runner.tick(None).await?;
    let close = started.elapsed();
    anyhow::ensure!(report.runs.iter().all(|run| run.troubled.is_empty()), "a step failed");
    let started = Instant::now();
    let runner = Runner::new(app.clone(), CancellationToken::new())?.up_to(StepKind::Issue);
    let issued = runner.work(None, &mut BTreeSet::new()).await?;
    anyhow::ensure!(issued > 0, "nothing was issued");
    let issue = started.elapsed();
    if check {
        for check in verify::verify(&app).await? {
            anyhow::ensure!(check.ok(), "{}: {}", check.name, check.detail());
        }
    }
    if check {
        authorizations(&app).await?;
    }
    app.db.close().await;
    Ok(Night { close, issue })
}

async fn open(home: &Path, clock: Arc<HandClock>) -> Result<Arc<App>> {
    write_durably(&home.join("monthend.toml"), STARTER.as_bytes())?;
    let options = Options {
        home: home.to_owned(),
        database: None,
        clock,
        clock_is_set: true,
        actor: "bench".to_owned(),
    };
    let db = open_database(&sqlite_address(home)).await?;
    let app = Arc::new(App::with_database(options, Config::load(home)?, db).await?);
    catalogs::apply(&app, "catalog.toml", catalog_file::STARTER).await?;
    Ok(app)
}

/// How long it takes to ask whether an organization may work: inside, and over one connection.
async fn authorizations(app: &Arc<App>) -> Result<()> {
    const ASKED: usize = 2_000;
    let ids: Vec<String> =
        organizations::list(app).await?.into_iter().map(|stored| stored.organization.id).collect();
    let mut inside = Vec::with_capacity(ASKED);
    for id in ids.iter().cycle().step_by(37).take(ASKED) {
        let started = Instant::now();
        admission::of(app, id).await?;
        inside.push(started.elapsed());
    }
    let stop = CancellationToken::new();
    let listener = http::bind("127.0.0.1:0".parse()?).await?;
    let mut stream = TcpStream::connect(listener.local_addr()?).await?;
    stream.set_nodelay(true)?;
    let token = "a-token-of-the-benchmark";
    let routes = http::router(http::Doors::new(
        app.clone(),
        http::Tokens::new(&[token.to_owned()]),
        Vec::new(),
    ));
    let server = tokio::spawn(http::serve(listener, routes, stop.clone()));
    let mut outside = Vec::with_capacity(ASKED);
    let mut answer = [0; 4_096];
    for id in ids.iter().cycle().step_by(37).take(ASKED) {
        let request = format!(
            "GET /v1/organizations/{id}/authorization HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let started = Instant::now();
        stream.write_all(request.as_bytes()).await?;
        let read = stream.read(&mut answer).await?;
        outside.push(started.elapsed());
        anyhow::ensure!(answer[..read].starts_with(b"HTTP/1.1 200"), "not answered");
    }
    stop.cancel();
    server.await?;
    for (what, times) in [("inside", &mut inside), ("over loopback", &mut outside)] {
        times.sort();
        let (median, late) = (times[ASKED / 2], times[ASKED * 99 / 100]);
        println!("authorization, {what}, SQLite: median {median:?}, 99 of 100 within {late:?}");
    }
    Ok(())
}

/// Every plan, some late joiners; ids in no special order.
fn organizations_csv(count: usize) -> String {
    let mut csv = String::from("id,name,billing_email,plan,joined_on,payment_method\n");
    for number in 0..count {
        let plan = ["standard", "professional", "starter"][number % 3];
        let day = 1 + number % 20;
        let id = number * 7_919 % count;
        let _ = writeln!(
            csv,
            "org-{id:07}-{number:07},Organization {number},billing@example.com,{plan},2026-01-{day:02},pm_sandbox_ok"
        );
    }
    csv
}

/// A few meters an organization, one in fifty beyond its credits.
fn usage_csv(count: usize) -> String {
    let mut csv = String::from("id,organization,at,meter,executions,characters\n");
    for number in 0..count {
        let id = number * 7_919 % count;
        let executions = if number % 50 == 0 { 6_000 } else { 10 + number % 400 };
        let _ = writeln!(
            csv,
            "a,org-{id:07}-{number:07},2026-01-19T10:00:00Z,prompt,{executions},\n\
             b,org-{id:07}-{number:07},2026-01-19T11:00:00Z,translation,,{}",
            number * 1_000
        );
    }
    csv
}

fn pages(count: usize) -> Result<f64> {
    let renderer = Renderer::new(&DocumentStyle::default())?;
    let mut document = sample_document();
    let started = Instant::now();
    for number in 0..count {
        document.header.number = format!("INV-2026-{number:06}");
        let pdf = renderer.render(&document).context("a page")?;
        anyhow::ensure!(pdf.pages == 1, "one page");
    }
    Ok(rate(count, started.elapsed()))
}
