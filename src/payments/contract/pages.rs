//! Pages where the customer acts, and what is shown of methods.

use super::calling_off::is_called_off;
use super::{Fixture, payer, request, state};
use crate::domain::payment::{ChargeOutcome, ChargeRequest, ChargeState, Payer};
use crate::payments::{GatewayError, PaymentGateway};

const RETURN: &str = "https://portal.example/back?a=b&c=d";

/// A customer with a saved method and one without, each with a request to be paid on a page.
fn hosted(gateway: &dyn PaymentGateway, fixture: &impl Fixture) -> Vec<(ChargeRequest, Payer)> {
    let with_method = payer(&[fixture.tokens().succeeds]);
    [("new", payer(&[])), ("known", with_method)]
        .map(|(key, payer)| {
            let method = gateway.hosted_method(&payer).expect("it has pages");
            (request(key, &method, 2_500), payer)
        })
        .to_vec()
}

fn found(answer: Result<Option<ChargeOutcome>, GatewayError>) -> ChargeState {
    state(answer.map(|found| found.expect("the provider knows it")))
}

// S62
pub(crate) async fn a_page_is_paid(fixture: &impl Fixture) {
    let gateway = fixture.open();
    for (request, payer) in hosted(&*gateway, fixture) {
        assert_eq!(gateway.lookup(&request).await, Ok(None));
        let page = gateway.pay_page(&request, &payer, RETURN).await.unwrap();
        assert!(page.url.contains("://") && !page.provider_id.is_empty());
        assert_eq!(found(gateway.lookup(&request).await), ChargeState::NeedsAction);
        assert_eq!(fixture.open().pay_page(&request, &payer, RETURN).await, Ok(page));
        assert_eq!(fixture.successes(&request.key), 0);
        fixture.pay(&request.key);
        assert_eq!(found(gateway.lookup(&request).await), ChargeState::Succeeded);
        assert_eq!(found(fixture.open().lookup(&request).await), ChargeState::Succeeded);
        assert_eq!(fixture.successes(&request.key), 1);
    }
}

// C2
pub(crate) async fn an_open_page_is_called_off(fixture: &impl Fixture) {
    let gateway = fixture.open();
    for (request, payer) in hosted(&*gateway, fixture) {
        assert_eq!(gateway.cancel(&request).await, Ok(None));
        gateway.pay_page(&request, &payer, RETURN).await.unwrap();
        let outcome = gateway.cancel(&request).await.unwrap().expect("the provider knows it");
        assert!(is_called_off(&outcome), "{outcome:?}");
        assert_eq!(gateway.lookup(&request).await, Ok(Some(outcome.clone())));
        assert_eq!(gateway.cancel(&request).await, Ok(Some(outcome)));
        let again = gateway.pay_page(&request, &payer, RETURN).await;
        assert!(matches!(again, Err(GatewayError::Unclear(_))), "{again:?}");
        assert_eq!(fixture.successes(&request.key), 0);
    }
}

// C2
pub(crate) async fn a_paid_page_stays_paid(fixture: &impl Fixture) {
    let gateway = fixture.open();
    for (request, payer) in hosted(&*gateway, fixture) {
        gateway.pay_page(&request, &payer, RETURN).await.unwrap();
        fixture.pay(&request.key);
        assert_eq!(found(gateway.cancel(&request).await), ChargeState::Succeeded);
        assert_eq!(found(gateway.lookup(&request).await), ChargeState::Succeeded);
        let again = gateway.pay_page(&request, &payer, RETURN).await;
        assert!(matches!(again, Err(GatewayError::Unclear(_))), "{again:?}");
        assert_eq!(fixture.successes(&request.key), 1);
    }
}

// C8
pub(crate) async fn pages_and_methods_are_told_apart(fixture: &impl Fixture) {
    let gateway = fixture.open();
    let payer = payer(&[]);
    let hosted = request("hosted", &gateway.hosted_method(&payer).expect("it has pages"), 100);
    let stored = request("stored", fixture.tokens().succeeds, 100);
    let charged = gateway.charge(&hosted).await;
    assert!(matches!(charged, Err(GatewayError::Misuse(_))), "{charged:?}");
    let paged = gateway.pay_page(&stored, &payer, RETURN).await;
    assert!(matches!(paged, Err(GatewayError::Misuse(_))), "{paged:?}");
    assert_eq!(fixture.successes("hosted") + fixture.successes("stored"), 0);
}

// S61
pub(crate) async fn pages_for_methods(fixture: &impl Fixture) {
    let gateway = fixture.open();
    for payer in [payer(&[]), payer(&[fixture.tokens().succeeds])] {
        let save = gateway.save_method_page(&payer, RETURN).await.unwrap();
        let portal = gateway.portal_page(&payer, RETURN).await.unwrap();
        assert!(save.url.contains("://") && portal.url.contains("://"));
        assert_ne!(save.provider_id, portal.provider_id);
    }
}

// S61
pub(crate) async fn methods_are_shown(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    let details = gateway.method(tokens.succeeds).await.unwrap().expect("it is stored");
    assert!(!details.brand.is_empty() && details.expires.is_some());
    assert!(details.last4.is_some_and(|digits| digits.len() == 4));
    assert_eq!(gateway.method(tokens.unknown).await, Ok(None));
    let hosted = gateway.hosted_method(&payer(&[])).expect("it has pages");
    assert_eq!(gateway.method(&hosted).await, Ok(None));
}
