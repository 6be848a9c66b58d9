//! What is due: asked of the database, never of a timer. Start-up, tick and the command line ask here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use super::definition::{Due, Job};
use super::steps::{Range, chunk_step, subject_step};
use super::{StepKind, schedule};
use crate::app::App;
use crate::domain::cycle::{Bounds, Cycle};
use crate::domain::ids;
use crate::services::ServiceError;
use crate::services::feeds::{self, Silent};
use crate::storage::cycles::{self, Due as DueCycle};
use crate::storage::runs::{self, Run};
use crate::storage::steps::Step;
use crate::storage::{Tx, damaged, meta, organizations, parsed, steps};

/// How far the clock may fall behind the latest work before nothing is closed any more (F37).
pub const CLOCK_SLACK: Duration = Duration::minutes(5);

/// Ordinals set aside for the steps of one plan of a run.
pub const ORDINALS_PER_PLAN: i64 = 1_000_000;

/// A group of organizations whose cycle is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueGroup {
    /// Which job.
    pub job: String,
    /// Which cycle, as text; empty: not about a cycle.
    pub cycle: String,
    /// Since when.
    pub due_at: DateTime<Utc>,
    /// Which organizations, in order; empty: not about organizations.
    pub organizations: Vec<String>,
    /// Files of the inbox, for imports.
    pub files: Vec<String>,
    /// How often the run was planned when this was asked; two planners who saw the same plan once.
    pub plans: i64,
    /// More missed cycles than the job catches up by itself: how many.
    pub waits_for_catch_up: Option<u32>,
    /// Feeds of usage that look incomplete, which these organizations wait for.
    pub waits_for_feeds: Vec<Silent>,
}

impl DueGroup {
    /// Does it wait for a person?
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waits_for_catch_up.is_some() || !self.waits_for_feeds.is_empty()
    }
}

