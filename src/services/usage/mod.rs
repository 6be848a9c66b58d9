//! Usage comes in: read, rated exactly, stored once, rolled up; or set aside with a reason.
//!
//! Every row ends accepted, duplicate or quarantined; nothing is dropped and nothing is priced at zero
//! for want of a rate.

mod quarantined;
mod reading;
mod running_out;

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

pub use quarantined::{Retried, Which, dismiss, dismissed, quarantined, retry_quarantine};
use reading::{Ahead, Batch, Row};
use running_out::{Learned, RunningOut};

use super::ServiceError;
use super::catalogs::{self, History};
use crate::app::{App, random_id};
use crate::domain::credits::{self, Credits};
use crate::domain::cycle::Cycle;
use crate::domain::rating::RateCard;
use crate::domain::usage::UsageEvent;
use crate::intake::usage as intake;
use crate::storage::usage::{self, RatedEvent, Stored};
use crate::storage::{StorageError, Tx, cycles, feeds, ledger, organizations, quarantine};

/// What became of a usage file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// New events.
    pub accepted: u64,
    /// Events that were there already, to the letter.
    pub duplicates: u64,
    /// Rows set aside.
    pub quarantined: Vec<Quarantined>,
    /// Rated credits of the new events.
    pub credits: Credits,
}

/// A row that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// The file it came in.
    pub file: String,
    /// Its line.
    pub line: u64,
    /// Whose, where that could be read.
    pub organization: Option<String>,
    /// The row, as one JSON object.
    pub raw: String,
    /// Why.
    pub reason: String,
}

/// Most credits of one event: far above any real one, far below what a sum can hold.
const MOST_CREDITS: i64 = 1_000_000;
/// Minutes an event may lie ahead of the clock (F46).
const AHEAD_MINUTES: i64 = 5;

/// Where and how rows come in.
struct Intake<'a> {
    app: &'a App,
    rates: Arc<RateCard>,
    look_back: Duration,
    file: &'a str,
    now: DateTime<Utc>,
    /// Names this import and no other, so that a batch tells its own rows from older ones.
    id: String,
    batches: u64,
    zones: HashMap<String, Option<(Tz, Cycle)>>,
    running_out: RunningOut,
    /// Rows are set aside, which may arrive here once more, and fit.
    some_set_aside: bool,
    /// The last batch held nothing new: the next is likely to hold nothing new either.
    repeats: bool,
}

/// Imports a usage file; `file` is its name for people.
///
/// Each batch of rows is one transaction: after a crash the same file is imported again, and what was
/// stored is counted as duplicate.
///
/// # Errors
/// Not a usage file, or the database fails.
pub async fn import(
    app: &App,
    file: &str,
    reader: impl BufRead + Send + 'static,
) -> Result<Imported, ServiceError> {
    let mut intake = Intake::new(app, file).await?;
    let mut ahead = Ahead::new(file, reader, intake.rates.clone(), intake.now);
    let mut imported = Imported::default();
    while let Some(batch) = ahead.next().await {
        intake.batch(batch, &mut imported).await?;
    }
    ahead.end(file).await?;
    // Batches are stored by key, and halves of a batch after each other.
    imported.quarantined.sort_by_key(|row| row.line);
    Ok(imported)
}

impl<'a> Intake<'a> {
    async fn new(app: &'a App, file: &'a str) -> Result<Self, ServiceError> {
        let now = app.clock.now();
        let mut tx = app.db.read().await?;
        let history = History::load(&mut tx).await?;
        let rates = catalogs::rate_card(&mut tx, &history, now).await?;
        let look_back = Duration::days(i64::from(history.in_force(now).catalog.look_back_days));
        let some_set_aside = quarantine::count_open(&mut tx).await? > 0;
        let id = random_id("imp").map_err(|error| ServiceError::Refused(error.to_string()))?;
        Ok(Self {
            app,
            rates: Arc::new(rates),
            look_back,
            file,
            now,
            id,
            batches: 0,
            zones: HashMap::new(),
            running_out: RunningOut::default(),
            some_set_aside,
            repeats: false,
        })
    }

