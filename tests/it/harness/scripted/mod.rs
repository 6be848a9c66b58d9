//! A payment provider that follows a script and keeps its own books: what it took, by key and by reference.
//!
//! It shares no code with the sandbox. It honours a key for a day and then forgets it, as the strict ones
//! do; money is booked when it moves, whatever was answered, so that its books are the truth of a test.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use monthend::clock::Clock;
use monthend::domain::payment::{
    CANCELED, ChargeOutcome, ChargeRequest, Decline, MethodDetails, RefundOutcome, RefundRequest,
};
use monthend::payments::{GatewayError, PaymentGateway};
use tokio::sync::Notify;

mod script;

pub use script::{Answer, LookUps, Script};

/// Money that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Key of the charge.
    pub key: String,
    /// Whose.
    pub organization: String,
    /// Invoice number or purchase.
    pub reference: String,
    /// Minor units; below zero: given back.
    pub minor: i64,
}

#[derive(Debug, Clone)]
enum Word {
    Said(ChargeOutcome),
    Mismatch,
}

#[derive(Debug, Clone)]
struct Known {
    request: ChargeRequest,
    script: Script,
    sends: u32,
    word: Option<Word>,
    acted_at: DateTime<Utc>,
    asked_at: Option<DateTime<Utc>>,
    lagged: bool,
}

/// A refund: what was asked, what came of it, and the money that went.
#[derive(Debug, Clone)]
struct GivenBack {
    hash: String,
    outcome: RefundOutcome,
    moved: Option<Moved>,
}

#[derive(Default)]
struct Books {
    known: BTreeMap<String, Known>,
    /// Attempts seen by organization and reference.
    attempts: BTreeMap<(String, String), usize>,
    moved: Vec<Moved>,
    refunds: BTreeMap<String, GivenBack>,
    misused: Vec<String>,
    deaths: usize,
    honest: bool,
}

type Plot = dyn Fn(&ChargeRequest, usize) -> Script + Send + Sync;

/// The provider. `plot` says how the n-th attempt (from 0) for a reference goes.
pub struct Scripted {
    clock: Arc<dyn Clock>,
    plot: Box<Plot>,
    books: Mutex<Books>,
    /// Told when a request arrived whose sender will not live to hear the answer.
    died: Notify,
}

/// The reference of money that a customer's bank sent back.
pub const SENT_BACK: &str = "sent back";
/// How long a key is honoured.
const WINDOW: Duration = Duration::hours(24);

