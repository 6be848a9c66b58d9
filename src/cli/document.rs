//! `invoice show` of a receipt or a credit note, and what `invoice credit` says.

use anyhow::Result;
use serde_json::{Value, json};

use super::invoice::{lines_json, lines_table};
use super::output::{Output, path};
use crate::app::App;
use crate::domain::document::{CreditNote, CreditSettlement, Document, GrantCredits, Receipt};
use crate::services::documents::{self, Shown};
use crate::storage::refunds::Refund;

/// Prints the receipt or credit note of a number. False: no such document has it.
pub(super) async fn print(app: &App, number: &str, output: &Output) -> Result<bool> {
    let Some(shown) = documents::show(app, number).await? else { return Ok(false) };
    let (object, mut text) = match &shown.document {
        Document::CreditNote(note) => (note_json(&shown, note)?, note_text(&shown, note)),
        Document::Receipt(receipt) => {
            (receipt_json(&shown, receipt), receipt_text(&shown, receipt))
        }
    };
    let (Value::Object(mut fields), head) = (object, shown.document.head()) else {
        return Ok(true);
    };
    let file = |kind: &str| {
        let found = shown.files.iter().find(|file| file.kind == kind);
        found.map(|file| path(&app.documents().join(&file.path)))
    };
    fields.insert("number".to_owned(), json!(head.number));
    fields.insert("kind".to_owned(), json!(shown.document.kind()));
    fields.insert("organization".to_owned(), json!(shown.organization));
    fields.insert("cycle".to_owned(), json!(shown.cycle));
    fields.insert("issued_on".to_owned(), json!(head.issued_on));
    for kind in ["pdf", "csv"] {
        let place = file(kind);
        text.extend(place.as_ref().map(|place| format!("\n{place}")));
        fields.insert(kind.to_owned(), json!(place));
    }
    output.result(&Value::Object(fields), || text);
    Ok(true)
}

fn note_json(shown: &Shown, note: &CreditNote) -> Result<Value> {
    let refunds = shown
        .refunds
        .iter()
        .map(|refund| {
            Ok(json!({"method": refund.method, "state": refund.state, "amount": refund.money()?,
                "returned": refund.returned_at.is_some(), "message": refund.message}))
        })
        .collect::<Result<Vec<Value>>>()?;
    Ok(json!({"credit_note": note.head.number, "corrects": note.corrects, "reason": note.reason,
        "subtotal": note.subtotal, "tax": note.tax, "total": note.total, "lines": lines_json(&note.lines),
        "settled": note.settled, "refunds": refunds, "returned": note.returned, "taken_back": note.taken_back}))
}

fn receipt_json(shown: &Shown, receipt: &Receipt) -> Value {
    json!({"purchase": receipt.purchase, "subtotal": receipt.subtotal, "tax": receipt.tax, "total": receipt.total,
        "lines": lines_json(&receipt.lines), "paid_on": receipt.paid_on, "paid_with": receipt.paid_with,
        "credits": receipt.credits, "usable_until": receipt.usable_until,
        "credit_notes": credit_notes_json(&shown.credit_notes)})
}

/// Credit notes of an invoice or a receipt.
pub(super) fn credit_notes_json(notes: &[CreditNote]) -> Value {
    let note = |note: &CreditNote| {
        json!({"number": note.head.number, "issued_on": note.head.issued_on, "subtotal": note.subtotal,
            "tax": note.tax, "total": note.total, "reason": note.reason})
    };
    notes.iter().map(note).collect()
}

/// Credit notes of an invoice or a receipt, a line each.
pub(super) fn credit_notes_text(notes: &[CreditNote]) -> String {
    let line = |note: &CreditNote| {
        let CreditNote { head, total, reason, .. } = note;
        format!("\ncredited {total} by {} on {}: {reason}", head.number, head.issued_on)
    };
    notes.iter().map(line).collect()
}

fn note_text(shown: &Shown, note: &CreditNote) -> String {
    let number = &note.head.number;
    let open = shown.refunds.iter().any(|refund| !refund.is_final());
    let arrived = shown.refunds.iter().any(Refund::has_arrived);
    let by_transfer = format!("transfer it, then `refund record {number}`");
    let what = match &note.settled {
        CreditSettlement::None => "no money moves".to_owned(),
        CreditSettlement::Offset { still_due } => format!("it left {still_due} to pay"),
        _ if arrived && !open => "the money has gone back".to_owned(),
        CreditSettlement::Refund { .. } if shown.refund_failed() => {
            format!("the provider gives no refund: {by_transfer}")
        }
        CreditSettlement::Refund { label } => format!("the money goes back to {label}"),
        CreditSettlement::Transfer => format!("the money waits for you: {by_transfer}"),
    };
    let mut text = format!(
        "Credit note {number} for {} of {}, issued on {}: {} with tax; {what}.\nReason: {}\n",
        note.corrects, shown.organization, note.head.issued_on, note.total, note.reason
    );
    if !note.lines.is_empty() {
        text.push_str(&format!("{}\n  tax {}\n", lines_table(&note.lines), note.tax));
    }
    let credits = |what: &str, all: &[GrantCredits]| -> String {
        let one = |grant: &GrantCredits| {
            format!("  {} credits {what} (granted in {})\n", grant.credits, grant.cycle)
        };
        all.iter().map(one).collect()
    };
    text.push_str(&credits("returned", &note.returned));
    text.push_str(&credits("taken back", &note.taken_back));
    text.trim_end().to_owned()
}

fn receipt_text(shown: &Shown, receipt: &Receipt) -> String {
    let until = receipt.usable_until.map(|day| format!(", usable until {day}")).unwrap_or_default();
    let credited = credit_notes_text(&shown.credit_notes);
    format!(
        "Receipt {} of {}, issued on {}: {} credits for {} with tax, paid on {} with {}{until}.\n{}\n  tax {}{credited}",
        receipt.head.number,
        shown.organization,
        receipt.head.issued_on,
        receipt.credits,
        receipt.total,
        receipt.paid_on,
        receipt.paid_with,
        lines_table(&receipt.lines),
        receipt.tax
    )
}
