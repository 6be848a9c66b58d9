//! How fast a month ends, against comparators in the same run: `cargo bench --bench month_end -- --help`.
//!
//! Every part runs in a process of its own, some times in turn with its comparators; medians count. No ratio is
//! printed where the machine changed between the two sides, and none where both did not come to the same total.
//! The other maker of pages lives in `tests/speed/typst`, a package of its own: nobody who tests this one builds it.

#![expect(clippy::float_arithmetic, reason = "rates per second")]
#![expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]

mod arguments;
mod bare_writer;
mod block_close_postgres;
mod block_close_sqlite;
mod child;
mod close;
mod cluster;
mod copy_rows;
mod deployment;
mod input;
mod measure;
mod naive_sqlite;
mod plain_close;
mod plain_postgres;
mod report;

use std::process::ExitCode;
use std::rc::Rc;

use anyhow::{Context, Result};

use arguments::Arguments;
use child::Task;
use cluster::Cluster;
use deployment::Place;
use report::{Table, say};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let mut given = std::env::args().skip(1).peekable();
    if given.next_if(|name| name == child::CHILD).is_some() {
        let task: Task = serde_json::from_str(&given.next().context("a task")?)?;
        let measured = task.perform()?;
        say(&serde_json::to_string(&measured)?);
        return Ok(());
    }
    let Some(arguments) = Arguments::read(given)? else {
        say(arguments::HELP);
        return Ok(());
    };
    Bench::new(arguments)?.run()
}

/// The whole benchmark.
struct Bench {
    arguments: Arguments,
    folder: tempfile::TempDir,
    table: Table,
    embedded: Option<Place>,
    server: Option<Server>,
}

/// A PostgreSQL server with a month that can be closed.
struct Server {
    cluster: Rc<Cluster>,
    prepared: Place,
}

impl Bench {
    fn new(arguments: Arguments) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self { arguments, folder, table: Table::default(), embedded: None, server: None })
    }

    fn run(mut self) -> Result<()> {
        let Arguments { organizations, events, repeats, .. } = self.arguments;
        say(&format!(
            "{organizations} organizations, {events} events each, medians of {repeats}; load {:.1}",
            measure::load()
        ));
        if self.arguments.wants("close") && self.arguments.measures("sqlite") {
            block_close_sqlite::run(&mut self)?;
        }
        if self.arguments.wants("close") && self.arguments.measures("postgres") {
            block_close_postgres::run(&mut self)?;
        }
        self.table.print();
        Ok(())
    }

    /// A month on SQLite that can be closed; made once.
    fn prepared_embedded(&mut self) -> Result<Place> {
        if let Some(place) = &self.embedded {
            return Ok(place.clone());
        }
        let place = Place::embedded(&self.folder.path().join("prepared"));
        let Arguments { organizations, events, .. } = self.arguments;
        Task::Prepare { place: place.clone(), organizations, events }.run()?;
        self.embedded = Some(place.clone());
        Ok(place)
    }

    /// A month on PostgreSQL that can be closed, and its server; made once.
    fn prepared_server(&mut self) -> Result<(Rc<Cluster>, Place)> {
        if let Some(server) = &self.server {
            return Ok((server.cluster.clone(), server.prepared.clone()));
        }
        let cluster = Rc::new(Cluster::start(self.folder.path())?);
        let home = self.folder.path().join("prepared-on-a-server");
        let prepared = Place { home, database: cluster.make(PREPARED, None)? };
        let Arguments { organizations, events, .. } = self.arguments;
        Task::Prepare { place: prepared.clone(), organizations, events }.run()?;
        cluster.ask_in(PREPARED, &["VACUUM ANALYZE", "CHECKPOINT"])?;
        self.server = Some(Server { cluster: cluster.clone(), prepared: prepared.clone() });
        Ok((cluster, prepared))
    }
}

/// The name of its database.
const PREPARED: &str = "prepared";
