//! From drawn pages to the bytes of a file: printpdf's document, with ids that never differ and
//! with the shared fonts put in packed.

use std::collections::BTreeMap;

use chrono::NaiveTime;
use lopdf::{Dictionary, Object, ObjectId, StringFormat};
use printpdf::{
    FontMetrics, OffsetDateTime, ParsedFont, PdfDocument, PdfFont, PdfFontMetricsStub, PdfPage,
    PdfSaveOptions, XObjectId,
};
use sha2::{Digest, Sha256};

use super::canvas::{Drawn, FontKey, UsedFont, pt};
use super::cover::Cover;
use super::fonts::{self, Font, FontSet};
use super::logo::{LOGO_ID, Logo};
use super::{Paper, PdfError, RenderedPdf};
use crate::documents::words;
use crate::domain::text;

pub fn assemble(
    drawn: Drawn,
    set: &FontSet,
    logo: Option<&Logo>,
    paper: Paper,
    cover: &Cover<'_>,
) -> Result<RenderedPdf, PdfError> {
    let Drawn { pages, fonts, missing } = drawn;
    let mut document = PdfDocument::new("");
    describe(&mut document, cover);
    for (key, used) in &fonts {
        let font = PdfFont::new(embedded(*key, used, set.font(key.font))?);
        document.resources.fonts.map.insert(key.id(), font);
    }
    if let Some(logo) = logo {
        document.resources.xobjects.map.insert(XObjectId(LOGO_ID.to_owned()), logo.object.clone());
    }
    let (width, height) = paper.size();
    let (width, height) = (pt(width).into(), pt(height).into());
    let count = u32::try_from(pages.len()).unwrap_or(u32::MAX);
    document.pages = pages.into_iter().map(|ops| PdfPage::new(width, height, ops)).collect();

    let options = PdfSaveOptions { optimize: true, ..PdfSaveOptions::default() };
    // Its only warning is that shared fonts have no program yet.
    let mut raw = document.to_lopdf_document(&options, &mut Vec::new());
    let shared = fonts.keys().filter(|key| key.shared);
    let shared = shared.map(|key| (base_name(*key, set.font(key.font)), *key)).collect();
    share_fonts(&mut raw, &shared, set, &fonts);
    tidy(&mut raw);
    for object in raw.objects.values_mut() {
        if let Object::Stream(stream) = object
            && !stream.dict.has(b"Filter")
        {
            fonts::pack(stream, fonts::FAST_LEVEL)?;
        }
    }
    identify(&mut raw);
    let mut bytes = Vec::with_capacity(64 * 1024);
    raw.save_to(&mut bytes).map_err(PdfError::Write)?;
    Ok(RenderedPdf { bytes, missing: missing.into_iter().collect(), pages: count })
}

fn describe(document: &mut PdfDocument, cover: &Cover<'_>) {
    let midnight = cover.issued_on.and_time(NaiveTime::MIN).and_utc().timestamp();
    let info = &mut document.metadata.info;
    if let Ok(date) = OffsetDateTime::from_unix_timestamp(midnight) {
        (info.creation_date, info.modification_date, info.metadata_date) = (date, date, date);
    }
    info.document_title = words::numbered(cover.title, &text::clipped(cover.number, 100));
    info.author = text::clipped(&cover.seller.name, text::MAX_NAME_CHARS);
    info.subject.clone_from(&cover.subject);
    "monthend".clone_into(&mut info.creator);
    "monthend".clone_into(&mut info.producer);
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
