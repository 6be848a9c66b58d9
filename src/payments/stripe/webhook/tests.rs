//! Notifications, honest and forged.

use serde_json::json;

use super::*;

fn now() -> DateTime<Utc> {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

fn secret() -> Secret {
    Secret::new("whsec_CANARY")
}

fn event(kind: &str, object: &Value) -> String {
    json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}}).to_string()
}

fn signed(body: &str, at: DateTime<Utc>) -> String {
    signature(&secret(), at, body.as_bytes()).unwrap()
}

fn verified(header: &str, body: &str) -> Result<ProviderEvent, WebhookError> {
    verify_and_read(&[secret()], header, body.as_bytes(), now(), TOLERANCE)
}

#[test]
fn a_known_signature() {
    // HMAC-SHA256 of "1.{}" under "k", computed apart from this program.
    let header = signature(&Secret::new("k"), DateTime::from_timestamp(1, 0).unwrap(), b"{}");
    let code = "3dd49b2593d0f9a349e9e71c4bde3e2b862c2be4003fe9b4ba81332029310158";
    assert_eq!(header, Some(format!("t=1,v1={code}")));
}

#[test]
fn subjects_of_events() {
    let ours = json!({"monthend_key": "k", "monthend_organization": "acme"});
    let charge = EventSubject::Charge { key: "k".to_owned() };
    let refund = EventSubject::Refund { key: "k".to_owned() };
    let changed = |token: &str| EventSubject::MethodChanged { token: token.to_owned() };
    let saved = EventSubject::MethodSaved {
        organization: "acme".to_owned(),
        token: "cus_1/pm_1".to_owned(),
    };
    let dispute = |key| EventSubject::Dispute { key, provider_id: "du_1".to_owned() };
    let method = json!({"id": "pm_1", "customer": "cus_1"});
    let setup = json!({"id": "seti_1", "customer": "cus_1", "payment_method": "pm_1",
        "metadata": ours});
    let session = |mode: &str| json!({"id": "cs_1", "mode": mode, "metadata": ours});
    for (kind, object, about) in [
        ("payment_intent.succeeded", json!({"id": "pi_1", "metadata": ours}), charge.clone()),
        ("payment_intent.payment_failed", json!({"metadata": ours}), charge.clone()),
        ("payment_intent.succeeded", json!({"id": "pi_1", "metadata": {}}), EventSubject::Other),
        ("checkout.session.completed", session("payment"), charge.clone()),
        ("checkout.session.expired", session("payment"), charge.clone()),
        ("checkout.session.completed", session("setup"), EventSubject::Other),
        ("setup_intent.succeeded", setup.clone(), saved),
        ("setup_intent.created", setup, EventSubject::Other),
        ("refund.created", json!({"metadata": ours}), refund.clone()),
        ("refund.failed", json!({"metadata": ours}), refund.clone()),
        ("charge.refund.updated", json!({"metadata": ours}), refund),
        ("charge.refunded", json!({"metadata": ours}), charge),
        ("payment_method.updated", method, changed("cus_1/pm_1")),
        ("payment_method.detached", json!({"id": "pm_1", "customer": null}), changed("pm_1")),
        ("charge.dispute.created", json!({"id": "du_1", "metadata": {}}), dispute(None)),
        (
            "charge.dispute.closed",
            json!({"id": "du_1", "metadata": ours}),
            dispute(Some("k".into())),
        ),
        ("invoice.paid", json!({"metadata": ours}), EventSubject::Other),
        ("unheard", json!({"metadata": ours}), EventSubject::Other),
    ] {
        let body = event(kind, &object);
        let read = verified(&signed(&body, now()), &body).unwrap();
        assert_eq!((read.id.as_str(), read.kind.as_str()), ("evt_1", kind));
        assert_eq!(read.about, about, "{kind}");
    }
}

