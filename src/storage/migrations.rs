//! Bringing a database to this program's schema.
//!
//! One portable set and a small one per engine share one version order. A database that a newer
//! program has migrated is refused: an older one must not write to it.

use sqlx::migrate::{Migration, Migrator};

use super::{Db, StorageError};

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
        Db::Postgres(pool) => merged(&POSTGRES).run(pool).await?,
    }
    Ok(())
}

fn merged(engine: &Migrator) -> Migrator {
    let all: Vec<Migration> = PORTABLE.iter().chain(engine.iter()).cloned().collect();
    Migrator::with_migrations(all)
}
