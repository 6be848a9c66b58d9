//! Lines of the journal: charges and refunds as they were accepted.

use serde::{Deserialize, Serialize};

use crate::domain::money::Money;
use crate::domain::payment::{ChargeOutcome, ChargeRequest, RefundOutcome, RefundRequest};

/// One accepted request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRecord {
    /// Idempotency key.
    pub key: String,
    /// Hash over all parameters of the request.
    pub request_hash: String,
    /// Amount that was asked for.
    pub amount: Money,
    /// Token of the payment method.
    pub method: String,
    /// Who pays.
    pub organization: String,
    /// What for.
    pub reference: String,
    /// What came of it; none: the request got lost before the provider acted.
    pub outcome: Option<ChargeOutcome>,
    /// Where it gives money back: of which charge, and what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refund: Option<JournalRefund>,
}

/// What a record of a refund tells beside its own amount and key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalRefund {
    /// Key of the charge that took the money.
    pub charge: String,
    /// What came of it.
    pub outcome: RefundOutcome,
}

impl JournalRecord {
    /// The record of a request with its outcome.
    #[must_use]
    pub fn of(request: &ChargeRequest, outcome: Option<ChargeOutcome>) -> Self {
        Self {
            key: request.key.clone(),
            request_hash: request.request_hash(),
            amount: request.amount,
            method: request.payment_method.clone(),
            organization: request.organization.clone(),
            reference: request.reference.clone(),
            outcome,
            refund: None,
        }
    }

    /// The record of a refund with its outcome.
    #[must_use]
    pub fn of_refund(request: &RefundRequest, outcome: RefundOutcome) -> Self {
        Self {
            key: request.key.clone(),
            request_hash: request.request_hash(),
            amount: request.amount,
            reference: request.reference.clone(),
            refund: Some(JournalRefund { charge: request.charge.key.clone(), outcome }),
            ..Self::of(&request.charge, None)
        }
    }

    /// Minor units that this record gives back of a charge.
    pub(super) fn gives_back(&self, charge: &str) -> i64 {
        let failed = |outcome: &RefundOutcome| matches!(outcome, RefundOutcome::Failed { .. });
        match &self.refund {
            Some(refund) if refund.charge == charge && !failed(&refund.outcome) => {
                self.amount.minor()
            }
            _ => 0,
        }
    }
}
