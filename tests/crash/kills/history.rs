//! What became of each step, as the database saw it: every change of state or epoch, who made it, and
//! when it was committed.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::serve::Signal;
use crate::cluster::Cluster;

/// Notes each change of a step in the transaction that makes it. It sees what the program does and
/// changes nothing of it; what is rolled back is not noted.
const NOTE: &str = "
CREATE UNLOGGED TABLE kills_note (seq BIGSERIAL PRIMARY KEY, step TEXT NOT NULL, kind TEXT NOT NULL,
    state TEXT NOT NULL, epoch BIGINT NOT NULL, process TEXT NOT NULL, xid xid NOT NULL);
CREATE FUNCTION kills_note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO kills_note (step, kind, state, epoch, process, xid) VALUES (NEW.id, NEW.kind, NEW.state,
        NEW.epoch, COALESCE(current_setting('kills.process', true), ''), pg_current_xact_id()::xid);
    RETURN NULL;
END $$;
CREATE TRIGGER kills_note AFTER UPDATE ON step FOR EACH ROW
    WHEN (OLD.state <> NEW.state OR OLD.epoch <> NEW.epoch) EXECUTE FUNCTION kills_note();
";

const READ: &str = "SELECT step, kind, state, epoch, process, \
    CAST(EXTRACT(EPOCH FROM pg_xact_commit_timestamp(xid)) * 1000000 AS BIGINT) \
    FROM kills_note ORDER BY seq";

/// A change of a step.
#[derive(Debug, Clone)]
pub struct Change {
    pub kind: String,
    pub state: String,
    pub epoch: i64,
    /// Number of the process that made it; 0: a command.
    pub process: u64,
    /// When it was committed, in microseconds since 1970.
    pub at: i64,
}

/// A signal that took a process off its work.
#[derive(Debug, Clone)]
pub struct Strike {
    pub process: u64,
    pub signal: Signal,
    /// When, in microseconds since 1970; of SIGTERM: when the process had ended.
    pub at: i64,
    /// When a stopped process went on.
    pub resumed_at: Option<i64>,
}

/// What the changes say.
#[derive(Debug, Default)]
pub struct Findings {
    /// Seconds from a strike to the moment another worker held the step, and which step it was.
    pub recoveries: Vec<(f64, String)>,
    /// Steps of stopped processes that another had taken over when they went on.
    pub zombies: usize,
    /// Steps taken from processes that were alive: the machine was too slow for the lease.
    pub from_the_living: usize,
    /// What must not be.
    pub problems: Vec<String>,
}

/// Begins to note changes; commit times are kept from here on.
pub fn begin(cluster: &Cluster, database: &str) -> Result<()> {
    cluster.sql(database, NOTE).map(drop)
}

/// All changes so far, by step.
pub fn read(cluster: &Cluster, database: &str) -> Result<BTreeMap<String, Vec<Change>>> {
    let mut steps: BTreeMap<String, Vec<Change>> = BTreeMap::new();
    for line in cluster.sql(database, READ)?.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let [step, kind, state, epoch, process, at] = cells[..] else {
            anyhow::bail!("not a change of a step: {line}");
        };
        let change = Change {
            kind: kind.to_owned(),
            state: state.to_owned(),
            epoch: epoch.parse()?,
            process: process.parse().unwrap_or_default(),
            at: at.parse().with_context(|| format!("no time of commit: {line}"))?,
        };
        steps.entry(step.to_owned()).or_default().push(change);
    }
    Ok(steps)
}

/// Holds the changes against the strikes: each step done once and by its holder, every step of a process
/// that was taken off its work taken again within `bound_s`.
pub fn judge(steps: &BTreeMap<String, Vec<Change>>, strikes: &[Strike], bound_s: f64) -> Findings {
    let mut findings = Findings::default();
    for (step, changes) in steps {
        let done = changes.iter().filter(|change| change.state == "done").count();
        let last = changes.last().map_or("", |change| change.state.as_str());
        if done != 1 || last != "done" {
            findings
                .problems
                .push(format!("{step} was done {done} times and is {last}: {changes:?}"));
        }
        for pair in changes.windows(2) {
            let [before, after] = pair else { continue };
            judge_pair(step, before, after, strikes, bound_s, &mut findings);
        }
    }
    findings
}

fn judge_pair(
    step: &str,
    before: &Change,
    after: &Change,
    strikes: &[Strike],
    bound_s: f64,
    findings: &mut Findings,
) {
    let claims = after.state == "leased" && after.epoch == before.epoch + 1;
    let ends = before.state == "leased"
        && after.state != "leased"
        && (after.epoch, after.process) == (before.epoch, before.process);
    if before.state == "done" || !(claims || ends) {
        let what = format!("{step} changed as nobody may change it: {before:?}, then {after:?}");
        findings.problems.push(what);
        return;
    }
    if before.state != "leased" {
        return;
    }
    if after.process == before.process {
        // Nobody else took it: then it was not left lying for longer than it may.
        let lay = strikes.iter().filter_map(|strike| Some((strike, strike.resumed_at?))).find(
            |(strike, resumed_at)| {
                strike.process == before.process
                    && before.at <= strike.at
                    && *resumed_at <= after.at
                    && seconds(resumed_at - strike.at) > bound_s
            },
        );
        if let Some((strike, resumed_at)) = lay {
            let lay = seconds(resumed_at - strike.at);
            findings.problems.push(format!(
                "{} {step} of stopped process {} was not taken again within {lay:.1} s",
                before.kind, before.process
            ));
        }
        return;
    }
    let mut own = strikes.iter().filter(|strike| strike.process == before.process);
    // The strike that lasted when the step was taken over, or the last one before.
    let of = own.rfind(|strike| strike.at <= after.at);
    let Some(strike) = of.filter(|strike| strike.resumed_at.is_none_or(|at| at > before.at)) else {
        findings.from_the_living += 1;
        return;
    };
    if strike.signal == Signal::Stop && strike.resumed_at.is_none_or(|at| at > after.at) {
        findings.zombies += 1;
    }
    let seconds = seconds(after.at - strike.at.max(before.at));
    let what = format!(
        "{} {step} of process {} after {}",
        before.kind,
        before.process,
        strike.signal.name()
    );
    if seconds > bound_s {
        findings.problems.push(format!("{what} was taken again only after {seconds:.1} s"));
    }
    findings.recoveries.push((seconds, what));
}

/// Microseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "a battle lasts minutes")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
