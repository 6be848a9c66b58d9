//! The flow of a document down its pages: a cursor, page breaks, running head and foot.

use std::sync::Arc;

use super::Paper;
use super::canvas::{Canvas, Drawn, Tint};
use super::cover::Cover;
use super::fonts::Weight;
use super::shaping::{Run, Shaping};
use super::wrap;
use crate::documents::words;

/// Space around the page, in milli-points.
pub const MARGIN: i64 = 50_000;
/// Where the first page begins.
const TOP: i64 = 44_000;
/// What the foot of a page takes, below the flow.
const FOOT: i64 = 58_000;
/// Where the flow begins on pages after the first.
const BELOW_HEAD: i64 = 76_000;

/// Text.
pub const INK: Tint = [0x1B, 0x1F, 0x27];
/// Labels and side notes.
pub const MUTED: Tint = [0x6A, 0x72, 0x80];
/// Rules.
pub const HAIRLINE: Tint = [0xDD, 0xE1, 0xE7];
/// White paper.
pub const PAPER: Tint = [0xFF; 3];

/// Size in milli-points, weight and colour of a text.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub size: i64,
    pub weight: Weight,
    pub tint: Tint,
}

impl Style {
    /// Regular weight.
    pub const fn regular(size: i64, tint: Tint) -> Self {
        Self { size, weight: Weight::Regular, tint }
    }

    /// Bold weight.
    pub const fn bold(size: i64, tint: Tint) -> Self {
        Self { size, weight: Weight::Bold, tint }
    }

    /// Distance of baselines.
    pub const fn leading(self) -> i64 {
        self.size * 138 / 100
    }
}

/// Where a line stands in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A document in the making.
pub struct Flow<'a> {
    pub canvas: Canvas<'a>,
    pub shaping: &'a Shaping,
    pub cover: &'a Cover<'a>,
    /// Colour of headings.
    pub accent: Tint,
    /// The upper edge of what comes next.
    pub y: i64,
    size: (i64, i64),
}

impl<'a> Flow<'a> {
    /// A first, empty page.
    pub fn new(shaping: &'a Shaping, paper: Paper, accent: Tint, cover: &'a Cover<'a>) -> Self {
        let size = paper.size();
        let mut canvas = Canvas::new(&shaping.fonts, size.1);
        canvas.start_page();
        Self { canvas, shaping, cover, accent, y: TOP, size }
    }

    /// Width between the margins.
    pub const fn width(&self) -> i64 {
        self.size.0 - 2 * MARGIN
    }

    /// The right margin.
    pub const fn right(&self) -> i64 {
        self.size.0 - MARGIN
    }

    /// The accent colour, diluted to `percent` of it.
    pub fn tinted(&self, percent: u32) -> Tint {
        self.accent.map(|channel| {
            let mixed = u32::from(channel) * percent + 255 * (100 - percent);
            u8::try_from(mixed / 100).unwrap_or(u8::MAX)
        })
    }

    /// Does a block of this height fit on the page?
    pub const fn fits(&self, height: i64) -> bool {
        self.y + height <= self.size.1 - FOOT
    }

    /// Starts a page if a block of this height does not fit on this one.
    pub fn ensure(&mut self, height: i64) {
        if !self.fits(height) {
            self.new_page();
        }
    }

    /// Starts a page with its running head.
    pub fn new_page(&mut self) {
        self.canvas.start_page();
        let cover = self.cover;
        let half = self.width() / 2;
        let style = Style::bold(8_000, INK);
        let number = words::numbered(cover.title, cover.number);
        self.foreign(&number, (MARGIN, half), MARGIN + 8_000, style, Align::Left);
        let style = Style::regular(8_000, MUTED);
        let column = (MARGIN + half, half);
        self.foreign(&cover.buyer.name, column, MARGIN + 8_000, style, Align::Right);
        self.canvas.rule(MARGIN, MARGIN + 14_500, self.width(), HAIRLINE);
        self.y = BELOW_HEAD;
    }

    /// Draws a shaped line in a column (left edge, width).
    pub fn line(
        &mut self,
        run: &Arc<Run>,
        (x, width): (i64, i64),
        baseline: i64,
        style: Style,
        align: Align,
    ) {
        let x = match align {
            Align::Left => x,
            Align::Right => x + width - run.width_at(style.size),
        };
        self.canvas.text(x, baseline, run, style.size, style.tint);
    }

    /// Draws a text of ours.
    pub fn label(&mut self, text: &str, column: (i64, i64), y: i64, style: Style, align: Align) {
        let run = self.shaping.run(text, style.weight);
        self.line(&run, column, y, style, align);
    }

    /// Draws a text of others on one line: smaller if it is long, cut if it is too long for that.
    pub fn foreign(&mut self, text: &str, column: (i64, i64), y: i64, style: Style, align: Align) {
        let mut size = style.size;
        let natural = self.lines(text, style, i64::MAX / 2_000, 1);
        let width = natural.first().map_or(0, |run| run.width);
        while size > style.size * 7 / 10 && width * size / 1000 > column.1 {
            size -= 250;
        }
        let style = Style { size, ..style };
        for run in self.lines(text, style, column.1, 1) {
            self.line(&run, column, y, style, align);
        }
    }

    /// Breaks a text of others into lines.
    pub fn lines(&self, text: &str, style: Style, width: i64, most: usize) -> Vec<Arc<Run>> {
        wrap::wrapped(self.shaping, text, (style.weight, style.size), width, most)
    }

    /// Draws a paragraph of others from `y` (its upper edge) down; returns where it ends.
    pub fn paragraph(
        &mut self,
        text: &str,
        column: (i64, i64),
        mut y: i64,
        style: Style,
        most: usize,
    ) -> i64 {
        for run in self.lines(text, style, column.1, most) {
            y += style.leading();
            self.line(&run, column, y - style.size * 38 / 100, style, Align::Left);
        }
        y
    }

    /// A heading of a section; it stays with `follow` of what comes below.
    pub fn heading(&mut self, text: &str, follow: i64) {
        self.ensure(36_000 + follow);
        self.y += 26_000;
        let style = Style::bold(11_000, self.accent);
        let column = (MARGIN, self.width());
        self.label(text, column, self.y, style, Align::Left);
        self.y += 6_000;
    }

    /// Writes the foot of every page.
    pub fn finish(mut self) -> Drawn {
        let count = self.canvas.drawn.pages.len();
        let support = format!("{} {}", words::SUPPORT, self.cover.support);
        let y = self.size.1 - 34_000;
        let style = Style::regular(7_500, MUTED);
        let side = self.width() * 3 / 4;
        for index in 0..count {
            self.canvas.reopen_page(index);
            self.canvas.rule(MARGIN, y - 14_000, self.width(), HAIRLINE);
            self.foreign(&support, (MARGIN, side), y, style, Align::Left);
            let page = words::page(index + 1, count);
            self.label(&page, (MARGIN, self.width()), y, style, Align::Right);
        }
        self.canvas.drawn
    }
}
