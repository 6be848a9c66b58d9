//! Usage as CSV: a header that names the columns, one event per line.

use csv::{ByteRecord, ReaderBuilder};
use serde_json::{Map, Value};

use super::fields::{self, Draft};
use super::lines::Line;
use super::{FileError, Rejected, unreadable};
use crate::domain::usage::UsageEvent;
use crate::intake::{is_well_quoted, shown};

/// Most columns of a usage file.
const MAX_COLUMNS: usize = 1_000;

/// The columns of a file, and a record that is used again for every line.
#[derive(Debug)]
pub(super) struct CsvRows {
    columns: Vec<String>,
    record: ByteRecord,
}

impl CsvRows {
    /// From the header line.
    pub(super) fn new(line: &Line, header: &[u8]) -> Result<Self, FileError> {
        let refuse = |reason: String| FileError::Header { line: line.number, reason };
        if line.too_long {
            return Err(refuse("it is longer than 1 MiB".to_owned()));
        }
        let mut record = ByteRecord::new();
        split(header, &mut record).map_err(|reason| refuse(reason.to_owned()))?;
        if record.len() > MAX_COLUMNS {
            return Err(refuse(format!("it has more than {MAX_COLUMNS} columns")));
        }
        let mut columns: Vec<String> = Vec::new();
        for cell in &record {
            let name = String::from_utf8_lossy(cell.trim_ascii()).into_owned();
            let fixed = fields::REQUIRED.iter().chain(&fields::OPTIONAL);
            if !fixed.into_iter().any(|known| **known == *name) {
                fields::checked_dimension(&name)
                    .map_err(|reason| refuse(format!("column {reason}")))?;
            }
            if columns.contains(&name) {
                return Err(refuse(format!("column {} is there twice", shown(&name))));
            }
            columns.push(name);
        }
        let missing: Vec<&str> = fields::REQUIRED
            .into_iter()
            .filter(|name| !columns.iter().any(|column| column == name))
            .collect();
        if !missing.is_empty() {
            return Err(refuse(format!(
                "missing {}; needed are {}, possible are {}, every other column is a dimension",
                missing.join(", "),
                fields::REQUIRED.join(", "),
                fields::OPTIONAL.join(", ")
            )));
        }
        Ok(Self { columns, record })
    }

    /// One line: the event, or why not and the row as JSON.
    pub(super) fn read(&mut self, line: &[u8]) -> Result<UsageEvent, (Rejected, String)> {
        self.event(line).map_err(|mut rejected| {
            let raw = if self.record.len() == self.columns.len() && str::from_utf8(line).is_ok() {
                let object = self.object();
                rejected.organization =
                    object.get("organization").and_then(Value::as_str).map(str::to_owned);
                Value::Object(object).to_string()
            } else {
                unreadable(line)
            };
            (rejected, raw)
        })
    }

    fn event(&mut self, line: &[u8]) -> Result<UsageEvent, Rejected> {
        self.record.clear();
        if str::from_utf8(line).is_err() {
            return Err(Rejected::row("the line is not UTF-8; save the file as UTF-8"));
        }
        split(line, &mut self.record).map_err(Rejected::row)?;
        if self.record.len() != self.columns.len() {
            let (cells, names) = (self.record.len(), self.columns.len());
            return Err(Rejected::row(format!("the row has {cells} cells, the header {names}")));
        }
        let mut draft = Draft::default();
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let text = str::from_utf8(cell.trim_ascii())
                .map_err(|_| Rejected::field(column, "the text is not UTF-8"))?;
            draft.put(column, text)?;
        }
        draft.finish()
    }

    /// The row as it was written, by column; blank cells are left out, but not the meter: by it a
    /// row of CSV is known from a `CloudEvent`.
    fn object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let text = String::from_utf8_lossy(cell.trim_ascii());
            if !text.is_empty() || column == "meter" {
                object.insert(column.clone(), Value::from(text.into_owned()));
            }
        }
        object
    }
}

/// A quarantined row again, from the texts of its columns.
pub(super) fn read_object(object: &Map<String, Value>) -> Result<UsageEvent, Rejected> {
    let organization = object.get("organization").and_then(Value::as_str).map(str::to_owned);
    let mut draft = Draft::default();
    let mut read = || {
        for (column, value) in object {
            if !fields::is_column(column) {
                fields::checked_dimension(column)
                    .map_err(|reason| Rejected::field(column, reason))?;
            }
            let text =
                value.as_str().ok_or_else(|| Rejected::field(column, "the value is not a text"))?;
            draft.put(column, text)?;
        }
        std::mem::take(&mut draft).finish()
    };
    read().map_err(|rejected| Rejected { organization, ..rejected })
}

/// The cells of one line. Only a line with a quotation mark needs the CSV reader.
fn split(line: &[u8], record: &mut ByteRecord) -> Result<(), &'static str> {
    record.clear();
    if !line.contains(&b'"') {
        for cell in line.split(|byte| *byte == b',') {
            record.push_field(cell);
        }
        return Ok(());
    }
    // A text of usage may not hold a line feed, so a quoted one ends on its line: a forgotten mark must
    // not swallow the rows after it.
    if !is_well_quoted(line) {
        return Err("a quotation mark is not closed on its line, or has text after it");
    }
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(line.len().clamp(64, 4096))
        .from_reader(line);
    match reader.read_byte_record(record) {
        Ok(true) => Ok(()),
        _ => Err("the line is not CSV"),
    }
}
