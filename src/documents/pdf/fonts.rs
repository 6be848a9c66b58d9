//! The fonts documents are set in: two bundled weights, and fallbacks for what they lack.
//!
//! Of each bundled weight a subset with the common Latin repertoire is cut and packed once; every
//! document of a batch embeds it as it is. Glyphs outside it go into a subset of the document's own.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flate2::{Compress, Compression, FlushCompress, Status};
use lopdf::{Dictionary, Stream};
use printpdf::ToUnicodeCMap;
use rustybuzz::ttf_parser::{self, GlyphId};
use rustybuzz::{Direction, Face, ShapePlan, script};
use subsetter::GlyphRemapper;

use super::{PdfError, hints};

static REGULAR: &[u8] = include_bytes!("../../../templates/fonts/DejaVuSans.ttf");
static BOLD: &[u8] = include_bytes!("../../../templates/fonts/DejaVuSans-Bold.ttf");

/// Where systems keep fonts for scripts the bundled ones lack; the first that has a glyph is used.
const SYSTEM_FONTS: [&str; 12] = [
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/usr/share/fonts/truetype/droid/DroidSansFallback.ttf",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/noto/NotoSansDevanagari-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansBengali-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansTamil-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansTelugu-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansThai-Regular.ttf",
    "/usr/share/fonts/truetype/noto/NotoSansSymbols2-Regular.ttf",
];

/// What the shared subsets hold: ASCII, Latin-1, Latin Extended-A, Romanian commas, ligatures, and
/// the punctuation, currencies and signs that invoices use.
const REPERTOIRE: [std::ops::RangeInclusive<u32>; 10] = [
    0x20..=0x7E,
    0xA0..=0x17F,
    0x218..=0x21B,
    0x2010..=0x2015,
    0x2018..=0x2026,
    0x20AC..=0x20AC,
    0x2122..=0x2122,
    0x2212..=0x2212,
    0xFB01..=0xFB02,
    0xFFFD..=0xFFFD,
];

/// How hard a document's own streams are packed: half the time of the hardest for 3 % more bytes.
pub const FAST_LEVEL: u32 = 4;

/// The weight of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Text and figures.
    Regular = 0,
    /// Headings, totals.
    Bold = 1,
}

/// Number of a font in its [`FontSet`]: the bundled weights first.
pub type FontNumber = u8;

/// Measures of a font in thousandths of an em, as PDF wants them.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    pub ascent: i16,
    pub descent: i16,
    pub bounds: [i16; 4],
    pub weight: u16,
}

/// The part of a bundled font that all documents share.
pub struct Shared {
    codes: Vec<u16>,
    /// The character each code stands for.
    pub stands: BTreeMap<u16, char>,
    /// Width of each code, in thousandths of an em.
    pub widths: BTreeMap<u16, u16>,
    /// The same, packed as PDF wants it.
    pub to_unicode: Stream,
    /// The packed font program.
    pub program: Stream,
}

impl Shared {
    /// The code of a glyph in the shared subset, if it is in it.
    pub fn code(&self, glyph: u16) -> Option<u16> {
        self.codes.get(usize::from(glyph)).copied().filter(|code| *code != 0)
    }

    /// Do these characters stand for the codes as in `to_unicode`? Some glyphs serve two characters.
    pub fn agrees(&self, codes: &BTreeMap<u32, u16>) -> bool {
        codes.iter().all(|(c, code)| self.stands.get(code).map(|c| u32::from(*c)) == Some(*c))
    }
}

/// The width of a glyph in thousandths of an em, as the font declares it.
pub fn width(face: &ttf_parser::Face<'_>, glyph: GlyphId) -> u16 {
    let upem = u64::from(face.units_per_em().max(1));
    let units = u64::from(face.glyph_hor_advance(glyph).unwrap_or(0));
    u16::try_from((units * 1000 + upem / 2) / upem).unwrap_or(u16::MAX)
}

/// A font face that stays parsed, with the plan to shape Latin text.
pub struct Shaper {
    pub face: Face<'static>,
    pub latin: ShapePlan,
}

