//! Charges with a stored method: send, look up, call off.

use reqwest::StatusCode;
use serde_json::Value;

use super::answers::{METHOD_MISSING, Refusal, decline, decline_of, needed, unreadable};
use super::client::{Failure, Reply, understood};
use super::form::Form;
use super::lists::{KEY, ORGANIZATION, REFERENCE, only};
use super::token::Token;
use super::{Stripe, amounts, intents};
use crate::domain::payment::{ChargeOutcome, ChargeRequest};
use crate::payments::GatewayError;

pub(super) const INTENTS: &str = "/v1/payment_intents";
const SEARCH: &str = "/v1/payment_intents/search";

impl Stripe {
    pub(super) async fn send_charge(
        &self,
        request: &ChargeRequest,
    ) -> Result<ChargeOutcome, GatewayError> {
        let amount = checked(request)?;
        let token = Token::parse(&request.payment_method)?;
        let method = token.method.ok_or_else(|| {
            GatewayError::Misuse(format!("{} is paid on a page of Stripe", request.reference))
        })?;
        let customer = match token.customer {
            Some(customer) => Some(customer.to_owned()),
            None => self.customer_of(method).await.map_err(before_sending)?,
        };
        // Without a customer the method is gone or was never saved. It is sent all the same: had this
        // key taken money before the method went, Stripe refuses the other parameters, and nobody
        // takes that for a declined card.
        let form = labels(Form::default(), "metadata", request)
            .with("amount", &amount.to_string())
            .with("currency", &amounts::currency(request.amount))
            .with_some("customer", customer.as_deref())
            .with("payment_method", method)
            .with("off_session", "true")
            .with("confirm", "true")
            .with("error_on_requires_action", "false")
            // Nobody is there to be led elsewhere. Without this word Stripe refuses to confirm anything that gives no
            // `return_url`, as soon as one method that redirects is switched on in the account.
            .with("automatic_payment_methods[enabled]", "true")
            .with("automatic_payment_methods[allow_redirects]", "never")
            .with("description", &request.reference);
        match self.client.post(INTENTS, &form, Some(&request.key)).await {
            Ok(reply) => self.settled(reply, request).await,
            Err(Failure::Refused(refusal)) => {
                let is_gone = refusal.is_about_method()
                    && !self.belongs(method, customer.as_deref()).await.map_err(before_sending)?;
                declined(refusal, request, is_gone)
            }
            Err(Failure::Lost(error)) => Err(error),
        }
    }

    /// The outcome of an accepted charge. A replayed answer tells how things stood then.
    async fn settled(
        &self,
        reply: Reply,
        request: &ChargeRequest,
    ) -> Result<ChargeOutcome, GatewayError> {
        let outcome = intents::read(&reply.body, request)?;
        match &outcome {
            ChargeOutcome::NeedsAction { provider_id } | ChargeOutcome::Pending { provider_id }
                if reply.replayed =>
            {
                intents::read(&self.intent(provider_id).await?, request)
            }
            _ => Ok(outcome),
        }
    }

