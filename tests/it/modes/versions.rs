//! An older and a newer program on one database, and machines whose clocks disagree.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, Utc};
use monthend::app::App;
use monthend::clock::{Clock, SystemClock};
use monthend::jobs::plan::{self, Question};
use monthend::jobs::runner::Runner;
use tokio_util::sync::CancellationToken;

use crate::harness::{Engine, Org, World, both_engines, run};

async fn january(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

// F33: a step of a kind this program does not know is neither taken, parked nor forgotten; the rest goes on.
both_engines!(a_step_of_a_newer_program_is_left_to_it, |world| {
    january(&world).await;
    world.clean_tick().await;
    let future = "INSERT INTO step (id, run_id, kind, rank, ordinal, first_organization, last_organization, \
                  organizations, state, epoch, attempts, next_at, created_at) \
                  SELECT 'stp_future', id, 'of_the_future', 10, 0, '', '', 0, 'ready', 0, 0, due_at, created_at \
                  FROM run WHERE job = 'monthly_close'";
    assert_eq!(world.execute(future).await.unwrap(), 1);
    world.set_clock("2026-03-01T02:00:00Z");
    for _ in 0..2 {
        let report = world.tick(None).await.unwrap();
        let waits = report.runs.iter().filter(|run| run.counts.waiting == 1).count();
        assert_eq!(waits, 1, "it is listed as waiting: {report:?}");
        let stands = "SELECT state, CAST(epoch AS TEXT), CAST(attempts AS TEXT) FROM step \
                      WHERE id = 'stp_future'";
        assert_eq!(world.table(stands).await, [["ready", "0", "0"]]);
        assert_eq!((world.invoices("acme").await.len(), world.taken("acme")), (2, 2));
        world.pass(3_600);
    }
    world.execute("DELETE FROM step WHERE id = 'stp_future'").await.unwrap();
    world.clean_tick().await;
});

// F33: a worker that was running while a newer program migrated takes no more work, and writes nothing.
both_engines!(a_running_worker_stops_at_a_newer_schema, |world| {
    january(&world).await;
    for group in plan::due(&world.app(), &Question::default()).await.unwrap() {
        plan::plan(&world.app(), &group, "test").await.unwrap();
    }
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'of the future', TRUE, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    assert_eq!(world.execute(newer).await.unwrap(), 1);
    let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
    let plans = runner.tick(None).await.unwrap_err().to_string();
    let works = runner.work(None, &mut std::collections::BTreeSet::new()).await.unwrap_err();
    for told in [plans, works.to_string()] {
        assert!(told.contains("9999") && told.contains("newer"), "{told}");
    }
    assert!(world.count("step").await > 0);
    assert_eq!(world.count("step WHERE state <> 'ready'").await, 0);
    world.execute("DELETE FROM _sqlx_migrations WHERE version = 9999").await.unwrap();
    world.clean_tick().await;
    assert_eq!(world.taken("acme"), 1);
});

/// The machine's clock, some seconds off.
struct Off(AtomicI64);

impl Clock for Off {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + Duration::seconds(self.0.load(Ordering::SeqCst))
    }

    fn is_real(&self) -> bool {
        true
    }
}

async fn with_clock(world: &World, clock: Arc<Off>) -> Arc<App> {
    let mut options = world.options();
    options.clock = clock;
    let (config, db) = (world.app().config.clone(), world.app().db.clone());
    Arc::new(App::with_database(options, config, db).await.unwrap())
}

// F39: more than a minute from the server's clock no work is taken; asked again after ten minutes, not before.
#[test]
fn a_clock_far_from_the_servers_takes_no_work() {
    run(Engine::Postgres, |world| async move {
        let clock = Arc::new(Off(AtomicI64::new(0)));
        let app = with_clock(&world, clock.clone()).await;
        let fresh = || Runner::new(app.clone(), CancellationToken::new()).unwrap();
        for (off, fine) in [
            (0, true),
            (20, true),
            (-20, true),
            (90, false),
            (-90, false),
            (-86_400, false),
            (40 * 86_400, false),
        ] {
            clock.0.store(off, Ordering::SeqCst);
            let planned = async || {
                world.table("SELECT job, CAST(due_at AS TEXT) FROM watch UNION ALL SELECT id, state FROM run \
                    UNION ALL SELECT name, value FROM meta ORDER BY 1, 2").await
            };
            let before = planned().await;
            let ended = fresh().tick(None).await;
            assert_eq!(ended.is_ok(), fine, "{off} s: {ended:?}");
            if let Err(refused) = ended {
                let told = refused.to_string();
                assert!(told.contains("clock") && told.contains("database"), "{told}");
                // What such a clock plans would be everybody's: watches and the latest work would lie in the future.
                assert_eq!(planned().await, before, "{off} s");
            }
        }
        clock.0.store(0, Ordering::SeqCst);
        let runner = fresh();
        runner.tick(None).await.unwrap();
        clock.0.store(300, Ordering::SeqCst);
        runner.tick(None).await.unwrap();
        clock.0.store(660, Ordering::SeqCst);
        assert!(runner.tick(None).await.is_err());
    });
}

// F39: an embedded database has no clock of its own to disagree with.
#[test]
fn an_embedded_database_has_no_clock() {
    run(Engine::Sqlite, |world| async move {
        let app = with_clock(&world, Arc::new(Off(AtomicI64::new(86_400)))).await;
        Runner::new(app, CancellationToken::new()).unwrap().tick(None).await.unwrap();
    });
}
