//! Asks what is due, plans it, claims steps and has them done.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::StepKind;
use super::perform::{groups, perform};
use super::plan::{self, DueGroup, Question};
use super::queue;
use super::report::{self, Held, Report};
use crate::app::{App, random_id};
use crate::files::{sweep_temporaries, sweep_temporaries_in};
use crate::services::clocks::ClockCheck;
use crate::services::{ServiceError, doctor};
use crate::storage::claims::{self, Claim, Claimed};
use crate::storage::{Tx, meta, migrations, runs, steps};

/// How soon after a look an idle worker looks again for what may go already: it waits for an import, or was just
/// claimed by another.
const SHORTEST_SLEEP: std::time::Duration = std::time::Duration::from_secs(1);
/// Steps with effects that are claimed together where nobody outside is waited for: one group is written to disk
/// while another is computed.
const LOCAL_EFFECTS: i64 = 256;
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
    /// Charges and mails are done before facts and files, but in every second claim.
    effects_first: bool,
    /// How often it claimed: whose turn it is.
    claims: AtomicU64,
    clocks: ClockCheck,
    /// The latest instant of work as last seen stored: it only rises.
    high_water: Mutex<Option<DateTime<Utc>>>,
}

impl Runner {
    /// A runner that stops claiming when `stop` is cancelled.
    ///
    /// # Errors
    /// The system has no random bits.
    pub fn new(app: Arc<App>, stop: CancellationToken) -> Result<Self, ServiceError> {
        let owner = random_id("own").map_err(|error| ServiceError::Refused(error.to_string()))?;
        Ok(Self {
            app,
            owner,
            stop,
            last: StepKind::Webhook,
            effects_first: false,
            claims: AtomicU64::new(0),
            clocks: ClockCheck::default(),
            high_water: Mutex::default(),
        })
    }

    /// The same runner for steps up to and including a kind: to rehearse or measure a part of the night.
    #[must_use]
    pub const fn up_to(mut self, last: StepKind) -> Self {
        self.last = last;
        self
    }

    /// The same runner as one of some workers, counted from 0. Every second one does charges and mails first, facts and
    /// files in every second claim and when there are none: those wait for the one writer of a file, these for
    /// providers and disks, and neither waits for all of the others.
    #[must_use]
    pub const fn as_worker(mut self, place: u16) -> Self {
        self.effects_first = place % 2 == 1;
        self
    }

    /// The most steps it has in hand at a time.
    pub(super) fn most_in_hand(&self) -> usize {
        let each = StepKind::EFFECTS.map(|kind| self.at_once(kind));
        usize::try_from(each.iter().sum::<i64>()).unwrap_or(usize::MAX)
    }

