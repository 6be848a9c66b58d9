//! Documents as PDF: any text gives a document that opens, of a bounded size, the same each time (F86).

use std::sync::OnceLock;

use monthend::documents::pdf::{DocumentStyle, Renderer};
use monthend::documents::sample::sample_document;

/// A text for each line: buyer, seller, address, description, unit, meter, note, plan.
pub fn target(data: &[u8]) {
    static RENDERER: OnceLock<Renderer> = OnceLock::new();
    let renderer = RENDERER.get_or_init(|| {
        let style = DocumentStyle { system_fonts: false, ..DocumentStyle::default() };
        Renderer::new(&style).expect("the shipped fonts")
    });
    let text = String::from_utf8_lossy(data);
    let mut texts = text.split('\n').map(str::to_owned);
    let mut next = || texts.next().unwrap_or_default();
    let mut document = sample_document();
    document.header.buyer.name = next();
    document.header.seller.name = next();
    document.header.buyer.address = vec![next()];
    document.draft.lines[0].description = next();
    document.draft.lines[0].unit = next();
    document.draft.usage[0].meter = next();
    document.header.notes = vec![next()];
    document.draft.plan = next();
    let pdf = renderer.render(&document).expect("a document");
    assert!(pdf.bytes.starts_with(b"%PDF-"));
    assert!(pdf.bytes.len() <= 2 << 20, "{} bytes", pdf.bytes.len());
    assert!((1..=10).contains(&pdf.pages), "{} pages", pdf.pages);
    assert!(pdf.missing.is_sorted());
    let loaded = lopdf::Document::load_mem(&pdf.bytes).expect("a PDF that opens");
    assert_eq!(loaded.get_pages().len(), usize::try_from(pdf.pages).expect("few pages"));
    assert_eq!(renderer.render(&document).expect("a document").bytes, pdf.bytes);
}
