//! The gateway against the rehearsal, over real HTTP.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::*;
use crate::payments::contract::{Fixture, Tokens};
use crate::payments::stripe_rehearsal::{Rehearsal, RehearsalOptions};

mod faults;
mod rules;

/// A secret that must never be seen anywhere.
pub(super) const CANARY: &str = "sk_test_CANARY";

pub(super) fn noon() -> DateTime<Utc> {
    "2026-02-01T12:00:00Z".parse().unwrap()
}

pub(super) fn settings(base_url: String) -> StripeSettings {
    StripeSettings {
        base_url,
        timeout: Duration::from_secs(20),
        requests_per_second: 10_000,
        ..StripeSettings::live(Secret::new(CANARY))
    }
}

/// A rehearsal under test.
pub(super) struct Rehearsed(pub(super) Rehearsal);

impl Rehearsed {
    pub(super) async fn start() -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = RehearsalOptions { listen, now: Arc::new(noon), webhook: None };
        Self(Rehearsal::start(options).await.unwrap())
    }

    /// For the contract, whose fixtures are made outside of async code.
    fn new() -> Self {
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| runtime.block_on(Self::start()))
    }

    pub(super) fn gateway(&self) -> Stripe {
        Stripe::new(settings(self.0.base_url())).unwrap()
    }

    /// A gateway that does not wait long.
    pub(super) fn hasty(&self) -> Stripe {
        let timeout = Duration::from_millis(1_500);
        Stripe::new(StripeSettings { timeout, ..settings(self.0.base_url()) }).unwrap()
    }
}

impl Fixture for Rehearsed {
    fn open(&self) -> Arc<dyn PaymentGateway> {
        Arc::new(self.gateway())
    }

    fn tokens(&self) -> Tokens {
        Tokens {
            succeeds: "pm_card_visa_acme",
            soft_decline: "cus_acme/pm_card_declined",
            hard_decline: "cus_acme/pm_card_stolen",
            unknown: "pm_nobody",
            needs_action: "cus_acme/pm_card_requires_action",
            timeout_before: "cus_acme/pm_card_timeout_before",
            timeout_after: "pm_card_timeout_after_acme",
        }
    }

    fn successes(&self, key: &str) -> usize {
        self.0.taken(key)
    }

    fn given_back(&self, key: &str) -> i64 {
        self.0.journal().iter().filter(|it| it.key == key).map(|it| it.refunded).sum()
    }

    fn pay(&self, key: &str) {
        assert!(self.0.act_on_page(key, "pm_card_visa").is_some());
    }
}

gateway_contract!(Rehearsed::new());
