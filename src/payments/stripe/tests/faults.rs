//! What every fault is sorted as, what the provider's books hold then, and how it ends.

use super::super::charges::INTENTS;
use super::*;
use crate::payments::contract::{payer, refund, request};
use crate::payments::stripe_rehearsal::{Fault, Script};

/// How a failed call is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Unclear,
    NotSent,
    Misuse,
    Mismatch,
}

fn class<T: std::fmt::Debug>(answer: &Result<T, GatewayError>) -> Option<Class> {
    let error = answer.as_ref().err()?;
    // F88: no error ever tells the secret key, a token, or whose it is.
    let text = format!("{error} {error:?}");
    for secret in ["CANARY", "pm_", "cus_"] {
        assert!(!text.contains(secret), "{text}");
    }
    match error {
        GatewayError::Unclear(_) => Some(Class::Unclear),
        GatewayError::NotSent(_) => Some(Class::NotSent),
        GatewayError::Misuse(_) => Some(Class::Misuse),
        GatewayError::Mismatch(_) => Some(Class::Mismatch),
        GatewayError::Unsupported(_) => None,
    }
}

/// Faults of a send: how it is sorted, and how often money was taken.
const SENDS: &[(Fault, Class, usize)] = &[
    (Fault::CloseBefore, Class::Unclear, 0),
    (Fault::CloseAfter, Class::Unclear, 1),
    (Fault::KeyInUse, Class::Unclear, 0),
    (Fault::Locked, Class::NotSent, 0),
    (Fault::TooMany(0), Class::NotSent, 0),
    (Fault::Error500Before, Class::Unclear, 0),
    (Fault::Error500After, Class::Unclear, 1),
    (Fault::BadGateway, Class::Unclear, 0),
    (Fault::UnavailableAfter, Class::Unclear, 1),
    (Fault::Redirect, Class::Unclear, 0),
    (Fault::Oversized, Class::Unclear, 1),
    (Fault::Malformed, Class::Unclear, 1),
    (Fault::NoStatus, Class::Unclear, 1),
    (Fault::WrongAmount, Class::Mismatch, 1),
    (Fault::WrongCurrency, Class::Mismatch, 1),
    (Fault::WrongMethod, Class::Mismatch, 1),
    (Fault::WrongKey, Class::Mismatch, 1),
];

/// Faults that only end by the client's own time-out.
const SILENCE: &[(Fault, usize)] =
    &[(Fault::HangBefore, 0), (Fault::HangAfter, 1), (Fault::SlowDrip, 1)];

/// A method that was saved on a page: its id is a real one, not a test name.
async fn saved(rehearsed: &Rehearsed) -> String {
    let page = rehearsed.gateway().save_method_page(&payer(&[]), "https://a.example").await;
    rehearsed.0.act_on_page(&page.unwrap().url, "pm_card_visa").unwrap()
}

// F62–F65, F69
#[tokio::test]
async fn every_fault_of_a_send_is_sorted_and_ends_well() {
    let rehearsed = Rehearsed::start().await;
    let (gateway, token) = (rehearsed.gateway(), saved(&rehearsed).await);
    for (n, (fault, expected, taken)) in SENDS.iter().enumerate() {
        let key = format!("k-{n}");
        let request = request(&key, &token, 9_900);
        assert!(rehearsed.0.script(Script::on_key(&key, *fault)));
        let answer = gateway.charge(&request).await;
        assert_eq!(class(&answer), Some(*expected), "{fault:?}: {answer:?}");
        assert_eq!(rehearsed.0.taken(&key), *taken, "{fault:?}");
        ends_well(&rehearsed, &request, *taken, *fault).await;
    }
}

// F62, F63, F74
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_is_unclear() {
    let rehearsed = Arc::new(Rehearsed::start().await);
    let token = saved(&rehearsed).await;
    let mut rows = tokio::task::JoinSet::new();
    for (fault, taken) in SILENCE {
        let (rehearsed, token) = (Arc::clone(&rehearsed), token.clone());
        rows.spawn(async move {
            let key = format!("{fault:?}");
            let request = request(&key, &token, 9_900);
            assert!(rehearsed.0.script(Script::on_key(&key, *fault)));
            let answer = rehearsed.hasty().charge(&request).await;
            assert_eq!(class(&answer), Some(Class::Unclear), "{fault:?}: {answer:?}");
            ends_well(&rehearsed, &request, *taken, *fault).await;
        });
    }
    rows.join_all().await;
}

/// After any fault: the look-up tells the truth, and sending again takes the money once.
async fn ends_well(rehearsed: &Rehearsed, request: &ChargeRequest, taken: usize, fault: Fault) {
    let gateway = rehearsed.gateway();
    let found = gateway.lookup(request).await.unwrap();
    let is_taken = matches!(found, Some(ChargeOutcome::Succeeded { .. }));
    assert_eq!((is_taken, found.is_some()), (taken == 1, taken == 1), "{fault:?}: {found:?}");
    let again = gateway.charge(request).await;
    if matches!(fault, Fault::Error500Before | Fault::Error500After) {
        // F64: a stored 500 is replayed; only the look-up helps.
        assert_eq!(class(&again), Some(Class::Unclear), "{fault:?}: {again:?}");
        assert_eq!(rehearsed.0.taken(&request.key), taken, "{fault:?}");
    } else {
        assert!(matches!(again, Ok(ChargeOutcome::Succeeded { .. })), "{fault:?}: {again:?}");
        assert_eq!(rehearsed.0.taken(&request.key), 1, "{fault:?}");
    }
}

