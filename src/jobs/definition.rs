//! Job definitions: what runs, when, in which order, how it is retried (`jobs/*.toml`).

use std::path::Path;

use chrono::Duration;
use chrono_tz::Tz;
use serde::Deserialize;

use super::StepKind;
use super::schedule::Pattern;
use crate::domain::dunning::Calendar;
use crate::intake::toml_lines::line_of;

/// The definitions the program ships with.
const EMBEDDED: [(&str, &str); 9] = [
    ("admission.toml", include_str!("../../jobs/admission.toml")),
    ("alerts.toml", include_str!("../../jobs/alerts.toml")),
    ("expiry_notices.toml", include_str!("../../jobs/expiry_notices.toml")),
    ("monthly_close.toml", include_str!("../../jobs/monthly_close.toml")),
    ("import_inbox.toml", include_str!("../../jobs/import_inbox.toml")),
    ("purchases.toml", include_str!("../../jobs/purchases.toml")),
    ("recharge.toml", include_str!("../../jobs/recharge.toml")),
    ("retry_payments.toml", include_str!("../../jobs/retry_payments.toml")),
    ("card_readiness.toml", include_str!("../../jobs/card_readiness.toml")),
];

/// When a job is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// When a cycle of an organization has ended, grace included.
    CycleEnd,
    /// At the instants of a cron pattern in a zone.
    Schedule {
        /// Which instants.
        pattern: Pattern,
        /// The zone the fields are read in.
        zone: Tz,
    },
    /// When something asks for it.
    OnDemand,
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its name: `monthly_close`.
    pub name: String,
    /// What it does.
    pub description: String,
    /// When it is due.
    pub due: Due,
    /// It looks at everyone and mostly finds nothing: reported only when it found something.
    pub watch: bool,
    /// A due instant that was missed by more than so many hours is left out.
    pub stale_after_hours: Option<u16>,
    /// More missed cycles than this wait for a confirmation.
    pub max_catch_up: u32,
    /// Organizations per transaction.
    pub chunk_organizations: usize,
    /// Its steps, in order.
    pub steps: Vec<StepKind>,
    /// How failures are tried again.
    pub retry: Retry,
    /// The calendar of unpaid invoices, where this job works through it.
    pub dunning: Option<Calendar>,
}

impl Job {
    /// The step a due run begins with.
    #[must_use]
    pub fn first_step(&self) -> StepKind {
        // A definition without steps is refused when it is read.
        self.steps.first().copied().unwrap_or(StepKind::Close)
    }
}

/// How a failed step is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts before it is parked.
    pub attempts: u32,
    /// Seconds before the second attempt; doubles each time.
    pub first_delay_s: u32,
    /// Most seconds between two attempts.
    pub max_delay_s: u32,
}

impl Retry {
    /// How long to wait after `attempts` failed ones. `spread` (0–255) varies it by ±20 %, so that a
    /// thousand steps that failed together do not come back together.
    #[must_use]
    pub fn delay(&self, attempts: i64, spread: u8) -> Duration {
        let doublings = u32::try_from(attempts.clamp(1, 20)).unwrap_or(20) - 1;
        let seconds = i64::from(self.first_delay_s) << doublings;
        let millis = seconds.min(i64::from(self.max_delay_s)) * 1_000;
        let fifth = millis / 5;
        Duration::milliseconds(millis - fifth + 2 * fifth * i64::from(spread) / 255)
    }
}

/// Why job definitions cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A file cannot be read.
    #[error("{file}: {source}")]
    Read {
        /// Which file.
        file: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key or a value of the wrong type.
    #[error("{file}: {message}")]
    Syntax {
        /// Which file.
        file: String,
        /// Line, column and problem.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{file}: line {line}: {field}: {problem}")]
    Value {
        /// Which file.
        file: String,
        /// The line of the key, or of its section where the key is missing.
        line: usize,
        /// Which key.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    description: String,
    due: String,
    schedule: Option<String>,
    zone: Option<String>,
    #[serde(default)]
    watch: bool,
    stale_after_hours: Option<u16>,
    #[serde(default = "default_catch_up")]
    max_catch_up: u32,
    #[serde(default = "default_chunk")]
    chunk_organizations: usize,
    steps: Vec<String>,
    retry: Retry,
    dunning: Option<Calendar>,
}

const fn default_catch_up() -> u32 {
    2
}

const fn default_chunk() -> usize {
    1_000
}

/// All jobs: the embedded ones, each replaced by a file of the same name in `directory`, and those
/// that are only there.
///
/// # Errors
/// The first file that cannot be used, with file, line and field.
pub fn load(directory: Option<&Path>) -> Result<Vec<Job>, DefinitionError> {
    // Name of the file, the file as errors name it, text.
    let mut texts: Vec<(String, String, String)> = EMBEDDED
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*name).to_owned(), (*text).to_owned()))
        .collect();
    if let Some(directory) = directory {
        for (name, text) in files_of(directory)? {
            texts.retain(|(known, _, _)| *known != name);
            let path = directory.join(&name).display().to_string();
            texts.push((name, path, text));
        }
    }
    let mut jobs: Vec<Job> =
        texts.iter().map(|(_, file, text)| parse(file, text)).collect::<Result<_, _>>()?;
    jobs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(jobs)
}

