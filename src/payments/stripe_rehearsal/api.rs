//! Which call goes where; lists and searches, customers and methods.

use serde_json::{Value, json};

use super::answer::{Answer, shown};
use super::params::Params;
use super::store::{Objects, State};
use super::{intents, refunds, sessions};

/// Most objects of a page.
const MOST_LISTED: usize = 100;

/// Carries a call out.
pub(super) fn act(state: &mut State, method: &str, path: &str, params: &Params) -> Answer {
    let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    let done = match (method, parts.as_slice()) {
        ("POST", ["payment_intents"]) => intents::create(state, params),
        ("POST", ["payment_intents", id, "cancel"]) => intents::cancel(state, id),
        ("GET", ["payment_intents", "search"]) => search(state, &state.intents, params),
        ("GET", ["payment_intents"]) => list(state, params, "customer"),
        ("GET", ["payment_intents", id]) => one(&state.intents, id),
        ("POST", ["refunds"]) => refunds::create(state, params),
        ("GET", ["refunds"]) => list(state, params, "payment_intent"),
        ("GET", ["refunds", id]) => one(&state.refunds, id),
        ("POST", ["checkout", "sessions"]) => sessions::create(state, params),
        ("POST", ["checkout", "sessions", id, "expire"]) => sessions::expire(state, id),
        ("GET", ["checkout", "sessions"]) => list(state, params, "checkout"),
        ("GET", ["checkout", "sessions", id]) => one(&state.sessions, id),
        ("POST", ["customers"]) => create_customer(state, params),
        ("GET", ["customers", "search"]) => search(state, &state.customers, params),
        ("GET", ["customers", id]) => one(&state.customers, id),
        ("POST", ["billing_portal", "sessions"]) => portal(state, params),
        ("GET", ["payment_methods", id]) => method_of(state, id),
        ("POST", ["payment_methods", id, "detach"]) => detach(state, id),
        _ => Err(Answer::invalid(404, Some("url_invalid"), None)),
    };
    done.unwrap_or_else(|refusal| refusal)
}

fn one(objects: &Objects, id: &str) -> Result<Answer, Answer> {
    objects.get(id).map(Answer::ok).ok_or_else(|| Answer::missing(404, "id"))
}

/// A page of a list, newest first.
fn list(state: &mut State, params: &Params, kind: &str) -> Result<Answer, Answer> {
    params.only(&["customer", "payment_intent", "limit", "starting_after", "status"])?;
    let customer = params.get("customer");
    if let Some(customer) = customer
        && !state.has_customer(customer)
    {
        return Err(Answer::missing(400, "customer"));
    }
    let intent = params.get("payment_intent");
    if intent.is_some_and(|id| state.intents.get(id).is_none()) {
        return Err(Answer::missing(400, "payment_intent"));
    }
    let objects = match kind {
        "customer" => &state.intents,
        "payment_intent" => &state.refunds,
        _ => &state.sessions,
    };
    let fits = |object: &&Value| {
        customer.is_none_or(|id| object["customer"] == id)
            && intent.is_none_or(|id| object["payment_intent"] == id)
            && params.get("status").is_none_or(|status| object["status"] == status)
    };
    let after = params.get("starting_after");
    if after.is_some_and(|id| objects.get(id).is_none()) {
        return Err(Answer::missing(400, "starting_after"));
    }
    let mut rest = objects
        .all()
        .rev()
        .filter(fits)
        .skip_while(|object| after.is_some_and(|after| object["id"] != after));
    if after.is_some() {
        rest.next();
    }
    let limit = limit(params)?;
    let data: Vec<Value> = rest.by_ref().take(limit).map(shown).collect();
    let more = rest.next().is_some();
    Ok(Answer::ok(&json!({"object": "list", "data": data, "has_more": more})))
}

/// What carries one metadata value; empty while the index lags.
fn search(state: &State, objects: &Objects, params: &Params) -> Result<Answer, Answer> {
    params.only(&["query", "limit", "page"])?;
    let wrong = || Answer::invalid(400, None, Some("query"));
    let query = params.needed("query")?;
    let (name, value) = query
        .strip_prefix("metadata['")
        .and_then(|rest| rest.strip_suffix('\''))
        .and_then(|rest| rest.split_once("']:'"))
        .ok_or_else(wrong)?;
    let value = value.replace("\\'", "'").replace("\\\\", "\\");
    let fits = |object: &&Value| object["metadata"][name] == value.as_str() && !state.search_lags;
    let limit = limit(params)?;
    let data: Vec<Value> = objects.all().rev().filter(fits).take(limit).map(shown).collect();
    Ok(Answer::ok(&json!({"object": "search_result", "data": data, "has_more": false,
        "next_page": null})))
}

fn limit(params: &Params) -> Result<usize, Answer> {
    let wrong = || Answer::invalid(400, Some("parameter_invalid_integer"), Some("limit"));
    let limit = params.get("limit").map_or(Ok(10), str::parse).map_err(|_| wrong())?;
    if (1..=MOST_LISTED).contains(&limit) { Ok(limit) } else { Err(wrong()) }
}

fn create_customer(state: &mut State, params: &Params) -> Result<Answer, Answer> {
    params.only(&["name", "email", "metadata"])?;
    let metadata = params.metadata("metadata");
    // Named after the organization, as tokens of a file name it.
    let id = match metadata["monthend_organization"].as_str() {
        Some(organization) if organization.bytes().all(|b| b.is_ascii_alphanumeric()) => {
            format!("cus_{organization}")
        }
        _ => state.id("cus"),
    };
    let customer = json!({"id": id, "object": "customer", "name": params.get("name"),
        "email": params.get("email"), "metadata": metadata, "created": state.created()});
    state.customers.put(customer.clone());
    Ok(Answer::ok(&customer))
}

fn portal(state: &mut State, params: &Params) -> Result<Answer, Answer> {
    params.only(&["customer", "return_url"])?;
    let customer = params.needed("customer")?;
    if !state.has_customer(customer) {
        return Err(Answer::missing(400, "customer"));
    }
    let id = state.id("bps");
    let url = format!("{}/portal/{customer}", state.base);
    Ok(Answer::ok(&json!({"id": id, "object": "billing_portal.session", "customer": customer,
        "url": url, "return_url": params.get("return_url")})))
}

fn method_of(state: &State, id: &str) -> Result<Answer, Answer> {
    let (card, owner) =
        state.method(id, None).ok_or_else(|| Answer::missing(404, "payment_method"))?;
    Ok(Answer::ok(&card.object(id, owner.as_deref())))
}

/// Takes a method from its customer for good.
pub(super) fn detach(state: &mut State, id: &str) -> Result<Answer, Answer> {
    let (card, owner) =
        state.method(id, None).ok_or_else(|| Answer::missing(404, "payment_method"))?;
    if owner.is_none() {
        return Err(Answer::invalid(400, None, Some("payment_method")));
    }
    state.detached.insert(id.to_owned());
    let object = card.object(id, None);
    state.tell("payment_method.detached", &object);
    Ok(Answer::ok(&object))
}
