//! `GET /v1/organizations/{id}/authorization`: may it start new operations now (S49)?

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::SecondsFormat;
use serde_json::json as object;

use super::{Doors, Problem, json};
use crate::services::admission;

/// The longest id an organization can have.
const LONGEST_ID: usize = 63;

/// The same answer as `credits balance`, from an indexed read or two.
pub(super) async fn answer(
    State(doors): State<Arc<Doors>>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    doors.tokens.check(&headers)?;
    let unknown = || Problem::not_found("there is no such organization");
    let Ok(Path(id)) = id else { return Err(unknown()) };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if !(1..=LONGEST_ID).contains(&id.len()) || !id.bytes().all(plain) {
        return Err(unknown());
    }
    let _place = doors.place().await?;
    let as_of = doors.app.clock.now().to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let standing = admission::of(&doors.app, &id).await?;
    let body = object!({
        "organization": standing.organization, "allowed": standing.reason.is_none(),
        "state": standing.state(), "reason": standing.reason, "available": standing.available,
        "as_of": as_of, "version": standing.version,
    });
    Ok(json(StatusCode::OK, &body))
}
