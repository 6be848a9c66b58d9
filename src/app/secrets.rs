//! Secrets of what is configured: read from a file or the environment, never from an argument.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

use crate::config::{Config, Mode};
use crate::domain::secret::Secret;
use crate::webhooks::{Endpoint, Key, Webhooks};

/// The variable that holds bearer tokens, one a line.
const HTTP_TOKEN: &str = "MONTHEND_HTTP_TOKEN";
/// The variable that holds Stripe's secret key.
const STRIPE_KEY: &str = "MONTHEND_STRIPE_KEY";
/// The variable that holds the secrets of Stripe's notifications, one a line.
const STRIPE_WEBHOOK: &str = "MONTHEND_STRIPE_WEBHOOK_SECRET";

/// The endpoints of `[[webhooks]]` with their secrets.
pub(super) fn webhooks(home: &Path, config: &Config) -> Result<Webhooks> {
    let mut endpoints = Vec::with_capacity(config.webhooks.len());
    for webhook in &config.webhooks {
        let name = &webhook.name;
        let text = match (&webhook.secret_file, &webhook.secret_env) {
            (Some(path), _) => file(home, path, &format!("webhooks {name}: secret_file"))?,
            (None, Some(env)) => std::env::var(env)
                .map_err(|_| anyhow!("webhooks {name}: the environment has no {env}"))?,
            (None, None) => String::new(),
        };
        let keys: Vec<Key> = text
            .split_whitespace()
            .map(Key::parse)
            .collect::<Result<_, _>>()
            .map_err(|problem| anyhow!("webhooks {name}: {problem}"))?;
        if keys.is_empty() {
            bail!("webhooks {name}: there is no secret in its file or variable");
        }
        let events = webhook.wanted().map_err(|problem| anyhow!("webhooks {name}: {problem}"))?;
        endpoints.push(Endpoint { name: name.clone(), url: webhook.url.clone(), keys, events });
    }
    Ok(Webhooks::new(endpoints)?)
}

/// The bearer tokens of `serve --http`: of the environment, or else of `[http] token_file`.
///
/// # Errors
/// There is none, or one is too short to be kept secret.
pub fn http_tokens(home: &Path, config: &Config) -> Result<Vec<String>> {
    /// Fewest characters of a token: nobody guesses it.
    const FEWEST: usize = 20;
    let text = match (std::env::var(HTTP_TOKEN), &config.http.token_file) {
        (Ok(text), _) => text,
        (Err(_), Some(path)) => file(home, path, "http.token_file")?,
        (Err(_), None) => String::new(),
    };
    let tokens: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    if tokens.is_empty() {
        bail!("serve --http needs a bearer token: set {HTTP_TOKEN}, or [http] token_file");
    }
    if tokens.iter().any(|token| token.len() < FEWEST || !token.is_ascii()) {
        bail!(
            "a bearer token must have at least {FEWEST} characters, all ASCII: try `openssl rand -hex 32`"
        );
    }
    Ok(tokens)
}

/// Does a key of Stripe's move real money?
pub(super) fn is_live_key(key: &str) -> bool {
    key.starts_with("sk_live_") || key.starts_with("rk_live_")
}

/// Stripe's secret key, fitting the mode: a test deployment never charges real cards, and a live one never
/// plays (F72).
///
/// # Errors
/// There is none, or it is the other mode's.
pub(super) fn stripe_key(home: &Path, config: &Config) -> Result<Secret> {
    let stripe = &config.payments.stripe;
    let text = match (std::env::var(STRIPE_KEY), &stripe.key_file) {
        (Ok(text), _) => text,
        (Err(_), Some(path)) => file(home, path, "payments.stripe.key_file")?,
        (Err(_), None) => {
            bail!(
                "gateway = \"stripe\" needs a secret key: set {STRIPE_KEY}, or payments.stripe.key_file"
            )
        }
    };
    let key = text.trim();
    let is_live = is_live_key(key);
    match (config.mode, is_live) {
        (Mode::Test, true) => bail!("the Stripe key is a live one, but mode = \"test\""),
        (Mode::Live, false) if stripe.base_url.is_none() => {
            bail!("mode = \"live\" needs a live Stripe key (sk_live_… or, better, rk_live_…)")
        }
        _ => Ok(Secret::new(key)),
    }
}

/// The secrets that sign Stripe's notifications; none: no notification is believed.
///
/// # Errors
/// Their file cannot be read.
pub fn stripe_webhook(home: &Path, config: &Config) -> Result<Vec<Secret>> {
    let text = match (std::env::var(STRIPE_WEBHOOK), &config.payments.stripe.webhook_secret_file) {
        (Ok(text), _) => text,
        (Err(_), Some(path)) => file(home, path, "payments.stripe.webhook_secret_file")?,
        (Err(_), None) => String::new(),
    };
    Ok(text.split_whitespace().map(Secret::new).collect())
}

fn file(home: &Path, path: &Path, what: &str) -> Result<String> {
    // Somebody may have written the key itself where the file's name belongs: that is not told.
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_a_key = ["sk_", "rk_", "whsec_"].iter().any(|begins| name.starts_with(begins));
    std::fs::read_to_string(home.join(path)).with_context(|| {
        if is_a_key {
            format!(
                "{what}: names a file, and the secret stands in that file; here stands a secret"
            )
        } else {
            format!("{what}: cannot read {}", home.join(path).display())
        }
    })
}