    /// The deployment it works for.
    pub(super) fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Asks what is due and does all of it, oldest cycle first.
    ///
    /// # Errors
    /// The clock is behind, or the database fails.
    pub async fn tick(&self, confirmed: Option<u32>) -> Result<Report, ServiceError> {
        self.tidy().await?;
        let mut touched = BTreeSet::new();
        let mut held = Vec::new();
        let question = Question { confirmed, ..Question::default() };
        // However long the queue of charges and mails is, what becomes due meanwhile is planned in time.
        let beat = Duration::seconds(self.app.config.runner.heartbeat_s.into());
        for _ in 0..MAX_ROUNDS {
            self.refuse_far_clock().await?;
            let groups = plan::due(&self.app, &question).await?;
            held = groups.iter().filter_map(held_of).collect();
            let planned = self.plan_oldest(&groups, "schedule").await?;
            let worked = self.work_for(None, &mut touched, Some(beat)).await?;
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
            self.settle(&mut tx, run).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Gives a run the state its steps have. A watch that found nothing leaves no run behind.
    async fn settle(&self, tx: &mut Tx, run: &str) -> Result<(), ServiceError> {
        if runs::refresh(tx, run, self.app.clock.now()).await? != "done" {
            return Ok(());
        }
        let Some(run) = runs::get(tx, run).await? else { return Ok(()) };
        if let Some(job) = self.app.jobs.iter().find(|job| job.watch && job.name == run.job) {
            runs::remove_quiet(tx, &run.id, job.first_step().as_str()).await?;
        }
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
        self.work_for(run, touched, None).await
    }

    /// The same, but claims nothing more once so much time has passed.
    async fn work_for(
        &self,
        run: Option<&str>,
        touched: &mut BTreeSet<String>,
        most: Option<Duration>,
    ) -> Result<usize, ServiceError> {
        let began = self.app.clock.now();
        let is_over =
            |worked| worked > 0 && most.is_some_and(|most| self.app.clock.now() - began >= most);
        let mut worked = 0;
        let mut mine: BTreeSet<String> = run.map(str::to_owned).into_iter().collect();
        let mut effects_began = false;
        while !self.stop.is_cancelled() && !is_over(worked) {
            let claimed = self.claim(run).await?;
            if claimed.is_empty() {
                break;
            }
            mine.extend(claimed.iter().map(|claimed| claimed.step.run_id.clone()));
            worked += claimed.len();
            let with_effects = |claimed: &Claimed| claimed.step.rank >= StepKind::Charge.rank();
            if !effects_began && !self.effects_first && claimed.iter().any(with_effects) {
                effects_began = true;
                // For information only: a failure keeps no step waiting. Not while there are facts, which add to it.
                match queue::queues(&self.app).await {
                    Ok(queues) => queue::tell(&queues),
                    Err(error) => tracing::warn!(%error, "how long the queue is cannot be told"),
                }
            }
            let mut tasks = JoinSet::new();
            for group in groups(claimed) {
                tasks.spawn(perform(self.app.clone(), self.stop.clone(), group));
            }
            // One that fails ends after the others: nobody would renew their leases.
            let mut failed = None;
            while let Some(done) = tasks.join_next().await {
                let done = done.map_err(|error| ServiceError::Refused(error.to_string()));
                if let Err(error) = done.and_then(|done| done) {
                    failed.get_or_insert(error);
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
        }
        // A run that was asked for by name was opened for it: it ends, even if there was nothing to do.
        if !mine.is_empty() {
            let mut tx = self.app.db.write().await?;
            for run in &mine {
                self.settle(&mut tx, run).await?;
            }
            tx.commit().await?;
            self.app.db.checkpoint().await?;
        }
        touched.append(&mut mine);
        Ok(worked)
    }

    /// What is to be done next: facts and files one at a time, effects some at once.
    async fn claim(&self, run: Option<&str>) -> Result<Vec<Claimed>, ServiceError> {
        let (now, mut tx) = self.begin_claim().await?;
        // One after the other, all kinds are alike: the lowest rank comes first.
        let alike = self.app.config.runner.effects_at_once == 1;
        let alone = if alike { self.last_rank() } else { self.last_fact() };
        let one = Claim { run, ..self.claim_until(now, alone, 1) };
        let turn = self.claims.fetch_add(1, Ordering::Relaxed);
        let effects_first = self.effects_first && !alike && turn.is_multiple_of(2);
        let mut claimed = if effects_first {
            self.claim_effects(&mut tx, &one).await?
        } else {
            claims::claim(&mut tx, &one).await?
        };
        if claimed.is_empty() && !alike {
            claimed = if effects_first {
                claims::claim(&mut tx, &one).await?
            } else {
                self.claim_effects(&mut tx, &one).await?
            };
        }
        self.end_claim(tx, now, claimed).await
    }

    /// Charges and mails side by side: a provider that is down keeps no mail waiting (F73).
    async fn claim_effects(
        &self,
        tx: &mut Tx,
        like: &Claim<'_>,
    ) -> Result<Vec<Claimed>, ServiceError> {
        let mut claimed = Vec::new();
        for kind in StepKind::EFFECTS {
            if kind.rank() <= self.last_rank() {
                let (rank, limit) = (kind.rank(), self.at_once(kind));
                let claim = Claim { min_rank: rank, max_rank: rank, limit, ..like.clone() };
                claimed.extend(claims::claim(tx, &claim).await?);
            }
        }
        Ok(claimed)
    }

    /// How many steps of a kind with effects are claimed at once. What waits for nobody else goes many at a time; a
    /// mail server is kept busy while others of a claim are committed.
    fn at_once(&self, kind: StepKind) -> i64 {
        let (one_after_the_other, at_once) = (1, self.app.config.runner.effects_at_once);
        match kind {
            _ if at_once == one_after_the_other => 1,
            StepKind::Charge if self.app.gateway.is_local() => LOCAL_EFFECTS,
            StepKind::Mail if self.app.mailer.is_local() => LOCAL_EFFECTS,
            StepKind::Mail => 4 * i64::from(at_once),
            _ => i64::from(at_once),
        }
    }

    /// Takes over at most so many steps whose workers gave no sign of life until their leases were over.
    pub(super) async fn take_over(&self, most: usize) -> Result<Vec<Claimed>, ServiceError> {
        if most == 0 {
            return Ok(Vec::new());
        }
        // Asked first by a reader: once a second is too often to keep writers waiting for nothing.
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let looks = self.claim_until(self.app.clock.now(), self.last_rank(), most);
        let mut tx = self.app.db.read().await?;
        let found = claims::has_abandoned(&mut tx, &looks).await?;
        drop(tx);
        if !found {
            return Ok(Vec::new());
        }
        let (now, mut tx) = self.begin_claim().await?;
        let claim = self.claim_until(now, self.last_rank(), most);
        let claimed = claims::take_over(&mut tx, &claim).await?;
        self.end_claim(tx, now, claimed).await
    }

    /// A clock that is far from the server's plans nothing and does nothing: what it planned would be everybody's.
    ///
    /// # Errors
    /// See [`ClockCheck::refuse_far_clock`].
    pub(super) async fn refuse_far_clock(&self) -> Result<(), ServiceError> {
        self.clocks.refuse_far_clock(&self.app).await
    }

    async fn begin_claim(&self) -> Result<(DateTime<Utc>, Tx), ServiceError> {
        self.refuse_far_clock().await?;
        let now = self.app.clock.now();
        Ok((now, self.app.db.write().await?))
    }

    async fn end_claim(
        &self,
        mut tx: Tx,
        now: DateTime<Utc>,
        claimed: Vec<Claimed>,
    ) -> Result<Vec<Claimed>, ServiceError> {
        if !claimed.is_empty() {
            let known = *self.high_water.lock().unwrap_or_else(PoisonError::into_inner);
            if known.is_none_or(|high| meta::lags(high, now)) {
                let stored = meta::raise_high_water(&mut tx, now).await?;
                tx.commit().await?;
                *self.high_water.lock().unwrap_or_else(PoisonError::into_inner) = Some(stored);
            } else {
                tx.commit().await?;
            }
        }
        Ok(claimed)
    }

    /// The last rank of steps it does: no effects where this home may not cause any.
    fn last_rank(&self) -> i64 {
        match self.app.identity.refusal() {
            None => self.last.rank(),
            Some(_) => self.last_fact(),
        }
    }

    /// The last rank before those of effects.
    fn last_fact(&self) -> i64 {
        (StepKind::Charge.rank() - 1).min(self.last.rank())
    }

    /// A claim of steps up to a rank, of any run.
    fn claim_until(&self, now: DateTime<Utc>, max_rank: i64, limit: i64) -> Claim<'_> {
        let lease_until = now + self.app.lease();
        Claim { owner: &self.owner, now, lease_until, min_rank: 0, max_rank, limit, run: None }
    }

    /// How long an idle worker may sleep: until a waiting step may go, at most until the next heartbeat.
    ///
    /// # Errors
    /// The database fails.
    pub async fn next_look(&self) -> Result<std::time::Duration, ServiceError> {
        let longest = std::time::Duration::from_secs(self.app.config.runner.heartbeat_s.into());
        let mut tx = self.app.db.read().await?;
        let Some(next_at) = steps::next_at(&mut tx).await? else { return Ok(longest) };
        let ahead = (next_at - self.app.clock.now()).to_std().unwrap_or_default();
        Ok(ahead.max(SHORTEST_SLEEP).min(longest))
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
        organizations: group.organizations,
        missed: group.waits_for_catch_up.unwrap_or_default(),
        feeds: group.waits_for_feeds.clone(),
        names: group.names.clone(),
    })
}
