//! Locks that others hold: another process on the file, a reader that never ends, a deadlock, a purchase while
//! the month closes.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use monthend::app::open_database;
use monthend::domain::ids::sha256_hex;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::services::purchases::Wanted;
use monthend::services::{doctor, organizations, usage};
use rusqlite::Connection as File;
use sqlx::{Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

use crate::harness::database::count;
use crate::harness::world::whole;
use crate::harness::{Engine, Org, World, both_engines, events, run};

async fn january(world: &World, count: usize) -> Vec<String> {
    world.set_clock("2026-01-01T09:00:00Z");
    let ids: Vec<String> = (0..count).map(|n| format!("o{n:02}")).collect();
    let org = |id: &String| Org::new(id, "standard", "2026-01-01").pays("ok");
    world.organizations(&ids.iter().map(org).collect::<Vec<_>>()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    ids
}

// F27: another process writes to the file for a while: it is waited for, and nothing fails or is parked.
#[test]
fn a_lock_of_another_process_is_waited_for() {
    run(Engine::Sqlite, |world| async move {
        january(&world, 2).await;
        let other = File::open(file_of(&world)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
        let mut tick = tokio::spawn(async move { runner.tick(None).await });
        let waited = tokio::time::timeout(Duration::from_millis(300), &mut tick).await;
        assert!(waited.is_err(), "nothing can be written while the lock is held: {waited:?}");
        other.execute_batch("COMMIT").unwrap();
        drop(other);
        let report = tick.await.unwrap().unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.count("step WHERE attempts <> 1").await, 0);
        assert_eq!(world.count("invoice WHERE payment_status = 'paid'").await, 2);
    });
}

fn file_of(world: &World) -> PathBuf {
    PathBuf::from(world.options().database.unwrap().trim_start_matches("sqlite:"))
}

/// Invoices that the file holds without the log beside it.
async fn in_the_file_alone(file: &Path) -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("alone.db");
    std::fs::copy(file, &copy).unwrap();
    let db = open_database(&format!("sqlite:{}", copy.display())).await.unwrap();
    let found = count(&db, "invoice").await;
    db.close().await;
    found
}

// F29: a reader that does not end stops no work, only the putting away of the log, whose size `doctor` tells; once
// it has ended, the next work puts everything into the file.
#[test]
fn a_long_reader_keeps_the_log_and_stops_nothing() {
    run(Engine::Sqlite, |world| async move {
        january(&world, 2).await;
        let file = file_of(&world);
        let reader = File::open(&file).unwrap();
        reader.execute_batch("BEGIN; SELECT COUNT(*) FROM invoice").unwrap();
        let log = PathBuf::from(format!("{}-wal", file.display()));
        let before = log.metadata().unwrap().len();
        world.clean_tick().await;
        assert_eq!(world.count("invoice").await, 2);
        assert!(log.metadata().unwrap().len() > before, "it grows while it is read");
        let found = doctor::examine(world.options()).await;
        let told = found.iter().find(|finding| finding.name == "database").unwrap();
        assert!(told.ok && told.detail.contains("write-ahead log "), "{told:?}");
        reader.execute_batch("ROLLBACK").unwrap();
        drop(reader);
        world.set_clock("2026-03-01T02:00:00Z");
        world.clean_tick().await;
        assert_eq!((world.count("invoice").await, in_the_file_alone(&file).await), (4, 4));
    });
}

// F25: the issuing transaction is the victim of a deadlock. It is done again as a whole, at once: one number, no
// gap, the step's first attempt.
#[test]
fn the_victim_of_a_deadlock_is_done_again_as_a_whole() {
    run(Engine::Postgres, |world| async move {
        january(&world, 3).await;
        world.clean_tick().await;
        let name = world.table("SELECT CAST(current_database() AS TEXT)").await.concat().concat();
        // The worker looks for a deadlock after two seconds, the other side never.
        world.execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '2s'")).await.unwrap();
        world.restart(&[]).await;
        let series = "SELECT last FROM series FOR UPDATE";
        let mut other = other(&world, &["SET deadlock_timeout = '10min'", "BEGIN", series]).await;
        world.set_clock("2026-03-01T02:00:00Z");
        let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
        let tick = tokio::spawn(async move { runner.tick(None).await.unwrap() });
        until_somebody_waits(&world).await;
        // It holds the organizations and waits for the series; now the ring closes.
        let locked =
            sqlx::query("SELECT id FROM organization FOR UPDATE").execute(&mut other).await;
        locked.unwrap();
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let report = tick.await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(world.count("step WHERE kind = 'issue' AND attempts <> 1").await, 0);
        let numbers =
            world.table("SELECT number FROM invoice ORDER BY series_number").await.concat();
        let gapless: Vec<String> = (1..=6).map(|n| format!("INV-2026-{n:06}")).collect();
        assert_eq!(numbers, gapless);
        world.execute(&format!("ALTER DATABASE {name} RESET deadlock_timeout")).await.unwrap();
    });
}

// F26: bought while the month before is being closed, each purchase is the new month's, wholly and once.
both_engines!(a_purchase_during_the_close_counts_once, |world| {
    let ids = january(&world, 24).await;
    let (buyer, buyers) = (world.another_app().await, ids.clone());
    let buys = tokio::spawn(async move {
        for id in &buyers {
            requests::buy(&buyer, id, &Wanted::Credits(whole(5))).await.unwrap();
        }
        buyer.db.close().await;
    });
    let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
    let tick = tokio::spawn(async move { runner.tick(None).await.unwrap() });
    buys.await.unwrap();
    tick.await.unwrap();
    world.clean_tick().await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    for id in ids {
        let mut bought = Vec::new();
        for month in ["2026-01", "2026-02"] {
            bought.push(world.statement(&id, month).await.purchased);
        }
        assert_eq!(bought, [whole(0), whole(5)], "{id}");
        let prepaid: Vec<i64> = world.invoices(&id).await.iter().map(|row| row.prepaid).collect();
        assert!(prepaid.len() == 2 && prepaid[0] == 0 && prepaid[1] > 0, "{id}: {prepaid:?}");
        assert_eq!(world.taken(&id), 3, "{id}");
    }
});

// F24: the first fact of many organizations at once, from several connections: insert first, then lock.
#[test]
fn first_facts_of_new_organizations_meet() {
    run(Engine::Postgres, |world| async move {
        let ids = january(&world, 12).await;
        let mut grants = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let (app, ids) = (world.another_app().await, ids.clone());
            grants.spawn(async move {
                for id in ids {
                    let source = monthend::domain::grant::Source::Adjustment;
                    monthend::services::credits::grant(&app, &id, whole(1), source, "test")
                        .await
                        .unwrap();
                }
                app.db.close().await;
            });
        }
        grants.join_all().await;
        for id in ids {
            assert_eq!(world.balance(&id).await.available, whole(1_004), "{id}");
        }
    });
}

