//! Charges: one attempt each to collect an amount, and the states it can be in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ids;
use super::money::Money;

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
