//! Receipts and credit notes.

use super::{assert_valid, keep, renderer, run, squeezed, text_of};
use crate::documents::csv::render_document_csv;
use crate::documents::pdf::RenderedPdf;
use crate::documents::sample::{sample_credit_note, sample_receipt};
use crate::domain::credits::Credits;
use crate::domain::document::{CreditNote, CreditSettlement, Document, Receipt};
use crate::domain::invoice::Party;
use crate::domain::money::{Currency, Money};

fn receipt(change: impl FnOnce(&mut Receipt)) -> Document {
    let Document::Receipt(mut receipt) = sample_receipt() else { unreachable!("not a receipt") };
    change(&mut receipt);
    Document::Receipt(receipt)
}

fn credit_note(change: impl FnOnce(&mut CreditNote)) -> Document {
    let Document::CreditNote(mut note) = sample_credit_note() else {
        unreachable!("no credit note")
    };
    change(&mut note);
    Document::CreditNote(note)
}

fn zero() -> Money {
    Money::zero(Currency::USD)
}

/// Only credits are given back.
fn without_money() -> Document {
    credit_note(|note| {
        note.lines.clear();
        note.tax_subtotals.clear();
        (note.subtotal, note.tax, note.total) = (zero(), zero(), zero());
        note.settled = CreditSettlement::None;
        note.taken_back.clear();
    })
}

fn rendered(name: &str, document: &Document) -> (RenderedPdf, String) {
    let pdf = renderer().render_document(document).unwrap();
    keep(name, &pdf);
    assert_valid(&pdf);
    let output = run("pdftotext", &["-raw", "-", "-"], &pdf.bytes);
    let text = squeezed(&String::from_utf8(output.stdout).unwrap());
    (pdf, text)
}

fn assert_says(text: &str, shown: &[&str]) {
    for shown in shown {
        assert!(text.contains(shown), "{shown:?} is not in:\n{text}");
    }
}

fn rows(document: &Document) -> Vec<::csv::StringRecord> {
    let bytes = render_document_csv(document).unwrap();
    ::csv::Reader::from_reader(bytes.as_slice()).records().map(Result::unwrap).collect()
}

#[test]
fn a_receipt_says_what_was_paid_and_bought() {
    let (pdf, text) = rendered("receipt", &sample_receipt());
    assert_eq!(pdf.pages, 1);
    assert!(pdf.bytes.len() < 60_000, "{} bytes", pdf.bytes.len());
    assert_says(
        &text,
        &[
            "Receipt RCT-2026-000007",
            "Issued 12 October 2026",
            "Billed to",
            "Package of 50,000 credits 2 package 400.00 800.00",
            "Subtotal 800.00 Tax 19 % on 800.00 152.00 Total 952.00 USD",
            "Paid on 12 October 2026 with Visa ending in 4242.",
            "100,000 credits were added to your balance. They can be used until the end of 31 October 2027.",
            "The invoice for October 2026 will state this purchase again, as already paid, so that its tax is not owed twice.",
            "Page 1 of 1",
        ],
    );
    let (_, text) = rendered(
        "receipt-untaxed",
        &receipt(|receipt| {
            receipt.usable_until = None;
            receipt.tax_subtotals.clear();
            (receipt.tax, receipt.total) = (zero(), receipt.subtotal);
        }),
    );
    assert_says(&text, &["They do not expire.", "nothing is owed twice.", "Tax 0.00 Total 800.00"]);
}

#[test]
fn a_credit_note_says_what_it_corrects_and_what_happens() {
    let (pdf, text) = rendered("credit-note", &sample_credit_note());
    assert_eq!(pdf.pages, 1);
    assert_says(
        &text,
        &[
            "Credit note CN-2026-000003",
            "This credit note corrects INV-2026-000042 of 1 November 2026.",
            "a fault of ours repeated requests",
            "Use beyond included credits 2,480 credit 0.01 24.80",
            "Subtotal 424.80 Tax reversed, 19 % on 424.80 80.71 Total credited 505.51 USD",
            "This amount goes back to Visa ending in 4242.",
            "Credits returned",
            "Plan allowance 2026-10 9,750 30 November 2026",
            "Adjustment 2026-10 250 no expiry Total 10,000",
            "Credits taken back",
            "Purchase 2026-10 50,000 31 October 2027",
        ],
    );
}

#[test]
fn every_settlement_is_told() {
    let still_due = Money::from_minor(24_098, Currency::USD);
    for (name, settled, told) in [
        (
            "offset",
            CreditSettlement::Offset { still_due },
            "Deducted from what is still to be paid on INV-2026-000042. Left to pay: 240.98 USD",
        ),
        ("transfer", CreditSettlement::Transfer, "We transfer this amount to your bank account."),
        ("none", CreditSettlement::None, "No money moves with this credit note."),
    ] {
        let document = credit_note(|note| note.settled = settled);
        let (_, text) = rendered(&format!("credit-note-{name}"), &document);
        assert_says(&text, &[told]);
        assert!(rows(&document).iter().any(|row| &row[1] == "settled" && &row[2] == name));
    }
    let (_, text) = rendered("credit-note-credits", &without_money());
    assert_says(&text, &["Total credited 0.00 USD", "10,000", "No money moves"]);
    assert!(!text.contains("Subtotal") && !text.contains("taken back"), "{text}");
}

