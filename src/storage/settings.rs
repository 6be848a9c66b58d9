//! Settings of the engine without which a committed fact could be lost.

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use super::db::fetch_one;
use super::{StorageError, Tx};

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub value: String,
    /// What it must be.
    pub wanted: &'static str,
}

impl Setting {
    /// Is it what it must be?
    #[must_use]
    pub fn ok(&self) -> bool {
        self.wanted.split('|').any(|wanted| wanted == self.value)
    }
}

/// Reads the settings that matter on this engine.
pub async fn read(tx: &mut Tx) -> Result<Vec<Setting>, StorageError> {
    match tx {
        Tx::Sqlite(..) => {
            let (journal,) = fetch_one!(tx, (String,), "PRAGMA journal_mode");
            let (sync,) = fetch_one!(tx, (i64,), "PRAGMA synchronous");
            let (keys,) = fetch_one!(tx, (i64,), "PRAGMA foreign_keys");
            Ok(vec![
                Setting { name: "journal_mode", value: journal, wanted: "wal" },
                Setting { name: "synchronous", value: sync.to_string(), wanted: "2|3" },
                Setting { name: "foreign_keys", value: keys.to_string(), wanted: "1" },
            ])
        }
        Tx::Postgres(_) => {
            let (fsync,) = fetch_one!(tx, (String,), "SELECT current_setting('fsync')");
            let (pages,) = fetch_one!(tx, (String,), "SELECT current_setting('full_page_writes')");
            let (commit,) =
                fetch_one!(tx, (String,), "SELECT current_setting('synchronous_commit')");
            Ok(vec![
                Setting { name: "fsync", value: fsync, wanted: "on" },
                Setting { name: "full_page_writes", value: pages, wanted: "on" },
                Setting {
                    name: "synchronous_commit",
                    value: commit,
                    wanted: "on|remote_write|remote_apply|local",
                },
            ])
        }
    }
}

/// What a server's own clock says, the one place where it is asked; none: the database is on this machine.
pub async fn server_clock(tx: &mut Tx) -> Result<Option<DateTime<Utc>>, StorageError> {
    match tx {
        Tx::Sqlite(..) => Ok(None),
        Tx::Postgres(_) => {
            let (at,) = fetch_one!(tx, (DateTime<Utc>,), "SELECT clock_timestamp()");
            Ok(Some(at))
        }
    }
}

/// The write-ahead log beside an embedded database; none on a server.
pub async fn write_ahead_log(tx: &mut Tx) -> Result<Option<PathBuf>, StorageError> {
    match tx {
        Tx::Sqlite(..) => {
            let file = "SELECT file FROM pragma_database_list WHERE name = 'main'";
            let (file,) = fetch_one!(tx, (String,), file);
            Ok(Some(PathBuf::from(format!("{file}-wal"))))
        }
        Tx::Postgres(_) => Ok(None),
    }
}
