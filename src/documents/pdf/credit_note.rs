//! A credit note: what it corrects and why, what is given back, and what happens to money and credits.

use rust_decimal::Decimal;

use super::cover::{Cover, Panel};
use super::flow::Flow;
use super::sections::{self, prose, result};
use super::table::{self, Column, Row};
use crate::documents::{figures, words};
use crate::domain::document::{CreditNote, CreditSettlement, GrantCredits};

/// Its frame.
pub fn cover(note: &CreditNote) -> Cover<'_> {
    let head = &note.head;
    Cover {
        title: words::CREDIT_NOTE,
        number: &head.number,
        issued_on: head.issued_on,
        subject: words::corrects(&note.corrects, note.corrects_issued_on),
        seller: &head.seller,
        buyer: &head.buyer,
        support: &head.support,
        facts: vec![
            (words::CREDIT_NOTE_NUMBER, head.number.clone()),
            (words::ISSUED_ON, words::date(head.issued_on)),
            (words::CORRECTS, note.corrects.clone()),
            (words::PERIOD, words::period(note.cycle)),
            (words::ZONE, head.zone.clone()),
            (words::ORGANIZATION, note.organization.clone()),
        ],
        panel: panel(note),
    }
}

/// What is given back, and what happens to it. A note without money gives back credits.
fn panel(note: &CreditNote) -> Panel {
    let (sentence, details) = match &note.settled {
        CreditSettlement::None => (words::NO_MONEY.to_owned(), Vec::new()),
        CreditSettlement::Offset { still_due } => {
            let left = words::still_due(&figures::money(*still_due));
            (words::offset(&note.corrects), vec![left])
        }
        CreditSettlement::Refund { label } => (words::refund(label), Vec::new()),
        CreditSettlement::Transfer => (words::TRANSFER.to_owned(), Vec::new()),
    };
    let (label, figure) = if note.total.is_zero() && !note.returned.is_empty() {
        (words::CREDITS_RETURNED, figures::decimal(sum_of(&note.returned)))
    } else {
        (words::TOTAL_CREDITED, figures::money(note.total))
    };
    let is_money = note.settled != CreditSettlement::None;
    let about = if is_money { words::SETTLEMENT } else { words::PAYMENT }.to_owned();
    Panel { label, figure, about, sentence, details }
}

/// All that follows the head.
pub fn draw(flow: &mut Flow<'_>, note: &CreditNote) {
    flow.heading(words::REASON, 30_000);
    prose(flow, &words::corrects(&note.corrects, note.corrects_issued_on));
    prose(flow, &note.reason);
    let mut sums = Vec::new();
    if !note.lines.is_empty() {
        flow.y += 14_000;
        sections::lines(flow, &note.lines, note.total.currency());
        let (subtotal, tax) = (note.subtotal, note.tax);
        sums = sections::taxed(subtotal, &note.tax_subtotals, tax, words::tax_reversed);
    }
    sums.push(result(words::TOTAL_CREDITED, figures::money(note.total)));
    sections::totals(flow, &sums);
    grants(flow, words::CREDITS_RETURNED, words::RETURNED, &note.returned);
    grants(flow, words::CREDITS_TAKEN_BACK, words::TAKEN_BACK, &note.taken_back);
    sections::notes(flow, &note.head.notes);
}

/// A table of credits by grant, with what it means.
fn grants(flow: &mut Flow<'_>, heading: &str, meaning: &str, grants: &[GrantCredits]) {
    if grants.is_empty() {
        return;
    }
    flow.heading(heading, 60_000);
    prose(flow, meaning);
    flow.y += 4_000;
    let columns = [
        Column::text(words::SOURCE),
        Column::text(words::GRANTED_IN),
        Column::figures(words::CREDITS),
        Column::figures(words::EXPIRES),
    ];
    let row = |grant: &GrantCredits| {
        let others = vec![
            grant.cycle.to_string(),
            figures::credits(grant.credits),
            words::last_day_or_never(grant.usable_until),
        ];
        Row::new(words::source(grant.source), others)
    };
    let mut rows: Vec<Row> = grants.iter().map(row).collect();
    if rows.len() > 1 {
        let others = vec![String::new(), figures::decimal(sum_of(grants)), String::new()];
        rows.push(Row { bold: true, ..Row::new(words::TOTAL, others) });
    }
    table::draw(flow, &columns, &rows);
}

fn sum_of(grants: &[GrantCredits]) -> Decimal {
    grants.iter().map(|grant| grant.credits.to_decimal()).sum()
}
