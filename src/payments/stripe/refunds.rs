//! Refunds: found again by their metadata, never more than the charge took.

use reqwest::StatusCode;
use serde_json::Value;

use super::answers::{needed, unreadable};
use super::client::{Failure, understood};
use super::form::Form;
use super::lists::{KEY, ORGANIZATION, REFERENCE, only};
use super::{Stripe, amounts, answers, intents};
use crate::domain::payment::{RefundOutcome, RefundRequest};
use crate::payments::GatewayError;

const REFUNDS: &str = "/v1/refunds";

impl Stripe {
    pub(super) async fn send_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<RefundOutcome, GatewayError> {
        let amount = checked(request)?;
        let form = Form::default()
            .with("payment_intent", &request.provider_id)
            .with("amount", &amount.to_string())
            .with(&format!("metadata[{KEY}]"), &request.key)
            .with(&format!("metadata[{ORGANIZATION}]"), &request.charge.organization)
            .with(&format!("metadata[{REFERENCE}]"), &request.reference);
        match self.client.post(REFUNDS, &form, Some(&request.key)).await {
            Ok(reply) => {
                let outcome = read(&reply.body, request)?;
                let is_old = reply.replayed && matches!(outcome, RefundOutcome::Pending { .. });
                if !is_old {
                    return Ok(outcome);
                }
                Ok(self.find_refund(request).await?.unwrap_or(outcome))
            }
            Err(Failure::Refused(refusal)) => {
                refused(&refusal).map_or_else(|| Err(refusal.into()), Ok)
            }
            Err(Failure::Lost(error)) => Err(error),
        }
    }

    pub(super) async fn find_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        checked(request)?;
        let narrowed = ("payment_intent", request.provider_id.as_str());
        let found = match self.listed(REFUNDS, narrowed, &request.key).await {
            Ok(found) => found,
            Err(Failure::Refused(refusal)) if refusal.misses("payment_intent") => Vec::new(),
            Err(failure) => return Err(failure.into()),
        };
        let refund = only(found, &request.key)?;
        refund.map(|refund| read(&refund, request)).transpose()
    }
}

/// What an answer to a refund means, by itself: the rule the gateway applies to each one.
///
/// # Errors
/// Refused, unreadable, or about something else than this request.
pub fn refund_answer(
    status: u16,
    body: &[u8],
    request: &RefundRequest,
) -> Result<RefundOutcome, GatewayError> {
    checked(request)?;
    let status = StatusCode::from_u16(status).map_err(|_| unreadable("status"))?;
    match understood(status, body) {
        Ok(refund) => read(&refund, request),
        Err(Failure::Refused(refusal)) => refused(&refusal).map_or_else(|| Err(refusal.into()), Ok),
        Err(Failure::Lost(error)) => Err(error),
    }
}

/// The amount of a refund that can be sent.
fn checked(request: &RefundRequest) -> Result<i64, GatewayError> {
    let (amount, charge) = (request.amount, &request.charge);
    if request.key.is_empty() || !answers::is_name(&request.provider_id) {
        return Err(GatewayError::Misuse(format!(
            "the refund {} needs a key and the payment it is for",
            request.reference
        )));
    }
    if amount.currency() != charge.amount.currency() || amount.minor() > charge.amount.minor() {
        return Err(GatewayError::Misuse(format!(
            "{amount} cannot be given back of {}, {}",
            charge.amount, request.reference
        )));
    }
    amounts::sent(amount)
}

/// Refusals that are the end of this refund: the money cannot go back this way, whoever asks again. Not those of a payment
/// that the bank takes back in a dispute (`charge_disputed`): whether it is owed is open, and for a person to say.
fn refused(refusal: &answers::Refusal) -> Option<RefundOutcome> {
    let code = refusal.code.as_deref().unwrap_or_default();
    let message = match code {
        "charge_already_refunded" => {
            "The payment was already given back as a whole: look at the dashboard before you transfer anything."
        }
        "" | "amount_too_large" if refusal.param.as_deref() == Some("amount") => {
            "It is more than is left of the payment; look at its other refunds in the dashboard."
        }
        _ => return None,
    };
    Some(RefundOutcome::Failed { provider_id: None, message: message.to_owned() })
}

fn read(refund: &Value, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
    let differs =
        |what: &str| GatewayError::Mismatch(format!("another {what}, key {}", request.key));
    if answers::metadata(refund, KEY) != Some(request.key.as_str()) {
        return Err(differs("key"));
    }
    intents::fits_amount(refund, "amount", request.amount, &request.key)?;
    if answers::reference_in(refund, "payment_intent").is_some_and(|id| id != request.provider_id) {
        return Err(differs("payment"));
    }
    let provider_id = needed(refund, "id")?;
    match needed(refund, "status")?.as_str() {
        "succeeded" => Ok(RefundOutcome::Succeeded { provider_id }),
        "pending" | "requires_action" => Ok(RefundOutcome::Pending { provider_id }),
        "failed" | "canceled" => Ok(RefundOutcome::Failed {
            provider_id: Some(provider_id),
            message: "The bank did not take the money back; pay it back another way.".to_owned(),
        }),
        _ => Err(unreadable("status")),
    }
}
