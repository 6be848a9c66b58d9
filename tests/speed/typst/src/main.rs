//! Makes the one-page invoice of monthend's `sample_document` with typst, again and again with another number, and
//! prints one line of JSON: `typst-pages 1000`. The world, the fonts and the compiler's caches are kept.

use std::time::Instant;

use typst::diag::{FileError, FileResult};
use typst::foundations::{Bytes, Datetime, Duration};
use typst::syntax::{FileId, RootedPath, Source, VirtualPath, VirtualRoot};
use typst::text::{Font, FontBook};
use typst::utils::LazyHash;
use typst::{Library, LibraryExt as _, World};
use typst_layout::PagedDocument;
use typst_pdf::PdfOptions;

const TEMPLATE: &str = include_str!("../invoice.typ");
const FONTS: [&[u8]; 2] = [
    include_bytes!("../../../../templates/fonts/DejaVuSans.ttf"),
    include_bytes!("../../../../templates/fonts/DejaVuSans-Bold.ttf"),
];
/// Caches not used for so many documents are let go, as the typst command does.
const MAX_AGE: usize = 10;

struct Invoices {
    definitions: LazyHash<Library>,
    book: LazyHash<FontBook>,
    fonts: Vec<Font>,
    template: Source,
    number_id: FileId,
    number: Bytes,
}

impl Invoices {
    fn new() -> Self {
        let id = |name: &str| {
            let path = VirtualPath::new(name).expect("a plain path");
            FileId::new(RootedPath::new(VirtualRoot::Project, path))
        };
        let fonts: Vec<Font> =
            FONTS.into_iter().flat_map(|data| Font::iter(Bytes::new(data))).collect();
        Self {
            definitions: LazyHash::new(Library::default()),
            book: LazyHash::new(FontBook::from_fonts(&fonts)),
            fonts,
            template: Source::new(id("invoice.typ"), TEMPLATE.to_owned()),
            number_id: id("number.txt"),
            number: Bytes::new(Vec::new()),
        }
    }

    fn page(&mut self, number: String) -> Vec<u8> {
        self.number = Bytes::new(number.into_bytes());
        let document: PagedDocument = typst::compile(self).output.expect("it compiles");
        assert_eq!(document.pages().len(), 1, "one page");
        let options = PdfOptions { tagged: false, ..PdfOptions::default() };
        let pdf = typst_pdf::pdf(&document, &options).expect("it exports");
        comemo::evict(MAX_AGE);
        pdf
    }
}

impl World for Invoices {
    fn library(&self) -> &LazyHash<Library> {
        &self.definitions
    }

    fn book(&self) -> &LazyHash<FontBook> {
        &self.book
    }

    fn main(&self) -> FileId {
        self.template.id()
    }

    fn source(&self, id: FileId) -> FileResult<Source> {
        if id == self.template.id() {
            Ok(self.template.clone())
        } else {
            Err(FileError::AccessDenied)
        }
    }

    fn file(&self, id: FileId) -> FileResult<Bytes> {
        if id == self.number_id { Ok(self.number.clone()) } else { Err(FileError::AccessDenied) }
    }

    fn font(&self, index: usize) -> Option<Font> {
        self.fonts.get(index).cloned()
    }

    fn today(&self, _: Option<Duration>) -> Option<Datetime> {
        None
    }
}

fn main() {
    let mut given = std::env::args().skip(1);
    let count: u32 = given.next().and_then(|text| text.parse().ok()).expect("how many pages");
    let mut invoices = Invoices::new();
    // The first one fills the caches; where a second argument asks for it, it is kept to be looked at.
    let first = invoices.page("INV-2026-000042".to_owned());
    if let Some(path) = given.next() {
        std::fs::write(path, first).expect("the page can be kept");
    }
    let (began, cpu) = (Instant::now(), cpu());
    let mut bytes = 0;
    for number in 0..count {
        bytes += invoices.page(format!("INV-2026-{number:06}")).len();
    }
    let seconds = began.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "seconds": seconds,
        "cpu": self::cpu() - cpu,
        "peak_kib": peak_kib(),
        "count": count,
        "total": bytes,
        "sample": 0,
    });
    println!("{line}");
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> =
        stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap_or_default() + fields[12].parse::<f64>().unwrap_or_default())
        / 100.0
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}
