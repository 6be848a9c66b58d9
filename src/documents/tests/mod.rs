//! Documents as a whole: the same bytes again, text that can be read back, hostile input.
//! `pdftotext` (poppler-utils) and `qpdf` must be installed.

mod issued;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::csv::render_csv;
use super::pdf::{DocumentStyle, Paper, RenderedPdf, Renderer};
use super::sample::{sample_document, sample_of_size};
use crate::domain::invoice::{InvoiceDocument, Party, PaymentTerms};

fn renderer() -> Renderer {
    Renderer::new(&DocumentStyle::default()).unwrap()
}

/// Runs a program that reads `input`.
fn run(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pdftotext (poppler-utils) and qpdf must be installed for this test");
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let feed = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    drop(feed.join());
    output
}

fn text_of(pdf: &RenderedPdf) -> String {
    let output = run("pdftotext", &["-layout", "-", "-"], &pdf.bytes);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// `qpdf` reads files only.
fn assert_valid(pdf: &RenderedPdf) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&pdf.bytes).unwrap();
    let output = run("qpdf", &["--check", file.path().to_str().unwrap()], b"");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("WARNING"), "{said}");
}

fn bought_by(name: &str) -> InvoiceDocument {
    let mut document = sample_document();
    document.header.buyer.name = name.to_owned();
    document
}

/// White space of the page's layout does not matter.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn rendered_again_the_bytes_are_the_same() {
    let documents: Vec<InvoiceDocument> =
        ["Łódź", "العربية", "東京", "Ελλάδα & Việt Nam"].map(bought_by).into();
    let first = renderer();
    let expected: Vec<RenderedPdf> =
        documents.iter().map(|document| first.render(document).unwrap()).collect();
    let second = renderer();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (documents, expected, second) = (&documents, &expected, &second);
            scope.spawn(move || {
                for step in 0..8 {
                    let index = (thread + step * 3) % documents.len();
                    let again = second.render(&documents[index]).unwrap();
                    assert!(again == expected[index], "thread {thread}, document {index}");
                }
            });
        }
    });
    let ids: Vec<&[u8]> = expected.iter().map(|pdf| trailer_id(&pdf.bytes)).collect();
    assert!(ids.windows(2).all(|pair| pair[0] != pair[1]), "each document has its own id");
}

fn trailer_id(bytes: &[u8]) -> &[u8] {
    let at = bytes.windows(4).rposition(|window| window == b"/ID[").unwrap();
    &bytes[at..at + 38]
}

#[test]
fn every_script_can_be_read_back() {
    let renderer = renderer();
    for name in [
        "Łódź Sp. z o.o.",
        "Ελλάδα ΑΕ",
        "Việt Nam",
        "شركة العربية",
        "東京支店",
        "Пример ООО",
        "Office difficile Ţă",
    ] {
        let pdf = renderer.render(&bought_by(name)).unwrap();
        assert!(pdf.missing.is_empty(), "{name}: {:?}", pdf.missing);
        keep(&format!("script-{:x}", u32::from(name.chars().next().unwrap())), &pdf);
        let text: String =
            text_of(&pdf).chars().filter(|c| !matches!(c, '\u{202A}'..='\u{202E}')).collect();
        assert!(squeezed(&text).contains(name), "{name} is not in:\n{text}");
    }
}

#[test]
fn an_ordinary_invoice_is_one_small_page() {
    let pdf = renderer().render(&sample_document()).unwrap();
    keep("ordinary", &pdf);
    assert_eq!(pdf.pages, 1);
    assert!(pdf.bytes.len() < 60_000, "{} bytes", pdf.bytes.len());
    assert_valid(&pdf);
    let text = squeezed(&text_of(&pdf));
    for shown in [
        "Invoice INV-2026-000042",
        "Period 1 – 31 October 2026",
        "Late use of September 2026",
        "Tax 19 % on 1,427.30 271.19",
        "Total 1,698.49 USD",
        "Amount due 746.49 USD",
        "Charged automatically to Visa ending in 4242.",
        "Total 30,000 151,000 130,000 1,000 50,000",
        "Billed as overage 12,830",
        "Page 1 of 1",
        "Questions? support@lumen.example",
    ] {
        assert!(text.contains(shown), "{shown:?} is not in:\n{text}");
    }
}

