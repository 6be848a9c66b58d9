//! `[payments]`: who collects the money, and how it is reached.

use std::path::PathBuf;

use serde::Deserialize;

/// Who collects the money.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Payments {
    /// `stripe` collects, `sandbox` plays a provider, `manual` is bank transfer.
    pub gateway: Gateway,
    /// Seconds one charge may take before its outcome is unknown.
    pub timeout_s: u16,
    /// How Stripe is reached.
    pub stripe: Stripe,
}

impl Default for Payments {
    fn default() -> Self {
        Self { gateway: Gateway::Sandbox, timeout_s: 30, stripe: Stripe::default() }
    }
}

/// Who collects the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// Plays a provider, with its own journal.
    Sandbox,
    /// Bank transfer: finance records payments.
    Manual,
    /// Cards and debits, collected by Stripe.
    Stripe,
}

/// How Stripe is reached. The secret key comes from `MONTHEND_STRIPE_KEY` or `key_file`, the secret of its
/// notifications from `MONTHEND_STRIPE_WEBHOOK_SECRET` or `webhook_secret_file`; neither is written here.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Stripe {
    /// Another address than Stripe's own, for a rehearsal on this machine.
    pub base_url: Option<String>,
    /// Another version of its interface than this program was written for.
    pub api_version: Option<String>,
    /// A file that holds the secret key and nothing else.
    pub key_file: Option<PathBuf>,
    /// A file of secrets that sign notifications (`whsec_…`), one a line.
    pub webhook_secret_file: Option<PathBuf>,
    /// Seconds until a connection must stand.
    pub connect_timeout_s: u16,
    /// Most requests a second.
    pub requests_per_second: u32,
}

impl Default for Stripe {
    fn default() -> Self {
        Self {
            base_url: None,
            api_version: None,
            key_file: None,
            webhook_secret_file: None,
            connect_timeout_s: 5,
            requests_per_second: 20,
        }
    }
}

impl Payments {
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if !(1..=50).contains(&self.timeout_s) {
            return Some(("payments.timeout_s", "must be from 1 to 50".to_owned()));
        }
        if !(1..=30).contains(&self.stripe.connect_timeout_s) {
            return Some(("payments.stripe.connect_timeout_s", "must be from 1 to 30".to_owned()));
        }
        (!(1..=100).contains(&self.stripe.requests_per_second))
            .then(|| ("payments.stripe.requests_per_second", "must be from 1 to 100".to_owned()))
    }
}
