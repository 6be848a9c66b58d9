//! Two engines behind one set of statements: PostgreSQL through sqlx, an embedded SQLite file through rusqlite.
//!
//! SQLite's statements run on the thread that asks: sqlx hands each of them, and each row, to another thread, which
//! costs tens of microseconds where the statement takes one (docs/DECISIONS.md).

pub mod sqlite;
mod statement;
mod values;

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

use super::StorageError;

pub use statement::{
    INSERTED_AT_ONCE, NAMES_PER_STATEMENT, Statement, Value, one_row, rows_per_statement,
};
pub(crate) use statement::{
    execute, execute_keyed, fetch, fetch_all, fetch_keyed, fetch_named, fetch_one, fetch_optional,
    in_range, insert,
};
pub use values::{Bind, Column, FromRow, next};
pub(crate) use values::{Record, record_with};

/// A database: an embedded SQLite file or a PostgreSQL server.
#[derive(Debug, Clone)]
pub enum Db {
    /// One writer, few readers.
    Sqlite(sqlite::File),
    /// A server.
    Postgres(PgPool),
}

/// An open transaction. A task holds at most one, and none across a network call.
#[derive(Debug)]
pub enum Tx {
    /// On SQLite.
    Sqlite(sqlite::Transaction),
    /// On PostgreSQL.
    Postgres(Transaction<'static, Postgres>),
}

/// How long a statement waits for another writer, or for a free connection, before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections that read at the same time on SQLite, or do anything on PostgreSQL.
const CONNECTIONS: u32 = 8;

/// Facts are read after the lock they stand under, as they are then: a server or role whose default is another level
/// would show them as they were when the transaction began.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

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
            Some(path) => Ok(Self::Sqlite(sqlite::File::open(path).await?)),
            None => Self::open_postgres(address, longest_idle).await,
        }
    }

    async fn open_postgres(address: &str, longest_idle: Duration) -> Result<Self, StorageError> {
        let longest_idle = format!("{}ms", longest_idle.as_millis());
        let options = read_address(address)?.application_name("monthend").options([
            ("lock_timeout", "30s"),
            // A plan that was kept from when a table was small reads all of it hours later.
            ("plan_cache_mode", "force_custom_plan"),
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
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// Begins a transaction that writes: immediate on SQLite, so it never fails half-way for a lock.
    ///
    /// # Errors
    /// No connection, or another writer holds the file too long.
    pub async fn write(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite(file) => Tx::Sqlite(file.write().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(BEGIN_WRITE).await?),
        })
    }

    /// Begins a transaction that only reads one snapshot.
    ///
    /// # Errors
    /// No connection.
    pub async fn read(&self) -> Result<Tx, StorageError> {
        Ok(match self {
            Self::Sqlite(file) => Tx::Sqlite(file.read().await?),
            Self::Postgres(pool) => Tx::Postgres(pool.begin_with(BEGIN_READ).await?),
        })
    }

    /// Moves what the write-ahead log holds into an embedded database, as far as readers allow; waits for
    /// nobody (F29).
    ///
    /// # Errors
    /// The engine fails.
    pub async fn checkpoint(&self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(file) => file.checkpoint().await,
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Closes all connections.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(file) => file.close().await,
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
            Self::Sqlite(tx) => {
                tx.commit()?;
                // Whoever waited to write has the connection now: it goes on, even if this task does not pause soon.
                tokio::task::yield_now().await;
            }
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }

    /// Undoes everything. Dropping does the same, later on PostgreSQL.
    ///
    /// # Errors
    /// The connection is lost; the server undoes it by itself.
    pub async fn rollback(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(tx) => drop(tx),
            Self::Postgres(tx) => tx.rollback().await?,
        }
        Ok(())
    }
}

/// What may follow the `?` of a server's address, beside `options[…]`: what sqlx knows.
const PARAMETERS: [&str; 18] = [
    "sslmode",
    "ssl-mode",
    "sslrootcert",
    "ssl-root-cert",
    "ssl-ca",
    "sslcert",
    "ssl-cert",
    "sslkey",
    "ssl-key",
    "statement-cache-capacity",
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "application_name",
    "options",
];

/// Reads the address of a server without a word: sqlx would log a parameter it does not know with its value, which
/// may be a password, and a line of `.pgpass` it cannot read (F88). It would then ignore it, a mistyped `sslmode` too:
/// such an address is refused, by the place of the parameter, as a name may be the rest of a password.
fn read_address(address: &str) -> Result<PgConnectOptions, StorageError> {
    let (_, parameters) = address.split_once('?').unwrap_or_default();
    for (place, parameter) in (1..).zip(parameters.split('&').filter(|text| !text.is_empty())) {
        let name = parameter.split('=').next().unwrap_or_default();
        let is_option = name.starts_with("options[") && name.ends_with(']')
            || name.starts_with("options%5B") && name.ends_with("%5D");
        if !is_option && !PARAMETERS.contains(&name) {
            return Err(StorageError::Refused(format!(
                "parameter {place} of the address is not known; there are: {}",
                PARAMETERS.join(", ")
            )));
        }
    }
    let unheard = tracing::subscriber::NoSubscriber::default();
    let options =
        tracing::subscriber::with_default(unheard, || PgConnectOptions::from_str(address));
    Ok(options?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Heard(Arc<Mutex<Vec<u8>>>);

    impl Write for Heard {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    // F88: a password under a mistyped name was in the log.
    #[test]
    fn a_parameter_nobody_knows_is_refused_and_not_logged() {
        let said = |read: &dyn Fn()| {
            let heard = Heard::default();
            let writer = heard.clone();
            let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(log, read);
            let bytes = heard.0.lock().unwrap().clone();
            String::from_utf8(bytes).unwrap()
        };
        let plain = "postgres://monthend@127.0.0.1/monthend";
        for parameter in ["passwrd=hidden", "sslMode=verify-full", "password=not&hidden", "hidden"]
        {
            let address = format!("{plain}?sslmode=require&{parameter}");
            // Without this the test would pass once sqlx is silent by itself.
            assert!(!said(&|| drop(PgConnectOptions::from_str(&address))).is_empty());
            let log = said(&|| {
                let refused = read_address(&address).unwrap_err().to_string();
                assert!(refused.contains("of the address") && !refused.contains("hidden"));
            });
            assert_eq!(log, "");
        }
        for parameters in ["", "?", "?sslmode=verify-full&options[search_path]=a", "?host=/run/x"] {
            assert!(read_address(&format!("{plain}{parameters}")).is_ok(), "{parameters}");
        }
    }
}
