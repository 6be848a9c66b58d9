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
mod block_import;
mod block_rest;
mod child;
mod close;
mod cluster;
mod copy_rows;
mod deployment;
mod import;
mod input;
mod measure;
mod naive_sqlite;
mod night;
mod plain_close;
mod plain_postgres;
mod report;
mod smtp;

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
    cluster: Option<Rc<Cluster>>,
    on_server: Option<Place>,
}

impl Bench {
    fn new(arguments: Arguments) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            arguments,
            folder,
            table: Table::default(),
            embedded: None,
            cluster: None,
            on_server: None,
        })
    }

    fn run(mut self) -> Result<()> {
        let Arguments { organizations, events, repeats, .. } = self.arguments;
        say(&format!(
            "{organizations} organizations, {events} events each, medians of {repeats}; load {:.1}",
            measure::load()
        ));
        let sqlite = self.arguments.measures("sqlite");
        let postgres = self.arguments.measures("postgres");
        let wanted = self.arguments.clone();
        let wants = |block: &str| wanted.wants(block);
        if wants("close") && sqlite {
            block_close_sqlite::run(&mut self)?;
        }
        if wants("close") && postgres {
            block_close_postgres::run(&mut self)?;
        }
        if wants("import") && sqlite {
            block_import::run(&mut self, None)?;
        }
        if wants("import") && postgres {
            let cluster = self.cluster()?;
            block_import::run(&mut self, Some(&cluster))?;
        }
        if wants("pages") {
            block_rest::pages(&mut self)?;
        }
        if wants("night") && sqlite {
            block_rest::night(&mut self)?;
        }
        if wants("mail") && sqlite {
            block_rest::mail(&mut self)?;
        }
        let grows = wants("memory") || wants("cost");
        if grows && sqlite {
            block_rest::growth(&mut self)?;
        }
        // Asked among the larger number where there is one.
        if wants("balance") && !grows && sqlite {
            block_rest::balance(&mut self)?;
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

    /// A PostgreSQL server, started when first needed.
    fn cluster(&mut self) -> Result<Rc<Cluster>> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.clone());
        }
        let cluster = Rc::new(Cluster::start(self.folder.path())?);
        self.cluster = Some(cluster.clone());
        Ok(cluster)
    }

    /// A month on PostgreSQL that can be closed; made once.
    fn prepared_on_server(&mut self) -> Result<(Rc<Cluster>, Place)> {
        let cluster = self.cluster()?;
        if let Some(place) = &self.on_server {
            return Ok((cluster, place.clone()));
        }
        let home = self.folder.path().join("prepared-on-a-server");
        let place = Place { home, database: cluster.make(PREPARED, None)? };
        let Arguments { organizations, events, .. } = self.arguments;
        Task::Prepare { place: place.clone(), organizations, events }.run()?;
        cluster.ask_in(PREPARED, &["VACUUM ANALYZE", "CHECKPOINT"])?;
        self.on_server = Some(place.clone());
        Ok((cluster, place))
    }
}

/// The name of its database.
const PREPARED: &str = "prepared";
