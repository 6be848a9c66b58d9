//! Requests over HTTP, and which failures leave open whether Stripe acted.
//!
//! Nothing is repeated here and no redirect is followed: the caller decides what happens next.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;

use super::answers::Refusal;
use super::form::Form;
use super::{SettingsError, StripeSettings};
use crate::domain::secret::Secret;
use crate::pace::Pace;
use crate::payments::GatewayError;

/// Most bytes of an answer that are read.
const MAX_ANSWER: usize = 1024 * 1024;
/// Rest after "too many requests" without a time.
const DEFAULT_REST: Duration = Duration::from_secs(1);

/// A connection to one account.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    version: HeaderValue,
    key: Secret,
    pace: Pace,
}

/// An answer of success.
pub(super) struct Reply {
    pub(super) body: Value,
    /// Was it stored when the same key was sent before?
    pub(super) replayed: bool,
}

/// Why there is no such answer.
pub(super) enum Failure {
    /// Stripe refused, and said why.
    Refused(Refusal),
    /// Anything else, sorted by what the caller must do.
    Lost(GatewayError),
}

impl From<Failure> for GatewayError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Lost(error) => error,
        }
    }
}

impl Client {
    /// How many requests leave in a second at most.
    pub(super) const fn per_second(&self) -> u32 {
        self.pace.per_second()
    }

    pub(super) fn new(settings: StripeSettings) -> Result<Self, SettingsError> {
        let base = base(&settings.base_url)?;
        let version = HeaderValue::from_str(&settings.api_version)
            .ok()
            .filter(|version| !version.is_empty())
            .ok_or(SettingsError::Version)?;
        if HeaderValue::from_str(settings.key.expose()).is_err() || settings.key.expose().is_empty()
        {
            return Err(SettingsError::Key);
        }
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls()?)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .timeout(settings.timeout)
            .connect_timeout(settings.connect_timeout)
            .user_agent(concat!("monthend/", env!("CARGO_PKG_VERSION")));
        // A rehearsal on this machine is never asked for through a proxy.
        let http = if base.starts_with("http:") { http.no_proxy() } else { http };
        Ok(Self {
            http: http.build().map_err(|_| SettingsError::Tls)?,
            base,
            version,
            key: settings.key,
            pace: Pace::new(settings.requests_per_second),
        })
    }

    /// Asks; changes nothing.
    pub(super) async fn get(&self, path: &str, query: &Form) -> Result<Reply, Failure> {
        let mark = if query.as_str().is_empty() { "" } else { "?" };
        self.call(Method::GET, &format!("{path}{mark}{}", query.as_str()), None, None).await
    }

    /// Sends something that has an effect, once for each key.
    pub(super) async fn post(
        &self,
        path: &str,
        form: &Form,
        key: Option<&str>,
    ) -> Result<Reply, Failure> {
        self.call(Method::POST, path, Some(form), key).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        form: Option<&Form>,
        key: Option<&str>,
    ) -> Result<Reply, Failure> {
        self.pace.turn().await;
        let mut headers = HeaderMap::new();
        headers.insert("stripe-version", self.version.clone());
        if let Some(key) = key {
            let key =
                HeaderValue::from_str(key).map_err(|_| misuse("the key is no header text"))?;
            headers.insert("idempotency-key", key);
        }
        let url = format!("{}{path}", self.base);
        let mut request =
            self.http.request(method, url).headers(headers).bearer_auth(self.key.expose());
        if let Some(form) = form {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(form.as_str().to_owned());
        }
        let response = request.send().await.map_err(|error| lost(&error))?;
        self.read(response).await
    }

    async fn read(&self, response: Response) -> Result<Reply, Failure> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::Lost(self.rested(response.headers())));
        }
        no_word(status)?;
        let replayed = response.headers().get("idempotent-replayed").is_some_and(|v| v == "true");
        let body = understood(status, &limited(response).await?)?;
        Ok(Reply { body, replayed })
    }

    /// Too many requests: certainly nothing happened (F65).
    fn rested(&self, headers: &HeaderMap) -> GatewayError {
        let seconds = headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.trim().parse().ok());
        let rest = seconds.map_or(DEFAULT_REST, Duration::from_secs);
        self.pace.rest(rest);
        GatewayError::NotSent(format!(
            "HTTP 429: too many requests; again after {} s",
            rest.as_secs()
        ))
    }
}

