//! From text to positioned glyphs: bidirectional order, a font for each character, shaping.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use rustybuzz::ttf_parser::GlyphId;
use rustybuzz::{BufferClusterLevel, Direction, Face, GlyphBuffer, UnicodeBuffer, script};
use unicode_bidi::ParagraphBidiInfo;

use super::fonts::{self, FontNumber, FontSet, Weight};

/// What is drawn for a character that no font has.
const REPLACEMENT: char = '\u{FFFD}';
/// Most texts kept shaped; labels, units and descriptions come back in every document.
const MEMO_TEXTS: usize = 8_192;
/// Longest text kept shaped.
const MEMO_BYTES: usize = 80;

/// The characters a glyph stands for when text is copied from the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stands {
    /// One character, as nearly always.
    One(char),
    /// Several: a ligature.
    Many(Box<str>),
    /// None: a further glyph of the same cluster.
    Nothing,
}

/// A glyph; measures in thousandths of an em.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glyph {
    pub font: FontNumber,
    pub id: u16,
    /// Width as the font declares it.
    pub width: u16,
    /// What the pen moves beyond the width: kerning; negative for marks.
    pub kern: i32,
    /// Where the glyph is drawn, relative to the pen.
    pub dx: i32,
    pub dy: i32,
    pub stands: Stands,
}

/// A shaped line of text in visual order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    pub glyphs: Vec<Glyph>,
    /// Width in thousandths of an em.
    pub width: i64,
    /// Characters no font has.
    pub missing: Vec<char>,
}

impl Run {
    /// Width in milli-points at a size in milli-points.
    pub fn width_at(&self, size: i64) -> i64 {
        self.width * size / 1000
    }
}

/// Shapes texts and remembers the short ones. Shared by all threads.
pub struct Shaping {
    pub fonts: FontSet,
    memo: [RwLock<HashMap<Box<str>, Arc<Run>>>; 2],
}

/// A piece of a line in one direction, font and script.
struct Item {
    font: FontNumber,
    arabic: bool,
    text: String,
}

impl Shaping {
    /// Nothing is remembered yet.
    pub fn new(fonts: FontSet) -> Self {
        Self { fonts, memo: [RwLock::default(), RwLock::default()] }
    }

    /// The glyphs of one line.
    pub fn run(&self, text: &str, weight: Weight) -> Arc<Run> {
        if text.bytes().all(is_figure) {
            return Arc::new(self.figures(text, weight));
        }
        let [regular, bold] = &self.memo;
        let memo = if weight == Weight::Bold { bold } else { regular };
        let known = memo.read().unwrap_or_else(PoisonError::into_inner).get(text).cloned();
        if let Some(run) = known {
            return run;
        }
        let run = Arc::new(self.shape(text, weight));
        if text.len() <= MEMO_BYTES {
            let mut memo = memo.write().unwrap_or_else(PoisonError::into_inner);
            if memo.len() >= MEMO_TEXTS {
                memo.clear();
            }
            memo.insert(text.into(), Arc::clone(&run));
        }
        run
    }

    /// Figures are not kerned: they stand under each other.
    fn figures(&self, text: &str, weight: Weight) -> Run {
        let font = self.fonts.bundled(weight);
        let mut run = Run::default();
        font.with_face(|face| {
            for c in text.chars() {
                let GlyphId(id) = face.glyph_index(c).unwrap_or_default();
                push(
                    &mut run,
                    face,
                    Glyph {
                        font: weight as FontNumber,
                        id,
                        width: 0,
                        kern: 0,
                        dx: 0,
                        dy: 0,
                        stands: Stands::One(c),
                    },
                );
            }
        });
        run
    }

    fn shape(&self, text: &str, weight: Weight) -> Run {
        let mut run = Run::default();
        let font = self.fonts.bundled(weight);
        if let Some(shaper) = &font.shaper
            && text.chars().all(|c| is_latin(c) && shaper.face.glyph_index(c).is_some())
        {
            let mut buffer = buffer_of(text, Direction::LeftToRight);
            buffer.set_script(script::LATIN);
            let shaped = rustybuzz::shape_with_plan(&shaper.face, &shaper.latin, buffer);
            collect(&mut run, &shaper.face, &shaped, weight as FontNumber, text);
            return run;
        }
        let mut missing = BTreeSet::new();
        let bidi = ParagraphBidiInfo::new(text, None);
        let (levels, parts) = bidi.visual_runs(0..text.len());
        for part in parts {
            let rtl = levels.get(part.start).is_some_and(unicode_bidi::Level::is_rtl);
            let direction = if rtl { Direction::RightToLeft } else { Direction::LeftToRight };
            let mut items = self.items(text.get(part).unwrap_or_default(), weight, &mut missing);
            if rtl {
                items.reverse();
            }
            for item in items {
                self.fonts.font(item.font).with_face(|face| {
                    let shaped = rustybuzz::shape(face, &[], buffer_of(&item.text, direction));
                    collect(&mut run, face, &shaped, item.font, &item.text);
                });
            }
        }
        run.missing = missing.into_iter().collect();
        run
    }

