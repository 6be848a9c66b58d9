//! Connections to one file, lent to one transaction at a time.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::storage::StorageError;
use crate::storage::db::BUSY_TIMEOUT;

/// Connections that are made when they are first asked for.
#[derive(Debug)]
pub struct Pool {
    path: PathBuf,
    purpose: Purpose,
    most: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Read,
    /// Small transactions.
    Write,
    /// Transactions that may sort a whole table.
    Migrate,
}

/// A connection in a transaction's hands; dropping it undoes what is not committed.
#[derive(Debug)]
pub struct Lent {
    /// None only while it is given back.
    connection: Option<Connection>,
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub fn new(path: &Path, purpose: Purpose, most: u32) -> Self {
        Self {
            path: path.to_owned(),
            purpose,
            most,
            permits: Arc::new(Semaphore::new(most as usize)),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Closes all connections, once no transaction holds one. None is lent afterwards.
    pub async fn close(&self) {
        let all = self.permits.acquire_many(self.most).await;
        self.permits.close();
        drop(all);
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn lend(self: &Arc<Self>) -> Result<Lent, StorageError> {
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
    if purpose == Purpose::Migrate {
        // A table that others refer to is rebuilt under its own name; all references are checked before the commit.
        connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON;")?;
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
    pub fn get(&self) -> Result<&Connection, StorageError> {
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

/// Does what may take long where no other task waits for it.
pub async fn off_this_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(StorageError::Unavailable(format!("its thread ended: {error}"))),
    }
}
