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
use crate::domain::ids;
use crate::domain::payment::{ChargeOutcome, ChargeRequest, Decline};

/// What all tokens of this provider begin with.
const PREFIX: &str = "pm_sandbox_";

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
            Self::NeedsAction => ChargeOutcome::NeedsAction { provider_id },
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
}

#[async_trait]
impl PaymentGateway for Sandbox {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn describe(&self, method_token: &str) -> String {
        match (Method::of(method_token), method_token.strip_prefix(PREFIX)) {
            // An unknown token might be a real one in the wrong place: none of it is shown (F88).
            (Method::Unknown, _) | (_, None) => "unknown sandbox payment method".to_owned(),
            (_, Some(ending)) => format!("sandbox card ending {}", ending.replace('_', " ")),
        }
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        let (journal, request) = (Arc::clone(&self.journal), request.clone());
        tokio::task::spawn_blocking(move || charge(&journal, &request))
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unclear("the request was cut off".to_owned())))
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        let (journal, request) = (Arc::clone(&self.journal), request.clone());
        tokio::task::spawn_blocking(move || lookup(&journal, &request))
            .await
            .unwrap_or_else(|_| Err(GatewayError::Unclear("the request was cut off".to_owned())))
    }
}

fn charge(journal: &Journal, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
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
    let method = Method::of(&request.payment_method);
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

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::path::PathBuf;

    use super::*;
    use crate::payments::contract::{Fixture, Tokens, request};

    struct OnDisk {
        folder: tempfile::TempDir,
    }

    impl OnDisk {
        fn new() -> Self {
            Self { folder: tempfile::tempdir().unwrap() }
        }

        fn path(&self) -> PathBuf {
            self.folder.path().join("sandbox.jsonl")
        }
    }

    impl Fixture for OnDisk {
        fn open(&self) -> Arc<dyn PaymentGateway> {
            Arc::new(Sandbox::open(&self.path()).unwrap())
        }

        fn tokens(&self) -> Tokens {
            Tokens {
                succeeds: "pm_sandbox_ok",
                soft_decline: "pm_sandbox_declined",
                hard_decline: "pm_sandbox_stolen",
                unknown: "pm_sandbox_nobody",
                needs_action: "pm_sandbox_needs_action",
                timeout_before: "pm_sandbox_timeout_before",
                timeout_after: "pm_sandbox_timeout_after",
            }
        }

        fn successes(&self, key: &str) -> usize {
            let records = Sandbox::open(&self.path()).unwrap().journal().unwrap();
            records
                .iter()
                .filter(|record| record.key == key)
                .filter(|record| matches!(record.outcome, Some(ChargeOutcome::Succeeded { .. })))
                .count()
        }

        fn tear(&self) {
            let mut file = std::fs::OpenOptions::new().append(true).open(self.path()).unwrap();
            file.write_all(br#"{"key":"half-writ"#).unwrap();
        }
    }

    gateway_contract!(OnDisk::new());

    // C8
    #[tokio::test]
    async fn nothing_or_less_is_never_charged() {
        let fixture = OnDisk::new();
        for minor in [0, -1, i64::MIN] {
            let request = request("k", "pm_sandbox_ok", minor);
            let answer = fixture.open().charge(&request).await;
            assert!(matches!(answer, Err(GatewayError::Misuse(_))), "{minor}: {answer:?}");
        }
        assert!(Sandbox::open(&fixture.path()).unwrap().journal().unwrap().is_empty());
    }

    // F69
    #[tokio::test]
    async fn a_found_charge_over_another_amount_is_a_mismatch() {
        let gateway = OnDisk::new().open();
        gateway.charge(&request("k", "pm_sandbox_ok", 100)).await.unwrap();
        let answer = gateway.lookup(&request("k", "pm_sandbox_ok", 200)).await;
        assert!(matches!(answer, Err(GatewayError::Mismatch(_))), "{answer:?}");
    }

    // F88
    #[test]
    fn labels_show_no_foreign_token() {
        let gateway = OnDisk::new().open();
        assert_eq!(gateway.describe("pm_sandbox_ok"), "sandbox card ending ok");
        assert_eq!(gateway.describe("pm_1CANARYreal"), "unknown sandbox payment method");
        assert_eq!(gateway.describe("pm_sandbox_CANARY"), "unknown sandbox payment method");
    }

    #[test]
    fn charges_that_arrive_together_lose_nothing() {
        let fixture = OnDisk::new();
        let gateways = [fixture.open(), fixture.open()];
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        runtime.block_on(async {
            let mut sends = tokio::task::JoinSet::new();
            for n in 0..100 {
                let gateway = Arc::clone(&gateways[n % 2]);
                let request = request(&format!("k-{}", n / 2), "pm_sandbox_ok", 100);
                sends.spawn(async move { gateway.charge(&request).await.unwrap() });
            }
            assert_eq!(sends.join_all().await.len(), 100);
        });
        assert!((0..50).all(|n| fixture.successes(&format!("k-{n}")) == 1));
    }
}
