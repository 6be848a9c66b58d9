//! `[brakes]`: what waits for a person before customers are billed.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::brake::Limits;
use crate::domain::feed::Rule;
use crate::domain::money::{Currency, Money};

/// What waits for a person before customers are billed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brakes {
    /// Percent by which a run's total or number of invoices may move against last month; 0: any.
    pub total_percent: u32,
    /// Up to so many invoices nothing is compared.
    pub organizations: u32,
    /// The largest amount one invoice may ask for, by currency.
    pub invoice_cap: BTreeMap<String, String>,
    /// Days of its own history a feed is held against; 0: not at all.
    pub feed_history_days: u32,
    /// Events a weekday must have had on average for its silence to count.
    pub feed_min_events: u32,
}

impl Default for Brakes {
    fn default() -> Self {
        Self {
            total_percent: 50,
            organizations: 20,
            invoice_cap: BTreeMap::new(),
            feed_history_days: 28,
            feed_min_events: 100,
        }
    }
}

impl Brakes {
    /// How far a run's figures may move.
    ///
    /// # Errors
    /// A cap that is no amount of its currency.
    pub fn limits(&self) -> Result<Limits, String> {
        let mut invoice_cap = BTreeMap::new();
        for (code, amount) in &self.invoice_cap {
            let currency: Currency = code.parse().map_err(|error| format!("{error}"))?;
            let cap = Money::parse(amount, currency).map_err(|error| format!("{error}"))?;
            if !cap.is_positive() {
                return Err(format!("{cap} must be above 0; leave the currency out for no cap"));
            }
            invoice_cap.insert(currency, cap.minor());
        }
        Ok(Limits {
            total_percent: self.total_percent,
            organizations: self.organizations,
            invoice_cap,
        })
    }

    /// When a silent day of a feed looks like a loss.
    #[must_use]
    pub const fn feed_rule(&self) -> Rule {
        Rule { history_days: self.feed_history_days, min_events: self.feed_min_events }
    }

    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        if self.total_percent > 1_000_000 {
            return Some(("brakes.total_percent", "must be from 0 to 1000000".to_owned()));
        }
        if let Err(problem) = self.limits() {
            return Some(("brakes.invoice_cap", problem));
        }
        let days = self.feed_history_days;
        if days != 0 && (!days.is_multiple_of(7) || !(14..=56).contains(&days)) {
            let problem = "must be whole weeks, from 14 to 56, or 0 for no look at feeds";
            return Some(("brakes.feed_history_days", problem.to_owned()));
        }
        (self.feed_min_events == 0)
            .then(|| ("brakes.feed_min_events", "must be at least 1".to_owned()))
    }
}
