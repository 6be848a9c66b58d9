//! What the mails say, and that they say it in the same bytes each time.

use std::io::Write;

use super::super::templates::Enclosed;
use super::super::{Attachment, ComposeError, Occasion, Templates, compose, samples};
use super::{composed, header_names, headers};
use crate::mail::compose::MAX_ATTACHED_BYTES;

pub(super) fn text_of(facts: &crate::mail::MailFacts) -> String {
    let attached = facts.attachments.iter().map(|file| file.file_name.clone()).collect();
    let enclosed = Enclosed { attached, omitted: Vec::new() };
    let rendered = Templates::load(None).unwrap().render(facts, &enclosed).unwrap();
    format!("{}\n\n{}", rendered.subject, rendered.text)
}

// S31, S77
#[test]
fn an_invoice_paid_by_card() {
    insta::assert_snapshot!(text_of(&samples::invoice_by_card()));
}

#[test]
fn an_invoice_paid_by_transfer() {
    insta::assert_snapshot!(text_of(&samples::invoice_by_transfer()));
}

#[test]
fn an_invoice_with_nothing_to_pay() {
    insta::assert_snapshot!(text_of(&samples::invoice_settled()));
}

// D8
#[test]
fn an_invoice_after_a_deficit() {
    insta::assert_snapshot!(text_of(&samples::invoice_with_deficit()));
}

#[test]
fn a_receipt() {
    insta::assert_snapshot!(text_of(&samples::receipt()));
}

#[test]
fn a_receipt_that_was_taken_back() {
    insta::assert_snapshot!(text_of(&samples::receipt_taken_back()));
}

// S35
#[test]
fn a_receipt_of_bought_credits() {
    insta::assert_snapshot!(text_of(&samples::receipt_of_purchase(None)));
}

#[test]
fn a_receipt_of_credits_bought_automatically() {
    insta::assert_snapshot!(text_of(&samples::receipt_of_automatic_purchase()));
}

#[test]
fn a_failed_payment() {
    insta::assert_snapshot!(text_of(&samples::payment_failed("2026-11-04".parse().ok())));
}

#[test]
fn a_failed_payment_that_is_not_tried_again() {
    insta::assert_snapshot!(text_of(&samples::payment_failed(None)));
}

#[test]
fn a_whole_message() {
    let mail = composed(&samples::receipt());
    let text = String::from_utf8(mail.bytes.to_vec()).unwrap().replace("\r\n", "\n");
    insta::assert_snapshot!(text);
}

