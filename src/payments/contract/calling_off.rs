//! Calling a charge off: it never takes money afterwards, and what is over stays as it is.

use super::{Fixture, request, state};
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeState};
use crate::payments::GatewayError;

/// Was it called off?
pub(super) fn is_called_off(outcome: &ChargeOutcome) -> bool {
    matches!(outcome, ChargeOutcome::Declined { decline, .. }
        if decline.code == CANCELED && !decline.hard && !decline.message.is_empty())
}

// C2
pub(crate) async fn what_waits_is_called_off(fixture: &impl Fixture) {
    let request = request("k", fixture.tokens().needs_action, 100);
    let gateway = fixture.open();
    assert_eq!(state(gateway.charge(&request).await), ChargeState::NeedsAction);
    let outcome = gateway.cancel(&request).await.unwrap().expect("the provider knows it");
    assert!(is_called_off(&outcome), "{outcome:?}");
    for gateway in [gateway, fixture.open()] {
        assert_eq!(gateway.cancel(&request).await, Ok(Some(outcome.clone())));
        assert_eq!(gateway.lookup(&request).await, Ok(Some(outcome.clone())));
        assert_eq!(gateway.charge(&request).await, Ok(outcome.clone()));
    }
    assert_eq!(fixture.successes("k"), 0);
}

// C2
pub(crate) async fn what_is_over_stays_as_it_is(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    for (key, token) in
        [("a", tokens.succeeds), ("b", tokens.soft_decline), ("c", tokens.hard_decline)]
    {
        let request = request(key, token, 100);
        let outcome = gateway.charge(&request).await.unwrap();
        assert_eq!(gateway.cancel(&request).await, Ok(Some(outcome.clone())));
        assert_eq!(gateway.lookup(&request).await, Ok(Some(outcome)));
    }
    assert_eq!(fixture.successes("a"), 1);
}

// C2
pub(crate) async fn what_is_unknown_stays_unknown(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    let unsent = request("unsent", tokens.succeeds, 100);
    assert_eq!(gateway.cancel(&unsent).await, Ok(None));
    let lost = request("lost", tokens.timeout_before, 100);
    assert!(matches!(gateway.charge(&lost).await, Err(GatewayError::Unclear(_))));
    assert_eq!(gateway.cancel(&lost).await, Ok(None));
    for request in [unsent, lost] {
        assert_eq!(gateway.lookup(&request).await, Ok(None));
        assert_eq!(fixture.successes(&request.key), 0);
    }
}
