//! Payment intents read as outcomes, after a look whether they fit the request (F69).

use serde_json::Value;

use super::amounts;
use super::answers::{
    decline, decline_of, metadata, needed, needed_amount, reference_in, unreadable,
};
use super::lists::KEY;
use super::token::Token;
use crate::domain::money::Money;
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeRequest};
use crate::payments::GatewayError;

/// Test methods of Stripe stand for a method that is made anew with each use.
const TEST_METHOD: &str = "pm_card_";

/// Reads an intent of this request.
pub(super) fn read(intent: &Value, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
    fits(intent, "amount", request)?;
    let provider_id = needed(intent, "id")?;
    match needed(intent, "status")?.as_str() {
        "succeeded" => {
            fits_amount(intent, "amount_received", request.amount, &request.key)?;
            Ok(ChargeOutcome::Succeeded { provider_id })
        }
        "processing" => Ok(ChargeOutcome::Pending { provider_id }),
        "requires_action" => Ok(ChargeOutcome::NeedsAction { provider_id }),
        // Nobody confirms it again: the attempt is over.
        "requires_payment_method" => {
            let error = intent.get("last_payment_error").filter(|error| error.is_object());
            let decline = error.map_or_else(|| decline_of("not_confirmed"), decline);
            Ok(ChargeOutcome::Declined { provider_id: Some(provider_id), decline })
        }
        "canceled" => Ok(ChargeOutcome::Declined {
            provider_id: Some(provider_id),
            decline: decline_of(CANCELED),
        }),
        // The request that made it is still at work, or was cut off in the middle.
        "requires_confirmation" => {
            Err(GatewayError::Unclear("the payment is not confirmed yet".to_owned()))
        }
        "requires_capture" => Err(GatewayError::Mismatch(format!(
            "the money of key {} is only reserved; capture or release it in the dashboard",
            request.key
        ))),
        _ => Err(unreadable("status")),
    }
}

/// Does an intent or a page belong to this request, with its amount, currency and method?
pub(super) fn fits(
    object: &Value,
    amount_field: &str,
    request: &ChargeRequest,
) -> Result<(), GatewayError> {
    let differs =
        |what: &str| GatewayError::Mismatch(format!("another {what}, key {}", request.key));
    match metadata(object, KEY) {
        Some(key) if key == request.key => {}
        None if !object.get("metadata").is_some_and(Value::is_object) => {
            return Err(unreadable("metadata"));
        }
        _ => return Err(differs("key")),
    }
    fits_amount(object, amount_field, request.amount, &request.key)?;
    let token = Token::parse(&request.payment_method)?;
    let sent = token.method.filter(|method| !method.starts_with(TEST_METHOD));
    if let (Some(sent), Some(used)) = (sent, reference_in(object, "payment_method"))
        && sent != used
    {
        return Err(differs("payment method"));
    }
    if let (Some(sent), Some(used)) = (token.customer, reference_in(object, "customer"))
        && sent != used
    {
        return Err(differs("customer"));
    }
    Ok(())
}

/// Is an object over this amount?
pub(super) fn fits_amount(
    object: &Value,
    field: &str,
    asked: Money,
    key: &str,
) -> Result<(), GatewayError> {
    let (amount, currency) = (needed_amount(object, field)?, needed(object, "currency")?);
    if amount == amounts::sent(asked)? && currency == amounts::currency(asked) {
        return Ok(());
    }
    let currency = currency.to_uppercase();
    Err(GatewayError::Mismatch(format!(
        "{amount} units of {currency} instead of {asked}, key {key}"
    )))
}

/// Can this intent still be called off?
pub(super) fn is_open(intent: &Value) -> bool {
    let status = intent.get("status").and_then(Value::as_str).unwrap_or_default();
    matches!(status, "requires_action" | "requires_confirmation" | "requires_capture")
}
