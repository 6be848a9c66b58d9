//! Closing on SQLite: ours, a bare writer of the same rows, a loop of one organization after the other.

use anyhow::Result;

use crate::Bench;
use crate::child::Task;
use crate::deployment::Place;
use crate::report::{Side, Target, same, say};

pub fn run(bench: &mut Bench) -> Result<()> {
    say("close from roll-ups, up to the numbered invoice, SQLite");
    let prepared = bench.prepared_embedded()?;
    let folder = bench.folder.path().to_owned();
    let mut ours = Side::new("ours");
    let mut bare = Side::new("bare writer of the same rows");
    let mut naive = Side::new("one organization after the other (500)");
    for _ in 0..bench.arguments.repeats {
        let run = tempfile::tempdir_in(&folder)?;
        let place = Place::embedded(&run.path().join("ours"));
        prepared.copy(&place.home)?;
        let found = ours.run(&folder, || Task::Close { place: place.clone() }.run())?;
        let (total, sample) = (found.total, found.sample);
        let task = Task::BareWriter {
            before: prepared.file()?,
            after: place.file()?,
            fresh: Place::embedded(&run.path().join("bare")),
        };
        same("invoice total", total, bare.run(&folder, || task.run())?.total)?;
        let copy = Place::embedded(&run.path().join("naive"));
        prepared.copy(&copy.home)?;
        let organizations = bench.arguments.organizations;
        let task = Task::NaiveSqlite { file: copy.file()?, organizations };
        same("invoice total of the sample", sample, naive.run(&folder, || task.run())?.sample)?;
    }
    for side in [&ours, &bare, &naive] {
        side.print("organizations");
    }
    let table = &mut bench.table;
    let rates = (ours.rate(), bare.rate());
    let name = ("P1", "close SQLite / bare writer");
    table.ratio(name, (&ours, &bare), rates, Target::AtLeast(0.5));
    let name = ("P3", "close SQLite / one after the other");
    table.ratio(name, (&ours, &naive), (ours.rate(), naive.rate()), Target::AtLeast(80.0));
    let again = (ours.part("again"), ours.seconds());
    table.ratio(
        ("P12", "second tick / first, SQLite"),
        (&ours, &ours),
        again,
        Target::AtMost(0.02),
    );
    Ok(())
}
