//! An embedded file: one connection that writes, few that read, lent to one transaction at a time.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::values::{Bind, FromRow};
use super::{BUSY_TIMEOUT, CONNECTIONS};
use crate::storage::StorageError;

/// A database file and the connections to it.
#[derive(Debug, Clone)]
pub struct File {
    writer: Arc<Pool>,
    readers: Arc<Pool>,
}

/// Connections that are made when they are first asked for.
#[derive(Debug)]
struct Pool {
    path: PathBuf,
    purpose: Purpose,
    most: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    /// Small transactions.
    Write,
    /// Transactions that may sort a whole table.
    Migrate,
}

/// A connection in a transaction's hands; dropping it undoes what is not committed.
#[derive(Debug)]
struct Lent {
    /// None only while it is given back.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

/// An open transaction.
#[derive(Debug)]
pub struct Transaction {
    lent: Lent,
}

/// A prepared statement, to be run once or for many rows.
pub struct Prepared<'a> {
    statement: Held<'a>,
    connection: &'a Connection,
    /// Which value each place of the statement takes, by its number: `$2` may come before `$1`.
    places: Vec<usize>,
}

/// A statement that is kept for the next time, or not.
enum Held<'a> {
    Kept(CachedStatement<'a>),
    Once(rusqlite::Statement<'a>),
}

impl<'a> Deref for Held<'a> {
    type Target = rusqlite::Statement<'a>;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl File {
    /// Opens a file, and makes it if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is no database.
    pub async fn open(path: &str) -> Result<Self, StorageError> {
        let path = Path::new(path);
        let file = Self::with(path, Purpose::Write);
        // Whoever opens learns at once what is wrong.
        drop(file.writer.lend().await?);
        Ok(file)
    }

    fn with(path: &Path, writes: Purpose) -> Self {
        let pool = |purpose, most| {
            Arc::new(Pool {
                path: path.to_owned(),
                purpose,
                most,
                permits: Arc::new(Semaphore::new(most as usize)),
                idle: Mutex::new(Vec::new()),
            })
        };
        Self { writer: pool(writes, 1), readers: pool(Purpose::Read, CONNECTIONS) }
    }

    /// The same file with connections of its own, for migrations: whatever they sort, memory stays flat (F83).
    #[must_use]
    pub fn to_migrate(&self) -> Self {
        Self::with(&self.writer.path, Purpose::Migrate)
    }

    /// Begins a transaction that writes; waits for other writers, of this process and of others.
    ///
    /// # Errors
    /// Another writer holds the file too long, or the engine fails.
    pub async fn write(&self) -> Result<Transaction, StorageError> {
        const BEGIN: &str = "BEGIN IMMEDIATE";
        let mut lent = self.writer.lend().await?;
        lent.get()?.busy_timeout(Duration::ZERO)?;
        let begun = lent.get()?.execute_batch(BEGIN);
        lent.get()?.busy_timeout(BUSY_TIMEOUT)?;
        match begun {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                // Another process writes: a thread that may wait waits for it.
                lent = off_this_thread(move || {
                    lent.get()?.execute_batch(BEGIN)?;
                    Ok(lent)
                })
                .await?;
            }
            begun => begun?,
        }
        Ok(Transaction { lent })
    }

    /// Begins a transaction that reads one snapshot, taken by its first statement.
    ///
    /// # Errors
    /// The engine fails.
    pub async fn read(&self) -> Result<Transaction, StorageError> {
        let lent = self.readers.lend().await?;
        lent.get()?.execute_batch("BEGIN")?;
        Ok(Transaction { lent })
    }

    /// Moves what the write-ahead log holds into the file, as far as readers allow.
    ///
    /// # Errors
    /// The engine fails.
    pub async fn checkpoint(&self) -> Result<(), StorageError> {
        let lent = self.writer.lend().await?;
        off_this_thread(move || {
            lent.get()?.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
            Ok(())
        })
        .await
    }

    /// Closes all connections, the writer last: it puts the log away. Nothing can be begun afterwards.
    pub async fn close(&self) {
        for pool in [&self.readers, &self.writer] {
            let all = pool.permits.acquire_many(pool.most).await;
            pool.permits.close();
            drop(all);
            pool.idle().clear();
        }
    }
}

