//! Two engines behind one set of statements: the handles, the transactions, the macros.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection, Postgres, Sqlite, Transaction};

use super::StorageError;

/// A database: an embedded SQLite file or a PostgreSQL server.
#[derive(Debug, Clone)]
pub enum Db {
    /// One writer, few readers.
    Sqlite {
        /// The one connection that writes.
        writer: SqlitePool,
        /// Did the last transaction that writes end otherwise than by a commit?
        doubtful: Doubt,
        /// Connections that only read.
        readers: SqlitePool,
    },
    /// A server.
    Postgres(PgPool),
}

/// Set while a transaction that writes has not been committed.
pub type Doubt = Arc<AtomicBool>;

/// An open transaction. A task holds at most one, and none across a network call.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite; one that writes clears its connection's doubt with its commit.
    Sqlite(Transaction<'static, Sqlite>, Option<Doubt>),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

/// How long a statement waits for another writer before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that read at the same time on SQLite, or do anything on PostgreSQL.
const CONNECTIONS: u32 = 8;

/// A reader locks no row: it may think longer between two statements than a writer.
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
    SET LOCAL idle_in_transaction_session_timeout = '10min'";

impl Db {
    /// Opens a database by its address: `sqlite:PATH` or `postgres://…`.
    ///
    /// `longest_idle` ends a transaction that writes and stands still, on a server: a process that was stopped in
    /// one, or whose machine is gone, keeps its row locks no longer.
    ///
    /// # Errors
    /// It cannot be reached, or its settings would not keep what is committed.
    pub async fn open(address: &str, longest_idle: Duration) -> Result<Self, StorageError> {
        match address.strip_prefix("sqlite:") {
            Some(path) => Self::open_sqlite(path).await,
            None => Self::open_postgres(address, longest_idle).await,
        }
    }

    async fn open_sqlite(path: &str) -> Result<Self, StorageError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(200)
            // Rows come from a thread of their own: fewer, larger hand-overs.
            .row_buffer_size(1_024)
            .pragma("trusted_schema", "OFF")
            // REPLACE asks the triggers that refuse deletions only with this.
            .pragma("recursive_triggers", "ON")
            // 16 MiB: the pages of a chunk, which lie together; memory is to stay flat (F83).
            .pragma("cache_size", "-16384")
            // A write-ahead log that a long reader made grow shrinks again once it starts over (F29).
            .pragma("journal_size_limit", "67108864")
            // A chunk writes some 12 MiB: not each of its commits moves the whole log.
            .pragma("wal_autocheckpoint", "8192")
            .optimize_on_close(false, None);
        let doubtful = Doubt::default();
        let doubt = doubtful.clone();
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            // A full disk ends a transaction behind the driver's back: such a connection is replaced.
            .before_acquire(move |connection, _| {
                let doubtful = doubt.swap(false, Ordering::SeqCst);
                Box::pin(async move {
                    if doubtful {
                        sqlx::query("SELECT 1").execute(&mut *connection).await?;
                    }
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone())
            .await?;
        // A file does not go away as a server does: nothing is asked before a connection is used.
        let readers = SqlitePoolOptions::new().test_before_acquire(false);
        let readers = readers.max_connections(CONNECTIONS).connect_lazy_with(
            // Eight caches as large as the writer's would be most of what a process takes (F83).
            options.pragma("cache_size", "-4096").read_only(true).create_if_missing(false),
        );
        Ok(Self::Sqlite { writer, doubtful, readers })
    }

    async fn open_postgres(address: &str, longest_idle: Duration) -> Result<Self, StorageError> {
        let longest_idle = format!("{}ms", longest_idle.as_millis());
        let options = PgConnectOptions::from_str(address)?.application_name("monthend").options([
            ("lock_timeout", "30s"),
            ("idle_in_transaction_session_timeout", longest_idle.as_str()),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(BUSY_TIMEOUT)
            .connect_with(options)
            .await?;
        Ok(Self::Postgres(pool))
    }

    /// The engine's name: `sqlite` or `postgres`.
    #[must_use]
    pub const fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Begins a transaction that writes: immediate on SQLite, so it never fails half-way for a lock.
    ///
    /// # Errors
    /// No connection, or another writer holds the file too long.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { writer, doubtful, .. } => {
                let tx =
                    Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?, Some(doubtful.clone()));
                doubtful.store(true, Ordering::SeqCst);
                tx
            }
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Begins a transaction that only reads one snapshot.
    ///
    /// # Errors
    /// No connection.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Tx::Sqlite(readers.begin().await?, None),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(BEGIN_READ).await?),
        })
    }

    /// Moves what the write-ahead log holds into an embedded database, as far as readers allow; waits for
    /// nobody (F29).
    ///
    /// # Errors
    /// The engine fails.
    pub async fn checkpoint(&self) -> Result<(), StorageError> {
        if let Self::Sqlite { writer, .. } = self {
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(writer).await?;
        }
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers, .. } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Tx {
    /// Makes everything durable.
    ///
    /// # Errors
    /// Nothing was committed, or (connection lost) it is not known: the step is claimed again.
    pub async fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx, doubtful) => {
                tx.commit().await?;
                if let Some(doubtful) = doubtful {
                    doubtful.store(false, Ordering::SeqCst);
                }
            }
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes everything. Dropping does the same, later.
    ///
    /// # Errors
    /// The connection is lost; the server undoes it by itself.
    pub async fn rollback(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx, _) => tx.rollback().await?,
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

/// Expands a body once per engine, with the connection under a name.
macro_rules! on {
    ($tx:expr, $connection:ident => $body:expr) => {
        match $tx {
            $crate::storage::db::Tx::Sqlite(tx, _) => {
                let $connection = &mut **tx;
                $body
            }
            $crate::storage::db::Tx::Postgres(tx) => {
                let $connection = &mut **tx;
                $body
            }
        }
    };
}

/// Runs a statement with its binds; gives the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, connection => {
            sqlx::query($sql)$(.bind($bind))*.execute(connection).await?.rows_affected()
        })
    };
}

