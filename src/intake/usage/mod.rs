//! Usage files: CSV or CloudEvents 1.0 as NDJSON, told apart by content, read row by row.
//!
//! Ten million rows pass through here, so memory is bounded by one line and a row that is accepted costs
//! no more than its own text. Every row ends accepted or rejected with its line and reason (F46, F47).

mod cloudevents;
mod csv;
mod fields;
mod lines;
mod time;

use std::io::BufRead;

use serde_json::{Map, Value};

use crate::domain::decimal;
use crate::domain::text;
use crate::domain::usage::UsageEvent;
use csv::CsvRows;
use lines::{Line, Lines};

pub(crate) use fields::{checked_text, is_column};

/// Longest line that is read, in bytes; a longer one is rejected without being kept.
pub const MAX_LINE_BYTES: usize = 1024 * 1024;

/// Name under which a row that could not be read at all keeps its text.
const UNREADABLE: &str = "unreadable";
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;
/// Longest part of such a text that is kept, in characters.
const MAX_UNREADABLE_CHARS: usize = 10_000;

/// Why a row is not a usage event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", .field.as_ref().map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct Rejected {
    /// The column or attribute; none: the row as a whole.
    pub field: Option<String>,
    /// What is wrong and what is allowed.
    pub reason: String,
    /// Whose row it is, as far as that could be read; not checked.
    pub organization: Option<String>,
}

impl Rejected {
    fn row(reason: impl Into<String>) -> Self {
        // A parser's message may repeat what stands in the row.
        let reason = text::clipped(&reason.into(), MAX_REASON_CHARS);
        Self { field: None, reason, organization: None }
    }

    fn field(field: &str, reason: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), reason: reason.into(), organization: None }
    }
}

/// Why a file is not a usage file, or could not be read on.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed; rows already given out stand.
    #[error("the usage file cannot be read after line {line}: {source}")]
    Read {
        /// The last line that was read.
        line: u64,
        /// Why.
        source: std::io::Error,
    },
    /// There is nothing in it.
    #[error(
        "the usage file is empty; it is CSV with a header line, or one CloudEvents 1.0 object per line"
    )]
    Empty,
    /// One JSON array instead of one object per line.
    #[error(
        "the usage file begins with '['; CloudEvents are read as one JSON object per line, not as an array"
    )]
    Array,
    /// The header does not name the columns.
    #[error("line {line}, the header of the usage file: {reason}")]
    Header {
        /// Its line.
        line: u64,
        /// What is wrong.
        reason: String,
    },
}

/// One row of a usage file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its line, from 1.
    pub line: u64,
    /// The event, or why it is none.
    pub event: Result<UsageEvent, Rejected>,
    /// The row as JSON, only where it was rejected.
    raw: Option<String>,
}

impl Row {
    /// The row as one JSON object that [`read_raw`] reads again; made when asked for.
    #[must_use]
    pub fn raw(&self) -> String {
        match (&self.event, &self.raw) {
            (Ok(event), _) => raw_of(event),
            (Err(_), Some(raw)) => raw.clone(),
            (Err(_), None) => "{}".to_owned(),
        }
    }
}

/// Rows of a usage file, one at a time.
#[derive(Debug)]
pub struct UsageReader<R> {
    lines: Lines<R>,
    format: Format,
    /// The first line of NDJSON, read to tell the formats apart.
    first: Option<Line>,
    failed: bool,
}

#[derive(Debug)]
enum Format {
    Csv(CsvRows),
    CloudEvents,
}

impl<R: BufRead> UsageReader<R> {
    /// Looks at the first line that is not blank and tells the format.
    ///
    /// # Errors
    /// Unreadable, empty, or a header whose columns are not understood.
    pub fn new(reader: R) -> Result<Self, FileError> {
        let mut lines = Lines::new(reader);
        let Some(line) = lines.next()? else { return Err(FileError::Empty) };
        let mut first = None;
        let format = match lines.bytes().trim_ascii_start().first() {
            Some(b'{') => {
                first = Some(line);
                Format::CloudEvents
            }
            Some(b'[') => return Err(FileError::Array),
            _ => Format::Csv(CsvRows::new(&line, lines.bytes())?),
        };
        Ok(Self { lines, format, first, failed: false })
    }

    fn row(&mut self) -> Result<Option<Row>, FileError> {
        let line = match self.first.take() {
            Some(line) => line,
            None => match self.lines.next()? {
                Some(line) => line,
                None => return Ok(None),
            },
        };
        let bytes = self.lines.bytes();
        let read = if line.too_long {
            Err((Rejected::row("the line is longer than 1 MiB"), unreadable(bytes)))
        } else {
            match &mut self.format {
                Format::Csv(rows) => rows.read(bytes),
                Format::CloudEvents => cloudevents::read_line(bytes),
            }
        };
        Ok(Some(match read {
            Ok(event) => Row { line: line.number, event: Ok(event), raw: None },
            Err((rejected, raw)) => Row { line: line.number, event: Err(rejected), raw: Some(raw) },
        }))
    }
}

impl<R: BufRead> Iterator for UsageReader<R> {
    type Item = Result<Row, FileError>;

    /// The next row that is not blank. After an error there is none.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let row = self.row();
        self.failed = row.is_err();
        row.transpose()
    }
}

/// Reads a quarantined row again, from what [`Row::raw`] or [`raw_of`] gave.
///
/// # Errors
/// As when it was first read.
pub fn read_raw(raw: &str) -> Result<UsageEvent, Rejected> {
    let Ok(Value::Object(object)) = serde_json::from_str(raw) else {
        return Err(Rejected::row("the row is not a JSON object"));
    };
    if object.contains_key(UNREADABLE) {
        return Err(Rejected::row(
            "the row could not be read at all; correct it in its file and import that again",
        ));
    }
    if object.contains_key("specversion") || !object.contains_key("meter") {
        return cloudevents::read_line(raw.as_bytes()).map_err(|(rejected, _)| rejected);
    }
    csv::read_object(&object)
}

/// An event as one JSON object that [`read_raw`] reads again: columns of the usage CSV by name.
#[must_use]
pub fn raw_of(event: &UsageEvent) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, text: &str| {
        if !text.is_empty() {
            object.insert(name.to_owned(), Value::from(text));
        }
    };
    put("id", &event.id);
    put("organization", &event.organization);
    put("at", &event.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
    put("meter", &event.meter);
    put("source", &event.source);
    put("project", &event.project);
    put("member", &event.member);
    put("environment", &event.environment);
    put("model", &event.model);
    put("supplier", &event.supplier);
    put("job", &event.job);
    for (dimension, quantity) in &event.quantities {
        put(dimension, &decimal::text(*quantity));
    }
    Value::Object(object).to_string()
}

/// What is kept of a line that is no row: its text, as far as it is text.
fn unreadable(line: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(line).chars().take(MAX_UNREADABLE_CHARS).collect();
    Value::Object(Map::from_iter([(UNREADABLE.to_owned(), Value::from(text))])).to_string()
}

#[cfg(test)]
mod tests;
