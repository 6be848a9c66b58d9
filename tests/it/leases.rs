//! Leases: a dead worker's steps are taken again in time, and a stopped one holds nobody up.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use monthend::app::{App, open_database_for};
use monthend::config;
use monthend::jobs::StepKind;
use monthend::jobs::plan::{self, Question};
use monthend::jobs::queue::{self, Queue};
use monthend::jobs::rescue::rescue;
use monthend::jobs::runner::Runner;
use monthend::jobs::steps::StepError;
use monthend::mail::{Composed, Handed, MailError, Mailer};
use monthend::storage::claims::{self, Claim};
use monthend::storage::steps::{self, Step};
use monthend::storage::{Tx, meta};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor as _};
use tokio_util::sync::CancellationToken;

use crate::harness::world::execute;
use crate::harness::{Engine, Org, World, both_engines, run};

/// How long a claim holds, as shipped.
const LEASE: Duration = Duration::from_mins(1);

fn runner(app: Arc<App>) -> Runner {
    Runner::new(app, CancellationToken::new()).unwrap()
}

async fn one_organization(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "professional", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

/// Plans the one step there is: the close.
async fn plan_close(app: &App) {
    let mut due = plan::due(app, &Question::default()).await.unwrap();
    due.retain(|group| group.job == "monthly_close");
    for group in due {
        plan::plan(app, &group, "test").await.unwrap();
    }
}

/// Somebody takes a step and dies.
async fn take_and_die(app: &App) -> Step {
    let now = app.clock.now();
    let (min_rank, max_rank, lease_until) = (0, 1_000, now + app.lease());
    let claim =
        Claim { owner: "mortal", now, lease_until, min_rank, max_rank, limit: 1, run: None };
    let mut tx = app.db.write().await.unwrap();
    let claimed = claims::claim(&mut tx, &claim).await.unwrap();
    tx.commit().await.unwrap();
    claimed.into_iter().next().unwrap().step
}

// F17: whoever takes over what a dead worker left had to be idle, or at the end of its own step; and a step is taken
// once its lease is over, not before.
both_engines!(what_a_dead_worker_left_is_taken_over, |world| {
    one_organization(&world).await;
    plan_close(&world.app()).await;
    take_and_die(&world.app()).await;
    let claim = |now| Claim {
        owner: "heir",
        now,
        lease_until: now + LEASE,
        min_rank: 0,
        max_rank: 1_000,
        limit: 9,
        run: None,
    };
    let left = async || {
        let mut tx = world.app().db.read().await.unwrap();
        claims::has_abandoned(&mut tx, &claim(world.now())).await.unwrap()
    };
    let taken = async || {
        let app = world.app();
        let mut tx = app.db.write().await.unwrap();
        let taken = claims::take_over(&mut tx, &claim(world.now())).await.unwrap();
        tx.commit().await.unwrap();
        taken
    };
    world.pass(59);
    assert!(!left().await);
    assert!(taken().await.is_empty());
    world.pass(1);
    assert!(left().await);
    let taken_over = taken().await;
    assert_eq!(taken_over.len(), 1);
    assert_eq!((taken_over[0].step.epoch, taken_over[0].step.attempts), (2, 2));
    assert!(!left().await);
    assert!(taken().await.is_empty());
    world.pass(60);
    world.clean_tick().await;
});

// A step that waits is tried again in its time, not with the heartbeat after it.
both_engines!(an_idle_worker_wakes_when_a_step_may_go, |world| {
    one_organization(&world).await;
    plan_close(&world.app()).await;
    let step = take_and_die(&world.app()).await;
    let mut tx = world.app().db.write().await.unwrap();
    let later = world.now() + chrono::Duration::seconds(5);
    steps::release(&mut tx, &step, later, Some("not now")).await.unwrap();
    tx.commit().await.unwrap();
    let look = runner(world.app()).next_look().await.unwrap();
    assert_eq!(look, Duration::from_secs(5));
    world.pass(5);
    world.clean_tick().await;
});

/// A mail server that keeps the first who asks waiting.
struct Slow {
    asked: AtomicUsize,
    answers: CancellationToken,
}

#[async_trait]
impl Mailer for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn hand_over(&self, _: &Composed) -> Result<Handed, MailError> {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            self.answers.cancelled().await;
        }
        Ok(Handed::default())
    }
}

