//! One battle: a fresh database full of work, a few processes that share it, and signals at random.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::history::{self, Findings, Strike};
use super::proof;
use super::serve::{Serve, Signal};
use super::stage::Stage;
use crate::chance::Chance;
use crate::home::Home;
use crate::provider::Provider;
use crate::sink::Sink;

/// How long undisturbed processes may take to finish what is left.
const CALM: Duration = Duration::from_mins(5);
/// How long a process may take to end after SIGTERM.
pub const DRAIN: Duration = Duration::from_secs(10);
/// How often the database is asked whether all is done.
const ASKED_EVERY: Duration = Duration::from_millis(700);
/// How often the processes are looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_millis(4);

/// What a battle came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub strikes: Vec<Strike>,
    pub findings: Findings,
    pub proven: proof::Proven,
    /// Steps that processes came to the end of and were refused.
    pub refused: usize,
    /// Seconds from SIGTERM to the end, the last ones of the battle included.
    pub drains: Vec<f64>,
    pub seconds: f64,
}

/// What is done to a process next.
#[derive(Debug, Clone, Copy)]
struct Plan {
    signal: Signal,
    /// Counted from the moment it works; else from its start.
    from_work: bool,
    after: Duration,
}

enum Phase {
    Runs(Plan),
    Stopped { until: Instant, strike: usize },
    Drains { since: Instant },
}

struct Slot {
    serve: Serve,
    phase: Phase,
}

struct Battle<'a> {
    stage: &'a Stage,
    home: Home,
    draw: Chance,
    /// Signals that may still be sent.
    left: u64,
    slots: Vec<Slot>,
    started: u64,
    outcome: Outcome,
}

/// Fights one battle with at most so many signals, and checks what it leaves.
pub fn fight(stage: &Stage, seed: u64, most: u64, until: Option<Instant>) -> Result<Outcome> {
    let provider = Provider::start(&stage.binary)?;
    let sink = Sink::start()?;
    let home = stage.fresh_home(&provider, &sink)?;
    let began = Instant::now();
    let mut battle = Battle {
        stage,
        home,
        draw: Chance::of(seed, &[]),
        left: most,
        slots: Vec::new(),
        started: 0,
        outcome: Outcome::default(),
    };
    for _ in 0..stage.processes {
        battle.begin()?;
    }
    battle.strike_until_done(until)?;
    battle.calm_down()?;
    let Battle { home, mut outcome, .. } = battle;
    outcome.seconds = began.elapsed().as_secs_f64();
    let steps = history::read(&stage.cluster, stage.database())?;
    outcome.findings = history::judge(&steps, &outcome.strikes, stage.bound_s());
    let kills = outcome.strikes.len();
    outcome.proven = proof::prove(stage, &home, &provider.books()?, &sink.accepted(), kills)?;
    Ok(outcome)
}

