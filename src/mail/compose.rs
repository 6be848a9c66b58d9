//! Facts → the bytes of a mail. The same facts always give the same bytes.

use std::sync::Arc;

use lettre::address::{Address, Envelope};
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment as MimeAttachment, Mailbox, Message, MultiPart, SinglePart};

use super::facts::{Attachment, MailFacts};
use super::templates::{Enclosed, Rendered, TemplateError, Templates};
use crate::domain::ids;
use crate::domain::text;

/// Most bytes of attachments in one mail, before their encoding (F80): 10 MiB.
pub const MAX_ATTACHED_BYTES: usize = 10 << 20;

/// Most recipients of one mail; an organization with more is a mistake in the data.
pub const MAX_RECIPIENTS: usize = 50;

/// Longest address that mail servers accept.
const MAX_ADDRESS_BYTES: usize = 254;

/// Longest key in a header; longer ones are shown as their hash.
const MAX_KEY_BYTES: usize = 120;

/// One mail for one recipient, ready to be sent. All recipients get the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// Message key.
    pub key: String,
    /// The recipient's place among the facts' recipients, from 1.
    pub ordinal: usize,
    /// Message-ID, with angle brackets.
    pub message_id: String,
    /// Subject.
    pub subject: String,
    /// Address bounces go to.
    pub envelope_from: String,
    /// The one address this mail is handed over for.
    pub recipient: String,
    /// The whole message, CRLF line ends.
    pub bytes: Arc<[u8]>,
}

/// An address no mail is written for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRecipient {
    /// Its place among the facts' recipients, from 1.
    pub ordinal: usize,
    /// Why, without the address (F88).
    pub reason: String,
}

/// The mails of one message key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composition {
    /// One mail per usable recipient.
    pub mails: Vec<Composed>,
    /// Recipients left out; the others are not affected (F77). The caller parks these.
    pub rejected: Vec<RejectedRecipient>,
}

/// Why there is no mail at all. None of these goes away by itself.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    /// A template failed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The sender's address is not one, or an international one, which many servers refuse.
    #[error("the sender's address in the configuration is not a mail address in plain letters")]
    Sender,
    /// No recipient has a usable address.
    #[error("{organization} has no usable mail address; add one and retry")]
    NoRecipient {
        /// Id of the organization.
        organization: String,
    },
    /// More than [`MAX_RECIPIENTS`].
    #[error("{organization} has {count} mail addresses; at most {MAX_RECIPIENTS} are possible")]
    TooManyRecipients {
        /// Id of the organization.
        organization: String,
        /// How many.
        count: usize,
    },
    /// The parts do not form a message.
    #[error("the mail cannot be built: {0}")]
    Build(String),
}

/// Writes the mails of one message key.
///
/// # Errors
/// See [`ComposeError`]; unusable addresses beside usable ones are no error but listed.
pub fn compose(templates: &Templates, facts: MailFacts) -> Result<Composition, ComposeError> {
    let mut facts = facts.cleaned();
    let sender = address(&facts.sender).ok().filter(is_plain).ok_or(ComposeError::Sender)?;
    let (recipients, rejected) = recipients(&facts)?;
    let (attachments, enclosed) = enclose(std::mem::take(&mut facts.attachments));
    let rendered = templates.render(&facts, &enclosed)?;
    let hash = ids::sha256_hex(facts.key.as_bytes());
    let message_id = format!("<{}@{}>", &hash[..40], sender.domain());
    let message = build(&facts, &rendered, &message_id, &sender, &recipients, attachments, &hash)?;
    let bytes: Arc<[u8]> = message.formatted().into();
    let mails = recipients
        .iter()
        .map(|(ordinal, recipient)| Composed {
            key: facts.key.clone(),
            ordinal: *ordinal,
            message_id: message_id.clone(),
            subject: rendered.subject.clone(),
            envelope_from: sender.to_string(),
            recipient: recipient.to_string(),
            bytes: Arc::clone(&bytes),
        })
        .collect();
    Ok(Composition { mails, rejected })
}

type Numbered = Vec<(usize, Address)>;

/// Usable addresses with their places; an address that is listed twice gets one mail.
fn recipients(facts: &MailFacts) -> Result<(Numbered, Vec<RejectedRecipient>), ComposeError> {
    let organization = facts.organization.clone();
    if facts.recipients.len() > MAX_RECIPIENTS {
        return Err(ComposeError::TooManyRecipients {
            organization,
            count: facts.recipients.len(),
        });
    }
    let (mut usable, mut rejected): (Numbered, Vec<RejectedRecipient>) = (Vec::new(), Vec::new());
    for (ordinal, recipient) in (1..).zip(&facts.recipients) {
        match address(recipient) {
            Ok(address) if usable.iter().any(|(_, known)| *known == address) => {}
            Ok(address) => usable.push((ordinal, address)),
            Err(reason) => rejected.push(RejectedRecipient { ordinal, reason }),
        }
    }
    if usable.is_empty() {
        return Err(ComposeError::NoRecipient { organization });
    }
    Ok((usable, rejected))
}

