//! The sandbox against the contract, and what is its own.

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

    fn given_back(&self, key: &str) -> i64 {
        let records = Sandbox::open(&self.path()).unwrap().journal().unwrap();
        let of_key = records.iter().filter_map(|record| {
            let refund = record.refund.as_ref().filter(|refund| refund.charge == key)?;
            let is_back = matches!(refund.outcome, RefundOutcome::Succeeded { .. });
            is_back.then(|| record.amount.minor())
        });
        of_key.sum()
    }

    fn pay(&self, key: &str) {
        assert!(Sandbox::open(&self.path()).unwrap().pay(key).unwrap());
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