impl Battle<'_> {
    /// Starts a process and decides what becomes of it.
    fn begin(&mut self) -> Result<()> {
        self.started += 1;
        let serve = Serve::start(&self.home, self.started)?;
        let phase = Phase::Runs(self.plan());
        self.slots.push(Slot { serve, phase });
        Ok(())
    }

    fn plan(&mut self) -> Plan {
        let draw = &mut self.draw;
        match draw.below(100) {
            // While it starts.
            0..10 => Plan { signal: Signal::Kill, from_work: false, after: millis(draw, 1, 150) },
            10..68 => Plan { signal: Signal::Kill, from_work: true, after: millis(draw, 20, 900) },
            68..88 => Plan { signal: Signal::Stop, from_work: true, after: millis(draw, 50, 900) },
            _ => Plan { signal: Signal::Terminate, from_work: true, after: millis(draw, 1, 900) },
        }
    }

    /// Strikes until the work is done, or no signal is left.
    fn strike_until_done(&mut self, until: Option<Instant>) -> Result<()> {
        let mut asked = Instant::now();
        while self.left > 0 && until.is_none_or(|until| Instant::now() < until) {
            for index in 0..self.slots.len() {
                self.turn(index)?;
            }
            if asked.elapsed() > ASKED_EVERY {
                asked = Instant::now();
                if self.stage.is_done()? {
                    break;
                }
            }
            std::thread::sleep(LOOKED_AT_EVERY);
        }
        Ok(())
    }

    /// Does what is due with one process.
    fn turn(&mut self, index: usize) -> Result<()> {
        let now = Instant::now();
        let slot = self.slots.get_mut(index).context("a process")?;
        match slot.phase {
            Phase::Runs(plan) => {
                self.stays_alive(index)?;
                if self.is_due(index, plan, now) {
                    self.strike(index, plan.signal)?;
                }
            }
            Phase::Stopped { until, strike } if now >= until => {
                self.resume(index, strike)?;
                // It lives a while, to come to the end of what it had in hand.
                let mut plan = self.plan();
                plan.from_work = false;
                plan.after = now.duration_since(self.slots[index].serve.started_at)
                    + millis(&mut self.draw, 300, 1_500);
                self.slots[index].phase = Phase::Runs(plan);
            }
            Phase::Drains { since } => {
                if self.has_drained(index, since)? {
                    self.replace(index)?;
                }
            }
            Phase::Stopped { .. } => {}
        }
        Ok(())
    }

    fn is_due(&self, index: usize, plan: Plan, now: Instant) -> bool {
        let serve = &self.slots[index].serve;
        let from = if plan.from_work { serve.told().serving_at } else { Some(serve.started_at) };
        from.is_some_and(|from| now >= from + plan.after)
    }

    fn strike(&mut self, index: usize, signal: Signal) -> Result<()> {
        // SIGTERM is a promise of those that work; and one process at least goes on, to take over.
        let stopped = self.slots.iter().filter(|slot| matches!(slot.phase, Phase::Stopped { .. }));
        let signal = match signal {
            Signal::Stop if stopped.count() + 1 >= self.slots.len() => Signal::Kill,
            other => other,
        };
        self.left = self.left.saturating_sub(1);
        let slot = &mut self.slots[index];
        slot.serve.signal(signal)?;
        let at = micros();
        let mut note = |at| {
            let process = slot.serve.number;
            self.outcome.strikes.push(Strike { process, signal, at, resumed_at: None });
            self.outcome.strikes.len() - 1
        };
        match signal {
            Signal::Stop => {
                let strike = note(at);
                let lease = self.stage.lease_s * 1_000;
                let until = Instant::now() + millis(&mut self.draw, lease + 500, lease + 6_000);
                slot.phase = Phase::Stopped { until, strike };
            }
            Signal::Terminate => slot.phase = Phase::Drains { since: Instant::now() },
            _ => {
                note(at);
                slot.serve.wait()?;
                self.replace(index)?;
            }
        }
        Ok(())
    }

    fn resume(&mut self, index: usize, strike: usize) -> Result<()> {
        self.slots[index].serve.signal(Signal::Continue)?;
        if let Some(strike) = self.outcome.strikes.get_mut(strike) {
            strike.resumed_at = Some(micros());
        }
        Ok(())
    }

    /// A process that ends by itself is no part of the plan.
    fn stays_alive(&mut self, index: usize) -> Result<()> {
        let serve = &mut self.slots[index].serve;
        if let Some(status) = serve.ended()? {
            anyhow::bail!("process {} ended with {status}: {:?}", serve.number, serve.told().last);
        }
        Ok(())
    }

    fn has_drained(&mut self, index: usize, since: Instant) -> Result<bool> {
        let serve = &mut self.slots[index].serve;
        let Some(status) = serve.ended()? else {
            ensure!(
                since.elapsed() < 3 * DRAIN,
                "process {} does not end after SIGTERM: {:?}",
                serve.number,
                serve.told().last
            );
            return Ok(false);
        };
        let seconds = since.elapsed().as_secs_f64();
        self.outcome.drains.push(seconds);
        if status.code() != Some(0) || seconds > DRAIN.as_secs_f64() {
            let problem = format!(
                "process {} ended {seconds:.1} s after SIGTERM with {status}: {:?}",
                serve.number,
                serve.told().last
            );
            self.outcome.findings.problems.push(problem);
        }
        let (process, signal) = (serve.number, Signal::Terminate);
        self.outcome.strikes.push(Strike { process, signal, at: micros(), resumed_at: None });
        Ok(true)
    }

    /// Another process in the place of one that has ended.
    fn replace(&mut self, index: usize) -> Result<()> {
        self.part_with(index);
        self.begin()?;
        let last = self.slots.len() - 1;
        self.slots.swap(index, last);
        self.slots.truncate(last);
        Ok(())
    }

    fn part_with(&mut self, index: usize) {
        let told = self.slots[index].serve.told();
        self.outcome.refused += told.refused;
        self.outcome.proven.problems.extend(told.panics.iter().cloned());
    }

    /// Lets everything go on undisturbed until all is done, then ends the processes with SIGTERM.
    fn calm_down(&mut self) -> Result<()> {
        for index in 0..self.slots.len() {
            match self.slots[index].phase {
                Phase::Stopped { strike, .. } => self.resume(index, strike)?,
                Phase::Drains { since } => {
                    while !self.has_drained(index, since)? {
                        std::thread::sleep(LOOKED_AT_EVERY);
                    }
                    self.replace(index)?;
                }
                Phase::Runs(_) => continue,
            }
            let plan = self.plan();
            self.slots[index].phase = Phase::Runs(plan);
        }
        let since = Instant::now();
        while !self.stage.is_done()? {
            ensure!(
                since.elapsed() < CALM,
                "after {} s undisturbed the work is not done: {}; {:?}",
                CALM.as_secs(),
                self.stage.what_waits()?,
                self.slots.first().map(|slot| slot.serve.told().last.clone())
            );
            for index in 0..self.slots.len() {
                self.stays_alive(index)?;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        // Only what works has promised to heed SIGTERM.
        while self.slots.iter().any(|slot| slot.serve.told().serving_at.is_none()) {
            std::thread::sleep(LOOKED_AT_EVERY);
        }
        let told = self.outcome.strikes.len();
        for index in 0..self.slots.len() {
            self.slots[index].serve.signal(Signal::Terminate)?;
            let since = Instant::now();
            while !self.has_drained(index, since)? {
                std::thread::sleep(LOOKED_AT_EVERY);
            }
            self.part_with(index);
        }
        // These ended no work; they are drains, and no kills.
        self.outcome.strikes.truncate(told);
        self.slots.clear();
        Ok(())
    }
}

/// Milliseconds from one to another, both included.
fn millis(draw: &mut Chance, from: u64, to: u64) -> Duration {
    let (from, to) = (from.cast_signed(), to.cast_signed());
    Duration::from_millis(draw.between(from, to).unsigned_abs())
}

/// Now, in microseconds since 1970.
fn micros() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The log of a server that failed, for a report.
pub fn log_of(stage: &Stage) -> PathBuf {
    stage.folder.join("server/log")
}
