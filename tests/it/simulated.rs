//! A few of the histories of 24 months; `cargo test --release --test simulation` lives very many.

use crate::harness::Engine;
use crate::simulation::{self, KINDS, Look, cases, history, on_both};

/// Histories over SQLite.
const ON_SQLITE: u64 = 12;
/// Histories over both engines.
const ON_BOTH: u64 = 3;

/// The command that replays a seed.
fn replay(seed: u64, why: &str) -> String {
    format!("cargo test --release --test simulation -- --seed {seed} replays it: {why}")
}

// Seeds that failed once, and some more: no check fails, and the naive model agrees to the last digit.
#[test]
fn histories_agree_with_the_second_opinion() {
    for (seed, engine) in cases() {
        let lived = history(engine, seed, Look::of(seed));
        assert!(lived.is_ok(), "{}", replay(seed, &lived.err().unwrap_or_default()));
    }
    let mut counts = simulation::Counts::new();
    for seed in 0..ON_SQLITE {
        match history(Engine::Sqlite, seed, Look::of(seed)) {
            Err(why) => unreachable!("{}", replay(seed, &why)),
            Ok(told) => {
                for (what, times) in told.counts {
                    *counts.entry(what).or_default() += times;
                }
            }
        }
    }
    // A comparison of nothing would always agree.
    let happened = KINDS.iter().filter(|kind| counts.contains_key(**kind)).count();
    assert!(happened > KINDS.len() / 2, "{counts:?}");
    for what in
        ["month closed", "invoice", "purchase paid", "use accepted", "tick refused by the clock"]
    {
        assert!(counts.get(what).is_some_and(|times| *times > 0), "{what}: {counts:?}");
    }
}

// The same seed is the same history on both engines: the same ledger hashes, numbers and documents.
#[test]
fn histories_are_the_same_on_both_engines() {
    for seed in 0..ON_BOTH {
        let lived = on_both(seed);
        assert!(lived.is_ok(), "{}", replay(seed, &lived.err().unwrap_or_default()));
    }
    simulation::clean_up();
}
