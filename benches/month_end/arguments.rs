//! What the command line asks for.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// Parts of the benchmark, in the order they run.
pub const BLOCKS: [&str; 8] =
    ["close", "import", "pages", "night", "mail", "memory", "cost", "balance"];

/// What is said to whoever asks for something else.
pub const HELP: &str = "\
cargo bench --bench month_end -- [arguments]
  --organizations N   how many organizations (20000)
  --events N          usage events of each, on average (100)
  --repeats N         runs of each side; the medians count (3)
  --times N           memory and cost compare so many organizations with N times as many (10)
  --only A,B          of: close, import, pages, night, mail, memory, cost, balance
  --engine NAME       sqlite or postgres; without it both
  --typst PATH        the executable of tests/speed/typst, for the pages
  --help              this text";

/// What is measured, and how much of it.
#[derive(Debug, Clone)]
pub struct Arguments {
    pub organizations: usize,
    pub events: usize,
    pub repeats: usize,
    pub times: usize,
    pub only: Vec<String>,
    pub engine: Option<String>,
    pub typst: Option<PathBuf>,
}

impl Arguments {
    /// None: only the help is wanted, or nothing at all was said, as `cargo test --all-targets` does.
    pub fn read(given: impl Iterator<Item = String>) -> Result<Option<Self>> {
        let mut arguments = Self {
            organizations: 20_000,
            events: 100,
            repeats: 3,
            times: 10,
            only: Vec::new(),
            engine: None,
            typst: None,
        };
        let mut given = given.peekable();
        if given.peek().is_none() {
            return Ok(None);
        }
        while let Some(name) = given.next() {
            let mut value = || given.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                // What cargo says to every benchmark.
                "--bench" => {}
                "--help" => return Ok(None),
                "--organizations" => arguments.organizations = count(&name, &value()?, 100)?,
                "--events" => arguments.events = count(&name, &value()?, 10)?,
                "--repeats" => arguments.repeats = count(&name, &value()?, 1)?,
                "--times" => arguments.times = count(&name, &value()?, 2)?,
                "--only" => arguments.only = value()?.split(',').map(str::to_owned).collect(),
                "--engine" => arguments.engine = Some(value()?),
                "--typst" => arguments.typst = Some(value()?.into()),
                _ => bail!("{name} is not an argument; there are:\n{HELP}"),
            }
        }
        if let Some(unknown) = arguments.only.iter().find(|name| !BLOCKS.contains(&name.as_str())) {
            bail!("{unknown:?} is not a part; there are: {}", BLOCKS.join(", "));
        }
        if let Some(engine) = arguments.engine.as_deref()
            && !["sqlite", "postgres"].contains(&engine)
        {
            bail!("{engine:?} is not an engine; there are: sqlite, postgres");
        }
        Ok(Some(arguments))
    }

    /// Is this part to run?
    pub fn wants(&self, block: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == block)
    }

    /// Is this engine to be measured?
    pub fn measures(&self, engine: &str) -> bool {
        self.engine.as_deref().is_none_or(|name| name == engine)
    }
}

fn count(name: &str, text: &str, least: usize) -> Result<usize> {
    match text.parse() {
        Ok(count) if count >= least => Ok(count),
        _ => bail!("{name} {text}: a whole number from {least} on is needed"),
    }
}
