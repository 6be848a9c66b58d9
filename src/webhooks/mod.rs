//! Webhooks as the Standard Webhooks specification has them: signed, sent, and the answer sorted by what
//! happens next.
//!
//! Invariants: a body is sent to the byte as it is stored, under the same id at each attempt; no redirect is
//! followed; nothing leaves without TLS but on this machine; no secret is in an error.

mod send;
mod sign;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};

pub use send::SendError;
pub use sign::{Key, signature};

use crate::domain::secret::Secret;
use crate::domain::webhook::Event;

/// Where webhooks go.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its name, in rows and logs; the address may hold a token of its own.
    pub name: String,
    /// Its address.
    pub url: Secret,
    /// What signs; several while a secret is being replaced.
    pub keys: Vec<Key>,
    /// What it wants to hear of.
    pub events: Vec<Event>,
}

/// A message on its way.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Name of the endpoint.
    pub endpoint: &'a str,
    /// By which the receiver knows a message it had before.
    pub id: &'a str,
    /// The body.
    pub payload: &'a str,
}

/// How long an endpoint that did not answer is left alone: doubled each time, up to a limit. So a dead one
/// does not hold up mails and other endpoints while a thousand messages wait for it.
const PAUSE_S: i64 = 5;
const MOST_DOUBLINGS: u32 = 6;

/// An endpoint that did not answer.
#[derive(Debug, Clone, Copy)]
struct Down {
    failures: u32,
    until: DateTime<Utc>,
}

/// Sends webhooks to the configured endpoints.
#[derive(Debug, Default)]
pub struct Webhooks {
    endpoints: Vec<Endpoint>,
    client: Option<reqwest::Client>,
    down: Mutex<HashMap<String, Down>>,
}

impl Webhooks {
    /// To these endpoints.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(endpoints: Vec<Endpoint>) -> Result<Self, SendError> {
        let client = if endpoints.is_empty() { None } else { Some(send::client()?) };
        Ok(Self { endpoints, client, down: Mutex::default() })
    }

    /// Names of the endpoints that want an event.
    pub fn wanting(&self, event: Event) -> impl Iterator<Item = &str> {
        self.endpoints
            .iter()
            .filter(move |endpoint| endpoint.events.contains(&event))
            .map(|endpoint| endpoint.name.as_str())
    }

    /// Names of all endpoints.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.name.as_str())
    }

    /// Sends one message; it is signed for the instant of this attempt.
    ///
    /// # Errors
    /// Sorted by what happens next.
    pub async fn send(&self, message: &Message<'_>, now: DateTime<Utc>) -> Result<(), SendError> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.name == message.endpoint);
        let (Some(endpoint), Some(client)) = (endpoint, &self.client) else {
            return Err(SendError::Unknown(format!(
                "there is no endpoint {:?} under [[webhooks]]",
                message.endpoint
            )));
        };
        if let Some(until) = self.down_until(&endpoint.name, now) {
            return Err(SendError::Away(format!(
                "endpoint {} did not answer a moment ago; it is left alone until {}",
                endpoint.name,
                until.to_rfc3339()
            )));
        }
        let sent = send::send(client, endpoint, message, now).await;
        self.note(&endpoint.name, matches!(sent, Err(SendError::Away(_))), now);
        sent
    }

    fn down_until(&self, name: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        down.get(name).map(|down| down.until).filter(|until| now < *until)
    }

    /// Messages that fail side by side count as one failure.
    fn note(&self, name: &str, away: bool, now: DateTime<Utc>) {
        let mut all = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        if !away {
            all.remove(name);
            return;
        }
        let down = all.entry(name.to_owned()).or_insert(Down { failures: 0, until: now });
        if down.until <= now {
            let pause = PAUSE_S << down.failures.min(MOST_DOUBLINGS);
            *down = Down { failures: down.failures + 1, until: now + Duration::seconds(pause) };
        }
    }
}