/// Text and HTML state the same: every word of the text is in the HTML, and links are buttons there.
#[test]
fn html_says_what_the_text_says() {
    let templates = Templates::load(None).unwrap();
    for facts in samples::all() {
        let rendered = templates.render(&facts, &Enclosed::default()).unwrap();
        let body = rendered.html.split_once("<body").unwrap().1.replace("<br>", " ");
        let plain = squeezed(&unescaped(&words(&body)));
        let text = squeezed(&rendered.text);
        for paragraph in rendered.text.split("\n\n").filter(|text| !text.starts_with("  ")) {
            let sentence = squeezed(paragraph.split("https://").next().unwrap());
            let sentence = sentence.trim_end_matches(": ").trim_end_matches(':');
            assert!(plain.contains(sentence), "{sentence:?} is missing in\n{plain}");
        }
        for word in text.split_whitespace() {
            if word.starts_with("https://") {
                let button = format!("href=\"{}\"", escaped(word));
                assert!(body.contains(&button), "{button} is missing in\n{body}");
            } else {
                let word = word.trim_end_matches(':');
                assert!(plain.contains(word), "{word:?} is missing in\n{plain}");
            }
        }
        assert!(plain.contains(&facts.support) && plain.contains(&facts.seller));
        assert_eq!(text.contains("https://"), body.contains("<a "), "{text}");
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn unescaped(html: &str) -> String {
    html.replace("&#x27;", "'").replace("&#x2f;", "/").replace("&amp;", "&")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('/', "&#x2f;")
}

/// HTML without its tags.
fn words(html: &str) -> String {
    let mut text = String::new();
    let mut is_tag = false;
    for c in html.chars() {
        match c {
            '<' => is_tag = true,
            '>' => {
                is_tag = false;
                text.push(' ');
            }
            c if !is_tag => text.push(c),
            _ => {}
        }
    }
    text
}

#[test]
fn equal_facts_give_equal_bytes() {
    for facts in samples::all() {
        let (one, two) = (composed(&facts), composed(&facts));
        assert_eq!(one, two);
        assert!(one.bytes.is_ascii());
    }
}

#[test]
fn the_headers_are_complete() {
    let mail = composed(&samples::invoice_by_card());
    let names = header_names(&mail.bytes);
    for name in ["Message-ID", "Date", "From", "To", "Reply-To", "Subject", "Auto-Submitted"] {
        assert_eq!(names.iter().filter(|n| *n == name).count(), 1, "{name} in {names:?}");
    }
    let lines = headers(&mail.bytes);
    for line in [
        "Date: Sun, 01 Nov 2026 06:00:00 +0000",
        "To: finance@acme.example, cfo@acme.example",
        "X-Monthend-Key: mail-invoice-1",
    ] {
        assert!(lines.iter().any(|l| l == line), "{line} in {lines:#?}");
    }
    assert!(mail.message_id.ends_with("@example.com>"));
}

// F77
#[test]
fn each_recipient_gets_the_same_mail_and_a_bad_address_stops_no_other() {
    let mut facts = samples::receipt();
    facts.recipients =
        ["a@x.example", "not an address", "b@x.example", "a@x.example"].map(String::from).to_vec();
    let composition = compose(&Templates::load(None).unwrap(), facts.clone()).unwrap();
    let places: Vec<_> =
        composition.mails.iter().map(|m| (m.ordinal, m.recipient.as_str())).collect();
    assert_eq!(places, [(1, "a@x.example"), (3, "b@x.example")]);
    assert_eq!(composition.mails[0].bytes, composition.mails[1].bytes);
    assert_eq!(composition.rejected.len(), 1);
    assert_eq!(composition.rejected[0].ordinal, 2);
    assert!(!composition.rejected[0].reason.contains("not an address"));

    facts.recipients = vec!["nobody".to_owned()];
    let error = compose(&Templates::load(None).unwrap(), facts).unwrap_err();
    assert!(matches!(error, ComposeError::NoRecipient { .. }), "{error}");
}

// F80
#[test]
fn too_big_attachments_are_left_out_and_named() {
    let names = |pdf: usize, csv: usize| {
        let mut facts = samples::invoice_by_card();
        let file = |name: &str, content_type: &str, size| Attachment {
            file_name: name.to_owned(),
            content_type: content_type.to_owned(),
            bytes: vec![b'a'; size],
        };
        facts.attachments =
            vec![file("i.pdf", "application/pdf", pdf), file("i.csv", "text/csv", csv)];
        let bytes = composed(&facts).bytes;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let is_attached = |name: &str| text.contains(&format!("filename=\"{name}\""));
        let is_omitted = text.contains("Too big to attach: i.");
        (is_attached("i.pdf"), is_attached("i.csv"), is_omitted)
    };
    assert_eq!(names(10, MAX_ATTACHED_BYTES - 10), (true, true, false));
    assert_eq!(names(11, MAX_ATTACHED_BYTES - 10), (false, true, true));
    assert_eq!(names(0, MAX_ATTACHED_BYTES + 1), (false, false, true));
}

#[test]
fn a_folder_replaces_single_templates() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder,
        "receipt.txt",
        "Subject: Paid {{ amount | money }}\n\nThanks, {{ organization }}",
    );
    let templates = Templates::load(Some(folder.path())).unwrap();
    templates.check().unwrap();
    let rendered = templates.render(&samples::receipt(), &Enclosed::default()).unwrap();
    assert_eq!(rendered.subject, "Paid 1,134.50 USD");
    assert_eq!(rendered.text, "Thanks, acme\n");
    assert!(rendered.html.contains("<title>Paid 1,134.50 USD</title>"));
}

#[test]
fn template_mistakes_name_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, source: &str| {
        write(&folder, name, source);
        let error = Templates::load(Some(folder.path())).and_then(|t| t.check()).unwrap_err();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        assert_eq!(error.file, folder.path().join(name).display().to_string());
        (error.line, error.reason)
    };
    assert_eq!(check("receipt.txt", "Subject: x\n\n{{ amont }}").0, Some(3));
    assert_eq!(check("receipt.txt", "Subject: x\n{% if %}").0, Some(2));
    assert_eq!(check("receipt.txt", "Hello").0, Some(1));
    assert_eq!(check("receipt.html", "\n{{ amount | monney }}").0, Some(2));
    assert_eq!(check("layout.html", "{% for x in range(99999999) %}{% endfor %}").0, Some(1));
    assert!(Templates::load(Some(&folder.path().join("missing"))).is_err());
}

#[test]
fn the_next_expiry_names_the_last_usable_day() {
    let end = "2027-01-01T05:00:00Z".parse().unwrap();
    let day = crate::mail::facts::last_day_before(end, chrono_tz::America::New_York);
    assert_eq!(day.to_string(), "2026-12-31");
}

fn write(folder: &tempfile::TempDir, name: &str, source: &str) {
    let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
    file.write_all(source.as_bytes()).unwrap();
}

/// Writes the HTML of all samples for a look at them: set `MAIL_SAMPLES` to a folder.
#[test]
fn samples_can_be_looked_at() {
    let templates = Templates::load(None).unwrap();
    let folder = std::env::var_os("MAIL_SAMPLES");
    for (number, facts) in samples::all().iter().enumerate() {
        let attached = facts.attachments.iter().map(|file| file.file_name.clone()).collect();
        let enclosed = Enclosed { attached, omitted: Vec::new() };
        let html = templates.render(facts, &enclosed).unwrap().html;
        assert!(html.ends_with("</html>") || html.ends_with("</html>\n"));
        if let Some(folder) = &folder {
            let name = format!("{number}-{}.html", facts.occasion.template());
            let path = std::path::Path::new(folder).join(name);
            std::fs::File::create(path).unwrap().write_all(html.as_bytes()).unwrap();
        }
    }
    assert!(matches!(samples::receipt().occasion, Occasion::Receipt { .. }));
}