#[test]
fn long_tables_repeat_their_header_on_numbered_pages() {
    let pdf = renderer().render(&sample_of_size(500, 200)).unwrap();
    assert_valid(&pdf);
    keep("long", &pdf);
    let text = text_of(&pdf);
    let pages: Vec<&str> = text.split_terminator('\u{c}').collect();
    assert_eq!(pages.len(), usize::try_from(pdf.pages).unwrap());
    assert!(pages.len() > 10);
    for (index, page) in pages.iter().enumerate() {
        let page = squeezed(page);
        let foot = format!("Page {} of {}", index + 1, pages.len());
        assert!(page.ends_with(&foot), "{foot}");
        assert!(page.contains("Questions? support@lumen.example"));
        if page.contains("Use beyond included credits (") {
            assert!(page.contains("Description Quantity Unit Unit price Amount (USD)"), "{page}");
        }
        if page.contains("Plan allowance 2026") {
            assert!(page.contains("Source Granted in Opening"), "{page}");
        }
        if index > 0 {
            assert!(page.starts_with("Invoice INV-2026-000042 Wydawnictwo"), "{page}");
        }
    }
    let all = squeezed(&text);
    for line in 1..=500 {
        assert!(all.contains(&format!("({line}) ")), "line {line}");
    }
}

// F86: control characters, overrides, NUL, emoji, unpaired marks, endless names.
#[test]
fn hostile_text_makes_a_valid_page() {
    let renderer = renderer();
    let long = "x".repeat(10_000);
    let long_words = "Wörter und ".repeat(1_000);
    let long_arabic = "العربية".repeat(1_500);
    let zalgo = format!("Z{}", "\u{0301}\u{0489}\u{20DD}".repeat(3_000));
    for hostile in [
        "Acme\u{202E}gpj.exe\0\u{7}\r\n\t\u{2066}Corp",
        "=HYPERLINK(\"http://x\",\"y\")",
        "👩\u{200D}💻 😀 🇩🇪 ✓",
        "\u{0301}\u{0301} (unpaired) ) ( \\ \u{FFFF} \u{10FFFF} \u{E000}",
        "שלום (abc) עולם العربية 123",
        "fi ffi \u{00AD} \u{200B}",
        "",
        "\u{0}",
        &long,
        &long_words,
        &long_arabic,
        &zalgo,
    ] {
        let mut document = bought_by(hostile);
        let party = Party {
            name: hostile.to_owned(),
            address: vec![hostile.to_owned(); 30],
            country: Some(hostile.to_owned()),
            tax_id: Some(hostile.to_owned()),
            email: Some(hostile.to_owned()),
        };
        (document.header.seller, document.header.buyer) = (party.clone(), party);
        document.header.number = hostile.to_owned();
        document.header.zone = hostile.to_owned();
        document.header.support = hostile.to_owned();
        document.header.notes = vec![hostile.to_owned(); 3];
        document.header.payment =
            PaymentTerms::BankTransfer { details: vec![hostile.to_owned(); 9] };
        document.draft.plan = hostile.to_owned();
        for line in &mut document.draft.lines {
            line.description = hostile.to_owned();
            line.unit = hostile.to_owned();
        }
        let pdf = renderer.render(&document).unwrap();
        assert_valid(&pdf);
        let text = text_of(&pdf);
        assert!(text.contains("746.49 USD"), "{text}");
        assert!(!text.contains('\u{202E}') || hostile.contains(['ا', 'ש']));
        assert!(pdf.pages < 6, "{} pages", pdf.pages);
        drop(render_csv(&document).unwrap());
        keep(&format!("hostile-{}", hostile.chars().count()), &pdf);
    }
}

