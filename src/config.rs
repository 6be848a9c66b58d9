//! `monthend.toml`: what the operator decides.

pub mod alerts;
pub mod brakes;
mod error;
pub mod http;
pub mod payments;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use payments::{Gateway, Payments};

use crate::domain::alert::Rule;
use crate::domain::secret::Secret;
use crate::domain::text;
use crate::intake::toml_lines::{key_of, line_of};

pub use error::ConfigError;

/// The starter file `init` writes.
pub const STARTER: &str = include_str!("../templates/starter/monthend.toml");

/// Test or live: a test deployment may move its clock, and is meant to charge nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// `--now` is allowed.
    Test,
    /// The real thing.
    Live,
}

impl Mode {
    /// The word in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

/// The whole file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Test or live.
    pub mode: Mode,
    /// `postgres://…`, which may hold a password; without it, `monthend.db` in the home folder.
    #[serde(default)]
    pub database: Option<Secret>,
    /// Who sells: printed on every document.
    pub seller: Seller,
    /// Numbers and terms of invoices.
    #[serde(default)]
    pub invoices: Invoices,
    /// Fonts and logo.
    #[serde(default)]
    pub documents: Documents,
    /// How mails leave.
    pub mail: Mail,
    /// Who collects the money.
    #[serde(default)]
    pub payments: Payments,
    /// The unattended runner.
    #[serde(default)]
    pub runner: Runner,
    /// What waits for a person before customers are billed.
    #[serde(default)]
    pub brakes: brakes::Brakes,
    /// Says that this home belongs to the deployment of that id, where the file `deployment` cannot.
    #[serde(default)]
    pub deployment: Option<String>,
    /// What `serve` answers to others.
    #[serde(default)]
    pub http: http::Http,
    /// Who is told what changes.
    #[serde(default)]
    pub webhooks: Vec<http::Webhook>,
    /// What organizations are told before it is too late, as written.
    #[serde(default)]
    alerts: Option<Vec<alerts::Table>>,
    /// The rules of it; without any, the shipped ones.
    #[serde(skip)]
    pub alert_rules: Vec<Rule>,
    /// Notices of credits that are about to lapse.
    #[serde(default)]
    pub expiry_notices: alerts::ExpiryNotices,
    /// A folder whose job files replace the shipped ones.
    #[serde(default)]
    pub jobs_dir: Option<PathBuf>,
    /// A folder whose templates replace the shipped ones.
    #[serde(default)]
    pub templates_dir: Option<PathBuf>,
}

/// Who sells.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seller {
    /// Legal name.
    pub name: String,
    /// Lines of the postal address.
    #[serde(default)]
    pub address: Vec<String>,
    /// ISO 3166 country code or name.
    #[serde(default)]
    pub country: Option<String>,
    /// Tax registration.
    #[serde(default)]
    pub tax_id: Option<String>,
    /// Where customers find help (S77): an address, a page, a telephone number.
    pub support: String,
    /// Where bank transfers go, line by line.
    #[serde(default)]
    pub bank_details: Vec<String>,
}

/// Numbers and terms of invoices.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Invoices {
    /// First part of every number: `INV` gives `INV-2026-000001`.
    pub prefix: String,
    /// The same for receipts of purchases.
    pub receipt_prefix: String,
    /// The same for credit notes.
    pub credit_note_prefix: String,
    /// One gapless series per `seller` and year, or per `organization` and year.
    pub series: Series,
    /// Days from the invoice's date until a bank transfer is due.
    pub payment_days: u16,
    /// Lines at the foot of every invoice.
    pub notes: Vec<String>,
}

impl Default for Invoices {
    fn default() -> Self {
        Self {
            prefix: "INV".to_owned(),
            receipt_prefix: "RCT".to_owned(),
            credit_note_prefix: "CN".to_owned(),
            series: Series::Seller,
            payment_days: 14,
            notes: Vec::new(),
        }
    }
}

