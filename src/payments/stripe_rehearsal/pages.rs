//! The rehearsal's own pages: pay, save a card, the portal. No script, no style from elsewhere.

use serde_json::Value;

use super::cards::CARDS;
use super::sessions;
use super::store::State;

/// The page of a session, open or over.
pub(super) fn checkout(state: &State, id: &str) -> Option<String> {
    let session = sessions::find(state, id)?;
    let is_payment = session["mode"] == "payment";
    let what = if is_payment {
        format!("Pay {} units of {}", session["amount_total"], text(&session["currency"]))
    } else {
        "Save a card".to_owned()
    };
    let status = text(&session["status"]);
    if status != "open" {
        return Some(page(&what, &format!("<p>This page is over: {status}.</p>")));
    }
    let button = if is_payment { "Pay" } else { "Save" };
    let options: String =
        CARDS.iter().flat_map(|card| ["<option>", card.name, "</option>"]).collect();
    let form = format!(
        "<form method=\"post\"><select name=\"card\">{options}</select> \
         <button>{button}</button></form>"
    );
    Some(page(&what, &form))
}

/// The portal of a customer: nothing can be changed there.
pub(super) fn portal(customer: &str) -> String {
    page("Saved cards", &format!("<p>Customer {}</p>", escaped(customer)))
}

fn page(title: &str, body: &str) -> String {
    let title = escaped(title);
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <h1>{title}</h1><p>This is a rehearsal: no money moves.</p>{body}</html>"
    )
}

fn text(value: &Value) -> String {
    escaped(value.as_str().unwrap_or_default())
}

fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            other => other.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // F86
    #[test]
    fn names_are_no_markup() {
        assert!(portal("<script>&\"").contains("&lt;script&gt;&amp;&quot;"));
    }
}
