//! What battles are fought over: a server, and a prepared deployment that is copied for each.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chrono::{Datelike as _, Months, NaiveDate, Utc};

use super::history;
use crate::cluster::Cluster;
use crate::home::{Home, copy_folder};
use crate::provider::Provider;
use crate::sink::Sink;

const PREPARED: &str = "prepared";
const FIGHT: &str = "fight";
/// Every so many organizations have a card that is declined, and one whose provider answers too late.
const ODD_CARDS_EVERY: u64 = 25;

/// The place and its measures.
pub struct Stage {
    pub cluster: Cluster,
    pub binary: PathBuf,
    pub folder: PathBuf,
    pub processes: u64,
    pub organizations: u64,
    pub months: u32,
    pub lease_s: u64,
    prepared: Home,
}

/// How large it is.
#[derive(Debug, Clone, Copy)]
pub struct Measures {
    pub processes: u64,
    pub workers: u64,
    pub organizations: u64,
    pub months: u32,
    pub lease_s: u64,
}

impl Stage {
    /// Starts a server and prepares organizations that joined some months ago, none of whose months is closed.
    pub fn prepare(binary: PathBuf, folder: PathBuf, measures: Measures) -> Result<Self> {
        let cluster = Cluster::start(&folder.join("server"))?;
        // When a change was committed is what recoveries are measured by.
        cluster.sql("postgres", "ALTER SYSTEM SET track_commit_timestamp = on")?;
        cluster.stop_immediately()?;
        cluster.begin()?;
        cluster.create(PREPARED, None)?;
        let home = Home {
            folder: folder.join(PREPARED),
            binary: binary.clone(),
            database: Some(cluster.address(PREPARED)),
        };
        let Measures { processes, organizations, months, lease_s, .. } = measures;
        let stage = Self {
            cluster,
            binary,
            folder,
            processes,
            organizations,
            months,
            lease_s,
            prepared: home,
        };
        stage.found(measures)?;
        history::begin(&stage.cluster, PREPARED)?;
        Ok(stage)
    }

    fn found(&self, measures: Measures) -> Result<()> {
        let home = &self.prepared;
        std::fs::create_dir_all(home.folder.join("jobs"))?;
        let joined = first_day(self.months)?;
        let now = format!("{joined}T09:00:00Z");
        home.done(Some(&now), &["init"])?;
        let job = edited(
            include_str!("../../../jobs/monthly_close.toml"),
            &[
                ("max_catch_up = 2", "max_catch_up = 1000"),
                ("chunk_organizations = 1000", "chunk_organizations = 10"),
            ],
        )?;
        home.write("jobs/monthly_close.toml", &job)?;
        let path = home.folder.join("monthend.toml");
        let workers = format!("\nworkers = {}", measures.workers);
        let lease = format!("\nlease_s = {}", measures.lease_s);
        let text = edited(
            &std::fs::read_to_string(&path)?,
            &[
                ("# jobs_dir", "jobs_dir"),
                ("\nworkers = 2", &workers),
                ("\nheartbeat_s = 30", "\nheartbeat_s = 1"),
                ("\nlease_s = 60", &lease),
                ("\ntimeout_s = 30", "\ntimeout_s = 2"),
            ],
        )?;
        home.write("monthend.toml", &text)?;
        let provider = Provider::start(&self.binary)?;
        let sink = Sink::start()?;
        home.connect(&provider.base_url, sink.port)?;
        let mut rows = String::from("id,name,billing_email,plan,joined_on,payment_method\n");
        for ordinal in 0..self.organizations {
            let (id, card) = (organization(ordinal), card(ordinal));
            rows.push_str(&format!(
                "{id},The {id} company,billing@{id}.example,standard,{joined},cus_{id}/{card}\n"
            ));
        }
        home.write("organizations.csv", &rows)?;
        let file = home.folder.join("organizations.csv").display().to_string();
        home.done(Some(&now), &["org", "import", &file])?;
        let mut usage = String::from("id,organization,at,meter,executions\n");
        for ordinal in 0..self.organizations {
            let id = organization(ordinal);
            usage.push_str(&format!("1,{id},{joined}T10:00:00Z,prompt,100\n"));
        }
        home.write("usage.csv", &usage)?;
        let file = home.folder.join("usage.csv").display().to_string();
        home.done(Some(&format!("{joined}T12:00:00Z")), &["usage", "import", &file])?;
        Ok(())
    }

    /// A copy of the prepared deployment, for one battle.
    pub fn fresh_home(&self, provider: &Provider, sink: &Sink) -> Result<Home> {
        let folder = self.folder.join(FIGHT);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        copy_folder(&self.prepared.folder, &folder)?;
        self.cluster.create(FIGHT, Some(PREPARED))?;
        let database = Some(self.cluster.address(FIGHT));
        let home = Home { folder, binary: self.binary.clone(), database };
        home.connect(&provider.base_url, sink.port)?;
        Ok(home)
    }

    /// The database of the battle.
    #[expect(clippy::unused_self, reason = "it is the stage's to say")]
    pub const fn database(&self) -> &'static str {
        FIGHT
    }

    /// A killed worker's step is taken again within so many seconds.
    pub fn bound_s(&self) -> f64 {
        f64::from(u32::try_from(self.lease_s).unwrap_or(u32::MAX)) + 5.0
    }

    /// Is every ended month closed, and no step waiting?
    pub fn is_done(&self) -> Result<bool> {
        let closed = self.count("billing_cycle WHERE state = 'closed'")?;
        Ok(closed == self.organizations * u64::from(self.months)
            && self.count("step WHERE state IN ('ready', 'leased')")? == 0)
    }

    /// What is left to do, for a report.
    pub fn what_waits(&self) -> Result<String> {
        self.cluster.sql(
            FIGHT,
            "SELECT kind, state, COUNT(*), MIN(next_at), MIN(lease_until), MAX(attempts), MAX(error) FROM step \
             WHERE state <> 'done' GROUP BY kind, state",
        )
    }

    /// The number of rows a condition finds in the battle's database.
    pub fn count(&self, what: &str) -> Result<u64> {
        let said = self.cluster.sql(FIGHT, &format!("SELECT COUNT(*) FROM {what}"))?;
        said.parse().with_context(|| format!("{what}: {said}"))
    }

    /// How many of the organizations have a card that pays.
    pub fn paying(&self) -> u64 {
        let pays = |ordinal: &u64| card(*ordinal) != "pm_card_declined";
        u64::try_from((0..self.organizations).filter(pays).count()).unwrap_or(u64::MAX)
    }
}

fn organization(ordinal: u64) -> String {
    format!("org-{ordinal:04}")
}

const fn card(ordinal: u64) -> &'static str {
    match ordinal % ODD_CARDS_EVERY {
        7 => "pm_card_declined",
        13 => "pm_card_timeout_after",
        _ => "pm_card_visa",
    }
}

/// The first day of the month so many months ago.
fn first_day(months: u32) -> Result<NaiveDate> {
    let today = Utc::now().date_naive();
    let first = today.with_day(1).context("a first day")?;
    first.checked_sub_months(Months::new(months)).context("too many months")
}

/// A text with replacements, each of which must find its place.
fn edited(text: &str, edits: &[(&str, &str)]) -> Result<String> {
    let mut text = text.to_owned();
    for (from, to) in edits {
        ensure!(text.contains(from), "{from:?} is not there any more");
        text = text.replacen(from, to, 1);
    }
    Ok(text)
}
