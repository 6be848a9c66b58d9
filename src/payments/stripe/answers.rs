//! What Stripe's refusals mean, and how fields of its answers are read.
//!
//! Nothing of an answer's own text is passed on: it may repeat tokens. Codes and ids are, after a
//! look at their shape.

use serde_json::Value;

use crate::domain::payment::Decline;
use crate::payments::GatewayError;

/// Code of a decline: the stored method is not there any more, or no longer the customer's.
pub(super) const METHOD_MISSING: &str = "payment_method_missing";
/// Code of a decline: the bank wants to see the customer.
const AUTHENTICATION: &str = "authentication_required";
/// Longest code or id that is believed to be one.
const MAX_NAME: usize = 255;

/// Codes after which the same method is never tried again.
const HARD: &[&str] = &[
    "account_closed",
    "bank_account_restricted",
    "card_not_supported",
    "currency_not_supported",
    "debit_not_authorized",
    "do_not_try_again",
    "expired_card",
    "fraudulent",
    "highest_risk_level",
    "incorrect_number",
    "invalid_account",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "lost_card",
    "merchant_blacklist",
    "new_account_information_available",
    "no_account",
    "not_permitted",
    METHOD_MISSING,
    "pickup_card",
    "previously_declined_do_not_retry",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "testmode_decline",
    "transaction_not_allowed",
];

/// A request that Stripe refused with a readable error object.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    kind: String,
    pub(super) code: Option<String>,
    pub(super) param: Option<String>,
    pub(super) error: Value,
}

impl Refusal {
    /// Reads an error answer; none: it is not one.
    pub(super) fn read(status: u16, mut body: Value) -> Option<Self> {
        let error = body.get_mut("error").map(Value::take).filter(Value::is_object)?;
        Some(Self {
            status,
            kind: name_in(&error, "type").unwrap_or_default(),
            code: name_in(&error, "code"),
            // Names of parameters hold brackets; only this beginning is ever compared.
            param: error.get("param").and_then(Value::as_str).map(str::to_owned),
            error,
        })
    }

    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Is what this parameter named not there?
    pub(super) fn misses(&self, param: &str) -> bool {
        self.is("resource_missing") && self.param.as_deref().is_none_or(|named| named == param)
    }

    /// Does it speak of one certain payment method?
    pub(super) fn is_about_method(&self) -> bool {
        self.kind == "invalid_request_error"
            && self.param.as_deref().is_none_or(|named| named == "payment_method")
            && self.code.as_deref().is_none_or(|code| code.starts_with("payment_method_"))
    }
}

impl From<Refusal> for GatewayError {
    fn from(refusal: Refusal) -> Self {
        let code = refusal.code.as_deref().unwrap_or("no code");
        let advice = match (refusal.status, refusal.kind.as_str()) {
            (_, "idempotency_error") => {
                "the key was used before with other parameters; what was sent first stands"
            }
            (401, _) => "the secret key is not accepted; check it and restart",
            (403, _) => "the secret key may not do this; check its permissions",
            _ => "check the amount, the currency and the account's settings",
        };
        Self::Misuse(format!("HTTP {}, {} ({code}): {advice}", refusal.status, refusal.kind))
    }
}

/// A decline from an error object: of a refused request, or the last one of an intent.
pub(super) fn decline(error: &Value) -> Decline {
    let code = name_in(error, "decline_code")
        .or_else(|| name_in(error, "code"))
        .unwrap_or_else(|| "generic_decline".to_owned());
    decline_of(&code)
}

/// A decline of a code.
pub(super) fn decline_of(code: &str) -> Decline {
    let message = match code {
        "insufficient_funds" => "The payment method does not have enough funds.",
        "expired_card" => "The card has expired.",
        "lost_card" | "stolen_card" | "pickup_card" => "The card was reported lost or stolen.",
        "incorrect_number" | "invalid_number" => "The card's number is wrong.",
        AUTHENTICATION => {
            "The bank asks the customer to confirm; he must pay on a payment page instead."
        }
        METHOD_MISSING => "The stored payment method no longer exists.",
        crate::domain::payment::CANCELED => "The payment was called off before money was taken.",
        "processing_error" | "issuer_not_available" | "try_again_later" => {
            "The bank could not answer; a later attempt may succeed."
        }
        "currency_not_supported" => "The card does not take this currency.",
        "not_confirmed" => "The payment was prepared but never carried out.",
        _ => "The bank declined without a reason that can be shown.",
    };
    Decline { code: code.to_owned(), hard: HARD.contains(&code), message: message.to_owned() }
}

/// A code or id: letters, digits and marks that cannot break a line or a page.
pub(super) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    !text.is_empty() && text.len() <= MAX_NAME && text.bytes().all(fits)
}

/// The code or id of a field, where it has the shape of one.
pub(super) fn name_in(object: &Value, field: &str) -> Option<String> {
    object.get(field).and_then(Value::as_str).filter(|text| is_name(text)).map(str::to_owned)
}

/// The id a field names, written out or expanded.
pub(super) fn reference_in(object: &Value, field: &str) -> Option<String> {
    name_in(object, field).or_else(|| name_in(object.get(field)?, "id"))
}

/// A field without which an answer means nothing.
pub(super) fn needed(object: &Value, field: &str) -> Result<String, GatewayError> {
    name_in(object, field).ok_or_else(|| unreadable(field))
}

/// A whole number without which an answer means nothing.
pub(super) fn needed_amount(object: &Value, field: &str) -> Result<i64, GatewayError> {
    object.get(field).and_then(Value::as_i64).ok_or_else(|| unreadable(field))
}

/// A metadata value.
pub(super) fn metadata<'a>(object: &'a Value, field: &str) -> Option<&'a str> {
    object.get("metadata")?.get(field)?.as_str()
}

/// An answer that lacks something (F64).
pub(super) fn unreadable(field: &str) -> GatewayError {
    GatewayError::Unclear(format!("the answer has no readable {field}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // F66
    #[test]
    fn declines_are_sorted_into_hard_and_soft() {
        for code in ["lost_card", "stolen_card", "fraudulent", "expired_card", METHOD_MISSING] {
            assert!(decline_of(code).hard, "{code}");
        }
        for code in ["insufficient_funds", "generic_decline", "do_not_honor", AUTHENTICATION, "new"]
        {
            assert!(!decline_of(code).hard, "{code}");
        }
        let both = json!({"code": "card_declined", "decline_code": "insufficient_funds"});
        assert_eq!(decline(&both).code, "insufficient_funds");
        assert_eq!(decline(&json!({"code": "expired_card"})).code, "expired_card");
        assert_eq!(decline(&json!({"code": "<b>\n"})).code, "generic_decline");
    }

    // F88
    #[test]
    fn nothing_of_a_refusals_text_is_repeated() {
        let body = json!({"error": {"type": "invalid_request_error", "code": "CANARY one",
            "message": "Invalid API Key provided: sk_live_CANARY", "param": "CANARY"}});
        for status in [400, 401, 403, 404] {
            let refusal = Refusal::read(status, body.clone()).unwrap();
            let text = GatewayError::from(refusal).to_string();
            assert!(!text.contains("CANARY"), "{text}");
        }
    }
}
