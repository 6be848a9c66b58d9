//! The rehearsal's books: what was asked for, what was taken, what went back.

use serde::Serialize;
use serde_json::Value;

use super::refunds;
use super::store::State;

/// One payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookedPayment {
    /// Stripe's id: `pi_…`.
    pub provider_id: String,
    /// The charge's key.
    pub key: String,
    /// Who pays.
    pub organization: String,
    /// What for.
    pub reference: String,
    /// In Stripe's unit of the currency.
    pub amount: i64,
    /// In small letters, as Stripe writes it.
    pub currency: String,
    /// The method it was asked of.
    pub method: String,
    /// Stripe's status; money was taken where it is `succeeded`.
    pub status: String,
    /// How much went back, or is on its way.
    pub refunded: i64,
}

impl BookedPayment {
    /// Was money taken?
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.status == "succeeded"
    }
}

/// Every payment, oldest first.
pub(super) fn payments(state: &State) -> Vec<BookedPayment> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let booked = |intent: &Value| {
        let metadata = &intent["metadata"];
        let provider_id = text(&intent["id"]);
        BookedPayment {
            key: text(&metadata["monthend_key"]),
            organization: text(&metadata["monthend_organization"]),
            reference: text(&metadata["monthend_reference"]),
            amount: intent["amount"].as_i64().unwrap_or_default(),
            currency: text(&intent["currency"]),
            method: text(&intent["_method"]),
            status: text(&intent["status"]),
            refunded: refunds::refunded(state, &provider_id),
            provider_id,
        }
    };
    state.intents.all().map(booked).collect()
}