fn files_of(directory: &Path) -> Result<Vec<(String, String)>, DefinitionError> {
    let read = |source| DefinitionError::Read { file: directory.display().to_string(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let file = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|source| DefinitionError::Read { file, source })?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, text));
    }
    files.sort();
    Ok(files)
}

/// Reads one definition.
///
/// # Errors
/// With file, line and field.
pub fn parse(file: &str, text: &str) -> Result<Job, DefinitionError> {
    let parsed: File = toml::from_str(text).map_err(|error| DefinitionError::Syntax {
        file: file.to_owned(),
        message: error.to_string(),
    })?;
    let value = |field, problem| {
        let line = line_of(text, field);
        DefinitionError::Value { file: file.to_owned(), line, field, problem }
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if parsed.name.is_empty() || !parsed.name.bytes().all(plain) {
        return Err(value(
            "name",
            format!("{:?} must be lower-case letters, digits and _", parsed.name),
        ));
    }
    if Path::new(file).file_name() != Some(format!("{}.toml", parsed.name).as_ref()) {
        return Err(value(
            "name",
            format!("{:?} must be the file's name without .toml", parsed.name),
        ));
    }
    if parsed.steps.is_empty() {
        return Err(value("steps", "must name at least one step".to_owned()));
    }
    let mut steps = Vec::new();
    for step in &parsed.steps {
        let kind = step.parse().map_err(|problem: String| value("steps", problem))?;
        steps.push(kind);
    }
    if !(1..=5_000).contains(&parsed.chunk_organizations) {
        return Err(value("chunk_organizations", "must be from 1 to 5000".to_owned()));
    }
    if !(1..=100).contains(&parsed.retry.attempts) || parsed.retry.first_delay_s == 0 {
        let problem = "attempts must be from 1 to 100, first_delay_s at least 1".to_owned();
        return Err(value("retry.attempts", problem));
    }
    if let Some((field, problem)) = parsed.dunning.as_ref().and_then(Calendar::problem) {
        return Err(value(field, problem));
    }
    let due = due(&parsed).map_err(|(field, problem)| value(field, problem))?;
    Ok(Job {
        name: parsed.name,
        description: parsed.description,
        due,
        watch: parsed.watch,
        stale_after_hours: parsed.stale_after_hours,
        max_catch_up: parsed.max_catch_up,
        chunk_organizations: parsed.chunk_organizations,
        steps,
        retry: parsed.retry,
        dunning: parsed.dunning,
    })
}

fn due(file: &File) -> Result<Due, (&'static str, String)> {
    let zone = match &file.zone {
        None => Tz::UTC,
        Some(name) => name.parse().map_err(|_| {
            ("zone", format!("{name:?} is not an IANA time zone (like Europe/Berlin)"))
        })?,
    };
    match (file.due.as_str(), &file.schedule) {
        ("cycle_end", None) => Ok(Due::CycleEnd),
        ("on_demand", None) => Ok(Due::OnDemand),
        ("schedule", Some(pattern)) => {
            let pattern = pattern.parse().map_err(|problem| ("schedule", problem))?;
            Ok(Due::Schedule { pattern, zone })
        }
        ("schedule", None) => {
            Err(("schedule", "is missing; a cron pattern of 5 fields".to_owned()))
        }
        (_, Some(_)) => Err(("schedule", "is only for due = \"schedule\"".to_owned())),
        (other, None) => {
            Err(("due", format!("{other:?} must be \"cycle_end\", \"schedule\" or \"on_demand\"")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_definitions_are_valid() {
        let jobs = load(None).unwrap();
        let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
        assert_eq!(names.len(), EMBEDDED.len());
        for job in ["import_inbox", "monthly_close", "purchases", "retry_payments"] {
            assert!(names.contains(&job), "{names:?}");
        }
        assert!(
            jobs.iter().filter_map(|job| job.dunning.as_ref()).all(|d| *d == Calendar::default())
        );
    }

    #[test]
    fn mistakes_name_file_field_and_what_is_allowed() {
        let good = include_str!("../../jobs/import_inbox.toml");
        for (from, to, expected) in [
            ("zone = \"UTC\"", "zone = \"Mars\"", "zone: \"Mars\" is not an IANA time zone"),
            ("*/5 * * * *", "61 * * * *", "schedule: "),
            ("\"import_usage\"", "\"imprt\"", "steps: \"imprt\" is not a step"),
            ("due = \"schedule\"", "due = \"daily\"", "schedule: is only for"),
            ("zone =", "zoen =", "unknown field `zoen`"),
        ] {
            let error =
                parse("import_inbox.toml", &good.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("import_inbox.toml"), "{error}");
        }
    }

    #[test]
    fn delays_double_up_to_the_limit_and_spread() {
        let retry = Retry { attempts: 12, first_delay_s: 5, max_delay_s: 3600 };
        assert_eq!(retry.delay(1, 0), Duration::milliseconds(4_000));
        assert_eq!(retry.delay(1, 255), Duration::milliseconds(6_000));
        assert_eq!(retry.delay(3, 127).num_seconds(), 19);
        assert!(retry.delay(60, 255) <= Duration::seconds(4_320));
    }
}
