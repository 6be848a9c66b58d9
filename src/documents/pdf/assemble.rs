//! From drawn pages to the bytes of a file: printpdf's document, with ids that never differ and
//! with the shared fonts put in packed.
//!
//! Nearly all documents need the shared fonts and nothing else. What they have in common is made once for a
//! renderer: a [`Frame`], to which a document adds its pages.

use std::collections::BTreeMap;

use chrono::NaiveTime;
use lopdf::{Dictionary, Object, ObjectId, Stream, StringFormat, text_string};
use printpdf::{
    Codepoint, FontMetrics, Op, ParsedFont, PdfDocument, PdfFont, PdfFontHandle,
    PdfFontMetricsStub, PdfPage, PdfSaveOptions, Pt, TextItem, XObjectId,
};
use sha2::{Digest, Sha256};

use super::canvas::{Drawn, FontKey, UsedFont};
use super::cover::Cover;
use super::fonts::{self, Font, FontNumber, FontSet, Weight};
use super::logo::{LOGO_ID, Logo};
use super::{Paper, PdfError, RenderedPdf};
use crate::documents::words;
use crate::domain::text;

/// A document without pages: fonts, logo and what else does not depend on what is drawn.
pub struct Frame {
    raw: lopdf::Document,
    /// What each page is made from.
    page: Dictionary,
    pages: ObjectId,
}

impl Frame {
    /// The frame of documents that need the shared fonts only.
    ///
    /// # Errors
    /// A stream cannot be packed.
    pub fn shared(set: &FontSet, logo: Option<&Logo>, paper: Paper) -> Result<Self, PdfError> {
        let whole = |weight: Weight| {
            let shared = set.bundled(weight).shared.as_ref()?;
            let codes = shared.stands.iter().map(|(code, c)| (u32::from(*c), *code)).collect();
            let used = UsedFont { codes, widths: shared.widths.clone(), ..UsedFont::default() };
            Some((FontKey { font: weight as FontNumber, shared: true }, used))
        };
        let fonts = [Weight::Regular, Weight::Bold].into_iter().filter_map(whole).collect();
        Self::with(&fonts, set, logo, paper)
    }

    /// The frame of documents with these fonts. printpdf embeds what a page uses: it gets a page with every glyph,
    /// whose content is not kept.
    fn with(
        fonts: &BTreeMap<FontKey, UsedFont>,
        set: &FontSet,
        logo: Option<&Logo>,
        paper: Paper,
    ) -> Result<Self, PdfError> {
        let mut document = PdfDocument::new("");
        let mut specimen = Vec::new();
        for (key, used) in fonts {
            let font = PdfFont::new(embedded(*key, used, set.font(key.font))?);
            document.resources.fonts.map.insert(key.id(), font);
            let font = PdfFontHandle::External(key.id());
            specimen.push(Op::SetFont { font, size: Pt(1.0) });
            let glyph = |(code, text): (u16, String)| Codepoint::with_cid(code, 0.0, text);
            let glyphs = meanings(used).into_iter().map(glyph).collect();
            specimen.push(Op::ShowText { items: vec![TextItem::GlyphIds(glyphs)] });
        }
        if let Some(logo) = logo {
            let id = XObjectId(LOGO_ID.to_owned());
            document.resources.xobjects.map.insert(id, logo.object.clone());
        }
        document.pages = vec![PdfPage::new(printpdf::Mm(1.0), printpdf::Mm(1.0), specimen)];
        let options = PdfSaveOptions { optimize: true, ..PdfSaveOptions::default() };
        // Its only warning is that shared fonts have no program yet.
        let mut raw = document.to_lopdf_document(&options, &mut Vec::new());
        let shared = fonts.keys().filter(|key| key.shared);
        let shared = shared.map(|key| (base_name(*key, set.font(key.font)), *key)).collect();
        share_fonts(&mut raw, &shared, set, fonts);
        tidy(&mut raw);
        let (pages, page) = take_page(&mut raw, paper).ok_or_else(|| {
            PdfError::Write(std::io::Error::other("the document has no page tree"))
        })?;
        for object in raw.objects.values_mut() {
            if let Object::Stream(stream) = object
                && !stream.dict.has(b"Filter")
            {
                fonts::pack(stream, fonts::FAST_LEVEL)?;
            }
        }
        Ok(Self { raw, page, pages })
    }

