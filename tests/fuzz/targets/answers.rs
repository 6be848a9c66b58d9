//! Answers of the payment provider: no money is believed that was not asked for (F64, F69).

use monthend::domain::money::{Currency, Money};
use monthend::domain::payment::{ChargeOutcome, ChargeRequest, RefundOutcome, RefundRequest};
use monthend::payments::GatewayError;
use monthend::payments::stripe::{charge_answer, refund_answer};
use serde_json::Value;

/// What a provider may say of a customer; it must not come out again.
const CANARY: &str = "CANARY TEXT";

/// A status on the first line, then the body.
pub fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (status, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let status = std::str::from_utf8(status).ok().and_then(|status| status.parse().ok());
    let Some(status) = status else { return };
    charge(status, body);
    refund(status, body);
}

fn request() -> ChargeRequest {
    ChargeRequest {
        key: "mk_1".to_owned(),
        amount: Money::from_minor(12_345, "USD".parse::<Currency>().expect("a currency")),
        payment_method: "cus_acme/pm_1".to_owned(),
        organization: "acme".to_owned(),
        reference: "INV-2026-000001".to_owned(),
    }
}

fn charge(status: u16, body: &[u8]) {
    let request = request();
    match charge_answer(status, body, &request) {
        Ok(ChargeOutcome::Succeeded { provider_id }) => {
            assert!((200..300).contains(&status));
            let body = asked(body, 12_345);
            assert_eq!(body["id"], provider_id.as_str());
            assert_eq!(body["status"], "succeeded");
            assert_eq!(body["amount_received"].as_i64(), Some(12_345));
            for (field, sent) in [("customer", "cus_acme"), ("payment_method", "pm_1")] {
                let used = if body[field].is_object() { &body[field]["id"] } else { &body[field] };
                assert!(used.as_str().is_none_or(|used| used == sent || !is_id(used)), "{body}");
            }
        }
        Ok(ChargeOutcome::Pending { provider_id } | ChargeOutcome::NeedsAction { provider_id }) => {
            assert_eq!(asked(body, 12_345)["id"], provider_id.as_str());
        }
        Ok(ChargeOutcome::Declined { provider_id, decline }) => {
            assert!(is_id(&decline.code), "{:?}", decline.code);
            assert!(!decline.message.contains(CANARY));
            assert!(provider_id.is_none_or(|id| is_id(&id)));
            // Without an intent of ours only a refusal is a decline.
            assert!((200..500).contains(&status), "{status}");
        }
        Err(error) => silent(status, &error),
    }
}

fn refund(status: u16, body: &[u8]) {
    let request = RefundRequest {
        key: "mk_1".to_owned(),
        charge: request(),
        provider_id: "pi_1".to_owned(),
        amount: Money::from_minor(345, "USD".parse::<Currency>().expect("a currency")),
        reference: "CN-2026-000001".to_owned(),
    };
    match refund_answer(status, body, &request) {
        Ok(RefundOutcome::Succeeded { provider_id } | RefundOutcome::Pending { provider_id }) => {
            assert!((200..300).contains(&status));
            let body = asked(body, 345);
            assert_eq!(body["id"], provider_id.as_str());
            assert!(body["payment_intent"].as_str().is_none_or(|id| id == "pi_1" || !is_id(id)));
        }
        Ok(RefundOutcome::Failed { message, .. }) => assert!(!message.contains(CANARY)),
        Err(error) => silent(status, &error),
    }
}

/// The body, which is about our key and this amount.
fn asked(body: &[u8], amount: i64) -> Value {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    assert_eq!(body["metadata"]["monthend_key"], "mk_1", "{body}");
    assert_eq!(body["amount"].as_i64(), Some(amount), "{body}");
    assert_eq!(body["currency"], "usd", "{body}");
    body
}

fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(fits)
}

/// Errors repeat nothing, and an answer that may hide a payment is never "nothing was sent".
fn silent(status: u16, error: &GatewayError) {
    let said = error.to_string();
    assert!(!said.contains(CANARY), "{said}");
    assert!(said.len() <= 2_000 && !said.contains(char::is_control), "{said:?}");
    if matches!(error, GatewayError::NotSent(_)) {
        assert_eq!(status, 409, "{said}");
    }
}
