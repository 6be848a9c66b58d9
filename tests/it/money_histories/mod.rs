//! Random histories of money: whatever customers, finance and the provider do, in whatever order, money and
//! credits here are what the provider's own books and a naive sum say.
//!
//! Each organization is one history; a world holds many, and its seed replays it:
//! `MONTHEND_MONEY_SEED=7 cargo test --test it -- money_histories`. `MONTHEND_MONEY_HISTORIES=10000` asks for
//! more of them over SQLite.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod acts;
mod model;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::harness::{self, Engine, How, World};

/// Histories of one world.
const PER_WORLD: usize = 100;
/// Histories over SQLite, unless the environment asks for more: about a minute on two cores, unoptimized.
const ON_SQLITE: usize = 1_000;
/// Histories over PostgreSQL, where a world costs a database.
const ON_POSTGRES: usize = 100;

/// How often each thing was done, over all worlds.
pub type Done = BTreeMap<&'static str, u64>;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn histories(engine: Engine, count: usize) {
    let asked = number("MONTHEND_MONEY_HISTORIES").map(|n| usize::try_from(n).unwrap());
    let wanted = asked.filter(|_| engine == Engine::Sqlite).unwrap_or(count);
    let worlds = u64::try_from(wanted.div_ceil(PER_WORLD)).unwrap();
    let seeds = number("MONTHEND_MONEY_SEED").map_or(0..worlds, |seed| seed..seed + 1);
    let whole = seeds.end - seeds.start == worlds;
    let (next, last) = (AtomicU64::new(seeds.start), seeds.end);
    let done: Mutex<Done> = Mutex::default();
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= last {
                    break;
                }
                let told = harness::run_as(How::InMemory, engine, move |world| {
                    one_world(world, engine, seed)
                });
                let mut done = done.lock().unwrap();
                for (what, times) in told {
                    *done.entry(what).or_default() += times;
                }
            }
        };
        let workers = [scope.spawn(work), scope.spawn(work)];
        for worker in workers {
            if let Err(failure) = worker.join() {
                std::panic::resume_unwind(failure);
            }
        }
    });
    // A property over nothing would always be true.
    let done = done.into_inner().unwrap();
    if whole && worlds >= 10 {
        for what in acts::KINDS {
            let times = done.get(what).copied().unwrap_or_default();
            assert!(times >= 5, "{what} happened {times} times in {worlds} worlds: {done:?}");
        }
    }
}

async fn one_world(world: Arc<World>, engine: Engine, seed: u64) -> Done {
    let mut town = acts::Town::found(world, engine, seed, PER_WORLD).await;
    town.live().await;
    town.come_to_rest().await;
    let wrong = model::disagreements(&town).await;
    assert!(
        wrong.is_empty(),
        "MONTHEND_MONEY_SEED={seed} replays it; {} disagree:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    let broken = town.world.broken().await;
    assert!(broken.is_empty(), "MONTHEND_MONEY_SEED={seed} replays it: {broken:?}");
    town.done
}

// C1–C8, L3, D11, F62–F74: the provider's books and ours, over SQLite.
#[test]
fn every_history_keeps_the_money_on_sqlite() {
    histories(Engine::Sqlite, ON_SQLITE);
}

// The same over PostgreSQL.
#[test]
fn every_history_keeps_the_money_on_postgres() {
    histories(Engine::Postgres, ON_POSTGRES);
}
