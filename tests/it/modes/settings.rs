//! A database whose settings could lose a committed fact is refused.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::storage::{Tx, settings};

use crate::harness::{Engine, Org, both_engines, run};

// F18: what is looked at on each engine, and that it is as it must be where the program writes.
both_engines!(the_settings_that_keep_facts_are_asked, |world| {
    let app = world.app();
    let mut tx = app.db.write().await.unwrap();
    let found = settings::read(&mut tx).await.unwrap();
    tx.rollback().await.unwrap();
    let names: Vec<&str> = found.iter().map(|setting| setting.name).collect();
    let wanted = match app.db.engine() {
        "sqlite" => ["journal_mode", "synchronous", "foreign_keys"],
        _ => ["fsync", "full_page_writes", "synchronous_commit"],
    };
    assert_eq!(names, wanted);
    assert!(found.iter().all(settings::Setting::ok), "{found:?}");
    for setting in found {
        for weak in ["off", "0", "delete"] {
            let weak = settings::Setting { value: weak.to_owned(), ..setting.clone() };
            assert!(!weak.ok(), "{weak:?}");
        }
    }
});

// A role whose transactions show what was when they began closed months without the use that had just arrived.
#[test]
fn writers_see_what_was_committed_before_their_locks() {
    run(Engine::Postgres, |world| async move {
        let name = world.table("SELECT CAST(current_database() AS TEXT)").await.concat().concat();
        for level in ["repeatable read", "serializable"] {
            let set =
                format!("ALTER DATABASE {name} SET default_transaction_isolation = '{level}'");
            world.execute(&set).await.unwrap();
            world.restart(&[]).await;
            let Tx::Postgres(mut tx) = world.app().db.write().await.unwrap() else {
                unreachable!()
            };
            let (seen,): (String,) =
                sqlx::query_as("SELECT current_setting('transaction_isolation')")
                    .fetch_one(&mut *tx)
                    .await
                    .unwrap();
            assert_eq!(seen, "read committed");
        }
    });
}

// F18: a server that answers before it has written is refused before anything is planned.
#[test]
fn a_server_that_forgets_commits_is_refused() {
    run(Engine::Postgres, |world| async move {
        world.set_clock("2026-01-01T09:00:00Z");
        world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
        let name = world.table("SELECT CAST(current_database() AS TEXT)").await.concat().concat();
        let set = format!("ALTER DATABASE {name} SET synchronous_commit = off");
        world.execute(&set).await.unwrap();
        world.restart(&[]).await;
        world.set_clock("2026-02-01T02:00:00Z");
        let refused = world.tick(None).await.unwrap_err().to_string();
        assert!(refused.contains("synchronous_commit is off"), "{refused}");
        assert_eq!(world.count("run").await, 0);
        world.execute(&format!("ALTER DATABASE {name} RESET synchronous_commit")).await.unwrap();
        world.restart(&[]).await;
        world.clean_tick().await;
    });
}
