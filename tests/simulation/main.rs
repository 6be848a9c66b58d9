//! Very many histories:
//!
//! ```text
//! cargo test --release --test simulation -- --histories 50000 --seed-from 0 --workers 2 --seconds 1500
//! cargo test --release --test simulation -- --both-engines 2000
//! cargo test --release --test simulation -- --seed 7 --engine postgres
//! ```
//!
//! Seeds that failed once (`cases.txt`) are lived first. A seed that fails prints the command that replays it.

#![expect(clippy::print_stdout, reason = "what it counted is its result")]
#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod cluster;
#[path = "../it/harness/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros, reason = "the histories use a part of it")]
mod harness;
#[path = "mod.rs"]
mod simulation;

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::Engine;
use simulation::{Counts, KINDS, Look, Told};

/// Failures after which nothing new begins.
const MOST_FAILURES: usize = 10;
/// Histories in which everything must have happened.
const LARGE: u64 = 2_000;

/// What is asked for.
struct Asked {
    histories: u64,
    both: u64,
    from: u64,
    seed: Option<u64>,
    engine: Engine,
    workers: usize,
    limit: Option<Duration>,
    every_action: bool,
}

fn asked() -> Result<Asked, String> {
    let mut asked = Asked {
        histories: 0,
        both: 0,
        from: 0,
        seed: None,
        engine: Engine::Sqlite,
        workers: 2,
        limit: None,
        every_action: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--every-action" {
            asked.every_action = true;
            continue;
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        if word == "--engine" {
            asked.engine = match value.as_str() {
                "sqlite" => Engine::Sqlite,
                "postgres" => Engine::Postgres,
                other => return Err(format!("{other} is no engine: sqlite, postgres")),
            };
            continue;
        }
        let number: u64 = value.parse().map_err(|_| format!("{word} {value}: not a number"))?;
        match word.as_str() {
            "--histories" => asked.histories = number,
            "--both-engines" => asked.both = number,
            "--seed-from" => asked.from = number,
            "--seed" => asked.seed = Some(number),
            "--workers" => asked.workers = usize::try_from(number).unwrap().max(1),
            "--seconds" => asked.limit = Some(Duration::from_secs(number)),
            other => {
                return Err(format!(
                    "{other} is not known: --histories N, --both-engines N, --seed-from N, --workers N, \
                     --seconds N, --seed N, --engine sqlite|postgres, --every-action"
                ));
            }
        }
    }
    Ok(asked)
}

/// What workers share.
#[derive(Default)]
struct Shared {
    next: AtomicU64,
    lived: AtomicU64,
    every_action: AtomicU64,
    paper: AtomicU64,
    counts: Mutex<Counts>,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn take(
        &self,
        (seed, engine, both): (u64, Engine, bool),
        look: Look,
        told: Result<Told, String>,
    ) {
        self.lived.fetch_add(1, Ordering::Relaxed);
        self.every_action.fetch_add(u64::from(look.every_action), Ordering::Relaxed);
        self.paper.fetch_add(u64::from(look.paper), Ordering::Relaxed);
        match told {
            Ok(told) => {
                let mut counts = self.counts.lock().unwrap();
                for (what, times) in told.counts {
                    *counts.entry(what).or_default() += times;
                }
            }
            Err(why) => {
                let how = match (both, engine) {
                    (true, _) => "--both-engines 1 --seed-from".to_owned(),
                    (false, Engine::Sqlite) => "--engine sqlite --seed".to_owned(),
                    (false, Engine::Postgres) => "--engine postgres --seed".to_owned(),
                };
                println!("seed {seed} FAILED: {why}");
                println!("replay: cargo test --release --test simulation -- {how} {seed}");
                self.failures.lock().unwrap().push(format!("{how} {seed}"));
            }
        }
    }

    fn failed(&self) -> usize {
        self.failures.lock().unwrap().len()
    }
}

/// A worker and the threads it begins stay on one core: on PostgreSQL each statement is a hand-over to a server, which
/// costs less if nothing moves meanwhile. Where that cannot be had, it is only slower.
fn stay_on_a_core(worker: usize) {
    let Ok(this) = std::fs::read_link("/proc/thread-self") else { return };
    let Some(thread) = this.file_name().and_then(|name| name.to_str()) else { return };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = std::process::Command::new("taskset");
    command.args(["-pc", &(worker % cores).to_string(), thread]);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _ = command.status();
}

