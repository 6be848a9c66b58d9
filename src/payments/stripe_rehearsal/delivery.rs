//! Notifications on their way to this machine's webhook endpoint, one after the other.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use serde_json::Value;
use tokio::sync::mpsc;

use super::store::Now;
use super::{RehearsalError, WebhookTarget};
use crate::payments::stripe::webhook;

/// Most notifications that wait for an endpoint that does not answer.
const MOST_WAITING: usize = 10_000;
/// How long an endpoint may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often one notification is sent until it is accepted.
const ATTEMPTS: u32 = 3;

/// A queue with its sender; it ends when it is dropped.
pub(super) struct Delivery {
    queue: mpsc::Sender<Value>,
}

impl Delivery {
    pub(super) fn start(target: WebhookTarget, now: Now) -> Result<Self, RehearsalError> {
        let url = Url::parse(&target.url).map_err(|e| RehearsalError::Webhook(e.to_string()))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        if url.scheme() != "http" || !here {
            return Err(RehearsalError::NotLoopback(target.url));
        }
        let http = plain_http().map_err(|text| RehearsalError::Webhook(text.to_owned()))?;
        let (queue, mut waiting) = mpsc::channel(MOST_WAITING);
        tokio::spawn(async move {
            while let Some(event) = waiting.recv().await {
                deliver(&http, &url, &target, &now, &event).await;
            }
        });
        Ok(Self { queue })
    }

    /// Queues a notification; one too many is lost, as they may be.
    pub(super) fn send(&self, event: Value) {
        if self.queue.try_send(event).is_err() {
            tracing::warn!("rehearsal: a notification is lost, too many wait");
        }
    }
}

/// A client that never needs TLS: it talks to this machine only.
pub(super) fn plain_http() -> Result<reqwest::Client, &'static str> {
    let broken = "TLS cannot be set up";
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| broken)?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(PATIENCE)
        .build()
        .map_err(|_| broken)
}

async fn deliver(
    http: &reqwest::Client,
    url: &Url,
    target: &WebhookTarget,
    now: &Now,
    event: &Value,
) {
    let body = event.to_string();
    let kind = event["type"].as_str().unwrap_or_default();
    for attempt in 1..=ATTEMPTS {
        let Some(header) = webhook::signature(&target.secret, now(), body.as_bytes()) else {
            return;
        };
        let request = http
            .post(url.clone())
            .header("stripe-signature", header)
            .header("content-type", "application/json")
            .body(body.clone());
        match request.send().await {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => tracing::warn!(
                kind,
                attempt,
                status = response.status().as_u16(),
                "rehearsal: the webhook endpoint refuses a notification"
            ),
            Err(_) => {
                tracing::warn!(kind, attempt, "rehearsal: the webhook endpoint does not answer");
            }
        }
    }
}
