//! Invoices as CSV. Beside the columns of every table:
//!
//! | Column | Meaning |
//! |---|---|
//! | `section` | Also `grant`, `statement`, `usage` |
//! | `key` | `grant`: its id; `statement`: name of the figure |
//! | `text` | `grant`: source; `usage`: meter |
//! | `quantity` | `usage`: events; `statement`: credits |
//! | `opening`, `granted`, `used`, `expired`, `closing` | Credits of a grant, or of all (`statement`, key `all_grants`); `used` of a `usage` row: its rated credits |
//! | `expires_at` | End of the last cycle a grant can be used in, UTC, RFC 3339; empty: never |

use chrono::{DateTime, SecondsFormat, Utc};

use super::{CsvError, Row, lines, notes, party, table, taxes, totals};
use crate::domain::invoice::{InvoiceDocument, PaymentTerms};

/// The columns that only invoices have, in order.
pub const COLUMNS: [&str; 6] = ["opening", "granted", "used", "expired", "closing", "expires_at"];

/// An invoice as CSV.
///
/// # Errors
/// Only if memory cannot be written.
pub fn render_csv(document: &InvoiceDocument) -> Result<Vec<u8>, CsvError> {
    let draft = &document.draft;
    let sums = [
        ("subtotal", draft.subtotal),
        ("tax", draft.tax),
        ("total", draft.total),
        ("prepaid", draft.prepaid),
        ("amount_due", draft.amount_due),
    ];
    let mut rows = header(document);
    rows.extend(lines(&draft.lines));
    rows.extend(taxes(&draft.tax_subtotals).chain(totals(sums)));
    rows.extend(statement(document));
    rows.extend(usage(document));
    table(&COLUMNS, rows)
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn header(document: &InvoiceDocument) -> Vec<Row> {
    let (header, draft) = (&document.header, &document.draft);
    let row = |key: &str, value: &str| Row::header(key, value);
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
    rows.extend(notes(&header.notes));
    rows
}

fn statement(document: &InvoiceDocument) -> Vec<Row> {
    let statement = &document.draft.statement;
    let mut rows: Vec<Row> = statement
        .grants
        .iter()
        .map(|grant| {
            let figures = [grant.opening, grant.granted, grant.used, grant.expired, grant.closing];
            let mut own = figures.map(|credits| credits.to_string()).to_vec();
            own.extend(grant.expires_at.map(rfc3339));
            Row::new("grant", &grant.id).text(grant.source.as_str()).cycle(grant.cycle).own(own)
        })
        .collect();
    let granted = statement.granted.to_decimal() + statement.purchased.to_decimal();
    rows.push(Row::new("statement", "all_grants").cycle(statement.cycle).own([
        statement.opening.to_string(),
        granted.normalize().to_string(),
        statement.used.to_string(),
        statement.expired.to_string(),
        statement.closing.to_string(),
    ]));
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
            Row::new("usage", "")
                .text(&used.meter)
                .cycle(used.cycle)
                .quantity(used.events.to_string(), "event")
                .own([String::new(), String::new(), used.credits.to_string()])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::sample::sample_document;
    use crate::domain::money::Money;

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
                assert!(!formula || allowed, "{cell:?} in column {index}");
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
