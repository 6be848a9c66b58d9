//! Answers in the form of Stripe's.

use serde_json::{Value, json};

/// A status with its JSON.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
}

impl Answer {
    pub(super) fn ok(body: &Value) -> Self {
        Self { status: 200, body: shown(body) }
    }

    /// A request that cannot be done as it is.
    pub(super) fn invalid(status: u16, code: Option<&str>, param: Option<&str>) -> Self {
        Self::error(status, "invalid_request_error", code, param)
    }

    /// Something a parameter names is not there.
    pub(super) fn missing(status: u16, param: &str) -> Self {
        Self::invalid(status, Some("resource_missing"), Some(param))
    }

    pub(super) fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>) -> Self {
        let message = format!("Rehearsal: {} {}", code.unwrap_or(kind), param.unwrap_or_default());
        let error = json!({"type": kind, "code": code, "param": param, "message": message.trim()});
        Self { status, body: json!({"error": error}) }
    }

    /// A declined card, with the payment it was declined for.
    pub(super) fn declined(error: &Value, intent: &Value) -> Self {
        let mut error = error.clone();
        error["payment_intent"] = shown(intent);
        Self { status: 402, body: json!({"error": error}) }
    }

    /// Is it kept under the request's key? What was never begun is not.
    pub(super) fn is_kept(&self) -> bool {
        !matches!(self.status, 400 | 401 | 404 | 409 | 429)
    }
}

/// An object without what is kept for ourselves.
pub(super) fn shown(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|name, _| !name.starts_with('_'));
    }
    object
}