// F62, F69: a look-up that fails never says "no such charge".
#[tokio::test]
async fn a_broken_look_up_is_never_taken_for_nothing() {
    let rehearsed = Rehearsed::start().await;
    let (gateway, token) = (rehearsed.gateway(), saved(&rehearsed).await);
    let request = request("k", &token, 9_900);
    gateway.charge(&request).await.unwrap();
    for (fault, expected, _) in SENDS {
        assert!(rehearsed.0.script(Script::on_path("GET", INTENTS, *fault)));
        let answer = gateway.lookup(&request).await;
        if *fault == Fault::WrongKey {
            // The list seems to hold no such key; the index does.
            assert!(matches!(answer, Ok(Some(ChargeOutcome::Succeeded { .. }))), "{answer:?}");
        } else {
            assert_eq!(class(&answer), Some(*expected), "{fault:?}: {answer:?}");
        }
    }
    assert_eq!(rehearsed.0.taken("k"), 1);
}

// F65: a question before the charge that fails took nothing.
#[tokio::test]
async fn a_charge_whose_customer_cannot_be_asked_for_was_not_sent() {
    let rehearsed = Rehearsed::start().await;
    for fault in [Fault::CloseBefore, Fault::BadGateway, Fault::Malformed, Fault::TooMany(0)] {
        let path = "/v1/payment_methods";
        assert!(rehearsed.0.script(Script::on_path("GET", path, fault)));
        let answer = rehearsed.gateway().charge(&request("k", "pm_card_visa_acme", 100)).await;
        assert_eq!(class(&answer), Some(Class::NotSent), "{fault:?}: {answer:?}");
    }
    assert!(rehearsed.0.journal().is_empty());
}

// F62–F65, F69
#[tokio::test]
async fn every_fault_of_a_refund_is_sorted_and_ends_well() {
    let rehearsed = Rehearsed::start().await;
    let (gateway, token) = (rehearsed.gateway(), saved(&rehearsed).await);
    for (n, (fault, expected, given)) in SENDS.iter().enumerate() {
        if *fault == Fault::WrongMethod {
            continue;
        }
        let charge = request(&format!("charge-{n}"), &token, 100);
        let outcome = gateway.charge(&charge).await.unwrap();
        let refund = refund(&format!("refund-{n}"), &charge, outcome.provider_id().unwrap(), 60);
        assert!(rehearsed.0.script(Script::on_key(&refund.key, *fault)));
        let answer = gateway.refund(&refund).await;
        assert_eq!(class(&answer), Some(*expected), "{fault:?}: {answer:?}");
        let found = gateway.lookup_refund(&refund).await.unwrap();
        assert_eq!(found.is_some(), *given == 1, "{fault:?}: {found:?}");
        let _ = gateway.refund(&refund).await;
        let back = rehearsed.given_back(&charge.key);
        assert_eq!(back, if *fault == Fault::Error500Before { 0 } else { 60 }, "{fault:?}");
    }
}

// F65
#[tokio::test]
async fn where_nobody_listens_nothing_was_sent() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rehearsed = Rehearsed::start().await;
    let without_tls = rehearsed.0.base_url().replace("http:", "https:");
    for base_url in [format!("http://{free}"), without_tls] {
        let gateway = Stripe::new(settings(base_url)).unwrap();
        let request = request("k", "cus_acme/pm_card_visa", 100);
        assert_eq!(class(&gateway.charge(&request).await), Some(Class::NotSent));
        assert_eq!(class(&gateway.lookup(&request).await), Some(Class::NotSent));
    }
    assert!(rehearsed.0.journal().is_empty());
}

// F65
#[tokio::test]
async fn a_rest_that_is_asked_for_is_told() {
    let rehearsed = Rehearsed::start().await;
    assert!(rehearsed.0.script(Script::on_key("k", Fault::TooMany(7))));
    let answer = rehearsed.gateway().charge(&request("k", "cus_acme/pm_card_visa", 100)).await;
    assert!(
        matches!(&answer, Err(GatewayError::NotSent(text)) if text.contains("7 s")),
        "{answer:?}"
    );
}

// F88
#[tokio::test]
async fn the_secret_key_is_seen_nowhere() {
    let rehearsed = Rehearsed::start().await;
    let settings = settings(rehearsed.0.base_url());
    let gateway = Stripe::new(settings.clone()).unwrap();
    let shown = format!("{settings:?} {gateway:?} {}", gateway.describe("pm_CANARY"));
    assert!(!shown.contains("CANARY"), "{shown}");
    let live = StripeSettings { key: Secret::new("sk_live_CANARY"), ..settings.clone() };
    let answer = Stripe::new(live).unwrap().charge(&request("k", "cus_acme/pm_card_visa", 1)).await;
    assert_eq!(class(&answer), Some(Class::Misuse), "{answer:?}");
    for key in ["", "sk_test_CANARY\n"] {
        let error = Stripe::new(StripeSettings { key: Secret::new(key), ..settings.clone() });
        let error = error.map(|_| ()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
    }
    assert!(rehearsed.0.journal().is_empty());
}
