//! `tick`, `serve`, `job`, `run`.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::arguments::{JobCommand, RunCommand};
use super::output::{Output, instant, table};
use crate::app::{App, secrets};
use crate::domain::brake::Mover;
use crate::http;
use crate::jobs::StepKind;
use crate::jobs::definition::Due;
use crate::jobs::report::{self, Report, RunReport};
use crate::jobs::requests::{self, Rerun};
use crate::jobs::runner::Runner;
use crate::jobs::serve::Signals;
use crate::services::feeds::Silent;
use crate::storage::runs;
use crate::storage::steps::{self, Step};

pub(super) async fn tick(
    app: &Arc<App>,
    catch_up: Option<u32>,
    output: &Output,
) -> Result<Outcome> {
    let stop = CancellationToken::new();
    let on_signal = stop.clone();
    // The first SIGTERM or Ctrl-C stops between two steps; a second one ends the program.
    let mut signals = Signals::new()?;
    tokio::spawn(async move {
        signals.next().await;
        on_signal.cancel();
        signals.next().await;
        std::process::exit(130);
    });
    let spinner = output.spinner("doing what is due");
    let report = Runner::new(app.clone(), stop)?.tick(catch_up).await;
    spinner.finish_and_clear();
    Ok(print(&report?, output))
}

pub(super) async fn serve(
    app: &Arc<App>,
    listen: Option<SocketAddr>,
    signals: Signals,
) -> Result<Outcome> {
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if let Some(address) = listen.or(app.config.http.listen) {
        let tokens = http::Tokens::new(&secrets::http_tokens(&app.home, &app.config)?);
        let listener = http::bind(address).await?;
        let stripe = secrets::stripe_webhook(&app.home, &app.config)?;
        let router = http::router(http::Doors::new(app.clone(), tokens, stripe));
        tasks.spawn(http::serve(listener, router, stop.clone()));
    }
    crate::jobs::serve::serve(app.clone(), stop, tasks, signals).await?;
    Ok(Outcome::Done)
}

pub(super) async fn job(app: &Arc<App>, command: JobCommand, output: &Output) -> Result<Outcome> {
    match command {
        JobCommand::List => {
            list_jobs(app, output);
            Ok(Outcome::Done)
        }
        JobCommand::Due => due(app, output).await,
        JobCommand::Run { name, cycle, organizations, reason } => {
            let request =
                Rerun { job: &name, cycle, organizations: &organizations, reason: &reason };
            Ok(print(&requests::rerun(app, &request).await?, output))
        }
    }
}

fn list_jobs(app: &App, output: &Output) {
    let when = |due: &Due| match due {
        Due::CycleEnd => "end of each organization's cycle, plus grace".to_owned(),
        Due::Schedule { pattern, zone } => format!("{pattern} {zone}"),
        Due::OnDemand => "on demand".to_owned(),
    };
    let objects: Vec<Value> = app
        .jobs
        .iter()
        .map(|job| {
            json!({"name": job.name, "description": job.description, "due": when(&job.due),
                "steps": job.steps.iter().map(|step| step.as_str()).collect::<Vec<_>>()})
        })
        .collect();
    output.result(&json!({"jobs": objects}), || {
        let rows = app
            .jobs
            .iter()
            .map(|job| vec![job.name.clone(), when(&job.due), job.description.clone()])
            .collect();
        table(&["job", "due", "what"], &[], rows)
    });
}

async fn due(app: &App, output: &Output) -> Result<Outcome> {
    let groups = requests::due(app).await?;
    let objects: Vec<Value> = groups
        .iter()
        .map(|group| {
            json!({"job": group.job, "cycle": (!group.cycle.is_empty()).then_some(&group.cycle),
                "due_at": instant(group.due_at), "organizations": group.organizations,
                "files": group.files, "waits_for_catch_up": group.waits_for_catch_up,
                "waits_for_feeds": feeds_json(&group.waits_for_feeds)})
        })
        .collect();
    output.result(&json!({"due": objects}), || {
        if groups.is_empty() {
            return "Nothing is due.".to_owned();
        }
        let rows = groups
            .iter()
            .map(|group| {
                let waits = group.waits_for_catch_up.map(|missed| {
                    format!("{missed} missed cycles wait for `tick --catch-up {missed}`")
                });
                let silent = || group.waits_for_feeds.iter().map(|silent| silent.source.as_str());
                let feeds = (!group.waits_for_feeds.is_empty()).then(|| {
                    let sources: Vec<&str> = silent().collect();
                    format!("incomplete feeds, `tick` says more: {}", sources.join(", "))
                });
                vec![
                    group.job.clone(),
                    group.cycle.clone(),
                    instant(group.due_at),
                    (group.organizations + group.files.len()).to_string(),
                    waits.or(feeds).unwrap_or_default(),
                ]
            })
            .collect();
        table(&["job", "cycle", "due since", "how many", ""], &[3], rows)
    });
    Ok(Outcome::Done)
}