/// All rows of a query, as a `FromRow` type.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_all(connection).await?
        })
    };
}

/// The first row of a query, if any, as a `FromRow` type.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_optional(connection).await?
        })
    };
}

/// The one row of a query that always has one, as a `FromRow` type.
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::on!($tx, connection => {
            sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.fetch_one(connection).await?
        })
    };
}

/// Inserts many rows with as few statements as the engines allow.
///
/// `insert!(tx, "INSERT INTO t (a, b)", " ON CONFLICT …", rows, row => [row.a, row.b])` gives the number
/// of rows it touched.
macro_rules! insert {
    ($tx:expr, $head:expr, $tail:expr, $rows:expr, $row:ident => [$($bind:expr),+ $(,)?]) => {{
        let columns = [$(stringify!($bind)),+].len();
        let rows = $rows;
        let mut touched = 0_u64;
        for chunk in rows.chunks($crate::storage::db::rows_per_statement(columns)) {
            touched += $crate::storage::db::on!($tx, connection => {
                let mut builder = sqlx::QueryBuilder::new($head);
                builder.push(" ");
                builder.push_values(chunk, |mut values, $row| {
                    $(values.push_bind($bind);)+
                });
                builder.push($tail);
                builder.build().execute(connection).await?.rows_affected()
            });
        }
        touched
    }};
}

/// All rows of many keys, each an organization and a second name. `$head` ends before `IN`.
macro_rules! fetch_keyed {
    ($tx:expr, $row:ty, $head:expr, $keys:expr) => {{
        let mut found: Vec<$row> = Vec::new();
        for chunk in $keys.chunks($crate::storage::db::rows_per_statement(2)) {
            let rows: Vec<$row> = $crate::storage::db::on!($tx, connection => {
                let mut builder = sqlx::QueryBuilder::new($head);
                builder.push(" IN (");
                builder.push_values(chunk, |mut values, key| {
                    values.push_bind(key.0.clone()).push_bind(key.1.clone());
                });
                builder.push(")");
                builder.build_query_as().fetch_all(connection).await?
            });
            found.extend(rows);
        }
        found
    }};
}

/// All rows of the named organizations. `$head` ends before `IN`; `$tail` follows the list.
macro_rules! fetch_named {
    ($tx:expr, $row:ty, $head:expr, $tail:expr, $organizations:expr) => {{
        let mut found: Vec<$row> = Vec::new();
        for chunk in $organizations.chunks($crate::storage::db::NAMES_PER_STATEMENT) {
            let rows: Vec<$row> = $crate::storage::db::on!($tx, connection => {
                let mut builder = sqlx::QueryBuilder::new($head);
                builder.push(" IN (");
                let mut list = builder.separated(", ");
                for organization in chunk {
                    list.push_bind(organization.clone());
                }
                list.push_unseparated(")");
                builder.push($tail);
                builder.build_query_as().fetch_all(connection).await?
            });
            found.extend(rows);
        }
        found
    }};
}

/// Runs a statement on the rows of many keys: `$head`, a value, `$middle` up to the list of keys.
macro_rules! execute_keyed {
    ($tx:expr, $head:expr, $value:expr, $middle:expr, $keys:expr) => {
        for chunk in $keys.chunks($crate::storage::db::rows_per_statement(2)) {
            $crate::storage::db::on!($tx, connection => {
                let mut builder = sqlx::QueryBuilder::new($head);
                builder.push_bind($value);
                builder.push($middle);
                builder.push(" IN (");
                builder.push_values(chunk, |mut values, key| {
                    values.push_bind(key.0.clone()).push_bind(key.1.clone());
                });
                builder.push(")");
                builder.build().execute(connection).await?.rows_affected()
            });
        }
    };
}

/// Names one statement asks for at most.
pub const NAMES_PER_STATEMENT: usize = 500;

/// Rows of so many columns that fit one statement: enough to save trips, few enough that the text is
/// prepared once and used again.
#[must_use]
pub fn rows_per_statement(columns: usize) -> usize {
    const BINDS: usize = 6_000;
    (BINDS / columns.max(1)).max(1)
}

pub(crate) use {
    execute, execute_keyed, fetch_all, fetch_keyed, fetch_named, fetch_one, fetch_optional, insert,
    on,
};