/// Does what may take long where no other task waits for it.
async fn off_this_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StorageError::Unavailable(format!("its thread ended: {error}"))),
    }
}

impl Pool {
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lend(self: &Arc<Self>) -> Result<Lent, StorageError> {
        let permit = tokio::time::timeout(BUSY_TIMEOUT, self.permits.clone().acquire_owned()).await;
        let permit = match permit {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(StorageError::Unavailable("it was closed".to_owned())),
            Err(_) => {
                let waited = BUSY_TIMEOUT.as_secs();
                let reason = format!("no connection was free for {waited} s");
                return Err(StorageError::Unavailable(reason));
            }
        };
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => connect(&self.path, self.purpose)?,
        };
        Ok(Lent { connection: Some(connection), pool: self.clone(), _permit: permit })
    }
}

fn connect(path: &Path, purpose: Purpose) -> Result<Connection, StorageError> {
    let flags = match purpose {
        Purpose::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
        Purpose::Write | Purpose::Migrate => {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        }
    };
    // A connection is in one transaction's hands: the engine need not lock it.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(400);
    // Plans do not depend on values: a statement is not planned again each time it is given others.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    if purpose == Purpose::Read {
        // Eight caches as large as the writer's would be most of what a process takes (F83).
        connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA foreign_keys = ON;")?;
    } else {
        // Writers sync each commit; a file that cannot keep a write-ahead log is refused by `doctor`.
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.execute_batch(
            "-- 16 MiB: the pages of a chunk, which lie together; memory is to stay flat (F83).
             PRAGMA cache_size = -16384;
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             -- REPLACE asks the triggers that refuse deletions only with this.
             PRAGMA recursive_triggers = ON;
             -- A chunk writes some 12 MiB: not each of its commits moves the whole log.
             PRAGMA wal_autocheckpoint = 8192;",
        )?;
        // A log that a long reader made grow shrinks again once it starts over (F29).
        connection.query_row("PRAGMA journal_size_limit = 67108864", [], |_| Ok(()))?;
    }
    if purpose == Purpose::Write {
        // Pages a statement would be undone with, noted for each row of a table with triggers: once a large
        // statement had moved them to a file, they were a quarter of a close. Its sorts are as small as its chunks.
        connection.execute_batch("PRAGMA temp_store = MEMORY;")?;
    }
    connection.execute_batch("PRAGMA trusted_schema = OFF;")?;
    Ok(connection)
}

impl Lent {
    fn get(&self) -> Result<&Connection, StorageError> {
        self.connection
            .as_ref()
            .ok_or_else(|| StorageError::Unavailable("the connection was given back".to_owned()))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        let is_clean = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        // One that cannot go back is closed, which undoes what it holds.
        if is_clean && !self.pool.permits.is_closed() {
            self.pool.idle().push(connection);
        }
    }
}

impl Transaction {
    /// The connection, as long as the transaction is open: a full disk ends one behind its holder's back, and what
    /// came then would be committed by itself.
    fn connection(&self) -> Result<&Connection, StorageError> {
        let connection = self.lent.get()?;
        if connection.is_autocommit() {
            return Err(StorageError::Ended);
        }
        Ok(connection)
    }