async fn until_somebody_waits(world: &World) {
    let waits = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while world.count(waits).await == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn other(world: &World, statements: &[&'static str]) -> PgConnection {
    let mut other = PgConnection::connect(&world.options().database.unwrap()).await.unwrap();
    for statement in statements {
        sqlx::query(*statement).execute(&mut other).await.unwrap();
    }
    other
}

// A row that is dismissed while all are tried again was billed, and the answer said otherwise.
#[test]
fn a_row_dismissed_during_a_retry_is_not_billed() {
    run(Engine::Postgres, |world| async move {
        world.set_clock("2026-01-10T09:00:00Z");
        let early = events(&[("1", "acme", "2026-01-10T08:00:00Z", "10")]);
        let set_aside = world.usage(&early).await;
        assert_eq!(set_aside.quarantined.len(), 1);
        world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
        let dismiss = "UPDATE usage_quarantine SET state = 'resolved', dismissed = 'test'";
        let mut finance = other(&world, &["BEGIN", dismiss]).await;
        let app = world.app();
        let retry = tokio::spawn(async move { usage::retry_quarantine(&app).await.unwrap() });
        until_somebody_waits(&world).await;
        sqlx::query("COMMIT").execute(&mut finance).await.unwrap();
        finance.close().await.unwrap();
        let retried = retry.await.unwrap();
        assert_eq!((retried.imported.accepted, retried.imported.quarantined.len()), (0, 0));
        assert_eq!(world.count("usage_event").await, 0);
        assert_eq!(world.count("usage_quarantine WHERE dismissed = 'test'").await, 1);
    });
}

// An import that had begun before a catalog was applied, and waited for it, was checked against the catalog before.
#[test]
fn an_import_that_waited_is_checked_against_the_new_catalog() {
    run(Engine::Postgres, |world| async move {
        world.set_clock("2026-01-10T09:00:00Z");
        let lock = "SELECT value FROM meta WHERE name = 'deployment' FOR UPDATE";
        let mut operator = other(&world, &["BEGIN", lock]).await;
        let app = world.app();
        let file = "id,name,billing_email,plan,joined_on,currency,zone,country\n\
                    acme,Acme,a@example.com,professional,2026-01-01,USD,UTC,US\n";
        let import =
            tokio::spawn(
                async move { organizations::import(&app, file.as_bytes()).await.unwrap() },
            );
        until_somebody_waits(&world).await;
        world.set_clock("2026-01-10T09:00:01Z");
        let content = std::fs::read_to_string(world.home().join("catalog.toml")).unwrap();
        let content = content.replace("[plans.professional]", "[plans.gone]");
        sqlx::query(
            "INSERT INTO catalog_version (version, effective_at, content, content_hash, recorded_at) \
             VALUES (2, $1, $2, $3, $1)",
        )
        .bind(world.now())
        .bind(&content)
        .bind(sha256_hex(content.as_bytes()))
        .execute(&mut operator)
        .await
        .unwrap();
        sqlx::query("COMMIT").execute(&mut operator).await.unwrap();
        operator.close().await.unwrap();
        let imported = import.await.unwrap();
        assert_eq!((imported.created, imported.rejected.len()), (0, 1), "{imported:?}");
        // Made without the program, it is in no audit trail.
        world.do_damage();
    });
}
