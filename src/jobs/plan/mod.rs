//! What is due: asked of the database, never of a timer. Start-up, tick and the command line ask here.

mod closes;
mod ranges;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chrono::{DateTime, Duration, Utc};

pub use ranges::{Cutter, Only, Stretch};

use super::StepKind;
use super::definition::{Due, Job};
use super::steps::{chunk_step, subject_step};
use crate::app::App;
use crate::domain::ids;
use crate::services::ServiceError;
use crate::services::feeds::Silent;
use crate::storage::runs::{self, Run};
use crate::storage::steps::Step;
use crate::storage::{Tx, meta, organizations, steps};

/// How far the clock may fall behind the latest work before nothing is closed any more (F37).
pub const CLOCK_SLACK: Duration = Duration::minutes(5);

/// Ordinals set aside for the steps of one plan of a run.
pub const ORDINALS_PER_PLAN: i64 = 1_000_000;

/// Organizations that are read at once while a plan is made.
pub const PAGE: i64 = 5_000;

/// A group of organizations for which the same work is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueGroup {
    /// Which job.
    pub job: String,
    /// Which cycle, as text; empty: not about a cycle.
    pub cycle: String,
    /// Since when.
    pub due_at: DateTime<Utc>,
    /// How many organizations; 0: not about organizations.
    pub organizations: usize,
    /// Who they are, in order, where they wait for a person.
    pub names: Vec<String>,
    /// Files of the inbox, for imports.
    pub files: Vec<String>,
    /// How often the run was planned when this was asked; two planners who saw the same plan once.
    pub plans: i64,
    /// More missed cycles than the job catches up by itself: how many.
    pub waits_for_catch_up: Option<u32>,
    /// Feeds of usage that look incomplete, which these organizations wait for.
    pub waits_for_feeds: Vec<Silent>,
    /// What was asked.
    question: Question,
}

/// What is asked when somebody wants to know what is due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Question {
    /// So many missed cycles may be caught up, if that is more than the job does by itself.
    pub confirmed: Option<u32>,
    /// Of which organizations.
    pub only: Only,
}

impl DueGroup {
    /// Does it wait for a person?
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits_for_catch_up.is_some() || !self.waits_for_feeds.is_empty()
    }

    fn new(job: &Job, cycle: &str, due_at: DateTime<Utc>, question: &Question) -> Self {
        Self {
            job: job.name.clone(),
            cycle: cycle.to_owned(),
            due_at,
            organizations: 0,
            names: Vec::new(),
            files: Vec::new(),
            plans: 0,
            waits_for_catch_up: None,
            waits_for_feeds: Vec::new(),
            question: question.clone(),
        }
    }
}

/// Everything that is due now, oldest cycle first.
///
/// # Errors
/// The clock is behind the latest work, or the database fails.
pub async fn due(app: &App, question: &Question) -> Result<Vec<DueGroup>, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.read().await?;
    refuse_early_clock(&mut tx, now).await?;
    let watched = runs::watched(&mut tx).await?;
    let mut groups = Vec::new();
    for job in &app.jobs {
        match &job.due {
            Due::CycleEnd => {
                let found = closes::due(app, &mut tx, job, question, None).await?;
                groups.extend(found.into_iter().map(|(group, _)| group));
            }
            Due::Schedule { pattern, zone } => {
                let watched = watched.get(&job.name).copied();
                let Some(due_at) = pattern.last_due(*zone, now) else { continue };
                let found = due_schedule(app, &mut tx, (job, watched), due_at, question).await?;
                groups.extend(found);
            }
            Due::OnDemand => {}
        }
    }
    Ok(groups)
}

async fn refuse_early_clock(tx: &mut Tx, now: DateTime<Utc>) -> Result<(), ServiceError> {
    match meta::high_water(tx).await? {
        Some(high) if now < high - CLOCK_SLACK => Err(ServiceError::Refused(format!(
            "the clock says {}, but work was done at {} already; correct the clock before anything is closed",
            now.to_rfc3339(),
            high.to_rfc3339()
        ))),
        _ => Ok(()),
    }
}

async fn due_schedule(
    app: &App,
    tx: &mut Tx,
    (job, watched): (&Job, Option<DateTime<Utc>>),
    due_at: DateTime<Utc>,
    question: &Question,
) -> Result<Option<DueGroup>, ServiceError> {
    let now = app.clock.now();
    let stale = job.stale_after_hours.map(|hours| Duration::hours(i64::from(hours)));
    let begun = if job.watch {
        watched.is_some_and(|watched| watched >= due_at)
    } else {
        runs::at(tx, &job.name, due_at).await?.is_some()
    };
    if begun || stale.is_some_and(|stale| now - due_at > stale) {
        return Ok(None);
    }
    let mut group = DueGroup::new(job, "", due_at, question);
    if job.first_step() == StepKind::ImportUsage {
        group.files = inbox_files(&app.inbox());
        let begun = steps::unfinished_subjects(tx, StepKind::ImportUsage.as_str()).await?;
        group.files.retain(|file| !begun.contains(file));
    } else {
        // A run that is still at it is not joined by a second one; the next due instant comes.
        if runs::has_open(tx, &job.name).await? {
            return Ok(None);
        }
        // Who they are is read where their steps are planned.
        group.organizations = if question.only.is_everyone() {
            usize::try_from(organizations::count(tx).await?).unwrap_or(usize::MAX)
        } else {
            let named = everyone(tx, job, &question.only).await?;
            named.iter().map(|range| range.organizations).sum()
        };
    }
    Ok((group.organizations > 0 || !group.files.is_empty()).then_some(group))
}

