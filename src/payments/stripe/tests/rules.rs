//! What is Stripe's own: customers, keys and metadata, things that settle later, saved methods.

use super::super::charges::{INTENTS, labels};
use super::super::form::Form;
use super::*;
use crate::domain::money::Money;
use crate::domain::payment::{CANCELED, ChargeState, EventSubject};
use crate::payments::contract::{payer, refund, request, state};
use crate::payments::stripe_rehearsal::{Fault, Script};

const VISA: &str = "cus_acme/pm_card_visa";
const RETURN: &str = "https://portal.example/back";

fn found(answer: Result<Option<ChargeOutcome>, GatewayError>) -> ChargeState {
    state(answer.map(|found| found.unwrap()))
}

fn decline(outcome: &ChargeOutcome) -> Option<(&str, bool)> {
    match outcome {
        ChargeOutcome::Declined { decline, .. } => Some((decline.code.as_str(), decline.hard)),
        _ => None,
    }
}

// F66
#[tokio::test]
async fn declines_of_cards() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    for (card, expected) in [
        ("pm_card_declined", ("insufficient_funds", false)),
        ("pm_card_stolen", ("stolen_card", true)),
        ("pm_card_expired", ("expired_card", true)),
        ("pm_card_authentication", ("authentication_required", false)),
        ("pm_nobody", ("payment_method_missing", true)),
        ("pm_card_visa_other", ("payment_method_missing", true)),
    ] {
        let outcome = gateway.charge(&request(card, &format!("cus_acme/{card}"), 100)).await;
        assert_eq!(decline(&outcome.unwrap()), Some(expected), "{card}");
    }
    let outcome = gateway.charge(&request("k", "cus_missing/pm_card_visa", 100)).await.unwrap();
    assert_eq!(decline(&outcome), Some(("payment_method_missing", true)));
}

// F68
#[tokio::test]
async fn two_payments_of_one_key_raise_the_alarm() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let request = request("k", VISA, 100);
    gateway.charge(&request).await.unwrap();
    let form = labels(Form::default(), "metadata", &request)
        .with("amount", "100")
        .with("currency", "usd")
        .with("customer", "cus_acme")
        .with("payment_method", "pm_card_visa")
        .with("off_session", "true")
        .with("confirm", "true")
        .with("return_url", "https://example.com");
    assert!(gateway.client.post(INTENTS, &form, Some("another key")).await.is_ok());
    for answer in [gateway.lookup(&request).await, gateway.cancel(&request).await] {
        assert!(matches!(answer, Err(GatewayError::Mismatch(_))), "{answer:?}");
    }
}

// F71: money that was taken before a method went is never taken for a declined card.
#[tokio::test]
async fn a_method_that_went_after_its_charge_is_no_decline() {
    let rehearsed = Rehearsed::start().await;
    let request = request("k", "pm_card_timeout_after_acme", 100);
    assert!(rehearsed.gateway().charge(&request).await.is_err());
    assert!(rehearsed.0.detach("pm_card_timeout_after_acme"));
    rehearsed.0.lag_search(true);
    assert_eq!(rehearsed.gateway().lookup(&request).await, Ok(None), "the index lags behind");
    let again = rehearsed.gateway().charge(&request).await;
    assert!(matches!(again, Err(GatewayError::Misuse(_))), "{again:?}");
    rehearsed.0.lag_search(false);
    assert_eq!(found(rehearsed.gateway().lookup(&request).await), ChargeState::Succeeded);
    assert_eq!(rehearsed.0.taken("k"), 1);
}

#[tokio::test]
async fn a_method_that_went_before_its_charge_is_a_hard_decline() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    gateway.charge(&request("first", "pm_card_visa_acme", 100)).await.unwrap();
    assert!(rehearsed.0.detach("pm_card_visa_acme"));
    for gateway in [gateway, rehearsed.gateway()] {
        let outcome = gateway.charge(&request("second", "pm_card_visa_acme", 100)).await.unwrap();
        assert_eq!(decline(&outcome), Some(("payment_method_missing", true)));
        assert_eq!(gateway.method("pm_card_visa_acme").await, Ok(None));
    }
}

// F66
#[tokio::test]
async fn what_settles_later_is_asked_for_again() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let token = "cus_acme/pm_sepa_debit";
    let (good, bad) = (request("good", token, 100), request("bad", token, 100));
    for request in [&good, &bad] {
        assert_eq!(state(gateway.charge(request).await), ChargeState::Pending);
        // It cannot be called off any more.
        assert_eq!(found(gateway.cancel(request).await), ChargeState::Pending);
    }
    assert!(rehearsed.0.settle("good", None));
    assert!(rehearsed.0.settle("bad", Some("insufficient_funds")));
    assert_eq!(found(gateway.lookup(&good).await), ChargeState::Succeeded);
    assert_eq!(found(gateway.lookup(&bad).await), ChargeState::Declined);
    // A replayed answer is an old one.
    assert_eq!(state(gateway.charge(&good).await), ChargeState::Succeeded);
    assert_eq!(state(gateway.charge(&bad).await), ChargeState::Declined);
    assert!(!rehearsed.0.settle("good", None) && rehearsed.0.taken("good") == 1);
}

// F69
#[tokio::test]
async fn an_answer_about_another_payment_is_a_mismatch() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let request = request("k", "cus_acme/pm_card_processing", 100);
    gateway.charge(&request).await.unwrap();
    assert!(rehearsed.0.script(Script::on_path("GET", INTENTS, Fault::WrongId)));
    let answer = gateway.charge(&request).await;
    assert!(matches!(answer, Err(GatewayError::Mismatch(_))), "{answer:?}");
}