/// A plain address. Anything that could break out of a header or a command is refused, not mended:
/// a mended address would be someone else's (F76).
pub(crate) fn address(text: &str) -> Result<Address, String> {
    let text = text.trim_matches(' ');
    if text.len() > MAX_ADDRESS_BYTES {
        return Err("the address is too long".to_owned());
    }
    if !text::is_harmless(text)
        || text.contains(|c: char| c.is_whitespace() || "<>,;\"".contains(c))
    {
        return Err("the address holds characters that are not allowed".to_owned());
    }
    text.parse().map_err(|_| "not a mail address".to_owned())
}

/// An address that every mail server takes.
fn is_plain(address: &Address) -> bool {
    AsRef::<str>::as_ref(address).is_ascii()
}

/// The recipients all see. An international address in a header would make the mail undeliverable
/// on plain servers for everybody, so it is listed only where there is no other.
fn listed(recipients: &Numbered) -> Vec<&Address> {
    let all = || recipients.iter().map(|(_, address)| address);
    let plain: Vec<&Address> = all().filter(|address| is_plain(address)).collect();
    if plain.is_empty() { all().collect() } else { plain }
}

/// Which attachments go along: all, or without the PDF, or without the CSV too (F80).
fn enclose(mut kept: Vec<Attachment>) -> (Vec<Attachment>, Enclosed) {
    let mut enclosed = Enclosed::default();
    let drops: [fn(&Attachment) -> bool; 3] = [
        |file| file.content_type == "application/pdf",
        |file| file.content_type.starts_with("text/csv"),
        |_| true,
    ];
    for drop in drops {
        if kept.iter().map(|file| file.bytes.len()).sum::<usize>() > MAX_ATTACHED_BYTES {
            let names = kept.iter().filter(|file| drop(file)).map(|file| file.file_name.clone());
            enclosed.omitted.extend(names);
            kept.retain(|file| !drop(file));
        }
    }
    enclosed.attached = kept.iter().map(|file| file.file_name.clone()).collect();
    (kept, enclosed)
}

fn build(
    facts: &MailFacts,
    rendered: &Rendered,
    message_id: &str,
    sender: &Address,
    recipients: &Numbered,
    attachments: Vec<Attachment>,
    hash: &str,
) -> Result<Message, ComposeError> {
    let failed = |error: &dyn std::error::Error| ComposeError::Build(error.to_string());
    let first = recipients.first().map(|(_, address)| address.clone());
    let envelope =
        Envelope::new(Some(sender.clone()), first.into_iter().collect()).map_err(|e| failed(&e))?;
    // An empty display name would be written as an empty quoted string.
    let from_name = Some(facts.seller.clone()).filter(|name| !name.is_empty());
    let mut builder = Message::builder()
        .message_id(Some(message_id.to_owned()))
        .date(facts.at.into())
        .from(Mailbox::new(from_name, sender.clone()))
        .subject(rendered.subject.clone())
        .raw_header(plain_header("Auto-Submitted", "auto-generated".to_owned()))
        .raw_header(plain_header("X-Monthend-Key", header_key(&facts.key, hash)))
        .envelope(envelope);
    if let Some(support) = address(&facts.support).ok().filter(is_plain) {
        builder = builder.reply_to(Mailbox::new(None, support));
    }
    for recipient in listed(recipients) {
        builder = builder.to(Mailbox::new(None, recipient.clone()));
    }
    let alternative = MultiPart::alternative()
        .boundary(format!("alternative-{}", &hash[..40]))
        .singlepart(SinglePart::plain(rendered.text.clone()))
        .singlepart(SinglePart::html(rendered.html.clone()));
    let mut parts =
        MultiPart::mixed().boundary(format!("mixed-{}", &hash[..40])).multipart(alternative);
    for file in attachments {
        let content_type = ContentType::parse(&file.content_type).map_err(|e| failed(&e))?;
        parts =
            parts.singlepart(MimeAttachment::new(file.file_name).body(file.bytes, content_type));
    }
    builder.multipart(parts).map_err(|e| failed(&e))
}

fn plain_header(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value)
}

/// The key where it is plain, else its hash: nothing that needs encoding, nothing that can inject.
fn header_key(key: &str, hash: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= MAX_KEY_BYTES
        && key.bytes().all(|byte| byte.is_ascii_graphic());
    if plain { key.to_owned() } else { format!("sha256:{hash}") }
}