impl Scripted {
    /// A provider with a clock and a plot.
    pub fn new(
        clock: Arc<dyn Clock>,
        plot: impl Fn(&ChargeRequest, usize) -> Script + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { clock, plot: Box::new(plot), books: Mutex::default(), died: Notify::new() })
    }

    /// From now on every question is answered with the truth.
    pub fn be_honest(&self) {
        self.set_honest(true);
    }

    /// Is every question answered with the truth? Gives what was so before. Who looks on an honest provider
    /// changes nothing.
    pub fn set_honest(&self, honest: bool) -> bool {
        std::mem::replace(&mut self.books().honest, honest)
    }

    /// All money that moved for an organization.
    pub fn moved(&self, organization: &str) -> Vec<Moved> {
        let mut books = self.books();
        let keys: Vec<String> = books.known.keys().cloned().collect();
        for key in keys {
            self.live_on(&mut books, &key);
        }
        books.moved.iter().filter(|moved| moved.organization == organization).cloned().collect()
    }

    /// The customer's bank sends a refund back that went through. False: none of this key did.
    pub fn send_back(&self, key: &str) -> bool {
        let mut books = self.books();
        let Some(refund) = books.refunds.get_mut(key) else { return false };
        let RefundOutcome::Succeeded { provider_id } = &refund.outcome else { return false };
        refund.outcome = RefundOutcome::Failed {
            provider_id: Some(provider_id.clone()),
            message: "The bank sent it back.".to_owned(),
        };
        let gone = refund.moved.take();
        let came =
            gone.map(|gone| Moved { reference: SENT_BACK.to_owned(), minor: -gone.minor, ..gone });
        books.moved.extend(came);
        true
    }

    /// Declines of an organization, oldest first, by method; what was called off is nobody's decline.
    pub fn declines(&self, organization: &str) -> BTreeMap<String, Vec<DateTime<Utc>>> {
        let mut by = BTreeMap::<String, Vec<DateTime<Utc>>>::new();
        for known in self.books().known.values() {
            let Some(Word::Said(ChargeOutcome::Declined { decline, .. })) = &known.word else {
                continue;
            };
            if known.request.organization == organization && decline.code != CANCELED {
                by.entry(known.request.payment_method.clone()).or_default().push(known.acted_at);
            }
        }
        for instants in by.values_mut() {
            instants.sort_unstable();
        }
        by
    }

    /// How many charges were sent for an organization, whatever became of them.
    pub fn sends(&self, organization: &str) -> u32 {
        let books = self.books();
        let of = books.known.values().filter(|known| known.request.organization == organization);
        of.map(|known| known.sends).sum()
    }

    /// Keys that were used again with other parameters: none, ever.
    pub fn misused(&self) -> Vec<String> {
        self.books().misused.clone()
    }

    /// Waits until so many requests arrived whose senders will not hear the answer.
    pub async fn deaths(&self, count: usize) {
        loop {
            let told = self.died.notified();
            if self.books().deaths >= count {
                return;
            }
            told.await;
        }
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }

    /// What waited is over when its time has come.
    fn live_on(&self, books: &mut Books, key: &str) {
        let now = self.clock.now();
        let Some(known) = books.known.get_mut(key) else { return };
        let Some(Word::Said(said)) = &known.word else { return };
        let waits =
            matches!(said, ChargeOutcome::NeedsAction { .. } | ChargeOutcome::Pending { .. });
        let (hours, end) = match known.script.answer {
            Answer::Acts(hours) | Answer::SettlesLater(hours) => (hours, None),
            Answer::Expires(hours) => (hours, Some((CANCELED, "It was not confirmed in time."))),
            Answer::FailsLater(hours) => (hours, Some(("debit_failed", "The bank refused."))),
            _ => return,
        };
        if !waits || now - known.acted_at < Duration::hours(hours) {
            return;
        }
        known.word = Some(Word::Said(match end {
            None => succeeded(&known.request),
            Some((code, message)) => declined(&known.request, code, false, message),
        }));
        if end.is_none() {
            let moved = taken(&known.request, 0);
            books.moved.push(moved);
        }
    }

    fn arrive(&self, request: &ChargeRequest) -> (Result<ChargeOutcome, GatewayError>, bool) {
        let now = self.clock.now();
        let mut books = self.books();
        self.live_on(&mut books, &request.key);
        let books = &mut *books;
        let known = books.known.entry(request.key.clone()).or_insert_with(|| {
            let of = (request.organization.clone(), request.reference.clone());
            let nth = books.attempts.entry(of).or_default();
            *nth += 1;
            Known {
                request: request.clone(),
                script: (self.plot)(request, *nth - 1),
                sends: 0,
                word: None,
                acted_at: now,
                asked_at: None,
                lagged: false,
            }
        });
        known.sends += 1;
        let kills = known.script.kills && known.sends == 1;
        books.deaths += usize::from(kills);
        if known.request != *request {
            books.misused.push(request.key.clone());
            return (Err(GatewayError::Misuse("the key was used before".to_owned())), kills);
        }
        match &known.word {
            Some(Word::Said(said)) if now - known.acted_at < WINDOW => (Ok(said.clone()), kills),
            Some(Word::Mismatch) if now - known.acted_at < WINDOW => (Err(mismatch()), kills),
            _ => (act(known, &mut books.moved, now), kills),
        }
    }

    fn asked(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        let now = self.clock.now();
        let mut books = self.books();
        self.live_on(&mut books, &request.key);
        let honest = books.honest;
        let Some(known) = books.known.get_mut(&request.key) else { return Ok(None) };
        if !honest {
            let asked_at = *known.asked_at.get_or_insert(now);
            match known.script.look_ups {
                LookUps::FailFor(minutes) if now - asked_at < Duration::minutes(minutes) => {
                    return Err(GatewayError::Unclear("the line is dead".to_owned()));
                }
                LookUps::LagOnce if !known.lagged && known.word.is_some() => {
                    known.lagged = true;
                    if now - known.acted_at < Duration::hours(1) {
                        return Ok(None);
                    }
                }
                _ => {}
            }
        }
        match &known.word {
            None => Ok(None),
            Some(Word::Mismatch) => Err(mismatch()),
            Some(Word::Said(_)) if known.request != *request => Err(mismatch()),
            Some(Word::Said(said)) => Ok(Some(said.clone())),
        }
    }
}

/// What a request does that is not a replay.
fn act(
    known: &mut Known,
    moved: &mut Vec<Moved>,
    now: DateTime<Utc>,
) -> Result<ChargeOutcome, GatewayError> {
    let request = &known.request;
    let lost = || GatewayError::Unclear("no answer in time".to_owned());
    let id = || format!("ch_{}", request.key);
    let (word, other) = match known.script.answer {
        Answer::LostBefore if known.sends == 1 => return Err(lost()),
        Answer::NotSent(times) if known.sends <= times => {
            return Err(GatewayError::NotSent("connection refused".to_owned()));
        }
        Answer::Misuse => return Err(GatewayError::Misuse("no such currency".to_owned())),
        Answer::OtherAmount => (Word::Mismatch, 1),
        Answer::Succeeds | Answer::LostBefore | Answer::LostAfter | Answer::NotSent(_) => {
            (Word::Said(succeeded(request)), 0)
        }
        Answer::SoftDecline => {
            (Word::Said(declined(request, "insufficient_funds", false, "Not enough funds.")), 0)
        }
        Answer::HardDecline => {
            (Word::Said(declined(request, "stolen_card", true, "The card is stolen.")), 0)
        }
        Answer::Acts(_) | Answer::Expires(_) => {
            (Word::Said(ChargeOutcome::NeedsAction { provider_id: id() }), 0)
        }
        Answer::SettlesLater(_) | Answer::FailsLater(_) => {
            (Word::Said(ChargeOutcome::Pending { provider_id: id() }), 0)
        }
    };
    known.acted_at = now;
    if matches!(word, Word::Mismatch | Word::Said(ChargeOutcome::Succeeded { .. })) {
        moved.push(taken(request, other));
    }
    known.word = Some(word.clone());
    match word {
        Word::Mismatch => Err(mismatch()),
        Word::Said(_) if known.script.answer == Answer::LostAfter => Err(lost()),
        Word::Said(said) => Ok(said),
    }
}

