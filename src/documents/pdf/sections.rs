//! What follows the head: lines, totals, the credit statement, use by meter, notes.

use chrono_tz::Tz;

use super::flow::{Align, Flow, HAIRLINE, INK, MARGIN, MUTED, Style};
use super::table::{self, Column, Row};
use crate::documents::{figures, words};
use crate::domain::invoice::InvoiceLine;
use crate::domain::text;

const TEXT: Style = Style::regular(8_500, INK);
/// Longest name of a unit that is shown; units are `credit`, `month`, `package`.
const UNIT_CHARS: usize = 16;
/// Height of a row of a sum.
const SUM_ROW: i64 = 15_000;
/// Most notes, and most lines of one.
const NOTES: (usize, usize) = (20, 8);

/// Draws all sections.
pub fn draw(flow: &mut Flow<'_>) {
    lines(flow);
    totals(flow);
    statement(flow);
    usage(flow);
    notes(flow);
}

fn lines(flow: &mut Flow<'_>) {
    let draft = &flow.document.draft;
    let columns = [
        Column::text(words::DESCRIPTION),
        Column::figures(words::QUANTITY),
        Column::text(words::UNIT),
        Column::figures(words::UNIT_PRICE),
        Column::figures(words::amount_in(draft.currency)),
    ];
    let row = |line: &InvoiceLine| {
        let others = vec![
            figures::decimal(line.quantity),
            text::clipped(&line.unit, UNIT_CHARS),
            figures::price(line.unit_price, draft.currency),
            figures::amount(line.amount),
        ];
        Row::new(line.description.clone(), others)
    };
    let rows: Vec<Row> = draft.lines.iter().map(row).collect();
    table::draw(flow, &columns, &rows);
}

/// A line of a sum: label, figure, and whether it is a result.
struct Sum {
    label: String,
    figure: String,
    result: bool,
}

fn sum(label: impl Into<String>, figure: String) -> Sum {
    Sum { label: label.into(), figure, result: false }
}

fn totals(flow: &mut Flow<'_>) {
    let draft = &flow.document.draft;
    let mut sums = vec![sum(words::SUBTOTAL, figures::amount(draft.subtotal))];
    for tax in &draft.tax_subtotals {
        let percent = figures::decimal(tax.percent);
        let label = words::tax(&percent, &figures::amount(tax.taxable));
        sums.push(sum(label, figures::amount(tax.amount)));
    }
    if draft.tax_subtotals.is_empty() {
        sums.push(sum(words::TAX, figures::amount(draft.tax)));
    }
    sums.push(Sum { result: true, ..sum(words::TOTAL, figures::money(draft.total)) });
    if !draft.prepaid.is_zero() {
        sums.push(sum(words::PREPAID, figures::grouped(&negated(&draft.prepaid.amount_text()))));
    }
    let due = figures::money(draft.amount_due);
    sums.push(Sum { result: true, ..sum(words::AMOUNT_DUE, due) });
    flow.y += 8_000;
    sum_block(flow, &sums, flow.width() * 56 / 100);
}

fn negated(plain: &str) -> String {
    plain.strip_prefix('-').map_or_else(|| format!("-{plain}"), str::to_owned)
}

/// Labels and figures at the right of the page, kept together.
fn sum_block(flow: &mut Flow<'_>, sums: &[Sum], width: i64) {
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

fn statement(flow: &mut Flow<'_>) {
    let statement = &flow.document.draft.statement;
    flow.heading(&words::statement_of(statement.cycle), 60_000);
    if statement.grants.is_empty() {
        flow.y += 14_000;
        let column = (MARGIN, flow.width());
        flow.label(words::NO_GRANTS, column, flow.y, Style { tint: MUTED, ..TEXT }, Align::Left);
        flow.y += 6_000;
    } else {
        grants(flow);
    }
    let sums: Vec<Sum> = [
        (words::RATED, statement.rated),
        (words::DEFICIT_BROUGHT, statement.deficit_brought),
        (words::FROM_GRANTS, statement.used),
        (words::OVERAGE, statement.overage),
        (words::DEFICIT, statement.deficit),
    ]
    .into_iter()
    .filter(|(_, credits)| !credits.is_zero())
    .map(|(label, credits)| sum(label, figures::credits(credits)))
    .collect();
    flow.y += 8_000;
    sum_block(flow, &sums, flow.width() * 62 / 100);
}

fn grants(flow: &mut Flow<'_>) {
    let document = flow.document;
    let statement = &document.draft.statement;
    let zone: Tz = document.header.zone.parse().unwrap_or(Tz::UTC);
    let columns = [
        Column::text(words::SOURCE),
        Column::text(words::GRANTED_IN),
        Column::figures(words::OPENING),
        Column::figures(words::GRANTED),
        Column::figures(words::USED),
        Column::figures(words::EXPIRED),
        Column::figures(words::CLOSING),
        Column::figures(words::EXPIRES),
    ];
    let mut rows: Vec<Row> = statement
        .grants
        .iter()
        .map(|grant| {
            let figures = [grant.opening, grant.granted, grant.used, grant.expired, grant.closing];
            let mut others = vec![grant.cycle.to_string()];
            others.extend(figures.map(figures::credits));
            others.push(words::last_day(grant.expires_at, zone));
            Row::new(words::source(grant.source), others)
        })
        .collect();
    let granted = statement.granted.to_decimal() + statement.purchased.to_decimal();
    let others = vec![
        String::new(),
        figures::credits(statement.opening),
        figures::decimal(granted),
        figures::credits(statement.used),
        figures::credits(statement.expired),
        figures::credits(statement.closing),
        String::new(),
    ];
    rows.push(Row { bold: true, ..Row::new(words::TOTAL, others) });
    table::draw(flow, &columns, &rows);
}

fn usage(flow: &mut Flow<'_>) {
    let usage = &flow.document.draft.usage;
    if usage.is_empty() {
        return;
    }
    flow.heading(words::USAGE, 40_000);
    let columns = [
        Column::text(words::METER),
        Column::text(words::CYCLE),
        Column::figures(words::EVENTS),
        Column::figures(words::CREDITS),
    ];
    let rows: Vec<Row> = usage
        .iter()
        .map(|used| {
            let events = figures::grouped(&used.events.to_string());
            let others = vec![used.cycle.to_string(), events, figures::credits(used.credits)];
            Row::new(used.meter.clone(), others)
        })
        .collect();
    table::draw(flow, &columns, &rows);
}

fn notes(flow: &mut Flow<'_>) {
    let notes = &flow.document.header.notes;
    if notes.is_empty() {
        return;
    }
    flow.y += 12_000;
    let style = Style::regular(8_000, MUTED);
    for note in notes.iter().take(NOTES.0) {
        for run in flow.lines(note, style, flow.width(), NOTES.1) {
            flow.ensure(style.leading());
            flow.y += style.leading();
            let baseline = flow.y - style.size * 38 / 100;
            flow.line(&run, (MARGIN, flow.width()), baseline, style, Align::Left);
        }
    }
}
