//! Documents as CSV: the same figures as the PDF, for spreadsheets and programs.
//!
//! One flat UTF-8 table with a header row; a cell that means nothing in a row is empty. These columns are in
//! the table of every document; [`invoice`] and [`document`] add theirs.
//!
//! | Column | Meaning |
//! |---|---|
//! | `section` | What the row is about: `header`, `line`, `tax`, `total`, `note`, or one of the document's own |
//! | `key` | `header`: name of the field; `line`: what it bills; `total`: name of the figure |
//! | `text` | `header`: the value; `line`: description; `note`: text |
//! | `cycle` | The month the row is about, `2026-10` |
//! | `quantity` | `line`: billed quantity |
//! | `unit` | Unit of `quantity` |
//! | `unit_price` | Exact price of one unit, in `currency` |
//! | `percent` | Tax rate |
//! | `taxable` | Sum the rate applies to, in `currency` |
//! | `amount` | Money, in `currency` |
//! | `currency` | ISO 4217 code |
//!
//! Numbers are plain decimals without separators. A text that begins like a formula (`=`, `+`, `-`,
//! `@`, TAB, CR, LF) has a `'` before it; numbers never have.

pub mod document;
pub mod invoice;

pub use document::render_document_csv;
pub use invoice::render_csv;

use crate::domain::cycle::Cycle;
use crate::domain::invoice::{InvoiceLine, LineKind, Party, TaxSubtotal};
use crate::domain::money::Money;
use crate::domain::text;

/// The columns of every table, in order.
pub const COLUMNS: [&str; 11] = [
    "section",
    "key",
    "text",
    "cycle",
    "quantity",
    "unit",
    "unit_price",
    "percent",
    "taxable",
    "amount",
    "currency",
];

/// Why no CSV could be made.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The table could not be written to memory.
    #[error("cannot write a document as CSV: {0}")]
    Write(#[from] csv::Error),
    /// The finished table could not be taken out of the writer.
    #[error("cannot finish a document as CSV: {0}")]
    Finish(String),
}

/// One row; only `section` is always there. `own` are the document's own columns.
#[derive(Default)]
struct Row {
    section: &'static str,
    key: String,
    text: String,
    cycle: String,
    quantity: String,
    unit: String,
    unit_price: String,
    percent: String,
    taxable: String,
    amount: String,
    currency: String,
    own: Vec<String>,
}

impl Row {
    fn new(section: &'static str, key: impl Into<String>) -> Self {
        Self { section, key: key.into(), ..Self::default() }
    }

    fn header(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new("header", key).text(value)
    }

    fn text(self, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..self }
    }

    fn cycle(self, cycle: Cycle) -> Self {
        Self { cycle: cycle.to_string(), ..self }
    }

    fn quantity(self, quantity: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { quantity: quantity.into(), unit: unit.into(), ..self }
    }

    fn amount(self, money: Money) -> Self {
        Self { amount: money.amount_text(), currency: money.currency().code().to_owned(), ..self }
    }

    /// The first of the document's own cells; those that are left stay empty.
    fn own(self, cells: impl Into<Vec<String>>) -> Self {
        Self { own: cells.into(), ..self }
    }

    /// All cells, of which `own` are the document's.
    fn cells(self, own: usize) -> Vec<String> {
        let mut cells = vec![
            self.section.to_owned(),
            guarded(&self.key),
            guarded(&self.text),
            self.cycle,
            self.quantity,
            guarded(&self.unit),
            self.unit_price,
            self.percent,
            self.taxable,
            self.amount,
            self.currency,
        ];
        cells.extend(self.own);
        cells.resize(COLUMNS.len() + own, String::new());
        cells
    }
}

/// A text that no spreadsheet takes for a formula, cleaned and clipped as on the page.
fn guarded(foreign: &str) -> String {
    let clean = text::clipped(foreign, text::MAX_NAME_CHARS);
    if clean.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) {
        format!("'{clean}")
    } else {
        clean
    }
}

/// A table of these rows, with the document's own columns last.
fn table(own: &[&str], rows: impl IntoIterator<Item = Row>) -> Result<Vec<u8>, CsvError> {
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(8 * 1024));
    writer.write_record(COLUMNS.iter().chain(own))?;
    for row in rows {
        writer.write_record(row.cells(own.len()))?;
    }
    writer.into_inner().map_err(|error| CsvError::Finish(error.to_string()))
}

fn party(who: &str, party: &Party) -> Vec<Row> {
    let row = |field: &str, value: &str| Row::header(format!("{who}_{field}"), value);
    let mut rows = vec![row("name", &party.name)];
    rows.extend(party.address.iter().map(|line| row("address", line)));
    let optional =
        [("country", &party.country), ("tax_id", &party.tax_id), ("email", &party.email)];
    rows.extend(optional.iter().filter_map(|(field, value)| value.as_ref().map(|v| row(field, v))));
    rows
}

fn notes(notes: &[String]) -> impl Iterator<Item = Row> {
    notes.iter().map(|note| Row::new("note", "").text(note))
}

const fn kind(kind: LineKind) -> &'static str {
    match kind {
        LineKind::PlanFee => "plan_fee",
        LineKind::Overage => "overage",
        LineKind::PriorCycle => "prior_cycle",
        LineKind::Purchase => "purchase",
        LineKind::Correction => "correction",
    }
}

fn lines(lines: &[InvoiceLine]) -> Vec<Row> {
    lines
        .iter()
        .map(|line| Row {
            unit_price: line.unit_price.normalize().to_string(),
            ..Row::new("line", kind(line.kind))
                .text(&line.description)
                .cycle(line.cycle)
                .quantity(line.quantity.normalize().to_string(), &line.unit)
                .amount(line.amount)
        })
        .collect()
}

fn taxes(rates: &[TaxSubtotal]) -> impl Iterator<Item = Row> {
    rates.iter().map(|tax| Row {
        percent: tax.percent.normalize().to_string(),
        taxable: tax.taxable.amount_text(),
        ..Row::new("tax", "").amount(tax.amount)
    })
}

fn totals<const N: usize>(totals: [(&str, Money); N]) -> impl Iterator<Item = Row> {
    totals.into_iter().map(|(key, money)| Row::new("total", key).amount(money))
}