    /// Prepares a statement, or takes it from those prepared before.
    ///
    /// # Errors
    /// It is no statement of this schema, or the transaction ended.
    pub fn prepare(&self, sql: &str) -> Result<Prepared<'_>, StorageError> {
        let connection = self.connection()?;
        Ok(Prepared::new(connection, Held::Kept(connection.prepare_cached(sql)?)))
    }

    /// Prepares a statement that is not likely to be met again.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_once(&self, sql: &str) -> Result<Prepared<'_>, StorageError> {
        let connection = self.connection()?;
        Ok(Prepared::new(connection, Held::Once(connection.prepare(sql)?)))
    }

    /// Runs a statement; gives the number of rows it touched.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn execute(&self, sql: &str, values: &[&dyn Bind]) -> Result<u64, StorageError> {
        self.prepare(sql)?.execute(values)
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// The engine refuses it, or a value is not of its type.
    pub fn fetch_all<R: FromRow>(
        &self,
        sql: &str,
        values: &[&dyn Bind],
    ) -> Result<Vec<R>, StorageError> {
        self.prepare(sql)?.fetch(values, usize::MAX)
    }

    /// The first row of a query, if any.
    ///
    /// # Errors
    /// As [`Self::fetch_all`].
    pub fn fetch_optional<R: FromRow>(
        &self,
        sql: &str,
        values: &[&dyn Bind],
    ) -> Result<Option<R>, StorageError> {
        Ok(self.prepare(sql)?.fetch(values, 1)?.pop())
    }

    /// The one row of a query that always has one.
    ///
    /// # Errors
    /// As [`Self::fetch_all`], and there is none.
    pub fn fetch_one<R: FromRow>(
        &self,
        sql: &str,
        values: &[&dyn Bind],
    ) -> Result<R, StorageError> {
        let row = self.fetch_optional(sql, values)?;
        row.ok_or_else(|| rusqlite::Error::QueryReturnedNoRows.into())
    }

    /// Runs statements that give nothing, one after the other.
    ///
    /// # Errors
    /// The engine refuses one; those before it are done.
    pub fn run_script(&self, sql: &str) -> Result<(), StorageError> {
        Ok(self.connection()?.execute_batch(sql)?)
    }

    /// Makes everything durable.
    ///
    /// # Errors
    /// Nothing was committed.
    pub fn commit(self) -> Result<(), StorageError> {
        Ok(self.connection()?.execute_batch("COMMIT")?)
    }
}

impl<'a> Prepared<'a> {
    fn new(connection: &'a Connection, statement: Held<'a>) -> Self {
        let count = statement.parameter_count();
        let places = (1..=count)
            .map(|place| {
                let number = statement.parameter_name(place).and_then(|name| name.get(1..));
                number.and_then(|number| number.parse().ok()).unwrap_or(place)
            })
            .collect();
        Self { statement, connection, places }
    }

    fn bind(&mut self, values: &[&dyn Bind]) -> Result<(), StorageError> {
        // The engine would take a missing value for NULL.
        let wanted = self.places.iter().copied().max().unwrap_or(0);
        if wanted != values.len() {
            return Err(rusqlite::Error::InvalidParameterCount(values.len(), wanted).into());
        }
        for (place, number) in self.places.iter().enumerate() {
            if let Some(value) = values.get(number - 1) {
                self.statement.raw_bind_parameter(place + 1, value.value())?;
            }
        }
        Ok(())
    }

    /// Runs it with these values; gives the number of rows it touched.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn execute(&mut self, values: &[&dyn Bind]) -> Result<u64, StorageError> {
        self.bind(values)?;
        let before = self.connection.total_changes();
        let mut rows = self.statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        // Statements that change nothing leave the count of the one before.
        Ok(if self.connection.total_changes() == before { 0 } else { self.connection.changes() })
    }

    /// Runs it with these values; gives its first rows.
    ///
    /// # Errors
    /// The engine refuses it, or a value is not of its type.
    pub fn fetch<R: FromRow>(
        &mut self,
        values: &[&dyn Bind],
        most: usize,
    ) -> Result<Vec<R>, StorageError> {
        self.bind(values)?;
        let names = R::columns();
        let columns: Vec<usize> = if names.is_empty() {
            (0..self.statement.column_count()).collect()
        } else {
            let found = names.into_iter().enumerate().map(|(at, name)| {
                // Mostly the statement names them in the same order.
                let is_there = self.statement.column_name(at).is_ok_and(|there| there == name);
                if is_there { Ok(at) } else { self.statement.column_index(name) }
            });
            found.collect::<Result<_, _>>()?
        };
        let mut found = Vec::new();
        let mut rows = self.statement.raw_query();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            found.push(R::from_sqlite(row, &columns)?);
        }
        Ok(found)
    }
}
