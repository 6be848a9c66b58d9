//! A monthly cycle of three organizations, command by command, and the worlds it is played in.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Duration, SecondsFormat};
use serde_json::Value;

use crate::checks;
use crate::cluster::Cluster;
use crate::home::{Answer, Home, copy_folder};
use crate::options::{Edges, PointsOptions};
use crate::provider::{Booked, Provider};
use crate::sink::{Accepted, Sink};

/// Who takes part: one pays by card and buys credits, one's card is declined, one transfers.
pub const ORGANIZATIONS: [&str; 3] = ["crash-studio", "crash-robotics", "crash-evals"];

const HEADER: &str = "id,name,billing_email,plan,joined_on,zone,currency,country,address,tax_id,tax_percent,payment_method";

const USAGE: &str = "\
id,organization,at,meter,source,project,environment,executions,rows,characters,gpu_hours,gigabytes
u1,crash-evals,2026-01-07T09:00:00Z,log,platform,,production,5000,,,,
u2,crash-evals,2026-01-08T09:00:00Z,offline_eval,platform,,production,,40,,,
u3,crash-studio,2026-01-08T08:00:00Z,translation,platform,,production,,,24000000,,
u4,crash-studio,2026-01-09T08:00:00Z,training,platform,,production,,,,20,
u5,crash-robotics,2026-01-11T01:00:00Z,training,platform,,production,,,,180,
u6,crash-robotics,2026-01-12T01:00:00Z,data_processing,platform,,production,,,,,850
";

/// One command of the cycle.
pub struct Step {
    pub name: &'static str,
    pub now: &'static str,
    arguments: &'static [&'static str],
    /// Does an operator give the command again after a crash? A purchase is not repeated blindly.
    pub is_repeated: bool,
}

/// Commands in their order; `ORGS` and `USAGE` stand for the files.
pub const STEPS: [Step; 6] = [
    step("init", "2026-01-05T08:00:00Z", &["--quiet", "init"], true),
    step("org import", "2026-01-05T09:00:00Z", &["org", "import", "ORGS"], true),
    step("usage import", "2026-01-20T09:00:00Z", &["usage", "import", "USAGE"], true),
    step(
        "credits buy",
        PURCHASED,
        &["credits", "buy", "crash-studio", "--package", "small"],
        false,
    ),
    step("month tick", "2026-01-20T12:00:00Z", &["--json", "tick"], false),
    step("close tick", "2026-02-01T12:00:00Z", &["--json", "tick"], false),
];
const PURCHASED: &str = "2026-01-20T10:00:00Z";
/// The step that may be left out.
pub const PURCHASE: usize = 3;
/// When everything must be as it would have been.
pub const END: &str = "2026-02-01T23:00:00Z";

const fn step(
    name: &'static str,
    now: &'static str,
    arguments: &'static [&'static str],
    is_repeated: bool,
) -> Step {
    Step { name, now, arguments, is_repeated }
}

/// An instant some seconds later.
pub fn later(now: &str, seconds: i64) -> Result<String> {
    let at = DateTime::parse_from_rfc3339(now)? + Duration::seconds(seconds);
    Ok(at.to_utc().to_rfc3339_opts(SecondsFormat::Secs, true))
}

/// Where worlds are made from.
pub struct Cycle {
    binary: PathBuf,
    scratch: PathBuf,
    pub edges: Edges,
    pub cluster: Option<Cluster>,
}

/// A home at some step of the cycle, with the provider and the mail server it speaks to.
pub struct World {
    pub home: Home,
    /// For what belongs to no home.
    pub scratch: PathBuf,
    provider: Option<Provider>,
    sink: Option<Sink>,
}

impl Cycle {
    /// Plays the cycle once, undisturbed, and keeps the home before each command.
    pub fn new(options: &PointsOptions, scratch: &Path, cluster: Option<Cluster>) -> Result<Self> {
        let binary = options.common.binary();
        let edges = options.edges;
        let cycle = Self { binary, scratch: scratch.to_owned(), edges, cluster };
        let world = cycle.blank("first")?;
        for (number, step) in STEPS.iter().enumerate().take(cycle.kept() + 1) {
            if number > 0 {
                cycle.keep(&world, number)?;
            }
            if number < cycle.kept() {
                world.play(number, 0).with_context(|| step.name)?;
                world.connect()?;
            }
        }
        Ok(cycle)
    }

    /// The last step whose home can be kept: a provider of its own process forgets with its end, so what
    /// it is told is told anew in each world.
    const fn kept(&self) -> usize {
        match self.edges {
            Edges::Network => PURCHASE,
            Edges::Files => STEPS.len() - 1,
        }
    }

    /// A world before a step, under a worker's name; `skipping` leaves a step out on the way.
    pub fn world(&self, worker: &str, before: usize, skipping: Option<usize>) -> Result<World> {
        let world = self.blank(worker)?;
        let kept = before.min(self.kept()).min(skipping.unwrap_or(usize::MAX));
        if kept > 0 {
            copy_folder(&self.kept_folder(kept), &world.home.folder)?;
            if let Some(cluster) = &self.cluster {
                cluster.create(worker, Some(&format!("kept_{kept}")))?;
            }
            world.connect()?;
        }
        for number in (kept..before).filter(|number| Some(*number) != skipping) {
            world.play(number, 0)?;
            world.connect()?;
        }
        Ok(world)
    }

