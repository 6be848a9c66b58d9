//! Each measured part runs in a process of its own, so that memory and processor time are its own.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use monthend::cores;
use serde::{Deserialize, Serialize};

use crate::deployment::{self, Place};
use crate::measure::Measured;
use crate::report;
use crate::{bare_writer, close, copy_rows, import, naive_sqlite, night, plain_postgres, smtp};

/// The hidden argument.
pub const CHILD: &str = "--child";

/// What a child is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Task {
    /// Makes a deployment whose month can be closed.
    Prepare { place: Place, organizations: usize, events: usize },
    /// Closes and issues.
    Close { place: Place },
    /// Writes what a close wrote, and nothing else.
    BareWriter { before: PathBuf, after: PathBuf, fresh: Place },
    /// One organization after the other, on a copy of the prepared database.
    NaiveSqlite { file: PathBuf, organizations: usize },
    /// One of some workers that close and issue together; waits for the word.
    Work { place: Place },
    /// Loads the comparators' tables beside ours in a copy of the prepared database.
    LoadPlain { address: String, organizations: usize },
    /// The whole close as one transaction on the plain tables.
    SetBased { address: String, organizations: usize },
    /// One organization after the other on the plain tables.
    NaivePostgres { address: String, organizations: usize },
    /// COPY of what a close wrote.
    CopyRows { before: String, after: String, fresh: Place, organizations: usize },
    /// Imports a usage file into a new deployment.
    Import { place: Place, organizations: usize, csv: PathBuf, again: bool },
    /// The same rows into a bare keyed table.
    BareSqlite { file: PathBuf, csv: PathBuf },
    /// Our own stored rows into a bare keyed table.
    BareStored { file: PathBuf, ours: PathBuf },
    /// The rows of the file on PostgreSQL.
    BarePostgres { address: String, csv: PathBuf },
    /// One-page invoices.
    Pages { count: usize },
    /// The whole night, at once or part by part.
    Night { place: Place, in_parts: bool },
    /// The night but for its mails.
    WithoutMails { place: Place },
    /// The mails of such a night.
    Mails { place: Place },
    /// Sends equal mails and does nothing else.
    SendMails { path: PathBuf, port: u16 },
}

impl Task {
    /// Does it.
    pub fn perform(self) -> Result<Measured> {
        // As many threads as the program gives itself.
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(cores::count() + 2).enable_all().build()?;
        match self {
            Self::Prepare { place, organizations, events } => {
                runtime.block_on(deployment::prepare(&place, organizations, events))?;
                Ok(Measured::default())
            }
            Self::Close { place } => runtime.block_on(close::run(&place)),
            Self::BareWriter { before, after, fresh } => {
                runtime.block_on(close::empty(&fresh))?;
                bare_writer::run(&before, &after, &fresh)
            }
            Self::NaiveSqlite { file, organizations } => naive_sqlite::run(&file, organizations),
            Self::Work { place } => runtime.block_on(close::work(&place)),
            Self::LoadPlain { address, organizations } => {
                runtime.block_on(plain_postgres::load(&address, organizations))?;
                Ok(Measured::default())
            }
            Self::SetBased { address, organizations } => {
                runtime.block_on(plain_postgres::set_based(&address, organizations))
            }
            Self::NaivePostgres { address, organizations } => {
                runtime.block_on(plain_postgres::naive(&address, organizations))
            }
            Self::CopyRows { before, after, fresh, organizations } => {
                runtime.block_on(close::empty(&fresh))?;
                runtime.block_on(copy_rows::run(&before, &after, &fresh.database, organizations))
            }
            Self::Import { place, organizations, csv, again } => {
                runtime.block_on(import::ours(&place, organizations, &csv, again))
            }
            Self::BareSqlite { file, csv } => import::bare_sqlite(&file, &csv),
            Self::BareStored { file, ours } => import::bare_stored(&file, &ours),
            Self::BarePostgres { address, csv } => {
                runtime.block_on(import::bare_postgres(&address, &csv))
            }
            Self::Pages { count } => night::pages(count),
            Self::Night { place, in_parts } => runtime.block_on(night::run(&place, in_parts)),
            Self::WithoutMails { place } => runtime.block_on(night::without_mails(&place)),
            Self::Mails { place } => runtime.block_on(night::mails(&place)),
            Self::SendMails { path, port } => smtp::send(&path, port),
        }
    }

    /// Has it done by a child.
    pub fn run(&self) -> Result<Measured> {
        self.begin()?.end()
    }

    /// Starts a child; it waits for [`Begun::go`] where the task says so.
    pub fn begin(&self) -> Result<Begun> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .arg(serde_json::to_string(self)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a child cannot be started")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Begun { child, output })
    }
}

/// A child that is at it.
pub struct Begun {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Begun {
    /// Waits until it is ready, for those that say so.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.trim() != READY {
            bail!("a child said {line:?} instead of {READY:?}");
        }
        Ok(())
    }

    /// Lets it go.
    pub fn go(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no input")?;
        input.write_all(b"go\n")?;
        Ok(input.flush()?)
    }

    /// Waits for its line.
    pub fn end(mut self) -> Result<Measured> {
        let mut last = String::new();
        for line in (&mut self.output).lines() {
            last = line?;
        }
        let status = self.child.wait()?;
        if !status.success() {
            bail!("a child ended with {status}: {last}");
        }
        serde_json::from_str(&last).with_context(|| format!("a child said {last:?}"))
    }
}

/// What a child says when it is ready to begin.
const READY: &str = "ready";

/// In a child: says that it is ready and waits for [`Begun::go`].
pub fn wait_for_the_word() -> Result<()> {
    report::say(READY);
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(())
}
