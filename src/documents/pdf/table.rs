//! Tables that run over pages: the header is repeated, figures are never cut.

use std::sync::Arc;

use super::flow::{Align, Flow, HAIRLINE, INK, MARGIN, MUTED, Style};
use super::fonts::Weight;
use super::shaping::Run;

/// Size of the text of a table, and the least to which wide figures may shrink it.
const SIZES: (i64, i64) = (8_500, 4_000);
/// Least width of the first column, which takes what the others leave.
const LEAST_FIRST: i64 = 105_000;
/// Most lines of a cell of the first column.
const MOST_LINES: usize = 12;

/// A column; the first one is as wide as the others allow and breaks its lines.
pub struct Column {
    pub title: String,
    pub align: Align,
}

impl Column {
    /// Text, at the left.
    pub fn text(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Left }
    }

    /// Figures, at the right.
    pub fn figures(title: impl Into<String>) -> Self {
        Self { title: title.into(), align: Align::Right }
    }
}

/// A row: its first cell, which may be a text of others, and the other cells.
pub struct Row {
    pub first: String,
    pub others: Vec<String>,
    pub bold: bool,
}

impl Row {
    /// An ordinary row.
    pub fn new(first: impl Into<String>, others: Vec<String>) -> Self {
        Self { first: first.into(), others, bold: false }
    }

    const fn weight(&self) -> Weight {
        if self.bold { Weight::Bold } else { Weight::Regular }
    }
}

/// The shaped lines of a row.
struct Lines<'a> {
    first: Vec<Arc<Run>>,
    others: &'a [Arc<Run>],
}

/// Where columns stand and how large their text is.
struct Grid {
    size: i64,
    /// Left edge and width.
    columns: Vec<(i64, i64)>,
}

/// Draws a table at the cursor.
pub fn draw(flow: &mut Flow<'_>, columns: &[Column], rows: &[Row]) {
    let shaped: Vec<Vec<Arc<Run>>> = rows
        .iter()
        .map(|row| row.others.iter().map(|cell| flow.shaping.run(cell, row.weight())).collect())
        .collect();
    let grid = fit(flow, columns, &shaped);
    for (index, (row, others)) in rows.iter().zip(&shaped).enumerate() {
        let first = first_cell(flow, row, &grid);
        let height = height(&grid, first.len());
        let with_header = if index == 0 { header_height(&grid) } else { 0 };
        let broken = !flow.fits(height + with_header);
        if broken {
            flow.new_page();
        }
        if broken || index == 0 {
            header(flow, columns, &grid);
        }
        body(flow, columns, &grid, row, &Lines { first, others });
        flow.y += height;
        flow.canvas.rule(MARGIN, flow.y, flow.width(), HAIRLINE);
    }
}

fn fit(flow: &Flow<'_>, columns: &[Column], shaped: &[Vec<Arc<Run>>]) -> Grid {
    let natural: Vec<i64> = columns
        .iter()
        .skip(1)
        .enumerate()
        .map(|(index, column)| {
            let cells = shaped.iter().filter_map(|row| row.get(index)).map(|run| run.width);
            let title = flow.shaping.run(&column.title, Weight::Regular).width * 9 / 10;
            cells.fold(title, i64::max)
        })
        .collect();
    let mut size = SIZES.0;
    let taken = |size: i64| natural.iter().map(|em| em * size / 1000 + gap(size)).sum::<i64>();
    while size > SIZES.1 && flow.width() - taken(size) < LEAST_FIRST {
        size -= 250;
    }
    let mut placed = vec![(MARGIN, flow.width() - taken(size))];
    let mut x = MARGIN + flow.width() - taken(size);
    for em in &natural {
        let width = em * size / 1000;
        x += gap(size);
        placed.push((x, width));
        x += width;
    }
    Grid { size, columns: placed }
}

const fn gap(size: i64) -> i64 {
    size * 16 / 10
}

/// Space above and below the text of a row.
const fn padding(grid: &Grid) -> i64 {
    grid.size * 42 / 100
}

fn height(grid: &Grid, lines: usize) -> i64 {
    let lines = i64::try_from(lines.max(1)).unwrap_or(1);
    lines * Style::regular(grid.size, INK).leading() + 2 * padding(grid)
}

const fn header_height(grid: &Grid) -> i64 {
    grid.size * 2
}

fn first_cell(flow: &Flow<'_>, row: &Row, grid: &Grid) -> Vec<Arc<Run>> {
    let width = grid.columns.first().map_or(0, |column| column.1);
    let style = Style { size: grid.size, weight: row.weight(), tint: INK };
    flow.lines(&row.first, style, width, MOST_LINES)
}

fn header(flow: &mut Flow<'_>, columns: &[Column], grid: &Grid) {
    let style = Style::regular(grid.size * 9 / 10, MUTED);
    flow.y += header_height(grid);
    for (column, place) in columns.iter().zip(&grid.columns) {
        flow.label(&column.title, *place, flow.y - padding(grid), style, column.align);
    }
    flow.canvas.rectangle([MARGIN, flow.y, flow.width(), 900], flow.accent);
}

fn body(flow: &mut Flow<'_>, columns: &[Column], grid: &Grid, row: &Row, lines: &Lines<'_>) {
    let style = Style { size: grid.size, weight: row.weight(), tint: INK };
    let top = flow.y + padding(grid);
    let baseline = top + style.leading() - style.size * 32 / 100;
    let mut places = columns.iter().zip(grid.columns.iter().copied());
    if let Some((_, place)) = places.next() {
        let mut y = baseline;
        for run in &lines.first {
            flow.line(run, place, y, style, Align::Left);
            y += style.leading();
        }
    }
    for ((column, place), run) in places.zip(lines.others) {
        flow.line(run, place, baseline, style, column.align);
    }
}
