//! Names, subjects and addresses that try to break out (F76, F86).

use proptest::prelude::*;

use super::super::templates::{Enclosed, Rendered};
use super::super::{MailFacts, Notice, Occasion, Templates, compose, samples};
use super::{composed, header_names, headers};
use crate::domain::invoice::PaymentTerms;

const HOSTILE: [&str; 20] = [
    "",
    " ",
    "\0",
    "\u{7f}",
    "Evil\r\nBcc: victim@example.com",
    "Evil\nBcc: victim@example.com\n\nbody",
    "Evil\rBcc: x",
    "\r\n\r\n.\r\nMAIL FROM:<a@b>",
    "\u{85}\u{2028}\u{2029}",
    "=?utf-8?q?=0D=0ABcc:_x@y?=",
    "\"quoted\\\" <x@y>, other",
    "abc\u{202E}gpj",
    "<script>alert(1)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "Ελλάδα 東京 العربية 👩\u{200D}💻",
    "a\u{300}\u{301}\u{302}\u{303}\u{304}",
    "=1+1",
    "..",
    "\u{1b}[31mred",
    "(comment) ; : , @",
];

const HOSTILE_ADDRESSES: [&str; 16] = [
    "",
    "@",
    "a@",
    "a b@c.example",
    "a@b.example\r\nBcc: c@d.example",
    "a@b.example\nRCPT TO:<c@d.example>",
    "a@b.example>,<c@d.example",
    "a@b.example, c@d.example",
    "Name <a@b.example>",
    "\"a b\"@c.example",
    "a@b.example\0",
    "a\u{202E}@b.example",
    "a@b\u{2028}.example",
    "a;b@c.example",
    "a@@b.example",
    "a@[127.0.0.1",
];

/// The sample with one text in every place that takes text.
fn with_text(text: &str) -> MailFacts {
    let mut facts = samples::invoice_mail(PaymentTerms::BankTransfer {
        details: vec![text.to_owned(), text.to_owned()],
    });
    if let Occasion::Invoice { invoice, .. } = &mut facts.occasion {
        text.clone_into(&mut invoice.number);
    }
    for place in [
        &mut facts.key,
        &mut facts.organization,
        &mut facts.organization_name,
        &mut facts.seller,
        &mut facts.support,
        &mut facts.attachments[0].file_name,
    ] {
        text.clone_into(place);
    }
    facts
}

fn assert_unbroken(facts: &MailFacts) {
    let mail = composed(facts);
    let expected = header_names(&composed(&samples::invoice_by_card()).bytes);
    let mut names = header_names(&mail.bytes);
    // Only there where the support contact happens to be an address.
    if !names.contains(&"Reply-To".to_owned()) {
        let place = expected.iter().position(|name| name == "Reply-To").unwrap();
        names.insert(place, "Reply-To".to_owned());
    }
    assert_eq!(names, expected);
    assert!(mail.bytes.is_ascii());
    assert!(
        !mail.subject.contains(char::is_control) && !mail.message_id.contains(char::is_control)
    );
    assert_eq!(mail.recipient, "finance@acme.example");
    let lines = headers(&mail.bytes);
    assert!(lines.iter().any(|line| line == "To: finance@acme.example, cfo@acme.example"));
}

// F76
#[test]
fn hostile_texts_add_no_header() {
    for text in HOSTILE {
        assert_unbroken(&with_text(text));
        assert_unbroken(&with_text(&text.repeat(1_000)));
    }
}

// One foreign mailbox must not make the mail undeliverable for the others.
#[test]
fn international_addresses_keep_the_message_plain() {
    let mut facts = samples::receipt();
    facts.recipients = vec!["jürgen@b.example".to_owned(), "a@b.example".to_owned()];
    let mails = compose(&Templates::load(None).unwrap(), facts.clone()).unwrap().mails;
    assert_eq!(mails.len(), 2);
    assert!(mails[0].bytes.is_ascii());
    assert!(headers(&mails[0].bytes).contains(&"To: a@b.example".to_owned()));
    facts.recipients.pop();
    let alone = composed(&facts);
    assert!(headers(&alone.bytes).contains(&"To: jürgen@b.example".to_owned()));
}

// F86
#[test]
fn html_shows_markup_as_text() {
    let mut facts = samples::receipt();
    facts.organization_name = "<script>alert(1)</script>".to_owned();
    let rendered = Templates::load(None)
        .unwrap()
        .render(&facts, &crate::mail::templates::Enclosed::default())
        .unwrap();
    assert!(!rendered.html.contains("<script>"));
    assert!(rendered.text.contains("<script>"));
}

/// Every sample with one link in every place that takes one.
fn with_link(link: &str) -> Vec<MailFacts> {
    let mut all = samples::all();
    for facts in &mut all {
        match &mut facts.occasion {
            Occasion::PaymentFailed { pay_link: place, .. }
            | Occasion::Notice(
                Notice::PaymentReminder { pay_link: place, .. }
                | Notice::PaymentReversed { pay_link: place, .. }
                | Notice::Uncollectible { pay_link: place, .. }
                | Notice::PaymentMethod { link: place, .. }
                | Notice::Alert { link: place, .. }
                | Notice::Paused { link: place, .. }
                | Notice::RechargeStopped { link: place, .. },
            ) => *place = Some(link.to_owned()),
            _ => {}
        }
    }
    all
}

fn rendered(templates: &Templates, facts: &MailFacts) -> Rendered {
    templates.render(&facts.clone().cleaned(), &Enclosed::default()).unwrap()
}

