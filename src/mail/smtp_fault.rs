//! What a failed step of a conversation with a mail server means for the mail (F75).

use std::fmt;

use lettre::transport::smtp::Error;

use super::MailError;
use crate::domain::text;

/// Longest excerpt of a server's answer in an error.
const MAX_REPLY_CHARS: usize = 300;

/// Where in the conversation something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Reaching the server, greeting, encryption, login: nothing of this mail was said.
    Connect,
    /// MAIL, RCPT, DATA: the server does not have the mail.
    Envelope,
    /// From the first byte of the mail to its acknowledgement: the server may have it.
    Content,
}

/// A step that failed; `None` for a time-out.
pub(super) struct Fault {
    pub(super) stage: Stage,
    pub(super) error: Option<Error>,
}

impl Fault {
    /// No answer came, or none that can be read: the state of the conversation is not known.
    pub(super) fn is_lost(&self) -> bool {
        self.error.as_ref().is_none_or(|error| error.status().is_none())
    }

    pub(super) fn classified(&self) -> MailError {
        let reason = self.to_string();
        let Some(error) = &self.error else {
            return self.lost(reason);
        };
        if error.is_transient() {
            MailError::Transient(reason)
        } else if error.is_permanent() {
            // Before the envelope a refusal is about us, not about this mail.
            match self.stage {
                Stage::Connect => MailError::Config(reason),
                Stage::Envelope | Stage::Content => MailError::Refused(reason),
            }
        } else if self.stage == Stage::Connect && (error.is_client() || is_bad_tls(error)) {
            MailError::Config(reason)
        } else {
            self.lost(reason)
        }
    }

    fn lost(&self, reason: String) -> MailError {
        match self.stage {
            Stage::Connect | Stage::Envelope => MailError::Transient(reason),
            Stage::Content => MailError::Unclear(reason),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.stage {
            Stage::Connect => "while connecting",
            Stage::Envelope => "before the mail was handed over",
            Stage::Content => "while the mail was handed over",
        };
        match &self.error {
            None => write!(f, "no answer in time, {place}"),
            Some(error) => write!(f, "{}, {place}", without_addresses(&error.to_string())),
        }
    }
}

/// A handshake that failed for what the server showed, not for a lost connection.
fn is_bad_tls(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        if let Some(io) = inner.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::InvalidData;
        }
        source = inner.source();
    }
    false
}

/// A server's words, which often repeat the recipient (F88), for logs and tables.
fn without_addresses(reply: &str) -> String {
    let words: Vec<&str> = reply
        .split_whitespace()
        .map(|word| if word.contains('@') { "[address]" } else { word })
        .collect();
    text::clipped(&words.join(" "), MAX_REPLY_CHARS)
}