pub(super) async fn run(app: &Arc<App>, command: RunCommand, output: &Output) -> Result<Outcome> {
    match command {
        RunCommand::List => {
            let mut tx = app.db.read().await?;
            let all = runs::all(&mut tx).await?;
            let mut objects = Vec::new();
            let mut rows = Vec::new();
            for run in all {
                let counts = runs::counts(&mut tx, &run.id).await?;
                let report = RunReport { run, counts, troubled: Vec::new() };
                objects.push(run_json(&report));
                rows.push(run_cells(&report));
            }
            output.result(&json!({"runs": objects}), || table(&RUN_COLUMNS, &[4, 5, 6], rows));
            Ok(Outcome::Done)
        }
        RunCommand::Show { run } => show(app, &run, output).await,
        RunCommand::Confirm { run, figures, reason } => {
            Ok(print(&requests::confirm(app, &run, &figures, &reason).await?, output))
        }
        RunCommand::Retry { run, organization, reason } => {
            let report = requests::retry(app, &run, organization.as_deref(), &reason).await?;
            Ok(print(&report, output))
        }
    }
}

async fn show(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let report = report::of_run(app, id).await?.ok_or_else(|| report::no_run(id))?;
    let mut tx = app.db.read().await?;
    let all = steps::of_run(&mut tx, id).await?;
    let step_json = |step: &Step| {
        json!({"kind": step.kind, "organizations": step.organizations, "organization": step.organization,
            "state": step.state, "attempts": step.attempts, "error": step.error,
            "next_at": (step.state == "ready").then(|| instant(step.next_at))})
    };
    drop(tx);
    let parked = parked_json(&all);
    let held = all.iter().any(is_hold);
    let movers = if held { Some(requests::movers(app, id).await?) } else { None };
    let mut object = run_json(&report);
    if let Some(fields) = object.as_object_mut() {
        fields.insert("cause".to_owned(), json!(report.run.cause));
        fields.insert("counts".to_owned(), fields.get("steps").cloned().unwrap_or_default());
        fields.insert("steps".to_owned(), json!(all.iter().map(step_json).collect::<Vec<_>>()));
        fields.insert("parked".to_owned(), json!(parked));
        if let Some(movers) = &movers {
            fields.insert("movers".to_owned(), movers.iter().map(mover_json).collect());
        }
    }
    output.result(&object, || {
        let rows = all
            .iter()
            .map(|step| {
                vec![
                    step.kind.clone(),
                    step.organization.clone().unwrap_or_else(|| step.organizations.to_string()),
                    step.state.clone(),
                    step.attempts.to_string(),
                ]
            })
            .collect();
        let mut text = format!(
            "{}\n\n{}\n",
            table(&RUN_COLUMNS, &[4, 5, 6], vec![run_cells(&report)]),
            table(&["step", "organizations", "state", "attempts"], &[3], rows)
        );
        text.push_str(&troubles(&report));
        if let Some(movers) = movers.as_ref().filter(|movers| !movers.is_empty()) {
            let rows = movers.iter().map(mover_cells).collect();
            let columns = ["moved most", "this month", "last month"];
            text.push_str(&format!("\n{}\n", table(&columns, &[1, 2], rows)));
        }
        text
    });
    Ok(Outcome::Done)
}

fn mover_json(mover: &Mover) -> Value {
    json!({"organization": mover.organization, "amount_due": mover.now, "last_cycle": mover.before})
}

fn mover_cells(mover: &Mover) -> Vec<String> {
    vec![mover.organization.clone(), mover.now.to_string(), mover.before.to_string()]
}

