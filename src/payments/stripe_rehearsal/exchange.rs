//! One request with its answer: credentials, keys, the fault that is due.

use serde_json::Value;

use super::answer::Answer;
use super::cards::{self, Behaviour};
use super::faults::Fault;
use super::params::Params;
use super::store::{Kept, State};
use super::{Shared, api};

/// Longest key Stripe takes.
const MAX_KEY: usize = 255;

/// A request as it came.
pub(super) struct Call {
    pub(super) method: String,
    pub(super) path: String,
    /// Query or form.
    pub(super) text: String,
    pub(super) key: Option<String>,
    pub(super) bearer: Option<String>,
}

/// What goes back over the wire.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    /// An answer; was it kept from before?
    Json(Answer, bool),
    /// 429.
    TooMany(u32),
    /// A status with a text that is not JSON.
    Text(u16, String),
    /// A success that arrives byte by byte.
    Drip,
    /// 302 to another machine.
    Redirect,
    /// Nothing; the connection is closed.
    Close,
    /// Nothing; the connection stays open.
    Hang,
}

impl Call {
    /// Is this the send of a charge with a certain test card?
    fn is_charge_with(&self, wanted: Behaviour) -> bool {
        let method = || Params::read(&self.text)?.get("payment_method").map(str::to_owned);
        self.method == "POST"
            && self.path == "/v1/payment_intents"
            && method().and_then(|it| cards::find(&it).map(|(card, _)| card.behaviour))
                == Some(wanted)
    }
}

/// Answers a request.
pub(super) fn exchange(shared: &Shared, call: &Call) -> Sent {
    shared.told(|state| {
        if state.is_over {
            return Sent::Close;
        }
        let key = call.key.as_deref();
        let fault =
            state.faults.take(&call.method, &call.path, key).or_else(|| fault_of_card(state, call));
        let sent = match fault.and_then(|fault| before(state, call, fault)) {
            Some(sent) => sent,
            None => after(carried_out(state, call, fault), fault),
        };
        hold_back(state, fault);
        sent
    })
}

/// Cards that stand for a lost request or a lost answer: only the first of a key is lost.
fn fault_of_card(state: &mut State, call: &Call) -> Option<Fault> {
    let key = call.key.as_deref()?;
    if call.is_charge_with(Behaviour::LostBefore) && state.lost.insert(key.to_owned()) {
        return Some(Fault::CloseBefore);
    }
    let is_lost = call.is_charge_with(Behaviour::LostAfter) && state.kept(key).is_none();
    is_lost.then_some(Fault::CloseAfter)
}

/// Faults that keep the request from being carried out.
fn before(state: &mut State, call: &Call, fault: Fault) -> Option<Sent> {
    Some(match fault {
        Fault::CloseBefore => Sent::Close,
        Fault::HangBefore => {
            state.busy.extend(call.key.clone());
            Sent::Hang
        }
        Fault::KeyInUse => Sent::Json(key_in_use(), false),
        Fault::Locked => Sent::Json(Answer::invalid(409, Some("lock_timeout"), None), false),
        Fault::TooMany(seconds) => Sent::TooMany(seconds),
        Fault::Error500Before => {
            let answer = server_error();
            keep(state, call, &answer);
            Sent::Json(answer, false)
        }
        Fault::BadGateway => Sent::Text(502, "<html>Bad gateway</html>".to_owned()),
        Fault::Redirect => Sent::Redirect,
        _ => return None,
    })
}

fn key_in_use() -> Answer {
    Answer::error(409, "idempotency_error", Some("idempotency_key_in_use"), None)
}

fn server_error() -> Answer {
    Answer::error(500, "api_error", None, None)
}

/// Carries a request out, once for each key.
fn carried_out(state: &mut State, call: &Call, fault: Option<Fault>) -> (Answer, bool) {
    let is_known = call
        .bearer
        .as_deref()
        .is_some_and(|key| ["sk_test_", "rk_test_"].iter().any(|begin| key.starts_with(begin)));
    if !is_known {
        return (Answer::invalid(401, None, None), false);
    }
    let Some(params) = Params::read(&call.text) else {
        return (Answer::invalid(400, None, None), false);
    };
    let key = call.key.as_deref().filter(|_| call.method == "POST");
    if let Some(key) = key {
        if key.is_empty() || key.len() > MAX_KEY {
            return (Answer::error(400, "idempotency_error", None, None), false);
        }
        if state.busy.contains(key) {
            return (key_in_use(), false);
        }
        if let Some(kept) = state.kept(key) {
            if kept.fingerprint != fingerprint(call) {
                return (Answer::error(400, "idempotency_error", None, None), false);
            }
            return (Answer { status: kept.status, body: kept.body.clone() }, true);
        }
    }
    let mut answer = api::act(state, &call.method, &call.path, &params);
    if fault == Some(Fault::Error500After) {
        answer = server_error();
    }
    if answer.is_kept() {
        keep(state, call, &answer);
    }
    (answer, false)
}

fn keep(state: &mut State, call: &Call, answer: &Answer) {
    if let (Some(key), "POST") = (&call.key, call.method.as_str()) {
        let kept = Kept {
            fingerprint: fingerprint(call),
            status: answer.status,
            body: answer.body.clone(),
        };
        state.keep(key, kept);
    }
}

fn fingerprint(call: &Call) -> String {
    format!("{} {}", call.path, call.text)
}

/// Faults on the way back.
fn after((mut answer, is_replay): (Answer, bool), fault: Option<Fault>) -> Sent {
    let object = match answer.body.get("error").and_then(|error| error.get("payment_intent")) {
        Some(_) => &mut answer.body["error"]["payment_intent"],
        None if answer.body["data"][0].is_object() => &mut answer.body["data"][0],
        None => &mut answer.body,
    };
    match fault {
        Some(Fault::CloseAfter) => return Sent::Close,
        Some(Fault::HangAfter) => return Sent::Hang,
        Some(Fault::SlowDrip) => return Sent::Drip,
        Some(Fault::UnavailableAfter) => return Sent::Text(503, "<html>Again</html>".to_owned()),
        Some(Fault::Oversized) => {
            object["padding"] = "x".repeat(crate::payments::stripe::webhook::MAX_BODY).into();
        }
        Some(Fault::Malformed) => {
            let mut text = answer.body.to_string();
            text.truncate(text.len() / 2);
            return Sent::Text(answer.status, text);
        }
        Some(Fault::NoStatus) => object["status"] = Value::Null,
        Some(Fault::WrongAmount) => wrong_amount(object),
        Some(Fault::WrongCurrency) => object["currency"] = "xxx".into(),
        Some(Fault::WrongMethod) => object["payment_method"] = "pm_1Another".into(),
        Some(Fault::WrongKey) => object["metadata"]["monthend_key"] = "another".into(),
        Some(Fault::WrongId) => object["id"] = "pi_1Another".into(),
        _ => {}
    }
    Sent::Json(answer, is_replay)
}

fn wrong_amount(object: &mut Value) {
    for field in ["amount", "amount_total"] {
        if let Some(amount) = object[field].as_i64() {
            object[field] = (amount + 1).into();
        }
    }
}

/// Faults of the notifications that came of a request.
fn hold_back(state: &mut State, fault: Option<Fault>) {
    match fault {
        Some(Fault::LateWebhook) => {
            let fresh = std::mem::take(&mut state.fresh);
            state.held.extend(fresh);
        }
        Some(Fault::DuplicateWebhook) => state.fresh.extend_from_within(..),
        Some(Fault::NoWebhook) => state.fresh.clear(),
        _ => {}
    }
}
