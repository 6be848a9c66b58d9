//! Bringing a database to this program's schema.
//!
//! One portable set and a small one per engine share one version order. A database that a newer
//! program has migrated is refused: an older one must not write to it.

use std::collections::BTreeMap;

use sqlx::migrate::{MigrateError, Migration, Migrator};
use sqlx::postgres::PgPool;

use super::db::{execute, fetch_all, fetch_one};
use super::{Db, StorageError, Tx};

static PORTABLE: Migrator = sqlx::migrate!("./migrations");
static SQLITE: Migrator = sqlx::migrate!("./migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("./migrations/postgres");

/// Applies what is missing. Each migration is one transaction: a kill leaves it done or undone.
///
/// A role that may not change the schema, such as the application's, applies nothing: to it a database
/// that lacks something is refused.
///
/// # Errors
/// The schema was changed by hand or by a newer program, it is not the role's to change, or the engine
/// refuses.
pub async fn migrate(db: &Db) -> Result<(), StorageError> {
    match db {
        Db::Sqlite(file) => {
            let apart = Db::Sqlite(file.to_migrate());
            let applied = apply_to_file(&apart, &merged(&SQLITE)).await;
            apart.close().await;
            applied?;
        }
        Db::Postgres(pool) => {
            let all = merged(&POSTGRES);
            // The driver's lock belongs to a session, which a pooler in transaction mode hands to others: it is
            // taken only where something is to be changed (F32).
            if is_current(db, &all).await? {
                return Ok(());
            }
            let (role, may_create): (String, bool) = sqlx::query_as(
                "SELECT CAST(current_user AS TEXT), COALESCE(has_schema_privilege(current_schema(), 'CREATE'), FALSE)",
            )
            .fetch_one(pool)
            .await?;
            if !may_create {
                return refuse_pending(pool, &all, &role).await;
            }
            all.run(pool).await?;
            // Tables may be new: roles that were given the application's rights get theirs.
            sqlx::query("SELECT renew_application_grants()").execute(pool).await?;
        }
    }
    Ok(())
}

/// The table sqlx keeps for a migrator; the same on both engines, so that its checks and ours read alike.
const APPLIED: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Applies to an embedded file what it lacks, each migration in a transaction of its own. A file that holds something
/// unknown is refused as it is.
async fn apply_to_file(db: &Db, all: &Migrator) -> Result<(), StorageError> {
    let applied = applied_to_file(&mut db.read().await?).await?;
    check_applied(&applied, all)?;
    for migration in all.iter().filter(|migration| !applied.contains_key(&migration.version)) {
        let mut tx = db.write().await?;
        execute!(&mut tx, APPLIED);
        // Another process may have been first, with other migrations.
        let applied = applied_to_file(&mut tx).await?;
        check_applied(&applied, all)?;
        if !applied.contains_key(&migration.version) {
            apply(&mut tx, migration).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Checksums of what was applied to a file, by version; none for one that was not finished.
type Applied = BTreeMap<i64, Option<Vec<u8>>>;

async fn applied_to_file(tx: &mut Tx) -> Result<Applied, StorageError> {
    let table = "SELECT COUNT(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let (tables,) = fetch_one!(tx, (i64,), table);
    if tables == 0 {
        return Ok(Applied::new());
    }
    let sql = "SELECT version, checksum, success FROM _sqlx_migrations";
    let rows = fetch_all!(tx, (i64, Vec<u8>, bool), sql);
    Ok(rows.into_iter().map(|(version, sum, done)| (version, done.then_some(sum))).collect())
}

/// Everything that was applied is known, unchanged and finished.
fn check_applied(applied: &Applied, all: &Migrator) -> Result<(), MigrateError> {
    for (version, checksum) in applied {
        let known = all.iter().find(|migration| migration.version == *version);
        match (checksum, known) {
            (None, _) => return Err(MigrateError::Dirty(*version)),
            (Some(_), None) => return Err(MigrateError::VersionMissing(*version)),
            (Some(sum), Some(known)) if *sum != known.checksum.as_ref() => {
                return Err(MigrateError::VersionMismatch(*version));
            }
            (Some(_), Some(_)) => {}
        }
    }
    Ok(())
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<(), StorageError> {
    let Tx::Sqlite(file) = &*tx else { return Ok(()) };
    file.run_script(migration.sql.as_str()).map_err(|error| {
        StorageError::Refused(format!("migration {} fails: {error}", migration.version))
    })?;
    // Foreign keys are off while tables are rebuilt: nothing may have lost what it refers to.
    if migration.sql.as_str().contains("DROP TABLE") {
        let lost = fetch_all!(tx, (String,), "SELECT \"table\" FROM pragma_foreign_key_check");
        if let Some((table,)) = lost.first() {
            return Err(StorageError::Refused(format!(
                "migration {}: a row of {table} refers to nothing; it changed nothing: look with the version before, \
                 or restore a backup",
                migration.version
            )));
        }
    }
    execute!(
        tx,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES ($1, $2, TRUE, $3, -1)",
        migration.version,
        migration.description.as_ref(),
        migration.checksum.to_vec()
    );
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
    let (stored,) = fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COALESCE(MAX(version), 0) AS BIGINT) FROM _sqlx_migrations"
    );
    refuse_schema(tx, stored)
}

/// As [`refuse_newer`], where the stored version was read with something else.
///
/// # Errors
/// As [`refuse_newer`].
pub fn refuse_schema(tx: &Tx, stored: i64) -> Result<(), StorageError> {
    let engine = match tx {
        Tx::Sqlite(..) => &SQLITE,
        Tx::Postgres(_) => &POSTGRES,
    };
    let known = PORTABLE.iter().chain(engine.iter()).map(|one| one.version).max();
    match known {
        Some(known) if stored > known => Err(StorageError::Refused(format!(
            "a newer monthend has brought the database to schema {stored}; this one knows {known} and takes no \
             more work: end it and start the new one"
        ))),
        _ => Ok(()),
    }
}

/// Nothing is missing, and nothing is there that this program does not know.
async fn refuse_pending(pool: &PgPool, known: &Migrator, role: &str) -> Result<(), StorageError> {
    let (there,): (bool,) = sqlx::query_as(
        "SELECT COALESCE(has_table_privilege(to_regclass('_sqlx_migrations'), 'SELECT'), FALSE)",
    )
    .fetch_one(pool)
    .await?;
    let mut applied: BTreeMap<i64, Vec<u8>> = BTreeMap::new();
    if there {
        let rows: Vec<(i64, Vec<u8>, bool)> =
            sqlx::query_as("SELECT version, checksum, success FROM _sqlx_migrations")
                .fetch_all(pool)
                .await?;
        for (version, checksum, success) in rows {
            if !success {
                return Err(MigrateError::Dirty(version).into());
            }
            applied.insert(version, checksum);
        }
    }
    for migration in known.iter() {
        match applied.remove(&migration.version) {
            Some(checksum) if checksum == migration.checksum.as_ref() => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version).into()),
            None => {
                return Err(StorageError::Refused(format!(
                    "the database lacks migration {} ({}), and the role {role} may not change the schema: run \
                     `monthend doctor` once with the owner's address, see OPERATIONS.md, PostgreSQL",
                    migration.version, migration.description
                )));
            }
        }
    }
    match applied.into_keys().next() {
        Some(version) => Err(MigrateError::VersionMissing(version).into()),
        None => Ok(()),
    }
}

fn merged(engine: &Migrator) -> Migrator {
    let mut all: Vec<Migration> = PORTABLE.iter().chain(engine.iter()).cloned().collect();
    all.sort_by_key(|migration| migration.version);
    Migrator::with_migrations(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    // The portable set and an engine's share one order: a version given twice would be applied once.
    #[test]
    fn no_version_is_given_twice() {
        for engine in [&SQLITE, &POSTGRES] {
            let versions: Vec<i64> = merged(engine).iter().map(|known| known.version).collect();
            assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
        }
    }
}