    /// Stores a batch. One that leaves the range of numbers is halved until the row to blame stands
    /// alone: that one is set aside, everybody else's are stored (F52).
    async fn batch(&mut self, batch: Batch, imported: &mut Imported) -> Result<(), ServiceError> {
        let mut left = vec![(batch.rows, batch.rejected)];
        while let Some((mut rows, mut rejected)) = left.pop() {
            match self.store_all(&rows, &rejected, imported).await {
                Err(error) if is_out_of_range(&error) && !rows.is_empty() => {
                    if let [alone] = rows.as_slice() {
                        rejected.push(set_aside(alone.line, &alone.event, OUT_OF_RANGE.to_owned()));
                        left.push((Vec::new(), rejected));
                    } else {
                        left.push((rows.split_off(rows.len() / 2), Vec::new()));
                        left.push((rows, rejected));
                    }
                }
                stored => stored?,
            }
        }
        Ok(())
    }

    /// All of these, in one transaction.
    async fn store_all(
        &mut self,
        rows: &[Row],
        rejected: &[Quarantined],
        imported: &mut Imported,
    ) -> Result<(), ServiceError> {
        let mut rejected = rejected.to_vec();
        let mut tx = self.app.db.write().await?;
        let (counted, learned) = self.store(&mut tx, rows, &mut rejected).await?;
        let credits = imported.credits.plus(counted.credits)?;
        let set_aside: Vec<quarantine::Rejected> = rejected
            .iter()
            .map(|row| quarantine::Rejected {
                file: self.file.to_owned(),
                line: i64::try_from(row.line).unwrap_or(i64::MAX),
                organization: row.organization.clone(),
                raw: row.raw.clone(),
                reason: row.reason.clone(),
            })
            .collect();
        quarantine::add(&mut tx, &set_aside, self.now).await?;
        tx.commit().await?;
        self.running_out.learn(learned);
        self.repeats = counted.accepted == 0 && counted.duplicates > 0;
        imported.add(&counted, credits, rejected, self.file);
        Ok(())
    }

    /// Rates and stores rows inside the caller's transaction.
    async fn store(
        &mut self,
        tx: &mut Tx,
        rows: &[Row],
        rejected: &mut Vec<Quarantined>,
    ) -> Result<(Counted, Learned), ServiceError> {
        let mut counted = Counted::default();
        // Rows are in the order of their keys: those of an organization lie together.
        let mut names: Vec<String> = Vec::new();
        for row in rows {
            if names.last() != Some(&row.event.organization) {
                names.push(row.event.organization.clone());
            }
        }
        self.learn_zones(tx, &names).await?;
        // A close and an import of one organization never overlap: use falls in exactly one cycle.
        ledger::lock_these(tx, &names).await?;
        let open = cycles::open_labels(tx, &names).await?;
        let mut lines: Vec<u64> = Vec::with_capacity(rows.len());
        let mut events: Vec<RatedEvent<'_>> = Vec::with_capacity(rows.len());
        for row in rows {
            let rated = match self.rated(row, &open) {
                Ok(rated) => rated,
                Err(reason) => {
                    rejected.push(set_aside(row.line, &row.event, reason));
                    continue;
                }
            };
            match events.last().filter(|before| before.event.key() == row.event.key()) {
                None => {
                    lines.push(row.line);
                    events.push(rated);
                }
                Some(before) if before.content_hash == rated.content_hash => {
                    counted.duplicates += 1;
                }
                Some(_) => {
                    rejected.push(set_aside(row.line, &row.event, OTHER_CONTENT.to_owned()));
                }
            }
        }
        self.batches += 1;
        let batch = format!("{}-{}", self.id, self.batches);
        let stored = usage::add_events(tx, &events, &batch, self.repeats, self.now).await?;
        let new: Vec<&RatedEvent<'_>> = events
            .iter()
            .zip(&stored)
            .filter(|(_, stored)| **stored == Stored::New)
            .map(|(event, _)| event)
            .collect();
        let groups = usage::groups(&new);
        usage::roll_up(tx, &groups).await?;
        let learned = self.running_out.look(self.app, tx, &groups, self.now).await?;
        feeds::count(tx, &groups).await?;
        if self.some_set_aside {
            let is_there = |stored: &&Stored| matches!(stored, Stored::New | Stored::Duplicate);
            let there = events.iter().zip(&stored).filter(|(_, stored)| is_there(stored));
            let contents: Vec<String> =
                there.map(|(event, _)| intake::raw_of(event.event)).collect();
            quarantine::arrived(tx, &contents, self.now).await?;
        }
        for ((line, event), stored) in lines.iter().zip(&events).zip(&stored) {
            match stored {
                Stored::New => {
                    counted.accepted += 1;
                    counted.credits = counted.credits.plus(event.rating.credits)?;
                }
                Stored::Duplicate => counted.duplicates += 1,
                Stored::Conflict => {
                    rejected.push(set_aside(*line, event.event, OTHER_CONTENT.to_owned()));
                }
            }
        }
        Ok((counted, learned))
    }

