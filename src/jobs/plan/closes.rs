//! Cycles that are due: who may be closed now, and who waits for a person.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::ranges::{Cutter, Stretch};
use super::{DueGroup, PAGE, Question};
use crate::app::App;
use crate::domain::cycle::{Bounds, Cycle};
use crate::jobs::StepKind;
use crate::jobs::definition::Job;
use crate::services::ServiceError;
use crate::services::feeds;
use crate::storage::cycles::{self, Due, Place};
use crate::storage::{Tx, damaged, parsed, runs, steps};

/// Cycles that end together: what of them is under way, and which feeds look incomplete.
struct Together {
    plans: i64,
    /// Ranges that close steps cover, in order and apart from each other.
    covered: Vec<(String, String)>,
    feeds: feeds::Held,
    groups: BTreeMap<Waits, Gathered>,
}

/// What organizations wait for: a confirmation of so many missed cycles, or feeds, by their places.
type Waits = (Option<u32>, Vec<usize>);

/// Organizations that wait for the same, or for nothing.
struct Gathered {
    organizations: usize,
    names: Vec<String>,
    cutter: Cutter,
}

/// Groups of organizations whose cycles are due, with the ranges their steps cover; of one group's cycle and instant,
/// or of all. Read page by page; who comes in between is seen by the next look.
pub(super) async fn due(
    app: &App,
    tx: &mut Tx,
    job: &Job,
    question: &Question,
    of: Option<&DueGroup>,
) -> Result<Vec<(DueGroup, Vec<Stretch>)>, ServiceError> {
    let now = app.clock.now();
    let limit = question.confirmed.unwrap_or_default().max(job.max_catch_up);
    let mut all: BTreeMap<(String, DateTime<Utc>), Together> = BTreeMap::new();
    let of = of.map(|group| (group.cycle.as_str(), group.due_at));
    let mut after: Option<Place> = None;
    loop {
        let page = cycles::due(tx, now, of, after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.place());
        for due in page {
            let key = (due.cycle.clone(), due.due_at);
            if !all.contains_key(&key) {
                all.insert(key.clone(), Together::read(app, tx, job, &due).await?);
            }
            if let Some(together) = all.get_mut(&key) {
                together.take(due, (limit, now), question, job.chunk_organizations)?;
            }
        }
    }
    let mut found = Vec::new();
    for ((cycle, due_at), together) in all {
        for ((missed, waits_for), gathered) in together.groups {
            let group = DueGroup {
                organizations: gathered.organizations,
                names: gathered.names,
                plans: if missed.is_some() { 0 } else { together.plans },
                waits_for_catch_up: missed,
                waits_for_feeds: together.feeds.named(&waits_for),
                ..DueGroup::new(job, &cycle, due_at, question)
            };
            found.push((group, gathered.cutter.end()));
        }
    }
    // Those that miss more than may be caught up come last.
    found.sort_by_key(|(group, _)| group.waits_for_catch_up.is_some());
    Ok(found)
}

impl Together {
    async fn read(app: &App, tx: &mut Tx, job: &Job, due: &Due) -> Result<Self, ServiceError> {
        let mut together = Self {
            plans: 0,
            covered: Vec::new(),
            feeds: feeds::Held::default(),
            groups: BTreeMap::new(),
        };
        let mut covering = Vec::new();
        for run in runs::of_cycle(tx, &job.name, &due.cycle).await? {
            if run.due_at == due.due_at {
                together.plans = run.plans;
                let steps = steps::unfinished(tx, &run.id, StepKind::Close.as_str()).await?;
                let at_work = steps.into_iter().filter(|step| step.state != "parked");
                covering
                    .extend(at_work.map(|step| (step.first_organization, step.last_organization)));
            }
        }
        together.covered = apart(covering);
        let Bounds { starts_at, ends_at, .. } = bounds_of(due)?;
        together.feeds = feeds::look(app, tx, starts_at, ends_at).await?;
        Ok(together)
    }

    /// Sorts the next organization into what it waits for. One that is under way, or not asked for, lies in no range.
    fn take(
        &mut self,
        due: Due,
        (limit, now): (u32, DateTime<Utc>),
        question: &Question,
        at_most: usize,
    ) -> Result<(), ServiceError> {
        let waits = self.waits(&due, (limit, now), question)?;
        for (other, gathered) in &mut self.groups {
            if Some(other) != waits.as_ref() {
                gathered.cutter.pass();
            }
        }
        let Some(waits) = waits else { return Ok(()) };
        let for_a_person = waits.0.is_some() || !waits.1.is_empty();
        let gathered = self.groups.entry(waits).or_insert_with(|| Gathered {
            organizations: 0,
            names: Vec::new(),
            cutter: Cutter::new(at_most),
        });
        gathered.organizations += 1;
        if for_a_person {
            gathered.names.push(due.organization.clone());
        }
        gathered.cutter.take(due.organization);
        Ok(())
    }

    /// What it waits for; none: it is not to be planned.
    fn waits(
        &self,
        due: &Due,
        (limit, now): (u32, DateTime<Utc>),
        question: &Question,
    ) -> Result<Option<Waits>, ServiceError> {
        let organization = &due.organization;
        if due.alone || !question.only.wants(organization) {
            return Ok(None);
        }
        let missed = missed_cycles(due, now)?;
        if missed > limit {
            return Ok(Some((Some(missed), Vec::new())));
        }
        let begun = self.covered.partition_point(|(first, _)| first <= organization);
        let covered = self.covered[..begun].last().is_some_and(|(_, last)| organization <= last);
        Ok((!covered).then(|| (None, self.feeds.of(organization))))
    }
}

/// Ranges in order; those that overlap are one.
fn apart(mut ranges: Vec<(String, String)>) -> Vec<(String, String)> {
    ranges.sort();
    let mut apart: Vec<(String, String)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match apart.last_mut() {
            Some((_, until)) if first <= *until => {
                if last > *until {
                    *until = last;
                }
            }
            _ => apart.push((first, last)),
        }
    }
    apart
}

/// The bounds of a due cycle.
fn bounds_of(due: &Due) -> Result<Bounds, ServiceError> {
    let name = &due.organization;
    let zone: Tz = parsed("organization", "zone", name, &due.zone)?;
    let cycle: Cycle = parsed("billing_cycle", "cycle", name, &due.cycle)?;
    Ok(Bounds { ends_at: due.ends_at, ..cycle.bounds(zone) })
}

/// How many ended cycles an organization has to close, grace included.
fn missed_cycles(due: &Due, now: DateTime<Utc>) -> Result<u32, ServiceError> {
    let name = &due.organization;
    let zone: Tz = parsed("organization", "zone", name, &due.zone)?;
    let cycle: Cycle = parsed("billing_cycle", "cycle", name, &due.cycle)?;
    let grace = due.due_at - due.ends_at;
    let current = Cycle::of_instant(now - grace, zone);
    u32::try_from(current.since(cycle).max(1))
        .map_err(|error| damaged("billing_cycle", "cycle", name, error).into())
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn overlapping_ranges_are_one() {
        let ranges = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
        };
        let given = ranges(&[("m", "p"), ("a", "c"), ("b", "d"), ("a", "b"), ("q", "q")]);
        assert_eq!(apart(given), ranges(&[("a", "d"), ("m", "p"), ("q", "q")]));
        assert_eq!(apart(Vec::new()), Vec::new());
    }
}
