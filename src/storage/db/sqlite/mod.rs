//! An embedded file: one connection that writes, few that read, lent to one transaction at a time.

mod pool;
mod prepared;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use pool::{Lent, Pool, Purpose, off_this_thread};
pub use prepared::Prepared;

use super::values::{Bind, FromRow};
use super::{BUSY_TIMEOUT, CONNECTIONS};
use crate::storage::StorageError;

/// A database file and the connections to it.
#[derive(Debug, Clone)]
pub struct File {
    writer: Arc<Pool>,
    readers: Arc<Pool>,
}

/// An open transaction.
#[derive(Debug)]
pub struct Transaction {
    lent: Lent,
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
        let pool = |purpose, most| Arc::new(Pool::new(path, purpose, most));
        Self { writer: pool(writes, 1), readers: pool(Purpose::Read, CONNECTIONS) }
    }

    /// The same file with connections of its own, for migrations: whatever they sort, memory stays flat (F83).
    #[must_use]
    pub fn to_migrate(&self) -> Self {
        Self::with(self.writer.path(), Purpose::Migrate)
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
        self.readers.close().await;
        self.writer.close().await;
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
    pub fn prepare<'a>(&'a self, sql: &'a str) -> Result<Prepared<'a>, StorageError> {
        Prepared::kept(self.connection()?, sql)
    }

    /// Prepares a statement that is not likely to be met again.
    ///
    /// # Errors
    /// As [`Self::prepare`].
    pub fn prepare_once<'a>(&'a self, sql: &'a str) -> Result<Prepared<'a>, StorageError> {
        Prepared::once(self.connection()?, sql)
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

#[cfg(test)]
mod tests {
    use super::*;

    // A temporary file of undo pages was a quarter of a close; an index over a whole table must not fill the memory.
    #[tokio::test]
    async fn undo_pages_stay_in_memory_and_migrations_sort_on_disk() {
        let home = tempfile::tempdir().unwrap();
        let file = File::open(home.path().join("monthend.db").to_str().unwrap()).await.unwrap();
        let (on_disk_by_default, in_memory) = (0_i64, 2_i64);
        for (file, expected) in [(file.clone(), in_memory), (file.to_migrate(), on_disk_by_default)]
        {
            let tx = file.write().await.unwrap();
            let (found,): (i64,) = tx.fetch_one("PRAGMA temp_store", &[]).unwrap();
            assert_eq!(found, expected);
        }
    }
}