/// Ranges over all organizations, or the named ones.
async fn everyone(tx: &mut Tx, job: &Job, only: &Only) -> Result<Vec<Stretch>, ServiceError> {
    let mut cutter = Cutter::new(job.chunk_organizations);
    let mut after = String::new();
    loop {
        let page = organizations::ids_after(tx, &after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(cutter.end()) };
        after.clone_from(last);
        for organization in page {
            if only.wants(&organization) {
                cutter.take(organization);
            } else {
                cutter.pass();
            }
        }
    }
}

/// Files that wait in the inbox, by name; those being written and those set aside are left alone.
fn inbox_files(inbox: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(inbox) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| {
            let rejected = super::steps::import_usage::REJECTED;
            let temporary = [".part", ".tmp", rejected].iter().any(|end| name.ends_with(end));
            let set_aside =
                || is_set_aside(&inbox.join(name), &inbox.join(format!("{name}{rejected}")));
            !name.starts_with('.') && !temporary && !set_aside()
        })
        .collect();
    names.sort();
    names
}

/// Is a list of rejected rows of this file? One that came after the list, under the same name, is another file.
fn is_set_aside(file: &Path, rejected: &Path) -> bool {
    let (Ok(file), Ok(rejected)) = (file.metadata(), rejected.metadata()) else {
        return rejected.exists();
    };
    let came = (file.ctime(), file.ctime_nsec());
    came <= (rejected.mtime(), rejected.mtime_nsec())
}

/// Turns a due group into a run with its steps. None: another planner was faster.
///
/// # Errors
/// The database fails.
pub async fn plan(
    app: &App,
    group: &DueGroup,
    cause: &str,
) -> Result<Option<String>, ServiceError> {
    let now = app.clock.now();
    let job = app.job(&group.job).map_err(|error| ServiceError::NotFound(format!("{error:#}")))?;
    let mut tx = app.db.write().await?;
    if job.watch && !runs::begin_watch(&mut tx, &job.name, group.due_at).await? {
        return Ok(None);
    }
    let of = (group.job.as_str(), group.cycle.as_str(), group.due_at);
    let run = get_or_create(&mut tx, of, cause, now).await?;
    if !runs::begin_plan(&mut tx, &run, group.plans).await? {
        return Ok(None);
    }
    // Each plan's steps have ordinals, and so ids, of their own.
    let first = group.plans * ORDINALS_PER_PLAN;
    let steps: Vec<Step> = if group.files.is_empty() {
        let ranges = ranges_of(app, &mut tx, job, group).await?;
        let step = |(ordinal, range): (i64, &Stretch)| {
            chunk_step(job.first_step(), &run.id, &range.as_range(), ordinal, now)
        };
        (first..).zip(&ranges).map(step).collect()
    } else {
        let step = |(ordinal, file): (i64, &String)| {
            subject_step(StepKind::ImportUsage, &run.id, None, file, ordinal, now)
        };
        (first..).zip(&group.files).map(step).collect()
    };
    steps::add(&mut tx, &steps, now).await?;
    meta::raise_high_water(&mut tx, now).await?;
    tx.commit().await?;
    tracing::info!(
        run = run.id,
        job = group.job,
        cycle = group.cycle,
        "planned {} steps",
        steps.len()
    );
    Ok(Some(run.id))
}

/// The ranges of a group as they are now, in the transaction that plans them.
async fn ranges_of(
    app: &App,
    tx: &mut Tx,
    job: &Job,
    group: &DueGroup,
) -> Result<Vec<Stretch>, ServiceError> {
    if group.cycle.is_empty() {
        return everyone(tx, job, &group.question.only).await;
    }
    let found = closes::due(app, tx, job, &group.question, Some(group)).await?;
    let same = |of: &DueGroup| {
        (of.waits_for_catch_up, &of.waits_for_feeds)
            == (group.waits_for_catch_up, &group.waits_for_feeds)
    };
    let ranges = found.into_iter().find(|(found, _)| same(found));
    Ok(ranges.map(|(_, ranges)| ranges).unwrap_or_default())
}

async fn get_or_create(
    tx: &mut Tx,
    (job, cycle, due_at): (&str, &str, DateTime<Utc>),
    cause: &str,
    now: DateTime<Utc>,
) -> Result<Run, ServiceError> {
    let due = due_at.timestamp_micros().to_string();
    let run = Run {
        id: ids::derived("run", due_at, &[job, cycle, &due]),
        job: job.to_owned(),
        cycle: cycle.to_owned(),
        due_at,
        state: "open".to_owned(),
        cause: cause.to_owned(),
        plans: 0,
    };
    Ok(runs::get_or_create(tx, &run, now).await?)
}

/// The run that on-demand work of a job joins: one per day (UTC).
pub async fn daily_run(tx: &mut Tx, job: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
    let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    // A watch that found nothing may remove its run in between.
    loop {
        let run = get_or_create(tx, (job, "", midnight), "on demand", now).await?;
        if runs::reopen(tx, &run.id).await? {
            return Ok(run.id);
        }
    }
}
