//! What the rehearsal remembers, in bounds: objects, answers by key, notifications.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::answer::shown;
use super::cards::{self, Card};
use super::faults::Faults;

/// Most objects of a kind, and most answers; the oldest are forgotten.
const MOST_OBJECTS: usize = 200_000;
/// Most notifications that are kept.
const MOST_EVENTS: usize = 20_000;
/// Customers of this beginning do not exist; all others do, from when they are first named.
const NOBODY: &str = "cus_missing";
/// Whose a test method is that no customer is named with.
const ANYBODY: &str = "cus_rehearsal";

/// What time it is.
pub(super) type Now = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Objects of a kind in the order they were made.
#[derive(Default)]
pub(super) struct Objects {
    order: VecDeque<String>,
    by_id: HashMap<String, Value>,
}

impl Objects {
    pub(super) fn put(&mut self, object: Value) {
        let Some(id) = object["id"].as_str().map(str::to_owned) else { return };
        if self.by_id.insert(id.clone(), object).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > MOST_OBJECTS
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_id.remove(&oldest);
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Value> {
        self.by_id.get(id)
    }

    /// Oldest first.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = &Value> {
        self.order.iter().filter_map(|id| self.by_id.get(id))
    }
}

/// An answer kept under a key.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) fingerprint: String,
    pub(super) status: u16,
    pub(super) body: Value,
}

/// Everything the rehearsal knows.
pub(super) struct State {
    /// Its own address, for links to its pages.
    pub(super) base: String,
    pub(super) now: Now,
    pub(super) intents: Objects,
    pub(super) sessions: Objects,
    pub(super) setups: Objects,
    pub(super) refunds: Objects,
    pub(super) customers: Objects,
    /// Methods that were saved on a page.
    pub(super) methods: Objects,
    pub(super) detached: HashSet<String>,
    pub(super) faults: Faults,
    /// Keys of requests that are at work.
    pub(super) busy: HashSet<String>,
    /// Keys whose first request was lost on purpose.
    pub(super) lost: HashSet<String>,
    /// Does the search index lag so far behind that it holds nothing?
    pub(super) search_lags: bool,
    pub(super) is_over: bool,
    kept: HashMap<String, Kept>,
    kept_order: VecDeque<String>,
    /// Notifications of the request at hand.
    pub(super) fresh: Vec<Value>,
    /// All notifications, also those that were never sent.
    pub(super) events: VecDeque<Value>,
    pub(super) held: VecDeque<Value>,
    count: u64,
}

impl State {
    pub(super) fn new(base: String, now: Now) -> Self {
        Self {
            base,
            now,
            intents: Objects::default(),
            sessions: Objects::default(),
            setups: Objects::default(),
            refunds: Objects::default(),
            customers: Objects::default(),
            methods: Objects::default(),
            detached: HashSet::new(),
            faults: Faults::default(),
            busy: HashSet::new(),
            lost: HashSet::new(),
            search_lags: false,
            is_over: false,
            kept: HashMap::new(),
            kept_order: VecDeque::new(),
            fresh: Vec::new(),
            events: VecDeque::new(),
            held: VecDeque::new(),
            count: 0,
        }
    }

    /// A new id.
    pub(super) fn id(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}_1R{:08}", self.count)
    }

    pub(super) fn created(&self) -> i64 {
        (self.now)().timestamp()
    }

    pub(super) fn kept(&self, key: &str) -> Option<&Kept> {
        self.kept.get(key)
    }

    pub(super) fn keep(&mut self, key: &str, kept: Kept) {
        if self.kept.insert(key.to_owned(), kept).is_none() {
            self.kept_order.push_back(key.to_owned());
        }
        if self.kept_order.len() > MOST_OBJECTS
            && let Some(oldest) = self.kept_order.pop_front()
        {
            self.kept.remove(&oldest);
        }
    }

    /// Notes a notification.
    pub(super) fn tell(&mut self, kind: &str, object: &Value) {
        let id = self.id("evt");
        let event = json!({"id": id, "object": "event", "type": kind, "created": self.created(),
            "livemode": false, "data": {"object": shown(object)}});
        if self.events.len() >= MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        self.fresh.push(event);
    }

    /// Is there such a customer? Naming one makes it, so that tokens of a file work at once.
    pub(super) fn has_customer(&mut self, id: &str) -> bool {
        if !id.starts_with("cus_") || id.starts_with(NOBODY) {
            return false;
        }
        if self.customers.get(id).is_none() {
            let customer = json!({"id": id, "object": "customer", "metadata": {},
                "created": self.created()});
            self.customers.put(customer);
        }
        true
    }

    /// A method and the customer it belongs to, seen by a customer.
    pub(super) fn method(&self, id: &str, seen_by: Option<&str>) -> Option<(Card, Option<String>)> {
        if let Some(saved) = self.methods.get(id) {
            let card = cards::find(saved["_card"].as_str()?)?.0;
            let owner = saved["customer"].as_str().map(str::to_owned);
            return Some((card, owner.filter(|_| !self.detached.contains(id))));
        }
        let (card, organization) = cards::find(id)?;
        let owner = match organization {
            Some(organization) => format!("cus_{organization}"),
            None => seen_by.unwrap_or(ANYBODY).to_owned(),
        };
        Some((card, (!self.detached.contains(id)).then_some(owner)))
    }

    /// The latest payment of a key.
    pub(super) fn intent_of(&self, key: &str) -> Option<Value> {
        self.intents.all().rev().find(|it| it["metadata"]["monthend_key"] == key).cloned()
    }
}
