//! Leases: a dead worker's steps are taken again in time, and a stopped one holds nobody up.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use monthend::app::{App, open_database_for};
use monthend::config;
use monthend::jobs::StepKind;
use monthend::jobs::plan;
use monthend::jobs::runner::Runner;
use monthend::mail::{Composed, Handed, MailError, Mailer};
use monthend::storage::steps::{self, Claim, Step};
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor as _};
use tokio_util::sync::CancellationToken;

use crate::harness::{Engine, Org, World, both_engines, database, run};

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
    let mut due = plan::due(app, None).await.unwrap();
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
    let claimed = steps::claim(&mut tx, &claim).await.unwrap();
    tx.commit().await.unwrap();
    claimed.into_iter().next().unwrap()
}

// F17: an idle worker slept until the next heartbeat, whatever lease was over before.
both_engines!(an_idle_worker_wakes_when_a_lease_is_over, |world| {
    one_organization(&world).await;
    world.restart(&[("heartbeat_s = 30", "heartbeat_s = 3600")]).await;
    let look = async || runner(world.app()).next_look().await.unwrap();
    // A lease that begins after this look is not over before the next one.
    assert_eq!(look().await, LEASE);
    plan_close(&world.app()).await;
    take_and_die(&world.app()).await;
    world.pass(20);
    assert_eq!(look().await, Duration::from_secs(40));
    // What is over and not taken yet is somebody else's to take: no storm of questions.
    world.pass(41);
    assert_eq!(look().await, Duration::from_secs(1));
    world.clean_tick().await;
    world.restart(&[("heartbeat_s = 3600", "heartbeat_s = 7")]).await;
    assert_eq!(look().await, Duration::from_secs(7));
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

/// A mail server after whose first mail the program is told to stop.
struct LastMail(CancellationToken);

#[async_trait]
impl Mailer for LastMail {
    fn name(&self) -> &'static str {
        "last"
    }

    async fn hand_over(&self, _: &Composed) -> Result<Handed, MailError> {
        self.0.cancel();
        Ok(Handed::default())
    }
}

// F17: what a dead worker held waited behind everything of a lower rank, a whole month's close.
both_engines!(abandoned_steps_go_before_all_others, |world| {
    one_organization(&world).await;
    runner(world.app()).up_to(StepKind::Charge).tick(None).await.unwrap();
    let mail = take_and_die(&world.app()).await;
    assert_eq!(mail.kind, "mail");
    world.set_clock("2026-03-01T02:00:00Z");
    plan_close(&world.app()).await;
    let stop = CancellationToken::new();
    let mut app = world.another_app().await;
    Arc::get_mut(&mut app).unwrap().mailer = Arc::new(LastMail(stop.clone()));
    Runner::new(app.clone(), stop).unwrap().tick(None).await.unwrap();
    app.db.close().await;
    let done = format!("step WHERE state = 'done' AND id = '{}'", mail.id);
    assert_eq!(world.count(&done).await, 1);
    assert_eq!(world.count("billing_cycle WHERE state = 'closed'").await, 1);
    world.clean_tick().await;
    assert_eq!(world.count("billing_cycle WHERE state = 'closed'").await, 2);
});

// F17: a process stopped in a transaction kept its rows locked for two minutes, twice its lease: nobody could take its
// steps again, and all workers waited for its lock on the mark of the latest work.
#[test]
fn no_transaction_outlives_a_lease() {
    run(Engine::Postgres, |world| async move {
        for (lease_s, told) in [(60, "1min"), (2, "2s")] {
            let address = world.options().database.unwrap();
            let settings = config::Runner { lease_s, ..config::Runner::default() };
            let db = open_database_for(&address, &settings).await.unwrap();
            let setting = "SELECT current_setting('idle_in_transaction_session_timeout')";
            assert_eq!(database::table(&db, setting).await, [[told]]);
            db.close().await;
        }
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