/// Lives `many` histories from a seed on.
fn run(asked: &Asked, shared: &Shared, many: u64, both: bool, begun: Instant) {
    shared.next.store(asked.from, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for worker in 0..asked.workers {
            scope.spawn(move || {
                stay_on_a_core(worker);
                while shared.failed() < MOST_FAILURES
                    && asked.limit.is_none_or(|limit| begun.elapsed() < limit)
                {
                    let seed = shared.next.fetch_add(1, Ordering::Relaxed);
                    if seed >= asked.from + many {
                        break;
                    }
                    one(asked, shared, seed, both);
                }
            });
        }
    });
}

fn one(asked: &Asked, shared: &Shared, seed: u64, both: bool) {
    let mut look = Look::of(seed);
    look.every_action |= asked.every_action;
    let told = if both {
        look.every_action = false;
        simulation::on_both(seed)
    } else {
        simulation::history(asked.engine, seed, look)
    };
    shared.take((seed, asked.engine, both), look, told);
}

fn report(shared: &Shared, what: &str, (from, wanted): (u64, u64), begun: Instant) -> bool {
    let lived = shared.lived.load(Ordering::Relaxed);
    let counts = shared.counts.lock().unwrap();
    println!(
        "\n{lived} of {wanted} {what}, seeds from {from} on, in {} s",
        begun.elapsed().as_secs()
    );
    println!(
        "{} of them verified after every action, the others after every month; {} with drawn documents",
        shared.every_action.load(Ordering::Relaxed),
        shared.paper.load(Ordering::Relaxed)
    );
    for (what, times) in counts.iter() {
        println!("{times:>12}  {what}");
    }
    let never: Vec<&str> = KINDS.into_iter().filter(|kind| !counts.contains_key(*kind)).collect();
    let failures = shared.failures.lock().unwrap();
    println!("{:>12}  failed", failures.len());
    for replay in failures.iter() {
        println!("  cargo test --release --test simulation -- {replay}");
    }
    if lived == 0 {
        println!("no history was lived: nothing is proven");
        return false;
    }
    if lived >= LARGE && !never.is_empty() {
        println!("never happened: {}", never.join(", "));
        return false;
    }
    failures.is_empty()
}

/// Seeds that failed once come first.
fn once_failed(asked: &Asked) -> bool {
    let shared = Shared::default();
    let begun = Instant::now();
    let cases: Vec<(u64, Engine)> = simulation::cases();
    for (seed, engine) in &cases {
        let look = Look { every_action: true, ..Look::of(*seed) };
        let told = simulation::history(*engine, *seed, look);
        shared.take((*seed, *engine, false), look, told);
    }
    let known = u64::try_from(cases.len()).unwrap();
    println!(
        "{known} seeds that failed once, {} fail again, {} s",
        shared.failed(),
        begun.elapsed().as_secs()
    );
    shared.failed() == 0 || asked.seed.is_some()
}

fn main() -> ExitCode {
    let asked = match asked() {
        Ok(asked) => asked,
        Err(problem) => {
            println!("{problem}");
            return ExitCode::from(2);
        }
    };
    let cases = simulation::cases();
    let postgres = asked.both > 0
        || asked.engine == Engine::Postgres
        || cases.iter().any(|(_, engine)| *engine == Engine::Postgres);
    if postgres && std::env::var(harness::database::SERVER).is_err() {
        return cluster::with_one();
    }
    // `MONTHEND_LOG=sqlx=debug` shows each statement of a replay.
    if let Ok(filter) = std::env::var("MONTHEND_LOG") {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    // What fails is told with its seed; a trace of each panic would bury it.
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    if let Some(seed) = asked.seed {
        let shared = Shared::default();
        one(&Asked { every_action: true, ..asked }, &shared, seed, false);
        let good = report(&shared, "histories", (seed, 1), begun);
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut good = once_failed(&asked);
    if asked.histories > 0 {
        let (shared, begun) = (Shared::default(), Instant::now());
        run(&asked, &shared, asked.histories, false, begun);
        good &= report(&shared, "histories", (asked.from, asked.histories), begun);
    }
    if asked.both > 0 {
        let (shared, begun) = (Shared::default(), Instant::now());
        run(&asked, &shared, asked.both, true, begun);
        good &= report(
            &shared,
            "histories on both engines with equal hashes",
            (asked.from, asked.both),
            begun,
        );
        simulation::clean_up();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