impl Invoices {
    fn problem(&self) -> Option<(&'static str, String)> {
        let plain = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        let prefixes = [
            ("invoices.prefix", &self.prefix),
            ("invoices.receipt_prefix", &self.receipt_prefix),
            ("invoices.credit_note_prefix", &self.credit_note_prefix),
        ];
        for (index, (field, prefix)) in prefixes.into_iter().enumerate() {
            if !(1..=12).contains(&prefix.len()) || !prefix.bytes().all(plain) {
                return Some((field, format!("{prefix:?} must be 1 to 12 letters A–Z or digits")));
            }
            if prefixes[..index].iter().any(|(_, other)| *other == prefix) {
                let problem =
                    format!("{prefix:?} is taken: each kind of document has its own series");
                return Some((field, problem));
            }
        }
        None
    }
}

/// Whose invoices share a series of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Series {
    /// All invoices of a year.
    Seller,
    /// One organization's of a year: numbers tell nobody how many customers there are.
    Organization,
}

/// Fonts and logo.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Documents {
    /// A PNG instead of the shipped logo.
    pub logo: Option<PathBuf>,
    /// More fonts, tried in order for characters the shipped ones lack (Chinese, Japanese, Korean).
    pub fonts: Vec<PathBuf>,
}

/// How mails leave.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mail {
    /// The sender: `Acme AI Billing <billing@acme.example>` or an address.
    pub from: String,
    /// `outbox` writes `.eml` files, `smtp` sends.
    #[serde(default)]
    pub transport: Transport,
    /// The server, for `smtp`.
    #[serde(default)]
    pub smtp: Option<Smtp>,
}

/// How mails leave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Files in `outbox/`.
    #[default]
    Outbox,
    /// A mail server.
    Smtp,
}

/// A mail server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Its port: 465 for TLS from the start, 587 for STARTTLS.
    pub port: u16,
    /// The user, if it asks for one; the password comes from `MONTHEND_SMTP_PASSWORD` or `password_file`.
    #[serde(default)]
    pub username: Option<String>,
    /// A file that holds the password and nothing else.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// `required`, or `none` for a server on this machine.
    #[serde(default)]
    pub tls: Tls,
    /// Seconds one mail may take.
    #[serde(default = "default_smtp_timeout")]
    pub timeout_s: u16,
    /// Most mails in a second, of each process; none: as many as the server takes.
    #[serde(default)]
    pub messages_per_second: Option<u32>,
}

const fn default_smtp_timeout() -> u16 {
    30
}

/// Encryption towards the mail server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// No mail leaves without it.
    #[default]
    Required,
    /// Only for a loopback address.
    None,
}

/// The unattended runner.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runner {
    /// Workers of `serve`.
    pub workers: u16,
    /// Seconds between two looks at what is due.
    pub heartbeat_s: u16,
    /// Seconds a claimed step is left to its worker after its last sign of life.
    pub lease_s: u16,
    /// Charges, and mails, a worker does side by side. 1: everything strictly one after the other.
    pub effects_at_once: u16,
}

impl Default for Runner {
    fn default() -> Self {
        Self { workers: 2, heartbeat_s: 30, lease_s: 60, effects_at_once: 8 }
    }
}