fn parked_json(steps: &[Step]) -> Vec<Value> {
    steps
        .iter()
        .filter(|step| step.state == "parked")
        .map(|step| json!({"organization": step.organization, "kind": step.kind, "reason": step.error}))
        .collect()
}

const RUN_COLUMNS: [&str; 7] = ["run", "job", "cycle", "state", "done", "parked", "waiting"];

fn run_cells(report: &RunReport) -> Vec<String> {
    vec![
        report.run.id.clone(),
        report.run.job.clone(),
        report.run.cycle.clone(),
        report.run.state.clone(),
        report.counts.done.to_string(),
        report.counts.parked.to_string(),
        report.counts.waiting.to_string(),
    ]
}

fn run_json(report: &RunReport) -> Value {
    let run = &report.run;
    json!({
        "run": run.id, "job": run.job, "cycle": (!run.cycle.is_empty()).then_some(&run.cycle),
        "due_at": instant(run.due_at), "state": run.state,
        "steps": {"done": report.counts.done, "parked": report.counts.parked,
            "waiting": report.counts.waiting},
    })
}

/// Is it the look at a run's figures that a person must confirm?
fn is_hold(step: &Step) -> bool {
    step.state == "parked" && step.kind == StepKind::Brake.as_str()
}

fn troubles(report: &RunReport) -> String {
    let mut text = String::new();
    for step in &report.troubled {
        if is_hold(step) {
            text.push_str(&format!("  held: {}\n", step.error.as_deref().unwrap_or_default()));
            continue;
        }
        let who = step.organization.clone().or_else(|| step.subject.clone()).unwrap_or_default();
        let reason = step.error.as_deref().unwrap_or_default();
        let what = match step.state.as_str() {
            "parked" => "parked",
            "done" => "remark",
            _ => "waits",
        };
        text.push_str(&format!("  {what}: {} of {who}: {reason}\n", step.kind));
    }
    if report.troubled.iter().any(|step| step.state == "parked" && !is_hold(step)) {
        text.push_str(&format!(
            "  mend the cause, then `monthend run retry {} --reason …`\n",
            report.run.id
        ));
    }
    text
}

fn print(report: &Report, output: &Output) -> Outcome {
    let object = |run: &RunReport| {
        let mut object = run_json(run);
        if let Some(fields) = object.as_object_mut() {
            fields.insert("parked".to_owned(), json!(parked_json(&run.troubled)));
            if let Some(look) = run.troubled.iter().find(|step| is_hold(step)) {
                fields.insert("reason".to_owned(), json!(look.error));
            }
        }
        object
    };
    let mut runs: Vec<Value> = report.runs.iter().map(object).collect();
    for held in &report.held {
        runs.push(json!({
            "run": null, "job": held.job, "cycle": held.cycle, "due_at": instant(held.due_at), "state": "held",
            "steps": {"done": 0, "parked": 0, "waiting": held.organizations},
            "reason": held.reason(), "feeds": feeds_json(&held.feeds), "organizations": held.names,
        }));
    }
    let mut object = json!({"runs": runs});
    if let (Some(fields), Some(refused)) = (object.as_object_mut(), &report.refused) {
        fields.insert("refused".to_owned(), json!(refused));
    }
    output.result(&object, || {
        if report.runs.is_empty() && report.held.is_empty() && report.refused.is_none() {
            return "Nothing is due.".to_owned();
        }
        let mut text = String::new();
        if !report.runs.is_empty() {
            let rows = report.runs.iter().map(run_cells).collect();
            text.push_str(&table(&RUN_COLUMNS, &[4, 5, 6], rows));
            text.push('\n');
        }
        for run in &report.runs {
            text.push_str(&troubles(run));
        }
        for held in &report.held {
            text.push_str(&format!(
                "  held: {} organizations from {} on: {}\n",
                held.organizations,
                held.cycle,
                held.reason()
            ));
            if !held.feeds.is_empty() {
                text.push_str(&format!("        these are {}\n", held.some_names()));
            }
        }
        if let Some(refused) = &report.refused {
            text.push_str(&format!("  refused: {refused}\n"));
        }
        text
    });
    if report.is_clean() { Outcome::Done } else { Outcome::Trouble }
}

fn feeds_json(feeds: &[Silent]) -> Vec<Value> {
    feeds.iter().map(|silent| json!({"source": silent.source, "days": silent.days})).collect()
}
