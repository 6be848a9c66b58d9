//! The half of an import that asks nobody: rows are read, rated, hashed and put in order on another thread while
//! those before them are stored.

use std::io::BufRead;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::JoinHandle;

use super::Quarantined;
use crate::domain::rating::{RateCard, Rating};
use crate::domain::usage::UsageEvent;
use crate::intake::usage::{FileError, UsageReader};
use crate::services::ServiceError;
use crate::storage::StorageError;

/// Rows of one transaction: enough that those of one organization mostly lie together.
const BATCH: usize = 10_000;
/// Text of one transaction after which no more rows are added: a line may be a megabyte long.
const BATCH_BYTES: usize = 16 << 20;
/// Batches that are ready before they are asked for.
const AHEAD: usize = 1;

/// A row on its way in, with what can be said of it without asking the database.
pub(super) struct Row {
    pub line: u64,
    pub event: UsageEvent,
    /// What it costs, or why that cannot be told.
    pub rating: Result<Rating, String>,
    pub content_hash: String,
    /// When it first arrived: how far back it may reach is counted from here (D7).
    pub received_at: DateTime<Utc>,
}

impl Row {
    pub fn new(rates: &RateCard, line: u64, event: UsageEvent, received_at: DateTime<Utc>) -> Self {
        let rating = rates.rate(&event).map_err(|error| error.to_string());
        Self { line, content_hash: event.content_hash(), rating, event, received_at }
    }
}

/// Rows that are stored together.
pub(super) struct Batch {
    /// By key, as they lie in the table; those of one key as they came.
    pub rows: Vec<Row>,
    pub rejected: Vec<Quarantined>,
}

/// A file that is read on a thread of its own.
pub(super) struct Ahead {
    batches: Receiver<Batch>,
    reader: JoinHandle<Result<(), FileError>>,
}

impl Ahead {
    /// Begins to read.
    pub fn new(
        file: &str,
        reader: impl BufRead + Send + 'static,
        rates: Arc<RateCard>,
        now: DateTime<Utc>,
    ) -> Self {
        let (sender, batches) = mpsc::channel(AHEAD);
        let file = file.to_owned();
        let reader =
            tokio::task::spawn_blocking(move || read_all(&file, reader, &rates, now, &sender));
        Self { batches, reader }
    }

    /// The next batch, in the order of the file.
    pub async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Was the file read to its end? A reader that stopped for another reason must not look like one that is done.
    ///
    /// # Errors
    /// The file is no usage file from some line on; or the reader failed, or was not begun as the process ends.
    pub async fn end(self, file: &str) -> Result<(), ServiceError> {
        match self.reader.await {
            Ok(read) => read.map_err(|error| ServiceError::Input(format!("{file}: {error}"))),
            Err(error) => {
                let reason = format!("{file} was not read to its end: {error}");
                Err(StorageError::Unavailable(reason).into())
            }
        }
    }
}

fn read_all(
    file: &str,
    reader: impl BufRead,
    rates: &RateCard,
    now: DateTime<Utc>,
    sender: &Sender<Batch>,
) -> Result<(), FileError> {
    let mut reader = UsageReader::new(reader)?;
    loop {
        let (mut rows, mut rejected) = (Vec::with_capacity(BATCH), Vec::new());
        let mut bytes = 0;
        while rows.len() + rejected.len() < BATCH && bytes < BATCH_BYTES {
            let Some(row) = reader.next() else { break };
            let row = row?;
            let raw = row.event.is_err().then(|| row.raw());
            bytes += raw.as_ref().map_or(0, String::len);
            match row.event {
                Ok(event) => {
                    bytes += text_of(&event);
                    rows.push(Row::new(rates, row.line, event, now));
                }
                Err(error) => rejected.push(Quarantined {
                    file: file.to_owned(),
                    line: row.line,
                    organization: error.organization.clone(),
                    raw: raw.unwrap_or_default(),
                    reason: error.to_string(),
                }),
            }
        }
        if rows.is_empty() && rejected.is_empty() {
            return Ok(());
        }
        rows.sort_by(|a, b| a.event.key().cmp(&b.event.key()));
        if sender.blocking_send(Batch { rows, rejected }).is_err() {
            // The import failed meanwhile: nobody asks for more.
            return Ok(());
        }
    }
}

/// What a quantity adds to a stored row beside its name: its value twice, its rate, what it costs.
const QUANTITY: usize = 100;

/// Bytes of text that an event becomes, about.
fn text_of(event: &UsageEvent) -> usize {
    let UsageEvent { id, organization, meter, source, .. } = event;
    let UsageEvent { project, member, environment, model, supplier, job, .. } = event;
    let texts =
        [id, organization, meter, source, project, member, environment, model, supplier, job];
    let texts: usize = texts.into_iter().map(String::len).sum();
    texts + event.quantities.keys().map(|name| 2 * name.len() + QUANTITY).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    // Thousands of long rows were one transaction, more than a server takes at once.
    #[test]
    fn long_rows_make_small_batches() {
        let dimensions: Vec<String> = (0..90).map(|n| format!("d{n:0>59}")).collect();
        let dimensions = dimensions.join(",");
        let ones = ",1".repeat(90);
        let mut file = format!("id,organization,at,meter,{dimensions}\n");
        for n in 0..4_000 {
            file.push_str(&format!("{n},acme,2026-01-09T09:00:00Z,calls{ones}\n"));
        }
        let rates = RateCard::default();
        let (sender, mut batches) = mpsc::channel(100);
        let now = DateTime::UNIX_EPOCH;
        assert!(read_all("usage.csv", Cursor::new(file), &rates, now, &sender).is_ok());
        drop(sender);
        let mut sizes = Vec::new();
        while let Ok(batch) = batches.try_recv() {
            sizes.push(batch.rows.len() + batch.rejected.len());
        }
        assert!(sizes.len() > 1 && sizes.iter().sum::<usize>() == 4_000, "{sizes:?}");
    }
}
