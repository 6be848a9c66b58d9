//! Seeded histories of 24 months, whatever happens in them, beside a naive model that was told the same.
//!
//! A history is a deployment of 1 to 20 organizations in process: plans and contracts, use in batches, late, doubled
//! and contradicting, purchases, grants, plan changes, payments, credit notes, reruns, restarts, a provider and a mail
//! server with bad days, and a clock that jumps. After actions `verify` runs; at the end everything must come to
//! rest, agree with the naive model to the last digit, and with the provider's own books.
//!
//! ```text
//! cargo test --release --test simulation -- --histories 50000 --seed-from 0 --workers 2
//! cargo test --release --test simulation -- --both-engines 2000
//! cargo test --release --test simulation -- --seed 7 --engine postgres
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod acts;
mod bookkeeping;
pub mod chance;
mod compare;
mod deployment;
mod facts;
mod life;
mod money;
mod naive;
mod post;
mod rest;
mod stage;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

pub use acts::KINDS;

use crate::harness::Engine;

/// How often each thing happened.
pub type Counts = BTreeMap<String, u64>;

/// How a history is looked at.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub struct Look {
    /// Run `verify` after every action; else after every month.
    pub every_action: bool,
    /// Draw real documents.
    pub paper: bool,
    /// Run the jobs as they are shipped; else those that look at everybody come less often.
    pub shipped_jobs: bool,
    /// Draw up the list of facts that must not depend on the engine.
    pub facts: bool,
}

impl Look {
    /// What a seed deserves: one in ten is verified after every action, one in fifty draws real documents, one in ten
    /// runs the shipped jobs.
    pub fn of(seed: u64) -> Self {
        let tenth = |of: u64| seed % 10 == of;
        Self { every_action: tenth(3), paper: seed % 50 == 7, shipped_jobs: tenth(5), facts: false }
    }
}

/// What a history left behind.
#[derive(Debug, Default)]
pub struct Told {
    /// What happened.
    pub counts: Counts,
    /// Facts that must not depend on the engine, where they were asked for.
    pub facts: Vec<String>,
}

/// Lives one history.
///
/// # Errors
/// Whatever does not hold, in words.
pub fn history(engine: Engine, seed: u64, look: Look) -> Result<Told, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            let mut life = life::Life::begin(engine, seed, look).await;
            let ended = AssertUnwindSafe(life.live());
            let ended = CatchUnwind(Box::pin(ended)).await;
            life.end().await;
            ended.map(|()| life.told())
        })
    }));
    lived.unwrap_or_else(|panic| Err(words(&*panic)))
}

/// A future whose panic is an error, so that its database goes whatever its end.
struct CatchUnwind<F>(std::pin::Pin<Box<F>>);

impl<F: Future<Output = Result<(), String>>> Future for CatchUnwind<F> {
    type Output = Result<(), String>;

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        let inner = AssertUnwindSafe(|| self.0.as_mut().poll(context));
        std::panic::catch_unwind(inner)
            .unwrap_or_else(|panic| std::task::Poll::Ready(Err(words(&*panic))))
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

/// Seeds that failed once, by line `seed engine what it found`.
pub fn cases() -> Vec<(u64, Engine)> {
    include_str!("cases.txt")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let mut words = line.split_whitespace();
            let seed = words.next().unwrap().parse().unwrap();
            let engine = match words.next() {
                Some("postgres") => Engine::Postgres,
                _ => Engine::Sqlite,
            };
            (seed, engine)
        })
        .collect()
}

/// The same history on both engines: the first fact in which they differ.
///
/// # Errors
/// What does not hold, or differs.
pub fn on_both(seed: u64) -> Result<Told, String> {
    let look = Look { facts: true, every_action: false, ..Look::of(seed) };
    let one = history(Engine::Sqlite, seed, look).map_err(|why| format!("on sqlite: {why}"))?;
    let other =
        history(Engine::Postgres, seed, look).map_err(|why| format!("on postgres: {why}"))?;
    for (a, b) in one.facts.iter().zip(&other.facts) {
        if a != b {
            return Err(format!("the engines differ:\n  sqlite   {a}\n  postgres {b}"));
        }
    }
    if one.facts.len() != other.facts.len() || one.facts.is_empty() {
        return Err(format!(
            "{} facts on sqlite, {} on postgres",
            one.facts.len(),
            other.facts.len()
        ));
    }
    Ok(one)
}

/// Drops what was prepared on the PostgreSQL server.
pub fn clean_up() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(deployment::clean_up());
}
