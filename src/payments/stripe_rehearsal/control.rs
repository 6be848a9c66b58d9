//! What a person or a test asks the rehearsal itself: its books, its faults, its pages.

use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Script;
use super::params::Params;
use super::{Shared, intents, journal, pages, refunds, sessions};

/// The bank's word on a payment or a refund that waits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    /// Key of a charge or a refund.
    key: String,
    /// Declined with this code; a refund fails with any.
    decline: Option<String>,
}

pub(super) fn answer(shared: &Shared, method: &str, path: &str, body: &str) -> Response {
    let place = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    match (method, place) {
        ("GET", ("_rehearsal", "journal")) => {
            json_of(StatusCode::OK, &json!({"payments": journal::payments(&shared.state())}))
        }
        ("POST", ("_rehearsal", "script")) => match serde_json::from_str::<Script>(body) {
            Ok(script) => done(shared.state().faults.add(script)),
            Err(error) => refused(&error.to_string()),
        },
        ("POST", ("_rehearsal", "settle")) => match serde_json::from_str::<Settle>(body) {
            Ok(settle) => done(shared.told(|state| {
                let decline = settle.decline.as_deref();
                intents::settle(state, &settle.key, decline)
                    || refunds::settle(state, &settle.key, decline.is_none())
            })),
            Err(error) => refused(&error.to_string()),
        },
        ("POST", ("_rehearsal", "deliver")) => {
            shared.deliver_held();
            done(true)
        }
        ("GET", ("checkout", id)) => match pages::checkout(&shared.state(), id) {
            Some(page) => Html(page).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        ("POST", ("checkout", id)) => act_on_page(shared, id, body),
        ("GET", ("portal", customer)) => Html(pages::portal(customer)).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The button of a page was pressed: on to where the session leads, or back to the page.
fn act_on_page(shared: &Shared, id: &str, body: &str) -> Response {
    let params = Params::read(body).unwrap_or_default();
    let card = params.get("card").unwrap_or("pm_card_visa");
    let (is_done, session) = shared.told(|state| {
        let is_done = sessions::complete(state, id, card).is_some();
        (is_done, sessions::find(state, id))
    });
    let Some(session) = session else { return StatusCode::NOT_FOUND.into_response() };
    match session["success_url"].as_str().filter(|_| is_done) {
        Some(url) => Redirect::to(url).into_response(),
        None => Redirect::to(&format!("/checkout/{id}")).into_response(),
    }
}

fn done(is_done: bool) -> Response {
    let status = if is_done { StatusCode::OK } else { StatusCode::CONFLICT };
    json_of(status, &json!({"done": is_done}))
}

fn refused(why: &str) -> Response {
    json_of(StatusCode::BAD_REQUEST, &json!({"error": why}))
}

fn json_of(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
