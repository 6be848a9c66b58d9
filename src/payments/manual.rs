//! Bank transfer: the customer pays, finance records it; nothing is ever charged.

use async_trait::async_trait;

use super::{GatewayError, PaymentGateway};
use crate::domain::payment::{ChargeOutcome, ChargeRequest};

/// The way of paying where no provider collects.
#[derive(Debug, Clone, Copy, Default)]
pub struct Manual;

#[async_trait]
impl PaymentGateway for Manual {
    fn name(&self) -> &'static str {
        "manual"
    }

    fn collects(&self) -> bool {
        false
    }

    fn describe(&self, _method_token: &str) -> String {
        "bank transfer".to_owned()
    }

    /// Always [`GatewayError::Unsupported`]: a caller that respects [`PaymentGateway::collects`]
    /// never gets here, and one that does not must not believe that money moved.
    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        Err(GatewayError::Unsupported(format!(
            "{} is paid by bank transfer; record the payment when it arrives",
            request.reference
        )))
    }

    /// Always `Ok(None)`: nothing was ever sent.
    async fn lookup(
        &self,
        _request: &ChargeRequest,
    ) -> Result<Option<ChargeOutcome>, GatewayError> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payments::contract;

    #[tokio::test]
    async fn a_transfer_is_never_charged() {
        contract::collects_nothing(&Manual).await;
        assert_eq!(Manual.describe("anything"), "bank transfer");
    }
}
