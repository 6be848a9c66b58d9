//! The small HTTP server beside the runner: is it alive, and may an organization start new operations?
//!
//! Invariants: a request never holds up the runner (few of them read the database at once); a wrong token
//! learns nothing; no error repeats what was sent. It speaks no TLS: beyond this machine it belongs behind
//! something that does.

mod authorization;
mod pay;
mod problem;
mod server;
mod stripe;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::{Semaphore, SemaphorePermit};

pub use problem::{Problem, json};
pub use server::{bind, serve};
pub use tokens::Tokens;

use crate::app::App;
use crate::domain::secret::Secret;
use crate::services::doctor;

/// Bytes of a request's body; more is refused.
const BODY_BYTES: usize = 256 * 1024;
/// Requests in hand; more are asked to come back.
const IN_HAND: usize = 128;
/// Requests that read the database at once: the runner keeps the other connections.
const READING: usize = 3;
/// Requests that ask the payment provider at once: a slow one never keeps the others from being answered.
const CALLING: usize = 2;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What every request finds: the deployment, the tokens, and the limits.
pub struct Doors {
    /// The deployment.
    pub app: Arc<App>,
    tokens: Tokens,
    stripe: Vec<Secret>,
    in_hand: Semaphore,
    reading: Semaphore,
    calling: Semaphore,
}

impl Doors {
    /// To a deployment, for those who have a token, and for a provider whose notifications are signed so.
    #[must_use]
    pub fn new(app: Arc<App>, tokens: Tokens, stripe: Vec<Secret>) -> Arc<Self> {
        let [in_hand, reading, calling] = [IN_HAND, READING, CALLING].map(Semaphore::new);
        Arc::new(Self { app, tokens, stripe, in_hand, reading, calling })
    }

    /// The secrets that sign Stripe's notifications.
    fn stripe(&self) -> &[Secret] {
        &self.stripe
    }

    /// A place among those who ask the payment provider; waits for one.
    ///
    /// # Errors
    /// The server is stopping.
    pub async fn line(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.calling.acquire().await.map_err(|_| Problem::busy())
    }

    /// A place among those who use the database; waits for one.
    ///
    /// # Errors
    /// The server is stopping.
    pub async fn place(&self) -> Result<SemaphorePermit<'_>, Problem> {
        self.reading.acquire().await.map_err(|_| Problem::busy())
    }
}

/// All routes. Another one is a line here and a file of its own.
pub fn router(doors: Arc<Doors>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/v1/organizations/{id}/authorization", get(authorization::answer))
        .route(
            "/v1/webhooks/stripe",
            post(stripe::hear).layer(DefaultBodyLimit::max(stripe::MAX_BODY)),
        )
        .route(
            "/pay/{organization}/{invoice}/{signature}",
            get(pay::show_invoice).post(pay::pay_invoice),
        )
        .route(
            "/method/{organization}/{subject}/{signature}",
            get(pay::show_method).post(pay::save_method),
        )
        .route("/thanks", get(pay::thanks))
        .fallback(async || Problem::not_found("there is nothing here"))
        .method_not_allowed_fallback(async || {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "method_not_allowed", "this cannot be done here")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn_with_state(doors.clone(), limited))
        .with_state(doors)
}

/// No request takes longer than it may, and no crowd keeps those in hand from being answered.
async fn limited(State(doors): State<Arc<Doors>>, request: Request, next: Next) -> Response {
    let Ok(_place) = doors.in_hand.try_acquire() else {
        return Problem::busy().into_response();
    };
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::busy().into_response(),
    }
}

/// Is the database reachable?
async fn health(State(doors): State<Arc<Doors>>) -> Result<Response, Problem> {
    let _place = doors.place().await?;
    doctor::reachable(&doors.app).await?;
    Ok(json(StatusCode::OK, &serde_json::json!({"status": "ok"})))
}
