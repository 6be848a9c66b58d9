//! `POST /v1/webhooks/stripe`: the provider's notifications, believed only where their signature is ours.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json as object;

use super::{Doors, Problem, json};
use crate::payments::stripe::webhook::{TOLERANCE, verify_and_read};
use crate::services::notifications;

/// Bytes of a notification; more is refused.
pub(super) use crate::payments::stripe::webhook::MAX_BODY;

/// Heard: 200, also for one that was heard before. Not ours: 400. Not now: 503, and it comes again.
pub(super) async fn hear(
    State(doors): State<Arc<Doors>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let header = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
    let now = doors.app.clock.now();
    let header = header.unwrap_or_default();
    let event =
        verify_and_read(doors.stripe(), header, &body, now, TOLERANCE).map_err(|error| {
            tracing::warn!(%error, "a notification was refused");
            Problem::new(StatusCode::BAD_REQUEST, "refused", &error.to_string())
        })?;
    let _line = doors.line().await?;
    notifications::hear(&doors.app, &event).await?;
    Ok(json(StatusCode::OK, &object!({"received": true})))
}
