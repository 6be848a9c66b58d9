//! A payment provider with bad days: the sandbox behind a line that can break in each direction.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use monthend::domain::payment::{
    ChargeOutcome, ChargeRequest, MethodDetails, RefundOutcome, RefundRequest,
};
use monthend::payments::{GatewayError, PaymentGateway, Sandbox};

/// What the line to the provider does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Everything arrives.
    Works,
    /// Nothing can be sent.
    Down,
    /// Charges arrive and are acted upon; no answer comes back.
    LosesAnswers,
    /// Requests are lost on the way, and so is the question after them.
    LosesRequests,
    /// Charges arrive and settle later; asked again, they still do.
    Pending,
    /// Nothing arrives, and no question is answered.
    Silent,
    /// Charges arrive; no money is given back.
    RefusesRefunds,
}

/// What happens elsewhere while the provider is asked.
pub type Meanwhile = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

/// The sandbox behind a line.
pub struct Flaky {
    sandbox: Sandbox,
    line: Mutex<Line>,
    sent: Mutex<Vec<String>>,
    refunds: Mutex<Vec<String>>,
    asked: AtomicUsize,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Flaky {
    /// On the sandbox of a home.
    pub fn new(home: &Path, line: Line) -> Arc<Self> {
        let sandbox = Sandbox::open(&home.join("sandbox-journal.jsonl")).unwrap();
        Arc::new(Self {
            sandbox,
            line: Mutex::new(line),
            sent: Mutex::default(),
            refunds: Mutex::default(),
            asked: AtomicUsize::default(),
            meanwhile: Mutex::default(),
        })
    }

    /// The line changes.
    pub fn set(&self, line: Line) {
        *self.line.lock().unwrap() = line;
    }

    /// What happens while it is next asked about a refund.
    pub fn when_asked(&self, meanwhile: Meanwhile) {
        *self.meanwhile.lock().unwrap() = Some(meanwhile);
    }

    /// How many charges were sent, whatever became of them.
    pub fn sent(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// How many refunds were sent, whatever became of them.
    pub fn refunds_sent(&self) -> usize {
        self.refunds.lock().unwrap().len()
    }

    /// How many questions and requests were made of the provider, those that never arrived included.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn line(&self) -> Line {
        *self.line.lock().unwrap()
    }
}

fn lost<T>() -> Result<T, GatewayError> {
    Err(GatewayError::Unclear("the line is dead".to_owned()))
}

fn pending(request: &ChargeRequest) -> ChargeOutcome {
    ChargeOutcome::Pending { provider_id: format!("debit-{}", request.reference) }
}

#[async_trait]
impl PaymentGateway for Flaky {
    fn name(&self) -> &'static str {
        "sandbox"
    }

    fn describe(&self, method_token: &str) -> String {
        self.sandbox.describe(method_token)
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.line() == Line::Down {
            return Err(GatewayError::NotSent("connection refused".to_owned()));
        }
        self.sent.lock().unwrap().push(request.key.clone());
        match self.line() {
            Line::Works | Line::RefusesRefunds => self.sandbox.charge(request).await,
            Line::LosesAnswers => {
                self.sandbox.charge(request).await.ok();
                lost()
            }
            Line::Pending => {
                self.sandbox.charge(request).await.ok();
                Ok(pending(request))
            }
            Line::LosesRequests | Line::Silent | Line::Down => lost(),
        }
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let sent = self.sent.lock().unwrap().contains(&request.key);
        match self.line() {
            Line::Works | Line::RefusesRefunds => self.sandbox.lookup(request).await,
            // The line breaks with the first charge: the question before it was answered.
            Line::LosesAnswers | Line::LosesRequests | Line::Pending if !sent => Ok(None),
            Line::Pending => Ok(Some(pending(request))),
            Line::Down => Err(GatewayError::NotSent("connection refused".to_owned())),
            Line::LosesAnswers | Line::LosesRequests | Line::Silent => lost(),
        }
    }

    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.line() == Line::Down {
            return Err(GatewayError::NotSent("connection refused".to_owned()));
        }
        self.refunds.lock().unwrap().push(request.key.clone());
        match self.line() {
            Line::Works | Line::Pending => self.sandbox.refund(request).await,
            Line::RefusesRefunds => Ok(RefundOutcome::Failed {
                provider_id: None,
                message: "The card's account is closed.".to_owned(),
            }),
            Line::LosesAnswers => {
                self.sandbox.refund(request).await.ok();
                lost()
            }
            Line::LosesRequests | Line::Silent | Line::Down => lost(),
        }
    }

    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile().await;
        }
        let sent = self.refunds.lock().unwrap().contains(&request.key);
        match self.line() {
            Line::Works | Line::Pending | Line::RefusesRefunds => {
                self.sandbox.lookup_refund(request).await
            }
            Line::LosesAnswers | Line::LosesRequests if !sent => Ok(None),
            Line::Down => Err(GatewayError::NotSent("connection refused".to_owned())),
            Line::LosesAnswers | Line::LosesRequests | Line::Silent => lost(),
        }
    }

    async fn method(&self, token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        self.sandbox.method(token).await
    }
}
