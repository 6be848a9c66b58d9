//! Charges: one attempt each to collect an amount, and the states it can be in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::cycle::Cycle;
use super::ids;
use super::money::Money;

/// Code of an attempt that a person closed as not taken.
pub const VOIDED: &str = "voided";

/// Code of an attempt whose answer did not fit what was asked: nothing more is charged of its organization until a
/// person has looked (F69).
pub const MISMATCH: &str = "mismatch";

/// Code of an attempt that was called off before it took money.
pub const CANCELED: &str = "canceled";

/// What is sent to a payment provider; the same key always goes with the same parameters (C3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChargeRequest {
    /// Idempotency key, derived from deployment, invoice or purchase, and attempt.
    pub key: String,
    /// How much.
    pub amount: Money,
    /// Token of the stored payment method.
    pub payment_method: String,
    /// Who pays.
    pub organization: String,
    /// What for: an invoice number or a purchase id.
    pub reference: String,
}

impl ChargeRequest {
    /// Hash over all parameters; a key is never sent with another.
    #[must_use]
    pub fn request_hash(&self) -> String {
        ids::sha256_hex(
            format!(
                "{}\n{}\n{}\n{}\n{}\n{}",
                self.key,
                self.amount.minor(),
                self.amount.currency(),
                self.payment_method,
                self.organization,
                self.reference
            )
            .as_bytes(),
        )
    }
}

/// Why a provider declined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decline {
    /// The provider's code: `insufficient_funds`, `stolen_card` …
    pub code: String,
    /// A hard decline is never tried again with the same method.
    pub hard: bool,
    /// Text for people.
    pub message: String,
}

/// A provider's final or interim word on a charge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum ChargeOutcome {
    /// The money was taken.
    Succeeded {
        /// The provider's id of the charge.
        provider_id: String,
    },
    /// No money was taken, and none will be for this key.
    Declined {
        /// The provider's id, where it made one.
        provider_id: Option<String>,
        /// Why.
        decline: Decline,
    },
    /// The customer must act first (3-D Secure and the like).
    NeedsAction {
        /// The provider's id.
        provider_id: String,
    },
    /// Accepted, but settles later (bank debit).
    Pending {
        /// The provider's id.
        provider_id: String,
    },
}

/// Where a charge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChargeState {
    /// Recorded; nothing was sent.
    Intended,
    /// Recorded as sent before the socket opened; the answer is not recorded yet.
    Sent,
    /// The money was taken.
    Succeeded,
    /// No money was taken; final for this attempt.
    Declined,
    /// Waits for the customer.
    NeedsAction,
    /// Settles later.
    Pending,
    /// No clear answer: looked up before anything else happens.
    Unknown,
}

impl ChargeState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Intended,
        Self::Sent,
        Self::Succeeded,
        Self::Declined,
        Self::NeedsAction,
        Self::Pending,
        Self::Unknown,
    ];

    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intended => "intended",
            Self::Sent => "sent",
            Self::Succeeded => "succeeded",
            Self::Declined => "declined",
            Self::NeedsAction => "needs_action",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
        }
    }

    /// Could money still be, or already have been, taken by this attempt? At most one such charge
    /// exists per invoice (C2).
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Declined)
    }
}

impl fmt::Display for ChargeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ChargeState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a charge state"))
    }
}

impl ChargeOutcome {
    /// The state a charge has after this word.
    #[must_use]
    pub const fn state(&self) -> ChargeState {
        match self {
            Self::Succeeded { .. } => ChargeState::Succeeded,
            Self::Declined { .. } => ChargeState::Declined,
            Self::NeedsAction { .. } => ChargeState::NeedsAction,
            Self::Pending { .. } => ChargeState::Pending,
        }
    }

    /// The provider's id, where it gave one.
    #[must_use]
    pub fn provider_id(&self) -> Option<&str> {
        match self {
            Self::Succeeded { provider_id }
            | Self::NeedsAction { provider_id }
            | Self::Pending { provider_id } => Some(provider_id),
            Self::Declined { provider_id, .. } => provider_id.as_deref(),
        }
    }
}

/// What a saved payment method may be shown as; the provider holds the rest (S61).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodDetails {
    /// `visa`, `mastercard`, `sepa_debit` …; with a wallet: `visa (Google Pay)`.
    pub brand: String,
    /// Last four digits of the card or account.
    pub last4: Option<String>,
    /// Last month it is valid in, as `2027-03`; none: it does not expire.
    pub expires: Option<Cycle>,
}

/// Money to be given back for one charge; the same key always goes with the same parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefundRequest {
    /// Idempotency key, derived from deployment and credit note.
    pub key: String,
    /// The charge that took the money, with all its parameters.
    pub charge: ChargeRequest,
    /// The provider's id of that charge.
    pub provider_id: String,
    /// How much goes back: above zero, at most what the charge took.
    pub amount: Money,
    /// The credit note's number.
    pub reference: String,
}

impl RefundRequest {
    /// Hash over all parameters; a key is never sent with another.
    #[must_use]
    pub fn request_hash(&self) -> String {
        let (charge, amount) = (self.charge.request_hash(), self.amount);
        let parts = [&self.key, &charge, &self.provider_id, &amount.to_string(), &self.reference];
        ids::sha256_hex(parts.map(String::as_str).join("\n").as_bytes())
    }
}

/// A provider's word on a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum RefundOutcome {
    /// The money is on its way back.
    Succeeded {
        /// The provider's id of the refund.
        provider_id: String,
    },
    /// Accepted, but not carried out yet.
    Pending {
        /// The provider's id of the refund.
        provider_id: String,
    },
    /// Refused for good: nothing goes back by this way.
    Failed {
        /// The provider's id, where it made one.
        provider_id: Option<String>,
        /// Why, for finance.
        message: String,
    },
}

/// A page of the provider where the customer acts by himself; the address is not a secret, but it is
/// only for this customer and does not last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostedPage {
    /// The provider's id of the page's session.
    pub provider_id: String,
    /// Where to send the browser.
    pub url: String,
}

/// Whose payment method is to be saved, or whose bill is to be paid on a hosted page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payer {
    /// The organization's id.
    pub organization: String,
    /// Its name, for the provider's records.
    pub name: String,
    /// Where the provider may write to.
    pub email: String,
    /// Tokens of its saved methods, the first one first.
    pub methods: Vec<String>,
}

/// What a provider's notification says: a hint to look, never a fact by itself.
///
/// Notifications come late, twice, in any order, or from someone else: whoever gets one asks
/// the provider how things stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProviderEvent {
    /// The provider's id of the notification; the same one may come again.
    pub id: String,
    /// The provider's name for what happened: `payment_intent.succeeded`.
    pub kind: String,
    /// What it is about.
    pub about: EventSubject,
}

/// What a notification is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSubject {
    /// A charge of ours, by its key.
    Charge {
        /// The charge's key.
        key: String,
    },
    /// A refund of ours, by its key.
    Refund {
        /// The refund's key.
        key: String,
    },
    /// A payment method that an organization saved on a hosted page.
    MethodSaved {
        /// Whose.
        organization: String,
        /// Its token.
        token: String,
    },
    /// A payment method whose details changed, or that is gone.
    MethodChanged {
        /// Its token, as far as the provider names it.
        token: String,
    },
    /// A customer's bank takes the money of a charge back.
    Dispute {
        /// The charge's key, where the provider names it.
        key: Option<String>,
        /// The provider's id of the dispute.
        provider_id: String,
    },
    /// Nothing we act upon.
    Other,
}

#[cfg(test)]
mod tests;
