//! Fields of mails: the envelope is never affected, and no text becomes a header (F76).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use chrono::{DateTime, NaiveDate};
use monthend::domain::cycle::Cycle;
use monthend::domain::money::{Currency, Money};
use monthend::mail::{
    Attachment, Composed, InvoiceFacts, MailFacts, Occasion, PaidFor, Templates, compose,
};

const SENDER: &str = "billing@seller.example";
const FIRST: &str = "finance@acme.example";

/// One field a line: names, key, support, label, reason, a link, a file's name, more recipients.
pub fn target(data: &[u8]) {
    static TEMPLATES: OnceLock<Templates> = OnceLock::new();
    let templates = TEMPLATES.get_or_init(|| Templates::load(None).expect("the shipped ones"));
    let text = String::from_utf8_lossy(data);
    // A line feed itself is written as U+2424, so that fields can hold one.
    let mut fields = text.split('\n').map(|field| field.replace('\u{2424}', "\n"));
    let mut field = || fields.next().unwrap_or_default();
    let (name, key, seller, support) = (field(), field(), field(), field());
    let (label, reason, link, file, others) = (field(), field(), field(), field(), field());
    let mut recipients = vec![FIRST.to_owned()];
    recipients.extend(others.split('|').take(40).map(str::to_owned));
    let invoice = invoice(&key);
    let failed = Occasion::PaymentFailed {
        amount: invoice.amount_due,
        invoice: invoice.clone(),
        label: label.clone(),
        reason: reason.clone(),
        what_to_do: reason,
        next_attempt_on: None,
        pay_link: Some(link),
    };
    let paid = Occasion::Receipt {
        amount: invoice.amount_due,
        paid_on: invoice.due_on,
        paid_for: PaidFor::Invoice(invoice),
        label,
        taken_back: false,
    };
    for occasion in [failed, paid] {
        let facts = MailFacts {
            key: key.clone(),
            at: DateTime::UNIX_EPOCH,
            organization: name.clone(),
            organization_name: name.clone(),
            recipients: recipients.clone(),
            seller: seller.clone(),
            sender: SENDER.to_owned(),
            support: support.clone(),
            occasion,
            attachments: vec![Attachment {
                file_name: file.clone(),
                content_type: "text/csv".to_owned(),
                bytes: b"a,b\r\n".to_vec(),
            }],
        };
        let composed = compose(templates, facts.clone()).expect("a mail");
        assert_eq!(composed.mails[0].recipient, FIRST);
        composed.mails.iter().for_each(|mail| check(mail, &recipients));
        assert!(composed.mails.len() + composed.rejected.len() <= recipients.len());
        assert_eq!(
            compose(templates, facts.clone()).expect("a mail"),
            composed,
            "not the same bytes again"
        );
    }
}

fn invoice(number: &str) -> InvoiceFacts {
    let usd: Currency = "USD".parse().expect("a currency");
    InvoiceFacts {
        number: number.to_owned(),
        cycle: Cycle::new(2026, 10).expect("a month"),
        total: Money::from_minor(100, usd),
        prepaid: Money::from_minor(0, usd),
        amount_due: Money::from_minor(100, usd),
        due_on: NaiveDate::from_ymd_opt(2026, 11, 15).expect("a day"),
    }
}

fn check(mail: &Composed, recipients: &[String]) {
    assert_eq!(mail.envelope_from, SENDER);
    assert!(recipients.iter().any(|given| given.trim_matches(' ') == mail.recipient));
    assert!(!mail.recipient.contains(|c: char| c.is_whitespace() || c.is_control() || c == '<'));
    assert!(!mail.subject.contains(char::is_control), "{:?}", mail.subject);
    // No line feed without its carriage return, nor the other way round.
    let pairs = mail.bytes.windows(2).filter(|pair| pair == b"\r\n").count();
    let count = |wanted: u8| mail.bytes.split(|byte| *byte == wanted).count() - 1;
    assert_eq!((count(b'\r'), count(b'\n')), (pairs, pairs));
    assert!(!mail.bytes.contains(&0));
    let end =
        mail.bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("an end of headers");
    let head = String::from_utf8_lossy(&mail.bytes[..end]);
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for line in head.split("\r\n") {
        assert!(line.len() <= 998, "a line of {} bytes", line.len());
        if !line.starts_with([' ', '\t']) {
            let (name, _) = line.split_once(": ").expect("a header");
            *names.entry(name).or_default() += 1;
        }
    }
    let optional = names.remove("Reply-To").unwrap_or_default();
    assert!(optional <= 1);
    let expected = [
        "Auto-Submitted",
        "Content-Type",
        "Date",
        "From",
        "MIME-Version",
        "Message-ID",
        "Subject",
        "To",
        "X-Monthend-Key",
    ];
    assert_eq!(names, expected.map(|name| (name, 1)).into(), "{head}");
    assert!(head.contains(FIRST), "{head}");
}