    /// A document: this frame with pages in it.
    fn fill(&self, drawn: Vec<Vec<u8>>, cover: &Cover<'_>) -> Result<Vec<u8>, PdfError> {
        let mut raw = self.raw.clone();
        let mut kids = Vec::with_capacity(drawn.len());
        for content in drawn {
            let mut content = Stream::new(Dictionary::new(), content);
            fonts::pack(&mut content, fonts::FAST_LEVEL)?;
            let mut page = self.page.clone();
            page.set("Contents", raw.add_object(content));
            kids.push(Object::Reference(raw.add_object(page)));
        }
        if let Ok(pages) = raw.get_dictionary_mut(self.pages) {
            pages.set("Count", i64::try_from(kids.len()).unwrap_or(i64::MAX));
            pages.set("Kids", kids);
        }
        describe(&mut raw, cover);
        identify(&mut raw);
        let mut bytes = Vec::with_capacity(64 * 1024);
        raw.save_to(&mut bytes).map_err(PdfError::Write)?;
        Ok(bytes)
    }
}

/// Puts a document together.
///
/// # Errors
/// A font cannot be cut down to the glyphs used.
pub fn assemble(
    drawn: Drawn,
    shared: &Frame,
    (set, logo, paper): (&FontSet, Option<&Logo>, Paper),
    cover: &Cover<'_>,
) -> Result<RenderedPdf, PdfError> {
    let Drawn { pages, fonts, missing } = drawn;
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    let bytes = if fonts.iter().all(|(key, used)| is_common(*key, used, set)) {
        shared.fill(pages, cover)?
    } else {
        Frame::with(&fonts, set, logo, paper)?.fill(pages, cover)?
    };
    Ok(RenderedPdf { bytes, missing: missing.into_iter().collect(), pages: count })
}

/// Is all that a document shows in a font in its shared subset, and stands for what it stands for there?
fn is_common(key: FontKey, used: &UsedFont, set: &FontSet) -> bool {
    key.shared
        && used.stands.is_empty()
        && set.font(key.font).shared.as_ref().is_some_and(|shared| shared.agrees(&used.codes))
}

/// What each used code stands for. One glyph can be copied one way: the lowest character, or what was met first.
fn meanings(used: &UsedFont) -> BTreeMap<u16, String> {
    let mut meanings = BTreeMap::new();
    for (c, code) in &used.codes {
        if let Some(c) = char::from_u32(*c) {
            meanings.entry(*code).or_insert_with(|| c.to_string());
        }
    }
    for (code, text) in &used.stands {
        meanings.entry(*code).or_insert_with(|| text.to_string());
    }
    meanings
}

/// Takes the one page out, as what all pages are made from.
fn take_page(raw: &mut lopdf::Document, paper: Paper) -> Option<(ObjectId, Dictionary)> {
    let catalog = raw.trailer.get(b"Root").and_then(Object::as_reference).ok()?;
    let pages =
        raw.get_dictionary(catalog).ok()?.get(b"Pages").and_then(Object::as_reference).ok()?;
    let kids = raw.get_dictionary(pages).ok()?.get(b"Kids").and_then(Object::as_array).ok()?;
    let kid = kids.first()?.as_reference().ok()?;
    let mut page = raw.objects.remove(&kid)?.as_dict().ok()?.clone();
    let content = page.get(b"Contents").ok()?;
    let content = match content {
        Object::Array(parts) => parts.first()?.as_reference().ok()?,
        content => content.as_reference().ok()?,
    };
    raw.objects.remove(&content);
    let (width, height) = paper.size();
    let size = |milli: i64| Object::Real(super::canvas::points(milli));
    let whole = vec![Object::Integer(0), Object::Integer(0), size(width), size(height)];
    for edge in ["MediaBox", "TrimBox", "CropBox"] {
        if page.has(edge.as_bytes()) {
            page.set(edge, whole.clone());
        }
    }
    Some((pages, page))
}

/// Title, author, subject and dates: the document's own, the clock's never.
fn describe(raw: &mut lopdf::Document, cover: &Cover<'_>) {
    let midnight = cover.issued_on.and_time(NaiveTime::MIN);
    let date = midnight.format("D:%Y%m%d%H%M%S+00'00'").to_string();
    let title = words::numbered(cover.title, &text::clipped(cover.number, 100));
    let author = text::clipped(&cover.seller.name, text::MAX_NAME_CHARS);
    let info = raw.trailer.get(b"Info").and_then(Object::as_reference);
    let Ok(info) = info.and_then(|id| raw.get_dictionary_mut(id)) else { return };
    for key in ["CreationDate", "ModDate"] {
        info.set(key, Object::string_literal(date.as_str()));
    }
    for (key, words) in
        [("Title", title.as_str()), ("Author", &author), ("Subject", &cover.subject)]
    {
        info.set(key, text_string(words));
    }
    for key in ["Creator", "Producer"] {
        info.set(key, text_string("monthend"));
    }
}