// F17: what a dead worker left waited until a worker was free, behind everything of a lower rank, a slow provider or a
// row in other hands.
both_engines!(abandoned_steps_wait_for_no_busy_worker, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let organization = |id| Org::new(id, "professional", "2026-01-01").pays("ok");
    world.organizations(&[organization("acme"), organization("bolt")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    runner(world.app()).up_to(StepKind::Charge).tick(None).await.unwrap();
    let left = take_and_die(&world.app()).await;
    assert_eq!(left.kind, "mail");
    let mut app = world.another_app().await;
    let answers = CancellationToken::new();
    let slow = Arc::new(Slow { asked: AtomicUsize::new(0), answers: answers.clone() });
    Arc::get_mut(&mut app).unwrap().mailer = slow.clone();
    let busy = runner(app.clone());
    let busy = tokio::spawn(async move { busy.work(None, &mut BTreeSet::new()).await });
    while slow.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    world.pass(61);
    let stop = CancellationToken::new();
    let rescuer = tokio::spawn(rescue(runner(app.clone()), Arc::default(), stop.clone()));
    let done = format!("step WHERE state = 'done' AND id = '{}'", left.id);
    while world.count(&done).await == 0 {
        tokio::task::yield_now().await;
    }
    assert!(!busy.is_finished());
    answers.cancel();
    stop.cancel();
    rescuer.await.unwrap();
    busy.await.unwrap().unwrap();
    app.db.close().await;
    world.clean_tick().await;
    assert_eq!(world.count("mail WHERE state <> 'sent'").await, 0);
});

// F17: a process stopped in a transaction kept its rows locked for two minutes, twice its lease: nobody could take its
// steps again, and all workers waited for its lock on the mark of the latest work. At a third of the lease, others
// that wait for such a lock and are stopped themselves still let go before it is over.
#[test]
fn no_transaction_that_writes_stands_still_for_long() {
    run(Engine::Postgres, |world| async move {
        for (lease_s, told) in [(60, "10s"), (15, "5s"), (3, "1s")] {
            let address = world.options().database.unwrap();
            let settings = config::Runner { lease_s, ..config::Runner::default() };
            let db = open_database_for(&address, &settings).await.unwrap();
            let setting = "SELECT current_setting('idle_in_transaction_session_timeout')";
            let shown = async |mut tx: Tx| {
                let Tx::Postgres(connection) = &mut tx else { unreachable!("it is PostgreSQL") };
                let shown = sqlx::query_as(setting).fetch_one(&mut **connection).await;
                let (shown,): (String,) = shown.unwrap();
                shown
            };
            assert_eq!(shown(db.write().await.unwrap()).await, told);
            // What reads locks nothing, and may think longer.
            assert_eq!(shown(db.read().await.unwrap()).await, "10min");
            db.close().await;
        }
    });
}

// F17: one process is stopped with the mark of the latest work in its hands; others claim nevertheless.
#[test]
fn a_claim_waits_for_no_row_in_other_hands() {
    run(Engine::Postgres, |world| async move {
        one_organization(&world).await;
        plan_close(&world.app()).await;
        let address = world.options().database.unwrap();
        let mut holder = PgConnection::connect(&address).await.unwrap();
        holder.execute("BEGIN").await.unwrap();
        holder.execute("SELECT 1 FROM meta WHERE name = 'high_water_at' FOR UPDATE").await.unwrap();
        let app = world.app();
        let mut tx = app.db.write().await.unwrap();
        meta::raise_high_water(&mut tx, world.now()).await.unwrap();
        let step = take_and_die(&app).await;
        tx.commit().await.unwrap();
        // A sign of life does not wait for the step's own transaction either.
        let mut own = app.db.write().await.unwrap();
        steps::hold(&mut own, &step, world.now() + LEASE).await.unwrap();
        let mut sign = app.db.write().await.unwrap();
        claims::renew(&mut sign, std::slice::from_ref(&step), world.now() + LEASE).await.unwrap();
        drop((own, sign));
        holder.execute("ROLLBACK").await.unwrap();
        holder.close().await.unwrap();
        world.pass(61);
        world.clean_tick().await;
    });
}

// F15: a worker that waited for a lock held the exit back for as long as the lock.
#[test]
fn serve_stops_in_time_although_a_lock_is_not_given() {
    run(Engine::Postgres, |world| async move {
        one_organization(&world).await;
        let address = world.options().database.unwrap();
        let mut holder = PgConnection::connect(&address).await.unwrap();
        holder.execute("BEGIN").await.unwrap();
        holder.execute("LOCK TABLE step IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_monthend"))
            .args(["--dir", world.home().to_str().unwrap(), "--now", "2026-02-01T03:00:00Z"])
            .arg("serve")
            .env("MONTHEND_DATABASE_URL", &address)
            .env("MONTHEND_LOG", "info")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("serving")));
        let waits =
            "pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        while world.count(waits).await == 0 {
            tokio::task::yield_now().await;
        }
        let told = Instant::now();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
        // Ten seconds are the promise; the lock is given up after thirty.
        assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
        holder.execute("ROLLBACK").await.unwrap();
        holder.close().await.unwrap();
        world.clean_tick().await;
    });
}

/// A mail server that takes one mail in a second.
struct Paced;

#[async_trait]
impl Mailer for Paced {
    fn name(&self) -> &'static str {
        "paced"
    }

    fn messages_per_second(&self) -> Option<u32> {
        Some(1)
    }

    async fn hand_over(&self, _: &Composed) -> Result<Handed, MailError> {
        Err(MailError::Transient("later".to_owned()))
    }
}