    /// Zones and first cycles never change, so they are read once.
    async fn learn_zones(&mut self, tx: &mut Tx, names: &[String]) -> Result<(), ServiceError> {
        let unknown = |name: &&String| self.zones.get(*name).is_none_or(Option::is_none);
        let unknown: Vec<String> = names.iter().filter(unknown).cloned().collect();
        for stored in organizations::these(tx, &unknown).await? {
            let organization = stored.organization;
            let known = (organization.zone, Cycle::of_date(organization.joined_on));
            self.zones.insert(organization.id, Some(known));
        }
        Ok(())
    }

    fn rated<'r>(
        &self,
        row: &'r Row,
        open: &HashMap<String, Cycle>,
    ) -> Result<RatedEvent<'r>, String> {
        let event = &row.event;
        let known = self.zones.get(&event.organization).copied().flatten();
        let (Some((zone, first_cycle)), Some(open)) = (known, open.get(&event.organization)) else {
            return Err(format!(
                "organization: {:?} is not known; `org import` it, then `usage quarantine retry`",
                event.organization
            ));
        };
        if event.at > self.now + Duration::minutes(AHEAD_MINUTES) {
            return Err(format!("at lies more than {AHEAD_MINUTES} minutes in the future"));
        }
        if event.at < row.received_at - self.look_back {
            let days = self.look_back.num_days();
            return Err(format!("at lies more than {days} days back; use that old is not billed"));
        }
        let cycle = Cycle::of_instant(event.at, zone);
        if cycle < first_cycle {
            return Err(format!("at lies before the organization joined (cycle {first_cycle})"));
        }
        let rating = row.rating.as_ref().map_err(Clone::clone)?;
        if rating.credits.nano() > MOST_CREDITS * credits::NANO {
            return Err(format!("{} credits in one event; at most {MOST_CREDITS}", rating.credits));
        }
        Ok(RatedEvent {
            rating,
            cycle,
            // A closed cycle never changes: late use is billed by the open one (D7).
            billed_cycle: cycle.max(*open),
            day: event.at.with_timezone(&zone).date_naive(),
            content_hash: &row.content_hash,
            event,
        })
    }
}

const OTHER_CONTENT: &str =
    "another event with this organization, source and id is stored; ids must not be used again";

const OUT_OF_RANGE: &str = "with this event the use leaves the range of numbers (some 9 billion credits); \
                            correct the quantity and import it under the same id";

/// Did a sum of credits leave its range, here or in the database?
fn is_out_of_range(error: &ServiceError) -> bool {
    match error {
        ServiceError::Refused(_) | ServiceError::Storage(StorageError::Refused(_)) => true,
        ServiceError::Storage(error) => error.is_out_of_range(),
        _ => false,
    }
}

#[derive(Default)]
struct Counted {
    accepted: u64,
    duplicates: u64,
    credits: Credits,
}

impl Imported {
    fn add(
        &mut self,
        counted: &Counted,
        credits: Credits,
        mut rejected: Vec<Quarantined>,
        file: &str,
    ) {
        for row in &mut rejected {
            file.clone_into(&mut row.file);
        }
        rejected.sort_by_key(|row| row.line);
        self.accepted += counted.accepted;
        self.duplicates += counted.duplicates;
        self.credits = credits;
        self.quarantined.extend(rejected);
    }
}

fn set_aside(line: u64, event: &UsageEvent, reason: String) -> Quarantined {
    Quarantined {
        // Known where the batch is added up.
        file: String::new(),
        line,
        organization: Some(event.organization.clone()),
        raw: intake::raw_of(event),
        reason,
    }
}
