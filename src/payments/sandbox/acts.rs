//! What the sandbox does beside charging: pages, calling off, giving back.

use super::{HOSTED, Method, lookup, send, unusable};
use crate::domain::ids;
use crate::domain::payment::{
    CANCELED, ChargeOutcome, ChargeRequest, Decline, HostedPage, RefundOutcome, RefundRequest,
};
use crate::payments::GatewayError;
use crate::payments::journal::{Journal, JournalError, JournalRecord};

/// A page of the sandbox; no browser opens it, `Sandbox::pay` plays the customer.
pub(super) fn page(what: &str, of: &str) -> HostedPage {
    let hash = ids::sha256_hex(format!("{what} {of}").as_bytes());
    HostedPage {
        provider_id: format!("cs_sandbox_{}", &hash[..24]),
        url: format!("sandbox://{what}/{of}"),
    }
}

pub(super) fn pay_page(
    journal: &Journal,
    request: &ChargeRequest,
) -> Result<HostedPage, GatewayError> {
    if request.payment_method != HOSTED {
        return Err(GatewayError::Misuse(format!(
            "{} is charged to a saved method, not paid on a page",
            request.reference
        )));
    }
    match send(journal, request, Method::Hosted)? {
        ChargeOutcome::NeedsAction { .. } => Ok(page("pay", &request.key)),
        _ => Err(GatewayError::Unclear(format!(
            "the page for {} was paid or is over; look the payment up",
            request.reference
        ))),
    }
}

fn waits(record: &JournalRecord) -> Option<&str> {
    match &record.outcome {
        Some(
            ChargeOutcome::NeedsAction { provider_id } | ChargeOutcome::Pending { provider_id },
        ) => Some(provider_id),
        _ => None,
    }
}

pub(super) fn pay(journal: &Journal, key: &str) -> Result<bool, JournalError> {
    let (_, is_new) = journal.once(key, |latest| {
        let record = latest?;
        let provider_id = waits(record)?.to_owned();
        Some(JournalRecord {
            outcome: Some(ChargeOutcome::Succeeded { provider_id }),
            ..record.clone()
        })
    })?;
    Ok(is_new)
}

pub(super) fn cancel(
    journal: &Journal,
    request: &ChargeRequest,
) -> Result<Option<ChargeOutcome>, GatewayError> {
    let hash = request.request_hash();
    let closed = journal.once(&request.key, |latest| {
        let record = latest.filter(|record| record.request_hash == hash)?;
        let provider_id = Some(waits(record)?.to_owned());
        let decline = Decline {
            code: CANCELED.to_owned(),
            hard: false,
            message: "The payment was called off before money was taken.".to_owned(),
        };
        let outcome = Some(ChargeOutcome::Declined { provider_id, decline });
        Some(JournalRecord { outcome, ..record.clone() })
    });
    closed.map_err(|e| unusable(&e))?;
    lookup(journal, request)
}

pub(super) fn refund(
    journal: &Journal,
    request: &RefundRequest,
) -> Result<RefundOutcome, GatewayError> {
    let (amount, charge) = (request.amount, &request.charge);
    if request.key.is_empty() || !amount.is_positive() {
        return Err(GatewayError::Misuse(format!(
            "the refund {} needs a key and an amount above zero, not {amount}",
            request.reference
        )));
    }
    if amount.currency() != charge.amount.currency() || amount.minor() > charge.amount.minor() {
        return Err(GatewayError::Misuse(format!(
            "{amount} cannot be given back of {}, {}",
            charge.amount, request.reference
        )));
    }
    match lookup(journal, charge)? {
        Some(ChargeOutcome::Succeeded { provider_id }) if provider_id == request.provider_id => {}
        _ => {
            return Err(GatewayError::Misuse(format!(
                "no money was taken that {} could give back",
                request.reference
            )));
        }
    }
    let (record, _) = journal
        .once_refunded(&request.key, &charge.key, |earlier, back| {
            let is_new = earlier.is_none();
            is_new.then(|| JournalRecord::of_refund(request, outcome(request, back)))
        })
        .map_err(|e| unusable(&e))?;
    match record {
        Some(record) if record.request_hash == request.request_hash() => record
            .refund
            .map(|refund| refund.outcome)
            .ok_or_else(|| GatewayError::Unclear("nothing was recorded".to_owned())),
        Some(_) => Err(GatewayError::Misuse(format!(
            "the key {} was used before with other parameters",
            request.key
        ))),
        None => Err(GatewayError::Unclear("nothing was recorded".to_owned())),
    }
}

/// Gives back what is left of the charge, never more.
fn outcome(request: &RefundRequest, back: i64) -> RefundOutcome {
    let provider_id = format!("re_sandbox_{}", &ids::sha256_hex(request.key.as_bytes())[..24]);
    let left = request.charge.amount.minor().saturating_sub(back);
    if request.amount.minor() <= left {
        return RefundOutcome::Succeeded { provider_id };
    }
    RefundOutcome::Failed {
        provider_id: None,
        message: "It is more than is left of the payment; look at its other refunds.".to_owned(),
    }
}

pub(super) fn lookup_refund(
    journal: &Journal,
    request: &RefundRequest,
) -> Result<Option<RefundOutcome>, GatewayError> {
    let record = journal.latest(&request.key).map_err(|e| unusable(&e))?;
    let Some(record) = record else { return Ok(None) };
    if record.request_hash == request.request_hash() {
        return Ok(record.refund.map(|refund| refund.outcome));
    }
    Err(GatewayError::Mismatch(format!(
        "the refund of key {} is over {} for {}",
        request.key, record.amount, record.reference
    )))
}
