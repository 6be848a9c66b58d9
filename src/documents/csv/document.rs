//! Receipts and credit notes as CSV. Beside the columns of every table:
//!
//! | Column | Meaning |
//! |---|---|
//! | `section` | Also `bought`, `returned`, `taken_back`: credits |
//! | `key` | `returned`, `taken_back`: id of the grant |
//! | `text` | `returned`, `taken_back`: source of the grant |
//! | `credits` | How many |
//! | `usable_until` | The last day they can be used; empty: they never expire |

use super::{CsvError, Row, lines, notes, party, table, taxes, totals};
use crate::domain::cycle::Cycle;
use crate::domain::document::{
    CreditNote, CreditSettlement, Document, DocumentHead, GrantCredits, Receipt,
};

/// The columns that receipts and credit notes have beside those of every table, in order.
pub const COLUMNS: [&str; 2] = ["credits", "usable_until"];

/// A receipt or a credit note as CSV.
///
/// # Errors
/// Only if memory cannot be written.
pub fn render_document_csv(document: &Document) -> Result<Vec<u8>, CsvError> {
    let rows = match document {
        Document::Receipt(receipt) => self::receipt(document, receipt),
        Document::CreditNote(note) => credit_note(document, note),
    };
    table(&COLUMNS, rows)
}

fn receipt(document: &Document, receipt: &Receipt) -> Vec<Row> {
    let mut rows = header(document, &receipt.organization, receipt.cycle);
    rows.extend([
        Row::header("purchase", &receipt.purchase),
        Row::header("paid_on", receipt.paid_on.to_string()),
        Row::header("paid_with", &receipt.paid_with),
    ]);
    rows.extend(parties(&receipt.head));
    rows.extend(lines(&receipt.lines));
    rows.extend(taxes(&receipt.tax_subtotals));
    rows.extend(totals([
        ("subtotal", receipt.subtotal),
        ("tax", receipt.tax),
        ("total", receipt.total),
    ]));
    let until = receipt.usable_until.map(|day| day.to_string()).unwrap_or_default();
    let bought = Row::new("bought", "").cycle(receipt.cycle);
    rows.push(bought.own([receipt.credits.to_string(), until]));
    rows
}

fn credit_note(document: &Document, note: &CreditNote) -> Vec<Row> {
    let mut rows = header(document, &note.organization, note.cycle);
    rows.extend([
        Row::header("corrects", &note.corrects),
        Row::header("corrects_issued_on", note.corrects_issued_on.to_string()),
        Row::header("reason", &note.reason),
    ]);
    let settled = match &note.settled {
        CreditSettlement::None => "none",
        CreditSettlement::Offset { .. } => "offset",
        CreditSettlement::Refund { .. } => "refund",
        CreditSettlement::Transfer => "transfer",
    };
    rows.push(Row::header("settled", settled));
    if let CreditSettlement::Refund { label } = &note.settled {
        rows.push(Row::header("refunded_to", label));
    }
    rows.extend(parties(&note.head));
    rows.extend(lines(&note.lines));
    rows.extend(taxes(&note.tax_subtotals));
    rows.extend(totals([("subtotal", note.subtotal), ("tax", note.tax), ("total", note.total)]));
    if let CreditSettlement::Offset { still_due } = note.settled {
        rows.extend(totals([("still_due", still_due)]));
    }
    rows.extend(credits("returned", &note.returned));
    rows.extend(credits("taken_back", &note.taken_back));
    rows
}

fn header(document: &Document, organization: &str, cycle: Cycle) -> Vec<Row> {
    let head = document.head();
    vec![
        Row::header("document", document.kind()),
        Row::header("number", &head.number),
        Row::header("issued_on", head.issued_on.to_string()),
        Row::header("zone", &head.zone),
        Row::header("organization", organization),
        Row::header("period", "").cycle(cycle),
    ]
}

fn parties(head: &DocumentHead) -> Vec<Row> {
    let mut rows = party("seller", &head.seller);
    rows.extend(party("buyer", &head.buyer));
    rows.push(Row::header("support", &head.support));
    rows.extend(notes(&head.notes));
    rows
}

fn credits(section: &'static str, grants: &[GrantCredits]) -> impl Iterator<Item = Row> {
    grants.iter().map(move |grant| {
        let until = grant.usable_until.map(|day| day.to_string()).unwrap_or_default();
        Row::new(section, &grant.grant)
            .text(grant.source.as_str())
            .cycle(grant.cycle)
            .own([grant.credits.to_string(), until])
    })
}
