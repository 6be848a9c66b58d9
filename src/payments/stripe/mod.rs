//! Stripe: cards and bank debits off session, pages for everything a customer does himself.
//!
//! Whatever has an effect carries our key twice: as idempotency key, which Stripe remembers for a
//! day, and as metadata, by which it is found again for ever. Lists of a customer are exact at once;
//! the search index lags a minute behind and is asked only where no customer is known.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub use self::charges::charge_answer;
use self::client::Client;
pub use self::refunds::refund_answer;
use self::token::{HOSTED, Token};
use super::{GatewayError, PaymentGateway};
use crate::domain::payment::{
    ChargeOutcome, ChargeRequest, HostedPage, MethodDetails, Payer, RefundOutcome, RefundRequest,
};
use crate::domain::secret::Secret;

mod amounts;
mod answers;
mod charges;
mod client;
mod form;
mod intents;
mod lists;
mod methods;
mod pages;
mod refunds;
mod sessions;
#[cfg(test)]
mod tests;
mod token;
pub mod webhook;

/// Where Stripe answers.
pub const LIVE_URL: &str = "https://api.stripe.com";
/// The version of its interface this program was written for.
pub const API_VERSION: &str = "2025-09-30.clover";

/// Most customers that are remembered; forgetting one costs a request.
const MOST_REMEMBERED: usize = 10_000;

/// How Stripe is reached. The caller reads the key from where secrets are kept.
#[derive(Debug, Clone)]
pub struct StripeSettings {
    /// [`LIVE_URL`], or a rehearsal on this machine.
    pub base_url: String,
    /// [`API_VERSION`], unless the account needs another.
    pub api_version: String,
    /// The secret key, better a restricted one.
    pub key: Secret,
    /// Longest time for a whole request with its answer.
    pub timeout: Duration,
    /// Longest time until a connection stands.
    pub connect_timeout: Duration,
    /// Most requests a second, all kinds together.
    pub requests_per_second: u32,
}

impl StripeSettings {
    /// Settings for the real Stripe, with times and a pace that suit its limits.
    #[must_use]
    pub fn live(key: Secret) -> Self {
        Self {
            base_url: LIVE_URL.to_owned(),
            api_version: API_VERSION.to_owned(),
            key,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
            requests_per_second: 20,
        }
    }
}

/// Why the settings cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Not an address of a server alone.
    #[error("the address of Stripe must be like https://api.stripe.com, without a path or a user")]
    Address,
    /// Another machine without TLS.
    #[error("http:// is only for a rehearsal on this machine (http://127.0.0.1:…); use https://")]
    Unprotected,
    /// Not the name of a version.
    #[error("the version of Stripe's interface must be like 2025-09-30.clover")]
    Version,
    /// Nothing, or not one line of text.
    #[error("the secret key of Stripe is empty or holds characters no key has")]
    Key,
    /// The TLS library does not start.
    #[error("TLS cannot be set up on this machine")]
    Tls,
}

/// The gateway to one account of Stripe. Shared by all workers, so that they share its pace.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    /// Customers by method (`pm_…`) and by organization (`organization …`).
    customers: Mutex<HashMap<String, String>>,
}

impl Stripe {
    /// A gateway with these settings; sends nothing yet.
    ///
    /// # Errors
    /// Settings that cannot be used.
    pub fn new(settings: StripeSettings) -> Result<Self, SettingsError> {
        Ok(Self { client: Client::new(settings)?, customers: Mutex::default() })
    }

    fn remembered(&self, what: &str) -> Option<String> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner).get(what).cloned()
    }

    fn remember(&self, what: &str, customer: &str) {
        let mut customers = self.customers.lock().unwrap_or_else(PoisonError::into_inner);
        if customers.len() >= MOST_REMEMBERED {
            customers.clear();
        }
        customers.insert(what.to_owned(), customer.to_owned());
    }
}

#[async_trait]
impl PaymentGateway for Stripe {
    fn name(&self) -> &'static str {
        "stripe"
    }

    fn requests_per_second(&self) -> Option<u32> {
        Some(self.client.per_second())
    }

    async fn check(&self) -> Result<String, GatewayError> {
        let query = form::Form::default().with("limit", "1");
        self.client.get("/v1/payment_intents", &query).await?;
        Ok("stripe answers and knows the key".to_owned())
    }

    fn describe(&self, method_token: &str) -> String {
        let hosted = matches!(Token::parse(method_token), Ok(Token { method: None, .. }));
        if hosted { "payment page" } else { "saved payment method" }.to_owned()
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        self.send_charge(request).await
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        self.find_charge(request).await
    }

    async fn cancel(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        self.cancel_charge(request).await
    }

    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        self.send_refund(request).await
    }

    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        self.find_refund(request).await
    }

    fn hosted_method(&self, payer: &Payer) -> Option<String> {
        let customer = payer.methods.iter().find_map(|token| Token::parse(token).ok()?.customer);
        Some(customer.map_or_else(|| HOSTED.to_owned(), |customer| Token::join(customer, HOSTED)))
    }

    async fn pay_page(
        &self,
        request: &ChargeRequest,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        self.open_pay_page(request, payer, return_url).await
    }

    async fn save_method_page(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        self.open_save_page(payer, return_url).await
    }

    async fn portal_page(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        self.open_portal(payer, return_url).await
    }

    async fn method(&self, token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        self.method_details(token).await
    }
}
