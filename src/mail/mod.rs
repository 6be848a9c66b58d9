//! Mails to customers: facts → templates → bytes → a mail server or a folder (S27, S31, S77).
//!
//! Everything up to the bytes is a pure function of the facts, so a mail that is made again after a
//! crash is the same mail, with the same Message-ID; only [`Mailer`]s have effects.

use async_trait::async_trait;
use tokio::sync::OwnedMutexGuard;

pub mod compose;
pub mod facts;
pub mod notices;
pub mod outbox;
mod samples;
pub mod smtp;
mod smtp_fault;
#[cfg(test)]
mod smtp_server;
pub mod templates;
#[cfg(test)]
mod tests;

pub use compose::{ComposeError, Composed, Composition, RejectedRecipient, compose};
pub use facts::{
    Attachment, CreditFacts, InvoiceFacts, MailFacts, NextExpiry, Occasion, PaidFor, PurchaseFacts,
};
pub use notices::Notice;
pub use outbox::Outbox;
pub use smtp::{Smtp, SmtpConfig, SmtpTls};
pub use templates::{TemplateError, Templates};

pub use crate::domain::secret::Secret;

/// Something that takes a finished mail.
#[async_trait]
pub trait Mailer: Send + Sync {
    /// The name in the configuration: `outbox` or `smtp`.
    fn name(&self) -> &'static str;

    /// Hands over one mail for its one recipient.
    ///
    /// `Ok` means that it was accepted for delivery; the caller commits "sent" after it, and keeps what it
    /// got until then: meanwhile no other mail can be accepted, so a kill repeats one mail at most (F11).
    /// Calling again with the same mail is allowed after every retryable error; a mail that arrives
    /// twice then carries the same Message-ID, by which mail programs show it once.
    async fn hand_over(&self, mail: &Composed) -> Result<Handed, MailError>;

    /// Are mails kept on this machine, where a repeat finds the first? Many of them may then be handed over before
    /// a commit.
    fn is_local(&self) -> bool {
        false
    }

    /// How many mails leave in a second at most; none: as many as the server takes.
    fn messages_per_second(&self) -> Option<u32> {
        None
    }

    /// Hands over many mails; one answer each.
    async fn hand_over_all(&self, mails: &[Composed]) -> Vec<Result<Handed, MailError>> {
        let mut answers = Vec::with_capacity(mails.len());
        for mail in mails {
            answers.push(self.hand_over(mail).await);
        }
        answers
    }

    /// Hands over one mail where nothing is to be committed.
    async fn send(&self, mail: &Composed) -> Result<(), MailError> {
        self.hand_over(mail).await.map(drop)
    }

    /// Can mails be handed over at all? Sends nothing.
    async fn check(&self) -> Result<(), MailError> {
        Ok(())
    }
}

/// A mail was accepted. Where the server would take a repeat for another mail, this is also the turn to
/// hand mails over; it ends when this is dropped.
#[derive(Debug, Default)]
pub struct Handed {
    _turn: Option<OwnedMutexGuard<()>>,
}

/// Why a mail was not, or perhaps not, accepted; sorted by what the caller must do.
///
/// The texts hold no address and no credential (F88).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The server refused for good (5xx), or the address can never work. The caller parks this
    /// recipient's mail with the reason; other recipients are not affected (F75, F77).
    #[error("the mail was refused: {0}")]
    Refused(String),
    /// Certainly not accepted, but may be later: 4xx, connection refused or lost before the mail
    /// was handed over. The caller tries again with back-off (F75).
    #[error("the mail could not be delivered now: {0}")]
    Transient(String),
    /// The connection was lost after the mail was handed over: it may have been accepted. The
    /// caller sends the identical mail again (F75).
    #[error("the mail server gave no clear answer: {0}")]
    Unclear(String),
    /// The settings are wrong: no TLS where it is required, a wrong certificate or password, a
    /// folder that cannot be written. No mail can go out until a person acts; the caller parks
    /// (F79).
    #[error("mail settings: {0}")]
    Config(String),
}

impl MailError {
    /// Can sending the same mail again help without a person's help?
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Transient(_) | Self::Unclear(_))
    }
}
