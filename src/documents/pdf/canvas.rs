//! Pages as lists of printpdf operations. Positions are milli-points from the top left corner.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use printpdf::{
    Codepoint, Color, FontId, LinePoint, Op, PaintMode, PdfFontHandle, Point, Polygon, PolygonRing,
    Pt, Rect, Rgb, TextItem, WindingOrder, XObjectId, XObjectTransform,
};
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
    pub pages: Vec<Vec<Op>>,
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

#[expect(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "printpdf takes floats")]
pub fn pt(milli: i64) -> Pt {
    Pt(milli as f32 / 1000.0)
}

#[expect(clippy::float_arithmetic, reason = "printpdf takes floats")]
fn channel(value: u8) -> f32 {
    f32::from(value) / 255.0
}

#[expect(clippy::cast_precision_loss, reason = "printpdf takes floats; far below 2^24")]
const fn thousandths(value: i32) -> f32 {
    value as f32
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
        self.drawn.pages.push(Vec::with_capacity(512));
        self.state = State::default();
    }

    /// Goes back to a page, to add what is known only at the end.
    pub fn reopen_page(&mut self, index: usize) {
        self.page = index;
        self.state = State::default();
    }

    fn op(&mut self, op: Op) {
        if let Some(page) = self.drawn.pages.get_mut(self.page) {
            page.push(op);
        }
    }

    fn fill(&mut self, tint: Tint) {
        if self.state.fill != Some(tint) {
            self.state.fill = Some(tint);
            let [r, g, b] = tint.map(channel);
            let col = Color::Rgb(Rgb { r, g, b, icc_profile: None });
            self.op(Op::SetFillColor { col });
        }
    }

    fn point(&self, x: i64, y: i64) -> Point {
        Point { x: pt(x), y: pt(self.height - y) }
    }

    /// A filled rectangle; `y` is its upper edge.
    pub fn rectangle(&mut self, [x, y, width, height]: [i64; 4], tint: Tint) {
        self.fill(tint);
        let rectangle = Rect {
            x: pt(x),
            y: pt(self.height - y - height),
            width: pt(width),
            height: pt(height),
            mode: Some(PaintMode::Fill),
            winding_order: None,
        };
        self.op(Op::DrawRectangle { rectangle });
    }

    /// A filled rectangle with round corners.
    pub fn rounded(&mut self, [x, y, width, height]: [i64; 4], radius: i64, tint: Tint) {
        self.fill(tint);
        // A quarter circle as a Bézier curve: its handles are 0.5523 of the radius.
        let handle = radius - radius * 5_523 / 10_000;
        let (right, bottom) = (x + width, y + height);
        let corner = |from: (i64, i64), a: (i64, i64), b: (i64, i64), to: (i64, i64)| {
            [(from, false), (a, true), (b, true), (to, false)]
        };
        let (near, far) = (handle, radius);
        let corners = [
            corner((x, y + far), (x, y + near), (x + near, y), (x + far, y)),
            corner((right - far, y), (right - near, y), (right, y + near), (right, y + far)),
            corner(
                (right, bottom - far),
                (right, bottom - near),
                (right - near, bottom),
                (right - far, bottom),
            ),
            corner((x + far, bottom), (x + near, bottom), (x, bottom - near), (x, bottom - far)),
        ];
        let points = corners
            .iter()
            .flatten()
            .map(|&((x, y), bezier)| LinePoint { p: self.point(x, y), bezier })
            .collect();
        self.op(Op::DrawPolygon {
            polygon: Polygon {
                rings: vec![PolygonRing { points }],
                mode: PaintMode::Fill,
                winding_order: WindingOrder::NonZero,
            },
        });
    }

    /// A thin line from left to right.
    pub fn rule(&mut self, x: i64, y: i64, width: i64, tint: Tint) {
        self.rectangle([x, y, width, 600], tint);
    }

    /// An image; `y` is its upper edge.
    pub fn image(&mut self, id: &str, [x, y, width, height]: [i64; 4]) {
        let transform = XObjectTransform {
            translate_x: Some(pt(x)),
            translate_y: Some(pt(self.height - y - height)),
            scale_x: Some(pt(width).0),
            scale_y: Some(pt(height).0),
            no_auto_scale: true,
            ..XObjectTransform::default()
        };
        self.op(Op::UseXobject { id: XObjectId(id.to_owned()), transform });
    }

    /// A line of text, its baseline at `y`, at a size in milli-points.
    pub fn text(&mut self, x: i64, y: i64, run: &Arc<Run>, size: i64, tint: Tint) {
        self.drawn.missing.extend(run.missing.iter().copied());
        if run.glyphs.is_empty() {
            return;
        }
        self.fill(tint);
        let pos = self.point(x, y);
        self.op(Op::StartTextSection);
        self.op(Op::SetTextCursor { pos });
        let mut items = Items::default();
        let mut rise = 0;
        for glyph in &run.glyphs {
            let key = self.key(glyph);
            if self.state.font != Some((key, size)) {
                self.show(&mut items);
                self.state.font = Some((key, size));
                let font = PdfFontHandle::External(key.id());
                self.op(Op::SetFont { font, size: pt(size) });
            }
            if glyph.dy != rise {
                self.show(&mut items);
                rise = glyph.dy;
                self.op(Op::SetLineOffset { multiplier: pt(i64::from(rise) * size / 1000).0 });
            }
            self.add(&mut items, key, glyph);
        }
        self.show(&mut items);
        if rise != 0 {
            self.op(Op::SetLineOffset { multiplier: 0.0 });
        }
        self.op(Op::EndTextSection);
    }

    fn show(&mut self, items: &mut Items) {
        let items = std::mem::take(items).done();
        if !items.is_empty() {
            self.op(Op::ShowText { items });
        }
    }

    fn key(&self, glyph: &Glyph) -> FontKey {
        let shared = self.set.font(glyph.font).shared.as_ref();
        FontKey {
            font: glyph.font,
            shared: shared.is_some_and(|shared| shared.code(glyph.id).is_some()),
        }
    }

    fn add(&mut self, items: &mut Items, key: FontKey, glyph: &Glyph) {
        let used = self.drawn.fonts.entry(key).or_default();
        let shared = self.set.font(key.font).shared.as_ref().filter(|_| key.shared);
        let code = match shared {
            Some(shared) => shared.code(glyph.id).unwrap_or(0),
            None => used.glyphs.remap(glyph.id),
        };
        used.widths.insert(code, glyph.width);
        items.offset(-glyph.dx);
        match &glyph.stands {
            Stands::One(c) if *used.codes.entry(u32::from(*c)).or_insert(code) == code => {
                items.text.push(*c);
            }
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
                items.flush();
                let glyph = Codepoint::with_cid(code, 0.0, known.to_string());
                items.done.push(TextItem::GlyphIds(vec![glyph]));
            }
        }
        items.offset(glyph.dx - glyph.kern);
    }
}

/// Text items under construction.
#[derive(Default)]
struct Items {
    done: Vec<TextItem>,
    text: String,
}

impl Items {
    /// Moves the pen left by thousandths of an em, as PDF counts them.
    fn offset(&mut self, left: i32) {
        if left != 0 {
            self.flush();
            self.done.push(TextItem::Offset(thousandths(left)));
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.done.push(TextItem::Text(std::mem::take(&mut self.text)));
        }
    }

    fn done(mut self) -> Vec<TextItem> {
        self.flush();
        self.done
    }
}
