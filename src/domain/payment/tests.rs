//! Hashes of what is sent, words of states.

use std::collections::HashSet;

use super::*;
use crate::domain::money::Currency;

fn charge() -> ChargeRequest {
    ChargeRequest {
        key: "monthend-1".to_owned(),
        amount: Money::from_minor(4_900, Currency::USD),
        payment_method: "pm_1".to_owned(),
        organization: "acme".to_owned(),
        reference: "INV-2026-000001".to_owned(),
    }
}

// C3: stored beside the key, so it must stay what it is; SHA-256 by another program.
#[test]
fn the_hash_of_a_charge_is_over_every_parameter() {
    let expected = "add419ab3f3104377a8d0eeff0d7b8d3f589b123050878f3a32350c52f723819";
    assert_eq!(charge().request_hash(), expected);
    let usd = |minor| Money::from_minor(minor, Currency::USD);
    let others = [
        ChargeRequest { key: "monthend-2".to_owned(), ..charge() },
        ChargeRequest { amount: usd(4_901), ..charge() },
        ChargeRequest { amount: Money::from_minor(4_900, "EUR".parse().unwrap()), ..charge() },
        ChargeRequest { payment_method: "pm_2".to_owned(), ..charge() },
        ChargeRequest { organization: "bolt".to_owned(), ..charge() },
        ChargeRequest { reference: "INV-2026-000002".to_owned(), ..charge() },
    ];
    let hashes: HashSet<String> = others.iter().map(ChargeRequest::request_hash).collect();
    assert!(hashes.len() == others.len() && !hashes.contains(expected));
}

#[test]
fn the_hash_of_a_refund_is_over_every_parameter() {
    let refund = || RefundRequest {
        key: "monthend-refund-1".to_owned(),
        charge: charge(),
        provider_id: "pi_1".to_owned(),
        amount: Money::from_minor(1_000, Currency::USD),
        reference: "CN-2026-000001".to_owned(),
    };
    let expected = "44782f82456e57e45c75ee0ff4d53049008deaebec1a0520d65ce09cec2e1dfd";
    assert_eq!(refund().request_hash(), expected);
    let of = ChargeRequest { key: "monthend-2".to_owned(), ..charge() };
    let others = [
        RefundRequest { key: "monthend-refund-2".to_owned(), ..refund() },
        RefundRequest { charge: of, ..refund() },
        RefundRequest { provider_id: "pi_2".to_owned(), ..refund() },
        RefundRequest { amount: Money::from_minor(1_001, Currency::USD), ..refund() },
        RefundRequest { reference: "CN-2026-000002".to_owned(), ..refund() },
    ];
    let hashes: HashSet<String> = others.iter().map(RefundRequest::request_hash).collect();
    assert!(hashes.len() == others.len() && !hashes.contains(expected));
}

// C2: whatever may have taken money, or still may, keeps another attempt away.
#[test]
fn a_state_is_its_word_and_only_a_declined_one_is_over() {
    use ChargeState::{Declined, Intended, NeedsAction, Pending, Sent, Succeeded, Unknown};
    let words = [
        (Intended, "intended", true),
        (Sent, "sent", true),
        (Succeeded, "succeeded", true),
        (Declined, "declined", false),
        (NeedsAction, "needs_action", true),
        (Pending, "pending", true),
        (Unknown, "unknown", true),
    ];
    assert_eq!(words.map(|(state, ..)| state), ChargeState::ALL);
    for (state, word, live) in words {
        assert_eq!(
            (state.to_string(), word.parse(), state.is_live()),
            (word.to_owned(), Ok(state), live)
        );
    }
    assert!("paid".parse::<ChargeState>().is_err());
}

#[test]
fn an_outcome_names_what_the_provider_named() {
    let id = || "pi_1".to_owned();
    let decline = Decline { code: "x".to_owned(), hard: false, message: "no".to_owned() };
    for (outcome, named) in [
        (ChargeOutcome::Succeeded { provider_id: id() }, Some("pi_1")),
        (ChargeOutcome::NeedsAction { provider_id: id() }, Some("pi_1")),
        (ChargeOutcome::Pending { provider_id: id() }, Some("pi_1")),
        (
            ChargeOutcome::Declined { provider_id: Some(id()), decline: decline.clone() },
            Some("pi_1"),
        ),
        (ChargeOutcome::Declined { provider_id: None, decline }, None),
    ] {
        assert_eq!(outcome.provider_id(), named);
    }
}
