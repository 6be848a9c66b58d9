//! Refunds: once for each key, together never more than was taken.

use std::sync::Arc;

use super::{Fixture, request};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{ChargeRequest, RefundOutcome, RefundRequest};
use crate::payments::{GatewayError, PaymentGateway};

/// A refund in US cents.
pub(crate) fn refund(
    key: &str,
    charge: &ChargeRequest,
    provider_id: &str,
    minor: i64,
) -> RefundRequest {
    RefundRequest {
        key: key.to_owned(),
        charge: charge.clone(),
        provider_id: provider_id.to_owned(),
        amount: Money::from_minor(minor, Currency::USD),
        reference: "CN-2026-000001".to_owned(),
    }
}

/// A charge of one dollar that was taken, with the provider's id.
async fn taken(fixture: &impl Fixture) -> (Arc<dyn PaymentGateway>, ChargeRequest, String) {
    let gateway = fixture.open();
    let charge = request("charge", fixture.tokens().succeeds, 100);
    let outcome = gateway.charge(&charge).await.unwrap();
    let provider_id = outcome.provider_id().expect("an id").to_owned();
    (gateway, charge, provider_id)
}

// C3
pub(crate) async fn a_refund_gives_back_once(fixture: &impl Fixture) {
    let (gateway, charge, id) = taken(fixture).await;
    let request = refund("r", &charge, &id, 40);
    assert_eq!(gateway.lookup_refund(&request).await, Ok(None));
    let outcome = gateway.refund(&request).await.unwrap();
    assert!(matches!(&outcome, RefundOutcome::Succeeded { provider_id } if provider_id != &id));
    for gateway in [gateway, fixture.open()] {
        assert_eq!(gateway.refund(&request).await.as_ref(), Ok(&outcome));
        assert_eq!(gateway.lookup_refund(&request).await, Ok(Some(outcome.clone())));
        // The charge itself stays what it was.
        let found = gateway.lookup(&charge).await.unwrap();
        assert_eq!(found.and_then(|it| it.provider_id().map(str::to_owned)), Some(id.clone()));
    }
    assert_eq!((fixture.given_back("charge"), fixture.successes("charge")), (40, 1));
}

// C3, F69
pub(crate) async fn another_refund_of_the_key_is_refused(fixture: &impl Fixture) {
    let (gateway, charge, id) = taken(fixture).await;
    gateway.refund(&refund("r", &charge, &id, 40)).await.unwrap();
    let other = refund("r", &charge, &id, 41);
    let answer = gateway.refund(&other).await;
    assert!(matches!(answer, Err(GatewayError::Misuse(_))), "{answer:?}");
    let answer = gateway.lookup_refund(&other).await;
    assert!(matches!(answer, Err(GatewayError::Mismatch(_))), "{answer:?}");
    assert_eq!(fixture.given_back("charge"), 40);
}

pub(crate) async fn refunds_never_exceed_the_charge(fixture: &impl Fixture) {
    let (gateway, charge, id) = taken(fixture).await;
    for (key, minor, succeeds) in
        [("a", 60, true), ("b", 41, false), ("c", 40, true), ("d", 1, false), ("e", 100, false)]
    {
        let request = refund(key, &charge, &id, minor);
        let outcome = gateway.refund(&request).await.unwrap();
        assert_eq!(matches!(outcome, RefundOutcome::Succeeded { .. }), succeeds, "{outcome:?}");
        let found = gateway.lookup_refund(&request).await.unwrap();
        assert!(found == Some(outcome) || (found.is_none() && !succeeds), "{found:?}");
    }
    let answer = gateway.refund(&refund("f", &charge, &id, 101)).await;
    assert!(matches!(answer, Err(GatewayError::Misuse(_))), "{answer:?}");
    assert_eq!(fixture.given_back("charge"), 100);
}

// C8
pub(crate) async fn what_was_not_taken_is_not_given_back(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    let declined = request("declined", tokens.soft_decline, 100);
    let outcome = gateway.charge(&declined).await.unwrap();
    let id = outcome.provider_id().expect("an id").to_owned();
    let unsent = request("unsent", tokens.succeeds, 100);
    let (_, charge, taken_id) = taken(fixture).await;
    for wrong in [
        refund("a", &declined, &id, 100),
        refund("b", &unsent, "nobody", 100),
        refund("c", &charge, &taken_id, 0),
        refund("d", &charge, &taken_id, -1),
        refund("", &charge, &taken_id, 1),
    ] {
        let answer = gateway.refund(&wrong).await;
        assert!(matches!(answer, Err(GatewayError::Misuse(_))), "{wrong:?}: {answer:?}");
    }
    assert_eq!((fixture.given_back("declined"), fixture.given_back("charge")), (0, 0));
}
