//! Several at once, dead ones, and ones that come back too late: one set of facts.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use chrono::Duration;
use monthend::app::App;
use monthend::files::write_durably;
use monthend::jobs::plan::{self, Question};
use monthend::jobs::runner::Runner;
use monthend::jobs::steps::StepError;
use monthend::storage::StorageError;
use monthend::storage::claims::{self, Claim};
use monthend::storage::steps::{self, Step};
use tokio_util::sync::CancellationToken;

use crate::harness::world::execute;
use crate::harness::{Org, World, both_engines, events};

const MANY: i64 = 60;
/// How long a claim holds, as shipped.
const LEASE: Duration = Duration::seconds(60);

/// Many organizations in small chunks, so that there is something to share.
async fn many(world: &World, pays: &str) {
    let folder = world.home().join("jobs");
    std::fs::create_dir(&folder).unwrap();
    let shipped = include_str!("../../jobs/monthly_close.toml");
    let small = |line: &str| {
        let chunk = line.starts_with("chunk_organizations =");
        if chunk { "chunk_organizations = 7\n".to_owned() } else { format!("{line}\n") }
    };
    let job: String = shipped.lines().map(small).collect();
    write_durably(&folder.join("monthly_close.toml"), job.as_bytes()).unwrap();
    world.restart(&[("# jobs_dir", "jobs_dir")]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |n| Org::new(&format!("o{n:03}"), "standard", "2026-01-01").pays(pays);
    world.organizations(&(0..MANY).map(org).collect::<Vec<_>>()).await;
    world.set_clock("2026-01-20T09:00:00Z");
    let ids: Vec<String> = (0..MANY).map(|n| format!("o{n:03}")).collect();
    let use_of = |id| ("1", id, "2026-01-10T09:00:00Z", "10");
    let rows: Vec<_> = ids.iter().map(|id| use_of(id.as_str())).collect();
    world.accepted_usage(&events(&rows)).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

/// Each fact of the month is there once, and the closes were shared out.
async fn one_set_of_facts(world: &World) {
    world.verify_ok().await;
    for (what, expected) in [
        ("run WHERE job = 'monthly_close'", 1),
        ("step WHERE state <> 'done'", 0),
        ("step WHERE kind = 'close'", MANY.div_euclid(7) + 1),
        ("billing_cycle WHERE state = 'closed'", MANY),
        ("invoice WHERE status = 'settled'", MANY),
        ("ledger_transaction WHERE kind = 'close'", MANY),
        ("ledger_transaction WHERE kind = 'invoice'", MANY),
        ("ledger_transaction WHERE kind = 'payment'", MANY),
        ("charge", MANY),
        ("mail WHERE state = 'sent'", 2 * MANY),
    ] {
        assert_eq!(world.count(what).await, expected, "{what}");
    }
    let taken: Vec<usize> = (0..MANY).map(|n| world.taken(&format!("o{n:03}"))).collect();
    assert!(taken.iter().all(|times| *times == 1), "{taken:?}");
}

fn runner(app: Arc<App>) -> Runner {
    Runner::new(app, CancellationToken::new()).unwrap()
}

// F19–F21: two processes tick at the same instant.
both_engines!(two_processes_do_the_work_of_one, |world| {
    many(&world, "timeout_after").await;
    let (one, other) = (world.app(), world.another_app().await);
    let tick = |app: Arc<App>| tokio::spawn(async move { runner(app).tick(None).await.unwrap() });
    let (first, second) = tokio::join!(tick(one), tick(other.clone()));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert!(first.held.is_empty() && second.held.is_empty());
    other.db.close().await;
    one_set_of_facts(&world).await;
});

// F19: eight planners of one due instant make one run.
both_engines!(many_planners_make_one_run, |world| {
    many(&world, "ok").await;
    let app = world.app();
    let mut due = plan::due(&app, &Question::default()).await.unwrap();
    due.retain(|group| group.job == "monthly_close");
    assert_eq!(due.len(), 1);
    let mut planners = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (app, group) = (app.clone(), due[0].clone());
        planners.spawn(async move { plan::plan(&app, &group, "test").await.unwrap() });
    }
    planners.join_all().await;
    assert_eq!(world.count("run WHERE job = 'monthly_close'").await, 1);
    world.clean_tick().await;
    one_set_of_facts(&world).await;
});

/// A worker of its own takes one step, of any kind.
async fn take_one(app: &App, owner: &str) -> Option<Step> {
    let now = app.clock.now();
    let claim = Claim {
        owner,
        now,
        lease_until: now + LEASE,
        min_rank: 0,
        max_rank: 1_000,
        limit: 1,
        run: None,
    };
    let mut tx = app.db.write().await.unwrap();
    let claimed = claims::claim(&mut tx, &claim).await.unwrap();
    tx.commit().await.unwrap();
    claimed.into_iter().next().map(|claimed| claimed.step)
}

async fn plan_all(app: &App) {
    for group in plan::due(app, &Question::default()).await.unwrap() {
        plan::plan(app, &group, "test").await.unwrap();
    }
}

// F17, F22: a dead owner's step is taken again after its lease; the zombie's late work is refused.
both_engines!(a_zombie_is_fenced_out, |world| {
    many(&world, "ok").await;
    plan_all(&world.app()).await;
    let zombie = take_one(&world.app(), "zombie").await.unwrap();
    assert_eq!((zombie.kind.as_str(), zombie.epoch), ("close", 1));
    world.tick(None).await.unwrap();
    // Everybody but the seven organizations it holds is done.
    assert_eq!(world.count("billing_cycle WHERE state = 'closed'").await, MANY - 7);
    world.verify_ok().await;
    world.pass(LEASE.num_seconds() - 1);
    world.tick(None).await.unwrap();
    assert_eq!(world.count("billing_cycle WHERE state = 'closed'").await, MANY - 7);
    world.pass(1);
    assert!(world.tick(None).await.unwrap().is_clean());

    let late = execute(&world.app(), &zombie).await;
    assert!(matches!(late, Err(StepError::Fenced)), "{late:?}");
    let mut tx = world.app().db.write().await.unwrap();
    let now = world.app().clock.now();
    let finished = steps::finish(&mut tx, &zombie, now).await;
    assert!(matches!(finished, Err(StorageError::Fenced(_))), "{finished:?}");
    tx.rollback().await.unwrap();
    one_set_of_facts(&world).await;
});

/// Not one door is open to a worker whose epoch is over, while its successor works.
async fn each_word_of_the_slow_one_is_refused(world: &World, slow: &Step) {
    let app = world.app();
    let now = app.clock.now();
    let stands = format!(
        "SELECT state, owner, CAST(epoch AS TEXT), CAST(lease_until AS TEXT), error FROM step WHERE id = '{}'",
        slow.id
    );
    let before = world.table(&stands).await;
    let mut tx = app.db.write().await.unwrap();
    let held = steps::hold(&mut tx, slow, now + LEASE + LEASE).await;
    assert!(matches!(held, Err(StorageError::Fenced(_))), "{held:?}");
    let finished = steps::finish(&mut tx, slow, now).await;
    assert!(matches!(finished, Err(StorageError::Fenced(_))), "{finished:?}");
    steps::release(&mut tx, slow, now, Some("late")).await.unwrap();
    steps::park(&mut tx, slow, "late").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.table(&stands).await, before);
}