/// Everything that is due now, oldest cycle first.
///
/// # Errors
/// The clock is behind the latest work, or the database fails.
pub async fn due(app: &App, confirmed: Option<u32>) -> Result<Vec<DueGroup>, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.read().await?;
    refuse_early_clock(&mut tx, now).await?;
    let watched = runs::watched(&mut tx).await?;
    let mut groups = Vec::new();
    for job in &app.jobs {
        match &job.due {
            Due::CycleEnd => groups.extend(due_cycles(app, &mut tx, job, now, confirmed).await?),
            Due::Schedule { pattern, zone } => {
                let watched = watched.get(&job.name).copied();
                let pattern = (pattern.as_str(), *zone);
                groups.extend(due_schedule(app, &mut tx, (job, watched), pattern, now).await?);
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

async fn due_cycles(
    app: &App,
    tx: &mut Tx,
    job: &Job,
    now: DateTime<Utc>,
    confirmed: Option<u32>,
) -> Result<Vec<DueGroup>, ServiceError> {
    let limit = confirmed.unwrap_or_default().max(job.max_catch_up);
    let mut ready: BTreeMap<(String, DateTime<Utc>), Vec<String>> = BTreeMap::new();
    let mut bounds: BTreeMap<(String, DateTime<Utc>), Bounds> = BTreeMap::new();
    let mut held: BTreeMap<(String, DateTime<Utc>, u32), Vec<String>> = BTreeMap::new();
    for due in cycles::due(tx, now).await? {
        let missed = missed_cycles(&due, now)?;
        if missed > limit {
            held.entry((due.cycle, due.due_at, missed)).or_default().push(due.organization);
        } else {
            let key = (due.cycle.clone(), due.due_at);
            if !bounds.contains_key(&key) {
                bounds.insert(key.clone(), bounds_of(&due)?);
            }
            ready.entry(key).or_default().push(due.organization);
        }
    }
    let group = |cycle, due_at, organizations, waits_for_catch_up| DueGroup {
        job: job.name.clone(),
        cycle,
        due_at,
        organizations,
        files: Vec::new(),
        plans: 0,
        waits_for_catch_up,
        waits_for_feeds: Vec::new(),
    };
    let mut groups = Vec::new();
    for ((cycle, due_at), organizations) in ready {
        let (left, plans) = not_covered(tx, job, &cycle, due_at, organizations).await?;
        let Some(span) = bounds.get(&(cycle.clone(), due_at)).filter(|_| !left.is_empty()) else {
            continue;
        };
        let feeds = feeds::look(app, tx, span.starts_at, span.ends_at).await?;
        for (silent, organizations) in feeds::sorted(&feeds, left) {
            let group = group(cycle.clone(), due_at, organizations, None);
            groups.push(DueGroup { plans, waits_for_feeds: silent, ..group });
        }
    }
    for ((cycle, due_at, missed), organizations) in held {
        groups.push(group(cycle, due_at, organizations, Some(missed)));
    }
    Ok(groups)
}

/// The bounds of a due cycle.
fn bounds_of(due: &DueCycle) -> Result<Bounds, ServiceError> {
    let name = &due.organization;
    let zone: Tz = parsed("organization", "zone", name, &due.zone)?;
    let cycle: Cycle = parsed("billing_cycle", "cycle", name, &due.cycle)?;
    Ok(Bounds { ends_at: due.ends_at, ..cycle.bounds(zone) })
}

/// How many ended cycles an organization has to close, grace included.
fn missed_cycles(due: &DueCycle, now: DateTime<Utc>) -> Result<u32, ServiceError> {
    let name = &due.organization;
    let zone: Tz = parsed("organization", "zone", name, &due.zone)?;
    let cycle: Cycle = parsed("billing_cycle", "cycle", name, &due.cycle)?;
    let grace = due.due_at - due.ends_at;
    let current = Cycle::of_instant(now - grace, zone);
    u32::try_from(current.since(cycle).max(1))
        .map_err(|error| damaged("billing_cycle", "cycle", name, error).into())
}

/// Organizations that no unfinished close step of the run covers, and how often it was planned.
async fn not_covered(
    tx: &mut Tx,
    job: &Job,
    cycle: &str,
    due_at: DateTime<Utc>,
    mut organizations: Vec<String>,
) -> Result<(Vec<String>, i64), ServiceError> {
    let mut plans = 0;
    for run in runs::of_cycle(tx, &job.name, cycle).await? {
        if run.due_at != due_at {
            continue;
        }
        plans = run.plans;
        let covering = steps::unfinished(tx, &run.id, StepKind::Close.as_str()).await?;
        organizations.retain(|organization| {
            !covering.iter().any(|step| {
                step.state != "parked"
                    && (&step.first_organization..=&step.last_organization).contains(&organization)
            })
        });
    }
    Ok((organizations, plans))
}

async fn due_schedule(
    app: &App,
    tx: &mut Tx,
    (job, watched): (&Job, Option<DateTime<Utc>>),
    (pattern, zone): (&str, Tz),
    now: DateTime<Utc>,
) -> Result<Option<DueGroup>, ServiceError> {
    let last_due = schedule::last_due(pattern, zone, now).map_err(ServiceError::Refused)?;
    let Some(due_at) = last_due else { return Ok(None) };
    let stale = job.stale_after_hours.map(|hours| Duration::hours(i64::from(hours)));
    let begun = if job.watch {
        watched.is_some_and(|watched| watched >= due_at)
    } else {
        runs::at(tx, &job.name, due_at).await?.is_some()
    };
    if begun || stale.is_some_and(|stale| now - due_at > stale) {
        return Ok(None);
    }
    let (mut organizations, mut files) = (Vec::new(), Vec::new());
    if job.first_step() == StepKind::ImportUsage {
        files = inbox_files(&app.inbox());
        let begun = steps::unfinished_subjects(tx, StepKind::ImportUsage.as_str()).await?;
        files.retain(|file| !begun.contains(file));
    } else {
        // A run that is still at it is not joined by a second one; the next due instant comes.
        if runs::has_open(tx, &job.name).await? {
            return Ok(None);
        }
        organizations = organizations::ids(tx).await?;
    }
    Ok((!organizations.is_empty() || !files.is_empty()).then(|| DueGroup {
        job: job.name.clone(),
        cycle: String::new(),
        due_at,
        organizations,
        files,
        plans: 0,
        waits_for_catch_up: None,
        waits_for_feeds: Vec::new(),
    }))
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
            let set_aside = inbox.join(format!("{name}{rejected}")).exists();
            !name.starts_with('.') && !temporary && !set_aside
        })
        .collect();
    names.sort();
    names
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
    let run = get_or_create(&mut tx, group, cause, now).await?;
    if !runs::begin_plan(&mut tx, &run, group.plans).await? {
        return Ok(None);
    }
    // Each plan's steps have ordinals, and so ids, of their own.
    let first = group.plans * ORDINALS_PER_PLAN;
    let steps = match group.files.as_slice() {
        [] => {
            let all = cycles::due_together(&mut tx, &group.cycle, group.due_at).await?;
            chunk_steps(job, &run.id, (&group.organizations, &all), first, now)
        }
        files => (first..)
            .zip(files)
            .map(|(ordinal, file)| {
                subject_step(StepKind::ImportUsage, &run.id, None, file, ordinal, now)
            })
            .collect(),
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

async fn get_or_create(
    tx: &mut Tx,
    group: &DueGroup,
    cause: &str,
    now: DateTime<Utc>,
) -> Result<Run, ServiceError> {
    let due = group.due_at.timestamp_micros().to_string();
    let run = Run {
        id: ids::derived("run", group.due_at, &[&group.job, &group.cycle, &due]),
        job: group.job.clone(),
        cycle: group.cycle.clone(),
        due_at: group.due_at,
        state: "open".to_owned(),
        cause: cause.to_owned(),
        plans: 0,
    };
    Ok(runs::get_or_create(tx, &run, now).await?)
}

/// The run that on-demand work of a job joins: one per day (UTC).
pub async fn daily_run(tx: &mut Tx, job: &str, now: DateTime<Utc>) -> Result<String, ServiceError> {
    let midnight = now.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
    let group = DueGroup {
        job: job.to_owned(),
        cycle: String::new(),
        due_at: midnight,
        organizations: Vec::new(),
        files: Vec::new(),
        plans: 0,
        waits_for_catch_up: None,
        waits_for_feeds: Vec::new(),
    };
    let run = get_or_create(tx, &group, "on demand", now).await?;
    runs::reopen(tx, &run.id).await?;
    Ok(run.id)
}

/// Steps over ranges of organizations. A range ends where another one would lie in it that is due as well and not
/// asked for: it waits for a feed or a person, and a step does all that its range holds.
fn chunk_steps(
    job: &Job,
    run: &str,
    (organizations, due): (&[String], &[String]),
    first: i64,
    now: DateTime<Utc>,
) -> Vec<Step> {
    let asked: BTreeSet<&String> = organizations.iter().collect();
    let mut others = due.iter().filter(|one| !asked.contains(one)).peekable();
    let mut left = organizations;
    let mut parts = Vec::new();
    while let Some(begins) = left.first() {
        while others.next_if(|other| *other < begins).is_some() {}
        let whole = others
            .peek()
            .map_or(left.len(), |other| left.partition_point(|organization| organization < *other));
        let (part, rest) = left.split_at(whole.max(1));
        parts.extend(part.chunks(job.chunk_organizations.max(1)));
        left = rest;
    }
    (first..)
        .zip(parts)
        .filter_map(|(ordinal, part)| {
            let range = Range {
                first: part.first()?,
                last: part.last()?,
                organizations: i64::try_from(part.len()).unwrap_or(i64::MAX),
            };
            Some(chunk_step(job.first_step(), run, &range, ordinal, now))
        })
        .collect()
}
