//! What a measured part took: time, processor, memory; and whether the machine stayed the same meanwhile.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

/// Commits of one burst of a probe.
const PROBE_COMMITS: u32 = 200;
/// Bursts of a probe; the median counts.
const PROBE_BURSTS: usize = 3;
/// Rounds of one burst: some 30 ms.
const SPIN_ROUNDS: u64 = 20_000_000;
/// Ticks of a processor second in `/proc`: the same on every Linux machine.
const TICKS: f64 = 100.0;

/// What one child measured. It is the one line it prints.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Measured {
    /// Wall time.
    pub seconds: f64,
    /// Processor time of this process.
    pub cpu: f64,
    /// Most memory it held since the part began.
    pub peak_kib: u64,
    /// How much was done.
    pub count: u64,
    /// What was invoiced, in minor units, or another figure both sides must come to.
    pub total: i64,
    /// The same of the sample that naive loops do.
    pub sample: i64,
    /// Times of parts, by name.
    #[serde(default)]
    pub parts: BTreeMap<String, f64>,
}

impl Measured {
    /// Done per second.
    pub fn rate(&self) -> f64 {
        per_second(self.count, self.seconds)
    }
}

/// A part that is being measured.
pub struct Meter {
    began: Instant,
    cpu: f64,
}

impl Meter {
    /// Begins now; the peak of memory is taken from here on.
    pub fn start() -> Result<Self> {
        // Where the kernel refuses it the peak counts from the process's beginning.
        let clear = std::fs::File::options().write(true).open("/proc/self/clear_refs");
        if let Ok(mut clear) = clear {
            let _ = std::io::Write::write_all(&mut clear, b"5");
        }
        Ok(Self { cpu: cpu()?, began: Instant::now() })
    }

    /// Ends now.
    pub fn stop(&self, count: usize) -> Result<Measured> {
        Ok(Measured {
            seconds: self.began.elapsed().as_secs_f64(),
            cpu: cpu()? - self.cpu,
            peak_kib: peak_kib()?,
            count: count as u64,
            ..Measured::default()
        })
    }
}

/// Processor seconds of this process so far.
pub fn cpu() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    // The name, in brackets, may hold spaces.
    let after = stat.rsplit_once(')').context("/proc/self/stat has no name")?.1;
    let field = |place: usize| -> Result<f64> {
        let text = after.split_whitespace().nth(place).context("/proc/self/stat is short")?;
        Ok(text.parse()?)
    };
    Ok((field(11)? + field(12)?) / TICKS)
}

fn peak_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let text = line.context("no VmHWM")?.trim().trim_end_matches(" kB").trim();
    Ok(text.parse()?)
}

/// Load of the last minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default()
}

/// Small durable commits per second in a folder, now.
pub fn probe(folder: &Path) -> Result<f64> {
    let home = tempfile::tempdir_in(folder)?;
    let connection = Connection::open(home.path().join("probe.db"))?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a INTEGER PRIMARY KEY)",
    )?;
    let mut insert = connection.prepare("INSERT INTO t DEFAULT VALUES")?;
    let mut rates = Vec::new();
    for _ in 0..PROBE_BURSTS {
        let began = Instant::now();
        for _ in 0..PROBE_COMMITS {
            insert.execute([])?;
        }
        rates.push(f64::from(PROBE_COMMITS) / began.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// Rounds of a fixed sum per microsecond on one core, now: tells others' work, which commits do not.
pub fn spin() -> f64 {
    let rates = (0..PROBE_BURSTS).map(|_| {
        let began = Instant::now();
        let mut sum = 1_u64;
        for round in 0..SPIN_ROUNDS {
            sum = std::hint::black_box(sum.wrapping_mul(6_364_136_223_846_793_005) ^ round);
        }
        SPIN_ROUNDS as f64 / (began.elapsed().as_secs_f64() * 1e6)
    });
    median(rates.collect())
}

/// A rate; none in no time.
pub fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// The middle one; of an even number the upper.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}
