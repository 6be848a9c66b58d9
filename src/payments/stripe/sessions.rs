//! Payments on a page of Stripe: the page decides until it is closed, then its intent.

use serde_json::Value;

use super::answers::{decline_of, name_in, needed, reference_in, unreadable};
use super::client::Failure;
use super::form::Form;
use super::lists::{MOST_PAGES, ORGANIZATION, only};
use super::pages::CUSTOMERS;
use super::token::Token;
use super::{Stripe, intents};
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeRequest};
use crate::payments::GatewayError;

pub(super) const SESSIONS: &str = "/v1/checkout/sessions";

impl Stripe {
    pub(super) async fn find_page_charge(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ChargeOutcome>, GatewayError> {
        if let Some(session) = self.find_session(request).await? {
            return self.read_session(&session, request).await.map(Some);
        }
        // A page so old that no list reaches it.
        let intent = self.find_intent(request).await?;
        intent.map(|intent| intents::read(&intent, request)).transpose()
    }

    /// The one page of a request's key that is, or was, worth something.
    pub(super) async fn find_session(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<Value>, GatewayError> {
        let token = Token::parse(&request.payment_method)?;
        let mut found = match token.customer {
            Some(customer) => self.sessions_of(customer, &request.key).await?,
            None => self.sessions_of_organization(request).await?,
        };
        let is_expired = |session: &Value| name_in(session, "status").as_deref() == Some("expired");
        if found.iter().all(is_expired) {
            found.truncate(1);
        } else {
            found.retain(|session| !is_expired(session));
        }
        only(found, &request.key)
    }

    async fn sessions_of(&self, customer: &str, key: &str) -> Result<Vec<Value>, GatewayError> {
        match self.listed(SESSIONS, ("customer", customer), key).await {
            Ok(found) => Ok(found),
            Err(Failure::Refused(refusal)) if refusal.misses("customer") => Ok(Vec::new()),
            Err(failure) => Err(failure.into()),
        }
    }

    /// The pages of a request that names no customer: of all customers of its organization, and
    /// among the account's newest, which hold whatever the index of customers lags behind.
    async fn sessions_of_organization(
        &self,
        request: &ChargeRequest,
    ) -> Result<Vec<Value>, GatewayError> {
        let path = format!("{CUSTOMERS}/search");
        let customers = self.searched(&path, ORGANIZATION, &request.organization).await?;
        let mut found = Vec::new();
        for customer in customers.iter().filter_map(|customer| name_in(customer, "id")) {
            found.extend(self.sessions_of(&customer, &request.key).await?);
        }
        if found.is_empty() {
            let pages = if customers.is_empty() { MOST_PAGES } else { 1 };
            found = self.listed_within(pages, SESSIONS, ("", ""), &request.key).await?;
        }
        Ok(found)
    }

    async fn read_session(
        &self,
        session: &Value,
        request: &ChargeRequest,
    ) -> Result<ChargeOutcome, GatewayError> {
        intents::fits(session, "amount_total", request)?;
        let provider_id = needed(session, "id")?;
        match needed(session, "status")?.as_str() {
            "open" => Ok(ChargeOutcome::NeedsAction { provider_id }),
            "complete" => intents::read(&self.intent_of(session).await?, request),
            "expired" => Ok(expired(provider_id)),
            _ => Err(unreadable("status")),
        }
    }

    async fn intent_of(&self, session: &Value) -> Result<Value, GatewayError> {
        let id = reference_in(session, "payment_intent").ok_or_else(|| unreadable("payment"))?;
        self.intent(&id).await
    }

    /// Closes the page of a request, and gives how it ended.
    pub(super) async fn close_page(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ChargeOutcome>, GatewayError> {
        let Some(session) = self.find_session(request).await? else {
            return match self.find_intent(request).await? {
                Some(intent) => self.cancel_intent(&intent, request).await.map(Some),
                None => Ok(None),
            };
        };
        intents::fits(&session, "amount_total", request)?;
        let id = needed(&session, "id")?;
        match needed(&session, "status")?.as_str() {
            "open" => {
                let path = format!("{SESSIONS}/{id}/expire");
                match self.client.post(&path, &Form::default(), None).await {
                    Ok(reply) => self.read_session(&reply.body, request).await.map(Some),
                    // Paid or over between the look and the call: whatever it is now stands.
                    Err(Failure::Refused(refusal)) if refusal.status == 400 => {
                        let path = format!("{SESSIONS}/{id}");
                        let now = self.client.get(&path, &Form::default()).await?.body;
                        self.read_session(&now, request).await.map(Some)
                    }
                    Err(failure) => Err(failure.into()),
                }
            }
            "complete" => {
                let intent = self.intent_of(&session).await?;
                self.cancel_intent(&intent, request).await.map(Some)
            }
            _ => self.read_session(&session, request).await.map(Some),
        }
    }
}

fn expired(provider_id: String) -> ChargeOutcome {
    ChargeOutcome::Declined { provider_id: Some(provider_id), decline: decline_of(CANCELED) }
}

/// The address of a page, where it is one a browser may be sent to.
pub(super) fn address(session: &Value) -> Result<String, GatewayError> {
    let url = session.get("url").and_then(Value::as_str);
    url.filter(|url| url.starts_with("https://") || url.starts_with("http://127.0.0.1:"))
        .map(str::to_owned)
        .ok_or_else(|| unreadable("address of the page"))
}
