//! Payment providers behind one trait: what may be asked of them, and what their answers mean.
//!
//! A charge is an effect that cannot be rolled back, so the errors are sorted by what the caller
//! must do next, not by what went wrong. A declined card is not an error: it is a
//! [`ChargeOutcome`].

use async_trait::async_trait;

use crate::domain::payment::{
    ChargeOutcome, ChargeRequest, HostedPage, MethodDetails, Payer, RefundOutcome, RefundRequest,
};

#[cfg(test)]
#[macro_use]
mod contract;
pub mod journal;
pub mod manual;
pub mod sandbox;
pub mod stripe;
pub mod stripe_rehearsal;

pub use journal::{Journal, JournalError, JournalRecord, JournalRefund};
pub use manual::Manual;
pub use sandbox::Sandbox;
pub use stripe::{Stripe, StripeSettings};

/// A provider that can collect money with a stored payment method (S31, S62).
///
/// Each implementation passes the contract suite of this module.
#[async_trait]
pub trait PaymentGateway: Send + Sync {
    /// The provider's name, as written in the configuration and stored with each charge.
    fn name(&self) -> &'static str;

    /// Does this provider collect money by itself? Where not, no charge is made and the amount
    /// waits until finance records the payment.
    fn collects(&self) -> bool {
        true
    }

    /// Does the provider answer, and does it know us? Changes nothing there. Gives what to tell the operator.
    async fn check(&self) -> Result<String, GatewayError> {
        Ok(self.name().to_owned())
    }

    /// A label of a stored payment method for people: no token, no secret.
    fn describe(&self, method_token: &str) -> String;

    /// Sends a charge. Sending the same request again never charges twice and gives the same
    /// outcome (C3), so the caller commits "sent" before it calls and may call again after a crash,
    /// as long as the provider still remembers the key (F67).
    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError>;

    /// What the provider knows about this request's key; `Ok(None)`: it knows no charge of that
    /// key.
    ///
    /// Changes nothing at the provider. Asked after [`GatewayError::Unclear`] and after a restored
    /// backup (F62, F63, F71); an outcome found here is final in the same way as one from
    /// [`Self::charge`].
    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError>;

    /// Does it answer from this machine, so that many may be asked at once?
    fn is_local(&self) -> bool {
        false
    }

    /// How many requests leave in a second at most; none: as many as are asked for.
    fn requests_per_second(&self) -> Option<u32> {
        None
    }

    /// Makes sure that this request's key takes no money any more, and gives how it ended:
    /// declined with the code [`CANCELED`](crate::domain::payment::CANCELED), or the final outcome
    /// it had already. A key the provider does not know is `Ok(None)`: it must then never be sent.
    ///
    /// Asked before another attempt replaces one that waits for the customer (C2).
    async fn cancel(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        Err(GatewayError::Unsupported(request.reference.clone()))
    }

    /// Gives money back. As with [`Self::charge`], the same request may be sent again and refunds once.
    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        Err(GatewayError::Unsupported(request.reference.clone()))
    }

    /// What the provider knows about a refund's key; `Ok(None)`: it knows none. Changes nothing.
    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        Err(GatewayError::Unsupported(request.reference.clone()))
    }

    /// The payment method a request names when the customer shall pay on a page of the provider.
    fn hosted_method(&self, payer: &Payer) -> Option<String> {
        let _ = payer;
        None
    }

    /// The page where the customer pays a request whose method is [`Self::hosted_method`]'s. The request
    /// is sent by this call (the caller commits "sent" before), and waits for the customer then:
    /// [`Self::lookup`] says `NeedsAction` until he acted, and declined once the page has expired.
    /// Asking again gives the same page while it lasts.
    async fn pay_page(
        &self,
        request: &ChargeRequest,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let _ = (payer, return_url);
        Err(GatewayError::Unsupported(request.reference.clone()))
    }

    /// The page where the customer saves a payment method (S61).
    async fn save_method_page(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let _ = return_url;
        Err(GatewayError::Unsupported(payer.organization.clone()))
    }

    /// The page where the customer sees and changes his saved methods.
    async fn portal_page(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let _ = return_url;
        Err(GatewayError::Unsupported(payer.organization.clone()))
    }

    /// How a saved method may be shown; `Ok(None)`: the provider knows none of that token, or it can
    /// no longer be charged.
    async fn method(&self, token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        let _ = token;
        Err(GatewayError::Unsupported(self.name().to_owned()))
    }
}

/// Why there is no outcome, sorted by what the caller must do.
///
/// The texts are for finance: they never hold a token, a credential or a raw answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GatewayError {
    /// Time-out, lost connection, 5xx, or an answer that cannot be read: the provider may have
    /// acted.
    ///
    /// The caller stores `unknown`, makes no new attempt, and asks [`PaymentGateway::lookup`]. Only
    /// when that finds nothing is the same request sent again with the same key (F62–F64, F74).
    #[error("the payment provider gave no clear answer: {0}")]
    Unclear(String),
    /// Certainly nothing happened: the provider was not reached, or it asked to come back later
    /// (F65).
    ///
    /// The caller sends the same request again later, with back-off.
    #[error("the payment provider was not asked: {0}")]
    NotSent(String),
    /// The request itself is wrong: a key used again with other parameters, an amount that is not
    /// above zero (C8), a refused credential.
    ///
    /// Final. The caller parks the charge for a person; repeating it cannot help.
    #[error("the payment provider refuses the request: {0}")]
    Misuse(String),
    /// The provider answered about another amount, currency or charge than was asked (F69).
    ///
    /// The caller parks the charge, raises an alarm and sends nothing more for this organization.
    #[error("the payment provider's answer does not fit the request: {0}")]
    Mismatch(String),
    /// This provider cannot do it: see [`PaymentGateway::collects`].
    ///
    /// The caller makes no charge and leaves the amount open.
    #[error("this way of paying cannot be charged: {0}")]
    Unsupported(String),
}

impl GatewayError {
    /// Can sending the same request again, with the same key, ever help?
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Unclear(_) | Self::NotSent(_))
    }

    /// Could money have moved although there is no outcome?
    #[must_use]
    pub const fn may_have_acted(&self) -> bool {
        matches!(self, Self::Unclear(_) | Self::Mismatch(_))
    }
}
