//! The organizations file: who is billed, under which plan and contract (S34, S39, S61).

pub(super) mod fields;

use std::collections::HashMap;
use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::{BYTE_ORDER_MARK, is_well_quoted, shown};
use crate::domain::organization::Organization;

/// Columns a file must have.
const REQUIRED: [&str; 5] = ["id", "name", "billing_email", "plan", "joined_on"];
/// Columns a file may have; blank means the plan's or the general default.
const OPTIONAL: [&str; 13] = [
    "zone",
    "currency",
    "country",
    "address",
    "tax_id",
    "tax_percent",
    "language",
    "payment_method",
    "allowance",
    "rollover_cycles",
    "rollover_cap",
    "fee",
    "overage_price",
];
/// Most columns of a header line that are looked at.
const MAX_COLUMNS: usize = 1_000;
/// Largest file that is read, in bytes: about a million organizations.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Why a row is not an organization.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {}{reason}", .field.map(|field| format!("{field}: ")).unwrap_or_default())]
pub struct Rejected {
    /// The line its row begins on, from 1.
    pub line: u64,
    /// The column; none: the row as a whole.
    pub field: Option<&'static str>,
    /// What is wrong and what is allowed. Never repeats a payment method.
    pub reason: String,
}

/// Why a file is not an organizations file; no row of it was read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be read.
    #[error("the organizations file cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// Too large.
    #[error("the organizations file has more than {MAX_BYTES} bytes; split it")]
    TooLarge,
    /// It could not be read as CSV.
    #[error("the organizations file is not CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The first line does not name the columns.
    #[error("the first line of an organizations file names its columns: {0}")]
    Header(String),
}

/// A row of an organizations file: the line it begins on, from 1, and what it says.
pub type Row = (u64, Result<Organization, Rejected>);

/// An organizations file.
#[derive(Debug)]
pub struct File {
    /// The columns it has: what has no column is not said, and stays as it is stored.
    pub columns: Vec<&'static str>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A payment provider's token as it may be stored.
///
/// # Errors
/// What is wrong with it, without repeating it: it may be a card number.
pub fn token(given: &str) -> Result<String, String> {
    fields::payment_method(given.trim())
}

/// Reads a whole organizations file.
///
/// A field that cannot be used rejects its row alone. An id that an earlier row of the file has
/// already used rejects the later row.
///
/// # Errors
/// Unreadable, too large, or a header with unknown, missing or repeated columns.
pub fn read(reader: impl Read) -> Result<File, FileError> {
    let mut bytes = Vec::new();
    reader.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_BYTES {
        return Err(FileError::TooLarge);
    }
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
    let mut record = ByteRecord::new();
    if !reader.read_byte_record(&mut record)? {
        return Err(FileError::Header(format!("the file is empty; {}", expected())));
    }
    let columns = header(&record)?;
    let mut rows = Vec::new();
    let mut lines_by_id: HashMap<String, u64> = HashMap::new();
    while reader.read_byte_record(&mut record)? {
        let (text, line) = place(bytes, &record, reader.position());
        let row = quoted(text, line)
            .and_then(|()| cells(&record, &columns, line))
            .and_then(|cells| fields::organization(&cells, line))
            .and_then(|organization| {
                unique(&mut lines_by_id, &organization.id, line).map(|()| organization)
            });
        rows.push((line, row));
    }
    Ok(File { columns, rows })
}

/// The bytes of a record and the line it begins on.
pub(super) fn place<'a>(
    bytes: &'a [u8],
    record: &ByteRecord,
    end: &csv::Position,
) -> (&'a [u8], u64) {
    let offset = |position: &csv::Position| usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let start = record.position().map_or(0, offset);
    let text = bytes.get(start..offset(end).min(bytes.len())).unwrap_or_default();
    // The reader counts blank lines before a record as part of it.
    let blank = text.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    let lines = blank.filter(|byte| **byte == b'\n').count();
    let line = record.position().map_or(0, csv::Position::line);
    (text.trim_ascii_start(), line + u64::try_from(lines).unwrap_or(0))
}

/// A quotation mark that is not closed swallows what follows: such a row says how far it went.
fn quoted(text: &[u8], line: u64) -> Result<(), Rejected> {
    if is_well_quoted(text) {
        return Ok(());
    }
    let breaks = text.trim_ascii_end().split(|byte| *byte == b'\n').count() - 1;
    let last = line + u64::try_from(breaks).unwrap_or(0);
    let reason = format!(
        "a quotation mark is not closed, or has text after it; lines {line} to {last} were taken \
         as this one row"
    );
    Err(Rejected { line, field: None, reason })
}

/// The cells of one row that are not blank, trimmed, by column.
pub(crate) type Cells<'a> = HashMap<&'static str, &'a str>;

fn header(record: &ByteRecord) -> Result<Vec<&'static str>, FileError> {
    let mut columns = Vec::new();
    for cell in record.iter().take(MAX_COLUMNS) {
        let name = String::from_utf8_lossy(cell.trim_ascii());
        let known = REQUIRED.iter().chain(&OPTIONAL).find(|known| **known == name);
        let Some(known) = known else {
            let reason = format!("column {} is unknown; {}", shown(&name), expected());
            return Err(FileError::Header(reason));
        };
        if columns.contains(known) {
            return Err(FileError::Header(format!("column {known:?} is there twice")));
        }
        columns.push(*known);
    }
    let missing: Vec<&str> =
        REQUIRED.iter().filter(|name| !columns.contains(name)).copied().collect();
    if missing.is_empty() {
        Ok(columns)
    } else {
        Err(FileError::Header(format!("missing {}; {}", missing.join(", "), expected())))
    }
}

fn expected() -> String {
    format!("needed are {}, possible are {}", REQUIRED.join(", "), OPTIONAL.join(", "))
}

fn cells<'a>(
    record: &'a ByteRecord,
    columns: &[&'static str],
    line: u64,
) -> Result<Cells<'a>, Rejected> {
    if record.len() != columns.len() {
        let (cells, names) = (record.len(), columns.len());
        let reason = format!("the row has {cells} cells, the header {names}");
        return Err(Rejected { line, field: None, reason });
    }
    let mut cells = Cells::new();
    for (name, cell) in columns.iter().zip(record) {
        let text = str::from_utf8(cell).map_err(|_| Rejected {
            line,
            field: Some(name),
            reason: "the text is not UTF-8; save the file as UTF-8".to_owned(),
        })?;
        let text = text.trim();
        if !text.is_empty() {
            cells.insert(name, text);
        }
    }
    Ok(cells)
}

fn unique(lines: &mut HashMap<String, u64>, id: &str, line: u64) -> Result<(), Rejected> {
    if let Some(first) = lines.get(id) {
        let reason = format!("{id:?} is already on line {first}; an organization has one row");
        return Err(Rejected { line, field: Some("id"), reason });
    }
    lines.insert(id.to_owned(), line);
    Ok(())
}

#[cfg(test)]
mod tests;
