//! What follows from a fact and is done by steps of its own, which the fact's transaction adds.

use crate::storage::mails::Mail;

/// Work a fact leaves behind.
#[derive(Debug, Default)]
#[must_use]
pub struct Consequences {
    /// Mails that are stored and wait to be sent.
    pub mails: Vec<Mail>,
    /// Receipts and credit notes, by organization and id, to be rendered and mailed.
    pub documents: Vec<(String, String)>,
    /// Refunds, by organization and id, to be sent to the provider.
    pub refunds: Vec<(String, String)>,
    /// Charges, by organization and id, to be sent to the provider.
    pub charges: Vec<(String, String)>,
}

impl Consequences {
    /// Only mails.
    pub fn mails(mails: Vec<Mail>) -> Self {
        Self { mails, ..Self::default() }
    }

    /// Takes over what another fact leaves behind.
    pub fn extend(&mut self, other: Self) {
        self.mails.extend(other.mails);
        self.documents.extend(other.documents);
        self.refunds.extend(other.refunds);
        self.charges.extend(other.charges);
    }
}
