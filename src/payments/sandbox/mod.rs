//! A provider that moves no money: for demonstrations, rehearsals and tests of everything around
//! it.
//!
//! It behaves as the strict ones do: it remembers keys durably, replays, refuses a key used again
//! with other parameters, and can lose a request or an answer on demand.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use super::journal::{Journal, JournalError, JournalRecord};
use super::{GatewayError, PaymentGateway};
use crate::domain::cycle::Cycle;
use crate::domain::ids;
use crate::domain::payment::{
    ChargeOutcome, ChargeRequest, Decline, HostedPage, MethodDetails, Payer, RefundOutcome,
    RefundRequest,
};

mod acts;
#[cfg(test)]
mod tests;

/// What all tokens of this provider begin with.
const PREFIX: &str = "pm_sandbox_";
/// The method of a request that is paid on a page.
const HOSTED: &str = "pm_sandbox_hosted";

/// The sandbox provider. Clones share one journal.
#[derive(Debug, Clone)]
pub struct Sandbox {
    journal: Arc<Journal>,
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Succeeds,
    Declined,
    Stolen,
    NeedsAction,
    Pending,
    Hosted,
    TimeoutBefore,
    TimeoutAfter,
    Unknown,
}

impl Method {
    fn of(token: &str) -> Self {
        match token.strip_prefix(PREFIX) {
            Some("ok") => Self::Succeeds,
            Some("declined") => Self::Declined,
            Some("stolen") => Self::Stolen,
            Some("needs_action") => Self::NeedsAction,
            Some("pending") => Self::Pending,
            Some("hosted") => Self::Hosted,
            Some("timeout_before") => Self::TimeoutBefore,
            Some("timeout_after") => Self::TimeoutAfter,
            _ => Self::Unknown,
        }
    }

    /// The answer to a charge that is acted upon.
    fn outcome(self, provider_id: String) -> ChargeOutcome {
        let declined = |provider_id, code: &str, hard, message: &str| ChargeOutcome::Declined {
            provider_id,
            decline: Decline { code: code.to_owned(), hard, message: message.to_owned() },
        };
        match self {
            Self::Succeeds | Self::TimeoutBefore | Self::TimeoutAfter => {
                ChargeOutcome::Succeeded { provider_id }
            }
            Self::NeedsAction | Self::Hosted => ChargeOutcome::NeedsAction { provider_id },
            Self::Pending => ChargeOutcome::Pending { provider_id },
            Self::Declined => declined(
                Some(provider_id),
                "insufficient_funds",
                false,
                "The card does not have enough funds.",
            ),
            Self::Stolen => {
                declined(Some(provider_id), "stolen_card", true, "The card was reported stolen.")
            }
            Self::Unknown => declined(
                None,
                "no_such_payment_method",
                true,
                "The stored payment method no longer exists.",
            ),
        }
    }
}

impl Sandbox {
    /// Opens the provider on its journal, creating it where there is none. Needs no clock: nothing
    /// it does depends on time.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub fn open(journal_path: &Path) -> Result<Self, JournalError> {
        Ok(Self { journal: Arc::new(Journal::open(journal_path)?) })
    }

    /// Everything the provider accepted, oldest first, for checks: at most one success per key.
    ///
    /// Blocks on the file; meant for checks and tests.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub fn journal(&self) -> Result<Vec<JournalRecord>, JournalError> {
        self.journal.records()
    }

    /// The customer pays what waits for him, or the bank what settles later. False: nothing waits
    /// under this key.
    ///
    /// Blocks on the file; meant for demonstrations and tests.
    ///
    /// # Errors
    /// The journal cannot be used.
    pub fn pay(&self, key: &str) -> Result<bool, JournalError> {
        acts::pay(&self.journal, key)
    }

    /// Runs what blocks on the file where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Journal) -> Result<T, GatewayError> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let journal = Arc::clone(&self.journal);
        tokio::task::spawn_blocking(move || act(&journal))
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unclear("the request was cut off".to_owned())))
    }
}

