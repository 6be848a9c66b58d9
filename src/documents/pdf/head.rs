//! The head of the first page: logo, number, parties, dates, and the panel with what matters most.

use super::flow::{Align, Flow, HAIRLINE, INK, MARGIN, MUTED, PAPER, Style};
use super::logo::Logo;
use crate::documents::words;
use crate::domain::invoice::Party;
use crate::domain::text;

/// Height of logo and monogram.
const LOGO: i64 = 34_000;
const LABEL: Style = Style::regular(7_500, MUTED);
const NAME: Style = Style::bold(9_500, INK);
const TEXT: Style = Style::regular(8_500, INK);
/// Most lines of an address that are shown, each broken into at most two.
const ADDRESS_LINES: usize = 8;

/// Draws the head; the cursor is below it afterwards.
pub fn draw(flow: &mut Flow<'_>, logo: Option<&Logo>) {
    brand(flow, logo);
    let top = flow.y;
    let gap = 18_000;
    let details = 172_000;
    let party = (flow.width() - details - 2 * gap) / 2;
    let cover = flow.cover;
    let seller = self::party(flow, words::SELLER, cover.seller, (MARGIN, party), top);
    let second = (MARGIN + party + gap, party);
    let buyer = self::party(flow, words::BUYER, cover.buyer, second, top);
    let facts = facts(flow, (flow.right() - details, details), top);
    flow.y = seller.max(buyer).max(facts) + 16_000;
    panel(flow);
}

fn brand(flow: &mut Flow<'_>, logo: Option<&Logo>) {
    let cover = flow.cover;
    let title = 190_000;
    let width = flow.width() - title;
    if let Some(logo) = logo {
        logo.draw(&mut flow.canvas, [MARGIN, flow.y, width, LOGO]);
    } else {
        monogram(flow);
        let beside = LOGO + 12_000;
        let column = (MARGIN + beside, width - beside);
        let style = Style::bold(13_000, INK);
        flow.foreign(&cover.seller.name, column, flow.y + 21_500, style, Align::Left);
    }
    let column = (flow.right() - title, title);
    let style = Style::bold(21_000, flow.accent);
    flow.label(cover.title, column, flow.y + 16_500, style, Align::Right);
    let style = Style::regular(9_500, MUTED);
    flow.foreign(cover.number, column, flow.y + 32_500, style, Align::Right);
    flow.y += LOGO + 15_000;
    flow.canvas.rule(MARGIN, flow.y, flow.width(), HAIRLINE);
    flow.y += 16_000;
}

/// The seller's initial on the accent colour, for who has no logo.
fn monogram(flow: &mut Flow<'_>) {
    let name = text::cleaned(&flow.cover.seller.name);
    let initial = name.chars().find(|c| c.is_alphanumeric());
    let letter: String = initial.into_iter().flat_map(char::to_uppercase).collect();
    flow.canvas.rounded([MARGIN, flow.y, LOGO, LOGO], 8_000, flow.accent);
    let style = Style::bold(19_000, PAPER);
    let run = flow.shaping.run(&letter, style.weight);
    let x = MARGIN + (LOGO - run.width_at(style.size)) / 2;
    flow.line(&run, (x, LOGO), flow.y + 24_000, style, Align::Left);
}

/// A party from `top` down; returns where it ends.
fn party(flow: &mut Flow<'_>, label: &str, party: &Party, column: (i64, i64), top: i64) -> i64 {
    flow.label(label, column, top + 7_500, LABEL, Align::Left);
    let mut y = flow.paragraph(&party.name, column, top + 12_500, NAME, 4) + 1_500;
    let country = party.country.iter();
    for line in party.address.iter().take(ADDRESS_LINES).chain(country) {
        y = flow.paragraph(line, column, y, TEXT, 2);
    }
    let tax_id = party.tax_id.as_ref().map(|id| format!("{} {id}", words::TAX_ID));
    for line in tax_id.iter().chain(&party.email) {
        y = flow.paragraph(line, column, y, Style { tint: MUTED, ..TEXT }, 2);
    }
    y
}

/// Number, dates, period: labels at the left, values at the right.
fn facts(flow: &mut Flow<'_>, column: (i64, i64), top: i64) -> i64 {
    let cover = flow.cover;
    flow.label(words::DETAILS, column, top + 7_500, LABEL, Align::Left);
    let mut y = top + 12_500;
    for (label, value) in &cover.facts {
        y += TEXT.leading() + 1_000;
        let baseline = y - TEXT.size * 38 / 100;
        flow.label(label, column, baseline, Style { tint: MUTED, ..TEXT }, Align::Left);
        let taken = flow.shaping.run(label, TEXT.weight).width_at(TEXT.size) + 8_000;
        let rest = (column.0 + taken, column.1 - taken);
        flow.foreign(value, rest, baseline, TEXT, Align::Right);
    }
    y
}

/// The figure that matters most, and what is said about it.
fn panel(flow: &mut Flow<'_>) {
    let panel = &flow.cover.panel;
    let pad = 14_000;
    let left = flow.width() * 45 / 100;
    let right = (MARGIN + left, flow.width() - left - pad);
    let mut paragraphs = flow.lines(&panel.sentence, TEXT, right.1, 3);
    for line in panel.details.iter().take(ADDRESS_LINES) {
        paragraphs.extend(flow.lines(line, TEXT, right.1, 2));
    }
    let count = i64::try_from(paragraphs.len()).unwrap_or(0);
    let height = (count * TEXT.leading() + 16_000).max(32_000) + 2 * pad - 8_000;
    flow.ensure(height);
    let top = flow.y;
    flow.canvas.rounded([MARGIN, top, flow.width(), height], 7_000, flow.tinted(8));

    let column = (MARGIN + pad, left - 2 * pad);
    flow.label(panel.label, column, top + pad + 6_000, LABEL, Align::Left);
    let style = Style::bold(18_000, flow.accent);
    let width = flow.shaping.run(&panel.figure, style.weight).width;
    let size = if width > 0 { style.size.min(column.1 * 1000 / width) } else { style.size };
    flow.label(&panel.figure, column, top + pad + 26_000, Style { size, ..style }, Align::Left);

    flow.label(&panel.about, right, top + pad + 6_000, LABEL, Align::Left);
    let mut y = top + pad + 11_000;
    for run in paragraphs {
        y += TEXT.leading();
        flow.line(&run, right, y - TEXT.size * 38 / 100, TEXT, Align::Left);
    }
    flow.y += height + 6_000;
}
