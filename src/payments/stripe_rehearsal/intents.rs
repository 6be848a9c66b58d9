//! Payment intents: made, settled, called off.

use serde_json::{Value, json};

use super::answer::Answer;
use super::cards::{Behaviour, Card};
use super::params::Params;
use super::store::State;
use crate::domain::money::Currency;

/// Largest amount Stripe takes.
const MOST: i64 = 99_999_999;

/// An amount and a currency that can be charged.
pub(super) fn amount(amount: &str, currency: &str) -> Result<i64, Answer> {
    let amount: i64 = amount
        .parse()
        .map_err(|_| Answer::invalid(400, Some("parameter_invalid_integer"), Some("amount")))?;
    let is_known = currency.to_uppercase().parse::<Currency>().is_ok();
    if !is_known || currency != currency.to_lowercase() {
        return Err(Answer::invalid(400, None, Some("currency")));
    }
    let three_decimals = ["bhd", "jod", "kwd", "omr", "tnd"].contains(&currency);
    if three_decimals && amount % 10 != 0 {
        return Err(Answer::invalid(400, None, Some("amount")));
    }
    match amount {
        1..=MOST => Ok(amount),
        i64::MIN..1 => Err(Answer::invalid(400, Some("amount_too_small"), Some("amount"))),
        _ => Err(Answer::invalid(400, Some("amount_too_large"), Some("amount"))),
    }
}

pub(super) fn create(state: &mut State, params: &Params) -> Result<Answer, Answer> {
    params.only(&[
        "amount",
        "currency",
        "customer",
        "payment_method",
        "off_session",
        "confirm",
        "error_on_requires_action",
        "automatic_payment_methods",
        "return_url",
        "metadata",
        "description",
    ])?;
    let currency = params.needed("currency")?;
    let amount = amount(params.needed("amount")?, currency)?;
    let method = params.needed("payment_method")?;
    if !params.is_true("confirm") || !params.is_true("off_session") {
        return Err(Answer::invalid(400, Some("parameter_missing"), Some("confirm")));
    }
    // As in an account that has methods which lead the customer elsewhere.
    let stays = params.is_true("automatic_payment_methods[enabled]")
        && params.get("automatic_payment_methods[allow_redirects]") == Some("never");
    if !stays && params.get("return_url").is_none() {
        return Err(Answer::invalid(400, None, Some("return_url")));
    }
    let customer = params.get("customer");
    if let Some(customer) = customer
        && !state.has_customer(customer)
    {
        return Err(Answer::missing(400, "customer"));
    }
    let missing = || Answer::missing(400, "payment_method");
    let (card, owner) = state.method(method, customer).ok_or_else(missing)?;
    match owner {
        // Once detached, never again.
        None => return Err(Answer::invalid(400, None, Some("payment_method"))),
        Some(owner) if customer != Some(owner.as_str()) => return Err(missing()),
        Some(_) => {}
    }
    let mut intent = json!({"id": state.id("pi"), "object": "payment_intent", "amount": amount,
        "amount_received": 0, "currency": currency, "customer": customer, "payment_method": method,
        "status": "requires_confirmation", "metadata": params.metadata("metadata"),
        "description": params.get("description"), "created": state.created(),
        "last_payment_error": null, "_method": method, "_card": card.name});
    match card.behaviour {
        Behaviour::Declines(code) => {
            let error = decline(state, &mut intent, code);
            return Err(Answer::declined(&error, &intent));
        }
        Behaviour::RequiresAction => change(state, &mut intent, "requires_action"),
        Behaviour::Processing => change(state, &mut intent, "processing"),
        _ => change(state, &mut intent, "succeeded"),
    }
    Ok(Answer::ok(&intent))
}

/// Brings an intent to a status, keeps it and tells of it.
pub(super) fn change(state: &mut State, intent: &mut Value, status: &str) {
    intent["status"] = status.into();
    if status == "succeeded" {
        intent["amount_received"] = intent["amount"].clone();
        intent["latest_charge"] = state.id("ch").into();
    }
    state.intents.put(intent.clone());
    let kind = match status {
        "requires_payment_method" => "payment_failed",
        other => other,
    };
    state.tell(&format!("payment_intent.{kind}"), intent);
}

/// Declines an intent.
pub(super) fn decline(state: &mut State, intent: &mut Value, code: &str) -> Value {
    let error = Card::error(code, intent["_method"].as_str().unwrap_or_default());
    intent["payment_method"] = Value::Null;
    intent["last_payment_error"] = error.clone();
    change(state, intent, "requires_payment_method");
    error
}

pub(super) fn cancel(state: &mut State, id: &str) -> Result<Answer, Answer> {
    let mut intent =
        state.intents.get(id).cloned().ok_or_else(|| Answer::missing(404, "intent"))?;
    let status = intent["status"].as_str().unwrap_or_default();
    if matches!(status, "succeeded" | "canceled" | "processing") {
        return Err(Answer::invalid(400, Some("payment_intent_unexpected_state"), None));
    }
    change(state, &mut intent, "canceled");
    Ok(Answer::ok(&intent))
}

/// The bank, or the customer, decides about a payment that waits. False: none waits under this key.
pub(super) fn settle(state: &mut State, key: &str, decline_code: Option<&str>) -> bool {
    let Some(mut intent) = state.intent_of(key) else { return false };
    if !matches!(intent["status"].as_str(), Some("processing" | "requires_action")) {
        return false;
    }
    match decline_code {
        Some(code) => {
            decline(state, &mut intent, code);
        }
        None => change(state, &mut intent, "succeeded"),
    }
    true
}