#[test]
fn links_lead_to_pages_of_the_web_only() {
    let templates = Templates::load(None).unwrap();
    for bad in [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "//evil.example/",
        "https://",
        "https://\"onmouseover=\"alert(1)",
        "https://pay.example/\" onclick=\"alert(1)",
        "https://pay.example/'><script>alert(1)</script>",
        "https://pay.example/ and more",
        "https://pay.example/\nBcc: victim@example.com",
        "https://pay.example/\u{202E}gpj",
        " https://pay.example/",
        "",
        &format!("https://pay.example/{}", "x".repeat(3_000)),
    ] {
        for facts in with_link(bad) {
            let mail = rendered(&templates, &facts);
            assert!(!mail.html.contains("<a "), "{bad:?} in\n{}", mail.html);
            assert!(!mail.text.contains("://") && !mail.text.contains("script:"), "{}", mail.text);
        }
    }
}

#[test]
fn links_are_escaped_once_and_never_cut() {
    let templates = Templates::load(None).unwrap();
    let link = format!("https://pay.example/i?a=1&b=%3C%3E{}#{{{{7}}}}", "x".repeat(900));
    let mut shown = 0;
    for facts in with_link(&link) {
        let mail = rendered(&templates, &facts);
        if mail.html.contains("<a ") {
            let escaped = link.replace('&', "&amp;").replace('/', "&#x2f;");
            assert!(mail.html.contains(&format!("href=\"{escaped}\"")), "{}", mail.html);
            assert!(mail.text.lines().any(|line| line.ends_with(&format!(": {link}"))));
            shown += 1;
        }
    }
    assert!(shown > 20, "{shown}");
}

/// A notice with one text in every place that takes text.
fn put(notice: &mut Notice, text: &str) {
    match notice {
        Notice::PaymentReminder { invoice, .. }
        | Notice::PaymentReversed { invoice, .. }
        | Notice::Uncollectible { invoice, .. } => {
            text.clone_into(&mut invoice.number);
        }
        Notice::CreditNote { number, corrects, reason, .. } => {
            for place in [number, corrects, reason] {
                text.clone_into(place);
            }
        }
        Notice::Refunded { number, label, .. } => {
            for place in [number, label] {
                text.clone_into(place);
            }
        }
        Notice::PaymentMethod { label, .. } => *label = Some(text.to_owned()),
        Notice::Alert { rule, project, .. } => {
            text.clone_into(rule);
            *project = Some(text.to_owned());
        }
        Notice::Paused { unpaid: Some(unpaid), .. } => text.clone_into(&mut unpaid.number),
        Notice::RechargeStopped { reason, .. } => text.clone_into(reason),
        Notice::Paused { .. } | Notice::Expiry { .. } | Notice::Resumed { .. } => {}
    }
}

// F76, F86
#[test]
fn hostile_texts_stay_texts_in_notices() {
    let templates = Templates::load(None).unwrap();
    let expected = header_names(&composed(&samples::invoice_by_card()).bytes);
    let long = "Evil\r\nBcc: x <script>".repeat(1_000);
    for text in HOSTILE.into_iter().chain([long.as_str()]) {
        for mut facts in samples::all() {
            let Occasion::Notice(notice) = &mut facts.occasion else { continue };
            put(notice, text);
            let mail = compose(&templates, facts.clone()).unwrap().mails.remove(0);
            assert_eq!(header_names(&mail.bytes), expected);
            assert!(mail.bytes.is_ascii() && !mail.subject.contains(char::is_control));
            assert!(!rendered(&templates, &facts).html.contains("<script>"));
        }
    }
}

// F76
#[test]
fn hostile_addresses_are_refused() {
    let templates = Templates::load(None).unwrap();
    for bad in HOSTILE_ADDRESSES {
        let mut facts = samples::receipt();
        facts.recipients = vec![bad.to_owned(), "good@acme.example".to_owned()];
        let composition = compose(&templates, facts.clone()).unwrap();
        let recipients: Vec<_> = composition.mails.iter().map(|m| m.recipient.as_str()).collect();
        assert_eq!(recipients, ["good@acme.example"], "{bad:?}");
        assert_eq!(composition.rejected.len(), 1);

        facts.recipients = vec!["good@acme.example".to_owned()];
        bad.clone_into(&mut facts.sender);
        assert!(compose(&templates, facts).is_err(), "{bad:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    // F76
    #[test]
    fn no_text_ever_adds_a_header(text in any::<String>()) {
        assert_unbroken(&with_text(&text));
    }

    // F76
    #[test]
    fn no_control_character_ever_adds_a_header(text in "[\\x00-\\x1f\\x7f:<>@\" a-z=?]{0,80}") {
        assert_unbroken(&with_text(&text));
    }

    // F76
    #[test]
    fn no_address_ever_panics_or_breaks_out(recipient in "[\\x00-\\x20<>@\".,a-zé東=?]{0,40}") {
        let mut facts = samples::invoice_by_card();
        facts.recipients =
            vec![recipient.clone(), format!("a@{recipient}"), recipient + "@b.example"];
        if let Ok(composition) = compose(&Templates::load(None).unwrap(), facts) {
            for mail in composition.mails {
                let expected = header_names(&composed(&samples::invoice_by_card()).bytes);
                prop_assert_eq!(header_names(&mail.bytes), expected);
                prop_assert!(!mail.recipient.contains(|c: char| c.is_control() || c == ' '));
            }
        }
    }
}
