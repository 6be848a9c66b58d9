//! Random kills and stops of `serve` on PostgreSQL, under load.
//!
//! Battles: some processes share the work of a fresh database while signals meet them at random. SIGKILL;
//! SIGSTOP past the lease, then SIGCONT: the late worker is refused; SIGTERM: ended within ten seconds with 0.
//! When the work is done, everything is checked, and the next battle begins.

mod battle;
mod history;
mod proof;
mod serve;
mod stage;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde_json::json;

use self::battle::Outcome;
use self::serve::Signal;
use self::stage::{Measures, Stage};
use crate::options::Common;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    /// How many signals are sent in all
    #[arg(long, default_value_t = 30)]
    pub kills: u64,
    /// What the moments are drawn from [default: the time]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Send no signal after so many seconds
    #[arg(long, value_name = "LIMIT")]
    pub seconds: Option<u64>,
    /// Processes of `serve` at the same time
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=16))]
    pub processes: u64,
    /// Workers of each
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=16))]
    pub workers: u64,
    /// Organizations of a battle
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(20..=9999))]
    pub organizations: u64,
    /// Months each of them has to be closed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=24))]
    pub months: u32,
    /// Seconds after which a step is taken over
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=60))]
    pub lease_s: u64,
}

/// What all battles came to.
#[derive(Debug, Default)]
struct Total {
    battles: u64,
    killed: u64,
    stopped: u64,
    terminated: u64,
    invoices: u64,
    captures: u64,
    mails: u64,
    duplicates: u64,
    zombies: u64,
    refused: u64,
    from_the_living: u64,
    recoveries: Vec<(f64, String)>,
    drains: Vec<f64>,
    problems: Vec<String>,
}

/// True: everything held.
pub fn run(options: &Options) -> Result<bool> {
    let seed = options.seed.unwrap_or_else(|| chrono::Utc::now().timestamp().unsigned_abs());
    println!("seed {seed}");
    let began = Instant::now();
    let until = options.seconds.map(|seconds| began + Duration::from_secs(seconds));
    let scratch = options.common.scratch()?;
    let measures = Measures {
        processes: options.processes,
        workers: options.workers,
        organizations: options.organizations,
        months: options.months,
        lease_s: options.lease_s,
    };
    let stage = Stage::prepare(options.common.binary(), scratch.path().to_owned(), measures)?;
    println!("prepared after {:.1} s", began.elapsed().as_secs_f64());
    let mut total = Total::default();
    while total.kills() < options.kills && until.is_none_or(|until| Instant::now() < until) {
        let left = options.kills - total.kills();
        let outcome = battle::fight(&stage, seed.wrapping_add(total.battles), left, until)?;
        println!("{}", line_of(total.battles, &outcome));
        total.add(outcome);
        if !total.problems.is_empty() {
            break;
        }
    }
    total.is_no_proof();
    report(options, seed, &total, began.elapsed());
    Ok(total.problems.is_empty())
}

impl Total {
    const fn kills(&self) -> u64 {
        self.killed + self.stopped + self.terminated
    }

    fn add(&mut self, outcome: Outcome) {
        self.battles += 1;
        for strike in &outcome.strikes {
            match strike.signal {
                Signal::Stop => self.stopped += 1,
                Signal::Terminate => self.terminated += 1,
                _ => self.killed += 1,
            }
        }
        self.invoices += outcome.proven.invoices;
        self.captures += outcome.proven.captures;
        self.mails += outcome.proven.mails;
        self.duplicates += outcome.proven.duplicate_mails;
        self.zombies += count(outcome.findings.zombies);
        self.refused += count(outcome.refused);
        self.from_the_living += count(outcome.findings.from_the_living);
        self.recoveries.extend(outcome.findings.recoveries);
        self.drains.extend(outcome.drains);
        self.problems.extend(outcome.findings.problems);
        self.problems.extend(outcome.proven.problems);
    }

    /// A run in which nothing happened proves nothing. Few stops may all meet idle workers.
    fn is_no_proof(&mut self) {
        const ENOUGH: u64 = 10;
        for (what, times, chances) in [
            ("step of a killed process was taken again", count(self.recoveries.len()), self.killed),
            ("step of a stopped process was taken over", self.zombies, self.stopped),
            ("late worker was refused", self.refused, self.stopped),
            ("process was drained", count(self.drains.len()), self.terminated),
        ] {
            if times == 0 && chances >= ENOUGH {
                self.problems.push(format!("no {what}: this run proves nothing of it"));
            }
        }
    }
}