#[test]
fn what_no_font_has_is_reported_and_marked() {
    let style = DocumentStyle { system_fonts: false, ..DocumentStyle::default() };
    let renderer = Renderer::new(&style).unwrap();
    let pdf = renderer.render(&bought_by("東京 \u{E000} 京")).unwrap();
    assert_eq!(pdf.missing, ['京', '東', '\u{E000}']);
    assert!(text_of(&pdf).contains("\u{FFFD}\u{FFFD} \u{FFFD} \u{FFFD}"));
}

// F86, S-row of the documents: PDF and CSV say the same.
#[test]
fn pdf_and_csv_state_the_same_figures() {
    let document = sample_of_size(40, 9);
    let text = squeezed(&text_of(&renderer().render(&document).unwrap()));
    let plain = text.replace(',', "");
    let table = render_csv(&document).unwrap();
    let mut reader = ::csv::Reader::from_reader(table.as_slice());
    let mut compared = 0;
    for row in reader.records().map(Result::unwrap) {
        let shown = match &row[0] {
            "line" => format!("{} {}", row[4].to_owned(), row[5].to_owned()),
            "total" | "tax" => row[9].to_owned(),
            "grant" => format!("{} {} {} {}", &row[3], &row[11], &row[12], &row[13]),
            "usage" => format!("{} {} {} {}", &row[2], &row[3], &row[4], &row[13]),
            "header" if &row[1] == "number" => row[2].to_owned(),
            _ => continue,
        };
        assert!(plain.contains(&shown), "{shown:?} is not in:\n{plain}");
        compared += 1;
    }
    assert_eq!(compared, 1 + 40 + 1 + 5 + 9 + 2);
}

#[test]
fn a_logo_and_letter_paper_can_be_used() {
    let png = tiny_png();
    let style = DocumentStyle {
        logo_png: Some(png.clone()),
        paper: Paper::Letter,
        ..DocumentStyle::default()
    };
    let pdf = Renderer::new(&style).unwrap().render(&sample_document()).unwrap();
    assert_valid(&pdf);
    let bad = [b"GIF89a".to_vec(), png[..20].to_vec(), png[..40].to_vec(), Vec::new()];
    for logo in bad {
        let style = DocumentStyle { logo_png: Some(logo), ..DocumentStyle::default() };
        assert!(Renderer::new(&style).is_err());
    }
    let style = DocumentStyle { extra_fonts: vec!["/nowhere.ttf".into()], ..Default::default() };
    let error = Renderer::new(&style).err().unwrap().to_string();
    assert!(error.contains("/nowhere.ttf"), "{error}");
}

/// Two by one pixels, red and transparent.
fn tiny_png() -> Vec<u8> {
    vec![
        0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0x00, 0x00, 0x00, 0x0D, 0x49, 0x48, 0x44,
        0x52, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x01, 0x08, 0x06, 0x00, 0x00, 0x00, 0xF4,
        0x22, 0x7F, 0x8A, 0x00, 0x00, 0x00, 0x0F, 0x49, 0x44, 0x41, 0x54, 0x78, 0x9C, 0x63, 0x38,
        0x21, 0x27, 0xF7, 0x9F, 0x01, 0x08, 0x00, 0x0C, 0xCA, 0x02, 0x04, 0xDE, 0x26, 0x54, 0x96,
        0x00, 0x00, 0x00, 0x00, 0x49, 0x45, 0x4E, 0x44, 0xAE, 0x42, 0x60, 0x82,
    ]
}

/// For looking at pages: set `MONTHEND_KEEP_PDFS` to a folder.
fn keep(name: &str, pdf: &RenderedPdf) {
    if let Some(folder) = std::env::var_os("MONTHEND_KEEP_PDFS") {
        let path = Path::new(&folder).join(format!("{name}.pdf"));
        crate::files::write_durably(&path, &pdf.bytes).unwrap();
    }
}