/// Statuses that say nothing of what was asked, whatever comes with them.
fn no_word(status: StatusCode) -> Result<(), Failure> {
    // A stored 500 is replayed for a day, whether the first one acted or not (F64).
    if !status.is_success() && !status.is_client_error() {
        return Err(unclear(&format!("HTTP {}", status.as_u16())));
    }
    Ok(())
}

/// What an answer says, by its status and its whole body.
pub(super) fn understood(status: StatusCode, body: &[u8]) -> Result<Value, Failure> {
    no_word(status)?;
    let body: Value =
        serde_json::from_slice(body).map_err(|_| unclear("the answer is not JSON"))?;
    if status.is_success() {
        return Ok(body);
    }
    let refusal = Refusal::read(status.as_u16(), body)
        .ok_or_else(|| unclear(&format!("HTTP {} without a reason", status.as_u16())))?;
    if status != StatusCode::CONFLICT {
        return Err(Failure::Refused(refusal));
    }
    // Another request with the same key may be at work; a lock alone keeps ours from beginning.
    Err(if refusal.is("lock_timeout") {
        Failure::Lost(GatewayError::NotSent("the object is locked; again later".to_owned()))
    } else {
        unclear("HTTP 409: a request with the same key is at work")
    })
}

/// Where requests go: https, or this machine itself.
fn base(given: &str) -> Result<String, SettingsError> {
    let url = Url::parse(given).map_err(|_| SettingsError::Address)?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    let host = url.host_str().ok_or(SettingsError::Address)?.trim_matches(['[', ']']);
    let here = host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" if plain => {}
        "http" if plain && here => {}
        "http" if plain => return Err(SettingsError::Unprotected),
        _ => return Err(SettingsError::Address),
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// TLS with certificate authorities that are the same on every machine.
fn tls() -> Result<rustls::ClientConfig, SettingsError> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| SettingsError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// The body, as far as it is small; the total time-out covers a slow one.
async fn limited(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|_| unclear("the answer broke off"))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(unclear("the answer is longer than 1 MiB"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A request that got no answer: only where no connection stood is it certain that nothing happened.
fn lost(error: &reqwest::Error) -> Failure {
    if error.is_builder() {
        return misuse("the request cannot be written");
    }
    if error.is_connect() {
        return Failure::Lost(GatewayError::NotSent("no connection could be made".to_owned()));
    }
    unclear(if error.is_timeout() { "no answer in time" } else { "the connection was lost" })
}

fn unclear(text: &str) -> Failure {
    Failure::Lost(GatewayError::Unclear(text.to_owned()))
}

fn misuse(text: &str) -> Failure {
    Failure::Lost(GatewayError::Misuse(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // A status no standard knows was taken for a refusal, and a payment for declined.
    #[test]
    fn only_success_and_refusals_are_a_word() {
        let body = br#"{"error": {"type": "card_error", "code": "card_declined"}}"#;
        let read = |status| understood(StatusCode::from_u16(status).unwrap(), body);
        for status in [100, 302, 500, 599, 600, 999] {
            assert!(
                matches!(read(status), Err(Failure::Lost(GatewayError::Unclear(_)))),
                "{status}"
            );
        }
        assert!(matches!(read(402), Err(Failure::Refused(_))));
        assert!(read(200).is_ok());
    }

    #[test]
    fn only_this_machine_is_talked_to_without_tls() {
        for fine in ["https://api.stripe.com", "http://127.0.0.1:12111/", "http://[::1]:80"] {
            assert!(base(fine).is_ok(), "{fine}");
        }
        for (wrong, expected) in [
            ("http://api.stripe.com", SettingsError::Unprotected),
            ("http://127.0.0.1.example.com", SettingsError::Unprotected),
            ("https://user:secret@api.stripe.com", SettingsError::Address),
            ("https://api.stripe.com/v1", SettingsError::Address),
            ("ftp://127.0.0.1", SettingsError::Address),
            ("api.stripe.com", SettingsError::Address),
        ] {
            assert_eq!(base(wrong), Err(expected), "{wrong}");
        }
    }
}
