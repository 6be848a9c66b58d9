//! Usage files: every row ends accepted or rejected with its line, and quantities are what was written.

use chrono::Datelike as _;
use monthend::domain::decimal;
use monthend::domain::text::is_organization_id;
use monthend::domain::usage::UsageEvent;
use monthend::intake::usage::{FileError, Row, UsageReader, read_raw};

use super::{assert_reason, lines, plain};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A usage file of either format.
pub fn target(data: &[u8]) {
    let rows = rows(data);
    let reader = match UsageReader::new(data) {
        Ok(reader) => reader,
        Err(FileError::Empty) => return assert!(rows.is_empty()),
        Err(FileError::Header { line, reason }) => {
            assert_reason(&reason);
            return assert_eq!(line, rows[0].0);
        }
        Err(FileError::Array) => return assert!(rows[0].1.trim_ascii_start().starts_with(b"[")),
        Err(error) => panic!("bytes in memory can be read: {error}"),
    };
    let is_csv = !rows[0].1.trim_ascii_start().starts_with(b"{");
    let mut expected = rows.iter().skip(usize::from(is_csv));
    for row in reader {
        let row = row.expect("bytes in memory can be read");
        let (line, text) = expected.next().expect("no row that is not there");
        assert_eq!(row.line, *line);
        check(&row);
        if let (true, Ok(event)) = (is_csv, &row.event) {
            quantities(rows[0].1, text, event);
        }
    }
    assert_eq!(expected.next(), None, "a row was dropped");
}

/// The lines that are not blank, with their numbers.
fn rows(data: &[u8]) -> Vec<(u64, &[u8])> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(lines(data)) {
        let line =
            if number == 1 { line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line) } else { line };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.trim_ascii().is_empty() {
            rows.push((number, line));
        }
    }
    rows
}

fn check(row: &Row) {
    let raw = row.raw();
    match &row.event {
        Ok(event) => {
            sane(event);
            let again = read_raw(&raw).expect("what was taken is taken again");
            assert_eq!(&again, event);
            assert_eq!(again.content_hash(), event.content_hash());
        }
        Err(rejected) => {
            assert_reason(&rejected.reason);
            assert!(raw.starts_with('{'), "{raw:?}");
            assert!(read_raw(&raw).is_err(), "first refused, then taken: {raw}");
        }
    }
}

/// What holds of every event that is taken.
pub(super) fn sane(event: &UsageEvent) {
    assert!((1970..=2500).contains(&event.at.year()), "{}", event.at);
    assert_eq!(event.at.timestamp_subsec_nanos() % 1_000, 0);
    assert!(is_organization_id(&event.organization));
    assert!(!event.id.is_empty() && !event.meter.is_empty());
    for text in [
        &event.id,
        &event.source,
        &event.meter,
        &event.project,
        &event.member,
        &event.environment,
        &event.model,
        &event.supplier,
        &event.job,
    ] {
        assert!(text.chars().count() <= 256 && !text.contains(char::is_control), "{text:?}");
    }
    assert!(event.quantities.len() <= 100);
    for (dimension, quantity) in &event.quantities {
        assert!((1..=63).contains(&dimension.len()), "{dimension:?}");
        assert!(!quantity.is_sign_negative() && quantity.scale() <= 12, "{quantity}");
        assert!(*quantity <= decimal::parse("1000000000000000").expect("a number"), "{quantity}");
    }
}

/// The quantities of a row without quotation marks, compared with the cells.
fn quantities(header: &[u8], line: &[u8], event: &UsageEvent) {
    if header.contains(&b'"') || line.contains(&b'"') {
        return;
    }
    let cells = |line: &[u8]| -> Vec<String> {
        let cell = |cell: &[u8]| String::from_utf8_lossy(cell.trim_ascii()).into_owned();
        line.split(|byte| *byte == b',').map(cell).collect()
    };
    let (names, cells) = (cells(header), cells(line));
    assert_eq!(names.len(), cells.len());
    let mut found = 0;
    for (name, cell) in names.iter().zip(&cells) {
        if let Some(quantity) = event.quantities.get(name) {
            assert_eq!(plain(&quantity.to_string()), plain(cell), "{name}");
            found += 1;
        }
    }
    assert_eq!(found, event.quantities.len());
}
