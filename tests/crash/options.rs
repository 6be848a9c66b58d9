//! What may be written after `cargo test --test crash --`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::home::Engine;
use crate::kills;

/// Crash tests of the unmodified program, from outside.
#[derive(Debug, Parser)]
#[command(
    name = "crash",
    max_term_width = 100,
    after_help = "Exit codes: 0 everything held; 1 something \
    did not, with one command that replays it; 2 could not run."
)]
pub struct Options {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Kill the program, or fail its disk, at every write-class system call of a monthly cycle
    Points(PointsOptions),
    /// Kill the program, or fail its disk, at every write-class system call of the upgrade of an old database
    Upgrade(UpgradeOptions),
    /// Stop the PostgreSQL server (`pg_ctl stop -m immediate`) under the program at random moments
    Server(ServerOptions),
    /// Kill and stop `serve` at random moments under load
    Kills(kills::Options),
}

/// What every subcommand takes.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The program under test [default: the one of this build]
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Where throw-away homes and servers are made [default: /dev/shm, else the temporary folder]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

impl Common {
    /// The program under test.
    pub fn binary(&self) -> PathBuf {
        self.binary.clone().unwrap_or_else(|| env!("CARGO_BIN_EXE_monthend").into())
    }

    /// A fresh folder for this run, removed when dropped. In memory where there is such a place: the
    /// order of writes and syncs is what is tested, not a disk's power cut.
    pub fn scratch(&self) -> anyhow::Result<tempfile::TempDir> {
        let memory = PathBuf::from("/dev/shm");
        let place = match &self.scratch {
            Some(place) => place.clone(),
            None if memory.is_dir() => memory,
            None => std::env::temp_dir(),
        };
        // The database server works as a user of its own, so the way in is open.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        Ok(tempfile::Builder::new()
            .prefix("monthend-crash-")
            .permissions(open)
            .tempdir_in(place)?)
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fault {
    /// SIGKILL before the call is carried out
    Kill,
    /// This one call fails: input/output error (files only)
    Eio,
    /// This call and all later ones that need room fail: the disk is full until the program ends
    Enospc,
    /// This one call on a socket fails: the peer is gone
    Reset,
}

/// Which points are walked.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// Every N-th point
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// The first point
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub offset: u64,
    /// No point after this one
    #[arg(long)]
    pub last: Option<u64>,
}

#[derive(Debug, Clone, Args)]
pub struct PointsOptions {
    #[command(flatten)]
    pub common: Common,
    /// Where the facts are kept
    #[arg(long, value_enum, default_value = "sqlite")]
    pub engine: Engine,
    /// Provider and mail server beyond sockets, or the sandbox's journal and the outbox's files
    #[arg(long, value_enum, default_value = "network")]
    pub edges: Edges,
    /// What happens at a point; may be given several times [default: kill, eio, enospc]
    #[arg(long = "fault", value_enum, value_name = "FAULT")]
    pub faults: Vec<Fault>,
    #[command(flatten)]
    pub which: Which,
    /// After each point the plain restarts are killed, too, so many times in a row
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    pub relapses: u64,
    /// Only commands of the cycle whose name contains this
    #[arg(long, value_name = "COMMAND")]
    pub only: Option<String>,
    /// Begin no point after so many seconds, and say what was not reached
    #[arg(long, value_name = "LIMIT")]
    pub seconds: Option<u64>,
    /// Points at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub workers: u64,
    /// Keep the homes
    #[arg(long)]
    pub keep: bool,
    /// Print the system call of each point
    #[arg(long)]
    pub calls: bool,
}

#[derive(Debug, Clone, Args)]
pub struct UpgradeOptions {
    #[command(flatten)]
    pub common: Common,
    /// Where the facts are kept
    #[arg(long, value_enum, default_value = "sqlite")]
    pub engine: Engine,
    /// What happens at a point; may be given several times [default: kill, eio, enospc; kill on a server]
    #[arg(long = "fault", value_enum, value_name = "FAULT")]
    faults: Vec<Fault>,
    #[command(flatten)]
    pub which: Which,
}

impl UpgradeOptions {
    /// What happens at a point.
    pub fn faults(&self) -> &[Fault] {
        match (self.faults.as_slice(), self.engine) {
            ([], Engine::Sqlite) => &[Fault::Kill, Fault::Eio, Fault::Enospc],
            ([], Engine::Postgres) => &[Fault::Kill],
            (faults, _) => faults,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Edges {
    /// `rehearse-stripe` and a mail server, processes and threads of their own
    Network,
    /// The sandbox's journal and the outbox's files, written by the program itself
    Files,
}

#[derive(Debug, Clone, Args)]
pub struct ServerOptions {
    #[command(flatten)]
    pub common: Common,
    /// How often the server is stopped
    #[arg(long, default_value_t = 40)]
    pub stops: u64,
    /// What the moments are drawn from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Begin no stop after so many seconds
    #[arg(long, value_name = "LIMIT")]
    pub seconds: Option<u64>,
}