    fn items(&self, text: &str, weight: Weight, missing: &mut BTreeSet<char>) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for c in text.chars() {
            if clings(c)
                && let Some(last) = items.last_mut()
                && (is_invisible(c) || self.fonts.font(last.font).has(c))
            {
                last.text.push(c);
                continue;
            }
            let found = self.fonts.choose(c, weight);
            let shown = if found.is_some() || is_invisible(c) { c } else { REPLACEMENT };
            if shown == REPLACEMENT && c != REPLACEMENT {
                missing.insert(c);
            }
            let font = found.unwrap_or(weight as FontNumber);
            // A space belongs to the text before it, whatever its script.
            let arabic =
                if c == ' ' { items.last().is_some_and(|last| last.arabic) } else { is_arabic(c) };
            match items.last_mut() {
                Some(last) if last.font == font && last.arabic == arabic => last.text.push(shown),
                _ => items.push(Item { font, arabic, text: shown.into() }),
            }
        }
        items
    }
}

fn buffer_of(text: &str, direction: Direction) -> UnicodeBuffer {
    let mut buffer = UnicodeBuffer::new();
    buffer.push_str(text);
    buffer.set_cluster_level(BufferClusterLevel::MonotoneCharacters);
    buffer.set_direction(direction);
    buffer
}

/// Adds shaped glyphs to a run; cluster values are byte offsets into `text`.
fn collect(run: &mut Run, face: &Face<'_>, shaped: &GlyphBuffer, font: FontNumber, text: &str) {
    let upem = i64::from(face.units_per_em().max(1));
    let scaled = |units: i64| i32::try_from(units * 1000 / upem).unwrap_or(0);
    let mut starts: Vec<usize> =
        shaped.glyph_infos().iter().map(|info| info.cluster as usize).collect();
    starts.sort_unstable();
    starts.dedup();
    let mut previous = None;
    for (info, place) in shaped.glyph_infos().iter().zip(shaped.glyph_positions()) {
        let id = u16::try_from(info.glyph_id).unwrap_or(0);
        let natural = i64::from(face.glyph_hor_advance(GlyphId(id)).unwrap_or(0));
        let start = info.cluster as usize;
        let stands = if previous == Some(start) {
            Stands::Nothing
        } else {
            let next = starts.partition_point(|other| *other <= start);
            stands_for(text, start..starts.get(next).copied().unwrap_or(text.len()))
        };
        previous = Some(start);
        push(
            run,
            face,
            Glyph {
                font,
                id,
                width: 0,
                kern: scaled(i64::from(place.x_advance) - natural),
                dx: scaled(i64::from(place.x_offset)),
                dy: scaled(i64::from(place.y_offset)),
                stands,
            },
        );
    }
}

fn push(run: &mut Run, face: &Face<'_>, mut glyph: Glyph) {
    glyph.width = fonts::width(face, GlyphId(glyph.id));
    run.width += i64::from(glyph.width) + i64::from(glyph.kern);
    run.glyphs.push(glyph);
}

fn stands_for(text: &str, range: Range<usize>) -> Stands {
    let part = text.get(range).unwrap_or_default();
    let mut chars = part.chars();
    match (chars.next(), chars.next()) {
        (Some(c), None) => Stands::One(c),
        (None, _) => Stands::Nothing,
        _ => Stands::Many(part.into()),
    }
}

const fn is_figure(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b' ' | b',' | b'.' | b'-' | b'%' | b':' | b'/')
}

/// Left to right, without marks or joiners: shaped in one go.
const fn is_latin(c: char) -> bool {
    matches!(c, '\u{20}'..='\u{2FF}' | '\u{1E00}'..='\u{1EFF}' | '\u{2010}'..='\u{2027}'
        | '\u{20A0}'..='\u{20C0}' | '\u{2122}' | '\u{2212}' | REPLACEMENT)
}

const fn is_arabic(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{6FF}' | '\u{750}'..='\u{77F}' | '\u{8A0}'..='\u{8FF}'
        | '\u{FB50}'..='\u{FDFF}' | '\u{FE70}'..='\u{FEFC}')
}

/// Joiners and variation selectors: no ink of their own, never missing.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{34F}' | '\u{200C}' | '\u{200D}' | '\u{FE00}'..='\u{FE0F}')
}

/// Does the character belong to the one before it: a mark, a joiner, a modifier of an emoji?
pub const fn clings(c: char) -> bool {
    is_invisible(c)
        || matches!(c, '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5BD}'
            | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{900}'..='\u{903}'
            | '\u{93A}'..='\u{94F}' | '\u{E31}' | '\u{E34}'..='\u{E3A}' | '\u{E47}'..='\u{E4E}'
            | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}'
            | '\u{3099}' | '\u{309A}' | '\u{FE20}'..='\u{FE2F}' | '\u{1F3FB}'..='\u{1F3FF}')
}
