//! What every gateway must do, written once. A gateway's tests name a [`Fixture`] and call
//! `gateway_contract!`; each function here then runs as a test of its own.

use std::sync::Arc;

use super::{GatewayError, PaymentGateway};
use crate::domain::money::{Currency, Money};
use crate::domain::payment::{ChargeOutcome, ChargeRequest, ChargeState, Payer};

mod calling_off;
mod giving_back;
mod pages;

pub(crate) use calling_off::*;
pub(crate) use giving_back::*;
pub(crate) use pages::*;

/// A provider under test that keeps its state while gateways onto it come and go.
pub(crate) trait Fixture: Sync {
    /// A new gateway onto the same provider, as after a restart of the program.
    fn open(&self) -> Arc<dyn PaymentGateway>;
    /// Payment methods with known behaviour.
    fn tokens(&self) -> Tokens;
    /// How many charges of this key took money, by the provider's own books.
    fn successes(&self, key: &str) -> usize;
    /// How much of this key's charge went back, by the provider's own books, in minor units.
    fn given_back(&self, key: &str) -> i64;
    /// The customer pays what waits for him under this key.
    fn pay(&self, key: &str);
    /// Leaves what a crash in the middle of a write would leave, where the gateway keeps a file.
    fn tear(&self) {}
}

/// Payment methods with known behaviour.
pub(crate) struct Tokens {
    pub(crate) succeeds: &'static str,
    pub(crate) soft_decline: &'static str,
    pub(crate) hard_decline: &'static str,
    pub(crate) unknown: &'static str,
    pub(crate) needs_action: &'static str,
    /// The first send of a key gets lost before the provider acts.
    pub(crate) timeout_before: &'static str,
    /// The provider acts; the answer to the first send of a key gets lost.
    pub(crate) timeout_after: &'static str,
}

/// A request over US cents.
pub(crate) fn request(key: &str, method: &str, minor: i64) -> ChargeRequest {
    ChargeRequest {
        key: key.to_owned(),
        amount: Money::from_minor(minor, Currency::USD),
        payment_method: method.to_owned(),
        organization: "acme".to_owned(),
        reference: "INV-2026-000001".to_owned(),
    }
}

/// Who pays them.
pub(crate) fn payer(methods: &[&str]) -> Payer {
    Payer {
        organization: "acme".to_owned(),
        name: "Acme & Sons".to_owned(),
        email: "billing@acme.example".to_owned(),
        methods: methods.iter().map(|token| (*token).to_owned()).collect(),
    }
}

/// Makes one test of each rule of the contract for the fixture an expression makes.
macro_rules! gateway_contract {
    ($fixture:expr) => {
        gateway_contract!($fixture;
            success, replay, other_parameters_are_refused, a_decline_is_final, needs_action,
            timeout_before, timeout_after, lookup_changes_nothing, restart_keeps_everything,
            concurrent_sends_are_one_charge, a_torn_write_is_survived, what_waits_is_called_off,
            what_is_over_stays_as_it_is, what_is_unknown_stays_unknown, a_refund_gives_back_once,
            another_refund_of_the_key_is_refused, refunds_never_exceed_the_charge,
            what_was_not_taken_is_not_given_back, a_page_is_paid, an_open_page_is_called_off,
            a_paid_page_stays_paid, pages_and_methods_are_told_apart, pages_for_methods,
            methods_are_shown);
    };
    ($fixture:expr; $($rule:ident),+) => {
        mod contract {
            use super::*;
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $rule() {
                    crate::payments::contract::$rule(&$fixture).await;
                }
            )+
        }
    };
}

/// The state of an outcome.
pub(crate) fn state(answer: Result<ChargeOutcome, GatewayError>) -> ChargeState {
    answer.unwrap().state()
}

pub(crate) async fn success(fixture: &impl Fixture) {
    let request = request("k", fixture.tokens().succeeds, 9_900);
    let gateway = fixture.open();
    assert!(gateway.collects());
    assert_eq!(gateway.lookup(&request).await, Ok(None));
    let outcome = gateway.charge(&request).await.unwrap();
    assert_eq!(outcome.state(), ChargeState::Succeeded);
    assert!(outcome.provider_id().is_some_and(|id| !id.is_empty()));
    assert_eq!(gateway.lookup(&request).await, Ok(Some(outcome)));
    assert_eq!(fixture.successes("k"), 1);
}

