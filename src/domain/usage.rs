//! Usage events: what was used, by whom, when, in which quantities (S1–S19).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::decimal;
use super::ids;

/// One reported use. `(organization, source, id)` names it once and for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageEvent {
    /// Who is billed.
    pub organization: String,
    /// Who reported it; empty where the input names none.
    pub source: String,
    /// The reporter's id.
    pub id: String,
    /// When it happened, to the microsecond.
    pub at: DateTime<Utc>,
    /// What was used.
    pub meter: String,
    /// In which project (S41); empty: none.
    pub project: String,
    /// By which member; empty: none.
    pub member: String,
    /// In which environment: `development`, `production` … (S44); empty: none.
    pub environment: String,
    /// Which model; empty: none.
    pub model: String,
    /// The model's supplier (S57); empty: none.
    pub supplier: String,
    /// The job it belongs to: a benchmark run, a pipeline (S75); empty: none.
    pub job: String,
    /// Quantities ≥ 0 by dimension; a dimension that was not reported is absent.
    pub quantities: BTreeMap<String, Decimal>,
}

impl UsageEvent {
    /// What names it among all events: organization, source and id.
    #[must_use]
    pub fn key(&self) -> (&str, &str, &str) {
        (&self.organization, &self.source, &self.id)
    }

    /// Hash over everything but the identity: the same id with another hash is another event.
    #[must_use]
    pub fn content_hash(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.at.timestamp_micros(),
            self.meter,
            self.project,
            self.member,
            self.environment,
            self.model,
            self.supplier,
            self.job
        );
        for (dimension, quantity) in &self.quantities {
            text.push_str(dimension);
            text.push('=');
            text.push_str(&decimal::text(*quantity));
            text.push('\n');
        }
        ids::sha256_hex(text.as_bytes())
    }
}
