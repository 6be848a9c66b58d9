//! The sandbox provider's own memory: an append-only file of JSON lines, shared by all workers.
//!
//! It stands for a provider's database, so it survives a crash of any worker, at any byte: a record
//! is synced before its charge is answered, and a torn last line is cut off by whoever opens or
//! extends the file next. A file lock makes "look, then append" one step across processes; the sync
//! comes after the lock is released, so that charges which arrive together share one.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

mod record;

pub use record::{JournalRecord, JournalRefund};

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be opened, read, locked or written. Whether the last record was kept is
    /// open.
    #[error("sandbox payment journal {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A complete line is not a record: someone else wrote into the file, or the disk lies.
    #[error("sandbox payment journal {path}, at byte {offset}: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Latest record of each key, with the offset it ends at.
type Latest = HashMap<String, (JournalRecord, u64)>;

/// What the file says, as far as it was read.
#[derive(Debug)]
struct Tail {
    file: File,
    /// Up to here the file was read; always the end of a line.
    offset: u64,
    latest: Latest,
}

/// How much of the file is on the disk for certain. A handle of its own, so that a sync does not
/// keep others from appending.
#[derive(Debug)]
struct Synced {
    file: File,
    offset: u64,
}

/// An open journal. Any number of threads and processes may use the same file.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    tail: Mutex<Tail>,
    synced: Mutex<Synced>,
}

impl Journal {
    /// Opens the journal, creating it (readable by its owner only) where there is none, and cuts
    /// off a torn last line.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let io = |source| JournalError::Io { path: path.to_owned(), source };
        let file = open_private(path).map_err(io)?;
        let second = file.try_clone().map_err(io)?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            // The name itself must survive a power cut, not only the bytes.
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        let journal = Self {
            path: path.to_owned(),
            tail: Mutex::new(Tail { file, offset: 0, latest: HashMap::new() }),
            synced: Mutex::new(Synced { file: second, offset: 0 }),
        };
        journal.latest("")?;
        Ok(journal)
    }

    /// The latest record of a key, on disk for certain.
    pub fn latest(&self, key: &str) -> Result<Option<JournalRecord>, JournalError> {
        self.once(key, |_| None).map(|(record, _)| record)
    }

    /// One step over all threads and processes: shows the key's latest record to `decide`, and
    /// appends the record it makes, if it makes one. Returns the record that then stands for the
    /// key, and whether it is a new one. It is on disk before this returns.
    pub fn once(
        &self,
        key: &str,
        decide: impl FnOnce(Option<&JournalRecord>) -> Option<JournalRecord>,
    ) -> Result<(Option<JournalRecord>, bool), JournalError> {
        self.one_step(key, |latest| decide(latest.get(key).map(|(record, _)| record)))
    }

    /// As [`Self::once`], for a refund: shows also how many minor units of the charge went back so
    /// far.
    pub fn once_refunded(
        &self,
        key: &str,
        charge: &str,
        decide: impl FnOnce(Option<&JournalRecord>, i64) -> Option<JournalRecord>,
    ) -> Result<(Option<JournalRecord>, bool), JournalError> {
        self.one_step(key, |latest| {
            let back = latest.values().map(|(record, _)| record.gives_back(charge));
            decide(latest.get(key).map(|(record, _)| record), back.sum())
        })
    }

    fn one_step(
        &self,
        key: &str,
        decide: impl FnOnce(&Latest) -> Option<JournalRecord>,
    ) -> Result<(Option<JournalRecord>, bool), JournalError> {
        let (standing, new) = {
            let mut tail = lock(&self.tail);
            tail.file.lock().map_err(|source| self.io(source))?;
            let done = self.look_and_append(&mut tail, key, decide);
            let unlocked = tail.file.unlock().map_err(|source| self.io(source));
            let done = done?;
            unlocked?;
            done
        };
        let Some((record, end)) = standing else { return Ok((None, new)) };
        self.sync_to(end)?;
        Ok((Some(record), new))
    }

    /// Every record, oldest first, read afresh; a torn last line is not one.
    pub fn records(&self) -> Result<Vec<JournalRecord>, JournalError> {
        let mut bytes = Vec::new();
        let mut tail = lock(&self.tail);
        tail.file.lock_shared().map_err(|source| self.io(source))?;
        let read = tail
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| tail.file.read_to_end(&mut bytes))
            .map_err(|source| self.io(source));
        tail.file.unlock().map_err(|source| self.io(source))?;
        read?;
        let whole = complete(&bytes);
        let mut records = Vec::new();
        self.parse(&bytes[..whole], 0, |record, _| records.push(record))?;
        Ok(records)
    }

    fn look_and_append(
        &self,
        tail: &mut Tail,
        key: &str,
        decide: impl FnOnce(&Latest) -> Option<JournalRecord>,
    ) -> Result<(Option<(JournalRecord, u64)>, bool), JournalError> {
        self.catch_up(tail)?;
        let Some(record) = decide(&tail.latest) else {
            return Ok((tail.latest.get(key).cloned(), false));
        };
        let mut line = serde_json::to_vec(&record).map_err(|e| self.io(e.into()))?;
        line.push(b'\n');
        // A half-written line (a full disk) is what the next reader cuts off as torn.
        tail.file
            .seek(SeekFrom::Start(tail.offset))
            .and_then(|_| tail.file.write_all(&line))
            .map_err(|source| self.io(source))?;
        tail.offset += line.len() as u64;
        let entry = (record, tail.offset);
        tail.latest.insert(key.to_owned(), entry.clone());
        Ok((Some(entry), true))
    }

    /// Reads what other processes appended since; called with the file locked, so that an
    /// incomplete last line can only be the remains of a crash.
    fn catch_up(&self, tail: &mut Tail) -> Result<(), JournalError> {
        let length = tail.file.metadata().map_err(|source| self.io(source))?.len();
        if length < tail.offset {
            return Err(self.corrupt(length, "the file became shorter than it was".to_owned()));
        }
        if length == tail.offset {
            return Ok(());
        }
        let mut bytes = Vec::new();
        tail.file
            .seek(SeekFrom::Start(tail.offset))
            .and_then(|_| tail.file.read_to_end(&mut bytes))
            .map_err(|source| self.io(source))?;
        let whole = complete(&bytes);
        let mut fresh = Vec::new();
        self.parse(&bytes[..whole], tail.offset, |record, end| fresh.push((record, end)))?;
        tail.latest.extend(fresh.into_iter().map(|entry| (entry.0.key.clone(), entry)));
        tail.offset += whole as u64;
        if whole < bytes.len() {
            tail.file.set_len(tail.offset).map_err(|source| self.io(source))?;
        }
        Ok(())
    }

    fn parse(
        &self,
        bytes: &[u8],
        start: u64,
        mut each: impl FnMut(JournalRecord, u64),
    ) -> Result<(), JournalError> {
        let mut begin = start;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let record =
                serde_json::from_slice(line).map_err(|e| self.corrupt(begin, e.to_string()))?;
            begin += line.len() as u64;
            each(record, begin);
        }
        Ok(())
    }

    /// Returns once everything before `end` is on disk. Whoever holds the lock syncs for all who
    /// wait.
    fn sync_to(&self, end: u64) -> Result<(), JournalError> {
        let mut synced = lock(&self.synced);
        if synced.offset >= end {
            return Ok(());
        }
        // Appended before the sync begins, so certainly covered by it.
        let written = synced.file.metadata().map_err(|source| self.io(source))?.len();
        synced.file.sync_data().map_err(|source| self.io(source))?;
        synced.offset = written.max(end);
        Ok(())
    }

    fn io(&self, source: io::Error) -> JournalError {
        JournalError::Io { path: self.path.clone(), source }
    }

    fn corrupt(&self, offset: u64, reason: String) -> JournalError {
        JournalError::Corrupt { path: self.path.clone(), offset, reason }
    }
}

