//! Claims steps, does them, and decides what follows a failure.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, Utc};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::plan::{self, DueGroup};
use super::report::{self, Held, Report};
use super::steps::{self as step_kinds, Range, StepError, chunk_step};
use super::{StepKind, names};
use crate::app::{App, random_id};
use crate::documents::files::{sweep_temporaries, sweep_temporaries_in};
use crate::services::clocks::ClockCheck;
use crate::services::{ServiceError, doctor};
use crate::storage::steps::{self, Among, Claim, Step};
use crate::storage::{StorageError, Tx, cycles, meta, migrations, organizations, runs};

/// How often a lease is renewed while its step is at work: so many times before it would be over.
const SIGNS_OF_LIFE: u32 = 3;
/// How often a busy worker looks for steps whose worker is gone, before all others; and an idle one at most for
/// what may go next.
const LOOKS_EVERY: std::time::Duration = std::time::Duration::from_secs(1);
/// Whole transactions tried again at once when the database was busy.
const IMMEDIATE_RETRIES: u32 = 5;
/// Rounds of planning in one tick: far more than months anyone can miss.
const MAX_ROUNDS: u32 = 10_000;

/// Works through what is due.
pub struct Runner {
    app: Arc<App>,
    /// Random per process: a restarted host does not inherit its own leases.
    owner: String,
    stop: CancellationToken,
    /// Kinds of steps after this one are left to others.
    last: StepKind,
    /// When it last found no step that another worker left behind, in microseconds.
    none_abandoned_at: AtomicI64,
    clocks: ClockCheck,
}

impl Runner {
    /// A runner that stops claiming when `stop` is cancelled.
    ///
    /// # Errors
    /// The system has no random bits.
    pub fn new(app: Arc<App>, stop: CancellationToken) -> Result<Self, ServiceError> {
        let owner = random_id("own").map_err(|error| ServiceError::Refused(error.to_string()))?;
        let none_abandoned_at = AtomicI64::new(0);
        let clocks = ClockCheck::default();
        Ok(Self { app, owner, stop, last: StepKind::Webhook, none_abandoned_at, clocks })
    }

    /// The same runner for steps up to and including a kind: to rehearse or measure a part of the night.
    #[must_use]
    pub const fn up_to(mut self, last: StepKind) -> Self {
        self.last = last;
        self
    }

    /// Asks what is due and does all of it, oldest cycle first.
    ///
    /// # Errors
    /// The clock is behind, or the database fails.
    pub async fn tick(&self, confirmed: Option<u32>) -> Result<Report, ServiceError> {
        self.tidy().await?;
        let mut touched = BTreeSet::new();
        let mut held = Vec::new();
        for _ in 0..MAX_ROUNDS {
            let groups = plan::due(&self.app, confirmed).await?;
            held = groups.iter().filter_map(held_of).collect();
            let planned = self.plan_oldest(&groups, "schedule").await?;
            let worked = self.work(None, &mut touched).await?;
            touched.extend(planned.iter().cloned());
            if self.stop.is_cancelled() || (planned.is_empty() && worked == 0) {
                break;
            }
        }
        // Work in other hands, or waiting for its time, is not "nothing".
        let mut tx = self.app.db.read().await?;
        touched.extend(steps::waiting_runs(&mut tx).await?);
        touched.extend(steps::held(&mut tx).await?.into_iter().map(|step| step.run_id));
        let ended = runs::ended(&mut tx).await?;
        drop(tx);
        self.end(&ended).await?;
        self.report(&touched, held).await
    }

