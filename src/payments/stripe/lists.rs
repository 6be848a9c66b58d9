//! Lists, page by page, as far as something is sought in them.

use serde_json::Value;

use super::Stripe;
use super::answers::{metadata, name_in, unreadable};
use super::client::Failure;
use super::form::{Form, metadata_query};
use crate::payments::GatewayError;

/// Metadata that carries the key of a charge or a refund.
pub(super) const KEY: &str = "monthend_key";
/// Metadata that carries the organization.
pub(super) const ORGANIZATION: &str = "monthend_organization";
/// Metadata that carries the invoice, purchase or credit note.
pub(super) const REFERENCE: &str = "monthend_reference";

/// Most pages that are read, of a hundred objects each, newest first.
pub(super) const MOST_PAGES: usize = 10;

impl Stripe {
    /// The objects of a list that carry this key. Stops after the page that has one: two of the same
    /// key were made within a day of each other.
    pub(super) async fn listed(
        &self,
        path: &str,
        narrowed: (&str, &str),
        key: &str,
    ) -> Result<Vec<Value>, Failure> {
        self.listed_within(MOST_PAGES, path, narrowed, key).await
    }

    /// As [`Self::listed`], with a look at so many pages only.
    pub(super) async fn listed_within(
        &self,
        pages: usize,
        path: &str,
        narrowed: (&str, &str),
        key: &str,
    ) -> Result<Vec<Value>, Failure> {
        let mut after: Option<String> = None;
        for _ in 0..pages {
            let query = Form::default()
                .with_some(narrowed.0, Some(narrowed.1))
                .with("limit", "100")
                .with_some("starting_after", after.as_deref());
            let (data, more) = opened(self.client.get(path, &query).await?.body)?;
            after = data.last().and_then(|last| name_in(last, "id"));
            let found: Vec<Value> =
                data.into_iter().filter(|object| metadata(object, KEY) == Some(key)).collect();
            if !found.is_empty() || !more {
                return Ok(found);
            }
            if after.is_none() {
                return Err(Failure::Lost(unreadable("last id of a page")));
            }
        }
        Ok(Vec::new())
    }

    /// What the search index holds with this metadata; it lags a minute behind.
    pub(super) async fn searched(
        &self,
        path: &str,
        name: &str,
        value: &str,
    ) -> Result<Vec<Value>, GatewayError> {
        let query =
            Form::default().with("query", &metadata_query(name, value)).with("limit", "100");
        let (data, _) = opened(self.client.get(path, &query).await?.body)?;
        // An index may be broader than what was asked.
        Ok(data.into_iter().filter(|object| metadata(object, name) == Some(value)).collect())
    }
}

/// The objects of a page, and whether another page follows.
fn opened(mut body: Value) -> Result<(Vec<Value>, bool), Failure> {
    let more = body.get("has_more").and_then(Value::as_bool);
    match (body.get_mut("data").map(Value::take), more) {
        (Some(Value::Array(data)), Some(more)) => Ok((data, more)),
        _ => Err(Failure::Lost(unreadable("list"))),
    }
}

/// The only object of a key.
///
/// # Errors
/// [`GatewayError::Mismatch`]: there are two, and both may have taken money (F68).
pub(super) fn only(mut found: Vec<Value>, key: &str) -> Result<Option<Value>, GatewayError> {
    if found.len() > 1 {
        return Err(GatewayError::Mismatch(format!(
            "Stripe holds {} payments or refunds of the one key {key}; compare them in its \
             dashboard and give back what is too much",
            found.len()
        )));
    }
    Ok(found.pop())
}