#[tokio::test]
async fn a_refund_that_settles_later() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let charge = request("k", "cus_acme/pm_card_refund_pending", 100);
    let outcome = gateway.charge(&charge).await.unwrap();
    for (key, succeeds) in [("a", true), ("b", false)] {
        let refund = refund(key, &charge, outcome.provider_id().unwrap(), 40);
        let pending = gateway.refund(&refund).await.unwrap();
        assert!(matches!(pending, RefundOutcome::Pending { .. }));
        assert!(rehearsed.0.settle_refund(key, succeeds));
        let settled = gateway.lookup_refund(&refund).await.unwrap().unwrap();
        assert_eq!(matches!(settled, RefundOutcome::Succeeded { .. }), succeeds, "{settled:?}");
        assert_eq!(gateway.refund(&refund).await, Ok(settled));
    }
    assert_eq!(rehearsed.given_back("k"), 40);
}

// F51
#[tokio::test]
async fn currencies_that_deviate_come_back_as_they_were_asked() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    for (code, minor, taken) in [("ISK", 500, 50_000), ("JPY", 500, 500), ("KWD", 1_230, 1_230)] {
        let amount = Money::from_minor(minor, code.parse().unwrap());
        let request = ChargeRequest { amount, ..request(code, VISA, 1) };
        assert_eq!(state(gateway.charge(&request).await), ChargeState::Succeeded);
        assert_eq!(found(gateway.lookup(&request).await), ChargeState::Succeeded);
        let journal = rehearsed.0.journal();
        let booked = journal.iter().find(|it| it.key == code).unwrap();
        assert_eq!(
            (booked.amount, booked.currency.as_str()),
            (taken, code.to_lowercase().as_str())
        );
    }
}

#[tokio::test]
async fn a_charge_on_a_later_page_of_the_list_is_found() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    rehearsed.0.lag_search(true);
    for n in 0..120 {
        gateway.charge(&request(&format!("k-{n}"), VISA, 100)).await.unwrap();
    }
    assert_eq!(found(gateway.lookup(&request("k-0", VISA, 100)).await), ChargeState::Succeeded);
    assert_eq!(gateway.lookup(&request("k-x", VISA, 100)).await, Ok(None));
}

// C2: no page is overlooked because the index does not show its customer yet.
#[tokio::test]
async fn a_page_is_found_while_the_index_lags() {
    let rehearsed = Rehearsed::start().await;
    rehearsed.0.lag_search(true);
    let request = request("k", "hosted", 100);
    rehearsed.gateway().pay_page(&request, &payer(&[]), RETURN).await.unwrap();
    assert_eq!(found(rehearsed.gateway().lookup(&request).await), ChargeState::NeedsAction);
    assert!(rehearsed.0.act_on_page("k", "pm_card_declined").is_none());
    assert_eq!(found(rehearsed.gateway().lookup(&request).await), ChargeState::NeedsAction);
    assert!(rehearsed.0.act_on_page("k", "pm_card_visa").is_some());
    assert_eq!(found(rehearsed.gateway().cancel(&request).await), ChargeState::Succeeded);
    assert_eq!(rehearsed.0.taken("k"), 1);
}

#[tokio::test]
async fn a_page_that_ran_out_is_over() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let request = request("k", "cus_acme/hosted", 100);
    gateway.pay_page(&request, &payer(&[]), RETURN).await.unwrap();
    assert!(rehearsed.0.expire_page("k") && !rehearsed.0.expire_page("k"));
    let outcome = gateway.lookup(&request).await.unwrap().unwrap();
    assert_eq!(decline(&outcome), Some((CANCELED, false)));
}

// S61: what is saved on a page is told, shown, charged, and gone.
#[tokio::test]
async fn a_saved_method_from_the_page_to_the_charge() {
    let rehearsed = Rehearsed::start().await;
    let gateway = rehearsed.gateway();
    let page = gateway.save_method_page(&payer(&[]), RETURN).await.unwrap();
    let token = rehearsed.0.act_on_page(&page.url, "pm_card_google_pay").unwrap();
    let secret = Secret::new("whsec_x");
    let told: Vec<EventSubject> = rehearsed
        .0
        .notifications(&secret)
        .iter()
        .map(|(body, header)| {
            let secrets = std::slice::from_ref(&secret);
            let tolerance = webhook::TOLERANCE;
            webhook::verify_and_read(secrets, header, body.as_bytes(), noon(), tolerance)
                .unwrap()
                .about
        })
        .collect();
    let organization = "acme".to_owned();
    assert!(
        told.contains(&EventSubject::MethodSaved { organization, token: token.clone() }),
        "{told:?}"
    );
    let details = gateway.method(&token).await.unwrap().unwrap();
    assert_eq!(
        (details.brand.as_str(), details.last4.as_deref()),
        ("visa (Google Pay)", Some("4242"))
    );
    assert_eq!(state(gateway.charge(&request("k", &token, 100)).await), ChargeState::Succeeded);
    assert_eq!(gateway.hosted_method(&payer(&[&token])).as_deref(), Some("cus_acme/hosted"));
    assert!(rehearsed.0.detach(token.split_once('/').unwrap().1));
    assert_eq!(gateway.method(&token).await, Ok(None));
}
