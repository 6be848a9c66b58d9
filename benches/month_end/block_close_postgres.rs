//! Closing on PostgreSQL: one and two worker processes, one set-based transaction, COPY of the same rows, a loop
//! of one organization after the other. Processor time is the client's alone.

use anyhow::Result;

use crate::Bench;
use crate::child::Task;
use crate::cluster::Cluster;
use crate::deployment::Place;
use crate::measure::Measured;
use crate::report::{Side, Target, same, say, together};

pub fn run(bench: &mut Bench) -> Result<()> {
    say("close from roll-ups, up to the numbered invoice, PostgreSQL");
    let (cluster, prepared) = bench.prepared_on_server()?;
    let organizations = bench.arguments.organizations;
    let folder = bench.folder.path().to_owned();
    let mut one = Side::new("ours, one worker");
    let mut two = Side::new("ours, two workers");
    let mut set_based = Side::new("one set-based transaction");
    let mut copied = Side::new("COPY of the same rows");
    let mut naive = Side::new("one organization after the other (500)");
    let plain = cluster.make("plain", Some(crate::PREPARED))?;
    Task::LoadPlain { address: plain, organizations }.run()?;
    for _ in 0..bench.arguments.repeats {
        let run = tempfile::tempdir_in(&folder)?;
        let ours = |side: &mut Side, name: &str, workers: usize| -> Result<(i64, i64)> {
            let place = Place {
                home: run.path().join(name),
                database: cluster.make(name, Some(crate::PREPARED))?,
            };
            prepared.copy(&place.home)?;
            let found = side.run(&folder, || work(&place, workers, organizations))?;
            Ok((found.total, found.sample))
        };
        let (total, sample) = ours(&mut one, "one", 1)?;
        same("invoice total", total, ours(&mut two, "two", 2)?.0)?;

        let address = cluster.make("run", Some("plain"))?;
        let found = set_based.run(&folder, || Task::SetBased { address, organizations }.run())?;
        same("invoice total", total, found.total)?;

        let task = Task::CopyRows {
            before: prepared.database.clone(),
            after: cluster.address("one"),
            fresh: Place { home: run.path().join("fresh"), database: cluster.make("fresh", None)? },
            organizations,
        };
        same("invoice total", total, copied.run(&folder, || task.run())?.total)?;

        let address = cluster.make("run", Some("plain"))?;
        let task = Task::NaivePostgres { address, organizations };
        same("invoice total of the sample", sample, naive.run(&folder, || task.run())?.sample)?;
    }
    drop_all(&cluster)?;
    for side in [&one, &two, &set_based, &copied, &naive] {
        side.print("organizations");
    }
    let table = &mut bench.table;
    let mut compare = |name, what, (ours, other): (&Side, &Side), target: Option<Target>| {
        table.ratio((name, what), (ours, other), (ours.rate(), other.rate()), target);
    };
    let aim = |least| Some(Target::AtLeast(least));
    compare("P2", "close PostgreSQL, 2 workers / set-based SQL", (&two, &set_based), aim(1.0));
    compare("", "close PostgreSQL, 2 workers / COPY of the rows", (&two, &copied), None);
    compare("P3", "close PostgreSQL / one after the other", (&two, &naive), aim(20.0));
    compare("P11", "close PostgreSQL, 2 workers / 1 worker", (&two, &one), aim(1.4));
    Ok(())
}

/// Some workers that begin together; the time is that of the last.
fn work(place: &Place, workers: usize, organizations: usize) -> Result<Measured> {
    let task = Task::Work { place: place.clone() };
    let mut begun = (0..workers).map(|_| task.begin()).collect::<Result<Vec<_>>>()?;
    for child in &mut begun {
        child.wait_until_ready()?;
    }
    for child in &mut begun {
        child.go()?;
    }
    let runs = begun.into_iter().map(crate::child::Begun::end).collect::<Result<Vec<_>>>()?;
    Ok(together(&runs, organizations as u64))
}

fn drop_all(cluster: &Cluster) -> Result<()> {
    let names = ["one", "two", "run", "fresh", "plain"];
    let drops: Vec<String> =
        names.iter().map(|name| format!("DROP DATABASE {name} WITH (FORCE)")).collect();
    cluster.ask_in("postgres", &drops.iter().map(String::as_str).collect::<Vec<_>>())
}
