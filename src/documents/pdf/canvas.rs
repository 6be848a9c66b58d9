//! Pages as PDF content: operators of ISO 32000-1, clauses 8 and 9. Positions are milli-points from the top left
//! corner, and stay whole numbers up to the bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use printpdf::FontId;
use subsetter::GlyphRemapper;

use super::fonts::{FontNumber, FontSet};
use super::shaping::{Glyph, Run, Stands};

/// A colour of the page.
pub type Tint = [u8; 3];

/// A font as one document uses it: which codes, how wide, standing for what.
#[derive(Default)]
pub struct UsedFont {
    /// Code of each character that is written as text.
    pub codes: BTreeMap<u32, u16>,
    /// Width of each used code, in thousandths of an em.
    pub widths: BTreeMap<u16, u16>,
    /// Glyphs of the document's own subset; unused for a shared one.
    pub glyphs: GlyphRemapper,
    /// What glyphs stand for that are not written as text.
    pub stands: HashMap<u16, Box<str>>,
}

/// A font of the set, or rather its shared subset or the document's own one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FontKey {
    pub font: FontNumber,
    pub shared: bool,
}

impl FontKey {
    /// Its name in the page's resources. Never `F1`, which would be a built-in font.
    pub fn id(self) -> FontId {
        FontId(format!("{}{}", if self.shared { 'S' } else { 'D' }, self.font))
    }
}

/// All pages of a document and the fonts they use.
pub struct Drawn {
    /// The content of each page, not packed.
    pub pages: Vec<Vec<u8>>,
    pub fonts: BTreeMap<FontKey, UsedFont>,
    pub missing: BTreeSet<char>,
}

/// Draws on the last page.
pub struct Canvas<'a> {
    set: &'a FontSet,
    height: i64,
    pub drawn: Drawn,
    page: usize,
    state: State,
}

/// What the page's operations have set so far; repeating it would only cost bytes.
#[derive(Default, Clone)]
struct State {
    font: Option<(FontKey, i64)>,
    fill: Option<Tint>,
}

/// Milli-points as points.
#[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "lopdf takes floats")]
pub fn points(milli: i64) -> f32 {
    milli as f32 / 1000.0
}

/// Writes a number of thousandths as a decimal: 12345 is `12.345`, 12000 is `12`.
fn number(out: &mut Vec<u8>, milli: i64) {
    if milli < 0 {
        out.push(b'-');
    }
    let (mut whole, mut fraction) = (milli.unsigned_abs() / 1000, milli.unsigned_abs() % 1000);
    let mut digits = [0_u8; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = digit(whole);
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
    if fraction > 0 {
        out.push(b'.');
        while fraction > 0 {
            out.push(digit(fraction / 100));
            fraction = fraction % 100 * 10;
        }
    }
}

const fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}

impl<'a> Canvas<'a> {
    /// No page yet.
    pub fn new(set: &'a FontSet, height: i64) -> Self {
        let drawn = Drawn { pages: Vec::new(), fonts: BTreeMap::new(), missing: BTreeSet::new() };
        Self { set, height, drawn, page: 0, state: State::default() }
    }

    /// Starts a page and draws on it from now on.
    pub fn start_page(&mut self) {
        self.page = self.drawn.pages.len();
        self.drawn.pages.push(Vec::with_capacity(16 * 1024));
        self.state = State::default();
    }

    /// Goes back to a page, to add what is known only at the end.
    pub fn reopen_page(&mut self, index: usize) {
        self.page = index;
        self.state = State::default();
    }

    /// The content of the page that is drawn on.
    fn out(&mut self) -> &mut Vec<u8> {
        if self.drawn.pages.is_empty() {
            self.start_page();
        }
        let last = self.drawn.pages.len() - 1;
        &mut self.drawn.pages[self.page.min(last)]
    }

    /// Writes operands, each in thousandths, and their operator.
    fn op(&mut self, operands: &[i64], operator: &str) {
        let out = self.out();
        for operand in operands {
            number(out, *operand);
            out.push(b' ');
        }
        out.extend_from_slice(operator.as_bytes());
        out.push(b'\n');
    }

    fn fill(&mut self, tint: Tint) {
        if self.state.fill != Some(tint) {
            self.state.fill = Some(tint);
            let [r, g, b] = tint.map(|channel| (i64::from(channel) * 1000 + 127) / 255);
            self.op(&[r, g, b], "rg");
        }
    }

    /// A filled rectangle; `y` is its upper edge.
    pub fn rectangle(&mut self, [x, y, width, height]: [i64; 4], tint: Tint) {
        self.fill(tint);
        self.op(&[x, self.height - y - height, width, height], "re");
        self.op(&[], "f");
    }