/// Length of the leading part that consists of complete lines.
fn complete(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1)
}

/// A panic while the lock was held leaves only a read position behind, which is always valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::contract::request;

    fn record(key: &str) -> JournalRecord {
        JournalRecord::of(&request(key, "pm_sandbox_ok", 100), None)
    }

    #[test]
    fn every_cut_of_the_last_line_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        journal.once("a", |_| Some(record("a"))).unwrap();
        let first = std::fs::metadata(&path).unwrap().len();
        journal.once("b", |_| Some(record("b"))).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in usize::try_from(first).unwrap()..bytes.len() {
            let torn = folder.path().join(format!("torn-{cut}"));
            File::create(&torn).unwrap().write_all(&bytes[..cut]).unwrap();
            let reopened = Journal::open(&torn).unwrap();
            assert_eq!(reopened.latest("a").unwrap(), Some(record("a")));
            assert_eq!(reopened.latest("b").unwrap(), None, "cut at {cut}");
            reopened.once("b", |_| Some(record("b"))).unwrap();
            assert_eq!(std::fs::read(&torn).unwrap(), bytes, "cut at {cut}");
        }
    }

    #[test]
    fn a_long_torn_line_leaves_nothing_behind_a_short_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        File::create(&path).unwrap().write_all(&[b'x'; 5_000]).unwrap();
        let journal = Journal::open(&path).unwrap();
        journal.once("a", |_| Some(record("a"))).unwrap();
        assert_eq!(Journal::open(&path).unwrap().records().unwrap(), [record("a")]);
        assert_eq!(std::fs::read(&path).unwrap().last(), Some(&b'\n'));
    }

    #[test]
    fn records_from_before_there_were_refunds_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let line = br#"{"key":"a","request_hash":"h","amount":{"amount":"1.00","currency":"USD"},"method":"pm_sandbox_ok","organization":"acme","reference":"R","outcome":null}"#;
        File::create(&path).unwrap().write_all(&[line, b"\n".as_slice()].concat()).unwrap();
        let records = Journal::open(&path).unwrap().records().unwrap();
        assert_eq!(serde_json::to_vec(&records[0]).unwrap(), line);
    }

    #[test]
    fn a_foreign_line_is_reported_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        File::create(&path).unwrap().write_all(b"hello\n").unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalError::Corrupt { offset: 0, .. }), "{error}");
    }

    #[test]
    fn a_file_that_shrinks_under_us_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = Journal::open(&path).unwrap();
        journal.once("a", |_| Some(record("a"))).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert!(matches!(journal.latest("a"), Err(JournalError::Corrupt { .. })));
    }

    #[test]
    fn two_handles_see_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (one, two) = (Journal::open(&path).unwrap(), Journal::open(&path).unwrap());
        one.once("a", |_| Some(record("a"))).unwrap();
        let (_, is_new) = two.once("a", |seen| seen.is_none().then(|| record("a"))).unwrap();
        assert!(!is_new);
        assert_eq!(two.records().unwrap(), one.records().unwrap());
        assert_eq!(one.records().unwrap().len(), 1);
    }
}
