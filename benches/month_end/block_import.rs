//! Importing a month's usage on one engine.

use std::rc::Rc;

use anyhow::Result;

use crate::Bench;
use crate::child::Task;
use crate::cluster::Cluster;
use crate::deployment::Place;
use crate::input::{self, Skew};
use crate::report::{Side, Target, same, say};

pub fn run(bench: &mut Bench, cluster: Option<&Rc<Cluster>>) -> Result<()> {
    let engine = if cluster.is_some() { "PostgreSQL" } else { "SQLite" };
    say(&format!("import of usage with exact de-duplication, {engine}"));
    let folder = bench.folder.path().to_owned();
    let (organizations, events) = (bench.arguments.organizations, bench.arguments.events);
    let files = tempfile::tempdir_in(&folder)?;
    let (usual, skewed) = (files.path().join("usual.csv"), files.path().join("skewed.csv"));
    input::write_usage(&usual, organizations, events, Skew::Usual)?;
    input::write_usage(&skewed, organizations, events, Skew::OneHalf)?;
    let mut ours = Side::new("ours");
    let mut bare = Side::new("the file's rows into a bare keyed table");
    let mut stored = Side::new("our stored rows into a bare keyed table");
    let mut one_half = Side::new("ours, half of all events one organization's");
    for _ in 0..bench.arguments.repeats {
        let run = tempfile::tempdir_in(&folder)?;
        let place = |name: &str| -> Result<Place> {
            let home = run.path().join(name);
            Ok(match cluster {
                None => Place::embedded(&home),
                Some(cluster) => Place { home, database: cluster.make("import", None)? },
            })
        };
        let import = |name: &str, csv, again| -> Result<Task> {
            Ok(Task::Import { place: place(name)?, organizations, csv, again })
        };
        let task = import("usual", usual.clone(), true)?;
        let total = ours.run(&folder, || task.run())?.total;
        if cluster.is_none() {
            let ours = place("usual")?.file()?;
            let task = Task::BareStored { file: run.path().join("stored.db"), ours };
            same("number of events", total, stored.run(&folder, || task.run())?.total)?;
        }
        let task = import("skewed", skewed.clone(), false)?;
        one_half.run(&folder, || task.run())?;
        let task = match cluster {
            None => Task::BareSqlite { file: run.path().join("bare.db"), csv: usual.clone() },
            Some(_) => Task::BarePostgres { address: place("bare")?.database, csv: usual.clone() },
        };
        same("number of events", total, bare.run(&folder, || task.run())?.total)?;
    }
    for side in [&ours, &bare, &stored, &one_half] {
        if !side.runs.is_empty() {
            side.print("events");
        }
    }
    let table = &mut bench.table;
    let what = format!("import {engine} / bare keyed table of the file's rows");
    let rates = (ours.rate(), bare.rate());
    table.ratio(("P4", &what), (&ours, &bare), rates, Target::AtLeast(0.5));
    if !stored.runs.is_empty() {
        let what = format!("import {engine} / bare keyed table of our rows");
        let rates = (ours.rate(), stored.rate());
        table.ratio(("P4", &what), (&ours, &stored), rates, Target::AtLeast(0.5));
    }
    let what = format!("the same file again / the first time, {engine}");
    let times = (ours.seconds(), ours.part("again"));
    table.ratio(("P5", &what), (&ours, &ours), times, Target::AtLeast(1.5));
    let what = format!("time an event, half of all one's / usual, {engine}");
    let times = (1.0 / one_half.rate(), 1.0 / ours.rate());
    table.ratio(("P13", &what), (&one_half, &ours), times, Target::AtMost(1.2));
    Ok(())
}
