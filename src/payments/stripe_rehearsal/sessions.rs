//! Checkout sessions: a page to pay on, a page to save a method on.

use serde_json::{Value, json};

use super::answer::Answer;
use super::params::Params;
use super::store::State;
use super::{cards, intents};

pub(super) fn create(state: &mut State, params: &Params) -> Result<Answer, Answer> {
    params.only(&[
        "mode",
        "customer",
        "metadata",
        "payment_intent_data",
        "setup_intent_data",
        "client_reference_id",
        "line_items",
        "success_url",
        "cancel_url",
        "payment_method_types",
    ])?;
    let mode = params.needed("mode")?;
    let customer = params.needed("customer")?;
    if !state.has_customer(customer) {
        return Err(Answer::missing(400, "customer"));
    }
    let success = params.needed("success_url")?;
    if !success.starts_with("http://") && !success.starts_with("https://") {
        return Err(Answer::invalid(400, Some("url_invalid"), Some("success_url")));
    }
    let id = state.id("cs_test");
    let url = format!("{}/checkout/{id}", state.base);
    let mut session = json!({"id": id, "object": "checkout.session", "mode": mode,
        "customer": customer, "status": "open", "metadata": params.metadata("metadata"),
        "created": state.created(), "url": url, "payment_intent": null, "setup_intent": null,
        "payment_status": "unpaid", "success_url": success,
        "_intent_metadata": params.metadata("payment_intent_data[metadata]"),
        "_setup_metadata": params.metadata("setup_intent_data[metadata]")});
    match mode {
        "payment" => {
            let line = "line_items[0][price_data]";
            let currency = params.needed(&format!("{line}[currency]"))?;
            let amount = params.needed(&format!("{line}[unit_amount]"))?;
            params.needed(&format!("{line}[product_data][name]"))?;
            if params.get("line_items[0][quantity]") != Some("1") {
                return Err(Answer::invalid(400, None, Some("line_items[0][quantity]")));
            }
            session["amount_total"] = intents::amount(amount, currency)?.into();
            session["currency"] = currency.into();
        }
        "setup" => {
            params.needed("payment_method_types[0]")?;
        }
        _ => return Err(Answer::invalid(400, None, Some("mode"))),
    }
    state.sessions.put(session.clone());
    Ok(Answer::ok(&session))
}

pub(super) fn expire(state: &mut State, id: &str) -> Result<Answer, Answer> {
    let mut session = state.sessions.get(id).cloned().ok_or_else(|| Answer::missing(404, "id"))?;
    if session["status"] != "open" {
        return Err(Answer::invalid(400, None, None));
    }
    session["status"] = "expired".into();
    session["url"] = Value::Null;
    state.sessions.put(session.clone());
    state.tell("checkout.session.expired", &session);
    Ok(Answer::ok(&session))
}

/// The session of an id, of a page's address, or of the charge's key.
pub(super) fn find(state: &State, what: &str) -> Option<Value> {
    let id = what.rsplit('/').next().unwrap_or_default();
    let of_key =
        || state.sessions.all().rev().find(|session| session["metadata"]["monthend_key"] == what);
    state.sessions.get(id).or_else(of_key).cloned()
}

/// The customer acts on a page with a test method: he pays, or saves it. Gives the token of the
/// method then; none: the page is not open, or there is no such test method.
pub(super) fn complete(state: &mut State, what: &str, card: &str) -> Option<String> {
    let mut session = find(state, what).filter(|session| session["status"] == "open")?;
    let (card, _) = cards::find(card)?;
    let customer = session["customer"].as_str()?.to_owned();
    let method = state.id("pm");
    let mut saved = card.object(&method, Some(&customer));
    saved["_card"] = card.name.into();
    state.methods.put(saved.clone());
    if session["mode"] == "payment" {
        let intent = pay(state, &session, &method, card);
        session["payment_intent"] = intent["id"].clone();
        state.sessions.put(session.clone());
        // A declined card leaves the page open; the next one is tried on the same payment.
        intent["last_payment_error"].is_null().then_some(())?;
        let is_paid = intent["status"] == "succeeded";
        session["payment_status"] = if is_paid { "paid" } else { "unpaid" }.into();
    } else {
        let setup = json!({"id": state.id("seti"), "object": "setup_intent", "status": "succeeded",
            "customer": customer, "payment_method": method, "created": state.created(),
            "metadata": session["_setup_metadata"]});
        state.setups.put(setup.clone());
        session["setup_intent"] = setup["id"].clone();
        state.tell("payment_method.attached", &saved);
        state.tell("setup_intent.succeeded", &setup);
    }
    session["status"] = "complete".into();
    session["url"] = Value::Null;
    state.sessions.put(session.clone());
    state.tell("checkout.session.completed", &session);
    Some(format!("{customer}/{method}"))
}

fn pay(state: &mut State, session: &Value, method: &str, card: cards::Card) -> Value {
    let id = session["payment_intent"].as_str().map_or_else(|| state.id("pi"), str::to_owned);
    let mut intent = json!({"id": id, "object": "payment_intent",
        "amount": session["amount_total"], "amount_received": 0, "currency": session["currency"],
        "customer": session["customer"], "payment_method": method, "status": "processing",
        "metadata": session["_intent_metadata"], "created": state.created(),
        "last_payment_error": null, "_method": method, "_card": card.name});
    match card.behaviour {
        cards::Behaviour::Declines(code) => {
            intents::decline(state, &mut intent, code);
        }
        cards::Behaviour::Processing => intents::change(state, &mut intent, "processing"),
        _ => intents::change(state, &mut intent, "succeeded"),
    }
    intent
}
