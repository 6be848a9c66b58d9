//! Every crash point of a monthly cycle: the program is killed, or its disk fails, at its n-th call that
//! changes the world; it is started again plainly, and must come to the end it would have come to.

mod cycle;
mod end;
mod report;
pub mod server;
pub mod tracer;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::cycle::{Cycle, PURCHASE, STEPS, World, later};
use self::end::{End as Seen, reach};
use self::report::{Row, Table};
use self::tracer::{End, Traced, Tracer};
use crate::cluster::Cluster;
use crate::home::Engine;
use crate::options::{Fault, PointsOptions};

/// When a plain restart looks again, in seconds after the command's time: first when the lease of a killed
/// worker is over. Later moments are for steps that wait for their time.
const LOOKS: [i64; 9] = [61, 90, 150, 300, 600, 1_200, 2_400, 4_000, 6_600];

/// A restart is killed at one of its first calls.
const CALLS_OF_A_RELAPSE: u64 = 89;

/// Mails the program has in hand at the same time.
const EFFECTS_AT_ONCE: usize = 8;

/// What the points share.
struct Walk<'a> {
    options: &'a PointsOptions,
    cycle: Cycle,
    tracer: Tracer,
    /// The end with the purchase, and the end without it.
    expected: [Seen; 2],
    until: Option<Instant>,
}

/// What one point came to.
struct Point {
    traced: Traced,
    problems: Vec<String>,
    again: usize,
    /// Restarts that were killed, too.
    relapses: usize,
    /// Seconds of work until nothing was left to do.
    seconds: f64,
    /// Seconds of the program's clock until nothing was left to do.
    clock: i64,
}

/// True: everything held.
pub fn run(options: &PointsOptions) -> Result<bool> {
    let scratch = options.common.scratch()?;
    let tracer = Tracer::build()?;
    let cluster = match options.engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Cluster::start(&scratch.path().join("postgres"))?),
    };
    let cycle = Cycle::new(options, scratch.path(), cluster).context("the undisturbed cycle")?;
    let expected = [undisturbed(&cycle, None)?, undisturbed(&cycle, Some(PURCHASE))?];
    ensure!(expected[0].has_purchase && !expected[1].has_purchase, "the purchase is not seen");
    let until = options.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let walk = Walk { options, cycle, tracer, expected, until };
    let mut table = Table::new(options);
    for (number, step) in STEPS.iter().enumerate() {
        if options.only.as_ref().is_some_and(|only| !step.name.contains(only.as_str())) {
            continue;
        }
        for &fault in faults(options) {
            let row = walk.walk(number, fault)?;
            table.add(row);
        }
    }
    let held = table.print();
    if options.keep {
        println!("kept: {}", scratch.keep().display());
    }
    Ok(held)
}

fn faults(options: &PointsOptions) -> &[Fault] {
    if options.faults.is_empty() {
        &[Fault::Kill, Fault::Eio, Fault::Enospc]
    } else {
        &options.faults
    }
}