// C3
pub(crate) async fn replay(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    for (key, token) in [
        ("a", tokens.succeeds),
        ("b", tokens.soft_decline),
        ("c", tokens.hard_decline),
        ("d", tokens.needs_action),
    ] {
        let request = request(key, token, 100);
        let first = fixture.open().charge(&request).await.unwrap();
        for _ in 0..3 {
            assert_eq!(fixture.open().charge(&request).await.as_ref(), Ok(&first));
        }
    }
    assert_eq!(fixture.successes("a"), 1);
}

// C3
pub(crate) async fn other_parameters_are_refused(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    let original = request("k", tokens.succeeds, 100);
    gateway.charge(&original).await.unwrap();
    let others = [
        ChargeRequest { amount: Money::from_minor(101, Currency::USD), ..original.clone() },
        ChargeRequest {
            amount: Money::from_minor(100, "EUR".parse().unwrap()),
            ..original.clone()
        },
        ChargeRequest { payment_method: tokens.soft_decline.to_owned(), ..original.clone() },
        ChargeRequest { organization: "other".to_owned(), ..original.clone() },
        ChargeRequest { reference: "INV-2026-000002".to_owned(), ..original.clone() },
    ];
    for other in &others {
        let answer = gateway.charge(other).await;
        assert!(matches!(answer, Err(GatewayError::Misuse(_))), "{other:?}: {answer:?}");
    }
    assert_eq!(fixture.successes("k"), 1);
    assert_eq!(state(gateway.charge(&original).await), ChargeState::Succeeded);
}

// F66
pub(crate) async fn a_decline_is_final(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    for (key, token, is_hard) in [
        ("soft", tokens.soft_decline, false),
        ("hard", tokens.hard_decline, true),
        ("unknown", tokens.unknown, true),
    ] {
        let request = request(key, token, 100);
        let outcome = gateway.charge(&request).await.unwrap();
        let is_as_expected = matches!(&outcome, ChargeOutcome::Declined { decline, .. }
            if decline.hard == is_hard && !decline.code.is_empty() && !decline.message.is_empty());
        assert!(is_as_expected, "{outcome:?}");
        // Where the method is gone, the provider may not have made a charge at all.
        let found = gateway.lookup(&request).await.unwrap();
        assert!(found == Some(outcome.clone()) || (key == "unknown" && found.is_none()));
        assert_eq!(gateway.charge(&request).await, Ok(outcome));
        assert_eq!(fixture.successes(key), 0);
    }
    let next_attempt = request("soft-2", tokens.succeeds, 100);
    assert_eq!(state(gateway.charge(&next_attempt).await), ChargeState::Succeeded);
}

// F66
pub(crate) async fn needs_action(fixture: &impl Fixture) {
    let request = request("k", fixture.tokens().needs_action, 100);
    assert_eq!(state(fixture.open().charge(&request).await), ChargeState::NeedsAction);
    assert_eq!(fixture.successes("k"), 0);
}

// F62
pub(crate) async fn timeout_before(fixture: &impl Fixture) {
    let request = request("k", fixture.tokens().timeout_before, 100);
    let answer = fixture.open().charge(&request).await;
    assert!(matches!(answer, Err(GatewayError::Unclear(_))), "{answer:?}");
    let gateway = fixture.open();
    assert_eq!(gateway.lookup(&request).await, Ok(None));
    assert_eq!(fixture.successes("k"), 0);
    assert_eq!(state(gateway.charge(&request).await), ChargeState::Succeeded);
    assert_eq!(state(gateway.charge(&request).await), ChargeState::Succeeded);
    assert_eq!(fixture.successes("k"), 1);
}

