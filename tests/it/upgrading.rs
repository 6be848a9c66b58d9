//! A database of the first schema, with rows in it, is brought to this one: nothing is lost.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::path::Path;
use std::time::Duration;

use monthend::app::open_database;
use monthend::storage::Db;
use sqlx::PgPool;
use sqlx::migrate::{Migration, Migrator};

use crate::harness::Engine;
use crate::harness::database::{Place, count, execute, table};

/// Rows as the first version wrote them.
const ROWS: [&str; 3] = [
    "INSERT INTO organization (id, name, billing_emails, joined_on, zone, currency, tax_percent, language, \
     payment_method, state, terms_since, created_at, updated_at) VALUES ('acme', 'Acme', 'a@acme.example', \
     '2026-01-01', 'UTC', 'USD', '0', 'en', 'pm_sandbox_ok', 'active', '2026-01-01T00:00:00.000000+00:00', \
     '2026-01-01T00:00:00.000000+00:00', '2026-01-01T00:00:00.000000+00:00')",
    "INSERT INTO mail (organization, id, key, kind, subject_id, recipients, recipient, state, created_at) \
     VALUES ('acme', 'mal_1', 'invoice-1', 'invoice', 'inv_1', 'a@acme.example', 'a@acme.example', 'sent', \
     '2026-02-01T00:00:00.000000+00:00')",
    "INSERT INTO purchase (organization, id, credits, currency, net, tax, tax_percent, state, created_at) \
     VALUES ('acme', 'pur_1', 100, 'USD', 10, 0, '0', 'open', '2026-01-05T00:00:00.000000+00:00')",
];

/// The migrations of the first version.
async fn first(engine: &str) -> Migrator {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut all: Vec<Migration> = Vec::new();
    for folder in [root.clone(), root.join(engine)] {
        all.extend(Migrator::new(folder).await.unwrap().iter().cloned());
    }
    all.retain(|migration| migration.version <= 2);
    assert_eq!(all.len(), 2);
    Migrator::with_migrations(all)
}

async fn a_first_database(engine: Engine, address: &str) {
    match engine {
        Engine::Sqlite => {
            let file = address.strip_prefix("sqlite:").unwrap();
            let connection = rusqlite::Connection::open(file).unwrap();
            // As the migrator of the first version wrote it.
            connection
                .execute_batch(
                    "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
                     installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
                     checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
                )
                .unwrap();
            for migration in first("sqlite").await.iter() {
                connection.execute_batch(migration.sql.as_str()).unwrap();
                let note = "INSERT INTO _sqlx_migrations VALUES (?1, ?2, ?3, TRUE, ?4, 1)";
                let (version, checksum) = (migration.version, migration.checksum.as_ref());
                let noted =
                    (version, migration.description.as_ref(), "2026-01-01 00:00:00", checksum);
                connection.execute(note, noted).unwrap();
            }
            for row in ROWS {
                connection.execute_batch(row).unwrap();
            }
        }
        Engine::Postgres => {
            let pool = PgPool::connect(address).await.unwrap();
            first("postgres").await.run(&pool).await.unwrap();
            for row in ROWS {
                sqlx::query(row).execute(&pool).await.unwrap();
            }
            pool.close().await;
        }
    }
}

fn an_old_database_opens(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(engine, home.path()).await;
        a_first_database(engine, &place.address).await;
        let db = open_database(&place.address).await.unwrap();
        let rows = |sql: &'static str| table(&db, sql);
        assert_eq!(rows("SELECT key FROM mail").await, [["invoice-1"]]);
        let methods = rows("SELECT organization, token, state FROM payment_method").await;
        assert_eq!(methods, [["acme", "pm_sandbox_ok", "usable"]]);
        assert_eq!(rows("SELECT id FROM purchase WHERE NOT automatic").await, [["pur_1"]]);
        // The rebuilt table takes what the old one refused, and keeps what it guarded.
        let again = "INSERT INTO mail (organization, id, key, kind, subject_id, recipients, recipient, state, \
                     created_at) SELECT organization, 'mal_2', key, 'notice', subject_id, recipients, recipient, \
                     state, created_at FROM mail";
        let refused = execute(&db, again).await.unwrap_err().to_string().to_lowercase();
        assert!(refused.contains("unique"), "{refused}");
        let other = again.replace("'mal_2', key,", "'mal_2', 'another',");
        assert_eq!(execute(&db, &other).await.unwrap(), 1);
        db.close().await;
        place.remove().await;
    });
}

// Tables are rebuilt with foreign keys off: what was damaged before is found before anything is kept.
#[test]
fn a_file_whose_rows_refer_to_nothing_is_left_as_it_is() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(Engine::Sqlite, home.path()).await;
        a_first_database(Engine::Sqlite, &place.address).await;
        let file = place.address.strip_prefix("sqlite:").unwrap().to_owned();
        let connection = rusqlite::Connection::open(&file).unwrap();
        let damage = "PRAGMA foreign_keys = OFF; UPDATE purchase SET organization = 'nobody'";
        connection.execute_batch(damage).unwrap();
        let refused = format!("{:#}", open_database(&place.address).await.unwrap_err());
        assert!(refused.contains("a row of purchase refers to nothing"), "{refused}");
        let applied = "SELECT COUNT(*) FROM _sqlx_migrations";
        let applied: i64 = connection.query_row(applied, [], |row| row.get(0)).unwrap();
        assert_eq!(applied, 2);
        connection.execute_batch("UPDATE purchase SET organization = 'acme'").unwrap();
        drop(connection);
        let db = open_database(&place.address).await.unwrap();
        // Afterwards they are looked at as before, and rows lie by key.
        assert!(execute(&db, "UPDATE purchase SET organization = 'nobody'").await.is_err());
        let by_key = "SELECT name FROM sqlite_schema WHERE name = 'organization' AND sql LIKE '%WITHOUT ROWID'";
        assert_eq!(table(&db, by_key).await, [["organization"]]);
        db.close().await;
        place.remove().await;
    });
}

// A database that other builds have changed was brought forward first and refused then.
fn a_database_with_something_unknown_is_left_as_it_is(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let home = tempfile::tempdir().unwrap();
        let place = Place::new(engine, home.path()).await;
        a_first_database(engine, &place.address).await;
        let db = Db::open(&place.address, Duration::from_secs(1)).await.unwrap();
        let unknown = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                       SELECT 9999, description, success, checksum, execution_time FROM _sqlx_migrations \
                       WHERE version = 1";
        execute(&db, unknown).await.unwrap();
        let refused = format!("{:#}", open_database(&place.address).await.unwrap_err());
        assert!(refused.contains("9999"), "{refused}");
        assert_eq!(count(&db, "_sqlx_migrations").await, 3, "nothing was applied");
        db.close().await;
        place.remove().await;
    });
}

#[test]
fn a_database_with_something_unknown_is_left_as_it_is_on_sqlite() {
    a_database_with_something_unknown_is_left_as_it_is(Engine::Sqlite);
}

#[test]
fn a_database_with_something_unknown_is_left_as_it_is_on_postgres() {
    a_database_with_something_unknown_is_left_as_it_is(Engine::Postgres);
}

#[test]
fn an_old_database_opens_on_sqlite() {
    an_old_database_opens(Engine::Sqlite);
}

#[test]
fn an_old_database_opens_on_postgres() {
    an_old_database_opens(Engine::Postgres);
}
