//! `[http]`: what `serve` answers to others, and `[[webhooks]]`: who is told what changes.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::domain::secret::Secret;
use crate::domain::webhook::Event;

/// What `serve` answers to others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port to listen on, like `127.0.0.1:8080`; without it, `serve` listens only with `--http`.
    pub listen: Option<SocketAddr>,
    /// Where customers and providers reach it from outside, like `https://billing.example.com`.
    pub public_url: Option<String>,
    /// A file of bearer tokens, one a line; also `MONTHEND_HTTP_TOKEN`.
    pub token_file: Option<PathBuf>,
}

/// An endpoint that is told what changes.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name in lists and logs; unsent messages keep it when the address changes.
    pub name: String,
    /// Its address, which may hold a token; https, or http on this machine.
    pub url: Secret,
    /// A file of secrets (`whsec_…`), one a line; each signs.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// The environment variable that holds them instead.
    #[serde(default)]
    pub secret_env: Option<String>,
    /// What it wants to hear of; all events without it.
    #[serde(default)]
    pub events: Option<Vec<String>>,
}

impl Webhook {
    /// What it wants to hear of.
    ///
    /// # Errors
    /// A word that is no event.
    pub fn wanted(&self) -> Result<Vec<Event>, String> {
        match &self.events {
            None => Ok(Event::ALL.to_vec()),
            Some(words) => words.iter().map(|word| word.parse()).collect(),
        }
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            let problem = "must be 1 to 40 lower-case letters, digits, - and _";
            return Some(("webhooks.name", problem.to_owned()));
        }
        let name = &self.name;
        if !is_safe(self.url.expose()) {
            let problem = format!("of {name} must begin with https://, or http:// on this machine");
            return Some(("webhooks.url", problem));
        }
        let env = self.secret_env.as_deref();
        if self.secret_file.is_some() == env.is_some() {
            let problem = format!("of {name}: give either secret_file or secret_env");
            return Some(("webhooks.secret_file", problem));
        }
        if env.is_some_and(|env| !env.starts_with("MONTHEND_")) {
            let problem = format!("of {name} must begin with MONTHEND_");
            return Some(("webhooks.secret_env", problem));
        }
        match self.wanted() {
            Ok(events) if events.is_empty() => {
                Some(("webhooks.events", format!("of {name}: leave it out for all events")))
            }
            Ok(_) => None,
            Err(problem) => Some(("webhooks.events", format!("of {name}: {problem}"))),
        }
    }
}

/// The first thing that makes no sense: which key, and what is allowed.
pub(super) fn problem(http: &Http, webhooks: &[Webhook]) -> Option<(&'static str, String)> {
    if http.public_url.as_deref().is_some_and(|url| !is_safe(url)) {
        let problem = "must begin with https://, or http:// on this machine";
        return Some(("http.public_url", problem.to_owned()));
    }
    let names: std::collections::BTreeSet<&str> =
        webhooks.iter().map(|webhook| webhook.name.as_str()).collect();
    if names.len() != webhooks.len() {
        return Some(("webhooks.name", "must differ from each other's".to_owned()));
    }
    webhooks.iter().find_map(Webhook::problem)
}

/// Is it an address that nobody between can read: TLS, or this machine?
fn is_safe(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    let local = match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => return false,
    };
    let plain = url.username().is_empty() && url.password().is_none();
    plain && (url.scheme() == "https" || (url.scheme() == "http" && local))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_reached_without_tls() {
        for good in [
            "https://a.example/x?y=1",
            "http://127.0.0.1:1/x",
            "http://localhost/",
            "http://[::1]:9/",
        ] {
            assert!(is_safe(good), "{good}");
        }
        for bad in [
            "http://a.example/",
            "ftp://localhost/",
            "a.example",
            "https://u:p@a.example/",
            "http://127.0.0.1.example/",
        ] {
            assert!(!is_safe(bad), "{bad}");
        }
    }
}