#[test]
fn a_detached_method_names_the_customer_it_had() {
    let body = json!({"id": "evt_1", "type": "payment_method.detached", "data": {
        "object": {"id": "pm_1", "customer": null},
        "previous_attributes": {"customer": "cus_1"}}})
    .to_string();
    let read = verified(&signed(&body, now()), &body).unwrap();
    assert_eq!(read.about, EventSubject::MethodChanged { token: "cus_1/pm_1".to_owned() });
}

#[test]
fn forged_and_broken_notifications_are_refused() {
    let body = event("payment_intent.succeeded", &json!({"metadata": {"monthend_key": "k"}}));
    let good = signed(&body, now());
    let code = good.split_once("v1=").unwrap().1;
    let at = now().timestamp();
    for (header, expected) in [
        (String::new(), WebhookError::Header),
        (format!("t={at}"), WebhookError::Header),
        (format!("v1={code}"), WebhookError::Header),
        (format!("t={at},v0={code}"), WebhookError::Header),
        (format!("t={at},v1={}", &code[1..]), WebhookError::Header),
        (format!("t={at},v1={}", "é".repeat(32)), WebhookError::Header),
        (format!("t={at},t={at},v1={code}"), WebhookError::Header),
        (format!("t={},v1={code}", at + 1), WebhookError::Signature),
        (format!("t={at},v1={}", "0".repeat(64)), WebhookError::Signature),
    ] {
        assert_eq!(verified(&header, &body), Err(expected), "{header}");
    }
    assert_eq!(verified(&good, &body.replace('k', "K")), Err(WebhookError::Signature));
    for broken in ["", "[]", "{}", r#"{"id":"evt_1","type":"a.b"}"#, r#"{"id":1,"type":"a.b"}"#] {
        assert_eq!(verified(&signed(broken, now()), broken), Err(WebhookError::Body), "{broken}");
    }
    let long = " ".repeat(MAX_BODY + 1);
    assert_eq!(verified(&signed(&long, now()), &long), Err(WebhookError::TooLong));
}

#[test]
fn any_of_several_signatures_and_secrets_will_do() {
    let body = event("unheard", &json!({}));
    let good = signed(&body, now());
    let (at, code) = good.split_once(",v1=").unwrap();
    let header = format!("{at},v1={},v1={code},v0=abc", "0".repeat(64));
    assert!(verified(&header, &body).is_ok());
    let secrets = [Secret::new("whsec_new"), secret()];
    assert!(verify_and_read(&secrets, &good, body.as_bytes(), now(), TOLERANCE).is_ok());
    for secrets in [&secrets[..1], &[], &[Secret::new("")]] {
        let answer = verify_and_read(secrets, &good, body.as_bytes(), now(), TOLERANCE);
        assert_eq!(answer, Err(WebhookError::Signature));
    }
    // Whoever signs with no key at all is not believed because a secret was left empty.
    let keyless = signature(&Secret::new(""), now(), body.as_bytes()).unwrap();
    let answer = verify_and_read(&[Secret::new("")], &keyless, body.as_bytes(), now(), TOLERANCE);
    assert_eq!(answer, Err(WebhookError::Signature));
}

#[test]
fn the_time_may_lie_five_minutes_away() {
    let body = event("unheard", &json!({}));
    for (seconds, is_fine) in [(-301, false), (-300, true), (0, true), (300, true), (301, false)] {
        let at = now() + TimeDelta::seconds(seconds);
        let answer = verified(&signed(&body, at), &body);
        assert_eq!(answer.is_ok(), is_fine, "{seconds}: {answer:?}");
        assert!(is_fine || answer == Err(WebhookError::Time));
    }
    for at in ["", "-1", "x", "99999999999999999999"] {
        let code = keyed(&secret(), at, body.as_bytes()).unwrap().finalize().into_bytes();
        let answer = verified(&format!("t={at},v1={}", hex(&code)), &body);
        assert!(answer.is_err(), "{at}: {answer:?}");
    }
}