// F22: its lease is over while it still works, and both come to the end.
both_engines!(a_slow_worker_and_its_successor_write_once, |world| {
    many(&world, "ok").await;
    plan_all(&world.app()).await;
    let slow = take_one(&world.app(), "slow").await.unwrap();
    world.pass(LEASE.num_seconds() + 1);
    let fast = loop {
        let step = take_one(&world.app(), "fast").await.unwrap();
        if step.id == slow.id {
            break step;
        }
    };
    assert_eq!(fast.epoch, 2);
    each_word_of_the_slow_one_is_refused(&world, &slow).await;
    let app = world.app();
    let (first, second) = tokio::join!(execute(&app, &slow), execute(&app, &fast));
    assert!(matches!(first, Err(StepError::Fenced)), "{first:?}");
    second.unwrap();
    world.pass(LEASE.num_seconds() + 1);
    world.clean_tick().await;
    one_set_of_facts(&world).await;
});

// F15: told to stop before it has begun: planned, not worked; the next one finds it.
both_engines!(a_stopped_runner_leaves_the_rest, |world| {
    many(&world, "ok").await;
    let stop = CancellationToken::new();
    stop.cancel();
    Runner::new(world.app(), stop).unwrap().tick(None).await.unwrap();
    assert_eq!(world.count("billing_cycle WHERE state = 'closed'").await, 0);
    assert_eq!(world.count("step WHERE state = 'leased'").await, 0);
    world.clean_tick().await;
    one_set_of_facts(&world).await;
});

// F1–F13: a process that ends after any number of steps, with one more in its hands, loses nothing.
both_engines!(a_process_may_end_after_any_step, |world| {
    const MONTHS: i32 = 12;
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&[
            Org::new("acme", "professional", "2026-01-01").pays("ok"),
            Org::new("globex", "standard", "2026-01-01").pays("timeout_before"),
        ])
        .await;
    for month in 1..=MONTHS {
        let ends = crate::harness::world::cycle("2026-01").plus(month).first_day();
        world.set_clock(&format!("{ends}T02:00:00Z"));
        plan_all(&world.app()).await;
        for _ in 1..month {
            let Some(step) = take_one(&world.app(), "mortal").await else { break };
            execute(&world.app(), &step).await.ok();
        }
        take_one(&world.app(), "mortal").await;
        world.verify_ok().await;
        world.restart(&[]).await;
        world.pass((LEASE + Duration::seconds(1)).num_seconds());
        let report = world.tick(None).await.unwrap();
        assert!(report.is_clean(), "{month}: {report:?}");
        assert_eq!(world.count("step WHERE state <> 'done'").await, 0, "{month}");
    }
    for id in ["acme", "globex"] {
        assert_eq!((world.invoices(id).await.len(), world.taken(id)), (12, 12));
        let mut mails = world.mails(id).await;
        mails.retain(|kind| kind != "notice");
        assert_eq!(mails.len(), 24);
    }
});
