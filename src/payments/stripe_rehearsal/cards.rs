//! Test methods by name. A name may go on with an organization: `pm_card_visa_acme` belongs to the
//! customer `cus_acme`; without one it belongs to whichever customer it is used with.

use serde_json::{Value, json};

/// What a method does when it is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behaviour {
    /// The money is taken.
    Succeeds,
    /// Declined, with this code.
    Declines(&'static str),
    /// The customer must confirm first.
    RequiresAction,
    /// Settles later.
    Processing,
    /// The first request of a key is lost on the way.
    LostBefore,
    /// The answer to the first request of a key is lost.
    LostAfter,
    /// The money is taken; refunds stay pending.
    RefundsPend,
    /// The money is taken; refunds fail.
    RefundsFail,
}

/// A test method.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    pub(super) name: &'static str,
    pub(super) behaviour: Behaviour,
    brand: &'static str,
    wallet: Option<&'static str>,
    last4: &'static str,
}

const fn card(name: &'static str, behaviour: Behaviour, last4: &'static str) -> Card {
    Card { name, behaviour, brand: "visa", wallet: None, last4 }
}

/// All test methods; no name begins with another's name and a `_`.
pub(super) const CARDS: &[Card] = &[
    card("pm_card_visa", Behaviour::Succeeds, "4242"),
    Card { brand: "mastercard", ..card("pm_card_mastercard", Behaviour::Succeeds, "4444") },
    Card { wallet: Some("google_pay"), ..card("pm_card_google_pay", Behaviour::Succeeds, "4242") },
    Card { wallet: Some("apple_pay"), ..card("pm_card_apple_pay", Behaviour::Succeeds, "4242") },
    card("pm_card_declined", Behaviour::Declines("insufficient_funds"), "9995"),
    card("pm_card_stolen", Behaviour::Declines("stolen_card"), "9979"),
    card("pm_card_expired", Behaviour::Declines("expired_card"), "0069"),
    card("pm_card_authentication", Behaviour::Declines("authentication_required"), "3184"),
    card("pm_card_requires_action", Behaviour::RequiresAction, "3220"),
    card("pm_card_processing", Behaviour::Processing, "0077"),
    Card { brand: "", ..card("pm_sepa_debit", Behaviour::Processing, "3000") },
    card("pm_card_timeout_before", Behaviour::LostBefore, "4242"),
    card("pm_card_timeout_after", Behaviour::LostAfter, "4242"),
    card("pm_card_refund_pending", Behaviour::RefundsPend, "7726"),
    card("pm_card_refund_fails", Behaviour::RefundsFail, "5126"),
];

/// The test method of a name, and the organization the name goes on with.
pub(super) fn find(method: &str) -> Option<(Card, Option<&str>)> {
    CARDS.iter().find_map(|card| {
        let rest = method.strip_prefix(card.name)?;
        let organization = rest.strip_prefix('_').filter(|it| !it.is_empty());
        (rest.is_empty() || organization.is_some()).then_some((*card, organization))
    })
}

impl Card {
    /// The method as Stripe shows it.
    pub(super) fn object(&self, id: &str, customer: Option<&str>) -> Value {
        if self.brand.is_empty() {
            return json!({"id": id, "object": "payment_method", "type": "sepa_debit",
                "customer": customer, "sepa_debit": {"last4": self.last4, "country": "DE"}});
        }
        let wallet = self.wallet.map(|kind| json!({"type": kind}));
        json!({"id": id, "object": "payment_method", "type": "card", "customer": customer,
            "card": {"brand": self.brand, "last4": self.last4, "exp_month": 12, "exp_year": 2034,
                "wallet": wallet}})
    }

    /// The error of a declined charge.
    pub(super) fn error(code: &str, method: &str) -> Value {
        let is_own = matches!(code, "expired_card" | "authentication_required");
        json!({"type": "card_error", "code": if is_own { code } else { "card_declined" },
            "decline_code": code, "message": format!("Your card was declined ({code})."),
            "payment_method": {"id": method, "object": "payment_method"}})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_one_card() {
        for card in CARDS {
            let (found, organization) = find(card.name).unwrap();
            assert_eq!((found.name, organization), (card.name, None));
            let longer = format!("{}_acme", card.name);
            let (found, organization) = find(&longer).unwrap();
            assert_eq!((found.name, organization), (card.name, Some("acme")));
        }
        assert!(find("pm_nobody").is_none() && find("pm_card_visa_").is_none());
    }
}
