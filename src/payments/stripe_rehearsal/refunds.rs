//! Refunds: together never more than the payment.

use serde_json::{Value, json};

use super::answer::Answer;
use super::cards::{self, Behaviour};
use super::params::Params;
use super::store::State;

/// How much of a payment went back, or is on its way.
pub(super) fn refunded(state: &State, intent: &str) -> i64 {
    let counts =
        |refund: &&Value| refund["payment_intent"] == intent && refund["status"] != "failed";
    state.refunds.all().filter(counts).filter_map(|refund| refund["amount"].as_i64()).sum()
}

pub(super) fn create(state: &mut State, params: &Params) -> Result<Answer, Answer> {
    params.only(&["payment_intent", "amount", "metadata", "reason"])?;
    let id = params.needed("payment_intent")?;
    let intent = state.intents.get(id).ok_or_else(|| Answer::missing(400, "payment_intent"))?;
    if intent["status"] != "succeeded" {
        return Err(Answer::invalid(400, Some("payment_intent_unexpected_state"), None));
    }
    let left = intent["amount"].as_i64().unwrap_or_default() - refunded(state, id);
    let amount: i64 = match params.get("amount") {
        Some(text) => text.parse().map_err(|_| Answer::invalid(400, None, Some("amount")))?,
        None => left,
    };
    if left == 0 {
        return Err(Answer::invalid(400, Some("charge_already_refunded"), None));
    }
    if !(1..=left).contains(&amount) {
        return Err(Answer::invalid(400, None, Some("amount")));
    }
    let card = intent["_card"].as_str().and_then(cards::find).map(|(card, _)| card.behaviour);
    let status = match card {
        Some(Behaviour::RefundsPend) => "pending",
        Some(Behaviour::RefundsFail) => "failed",
        _ => "succeeded",
    };
    let currency = intent["currency"].clone();
    let refund = json!({"id": state.id("re"), "object": "refund", "amount": amount,
        "currency": currency, "payment_intent": id, "status": status,
        "metadata": params.metadata("metadata"), "created": state.created()});
    state.refunds.put(refund.clone());
    state.tell("refund.created", &refund);
    Ok(Answer::ok(&refund))
}

/// The bank decides about a refund that waits, or sends back one that went through. False: there is none under
/// this key.
pub(super) fn settle(state: &mut State, key: &str, succeeds: bool) -> bool {
    let of_key = |refund: &&Value| {
        let (status, came_back) = (&refund["status"], !succeeds);
        refund["metadata"]["monthend_key"] == key
            && (status == "pending" || came_back && status == "succeeded")
    };
    let Some(mut refund) = state.refunds.all().find(of_key).cloned() else { return false };
    refund["status"] = if succeeds { "succeeded" } else { "failed" }.into();
    state.refunds.put(refund.clone());
    state.tell(if succeeds { "refund.updated" } else { "refund.failed" }, &refund);
    true
}