impl Config {
    /// Reads `monthend.toml` of a home folder.
    ///
    /// # Errors
    /// With file, line and field.
    pub fn load(home: &Path) -> Result<Self, ConfigError> {
        let path = home.join("monthend.toml");
        let file = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ConfigError::Read { file: file.clone(), source })?;
        Self::parse(&file, &text)
    }

    /// Reads a text as `monthend.toml`.
    ///
    /// # Errors
    /// With file, line and field.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error| ConfigError::Syntax {
            file: file.to_owned(),
            // The text of the file is not repeated: it may hold a password in the database address.
            message: syntax_message(text, &error),
        })?;
        if let Some((field, problem)) = config.problem().or_else(|| config.expiry_notices.problem())
        {
            return Err(ConfigError::value(file, line_of(text, field), field, problem));
        }
        config.alert_rules = alerts::rules(config.alerts.as_deref(), text)
            .map_err(|wrong| ConfigError::value(file, wrong.line, wrong.key, wrong.what))?;
        Ok(config)
    }

    /// Name and address of the sender of mails; without a name of its own, the seller's.
    #[must_use]
    pub fn sender(&self) -> (String, String) {
        let from = self.mail.from.trim();
        match from.rsplit_once('<') {
            Some((name, rest)) if !name.trim().is_empty() => (
                name.trim().trim_matches('"').to_owned(),
                rest.trim_end_matches('>').trim().to_owned(),
            ),
            _ => {
                let address = from.trim_start_matches('<').trim_end_matches('>');
                (self.seller.name.clone(), address.to_owned())
            }
        }
    }

    fn problem(&self) -> Option<(&'static str, String)> {
        let harmless = |text: &str| text::is_harmless(text) && !text.trim().is_empty();
        if let Some(problem) = self.invoices.problem() {
            return Some(problem);
        }
        if !harmless(&self.seller.name) {
            return Some(("seller.name", "must be text without control characters".to_owned()));
        }
        if !harmless(&self.seller.support) {
            return Some(("seller.support", "must be text without control characters".to_owned()));
        }
        if self.mail.transport == Transport::Smtp && self.mail.smtp.is_none() {
            return Some((
                "mail.smtp",
                "is missing; transport = \"smtp\" needs host and port".to_owned(),
            ));
        }
        let (_, sender) = self.sender();
        if !text::is_harmless(&self.mail.from)
            || !sender.is_ascii()
            || sender.parse::<lettre::Address>().is_err()
        {
            let problem =
                "must be an address like billing@example.com, or Name <billing@example.com>";
            return Some(("mail.from", problem.to_owned()));
        }
        if !(1..=64).contains(&self.runner.workers) {
            return Some(("runner.workers", "must be from 1 to 64".to_owned()));
        }
        if !(1..=3600).contains(&self.runner.heartbeat_s) {
            return Some(("runner.heartbeat_s", "must be from 1 to 3600".to_owned()));
        }
        if !(2..=3600).contains(&self.runner.lease_s) {
            return Some(("runner.lease_s", "must be from 2 to 3600".to_owned()));
        }
        // The lease covers them all.
        if !(1..=8).contains(&self.runner.effects_at_once) {
            return Some(("runner.effects_at_once", "must be from 1 to 8".to_owned()));
        }
        if let Some(problem) = self.payments.problem().or_else(|| self.brakes.problem()) {
            return Some(problem);
        }
        if self.mail.smtp.as_ref().is_some_and(|smtp| !(1..=50).contains(&smtp.timeout_s)) {
            return Some(("mail.smtp.timeout_s", "must be from 1 to 50".to_owned()));
        }
        let paced = |smtp: &Smtp| smtp.messages_per_second.is_none_or(|n| (1..=1_000).contains(&n));
        if !self.mail.smtp.as_ref().is_none_or(paced) {
            return Some(("mail.smtp.messages_per_second", "must be from 1 to 1000".to_owned()));
        }
        if let Some(problem) = http::problem(&self.http, &self.webhooks) {
            return Some(problem);
        }
        match &self.database {
            Some(address) if !is_postgres(address.expose()) => Some((
                "database",
                "must begin with postgres:// or be left out for SQLite".to_owned(),
            )),
            _ => None,
        }
    }
}

/// Is it an address of a PostgreSQL database?
#[must_use]
pub fn is_postgres(address: &str) -> bool {
    address.starts_with("postgres://") || address.starts_with("postgresql://")
}

fn syntax_message(text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = text.as_bytes().get(..at).unwrap_or_default();
    let line = before.split(|byte| *byte == b'\n').count();
    // The key alone: what stands behind it may be a password.
    let key = text.lines().nth(line - 1).and_then(|line| key_of(line)).unwrap_or_default();
    let said = error.message();
    if key.is_empty() || said.contains(key) {
        format!("line {line}: {said}")
    } else {
        format!("line {line}: {key}: {said}")
    }
}

#[cfg(test)]
mod tests;
