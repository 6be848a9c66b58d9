//! A rehearsal of Stripe on this machine: a strict server over real HTTP that moves no money.
//!
//! It keeps what the real one keeps (keys with their answers, objects, lists that are exact, an index
//! that may lag) and goes wrong on demand, so that everything around a charge can be rehearsed and
//! tested. It speaks on loopback addresses only and forgets everything when it ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use self::delivery::Delivery;
use self::store::State;
use super::stripe::webhook;
use crate::domain::secret::Secret;

mod answer;
mod api;
mod cards;
mod control;
mod delivery;
mod exchange;
mod faults;
mod intents;
mod journal;
mod pages;
mod params;
mod refunds;
mod server;
mod sessions;
mod store;
#[cfg(test)]
mod tests;

pub use faults::{Fault, Script};
pub use journal::BookedPayment;

/// Where notifications go, and what signs them.
#[derive(Debug, Clone)]
pub struct WebhookTarget {
    /// An `http://` address of this machine.
    pub url: String,
    /// The endpoint's secret: `whsec_…`.
    pub secret: Secret,
}

/// How a rehearsal is held.
pub struct RehearsalOptions {
    /// A loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// What time it is, for signatures and `created`.
    pub now: Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>,
    /// Where notifications go; none: they are only kept.
    pub webhook: Option<WebhookTarget>,
}

/// Why a rehearsal cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    /// Another machine could reach it, or be reached by it.
    #[error("{0}: a rehearsal stays on this machine; use an address like 127.0.0.1")]
    NotLoopback(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// Notifications cannot be sent.
    #[error("notifications cannot be sent: {0}")]
    Webhook(String),
}

/// What all requests share.
struct Shared {
    state: Mutex<State>,
    delivery: Option<Delivery>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something, then sends the notifications that came of it.
    fn told<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (done, fresh) = {
            let mut state = self.state();
            let done = change(&mut state);
            (done, std::mem::take(&mut state.fresh))
        };
        self.send(fresh);
        done
    }

    fn send(&self, events: impl IntoIterator<Item = serde_json::Value>) {
        if let Some(delivery) = &self.delivery {
            events.into_iter().for_each(|event| delivery.send(event));
        }
    }
}

/// A running rehearsal; it ends when this is dropped.
pub struct Rehearsal {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Rehearsal {
    /// Begins a rehearsal.
    ///
    /// # Errors
    /// An address that is not this machine's, or is taken.
    pub async fn start(options: RehearsalOptions) -> Result<Self, RehearsalError> {
        let listen = options.listen;
        if !listen.ip().is_loopback() {
            return Err(RehearsalError::NotLoopback(listen.to_string()));
        }
        let in_use = |source| RehearsalError::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(in_use)?;
        let address = listener.local_addr().map_err(in_use)?;
        let now = Arc::clone(&options.now);
        let delivery = options.webhook.map(|target| Delivery::start(target, now)).transpose()?;
        let state = State::new(format!("http://{address}"), options.now);
        let shared = Arc::new(Shared { state: Mutex::new(state), delivery });
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, server })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL for a gateway's settings.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a fault. False: too many wait already, or it would never happen.
    #[must_use]
    pub fn script(&self, script: Script) -> bool {
        self.shared.state().faults.add(script)
    }

    /// Every payment that was asked for, oldest first; see [`BookedPayment::is_taken`].
    #[must_use]
    pub fn journal(&self) -> Vec<BookedPayment> {
        journal::payments(&self.shared.state())
    }

    /// The payments of a key that took money.
    #[must_use]
    pub fn taken(&self, key: &str) -> usize {
        self.journal().iter().filter(|payment| payment.key == key && payment.is_taken()).count()
    }

    /// The bank or the customer decides about a payment that waits: the money is taken, or it is
    /// declined with a code. False: none waits under this key.
    #[must_use]
    pub fn settle(&self, key: &str, decline_code: Option<&str>) -> bool {
        self.shared.told(|state| intents::settle(state, key, decline_code))
    }

    /// The bank decides about a refund that waits, or sends one back that went through. False: there is none under
    /// this key.
    #[must_use]
    pub fn settle_refund(&self, key: &str, succeeds: bool) -> bool {
        self.shared.told(|state| refunds::settle(state, key, succeeds))
    }

    /// The customer acts on a page with a test card (`pm_card_visa`): pays, or saves it. The page is
    /// named by address, id, or the charge's key. Gives the token of the method; none: the page is
    /// not open, or the card was declined.
    #[must_use]
    pub fn act_on_page(&self, page: &str, card: &str) -> Option<String> {
        self.shared.told(|state| sessions::complete(state, page, card))
    }

    /// A page expires. False: it was not open.
    #[must_use]
    pub fn expire_page(&self, page: &str) -> bool {
        self.shared.told(|state| {
            let id =
                sessions::find(state, page).and_then(|it| it["id"].as_str().map(str::to_owned));
            id.is_some_and(|id| sessions::expire(state, &id).is_ok())
        })
    }

    /// The customer takes a method off (`pm_…`). False: it was nobody's.
    #[must_use]
    pub fn detach(&self, method: &str) -> bool {
        self.shared.told(|state| api::detach(state, method).is_ok())
    }

    /// A customer's bank takes a payment back. False: nothing was taken under this key.
    #[must_use]
    pub fn dispute(&self, key: &str) -> bool {
        self.shared.told(|state| {
            let Some(intent) = state.intent_of(key) else { return false };
            let dispute = serde_json::json!({"id": state.id("du"), "object": "dispute",
                "amount": intent["amount"], "currency": intent["currency"],
                "payment_intent": intent["id"], "status": "needs_response", "metadata": {}});
            state.tell("charge.dispute.created", &dispute);
            true
        })
    }

    /// Lets the search index lag behind for good, or catch up.
    pub fn lag_search(&self, lags: bool) {
        self.shared.state().search_lags = lags;
    }

    /// All notifications so far as they are sent: the body, and the header that signs it.
    #[must_use]
    pub fn notifications(&self, secret: &Secret) -> Vec<(String, String)> {
        let (events, now) = {
            let state = self.shared.state();
            (state.events.clone(), (state.now)())
        };
        let signed = |event: serde_json::Value| {
            let body = event.to_string();
            let header = webhook::signature(secret, now, body.as_bytes())?;
            Some((body, header))
        };
        events.into_iter().filter_map(signed).collect()
    }

    /// Sends the notifications that were held back, the latest first.
    pub fn deliver_held(&self) {
        self.shared.deliver_held();
    }

    /// Ends the rehearsal: connections that wait are closed, nothing is answered any more.
    pub fn shutdown(&self) {
        self.shared.state().is_over = true;
        self.server.abort();
    }
}

impl Shared {
    fn deliver_held(&self) {
        let held = std::mem::take(&mut self.state().held);
        self.send(held.into_iter().rev());
    }
}

impl Drop for Rehearsal {
    fn drop(&mut self) {
        self.shutdown();
    }
}