    /// A filled rectangle with round corners.
    pub fn rounded(&mut self, [x, y, width, height]: [i64; 4], radius: i64, tint: Tint) {
        self.fill(tint);
        // A quarter circle as a Bézier curve: its handles are 0.5523 of the radius.
        let near = radius - radius * 5_523 / 10_000;
        let (right, bottom) = (x + width, y + height);
        let corners = [
            [(x, y + radius), (x, y + near), (x + near, y), (x + radius, y)],
            [(right - radius, y), (right - near, y), (right, y + near), (right, y + radius)],
            [
                (right, bottom - radius),
                (right, bottom - near),
                (right - near, bottom),
                (right - radius, bottom),
            ],
            [(x + radius, bottom), (x + near, bottom), (x, bottom - near), (x, bottom - radius)],
        ];
        for (index, [from, one, two, to]) in corners.into_iter().enumerate() {
            let up = |(x, y): (i64, i64)| [x, self.height - y];
            let ([fx, fy], [ax, ay], [bx, by], [tx, ty]) = (up(from), up(one), up(two), up(to));
            self.op(&[fx, fy], if index == 0 { "m" } else { "l" });
            self.op(&[ax, ay, bx, by, tx, ty], "c");
        }
        self.op(&[], "h f");
    }

    /// A thin line from left to right.
    pub fn rule(&mut self, x: i64, y: i64, width: i64, tint: Tint) {
        self.rectangle([x, y, width, 600], tint);
    }

    /// An image; `y` is its upper edge.
    pub fn image(&mut self, id: &str, [x, y, width, height]: [i64; 4]) {
        self.op(&[], "q");
        self.op(&[width, 0, 0, height, x, self.height - y - height], "cm");
        self.out().extend_from_slice(format!("/{id} Do\nQ\n").as_bytes());
    }

    /// A line of text, its baseline at `y`, at a size in milli-points.
    pub fn text(&mut self, x: i64, y: i64, run: &Arc<Run>, size: i64, tint: Tint) {
        self.drawn.missing.extend(run.missing.iter().copied());
        if run.glyphs.is_empty() {
            return;
        }
        self.fill(tint);
        self.op(&[], "BT");
        self.op(&[x, self.height - y], "Td");
        let mut shown = Shown::default();
        let mut rise = 0;
        for glyph in &run.glyphs {
            let key = self.key(glyph);
            if self.state.font != Some((key, size)) {
                shown.end(self.out());
                self.state.font = Some((key, size));
                self.out().extend_from_slice(format!("/{} ", key.id().0).as_bytes());
                self.op(&[size], "Tf");
            }
            if glyph.dy != rise {
                shown.end(self.out());
                rise = glyph.dy;
                self.op(&[i64::from(rise) * size / 1000], "Ts");
            }
            let code = self.note(key, glyph);
            let out = self.out();
            shown.move_left(out, -glyph.dx);
            shown.code(out, code);
            shown.move_left(out, glyph.dx - glyph.kern);
        }
        shown.end(self.out());
        if rise != 0 {
            self.op(&[0], "Ts");
        }
        self.op(&[], "ET");
    }

    fn key(&self, glyph: &Glyph) -> FontKey {
        let shared = self.set.font(glyph.font).shared.as_ref();
        FontKey {
            font: glyph.font,
            shared: shared.is_some_and(|shared| shared.code(glyph.id).is_some()),
        }
    }

    /// Notes that the document uses a glyph, and what it stands for; gives its code.
    fn note(&mut self, key: FontKey, glyph: &Glyph) -> u16 {
        let used = self.drawn.fonts.entry(key).or_default();
        let shared = self.set.font(key.font).shared.as_ref().filter(|_| key.shared);
        let code = match shared {
            Some(shared) => shared.code(glyph.id).unwrap_or(0),
            None => used.glyphs.remap(glyph.id),
        };
        used.widths.insert(code, glyph.width);
        match &glyph.stands {
            Stands::One(c) if *used.codes.entry(u32::from(*c)).or_insert(code) == code => {}
            other => {
                let text = match other {
                    Stands::One(c) => c.to_string().into_boxed_str(),
                    Stands::Many(text) => text.clone(),
                    Stands::Nothing => Box::default(),
                };
                // The first characters a glyph stood for stay: one glyph can be copied one way.
                let known = used.stands.entry(code).or_default();
                if known.is_empty() {
                    *known = text;
                }
            }
        }
        code
    }
}

/// Text that is being shown: codes of two bytes, and moves of the pen between them.
#[derive(Default)]
struct Shown {
    open: bool,
    in_codes: bool,
}

impl Shown {
    fn code(&mut self, out: &mut Vec<u8>, code: u16) {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        if !self.open {
            out.push(b'[');
            self.open = true;
        }
        if !self.in_codes {
            out.push(b'<');
            self.in_codes = true;
        }
        for shift in [12, 8, 4, 0] {
            out.push(HEX[usize::from(code >> shift & 0xF)]);
        }
    }

    /// Moves the pen left by thousandths of an em, as PDF counts them.
    fn move_left(&mut self, out: &mut Vec<u8>, left: i32) {
        if left == 0 {
            return;
        }
        if !self.open {
            out.push(b'[');
            self.open = true;
        }
        self.end_codes(out);
        number(out, i64::from(left) * 1000);
        out.push(b' ');
    }

    fn end_codes(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.in_codes) {
            out.push(b'>');
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.end_codes(out);
        if std::mem::take(&mut self.open) {
            out.extend_from_slice(b"] TJ\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_exact_and_short() {
        for (milli, text) in [
            (0, "0"),
            (1, "0.001"),
            (-20, "-0.02"),
            (12_000, "12"),
            (595_276, "595.276"),
            (-1_500, "-1.5"),
            (i64::MIN, "-9223372036854775.808"),
        ] {
            let mut out = Vec::new();
            number(&mut out, milli);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
