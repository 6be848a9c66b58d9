//! One POST, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{Client, StatusCode};

use super::{Endpoint, Message, sign};

/// How long an endpoint may take, from the connection to the end of its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read, so that the connection can be used again.
const ANSWER_BYTES: usize = 64 * 1024;

/// Why a message was not taken, sorted by what happens next. No text holds an address: it may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection, no answer in time, or a server's own trouble: later.
    #[error("{0}")]
    Away(String),
    /// The endpoint understood and does not want it: a few times later, then a person.
    #[error("{0}")]
    Refused(String),
    /// The endpoint says it is gone for good (410).
    #[error("{0}")]
    Gone(String),
    /// The endpoint is not configured any more, or TLS cannot be set up.
    #[error("{0}")]
    Unknown(String),
}

/// A client on the one TLS stack of the program, with the authorities it was built with.
pub(super) fn client() -> Result<Client, SendError> {
    let unknown = |error: String| SendError::Unknown(format!("webhooks: {error}"));
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unknown(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(TIMEOUT)
        .no_proxy()
        .user_agent(concat!("monthend/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| unknown(error.without_url().to_string()))
}

pub(super) async fn send(
    client: &Client,
    endpoint: &Endpoint,
    message: &Message<'_>,
    now: DateTime<Utc>,
) -> Result<(), SendError> {
    let name = endpoint.name.as_str();
    let timestamp = now.timestamp();
    let request = client
        .post(endpoint.url.expose())
        .header("content-type", "application/json")
        .header("webhook-id", message.id)
        .header("webhook-timestamp", timestamp.to_string())
        .header(
            "webhook-signature",
            sign::signature(&endpoint.keys, message.id, timestamp, message.payload),
        )
        .body(message.payload.to_owned());
    let mut answer = request.send().await.map_err(|error| {
        let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        SendError::Away(format!("endpoint {name} {what}: {}", error.without_url()))
    })?;
    let status = answer.status();
    let mut read = 0;
    while read <= ANSWER_BYTES
        && let Ok(Some(chunk)) = answer.chunk().await
    {
        read += chunk.len();
    }
    sorted(name, status)
}

/// What an answer means.
fn sorted(name: &str, status: StatusCode) -> Result<(), SendError> {
    let said = format!("endpoint {name} answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        410 => Err(SendError::Gone(format!("{said}: it is gone for good"))),
        408 | 409 | 425 | 429 | 500.. => Err(SendError::Away(said)),
        300..=399 => Err(SendError::Refused(format!("{said}; redirects are not followed"))),
        _ => Err(SendError::Refused(said)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_sorted_by_what_happens_next() {
        let of = |code| sorted("product", StatusCode::from_u16(code).unwrap());
        assert!([200, 202, 204].into_iter().all(|code| of(code).is_ok()));
        for code in [408, 409, 425, 429, 500, 503] {
            assert!(matches!(of(code), Err(SendError::Away(_))), "{code}");
        }
        for code in [301, 307, 400, 401, 404, 422] {
            assert!(matches!(of(code), Err(SendError::Refused(_))), "{code}");
        }
        assert!(matches!(of(410), Err(SendError::Gone(_))));
    }
}
