//! Crash tests: they drive the unmodified program from outside, kill it, and look at what is left.
//!
//! `cargo test --test crash -- points` enumerates crash points, `-- upgrade` those of bringing an old database to this
//! schema, `-- server` stops the database server under the program, `-- kills` kills `serve` at random. Nothing of
//! the library is linked in: what these tests know of monthend is its command line, its files, and what arrives at
//! the provider and the mail server.

#![expect(clippy::print_stdout, reason = "a table and a line of JSON are what this program is for")]
#![expect(clippy::disallowed_methods, reason = "nothing here must survive a power cut")]
#![expect(clippy::similar_names, reason = "a pair of words that belong together is named alike")]
#![allow(clippy::float_arithmetic, reason = "seconds of wall clock, for people to read")]

#[path = "../simulation/chance.rs"]
#[allow(dead_code, reason = "the histories use more of it")]
mod chance;
mod checks;
mod cluster;
mod home;
mod kills;
mod options;
mod points;
mod provider;
mod sink;
mod upgrade;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::options::{Command, Options};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            println!("crash: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// True: everything held.
fn run() -> Result<bool> {
    match Options::parse().command {
        Command::Points(options) => points::run(&options),
        Command::Server(options) => points::server::run(&options),
        Command::Upgrade(options) => upgrade::run(&options),
        Command::Kills(options) => kills::run(&options),
    }
}
