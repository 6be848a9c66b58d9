//! Notifications of the provider: nothing is believed without its signature, and a signed one never panics.

use chrono::{DateTime, TimeDelta, Utc};
use monthend::domain::payment::{EventSubject, ProviderEvent};
use monthend::domain::secret::Secret;
use monthend::payments::stripe::webhook::{TOLERANCE, WebhookError, signature, verify_and_read};
use monthend::webhooks::{self, Key};

/// The header on the first line, then the body.
pub fn target(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (header, body) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let (secret, now) = (Secret::new("whsec_of_the_endpoint"), DateTime::UNIX_EPOCH);
    let now = now + TimeDelta::seconds(1_800_000_000);
    let header = String::from_utf8_lossy(header);
    if let Ok(event) = verify_and_read(std::slice::from_ref(&secret), &header, body, now, TOLERANCE)
    {
        assert!(carries(&secret, &header, body, now), "believed: {header:?}");
        sane(&event);
    }
    signed(&secret, body, now);
    outgoing(&header, body);
}

/// Is there a time within the tolerance whose signature of this body is in the header?
fn carries(secret: &Secret, header: &str, body: &[u8], now: DateTime<Utc>) -> bool {
    let times = header.split(',').filter_map(|part| part.trim().strip_prefix("t="));
    let times: Vec<DateTime<Utc>> = times
        .filter_map(|time| time.parse().ok().and_then(|time| DateTime::from_timestamp(time, 0)))
        .collect();
    let header = header.to_ascii_lowercase();
    times.len() == 1
        && (times[0] - now).abs() <= TOLERANCE
        && signature(secret, times[0], body)
            .and_then(|whole| whole.split_once("v1=").map(|(_, code)| code.to_owned()))
            .is_some_and(|code| header.contains(&code))
}

/// The same body signed as it should be: read or refused; and not believed once anything differs.
fn signed(secret: &Secret, body: &[u8], now: DateTime<Utc>) {
    let header = signature(secret, now, body).expect("a key");
    let read = |header: &str, body: &[u8], now| {
        verify_and_read(&[Secret::new("another"), secret.clone()], header, body, now, TOLERANCE)
    };
    match read(&header, body, now) {
        Ok(event) => sane(&event),
        Err(error) => assert_eq!(error, WebhookError::Body),
    }
    let mut other = body.to_vec();
    other.push(b' ');
    assert_eq!(read(&header, &other, now), Err(WebhookError::Signature));
    other.pop();
    if let Some(first) = other.first_mut() {
        *first ^= 1;
        assert_eq!(read(&header, &other, now), Err(WebhookError::Signature));
    }
    let late = now + TOLERANCE + TimeDelta::seconds(1);
    assert_eq!(read(&header, body, late), Err(WebhookError::Time));
    let twice = format!("{header},t={}", late.timestamp());
    assert_eq!(read(&twice, body, now), Err(WebhookError::Header));
}

fn sane(event: &ProviderEvent) {
    let is_id = |text: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
        !text.is_empty() && text.len() <= 511 && text.bytes().all(fits)
    };
    assert!(is_id(&event.id) && is_id(&event.kind), "{event:?}");
    match &event.about {
        EventSubject::MethodSaved { token, .. } | EventSubject::MethodChanged { token } => {
            assert!(is_id(token), "{event:?}");
        }
        EventSubject::Dispute { provider_id, .. } => assert!(is_id(provider_id)),
        EventSubject::Charge { .. } | EventSubject::Refund { .. } | EventSubject::Other => {}
    }
}

/// Secrets of our own webhooks, and what they sign.
fn outgoing(text: &str, body: &[u8]) {
    match Key::parse(text) {
        // The same whatever was given: nothing of a secret is in it.
        Err(said) => assert_eq!(Some(said), Key::parse("").err()),
        Ok(key) => {
            let body = String::from_utf8_lossy(body);
            let header = webhooks::signature(&[key], "msg_1", 1, &body);
            assert!(header.starts_with("v1,") && header.is_ascii());
            assert!(!header.contains(char::is_whitespace));
        }
    }
}