fn line_of(battle: u64, outcome: &Outcome) -> String {
    let proven = &outcome.proven;
    let slowest = outcome
        .findings
        .recoveries
        .iter()
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .cloned()
        .unwrap_or_default();
    format!(
        "battle {battle}: {:.1} s, {} signals, {} invoices, {} captures, {} mails and {} again, {} steps taken \
         again (slowest {:.1} s: {}), {} of stopped processes, {} late workers refused, {} problems",
        outcome.seconds,
        outcome.strikes.len(),
        proven.invoices,
        proven.captures,
        proven.mails,
        proven.duplicate_mails,
        outcome.findings.recoveries.len(),
        slowest.0,
        slowest.1,
        outcome.findings.zombies,
        outcome.refused,
        proven.problems.len() + outcome.findings.problems.len(),
    )
}

fn report(options: &Options, seed: u64, total: &Total, took: Duration) {
    let mut seconds: Vec<f64> = total.recoveries.iter().map(|(seconds, _)| *seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |percent: usize| {
        seconds.get((seconds.len() * percent / 100).min(seconds.len().saturating_sub(1)))
    };
    let at = |percent| at(percent).copied().unwrap_or_default();
    let drain = total.drains.iter().copied().fold(0.0, f64::max);
    let bound = options.lease_s + 5;
    println!();
    for (what, value) in [
        ("kills in all", total.kills().to_string()),
        ("SIGKILL", total.killed.to_string()),
        ("SIGSTOP, then SIGCONT", total.stopped.to_string()),
        ("SIGTERM under load", total.terminated.to_string()),
        ("battles", total.battles.to_string()),
        ("organizations × months each", format!("{} × {}", options.organizations, options.months)),
        ("invoices, gapless", total.invoices.to_string()),
        ("captures, each once", total.captures.to_string()),
        ("mails", total.mails.to_string()),
        ("mails that came again", total.duplicates.to_string()),
        ("steps of stopped processes taken over", total.zombies.to_string()),
        ("late workers refused", total.refused.to_string()),
        ("steps lost by living processes", total.from_the_living.to_string()),
        ("steps taken again", seconds.len().to_string()),
        (
            "seconds to be taken again",
            format!(
                "median {:.2}, 90 % {:.2}, 99 % {:.2}, max {:.2} of {bound}",
                at(50),
                at(90),
                at(99),
                at(100)
            ),
        ),
        ("seconds to drain, max", format!("{drain:.2} of 10, {} drains", total.drains.len())),
        ("seconds in all", format!("{:.0}", took.as_secs_f64())),
    ] {
        println!("{what:<40}{value}");
    }
    for problem in &total.problems {
        println!("WRONG: {problem}");
    }
    if !total.problems.is_empty() {
        println!("again: {}", replay(options, seed));
    }
    let line = json!({
        "ladder": "kills", "seed": seed, "kills": total.kills(), "sigkill": total.killed,
        "sigstop": total.stopped, "sigterm": total.terminated, "battles": total.battles,
        "organizations": options.organizations, "months": options.months, "invoices": total.invoices,
        "captures": total.captures, "mails": total.mails, "duplicate_mails": total.duplicates,
        "zombies": total.zombies, "refused": total.refused, "recoveries": seconds.len(),
        "lease_s": options.lease_s, "recovery_median_s": rounded(at(50)), "recovery_max_s": rounded(at(100)),
        "drain_max_s": rounded(drain), "seconds": took.as_secs(), "problems": total.problems.len(),
        "ok": total.problems.is_empty(),
    });
    println!("{line}");
}

fn replay(options: &Options, seed: u64) -> String {
    format!(
        "cargo test --test crash -- kills --seed {seed} --kills {} --processes {} --workers {} --organizations {} \
         --months {} --lease-s {}",
        options.kills,
        options.processes,
        options.workers,
        options.organizations,
        options.months,
        options.lease_s
    )
}

fn rounded(seconds: f64) -> f64 {
    (seconds * 100.0).round() / 100.0
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
