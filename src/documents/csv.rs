//! Invoices as CSV: the same figures as the PDF, for spreadsheets and programs.
//!
//! One flat UTF-8 table with a header row; a cell that means nothing in a row is empty.
//!
//! | Column | Meaning |
//! |---|---|
//! | `section` | What the row is about: `header`, `line`, `tax`, `total`, `grant`, `statement`, `usage`, `note` |
//! | `key` | `header`: name of the field; `line`: what it bills; `total`, `statement`: name of the figure; `grant`: its id |
//! | `text` | `header`: the value; `line`: description; `grant`: source; `usage`: meter; `note`: text |
//! | `cycle` | The month the row is about, `2026-10` |
//! | `quantity` | `line`: billed quantity; `usage`: events; `statement`: credits |
//! | `unit` | Unit of `quantity` |
//! | `unit_price` | Exact price of one unit, in `currency` |
//! | `percent` | Tax rate |
//! | `taxable` | Sum the rate applies to, in `currency` |
//! | `amount` | Money, in `currency` |
//! | `currency` | ISO 4217 code |
//! | `opening`, `granted`, `used`, `expired`, `closing` | Credits of a grant, or of all (`statement`, key `all_grants`); `used` of a `usage` row: its rated credits |
//! | `expires_at` | End of the last cycle a grant can be used in, UTC, RFC 3339; empty: never |
//!
//! Numbers are plain decimals without separators. A text that begins like a formula (`=`, `+`, `-`,
//! `@`, TAB, CR, LF) has a `'` before it; numbers never have.

use chrono::SecondsFormat;

use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::invoice::{InvoiceDocument, LineKind, Party, PaymentTerms};
use crate::domain::money::Money;
use crate::domain::text;

/// The columns, in order.
pub const COLUMNS: [&str; 17] = [
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
    "opening",
    "granted",
    "used",
    "expired",
    "closing",
    "expires_at",
];

/// Why no CSV could be made.
#[derive(Debug, thiserror::Error)]
pub enum CsvError {
    /// The table could not be written to memory.
    #[error("cannot write an invoice as CSV: {0}")]
    Write(#[from] csv::Error),
    /// The finished table could not be taken out of the writer.
    #[error("cannot finish an invoice as CSV: {0}")]
    Finish(String),
}

/// One row; only `section` is always there.
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
    /// Opening, granted, used, expired, closing.
    credits: [String; 5],
    expires_at: String,
}

