//! Faults on demand: what goes wrong, with which request, how often.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Most faults that wait for their request.
const MOST_WAITING: usize = 10_000;

/// What goes wrong. "Before" and "after" say whether the request is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The connection is closed; nothing happened.
    CloseBefore,
    /// Carried out; the connection is closed without an answer.
    CloseAfter,
    /// No answer ever; nothing happens. Until the client hangs up, its key is "in use".
    HangBefore,
    /// Carried out; no answer ever.
    HangAfter,
    /// 409: another request with the key is at work.
    KeyInUse,
    /// 409: the object is locked; nothing happened.
    Locked,
    /// 429 with `Retry-After` in seconds.
    TooMany(u32),
    /// 500, kept under the key and replayed; nothing happened.
    Error500Before,
    /// 500, kept under the key and replayed; it was carried out.
    Error500After,
    /// 502 without JSON from a proxy; nothing happened.
    BadGateway,
    /// 503 without JSON from a proxy, not kept; it was carried out.
    UnavailableAfter,
    /// Carried out; the answer comes byte by byte and never ends.
    SlowDrip,
    /// Carried out; the answer is longer than 1 MiB.
    Oversized,
    /// Carried out; the answer is cut in the middle of its JSON.
    Malformed,
    /// Carried out; the answer lacks its status.
    NoStatus,
    /// Carried out; the answer tells another amount.
    WrongAmount,
    /// Carried out; the answer tells another currency.
    WrongCurrency,
    /// Carried out; the answer tells another method.
    WrongMethod,
    /// Carried out; the answer carries another key.
    WrongKey,
    /// Carried out; the answer has another id.
    WrongId,
    /// 302 to another machine; nothing happened.
    Redirect,
    /// Its notifications wait until [`deliver_held`](super::Rehearsal::deliver_held).
    LateWebhook,
    /// Its notifications come twice.
    DuplicateWebhook,
    /// Its notifications never come.
    NoWebhook,
}

/// A fault and the requests it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Only this HTTP method.
    #[serde(default)]
    pub method: Option<String>,
    /// Only paths that begin so.
    #[serde(default)]
    pub path: Option<String>,
    /// Only this idempotency key.
    #[serde(default)]
    pub key: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
    /// How many such requests.
    #[serde(default = "once")]
    pub times: u32,
}

const fn once() -> u32 {
    1
}

impl Script {
    /// A fault for the next request of this idempotency key.
    #[must_use]
    pub fn on_key(key: &str, fault: Fault) -> Self {
        Self { method: None, path: None, key: Some(key.to_owned()), fault, times: 1 }
    }

    /// A fault for the next request of this HTTP method to a path that begins so.
    #[must_use]
    pub fn on_path(method: &str, path: &str, fault: Fault) -> Self {
        let (method, path) = (Some(method.to_owned()), Some(path.to_owned()));
        Self { method, path, key: None, fault, times: 1 }
    }

    /// The same fault for so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    fn fits(&self, method: &str, path: &str, key: Option<&str>) -> bool {
        self.method.as_deref().is_none_or(|only| only == method)
            && self.path.as_deref().is_none_or(|begin| path.starts_with(begin))
            && self.key.as_deref().is_none_or(|only| Some(only) == key)
    }
}

/// Faults that wait, first come first served.
#[derive(Debug, Default)]
pub(super) struct Faults(VecDeque<Script>);

impl Faults {
    pub(super) fn add(&mut self, script: Script) -> bool {
        let has_room = self.0.len() < MOST_WAITING && script.times > 0;
        if has_room {
            self.0.push_back(script);
        }
        has_room
    }

    pub(super) fn take(&mut self, method: &str, path: &str, key: Option<&str>) -> Option<Fault> {
        let at = self.0.iter().position(|script| script.fits(method, path, key))?;
        let script = self.0.get_mut(at)?;
        let fault = script.fault;
        script.times -= 1;
        if script.times == 0 {
            self.0.remove(at);
        }
        Some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_wait_for_their_request() {
        let mut faults = Faults::default();
        assert!(faults.add(Script::on_key("k", Fault::BadGateway).times(2)));
        assert!(faults.add(Script::on_path("POST", "/v1/refunds", Fault::Malformed)));
        assert!(!faults.add(Script::on_key("k", Fault::BadGateway).times(0)));
        assert_eq!(faults.take("POST", "/v1/payment_intents", Some("other")), None);
        assert_eq!(faults.take("POST", "/v1/x", Some("k")), Some(Fault::BadGateway));
        assert_eq!(faults.take("POST", "/v1/x", Some("k")), Some(Fault::BadGateway));
        assert_eq!(faults.take("POST", "/v1/x", Some("k")), None);
        assert_eq!(faults.take("GET", "/v1/refunds", None), None);
        assert_eq!(faults.take("POST", "/v1/refunds", None), Some(Fault::Malformed));
    }

    #[test]
    fn scripts_are_short_to_write() {
        let script: Script = serde_json::from_str(r#"{"key":"k","fault":{"too_many":3}}"#).unwrap();
        assert_eq!(script, Script::on_key("k", Fault::TooMany(3)));
    }
}
