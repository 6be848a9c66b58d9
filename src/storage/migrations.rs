//! Bringing a database to this program's schema.
//!
//! One portable set and a small one per engine share one version order. A database that a newer
//! program has migrated is refused: an older one must not write to it.

use sqlx::migrate::{Migration, Migrator};

use super::db::{fetch_all, fetch_one};
use super::{Db, StorageError, Tx};

static PORTABLE: Migrator = sqlx::migrate!("./migrations");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Applies what is missing. Each migration is one transaction: a kill leaves it done or undone.
///
/// # Errors
/// The schema was changed by hand or by a newer program, or the engine refuses.
pub async fn migrate(db: &Db) -> Result<(), StorageError> {
    match db {
        Db::Sqlite { writer, .. } => merged(&SQLITE).run(writer).await?,
        Db::Postgres(pool) => {
            let all = merged(&POSTGRES);
            // The driver's lock belongs to a session, which a pooler in transaction mode hands to others: it is
            // taken only where something is to be changed (F32).
            if !is_current(db, &all).await? {
                all.run(pool).await?;
            }
        }
    }
    Ok(())
}

/// Was exactly this set applied, unchanged? Anything else is for the migrator to apply or refuse.
async fn is_current(db: &Db, all: &Migrator) -> Result<bool, StorageError> {
    let mut tx = db.read().await?;
    let (tables,) = fetch_one!(
        &mut tx,
        (i64,),
        "SELECT COUNT(*) FROM information_schema.tables \
         WHERE table_schema = current_schema() AND table_name = '_sqlx_migrations'"
    );
    if tables == 0 {
        return Ok(false);
    }
    let applied = fetch_all!(
        &mut tx,
        (i64, Vec<u8>, bool),
        "SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version"
    );
    let mut wanted: Vec<(i64, Vec<u8>, bool)> =
        all.iter().map(|one| (one.version, one.checksum.to_vec(), true)).collect();
    wanted.sort();
    Ok(applied == wanted)
}

/// Refuses to work on a database that a newer program has changed since this one opened it (F33).
///
/// # Errors
/// [`StorageError::Refused`], or the engine fails.
pub async fn refuse_newer(tx: &mut Tx) -> Result<(), StorageError> {
    let engine = match tx {
        Tx::Sqlite(_) => &SQLITE,
        Tx::Postgres(_) => &POSTGRES,
    };
    let known = PORTABLE.iter().chain(engine.iter()).map(|one| one.version).max();
    let (stored,) = fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM _sqlx_migrations"
    );
    match known {
        Some(known) if stored > known => Err(StorageError::Refused(format!(
            "a newer monthend has brought the database to schema {stored}; this one knows {known} and takes no \
             more work: end it and start the new one"
        ))),
        _ => Ok(()),
    }
}

fn merged(engine: &Migrator) -> Migrator {
    let all: Vec<Migration> = PORTABLE.iter().chain(engine.iter()).cloned().collect();
    Migrator::with_migrations(all)
}
