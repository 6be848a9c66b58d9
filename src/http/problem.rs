//! Answers: one JSON object, an error always in the same shape.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json as object};

use crate::services::ServiceError;

/// Why a request is not answered: `{"error": {"code", "message"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Problem {
    /// A problem with a stable word for programs and a sentence for people.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned() }
    }

    /// There is nothing of that name.
    #[must_use]
    pub fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// No token, or one that is not known.
    #[must_use]
    pub fn unauthorized() -> Self {
        let message = "a bearer token of this deployment is needed";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }

    /// Too many requests at once, or the database is slow.
    #[must_use]
    pub fn busy() -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "try again in a second")
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        if let ServiceError::NotFound(_) = error {
            return Self::not_found("there is no such thing");
        }
        // What went wrong inside is for the log, not for whoever asks.
        tracing::error!(%error, "a request could not be answered");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), "it cannot be answered now")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = object!({"error": {"code": self.code, "message": self.message}});
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A JSON answer that nobody may keep.
#[must_use]
pub fn json(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.to_string()).into_response()
}
