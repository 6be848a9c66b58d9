//! A part of the program fails in a way nobody foresaw.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use async_trait::async_trait;
use monthend::domain::payment::{
    ChargeOutcome, ChargeRequest, MethodDetails, RefundOutcome, RefundRequest,
};
use monthend::payments::{GatewayError, PaymentGateway};

use crate::harness::{Org, both_engines};

/// A gateway whose code panics for one organization, after it was told to send.
struct Panics(Arc<dyn PaymentGateway>);

#[async_trait]
impl PaymentGateway for Panics {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn describe(&self, method_token: &str) -> String {
        self.0.describe(method_token)
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        assert_ne!(request.organization, "unlucky", "a mistake in the program");
        self.0.charge(request).await
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        self.0.lookup(request).await
    }

    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        self.0.refund(request).await
    }

    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        self.0.lookup_refund(request).await
    }

    async fn method(&self, token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        self.0.method(token).await
    }
}

// F14: one step panics. It is parked with what was said, everything else goes on, the report says trouble; with the
// mistake mended it is charged once.
both_engines!(a_panic_parks_its_own_step_alone, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let ids = ["acme", "globex", "unlucky"];
    world.organizations(&ids.map(|id| Org::new(id, "standard", "2026-01-01").pays("ok"))).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let sound = world.app().gateway.clone();
    world.collect_by(Arc::new(Panics(sound.clone()))).await;
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].organization.as_deref()), (1, Some("unlucky")));
    let reason = parked[0].error.clone().unwrap();
    assert!(
        reason.contains("the program failed on this step") && reason.contains("mistake"),
        "{reason}"
    );
    assert_eq!(ids.map(|id| world.taken(id)), [1, 1, 0]);
    assert_eq!(world.count("mail WHERE kind = 'invoice' AND state = 'sent'").await, 3);
    world.verify_ok().await;
    world.collect_by(sound).await;
    let run = report.runs.iter().find(|run| run.run.job == "monthly_close").unwrap().run.id.clone();
    assert!(world.retry(&run, None).await.is_clean());
    assert_eq!(ids.map(|id| world.taken(id)), [1, 1, 1]);
});
