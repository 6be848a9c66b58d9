//! The database server stops under the program: `pg_ctl stop -m immediate` at a random moment of a command,
//! the server is started again, and so is the program.
//!
//! A moment is a fraction of the time the command takes undisturbed. The seed draws the same fractions
//! again; where exactly the program stands then is up to the machine.

use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::cycle::{Cycle, PURCHASE, STEPS, World};
use super::end::{End, reach};
use super::{EFFECTS_AT_ONCE, recover, undisturbed};
use crate::chance::Chance;
use crate::cluster::Cluster;
use crate::home::{Engine, output_file};
use crate::options::{Edges, PointsOptions, ServerOptions, Which};

/// Parts a command's time is divided into.
const MOMENTS: u32 = 10_000;

/// True: everything held.
pub fn run(options: &ServerOptions) -> Result<bool> {
    let scratch = options.common.scratch()?;
    let cluster = Cluster::start(&scratch.path().join("postgres"))?;
    let cycle = Cycle::new(&like_points(options), scratch.path(), Some(cluster))?;
    let expected = [undisturbed(&cycle, None)?, undisturbed(&cycle, Some(PURCHASE))?];
    let mut lengths = Vec::new();
    for number in PURCHASE..STEPS.len() {
        let world = cycle.world("w0", number, None)?;
        let begun = Instant::now();
        world.play(number, 0)?;
        lengths.push(begun.elapsed());
    }
    let begun = Instant::now();
    let (mut stops, mut under_load, mut again, mut most, mut failed, mut slowest) =
        (0_u64, 0_u64, 0, 0, 0_u64, Duration::ZERO);
    let mut random = Chance::of(options.seed, &[]);
    while stops < options.stops
        && options.seconds.is_none_or(|seconds| begun.elapsed().as_secs() < seconds)
    {
        stops += 1;
        let which = usize::try_from(random.below(u32::try_from(lengths.len())?))?;
        let after = lengths[which] * random.below(MOMENTS) / MOMENTS;
        let number = PURCHASE + which;
        let mut problems = Vec::new();
        match stop(&cycle, number, after) {
            Ok(stopped) => {
                under_load += u64::from(stopped.was_at_work);
                again += stopped.end.again;
                most = most.max(stopped.end.again);
                slowest = slowest.max(stopped.recovery);
                problems.extend(stopped.problems);
                problems.extend(stopped.end.problems.iter().cloned());
                let is_without = number == PURCHASE && !stopped.end.has_purchase;
                problems.extend(stopped.end.differences(&expected[usize::from(is_without)]));
            }
            Err(error) => problems.push(format!("{error:#}")),
        }
        if !problems.is_empty() {
            failed += 1;
            let name = STEPS[number].name;
            println!("FAILED: stop {stops}, {} ms into {name}", after.as_millis());
            for problem in problems {
                println!("  {}", problem.chars().take(1_500).collect::<String>());
            }
            let seed = options.seed;
            println!("  replay: cargo test --test crash -- server --seed {seed} --stops {stops}");
        }
    }
    println!(
        "{stops} stops of the server, {under_load} of them under work, {failed} failed, {again} mails again \
         ({most} at most at once), slowest recovery {:.2} s",
        slowest.as_secs_f64()
    );
    println!(
        "{}",
        json!({"test": "server", "seed": options.seed, "stops": stops, "under_load": under_load, "failed": failed,
            "duplicate_mails": again, "most_duplicates_at_once": most,
            "slowest_recovery_ms": u64::try_from(slowest.as_millis())?, "seconds": begun.elapsed().as_secs()})
    );
    Ok(failed == 0 && under_load > 0)
}

/// What a stop came to.
struct Stopped {
    was_at_work: bool,
    end: End,
    problems: Vec<String>,
    recovery: Duration,
}

fn stop(cycle: &Cycle, number: usize, after: Duration) -> Result<Stopped> {
    let cluster = cycle.cluster.as_ref().context("a server")?;
    let world = cycle.world("w0", number, None)?;
    let arguments = world.arguments(number);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let errors = world.scratch.join("stderr");
    let mut child = world
        .home
        .command(Some(STEPS[number].now), &arguments)
        .stdout(Stdio::null())
        .stderr(output_file(&errors)?)
        .spawn()?;
    std::thread::sleep(after);
    let was_at_work = child.try_wait()?.is_none();
    cluster.stop_immediately()?;
    cluster.begin()?;
    let code = child.wait()?.code();
    let said = std::fs::read_to_string(&errors)?;
    let mut problems = Vec::new();
    if !code.is_some_and(|code| (0..=2).contains(&code)) || said.contains("panicked") {
        problems.push(format!("it ended with {code:?}: {}", said.trim()));
    }
    let begun = Instant::now();
    recover(&world, number, 0)?;
    let recovery = begun.elapsed();
    finish(&world, number)?;
    Ok(Stopped { was_at_work, end: reach(&world, EFFECTS_AT_ONCE)?, problems, recovery })
}

fn finish(world: &World, number: usize) -> Result<()> {
    (number + 1..STEPS.len()).try_for_each(|following| world.play(following, 0).map(drop))
}

/// The cycle's making asks for no more than this.
fn like_points(options: &ServerOptions) -> PointsOptions {
    PointsOptions {
        common: options.common.clone(),
        engine: Engine::Postgres,
        edges: Edges::Network,
        faults: Vec::new(),
        which: Which { every: 1, offset: 1, last: None },
        only: None,
        seconds: None,
        relapses: 0,
        workers: 1,
        keep: false,
        calls: false,
    }
}