/// One font.
pub struct Font {
    /// Name as written to the PDF.
    pub name: String,
    pub measures: Measures,
    /// Only bundled fonts are shared and stay parsed.
    pub shared: Option<Shared>,
    pub shaper: Option<Shaper>,
    data: Vec<u8>,
}

impl Font {
    fn parse(name: &str, data: Vec<u8>) -> Option<Self> {
        let face = ttf_parser::Face::parse(&data, 0).ok()?;
        let upem = i32::from(face.units_per_em());
        let scaled = |value: i16| i16::try_from(i32::from(value) * 1000 / upem).unwrap_or(0);
        let bounds = face.global_bounding_box();
        let measures = Measures {
            ascent: scaled(face.ascender()),
            descent: scaled(face.descender()),
            bounds: [bounds.x_min, bounds.y_min, bounds.x_max, bounds.y_max].map(scaled),
            weight: face.weight().to_number(),
        };
        Some(Self { name: name.to_owned(), measures, shared: None, shaper: None, data })
    }

    fn bundled(name: &str, data: &'static [u8]) -> Result<Self, PdfError> {
        let broken = || PdfError::Font {
            path: PathBuf::from(name),
            reason: "the bundled font cannot be read".to_owned(),
        };
        let mut font = Self::parse(name, hints::unhinted(data)).ok_or_else(broken)?;
        let face = Face::from_slice(data, 0).ok_or_else(broken)?;
        let mut remapper = GlyphRemapper::new();
        let (mut stands, mut widths) = (BTreeMap::new(), BTreeMap::new());
        let mut codes = vec![0; usize::from(face.number_of_glyphs())];
        for c in REPERTOIRE.into_iter().flatten().filter_map(char::from_u32) {
            if let Some(GlyphId(glyph)) = face.glyph_index(c)
                && let Some(code) = codes.get_mut(usize::from(glyph))
            {
                *code = remapper.remap(glyph);
                stands.entry(*code).or_insert(c);
                widths.insert(*code, width(&face, GlyphId(glyph)));
            }
        }
        let program =
            program_stream(subsetter::subset(&font.data, 0, &remapper).map_err(|_| broken())?)?;
        let mappings = stands.iter().map(|(code, c)| (u32::from(*code), vec![u32::from(*c)]));
        let map = ToUnicodeCMap { mappings: mappings.collect() }.to_cmap_string(name);
        let mut to_unicode = Stream::new(Dictionary::new(), map.into_bytes());
        pack(&mut to_unicode, 9)?;
        font.shared = Some(Shared { codes, stands, widths, to_unicode, program });
        let latin = ShapePlan::new(&face, Direction::LeftToRight, Some(script::LATIN), None, &[]);
        font.shaper = Some(Shaper { face, latin });
        Ok(font)
    }

    fn read(path: &Path) -> Result<Self, PdfError> {
        let error = |reason: String| PdfError::Font { path: path.to_owned(), reason };
        let data = std::fs::read(path).map_err(|e| error(e.to_string()))?;
        let stem = path.file_stem().map(|stem| stem.to_string_lossy()).unwrap_or_default();
        let name: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
        Self::parse(&name, data).ok_or_else(|| error("not a TrueType or OpenType font".to_owned()))
    }

    /// Does the font have a glyph for the character?
    pub fn has(&self, c: char) -> bool {
        match &self.shaper {
            Some(shaper) => shaper.face.glyph_index(c).is_some(),
            None => ttf_parser::Face::parse(&self.data, 0)
                .is_ok_and(|face| face.glyph_index(c).is_some()),
        }
    }