#[async_trait]
impl PaymentGateway for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn is_local(&self) -> bool {
        true
    }

    fn describe(&self, method_token: &str) -> String {
        match (Method::of(method_token), method_token.strip_prefix(PREFIX)) {
            // An unknown token might be a real one in the wrong place: none of it is shown (F88).
            (Method::Unknown, _) | (_, None) => "unknown sandbox payment method".to_owned(),
            (Method::Hosted, _) => "sandbox payment page".to_owned(),
            (_, Some(ending)) => format!("sandbox card ending {}", ending.replace('_', " ")),
        }
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| charge(journal, &request)).await
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| lookup(journal, &request)).await
    }

    async fn cancel(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| acts::cancel(journal, &request)).await
    }

    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| acts::refund(journal, &request)).await
    }

    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| acts::lookup_refund(journal, &request)).await
    }

    fn hosted_method(&self, _payer: &Payer) -> Option<String> {
        Some(HOSTED.to_owned())
    }

    async fn pay_page(
        &self,
        request: &ChargeRequest,
        _payer: &Payer,
        _return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let request = request.clone();
        self.blocking(move |journal| acts::pay_page(journal, &request)).await
    }

    async fn save_method_page(
        &self,
        payer: &Payer,
        _return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        Ok(acts::page("save", &payer.organization))
    }

    async fn portal_page(
        &self,
        payer: &Payer,
        _return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        Ok(acts::page("portal", &payer.organization))
    }

    async fn method(&self, token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        let is_card = !matches!(Method::of(token), Method::Unknown | Method::Hosted);
        Ok(is_card.then(|| MethodDetails {
            brand: "sandbox".to_owned(),
            last4: Some("4242".to_owned()),
            expires: Cycle::new(2034, 12).ok(),
        }))
    }
}

fn charge(journal: &Journal, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
    let method = Method::of(&request.payment_method);
    if method == Method::Hosted {
        return Err(GatewayError::Misuse(format!("{} is paid on a page", request.reference)));
    }
    send(journal, request, method)
}

/// Sends a charge, or opens its page.
fn send(
    journal: &Journal,
    request: &ChargeRequest,
    method: Method,
) -> Result<ChargeOutcome, GatewayError> {
    if request.key.is_empty() {
        return Err(GatewayError::Misuse("a charge needs an idempotency key".to_owned()));
    }
    if request.amount.minor() <= 0 {
        return Err(GatewayError::Misuse(format!(
            "a charge must be above zero, not {}",
            request.amount
        )));
    }
    let hash = request.request_hash();
    let (record, new) = journal
        .once(&request.key, |earlier| next_record(earlier, request, &hash, method))
        .map_err(|e| unusable(&e))?;
    let record = record.ok_or_else(|| GatewayError::Unclear("nothing was recorded".to_owned()))?;
    if record.request_hash != hash {
        return Err(GatewayError::Misuse(format!(
            "the key {} was used before with other parameters",
            request.key
        )));
    }
    match record.outcome {
        None => Err(GatewayError::Unclear("no answer in time".to_owned())),
        // The send that acts loses its answer; later ones replay it (F63).
        Some(_) if new && method == Method::TimeoutAfter => {
            Err(GatewayError::Unclear("no answer in time".to_owned()))
        }
        Some(outcome) => Ok(outcome),
    }
}

/// What a send adds to the journal; none: it only replays.
fn next_record(
    earlier: Option<&JournalRecord>,
    request: &ChargeRequest,
    hash: &str,
    method: Method,
) -> Option<JournalRecord> {
    let acted = || {
        let provider_id = format!("ch_sandbox_{}", &ids::sha256_hex(request.key.as_bytes())[..24]);
        Some(JournalRecord::of(request, Some(method.outcome(provider_id))))
    };
    match earlier {
        None if method == Method::TimeoutBefore => Some(JournalRecord::of(request, None)),
        None => acted(),
        // The first send was lost on the way; this one arrives (F62).
        Some(record) if record.request_hash == hash && record.outcome.is_none() => acted(),
        Some(_) => None,
    }
}

fn lookup(
    journal: &Journal,
    request: &ChargeRequest,
) -> Result<Option<ChargeOutcome>, GatewayError> {
    let record = journal.latest(&request.key).map_err(|e| unusable(&e))?;
    let Some(record) = record else { return Ok(None) };
    if record.outcome.is_some() && record.request_hash != request.request_hash() {
        return Err(GatewayError::Mismatch(format!(
            "the charge of key {} is over {} for {}",
            request.key, record.amount, record.reference
        )));
    }
    Ok(record.outcome)
}

fn unusable(error: &JournalError) -> GatewayError {
    match error {
        // Whether the last write reached the disk is open.
        JournalError::Io { .. } => GatewayError::Unclear(error.to_string()),
        JournalError::Corrupt { .. } => GatewayError::NotSent(error.to_string()),
    }
}