// What leaves at a pace is forecast: how much waits, and when the last of it will have left.
both_engines!(a_queue_that_takes_long_is_forecast, |world| {
    const MANY: u64 = 90;
    world.set_clock("2026-01-01T09:00:00Z");
    let all: Vec<Org> = (0..MANY)
        .map(|n| Org::new(&format!("o{n:02}"), "professional", "2026-01-01").pays("ok"))
        .collect();
    world.organizations(&all).await;
    world.set_clock("2026-02-01T02:00:00Z");
    runner(world.app()).up_to(StepKind::Render).tick(None).await.unwrap();
    assert_eq!(queue::queues(&world.app()).await.unwrap(), []);
    let mut app = world.another_app().await;
    Arc::get_mut(&mut app).unwrap().mailer = Arc::new(Paced);
    let forecast = queue::queues(&app).await.unwrap();
    let ends_at = app.clock.now() + chrono::Duration::seconds(90);
    let expected = Queue { kind: StepKind::Mail, waiting: MANY, per_second: 1, ends_at };
    assert_eq!(forecast, [expected]);
    app.db.close().await;
    world.clean_tick().await;
});

/// A mail server that takes nothing, and has its worker stop after what it has in hand.
struct Last(CancellationToken);

#[async_trait]
impl Mailer for Last {
    fn name(&self) -> &'static str {
        "last"
    }

    async fn hand_over(&self, _: &Composed) -> Result<Handed, MailError> {
        self.0.cancel();
        Err(MailError::Transient("later".to_owned()))
    }
}

// January's mails and February's close are due: one worker closes before it mails, the next mails before it closes.
both_engines!(every_second_worker_does_effects_first, |world| {
    one_organization(&world).await;
    runner(world.app()).up_to(StepKind::Charge).tick(None).await.unwrap();
    world.set_clock("2026-03-01T02:00:00Z");
    plan_close(&world.app()).await;
    for (place, left_to_close) in [(1, 1), (0, 0)] {
        let stop = CancellationToken::new();
        let mut app = world.another_app().await;
        Arc::get_mut(&mut app).unwrap().mailer = Arc::new(Last(stop.clone()));
        let worker = Runner::new(app.clone(), stop.clone()).unwrap().as_worker(place);
        worker.work(None, &mut BTreeSet::new()).await.unwrap();
        assert!(stop.is_cancelled());
        assert_eq!(
            world.count("step WHERE kind = 'close' AND state = 'ready'").await,
            left_to_close
        );
        app.db.close().await;
        // The mails that were put off may go again.
        world.pass(3_600);
    }
    world.clean_tick().await;
});

// F11, F16: a worker that stood still handed over mails that another had taken over meanwhile.
both_engines!(a_late_worker_hands_over_nothing, |world| {
    one_organization(&world).await;
    runner(world.app()).up_to(StepKind::Charge).tick(None).await.unwrap();
    let late = take_and_die(&world.app()).await;
    world.pass(61);
    let again = take_and_die(&world.app()).await;
    assert_eq!((late.kind.as_str(), late.epoch), ("mail", 1));
    assert_eq!((again.id.as_str(), again.epoch), (late.id.as_str(), 2));
    let mut app = world.another_app().await;
    let answers = CancellationToken::new();
    answers.cancel();
    let server = Arc::new(Slow { asked: AtomicUsize::new(0), answers });
    Arc::get_mut(&mut app).unwrap().mailer = server.clone();
    assert!(matches!(execute(&app, &late).await, Err(StepError::Fenced)));
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
    execute(&app, &again).await.unwrap();
    assert_eq!(server.asked.load(Ordering::SeqCst), 1);
    app.db.close().await;
    world.clean_tick().await;
});

// What is settled together lies together: steps that may go are taken in the order of their organizations.
both_engines!(steps_of_a_rank_go_by_their_organizations, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let names = ["mu", "zeta", "alpha", "kappa", "beta-2", "beta"];
    let rows = names.map(|name| Org::new(name, "professional", "2026-01-01").pays("ok"));
    world.organizations(&rows).await;
    world.set_clock("2026-02-01T02:00:00Z");
    runner(world.app()).up_to(StepKind::Document).tick(None).await.unwrap();
    let (now, rank) = (world.app().clock.now(), StepKind::Charge.rank());
    let lease_until = now + LEASE;
    let (min_rank, max_rank) = (rank, rank);
    let claim = Claim { owner: "first", now, lease_until, min_rank, max_rank, limit: 4, run: None };
    let mut taken = Vec::new();
    for owner in ["first", "second"] {
        let mut tx = world.app().db.write().await.unwrap();
        let claimed = claims::claim(&mut tx, &Claim { owner, ..claim.clone() }).await.unwrap();
        tx.commit().await.unwrap();
        taken.extend(claimed.into_iter().filter_map(|claimed| claimed.step.organization));
    }
    assert_eq!(taken, ["alpha", "beta", "beta-2", "kappa", "mu", "zeta"]);
    world.pass(61);
    world.clean_tick().await;
});
