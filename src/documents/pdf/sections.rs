//! Sections that documents share: prose, lines, sums, notes.

use super::flow::{Align, Flow, HAIRLINE, INK, MARGIN, MUTED, Style};
use super::table::{self, Column, Row};
use crate::documents::{figures, words};
use crate::domain::invoice::{InvoiceLine, TaxSubtotal};
use crate::domain::money::{Currency, Money};
use crate::domain::text;

/// Ordinary text.
pub const TEXT: Style = Style::regular(8_500, INK);
/// Longest name of a unit that is shown; units are `credit`, `month`, `package`.
const UNIT_CHARS: usize = 16;
/// Height of a row of a sum.
const SUM_ROW: i64 = 15_000;
/// Most notes, and most lines of one.
const NOTES: (usize, usize) = (20, 8);
/// Most lines of a paragraph.
const PROSE: usize = 8;

/// A paragraph over the whole width.
pub fn prose(flow: &mut Flow<'_>, text: &str) {
    flow.y += 3_000;
    lines_of(flow, text, TEXT, PROSE);
}

/// The lines of a text; a page may end between two of them.
fn lines_of(flow: &mut Flow<'_>, text: &str, style: Style, most: usize) {
    for run in flow.lines(text, style, flow.width(), most) {
        flow.ensure(style.leading());
        flow.y += style.leading();
        let baseline = flow.y - style.size * 38 / 100;
        flow.line(&run, (MARGIN, flow.width()), baseline, style, Align::Left);
    }
}

/// The table of lines.
pub fn lines(flow: &mut Flow<'_>, lines: &[InvoiceLine], currency: Currency) {
    let columns = [
        Column::text(words::DESCRIPTION),
        Column::figures(words::QUANTITY),
        Column::text(words::UNIT),
        Column::figures(words::UNIT_PRICE),
        Column::figures(words::amount_in(currency)),
    ];
    let row = |line: &InvoiceLine| {
        let others = vec![
            figures::decimal(line.quantity),
            text::clipped(&line.unit, UNIT_CHARS),
            figures::price(line.unit_price, currency),
            figures::amount(line.amount),
        ];
        Row::new(line.description.clone(), others)
    };
    let rows: Vec<Row> = lines.iter().map(row).collect();
    table::draw(flow, &columns, &rows);
}

/// A line of a sum: label, figure, and whether it is a result.
pub struct Sum {
    label: String,
    figure: String,
    result: bool,
}

/// A part of a sum.
pub fn sum(label: impl Into<String>, figure: String) -> Sum {
    Sum { label: label.into(), figure, result: false }
}

/// What a sum comes to.
pub fn result(label: impl Into<String>, figure: String) -> Sum {
    Sum { result: true, ..sum(label, figure) }
}

/// Subtotal and tax per rate; `label` says a rate and what it applies to.
pub fn taxed(
    subtotal: Money,
    rates: &[TaxSubtotal],
    tax: Money,
    label: fn(&str, &str) -> String,
) -> Vec<Sum> {
    let mut sums = vec![sum(words::SUBTOTAL, figures::amount(subtotal))];
    for rate in rates {
        let label = label(&figures::decimal(rate.percent), &figures::amount(rate.taxable));
        sums.push(sum(label, figures::amount(rate.amount)));
    }
    if rates.is_empty() {
        sums.push(sum(words::TAX, figures::amount(tax)));
    }
    sums
}

/// The sums of a document's money.
pub fn totals(flow: &mut Flow<'_>, sums: &[Sum]) {
    flow.y += 8_000;
    sum_block(flow, sums, flow.width() * 56 / 100);
}

/// Labels and figures at the right of the page, kept together.
pub fn sum_block(flow: &mut Flow<'_>, sums: &[Sum], width: i64) {
    let count = i64::try_from(sums.len()).unwrap_or(0);
    flow.ensure(count.min(20) * SUM_ROW);
    let column = (flow.right() - width, width);
    for sum in sums {
        flow.ensure(SUM_ROW);
        let baseline = flow.y + 10_500;
        let (label, figure) = if sum.result {
            flow.canvas.rule(column.0, flow.y - 500, width, HAIRLINE);
            (Style::bold(9_000, INK), Style::bold(9_000, INK))
        } else {
            (Style { tint: MUTED, ..TEXT }, TEXT)
        };
        let taken = flow.shaping.run(&sum.figure, figure.weight).width_at(figure.size) + 10_000;
        flow.foreign(&sum.label, (column.0, width - taken), baseline, label, Align::Left);
        flow.label(&sum.figure, column, baseline, figure, Align::Right);
        flow.y += SUM_ROW;
    }
}

/// Free text at the end of a document.
pub fn notes(flow: &mut Flow<'_>, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    flow.y += 12_000;
    for note in notes.iter().take(NOTES.0) {
        lines_of(flow, note, Style::regular(8_000, MUTED), NOTES.1);
    }
}