// F86: PDF and CSV say the same.
#[test]
fn both_files_state_the_same_totals() {
    for document in [sample_receipt(), sample_credit_note(), without_money()] {
        let (_, text) = rendered("same", &document);
        let plain = text.replace(',', "");
        let mut compared = 0;
        for row in rows(&document) {
            let shown = match &row[0] {
                "line" => format!("{} {} ", &row[4], &row[5]),
                "tax" => format!("{} % on {} {}", &row[7], &row[8], &row[9]),
                "total" if document.kind() == "credit_note" && &row[9] == "0.00" => continue,
                "total" => row[9].to_owned(),
                "bought" => format!("{} credits were added", &row[11]),
                "returned" | "taken_back" => format!("{} {}", &row[3], &row[11]),
                "header" if &row[1] == "number" => row[2].to_owned(),
                _ => continue,
            };
            assert!(plain.contains(&shown), "{shown:?} is not in:\n{plain}");
            compared += 1;
        }
        assert!(compared >= 3, "{compared}");
    }
}

// F87
#[test]
fn no_cell_is_a_formula() {
    let evil = "=HYPERLINK(\"http://x\")";
    let document = credit_note(|note| {
        evil.clone_into(&mut note.reason);
        note.head.buyer.name = "\t\u{202E}+1".to_owned();
        note.lines[0].description = "@SUM(A1)".to_owned();
        note.lines[0].unit = "-1".to_owned();
        note.returned[0].grant = evil.to_owned();
        note.settled = CreditSettlement::Refund { label: evil.to_owned() };
    });
    let rows = rows(&document);
    let quoted = format!("'{evil}");
    assert_eq!(rows.iter().filter(|row| row.iter().any(|cell| cell == quoted)).count(), 3);
    for row in &rows {
        assert_eq!(row.len(), 13);
        for cell in row {
            assert!(!cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']), "{cell:?}");
        }
    }
}

#[test]
fn made_again_the_bytes_are_the_same() {
    let documents = [sample_receipt(), sample_credit_note(), without_money()];
    let first = renderer();
    let expected: Vec<RenderedPdf> =
        documents.iter().map(|document| first.render_document(document).unwrap()).collect();
    let second = renderer();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (documents, expected, second) = (&documents, &expected, &second);
            scope.spawn(move || {
                for step in 0..6 {
                    let index = (thread + step) % documents.len();
                    let again = second.render_document(&documents[index]).unwrap();
                    assert!(again == expected[index], "thread {thread}, document {index}");
                }
            });
        }
    });
    for document in &documents {
        assert_eq!(render_document_csv(document).unwrap(), render_document_csv(document).unwrap());
    }
}

// F86
#[test]
fn hostile_text_and_every_script_make_valid_pages() {
    let renderer = renderer();
    let long = "x".repeat(10_000);
    let long_words = "Wörter und ".repeat(1_000);
    for (index, text) in [
        "Acme\u{202E}gpj.exe\0\u{7}\r\n\t\u{2066}Corp",
        "شركة العربية (abc) 123",
        "東京支店",
        "👩\u{200D}💻 \u{0301}\u{FFFF} ) ( \\",
        "",
        &long,
        &long_words,
    ]
    .into_iter()
    .enumerate()
    {
        let party = Party {
            name: text.to_owned(),
            address: vec![text.to_owned(); 30],
            country: Some(text.to_owned()),
            tax_id: Some(text.to_owned()),
            email: Some(text.to_owned()),
        };
        let document = credit_note(|note| {
            (note.head.seller, note.head.buyer) = (party.clone(), party.clone());
            let line = &mut note.lines[0];
            for place in [
                &mut note.head.number,
                &mut note.head.zone,
                &mut note.head.support,
                &mut note.organization,
                &mut note.corrects,
                &mut note.reason,
                &mut line.description,
                &mut line.unit,
            ] {
                text.clone_into(place);
            }
            note.head.notes = vec![text.to_owned(); 3];
            note.settled = CreditSettlement::Refund { label: text.to_owned() };
        });
        let pdf = renderer.render_document(&document).unwrap();
        keep(&format!("credit-note-hostile-{index}"), &pdf);
        assert_valid(&pdf);
        assert!(text_of(&pdf).contains("505.51 USD") && pdf.pages < 6);
        drop(render_document_csv(&document).unwrap());
        let document = receipt(|receipt| {
            (receipt.head.seller, receipt.head.buyer) = (party.clone(), party);
            text.clone_into(&mut receipt.head.number);
            text.clone_into(&mut receipt.purchase);
            text.clone_into(&mut receipt.paid_with);
        });
        let pdf = renderer.render_document(&document).unwrap();
        keep(&format!("receipt-hostile-{index}"), &pdf);
        assert_valid(&pdf);
        assert!(text_of(&pdf).contains("952.00 USD") && pdf.pages < 4);
    }
}

#[test]
fn scripts_can_be_read_back() {
    for name in ["شركة العربية", "東京支店", "Łódź Ελλάδα Пример"] {
        let document = receipt(|receipt| name.clone_into(&mut receipt.head.buyer.name));
        let pdf = renderer().render_document(&document).unwrap();
        assert!(pdf.missing.is_empty(), "{name}: {:?}", pdf.missing);
        let text: String =
            text_of(&pdf).chars().filter(|c| !matches!(c, '\u{202A}'..='\u{202E}')).collect();
        assert!(squeezed(&text).contains(name), "{name} is not in:\n{text}");
    }
}

#[test]
fn many_grants_take_several_pages() {
    let document = credit_note(|note| {
        let grant = note.returned[0].clone();
        note.returned = vec![grant; 200];
        for (index, grant) in (1_i64..).zip(&mut note.returned) {
            grant.credits = Credits::whole(index).unwrap();
        }
    });
    let (pdf, text) = rendered("credit-note-long", &document);
    assert!(pdf.pages > 3);
    assert_says(
        &text,
        &["Total 20,100", "Credit note CN-2026-000003 Wydawnictwo", "2026-10 200 30"],
    );
}
