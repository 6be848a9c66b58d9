//! Runs a command of the program under the tracer, which is a package of its own beside this file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;

use crate::home::{Home, output_file};
use crate::options::Fault;

/// Longest a traced command may take, in seconds.
const PATIENCE: u64 = 120;

/// The tracer, built.
pub struct Tracer {
    binary: PathBuf,
}

/// How a traced command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
    Hung,
}

/// What the tracer saw.
#[derive(Debug)]
pub struct Traced {
    pub end: End,
    /// Calls met that the fault can hit.
    pub met: u64,
    /// The same by what they touch.
    pub by_class: BTreeMap<String, u64>,
    /// How often the fault was carried out, and at which call first; none: the run ended before.
    pub fired: Option<(u64, String)>,
    /// Lines of the log, if one was asked for.
    pub log: Vec<String>,
    pub stderr: String,
}

impl Tracer {
    /// Builds it, if that was not done before.
    pub fn build() -> Result<Self> {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/crash/tracer/Cargo.toml");
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/tracer");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let done = Command::new(cargo)
            .args(["build", "--quiet", "--locked", "--release", "--manifest-path", manifest])
            .args(["--target-dir", target])
            .env_remove("RUSTFLAGS")
            .status()
            .context("cannot run cargo to build the tracer")?;
        ensure!(done.success(), "the tracer cannot be built");
        Ok(Self { binary: Path::new(target).join("release/monthend-tracer") })
    }

    /// Runs a command. `fault` none: only counts and logs; else it is carried out at the call `at`.
    pub fn run(
        &self,
        home: &Home,
        scratch: &Path,
        fault: Option<Fault>,
        at: u64,
        now: &str,
        arguments: &[&str],
    ) -> Result<Traced> {
        let (report, errors) = (scratch.join("report"), scratch.join("stderr"));
        let _ = fs::remove_file(&report);
        let name = fault.and_then(|fault| fault.to_possible_value());
        let done = Command::new(&self.binary)
            .arg(&report)
            .arg(name.as_ref().map_or("log", |value| value.get_name()))
            .args([at.to_string(), PATIENCE.to_string()])
            .arg(&home.binary)
            .args(home.arguments(Some(now), arguments))
            .envs(home.environment())
            // One worker thread: the same calls in nearly the same order each time.
            .env("TOKIO_WORKER_THREADS", "1")
            .stdin(Stdio::null())
            .stdout(output_file(&scratch.join("stdout"))?)
            .stderr(output_file(&errors)?)
            .status()
            .context("the tracer")?;
        let stderr = String::from_utf8_lossy(&fs::read(&errors)?).into_owned();
        ensure!(done.success(), "the tracer: {stderr}");
        read(&fs::read_to_string(&report)?, stderr)
    }
}

fn read(report: &str, stderr: String) -> Result<Traced> {
    let mut traced = Traced {
        end: End::Hung,
        met: 0,
        by_class: BTreeMap::new(),
        fired: None,
        log: Vec::new(),
        stderr,
    };
    for line in report.lines() {
        let (word, rest) = line.split_once(' ').context("a line of one word")?;
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match word {
            "end" => {
                traced.end = match first {
                    "exit" => End::Exit(second.parse()?),
                    "signal" => End::Signal(second.parse()?),
                    _ => End::Hung,
                }
            }
            "met" => traced.met = first.parse()?,
            "class" => drop(traced.by_class.insert(first.to_owned(), second.parse()?)),
            "fired" => traced.fired = Some((first.parse()?, second.to_owned())),
            "log" => traced.log.push(rest.to_owned()),
            _ => bail!("the tracer said {line:?}"),
        }
    }
    Ok(traced)
}