// F63
pub(crate) async fn timeout_after(fixture: &impl Fixture) {
    let request = request("k", fixture.tokens().timeout_after, 100);
    let answer = fixture.open().charge(&request).await;
    assert!(matches!(answer, Err(GatewayError::Unclear(_))), "{answer:?}");
    let gateway = fixture.open();
    let found = gateway.lookup(&request).await.unwrap().expect("the provider acted");
    assert_eq!(found.state(), ChargeState::Succeeded);
    assert_eq!(gateway.charge(&request).await, Ok(found));
    assert_eq!(fixture.successes("k"), 1);
}

pub(crate) async fn lookup_changes_nothing(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let gateway = fixture.open();
    let unsent = request("unsent", tokens.succeeds, 100);
    for _ in 0..3 {
        assert_eq!(gateway.lookup(&unsent).await, Ok(None));
    }
    // A lookup between the two sends does not count as the one that gets lost.
    let lost = request("lost", tokens.timeout_before, 100);
    assert_eq!(gateway.lookup(&lost).await, Ok(None));
    assert!(gateway.charge(&lost).await.is_err());
    assert_eq!((fixture.successes("unsent"), fixture.successes("lost")), (0, 0));
}

// F71
pub(crate) async fn restart_keeps_everything(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let requests = [
        request("a", tokens.succeeds, 100),
        request("b", tokens.soft_decline, 200),
        request("c", tokens.needs_action, 300),
    ];
    let gateway = fixture.open();
    let mut before = Vec::new();
    for request in &requests {
        before.push(gateway.charge(request).await.unwrap());
    }
    drop(gateway);
    let gateway = fixture.open();
    for (request, outcome) in requests.iter().zip(before) {
        assert_eq!(gateway.lookup(request).await, Ok(Some(outcome.clone())));
        assert_eq!(gateway.charge(request).await, Ok(outcome));
    }
}

// C2
pub(crate) async fn concurrent_sends_are_one_charge(fixture: &impl Fixture) {
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let gateway = fixture.open();
        let request = request("k", fixture.tokens().succeeds, 100);
        sends.spawn(async move { gateway.charge(&request).await.unwrap() });
    }
    let outcomes = sends.join_all().await;
    assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    assert_eq!(fixture.successes("k"), 1);
}

pub(crate) async fn a_torn_write_is_survived(fixture: &impl Fixture) {
    let tokens = fixture.tokens();
    let earlier = request("earlier", tokens.succeeds, 100);
    let open_all_along = fixture.open();
    let outcome = open_all_along.charge(&earlier).await.unwrap();
    fixture.tear();
    assert_eq!(fixture.open().charge(&earlier).await.as_ref(), Ok(&outcome));
    fixture.tear();
    let later = request("later", tokens.succeeds, 100);
    assert_eq!(state(open_all_along.charge(&later).await), ChargeState::Succeeded);
    assert_eq!(fixture.open().lookup(&earlier).await, Ok(Some(outcome)));
    assert_eq!((fixture.successes("earlier"), fixture.successes("later")), (1, 1));
}

/// What a way of paying must refuse where nobody is asked for money.
pub(crate) async fn collects_nothing(gateway: &dyn PaymentGateway) {
    let (request, payer) = (request("k", "anything", 9_900), payer(&["anything"]));
    let refund = refund("r", &request, "id", 100);
    let unsupported = |error: Option<GatewayError>| {
        assert!(matches!(&error, Some(GatewayError::Unsupported(_))), "{error:?}");
    };
    assert!(!gateway.collects());
    assert_eq!(gateway.lookup(&request).await, Ok(None));
    assert_eq!(gateway.hosted_method(&payer), None);
    unsupported(gateway.charge(&request).await.err());
    unsupported(gateway.cancel(&request).await.err());
    unsupported(gateway.refund(&refund).await.err());
    unsupported(gateway.lookup_refund(&refund).await.err());
    unsupported(gateway.pay_page(&request, &payer, "https://a.example").await.err());
    unsupported(gateway.save_method_page(&payer, "https://a.example").await.err());
    unsupported(gateway.portal_page(&payer, "https://a.example").await.err());
    unsupported(gateway.method("anything").await.err());
}