    /// Calls `work` with the parsed face. Only bundled faces stay parsed: others borrow from data
    /// that is read at run time, and text in them is rare.
    pub fn with_face<R>(&self, work: impl FnOnce(&Face<'_>) -> R) -> Option<R> {
        match &self.shaper {
            Some(shaper) => Some(work(&shaper.face)),
            None => Face::from_slice(&self.data, 0).map(|face| work(&face)),
        }
    }

    /// A font program with the remapped glyphs only.
    pub fn subset(&self, glyphs: &GlyphRemapper) -> Result<Vec<u8>, PdfError> {
        subsetter::subset(&self.data, 0, glyphs).map_err(|error| PdfError::Font {
            path: PathBuf::from(&self.name),
            reason: format!("{error}; name another font in its place in extra_fonts"),
        })
    }
}

/// Packs the content of a stream; level 1 is fast, 9 is small.
pub fn pack(stream: &mut Stream, level: u32) -> Result<(), PdfError> {
    // A packer's tables are far larger than most streams: they are made once for a thread.
    thread_local! {
        static FAST: RefCell<Compress> = RefCell::new(Compress::new(Compression::new(FAST_LEVEL), true));
    }
    let content = if level == FAST_LEVEL {
        FAST.with_borrow_mut(|packer| {
            packer.reset();
            run(packer, &stream.content)
        })?
    } else {
        run(&mut Compress::new(Compression::new(level), true), &stream.content)?
    };
    stream.set_content(content);
    stream.dict.set("Filter", "FlateDecode");
    Ok(())
}

fn run(packer: &mut Compress, plain: &[u8]) -> Result<Vec<u8>, PdfError> {
    let mut content = Vec::with_capacity(plain.len() / 2 + 128);
    loop {
        let taken = usize::try_from(packer.total_in()).unwrap_or(usize::MAX);
        let rest = plain.get(taken..).unwrap_or_default();
        match packer.compress_vec(rest, &mut content, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return Ok(content),
            Ok(_) => content.reserve(content.capacity()),
            Err(error) => return Err(PdfError::Pack(error.into())),
        }
    }
}

/// A font program as the stream a font descriptor names.
fn program_stream(program: Vec<u8>) -> Result<Stream, PdfError> {
    let mut dictionary = Dictionary::new();
    dictionary.set("Length1", i64::try_from(program.len()).unwrap_or(i64::MAX));
    let mut stream = Stream::new(dictionary, program);
    pack(&mut stream, 9)?;
    Ok(stream)
}

/// All fonts, in the order in which they are asked for a character.
pub struct FontSet {
    bundled: [Font; 2],
    extra: Vec<Font>,
    /// Read when the first character comes that no other font has.
    system: Option<OnceLock<Vec<Font>>>,
}

impl FontSet {
    /// Reads the bundled and the configured fonts.
    pub fn new(extra: &[PathBuf], with_system: bool) -> Result<Self, PdfError> {
        Ok(Self {
            bundled: [
                Font::bundled("DejaVuSans", REGULAR)?,
                Font::bundled("DejaVuSans-Bold", BOLD)?,
            ],
            extra: extra.iter().map(|path| Font::read(path)).collect::<Result<_, _>>()?,
            system: with_system.then(OnceLock::new),
        })
    }

    fn system(&self) -> &[Font] {
        let Some(system) = &self.system else {
            return &[];
        };
        system.get_or_init(|| {
            SYSTEM_FONTS.iter().filter_map(|path| Font::read(Path::new(path)).ok()).collect()
        })
    }

    /// The bundled font of a weight.
    pub fn bundled(&self, weight: Weight) -> &Font {
        let [regular, bold] = &self.bundled;
        match weight {
            Weight::Regular => regular,
            Weight::Bold => bold,
        }
    }

    /// A font by its number; an unknown number is the regular one.
    pub fn font(&self, number: FontNumber) -> &Font {
        let all = self.bundled.iter().chain(&self.extra);
        let index = usize::from(number);
        let system = index.checked_sub(self.bundled.len() + self.extra.len());
        all.clone()
            .nth(index)
            .or_else(|| system.and_then(|index| self.system().get(index)))
            .unwrap_or_else(|| self.bundled(Weight::Regular))
    }

    /// The font for a character in a weight; none has it: none.
    pub fn choose(&self, c: char, weight: Weight) -> Option<FontNumber> {
        if self.bundled(weight).has(c) {
            return Some(weight as FontNumber);
        }
        let near = self.bundled.iter().chain(&self.extra).position(|font| font.has(c));
        let number = near.or_else(|| {
            let found = self.system().iter().position(|font| font.has(c))?;
            Some(self.bundled.len() + self.extra.len() + found)
        });
        number.and_then(|number| FontNumber::try_from(number).ok())
    }
}