/// The end of a cycle that nothing disturbs.
fn undisturbed(cycle: &Cycle, skipping: Option<usize>) -> Result<Seen> {
    let world = cycle.world("calm", STEPS.len(), skipping)?;
    let seen = reach(&world, 0)?;
    ensure!(seen.problems.is_empty(), "undisturbed: {:?}", seen.problems);
    Ok(seen)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which point is next, and what came of those before.
struct Progress {
    next: u64,
    row: Row,
    is_over: bool,
}

impl Walk<'_> {
    /// All points of a step under one fault.
    fn walk(&self, number: usize, fault: Fault) -> Result<Row> {
        let row = Row::new(STEPS[number].name, fault);
        let progress =
            Mutex::new(Progress { next: self.options.which.offset, row, is_over: false });
        std::thread::scope(|scope| {
            let works: Vec<_> = (0..self.options.workers)
                .map(|worker| {
                    let progress = &progress;
                    scope.spawn(move || self.work(&format!("w{worker}"), number, fault, progress))
                })
                .collect();
            for work in works {
                work.join().map_err(|_| anyhow::anyhow!("a worker failed"))??;
            }
            Ok::<(), anyhow::Error>(())
        })?;
        Ok(progress.into_inner().unwrap_or_else(PoisonError::into_inner).row)
    }

    /// One worker: point after point, until a run ends without having met its call.
    fn work(
        &self,
        worker: &str,
        number: usize,
        fault: Fault,
        progress: &Mutex<Progress>,
    ) -> Result<()> {
        loop {
            let at = {
                let mut progress = lock(progress);
                let is_last = self.options.which.last.is_some_and(|last| progress.next > last);
                if progress.is_over || is_last {
                    return Ok(());
                }
                if self.until.is_some_and(|until| Instant::now() > until) {
                    let reached = progress.next;
                    progress.row.not_reached_from.get_or_insert(reached);
                    return Ok(());
                }
                let at = progress.next;
                progress.next += self.options.which.every;
                at
            };
            let point = self.point(worker, number, fault, at);
            let mut progress = lock(progress);
            match point {
                Ok(Some(point)) => progress.row.add(self.options, at, &point),
                Ok(None) => progress.is_over = true,
                Err(error) => progress.row.fail(self.options, at, &[format!("{error:#}")]),
            }
        }
    }

    /// One point; none: the run ended before its call.
    fn point(&self, worker: &str, number: usize, fault: Fault, at: u64) -> Result<Option<Point>> {
        let world = self.cycle.world(worker, number, None)?;
        let arguments = world.arguments(number);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let now = STEPS[number].now;
        let traced =
            self.tracer.run(&world.home, &world.scratch, Some(fault), at, now, &arguments)?;
        if traced.fired.is_none() {
            ensure!(traced.end == End::Exit(0), "undisturbed it ended with {:?}", traced.end);
            return Ok(None);
        }
        let mut problems = ended_well(fault, &traced);
        let (relapses, ago) = self.relapse(&world, number, at)?;
        let begun = Instant::now();
        let clock = recover(&world, number, ago)?;
        let seconds = begun.elapsed().as_secs_f64();
        for following in number + 1..STEPS.len() {
            world.play(following, 0)?;
        }
        let seen = reach(&world, repeats(fault) + relapses)?;
        problems.extend(seen.problems.iter().cloned());
        let is_without = number == PURCHASE && !seen.has_purchase;
        problems.extend(seen.differences(&self.expected[usize::from(is_without)]));
        Ok(Some(Point { traced, problems, again: seen.again, relapses, seconds, clock }))
    }

    /// Kills one restart after the other, each a lease after the one before, at another call. Gives how many were
    /// killed, and the seconds of the program's clock that took.
    fn relapse(&self, world: &World, number: usize, at: u64) -> Result<(usize, i64)> {
        let step = &STEPS[number];
        let again = world.arguments(number);
        let arguments: Vec<&str> = if step.is_repeated {
            again.iter().map(String::as_str).collect()
        } else {
            vec!["tick"]
        };
        let (mut killed, mut ago) = (0, 0);
        for relapse in 0..self.options.relapses {
            let call = 1 + (at + 7 * relapse) % CALLS_OF_A_RELAPSE;
            let now = later(step.now, ago + LOOKS[0])?;
            let fault = Some(Fault::Kill);
            let traced =
                self.tracer.run(&world.home, &world.scratch, fault, call, &now, &arguments)?;
            if traced.fired.is_none() {
                // Nothing was left to do.
                break;
            }
            ensure!(traced.end == End::Signal(9), "a restart ended with {:?}", traced.end);
            (killed, ago) = (killed + 1, ago + LOOKS[0]);
        }
        Ok((killed, ago))
    }
}

/// How many mails may arrive again. A kill, or one call that fails, repeats one; where no commit succeeds
/// any more, each of the eight that were in hand may be accepted before its commit fails.
const fn repeats(fault: Fault) -> usize {
    match fault {
        Fault::Enospc => EFFECTS_AT_ONCE,
        _ => 1,
    }
}

/// A kill kills; anything else ends in order: no panic, and one of the three exit codes.
pub fn ended_well(fault: Fault, traced: &Traced) -> Vec<String> {
    let mut problems = Vec::new();
    let is_orderly = match (fault, &traced.end) {
        (Fault::Kill, end) => *end == End::Signal(9),
        (_, End::Exit(code)) => (0..=2).contains(code),
        _ => false,
    };
    if !is_orderly {
        problems.push(format!("it ended with {:?}: {}", traced.end, traced.stderr.trim()));
    }
    if traced.stderr.contains("panicked") {
        problems.push(format!("it panicked: {}", traced.stderr.trim()));
    }
    if traced.fired.as_ref().is_none_or(|(times, _)| *times == 0) {
        problems.push("the fault was prepared, but never carried out".to_owned());
    }
    problems
}

/// A plain restart: the command again where an operator gives it again, then ticks until nothing is left.
/// Gives the seconds of the program's clock that took.
fn recover(world: &World, number: usize, ago: i64) -> Result<i64> {
    let step = &STEPS[number];
    if step.is_repeated {
        world.play(number, ago + LOOKS[0])?;
        world.connect()?;
        return Ok(ago + LOOKS[0]);
    }
    for look in LOOKS.map(|look| ago + look) {
        let told = world.home.json(Some(&later(step.now, look)?), &["tick"])?;
        let waits = |run: &Value| run["steps"]["waiting"].as_u64().unwrap_or_default();
        if crate::checks::rows(&told, "runs")?.iter().map(waits).sum::<u64>() == 0 {
            return Ok(look);
        }
    }
    anyhow::bail!("after {} seconds steps still wait", LOOKS[LOOKS.len() - 1])
}

/// The command that repeats one point.
fn replay(options: &PointsOptions, command: &str, fault: &str, at: u64) -> String {
    let edges = match options.edges {
        crate::options::Edges::Network => "network",
        crate::options::Edges::Files => "files",
    };
    format!(
        "cargo test --test crash -- points --engine {} --edges {edges} --only {command:?} --fault {fault} --offset {at} --last {at} \
         --relapses {}",
        options.engine.name(),
        options.relapses
    )
}