fn succeeded(request: &ChargeRequest) -> ChargeOutcome {
    ChargeOutcome::Succeeded { provider_id: format!("ch_{}", request.key) }
}

fn declined(request: &ChargeRequest, code: &str, hard: bool, message: &str) -> ChargeOutcome {
    ChargeOutcome::Declined {
        provider_id: Some(format!("ch_{}", request.key)),
        decline: Decline { code: code.to_owned(), hard, message: message.to_owned() },
    }
}

fn mismatch() -> GatewayError {
    GatewayError::Mismatch("the charge is over another amount".to_owned())
}

fn taken(request: &ChargeRequest, more: i64) -> Moved {
    Moved {
        key: request.key.clone(),
        organization: request.organization.clone(),
        reference: request.reference.clone(),
        minor: request.amount.minor() + more,
    }
}

#[async_trait]
impl PaymentGateway for Scripted {
    fn name(&self) -> &'static str {
        // The one provider whose word `verify` compares with the books.
        "sandbox"
    }

    fn describe(&self, _method_token: &str) -> String {
        "scripted card".to_owned()
    }

    async fn charge(&self, request: &ChargeRequest) -> Result<ChargeOutcome, GatewayError> {
        let (answer, kills) = self.arrive(request);
        if kills {
            self.died.notify_waiters();
            std::future::pending::<()>().await;
        }
        answer
    }

    async fn lookup(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        self.asked(request)
    }

    async fn cancel(&self, request: &ChargeRequest) -> Result<Option<ChargeOutcome>, GatewayError> {
        let mut books = self.books();
        self.live_on(&mut books, &request.key);
        let known = books.known.get_mut(&request.key);
        Ok(known.and_then(|known| match &known.word {
            Some(Word::Said(ChargeOutcome::NeedsAction { .. })) => {
                let said = declined(request, CANCELED, false, "Called off.");
                known.word = Some(Word::Said(said.clone()));
                Some(said)
            }
            Some(Word::Said(said)) => Some(said.clone()),
            Some(Word::Mismatch) | None => None,
        }))
    }

    async fn refund(&self, request: &RefundRequest) -> Result<RefundOutcome, GatewayError> {
        let mut books = self.books();
        let hash = request.request_hash();
        if let Some(known) = books.refunds.get(&request.key) {
            return if known.hash == hash {
                Ok(known.outcome.clone())
            } else {
                Err(GatewayError::Misuse("the key was used before".to_owned()))
            };
        }
        let of = |moved: &&Moved| moved.key == request.charge.key;
        let left: i64 = books.moved.iter().filter(of).map(|moved| moved.minor).sum();
        // One in sixteen keys is refused, of another the answer is lost: a key is a random number.
        let refused = request.key.ends_with('0');
        let (outcome, moved) = if request.amount.minor() <= left && !refused {
            let back = -request.charge.amount.minor() - request.amount.minor();
            let moved = taken(&request.charge, back);
            books.moved.push(moved.clone());
            (RefundOutcome::Succeeded { provider_id: format!("re_{}", request.key) }, Some(moved))
        } else {
            (RefundOutcome::Failed { provider_id: None, message: "Too much.".to_owned() }, None)
        };
        let given_back = GivenBack { hash, outcome: outcome.clone(), moved };
        books.refunds.insert(request.key.clone(), given_back);
        if request.key.ends_with('f') {
            return Err(GatewayError::Unclear("no answer in time".to_owned()));
        }
        Ok(outcome)
    }

    async fn lookup_refund(
        &self,
        request: &RefundRequest,
    ) -> Result<Option<RefundOutcome>, GatewayError> {
        Ok(self.books().refunds.get(&request.key).map(|known| known.outcome.clone()))
    }

    async fn method(&self, _token: &str) -> Result<Option<MethodDetails>, GatewayError> {
        let (brand, last4) = ("visa".to_owned(), Some("4242".to_owned()));
        Ok(Some(MethodDetails { brand, last4, expires: None }))
    }
}