impl Row {
    fn new(section: &'static str, key: impl Into<String>) -> Self {
        Self { section, key: key.into(), ..Self::default() }
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

    fn credits(self, credits: [Credits; 5]) -> Self {
        Self { credits: credits.map(|credits| credits.to_string()), ..self }
    }

    fn cells(self) -> [String; COLUMNS.len()] {
        let [opening, granted, used, expired, closing] = self.credits;
        [
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
            opening,
            granted,
            used,
            expired,
            closing,
            self.expires_at,
        ]
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

/// An invoice as CSV.
///
/// # Errors
/// Only if memory cannot be written.
pub fn render_csv(document: &InvoiceDocument) -> Result<Vec<u8>, CsvError> {
    let mut writer = csv::Writer::from_writer(Vec::with_capacity(8 * 1024));
    writer.write_record(COLUMNS)?;
    let sections = [header, lines, totals, statement, usage];
    for row in sections.into_iter().flat_map(|section| section(document)) {
        writer.write_record(row.cells())?;
    }
    writer.into_inner().map_err(|error| CsvError::Finish(error.to_string()))
}

fn header(document: &InvoiceDocument) -> Vec<Row> {
    let (header, draft) = (&document.header, &document.draft);
    let row = |key: &str, value: &str| Row::new("header", key).text(value);
    let rfc3339 = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut rows = vec![
        row("number", &header.number),
        row("issued_on", &header.issued_on.to_string()),
        row("due_on", &header.due_on.to_string()),
        row("zone", &header.zone),
        row("organization", &draft.organization),
        row("plan", &draft.plan),
        row("period", "").cycle(draft.cycle),
        row("period_starts_at", &rfc3339(draft.starts_at)),
        row("period_ends_at", &rfc3339(draft.ends_at)),
    ];
    rows.extend(party("seller", &header.seller));
    rows.extend(party("buyer", &header.buyer));
    match &header.payment {
        PaymentTerms::NothingDue => rows.push(row("payment", "nothing_due")),
        PaymentTerms::StoredMethod { label } => {
            rows.extend([row("payment", "stored_method"), row("payment_method", label)]);
        }
        PaymentTerms::BankTransfer { details } => {
            rows.push(row("payment", "bank_transfer"));
            rows.extend(details.iter().map(|line| row("payment_details", line)));
        }
    }
    rows.push(row("support", &header.support));
    rows.extend(header.notes.iter().map(|note| Row::new("note", "").text(note)));
    rows
}

fn party(who: &str, party: &Party) -> Vec<Row> {
    let row = |field: &str, value: &str| Row::new("header", format!("{who}_{field}")).text(value);
    let mut rows = vec![row("name", &party.name)];
    rows.extend(party.address.iter().map(|line| row("address", line)));
    let optional =
        [("country", &party.country), ("tax_id", &party.tax_id), ("email", &party.email)];
    rows.extend(optional.iter().filter_map(|(field, value)| value.as_ref().map(|v| row(field, v))));
    rows
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

fn lines(document: &InvoiceDocument) -> Vec<Row> {
    let lines = document.draft.lines.iter();
    lines
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

fn totals(document: &InvoiceDocument) -> Vec<Row> {
    let draft = &document.draft;
    let taxes = draft.tax_subtotals.iter().map(|tax| Row {
        percent: tax.percent.normalize().to_string(),
        taxable: tax.taxable.amount_text(),
        ..Row::new("tax", "").amount(tax.amount)
    });
    let totals = [
        ("subtotal", draft.subtotal),
        ("tax", draft.tax),
        ("total", draft.total),
        ("prepaid", draft.prepaid),
        ("amount_due", draft.amount_due),
    ];
    taxes.chain(totals.map(|(key, money)| Row::new("total", key).amount(money))).collect()
}

fn statement(document: &InvoiceDocument) -> Vec<Row> {
    let statement = &document.draft.statement;
    let mut rows: Vec<Row> = statement
        .grants
        .iter()
        .map(|grant| {
            let figures = [grant.opening, grant.granted, grant.used, grant.expired, grant.closing];
            let expires_at =
                grant.expires_at.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
            Row {
                expires_at: expires_at.unwrap_or_default(),
                ..Row::new("grant", &grant.id)
                    .text(grant.source.as_str())
                    .cycle(grant.cycle)
                    .credits(figures)
            }
        })
        .collect();
    let mut all = Row::new("statement", "all_grants").cycle(statement.cycle).credits([
        statement.opening,
        statement.granted,
        statement.used,
        statement.expired,
        statement.closing,
    ]);
    let [_, granted, ..] = &mut all.credits;
    let sum = statement.granted.to_decimal() + statement.purchased.to_decimal();
    *granted = sum.normalize().to_string();
    rows.push(all);
    let figures = [
        ("granted", statement.granted),
        ("purchased", statement.purchased),
        ("rated", statement.rated),
        ("deficit_brought", statement.deficit_brought),
        ("used", statement.used),
        ("overage", statement.overage),
        ("deficit", statement.deficit),
    ];
    rows.extend(figures.map(|(key, credits)| {
        Row::new("statement", key).cycle(statement.cycle).quantity(credits.to_string(), "credit")
    }));
    rows
}

fn usage(document: &InvoiceDocument) -> Vec<Row> {
    let usage = document.draft.usage.iter();
    usage
        .map(|used| {
            let mut row = Row::new("usage", "")
                .text(&used.meter)
                .cycle(used.cycle)
                .quantity(used.events.to_string(), "event");
            let [_, _, credits, ..] = &mut row.credits;
            *credits = used.credits.to_string();
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::sample::sample_document;

    // F87: formula cells are text, numbers stay numbers.
    #[test]
    fn formulas_are_quoted_and_negative_numbers_are_not() {
        let mut document = sample_document();
        let evil = "=HYPERLINK(\"http://x\")";
        document.header.buyer.name = evil.to_owned();
        document.draft.lines[0].description = "\t\u{202E}+1".to_owned();
        document.draft.lines[0].unit = "@unit".to_owned();
        document.draft.lines[0].amount = Money::from_minor(-5, document.draft.currency);
        document.draft.usage[0].meter = "-2+3".to_owned();
        let bytes = render_csv(&document).unwrap();
        let mut reader = csv::Reader::from_reader(bytes.as_slice());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        let find = |section: &str| rows.iter().find(|row| &row[0] == section).unwrap();
        assert_eq!(&find("line")[2], "'+1");
        assert_eq!(&find("line")[5], "'@unit");
        assert_eq!(&find("line")[9], "-0.05");
        assert_eq!(&find("usage")[2], "'-2+3");
        assert!(rows.iter().any(|row| row[2] == format!("'{evil}")));
        let text_columns = [0, 1, 2, 5];
        for row in &rows {
            for (index, cell) in row.iter().enumerate() {
                let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']);
                let number = crate::domain::decimal::parse(cell).is_ok();
                let allowed = !text_columns.contains(&index) && number;
                assert!(!formula || allowed, "{cell:?} in column {}", COLUMNS[index]);
            }
        }
    }

    #[test]
    fn the_statement_foots() {
        let bytes = render_csv(&sample_document()).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with("section,key,text,cycle,"));
        assert!(
            text.contains("statement,all_grants,,2026-10,,,,,,,,30000,151000,130000,1000,50000,\n")
        );
    }
}
