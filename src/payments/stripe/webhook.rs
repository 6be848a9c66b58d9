//! Notifications of Stripe: checked, then read as hints where to look (S31).

use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::answers::{metadata, name_in, reference_in};
use super::lists::{KEY, ORGANIZATION};
use super::token::Token;
use crate::domain::payment::{EventSubject, ProviderEvent};
use crate::domain::secret::Secret;

/// Longest notification that is read.
pub const MAX_BODY: usize = 1024 * 1024;
/// How far a signature's time may lie from ours, both ways.
pub const TOLERANCE: TimeDelta = TimeDelta::minutes(5);

/// Most signatures of one notification that are compared.
const MOST_SIGNATURES: usize = 20;

/// Why a notification is refused; nothing of it is believed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// Longer than [`MAX_BODY`].
    #[error("the notification is longer than 1 MiB")]
    TooLong,
    /// No header, or none in the form `t=…,v1=…`.
    #[error("the header Stripe-Signature is missing or not in the form t=…,v1=…")]
    Header,
    /// Too old, or from the future: perhaps sent again by someone else.
    #[error("the notification was signed at another time; check this machine's clock")]
    Time,
    /// Not signed with any of our secrets.
    #[error("the notification is not signed with a known secret; check the endpoint's whsec_…")]
    Signature,
    /// Signed, but not a notification.
    #[error("the notification is not the JSON of an event")]
    Body,
}

/// Checks a notification's signature against each of our secrets (two while they are exchanged), and
/// reads what it is about. Pure: `now` is the caller's clock.
///
/// # Errors
/// Anything that keeps it from being believed.
pub fn verify_and_read(
    secrets: &[Secret],
    header: &str,
    body: &[u8],
    now: DateTime<Utc>,
    tolerance: TimeDelta,
) -> Result<ProviderEvent, WebhookError> {
    if body.len() > MAX_BODY {
        return Err(WebhookError::TooLong);
    }
    let (at, signatures) = header_parts(header).ok_or(WebhookError::Header)?;
    let is_signed = secrets.iter().filter(|secret| !secret.expose().is_empty()).any(|secret| {
        signatures.iter().any(|signature| {
            keyed(secret, at, body).is_some_and(|mac| mac.verify_slice(signature).is_ok())
        })
    });
    if !is_signed {
        return Err(WebhookError::Signature);
    }
    let signed_at = at.parse().ok().and_then(|at| DateTime::from_timestamp(at, 0));
    let away = signed_at.ok_or(WebhookError::Header)?.signed_duration_since(now).abs();
    if away > tolerance {
        return Err(WebhookError::Time);
    }
    let event: Value = serde_json::from_slice(body).map_err(|_| WebhookError::Body)?;
    read(&event).ok_or(WebhookError::Body)
}

/// The header that signs a body, as Stripe writes it; none: the secret is no key.
#[must_use]
pub fn signature(secret: &Secret, at: DateTime<Utc>, body: &[u8]) -> Option<String> {
    let at = at.timestamp().to_string();
    let code = keyed(secret, &at, body)?.finalize().into_bytes();
    Some(format!("t={at},v1={}", hex(&code)))
}

fn hex(bytes: &[u8]) -> String {
    let digit = |bits: u8| char::from_digit(u32::from(bits), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn keyed(secret: &Secret, at: &str, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).ok()?;
    mac.update(at.as_bytes());
    mac.update(b".");
    mac.update(body);
    Some(mac)
}

/// The time as it was signed, and the signatures of the one kind that is in use.
fn header_parts(header: &str) -> Option<(&str, Vec<[u8; 32]>)> {
    let (mut at, mut signatures) = (None, Vec::new());
    for (name, value) in header.split(',').filter_map(|part| part.trim().split_once('=')) {
        match name {
            "t" if at.is_none() => at = Some(value),
            // Two times: which one was signed is anybody's choice.
            "t" => return None,
            "v1" if signatures.len() < MOST_SIGNATURES => signatures.extend(unhex(value)),
            _ => {}
        }
    }
    (!signatures.is_empty()).then_some((at?, signatures))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

fn read(event: &Value) -> Option<ProviderEvent> {
    let (id, kind) = (name_in(event, "id")?, name_in(event, "type")?);
    let object = event.get("data")?.get("object").filter(|object| object.is_object())?;
    let about = subject(&kind, object, event).unwrap_or(EventSubject::Other);
    Some(ProviderEvent { id, kind, about })
}

/// What an event is about; none: nothing of ours.
fn subject(kind: &str, object: &Value, event: &Value) -> Option<EventSubject> {
    let key = || metadata(object, KEY).map(str::to_owned);
    let (family, _) = kind.split_once('.')?;
    match family {
        "charge" if kind.starts_with("charge.dispute.") => {
            Some(EventSubject::Dispute { key: key(), provider_id: name_in(object, "id")? })
        }
        "refund" => Some(EventSubject::Refund { key: key()? }),
        "charge" if kind.starts_with("charge.refund.") => {
            Some(EventSubject::Refund { key: key()? })
        }
        // A page to save a method on tells nothing the setup does not tell with the method's name.
        "checkout" if name_in(object, "mode").as_deref() == Some("setup") => None,
        "payment_intent" | "checkout" | "charge" => Some(EventSubject::Charge { key: key()? }),
        "setup_intent" if kind == "setup_intent.succeeded" => Some(EventSubject::MethodSaved {
            organization: metadata(object, ORGANIZATION)?.to_owned(),
            token: Token::join(
                &reference_in(object, "customer")?,
                &reference_in(object, "payment_method")?,
            ),
        }),
        "payment_method" => {
            let method = name_in(object, "id")?;
            // What is detached has no customer any more, but had one.
            let before = || event.get("data")?.get("previous_attributes");
            let customer = reference_in(object, "customer")
                .or_else(|| before().and_then(|before| reference_in(before, "customer")));
            let token = customer.map(|customer| Token::join(&customer, &method));
            Some(EventSubject::MethodChanged { token: token.unwrap_or(method) })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
