//! Sides of a comparison, what is printed of them, and the table at the end.

use std::path::Path;

use anyhow::{Result, ensure};

use crate::measure::{self, Measured, median, per_second};

/// Two sides are compared while the machine's commits differ by at most this.
const STEADY: f64 = 1.5;

/// One side of a comparison: what it took, and how the machine was around it.
#[derive(Debug, Default)]
pub struct Side {
    pub name: String,
    pub runs: Vec<Measured>,
    probes: Vec<f64>,
    spins: Vec<f64>,
    loads: Vec<f64>,
}

impl Side {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Runs once, between two probes in the folder where its database is.
    pub fn run(
        &mut self,
        folder: &Path,
        part: impl FnOnce() -> Result<Measured>,
    ) -> Result<&Measured> {
        rustix::fs::sync();
        self.look(folder)?;
        self.loads.push(measure::load());
        self.runs.push(part()?);
        rustix::fs::sync();
        self.look(folder)?;
        Ok(&self.runs[self.runs.len() - 1])
    }

    /// How fast the machine is now.
    fn look(&mut self, folder: &Path) -> Result<()> {
        self.probes.push(measure::probe(folder)?);
        self.spins.push(measure::spin());
        Ok(())
    }

    fn median_of(&self, figure: impl Fn(&Measured) -> f64) -> f64 {
        median(self.runs.iter().map(figure).collect())
    }

    /// Done per second.
    pub fn rate(&self) -> f64 {
        self.median_of(Measured::rate)
    }

    pub fn seconds(&self) -> f64 {
        self.median_of(|run| run.seconds)
    }

    /// Processor seconds for one.
    pub fn cpu(&self) -> f64 {
        self.median_of(|run| if run.count == 0 { 0.0 } else { run.cpu / run.count as f64 })
    }

    /// Most memory, in MiB.
    pub fn peak(&self) -> f64 {
        self.median_of(|run| run.peak_kib as f64 / 1_024.0)
    }

    /// The median time of a part.
    pub fn part(&self, name: &str) -> f64 {
        self.median_of(|run| run.parts.get(name).copied().unwrap_or_default())
    }

    /// Small durable commits per second around it.
    fn probe(&self) -> f64 {
        median(self.probes.clone())
    }

    /// How fast one core computed around it.
    fn spin(&self) -> f64 {
        median(self.spins.clone())
    }

    /// One line.
    pub fn print(&self, what: &str) {
        let rates: Vec<f64> = self.runs.iter().map(Measured::rate).collect();
        let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rates.iter().copied().fold(0.0, f64::max);
        say(&format!(
            "  {:<44} {:>10} {what}/s ({}–{})  cpu {:>7.1} µs each  peak {:>5.0} MiB  load {:.1}  probe {}/s  core {:.0}",
            self.name,
            grouped(self.rate()),
            grouped(low),
            grouped(high),
            self.cpu() * 1e6,
            self.peak(),
            median(self.loads.clone()),
            grouped(self.probe()),
            self.spin(),
        ));
    }
}

/// Both sides must have come to the same.
pub fn same(what: &str, ours: i64, other: i64) -> Result<()> {
    ensure!(ours == other, "{what}: ours {ours}, the comparator {other}: not the same work");
    Ok(())
}

/// What was aimed at.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the table at the end.
#[derive(Debug)]
struct Row {
    name: &'static str,
    what: String,
    found: Result<f64, String>,
    unit: &'static str,
    target: Option<Target>,
}

/// The table at the end.
#[derive(Debug, Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Ours divided by the comparator's, if the machine was the same for both.
    pub fn ratio(
        &mut self,
        (name, what): (&'static str, &str),
        (ours, other): (&Side, &Side),
        (ours_figure, other_figure): (f64, f64),
        target: impl Into<Option<Target>>,
    ) {
        let changed = |what: &str, a: f64, b: f64| {
            (a > b * STEADY || b > a * STEADY).then(|| {
                let (a, b) = (grouped(a), grouped(b));
                format!("no ratio: the machine changed under it ({what} {a} → {b}/s)")
            })
        };
        let found = changed("probe", ours.probe(), other.probe())
            .or_else(|| changed("core", ours.spin() * 1e6, other.spin() * 1e6))
            .map_or(Ok(if other_figure > 0.0 { ours_figure / other_figure } else { 0.0 }), Err);
        self.add(Row { name, what: what.to_owned(), found, unit: "×", target: target.into() });
    }

    /// A figure that needs no comparator.
    pub fn figure(
        &mut self,
        (name, what): (&'static str, &str),
        figure: f64,
        unit: &'static str,
        target: Option<Target>,
    ) {
        self.add(Row { name, what: what.to_owned(), found: Ok(figure), unit, target });
    }

    fn add(&mut self, row: Row) {
        say(&format!("  → {}", row.text()));
        self.0.push(row);
    }

    pub fn print(&self) {
        say("");
        for row in &self.0 {
            say(&row.text());
        }
    }
}

impl Row {
    fn text(&self) -> String {
        let Self { name, what, unit, .. } = self;
        let figure = match &self.found {
            Ok(figure) => *figure,
            Err(why) => return format!("{name:<4} {what:<60} {why}"),
        };
        let shown = if figure < 10.0 { format!("{figure:.3}") } else { grouped(figure) };
        let verdict = match self.target {
            None => String::new(),
            Some(Target::AtLeast(least)) => {
                let word = if figure >= least { "met" } else { "below" };
                format!("(target ≥ {least}{unit})  {word}")
            }
            Some(Target::AtMost(most)) => {
                let word = if figure <= most { "met" } else { "above" };
                format!("(target ≤ {most}{unit})  {word}")
            }
        };
        format!("{name:<4} {what:<60} {shown:>9}{unit}  {verdict}")
    }
}

/// `12,345`.
pub fn grouped(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a run of several at once did.
pub fn together(runs: &[Measured], count: u64) -> Measured {
    let seconds = runs.iter().map(|run| run.seconds).fold(0.0, f64::max);
    let rate = per_second(count, seconds);
    let mut all = Measured { seconds, count, ..Measured::default() };
    all.cpu = runs.iter().map(|run| run.cpu).sum();
    all.peak_kib = runs.iter().map(|run| run.peak_kib).max().unwrap_or_default();
    all.parts.insert("rate".to_owned(), rate);
    if let Some(first) = runs.first() {
        (all.total, all.sample) = (first.total, first.sample);
    }
    all
}

/// A line for the person who waits.
#[expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
pub fn say(line: &str) {
    println!("{line}");
}