    /// Runs whose last step was ended by hand, or by a worker that was stopped before it said so, end too.
    async fn end(&self, ended: &[String]) -> Result<(), ServiceError> {
        if ended.is_empty() {
            return Ok(());
        }
        let mut tx = self.app.db.write().await?;
        for run in ended {
            runs::refresh(&mut tx, run, self.app.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Refuses a database that could lose a committed fact, and removes what a crash left half written.
    async fn tidy(&self) -> Result<(), ServiceError> {
        doctor::refuse_weak_settings(&self.app.db).await?;
        migrations::refuse_newer(&mut self.app.db.read().await?).await?;
        let yesterday = self.app.clock.now() - Duration::days(1);
        let swept = sweep_temporaries(&self.app.documents(), yesterday)
            .and_then(|_| sweep_temporaries(&self.app.home.join("outbox"), yesterday))
            .and_then(|_| sweep_temporaries_in(&self.app.home, yesterday));
        if let Err(error) = swept {
            tracing::warn!(%error, "temporary files cannot be removed");
        }
        Ok(())
    }

    /// Plans the due groups of the oldest cycle, and everything that is not about cycles.
    async fn plan_oldest(
        &self,
        groups: &[DueGroup],
        cause: &str,
    ) -> Result<Vec<String>, ServiceError> {
        let ready = || groups.iter().filter(|group| !group.waits());
        let oldest =
            ready().filter(|group| !group.cycle.is_empty()).map(|group| group.cycle.clone()).min();
        let mut planned = Vec::new();
        for group in ready() {
            if group.cycle.is_empty() || Some(&group.cycle) == oldest.as_ref() {
                planned.extend(plan::plan(&self.app, group, cause).await?);
            }
        }
        Ok(planned)
    }

    /// Does steps until none may go now; gives how many were done. `run` limits it to one run.
    ///
    /// # Errors
    /// The database fails.
    pub async fn work(
        &self,
        run: Option<&str>,
        touched: &mut BTreeSet<String>,
    ) -> Result<usize, ServiceError> {
        let mut worked = 0;
        while !self.stop.is_cancelled() {
            let claimed = self.claim(run).await?;
            if claimed.is_empty() {
                break;
            }
            touched.extend(claimed.iter().map(|step| step.run_id.clone()));
            worked += claimed.len();
            let mut tasks = JoinSet::new();
            for step in claimed {
                let app = self.app.clone();
                tasks.spawn(async move { perform(app, step).await });
            }
            while let Some(done) = tasks.join_next().await {
                done.map_err(|error| ServiceError::Refused(error.to_string()))??;
            }
        }
        // A run that was asked for by name was opened for it: it ends, even if there was nothing to do.
        if worked > 0 || run.is_some() {
            let mut tx = self.app.db.write().await?;
            for run in touched.iter() {
                let counts = runs::refresh(&mut tx, run, self.app.clock.now()).await?;
                if counts.waiting + counts.parked == 0 {
                    self.forget_quiet(&mut tx, run).await?;
                }
            }
            tx.commit().await?;
            self.app.db.checkpoint().await?;
        }
        Ok(worked)
    }

    /// A watch that found nothing leaves no run behind.
    async fn forget_quiet(&self, tx: &mut Tx, run: &str) -> Result<(), ServiceError> {
        let Some(run) = runs::get(tx, run).await? else { return Ok(()) };
        if let Some(job) = self.app.jobs.iter().find(|job| job.watch && job.name == run.job) {
            runs::remove_quiet(tx, &run.id, job.first_step().as_str()).await?;
        }
        Ok(())
    }

    /// What is to be done next. What a dead worker left behind comes first, however much waits before it:
    /// so it is begun again as soon as its lease is over.
    async fn claim(&self, run: Option<&str>) -> Result<Vec<Step>, ServiceError> {
        self.clocks.refuse_far_clock(&self.app).await?;
        let now = self.app.clock.now();
        let mut tx = self.app.db.write().await?;
        migrations::refuse_newer(&mut tx).await?;
        let mut claimed = Vec::new();
        let last = self.none_abandoned_at.load(Ordering::Relaxed);
        if u128::from(now.timestamp_micros().abs_diff(last)) >= LOOKS_EVERY.as_micros() {
            claimed = self.claim_among(&mut tx, now, run, Among::Abandoned).await?;
            if claimed.is_empty() {
                self.none_abandoned_at.store(now.timestamp_micros(), Ordering::Relaxed);
            }
        }
        if claimed.is_empty() {
            claimed = self.claim_among(&mut tx, now, run, Among::All).await?;
        }
        if claimed.is_empty() {
            return Ok(claimed);
        }
        meta::raise_high_water(&mut tx, now).await?;
        tx.commit().await?;
        Ok(claimed)
    }

    /// Facts and files one at a time, effects some at once.
    async fn claim_among(
        &self,
        tx: &mut Tx,
        now: DateTime<Utc>,
        run: Option<&str>,
        among: Among,
    ) -> Result<Vec<Step>, ServiceError> {
        let mut claim = Claim {
            owner: &self.owner,
            now,
            lease_until: now + self.app.lease(),
            min_rank: 0,
            max_rank: (StepKind::Charge.rank() - 1).min(self.last.rank()),
            limit: 1,
            run,
        };
        let mut claimed = steps::claim_among(tx, &claim, among).await?;
        if claimed.is_empty() && self.app.identity.refusal().is_none() {
            // Charges and mails side by side: a provider that is down keeps no mail waiting (F73).
            let at_once = i64::from(self.app.config.runner.effects_at_once);
            for kind in StepKind::EFFECTS {
                let alone = at_once == 1 && !claimed.is_empty();
                if kind.rank() <= self.last.rank() && !alone {
                    (claim.min_rank, claim.max_rank) = (kind.rank(), kind.rank());
                    claim.limit = at_once;
                    claimed.extend(steps::claim_among(tx, &claim, among).await?);
                }
            }
        }
        Ok(claimed)
    }

    /// How long an idle worker may sleep: until a waiting step may go or a lease is over. A lease that
    /// begins meanwhile is not over before the next look.
    ///
    /// # Errors
    /// The database fails.
    pub async fn next_look(&self) -> Result<std::time::Duration, ServiceError> {
        let runner = &self.app.config.runner;
        let longest = std::time::Duration::from_secs(runner.heartbeat_s.min(runner.lease_s).into());
        let mut tx = self.app.db.read().await?;
        let Some(next_at) = steps::next_at(&mut tx).await? else { return Ok(longest) };
        // What may go already is in hands that have not said so yet, or waits for an import.
        let ahead = (next_at - self.app.clock.now()).to_std().unwrap_or_default();
        Ok(ahead.max(LOOKS_EVERY).min(longest))
    }

    /// What became of the touched runs.
    ///
    /// # Errors
    /// The database fails.
    pub async fn report(
        &self,
        touched: &BTreeSet<String>,
        held: Vec<Held>,
    ) -> Result<Report, ServiceError> {
        let mut runs = Vec::with_capacity(touched.len());
        for id in touched {
            runs.extend(report::of_run(&self.app, id).await?);
        }
        runs.sort_by(|a, b| (a.run.due_at, &a.run.id).cmp(&(b.run.due_at, &b.run.id)));
        let refused = self.app.identity.refusal().map(str::to_owned);
        Ok(Report { runs, held, refused })
    }

    /// Does everything of one run that may go now.
    ///
    /// # Errors
    /// The database fails.
    pub async fn finish_run(&self, run: &str) -> Result<Report, ServiceError> {
        let mut touched = BTreeSet::from([run.to_owned()]);
        self.work(Some(run), &mut touched).await?;
        self.report(&touched, Vec::new()).await
    }
}

pub(super) fn held_of(group: &DueGroup) -> Option<Held> {
    group.waits().then(|| Held {
        job: group.job.clone(),
        cycle: group.cycle.clone(),
        due_at: group.due_at,
        organizations: group.organizations.len(),
        missed: group.waits_for_catch_up.unwrap_or_default(),
        feeds: group.waits_for_feeds.clone(),
        names: group.organizations.clone(),
    })
}

/// Does one claimed step in a task of its own, so that a panic ends nothing but this step.
async fn perform(app: Arc<App>, step: Step) -> Result<(), ServiceError> {
    let mut tx = app.db.read().await?;
    let cycle = runs::get(&mut tx, &step.run_id).await?.map(|run| run.cycle);
    drop(tx);
    let span = tracing::info_span!(
        "step",
        run = step.run_id,
        cycle,
        kind = step.kind,
        organization = step.organization,
        organizations = step.organizations
    );
    for _ in 0..IMMEDIATE_RETRIES {
        let (worker, claimed) = (app.clone(), step.clone());
        let task = async move { step_kinds::execute(&worker, &claimed).await };
        let task = tokio::spawn(task.instrument(span.clone()));
        let done = with_heartbeat(&app, &step, task).await;
        let error = match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(StepError::Fenced)) => {
                span.in_scope(|| {
                    tracing::info!("taken over by another worker; nothing was written");
                });
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(panic) => StepError::Park(format!("the program failed on this step: {panic}")),
        };
        if !is_busy(&error) {
            return after_failure(&app, &step, error).instrument(span).await;
        }
    }
    let busy = StepError::Retry { reason: "the database was busy".to_owned(), after: None };
    after_failure(&app, &step, busy).instrument(span).await
}

/// Renews the lease while a step is at work, so that a long one is not begun again by another worker.
async fn with_heartbeat(
    app: &App,
    step: &Step,
    mut task: JoinHandle<Result<(), StepError>>,
) -> Result<Result<(), StepError>, JoinError> {
    let lease = app.lease();
    let pause = lease.to_std().unwrap_or_default() / SIGNS_OF_LIFE;
    loop {
        tokio::select! {
            done = &mut task => return done,
            () = tokio::time::sleep(pause) => {
                // A lease that cannot be renewed runs out; the epoch keeps a late finish out.
                if let Ok(mut tx) = app.db.write().await
                    && steps::hold(&mut tx, step, app.clock.now() + lease).await.is_ok()
                {
                    let _ = tx.commit().await;
                }
            }
        }
    }
}

/// A lock or a deadlock: the whole transaction is tried again at once.
fn is_busy(error: &StepError) -> bool {
    matches!(error, StepError::Retry { reason, after: None } if reason.starts_with("database: ")
        && (reason.contains("deadlock") || reason.contains("locked") || reason.contains("serialize")))
}

async fn after_failure(app: &App, step: &Step, error: StepError) -> Result<(), ServiceError> {
    match error {
        StepError::Fenced => Ok(()),
        StepError::Retry { reason, after } => retry_later(app, step, &reason, after).await,
        StepError::Park(reason) => {
            if step.organization.is_none() && step.organizations > 1 {
                split(app, step, &reason).await
            } else {
                park(app, step, &reason).await
            }
        }
    }
}

async fn retry_later(
    app: &App,
    step: &Step,
    reason: &str,
    after: Option<Duration>,
) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    let job = runs::get(&mut tx, &step.run_id).await?.map(|run| run.job).unwrap_or_default();
    let retry = app.job(&job).or_else(|_| app.job(names::MONTHLY_CLOSE)).map(|job| job.retry);
    let retry = retry.map_err(|error| ServiceError::Refused(error.to_string()))?;
    // A step that knows its own delay counts its own tries.
    if after.is_none() && step.attempts >= i64::from(retry.attempts) {
        drop(tx);
        return park(app, step, &format!("{reason} (tried {} times)", step.attempts)).await;
    }
    let spread = step.id.bytes().next_back().unwrap_or_default();
    let delay = after.unwrap_or_else(|| retry.delay(step.attempts, spread));
    if delay.is_zero() {
        tracing::info!(reason, "asks again at once");
    } else {
        tracing::warn!(reason, "waits {} s and is tried again", delay.num_seconds());
    }
    steps::release(&mut tx, step, app.clock.now() + delay, Some(reason)).await?;
    tx.commit().await?;
    Ok(())
}

async fn park(app: &App, step: &Step, reason: &str) -> Result<(), ServiceError> {
    tracing::warn!(reason, "parked: waits for a person");
    let mut tx = app.db.write().await?;
    steps::park(&mut tx, step, reason).await?;
    if step.kind == StepKind::Close.as_str() {
        // Nobody else waits for this one any more.
        step_kinds::brake::when_closed(&mut tx, &step.run_id, app.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Halves a chunk that fails as a whole, until what is to blame stands alone.
async fn split(app: &App, step: &Step, reason: &str) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let Some(run) = runs::get(&mut tx, &step.run_id).await? else {
        drop(tx);
        return park(app, step, reason).await;
    };
    let (first, last) = (&step.first_organization, &step.last_organization);
    let organizations = if run.cycle.is_empty() {
        organizations::ids_between(&mut tx, first, last).await?
    } else {
        cycles::organizations(&mut tx, &run.cycle, first, last).await?
    };
    let kind: StepKind = step.kind.parse().map_err(ServiceError::Refused)?;
    let halves = organizations.chunks(organizations.len().div_ceil(2).max(1));
    let parts: Vec<Step> = halves
        .filter_map(|part| {
            let range = Range {
                first: part.first()?,
                last: part.last()?,
                organizations: i64::try_from(part.len()).unwrap_or(i64::MAX),
            };
            Some(chunk_step(kind, &step.run_id, &range, step.ordinal, now))
        })
        .collect();
    if parts.len() < 2 {
        drop(tx);
        return park(app, step, reason).await;
    }
    tracing::warn!(reason, "split: {} organizations fail together", organizations.len());
    steps::add(&mut tx, &parts, now).await?;
    match steps::finish(&mut tx, step, now).await {
        Ok(()) => tx.commit().await?,
        Err(StorageError::Fenced(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