/// Six letters and a plus mark a subset; they tell the subsets of one font apart.
fn base_name(key: FontKey, font: &Font) -> String {
    let letter = char::from(b'A' + key.font % 26);
    format!("{}{letter}+{}", if key.shared { "SHARE" } else { "OWNED" }, font.name)
}

/// The font as printpdf writes it: only the codes this document uses, widths per thousand. A shared
/// font's program is put in later, packed.
fn embedded(key: FontKey, used: &UsedFont, font: &Font) -> Result<ParsedFont, PdfError> {
    let program = if key.shared { Vec::new() } else { font.subset(&used.glyphs)? };
    let measures = font.measures;
    let mut parsed = ParsedFont::with_glyph_data(
        program,
        0,
        Some(base_name(key, font)),
        used.codes.clone(),
        used.widths.clone(),
        1000,
        FontMetrics { ascent: measures.ascent, descent: measures.descent },
    );
    let [x_min, y_min, x_max, y_max] = measures.bounds;
    parsed.pdf_font_metrics = PdfFontMetricsStub {
        units_per_em: 1000,
        x_min,
        y_min,
        x_max,
        y_max,
        us_weight_class: measures.weight,
        ..PdfFontMetricsStub::default()
    };
    Ok(parsed)
}

/// Gives shared fonts their packed programs, and the packed map to characters if it fits.
fn share_fonts(
    raw: &mut lopdf::Document,
    shared: &BTreeMap<String, FontKey>,
    set: &FontSet,
    used: &BTreeMap<FontKey, UsedFont>,
) {
    let named = |raw: &lopdf::Document, field: &[u8]| -> Vec<(ObjectId, FontKey)> {
        let matching = |(id, object): (&ObjectId, &Object)| {
            let name = object.as_dict().ok()?.get(field).ok()?.as_name().ok()?;
            Some((*id, *shared.get(str::from_utf8(name).ok()?)?))
        };
        raw.objects.iter().filter_map(matching).collect()
    };
    for (id, key) in named(raw, b"BaseFont") {
        let map = raw.get_dictionary(id).and_then(|font| font.get(b"ToUnicode"));
        if let Ok(map) = map.and_then(Object::as_reference)
            && let Some(shared) = &set.font(key.font).shared
            && let Some(used) = used.get(&key)
            && used.stands.is_empty()
            && shared.agrees(&used.codes)
        {
            raw.set_object(map, shared.to_unicode.clone());
        }
    }
    for (id, key) in named(raw, b"FontName") {
        if let Some(shared) = &set.font(key.font).shared {
            let program = raw.add_object(shared.program.clone());
            if let Ok(descriptor) = raw.get_dictionary_mut(id) {
                descriptor.set("FontFile2", program);
            }
        }
    }
}

/// Drops what printpdf claims by default (PDF/X), and says what we know better.
fn tidy(raw: &mut lopdf::Document) {
    "1.7".clone_into(&mut raw.version);
    let reference = |key: &[u8]| raw.trailer.get(key).and_then(Object::as_reference).ok();
    let (info, root) = (reference(b"Info"), reference(b"Root"));
    if let Some(info) = info.and_then(|id| raw.get_dictionary_mut(id).ok()) {
        for key in ["GTS_PDFXVersion", "Identifier", "Keywords", "Trapped"] {
            info.remove(key.as_bytes());
        }
    }
    if let Some(catalog) = root.and_then(|id| raw.get_dictionary_mut(id).ok()) {
        let mut preferences = Dictionary::new();
        preferences.set("DisplayDocTitle", true);
        catalog.set("ViewerPreferences", preferences);
        catalog.set("Lang", Object::string_literal("en"));
    }
}

/// The file's identifier: a hash of its content, where printpdf puts random letters.
fn identify(raw: &mut lopdf::Document) {
    let mut hash = Sha256::new();
    for object in raw.objects.values() {
        match object {
            Object::Stream(stream) if !stream.dict.has(b"Length1") => hash.update(&stream.content),
            Object::Dictionary(dictionary) => {
                // Title, author and subject; page contents are streams.
                for text in dictionary.iter().filter_map(|(_, value)| value.as_str().ok()) {
                    hash.update(text);
                }
            }
            _ => {}
        }
    }
    let digest = hash.finalize();
    let id = digest.iter().take(16).copied().collect::<Vec<u8>>();
    let id = Object::String(id, StringFormat::Hexadecimal);
    raw.trailer.set("ID", vec![id.clone(), id]);
}