    pub(super) async fn find_charge(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ChargeOutcome>, GatewayError> {
        checked(request)?;
        if Token::parse(&request.payment_method)?.method.is_none() {
            return self.find_page_charge(request).await;
        }
        let intent = self.find_intent(request).await?;
        intent.map(|intent| intents::read(&intent, request)).transpose()
    }

    /// The one intent of a request's key.
    pub(super) async fn find_intent(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<Value>, GatewayError> {
        let token = Token::parse(&request.payment_method)?;
        let customer = match (token.customer, token.method) {
            (Some(customer), _) => Some(customer.to_owned()),
            (None, Some(method)) => self.customer_of(method).await?,
            (None, None) => None,
        };
        if let Some(customer) = customer {
            match self.listed(INTENTS, ("customer", &customer), &request.key).await {
                Ok(found) if !found.is_empty() => return only(found, &request.key),
                Ok(_) => {}
                // A deleted customer: what was paid before is still in the index.
                Err(Failure::Refused(refusal)) if refusal.misses("customer") => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        only(self.searched(SEARCH, KEY, &request.key).await?, &request.key)
    }

    /// An intent as it stands now.
    pub(super) async fn intent(&self, id: &str) -> Result<Value, GatewayError> {
        let intent = self.client.get(&format!("{INTENTS}/{id}"), &Form::default()).await?.body;
        if needed(&intent, "id")? == id {
            Ok(intent)
        } else {
            Err(GatewayError::Mismatch("Stripe answered about another payment".to_owned()))
        }
    }

    pub(super) async fn cancel_charge(
        &self,
        request: &ChargeRequest,
    ) -> Result<Option<ChargeOutcome>, GatewayError> {
        checked(request)?;
        if Token::parse(&request.payment_method)?.method.is_none() {
            return self.close_page(request).await;
        }
        match self.find_intent(request).await? {
            Some(intent) => self.cancel_intent(&intent, request).await.map(Some),
            None => Ok(None),
        }
    }

    /// Calls an intent off where that is still possible, and gives how it ended.
    pub(super) async fn cancel_intent(
        &self,
        intent: &Value,
        request: &ChargeRequest,
    ) -> Result<ChargeOutcome, GatewayError> {
        if !intents::is_open(intent) {
            return intents::read(intent, request);
        }
        let id = needed(intent, "id")?;
        intents::fits(intent, "amount", request)?;
        match self.client.post(&format!("{INTENTS}/{id}/cancel"), &Form::default(), None).await {
            Ok(reply) => intents::read(&reply.body, request),
            // It ended between the look and the call.
            Err(Failure::Refused(refusal)) if refusal.is("payment_intent_unexpected_state") => {
                intents::read(&self.intent(&id).await?, request)
            }
            Err(failure) => Err(failure.into()),
        }
    }
}

/// What an answer to a charge means, by itself: the rule the gateway applies to each one. Nothing is asked
/// again, so an answer that is not the last word is [`GatewayError::Unclear`] or still pending.
///
/// # Errors
/// Refused, unreadable, or about something else than this request.
pub fn charge_answer(
    status: u16,
    body: &[u8],
    request: &ChargeRequest,
) -> Result<ChargeOutcome, GatewayError> {
    checked(request)?;
    let status = StatusCode::from_u16(status).map_err(|_| unreadable("status"))?;
    match understood(status, body) {
        Ok(intent) => intents::read(&intent, request),
        Err(Failure::Refused(refusal)) => declined(refusal, request, false),
        Err(Failure::Lost(error)) => Err(error),
    }
}

/// Metadata by which a payment is found again.
pub(super) fn labels(form: Form, field: &str, request: &ChargeRequest) -> Form {
    form.with(&format!("{field}[{KEY}]"), &request.key)
        .with(&format!("{field}[{ORGANIZATION}]"), &request.organization)
        .with(&format!("{field}[{REFERENCE}]"), &request.reference)
}

/// The amount of a request that has a key and an amount Stripe takes.
pub(super) fn checked(request: &ChargeRequest) -> Result<i64, GatewayError> {
    if request.key.is_empty() {
        return Err(GatewayError::Misuse("a charge needs an idempotency key".to_owned()));
    }
    amounts::sent(request.amount)
}

/// A question that failed before the charge was sent took no money.
fn before_sending(error: GatewayError) -> GatewayError {
    match error {
        GatewayError::Unclear(text) => GatewayError::NotSent(text),
        other => other,
    }
}

/// A refusal as the outcome it is, where it is one.
fn declined(
    refusal: Refusal,
    request: &ChargeRequest,
    is_gone: bool,
) -> Result<ChargeOutcome, GatewayError> {
    let missing = is_gone || refusal.misses("payment_method") || refusal.misses("customer");
    if missing {
        return Ok(ChargeOutcome::Declined {
            provider_id: None,
            decline: decline_of(METHOD_MISSING),
        });
    }
    if refusal.status != 402 {
        return Err(refusal.into());
    }
    let Some(intent) = refusal.error.get("payment_intent").filter(|intent| intent.is_object())
    else {
        return Ok(ChargeOutcome::Declined { provider_id: None, decline: decline(&refusal.error) });
    };
    match intents::read(intent, request)? {
        ChargeOutcome::Declined { provider_id, .. } => {
            Ok(ChargeOutcome::Declined { provider_id, decline: decline(&refusal.error) })
        }
        // A refused charge whose payment goes on: look again.
        _ => Err(GatewayError::Unclear("declined, but the payment is not over".to_owned())),
    }
}