    fn blank(&self, worker: &str) -> Result<World> {
        let scratch = self.scratch.join(worker);
        let _ = fs::remove_dir_all(&scratch);
        fs::create_dir_all(&scratch)?;
        let database = self.cluster.as_ref().map(|cluster| cluster.address(worker));
        if let Some(cluster) = &self.cluster {
            cluster.create(worker, None)?;
        }
        let is_network = self.edges == Edges::Network;
        let world = World {
            home: Home { folder: scratch.join("home"), binary: self.binary.clone(), database },
            provider: is_network.then(|| Provider::start(&self.binary)).transpose()?,
            sink: is_network.then(Sink::start).transpose()?,
            scratch,
        };
        fs::write(world.scratch.join("orgs.csv"), organizations(is_network))?;
        fs::write(world.scratch.join("usage.csv"), USAGE)?;
        Ok(world)
    }

    fn keep(&self, world: &World, number: usize) -> Result<()> {
        copy_folder(&world.home.folder, &self.kept_folder(number))?;
        if let Some(cluster) = &self.cluster {
            cluster.create(&format!("kept_{number}"), Some("first"))?;
        }
        Ok(())
    }

    fn kept_folder(&self, number: usize) -> PathBuf {
        self.scratch.join(format!("kept-{number}"))
    }
}

impl World {
    /// The arguments of a step.
    pub fn arguments(&self, number: usize) -> Vec<String> {
        let file = |name: &str| self.scratch.join(name).display().to_string();
        let filled = STEPS[number].arguments.iter().map(|argument| match *argument {
            "ORGS" => file("orgs.csv"),
            "USAGE" => file("usage.csv"),
            other => other.to_owned(),
        });
        filled.collect()
    }

    /// A step, some seconds after its time; it must end with 0.
    pub fn play(&self, number: usize, seconds: i64) -> Result<Answer> {
        let arguments = self.arguments(number);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.home.done(Some(&later(STEPS[number].now, seconds)?), &arguments)
    }

    /// Tells the home where its provider and its mail server are.
    pub fn connect(&self) -> Result<()> {
        match (&self.provider, &self.sink) {
            (Some(provider), Some(sink)) => self.home.connect(&provider.base_url, sink.port),
            _ => Ok(()),
        }
    }

    /// What arrived at the mail server, or lies in the outbox.
    pub fn mails(&self) -> Result<Vec<Accepted>> {
        if let Some(sink) = &self.sink {
            return Ok(sink.accepted());
        }
        let mut mails = Vec::new();
        for entry in fs::read_dir(self.home.folder.join("outbox"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "eml") {
                let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
                let field = |name: &str| {
                    let found = text.lines().find_map(|line| line.strip_prefix(name));
                    found.map(|value| value.trim().to_owned()).unwrap_or_default()
                };
                mails.push(Accepted {
                    recipient: field("To:"),
                    subject: field("Subject:"),
                    message_id: field("Message-ID:"),
                });
            }
        }
        Ok(mails)
    }

    /// What the provider booked.
    pub fn books(&self) -> Result<Vec<Booked>> {
        if let Some(provider) = &self.provider {
            return provider.books();
        }
        let journal = fs::read_to_string(self.home.folder.join("sandbox-journal.jsonl"))?;
        // A torn last line was never answered.
        let whole = journal.rfind('\n').map_or("", |end| &journal[..end]);
        let mut books = Vec::new();
        for line in whole.lines() {
            let record: Value = serde_json::from_str(line)?;
            let text = |name| checks::text(&record, name).to_owned();
            let is_taken = record["outcome"].to_string().to_lowercase().contains("succeeded");
            books.push(Booked {
                reference: text("reference"),
                key: text("key"),
                organization: text("organization"),
                amount: 0,
                currency: checks::text(&record["amount"], "currency").to_owned(),
                is_taken,
            });
        }
        ensure!(!books.is_empty(), "the journal is empty");
        Ok(books)
    }
}

fn organizations(is_network: bool) -> String {
    let (good, bad) = if is_network {
        ("cus_crash-studio/pm_card_visa", "cus_crash-robotics/pm_card_declined")
    } else {
        ("pm_sandbox_ok", "pm_sandbox_declined")
    };
    format!(
        "{HEADER}\n\
         crash-studio,Beispiel-Studio Łódź GmbH,rechnung@studio.example;office@studio.example,standard,2026-01-01,\
         Europe/Berlin,EUR,DE,Beispielweg 1|10115 Berlin,DE000000000,19,{good}\n\
         crash-robotics,Example Robotics Inc.,ap@robotics.example,professional,2026-01-01,America/New_York,USD,US,\
         1 Example Avenue|Boston,,6.25,{bad}\n\
         crash-evals,Example Evaluations,billing@evals.example,standard,2026-01-01,UTC,GBP,GB,\
         1 Example Street|London,,20,\n"
    )
}
