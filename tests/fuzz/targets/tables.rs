//! Documents as CSV: they read back as they were written, texts are no formulas and numbers stay numbers (F87).

use csv::StringRecord;
use monthend::documents::csv::{render_csv, render_document_csv};
use monthend::documents::sample::{sample_document, sample_receipt};
use monthend::domain::document::Document;
use monthend::domain::money::{Currency, Money};
use monthend::domain::text;

/// Places of columns: text, unit, amount.
const TEXTS: [usize; 4] = [0, 1, 2, 5];
const AMOUNT: usize = 9;

/// An amount in the first eight bytes, then a text for each line: name, description, unit, meter, note, label.
pub fn target(data: &[u8]) {
    let (amount, texts) = data.split_at_checked(8).unwrap_or((&[0; 8], data));
    let minor = i64::from_be_bytes(amount.try_into().expect("eight bytes"));
    let texts = String::from_utf8_lossy(texts);
    let mut texts = texts.split('\n').map(str::to_owned);
    let mut next = || texts.next().unwrap_or_default();
    let usd: Currency = "USD".parse().expect("a currency");
    let mut document = sample_document();
    let (name, description, unit) = (next(), next(), next());
    document.header.buyer.name.clone_from(&name);
    document.draft.lines[0].description.clone_from(&description);
    document.draft.lines[0].unit = unit;
    document.draft.lines[0].amount = Money::from_minor(minor, usd);
    document.draft.usage[0].meter = next();
    document.header.notes = vec![next()];
    let rows = rows(&render_csv(&document).expect("memory"));
    let line = rows.iter().find(|row| &row[0] == "line").expect("a line");
    assert_eq!(&line[AMOUNT], document.draft.lines[0].amount.amount_text());
    assert_eq!(Money::parse(&line[AMOUNT], usd), Ok(Money::from_minor(minor, usd)));
    assert_eq!(line[2], guarded(&description));
    let buyer = rows.iter().find(|row| &row[1] == "buyer_name").expect("a buyer");
    assert_eq!(buyer[2], guarded(&name));
    let mut receipt = sample_receipt();
    if let Document::Receipt(receipt) = &mut receipt {
        receipt.paid_with = next();
        receipt.lines[0].description = description;
    }
    self::rows(&render_document_csv(&receipt).expect("memory"));
}

/// The rows of a table, all as long as its head and without a formula.
fn rows(bytes: &[u8]) -> Vec<StringRecord> {
    let mut reader = csv::Reader::from_reader(bytes);
    let rows: Result<Vec<StringRecord>, csv::Error> = reader.records().collect();
    let rows = rows.expect("a table");
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
            let number = super::plain(cell).is_some() && !TEXTS.contains(&column);
            assert!(!formula || number, "{cell:?} in column {column}");
            assert!(!cell.contains(char::is_control), "{cell:?}");
        }
    }
    rows
}

/// A text as it stands in a cell.
fn guarded(given: &str) -> String {
    let clean = text::clipped(given, text::MAX_NAME_CHARS);
    let mark = if clean.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("{mark}{clean}")
}
