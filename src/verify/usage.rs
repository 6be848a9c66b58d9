//! Accepted use is what came in, and costs what its own parts say; it is in the roll-ups and in the days of its feed.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::Check;
use crate::cores;
use crate::domain::credits::Credits;
use crate::domain::decimal::{self, DecimalError};
use crate::domain::rating::{Component, Rating};
use crate::domain::usage::UsageEvent;
use crate::services::ServiceError;
use crate::storage::usage_reports::{self, Event};
use crate::storage::{Tx, feeds, usage};

/// Events that are read together.
const AT_ONCE: i64 = 5_000;

/// Every event by itself: what was reported has the hash it was accepted with, and its credits are what its
/// components come to. What names it (organization, source, id) is in no hash.
pub(super) async fn intact(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("usage_intact");
    let mut last: Option<Event> = None;
    loop {
        let events = usage_reports::after(tx, last.as_ref(), AT_ONCE).await?;
        last = events.last().cloned();
        if last.is_none() {
            return Ok(check);
        }
        let looked = cores::each(events, |event| {
            let what = altered(&event)?;
            let Event { organization, source, event_id, .. } = &event;
            Some(format!(
                "organization {organization}, event {event_id:?} of source {source:?}: {what}"
            ))
        });
        for altered in looked.await.map_err(|error| ServiceError::Refused(error.to_string()))? {
            check.count(altered.is_none(), || altered.unwrap_or_default());
        }
    }
}

/// What of an event is not as it was accepted.
fn altered(stored: &Event) -> Option<&'static str> {
    let Ok(quantities) = quantities(&stored.quantities) else {
        return Some("its quantities cannot be read");
    };
    let event = UsageEvent {
        organization: stored.organization.clone(),
        source: stored.source.clone(),
        id: stored.event_id.clone(),
        at: stored.at,
        meter: stored.meter.clone(),
        project: stored.project.clone(),
        member: stored.member.clone(),
        environment: stored.environment.clone(),
        model: stored.model.clone(),
        supplier: stored.supplier.clone(),
        job: stored.job.clone(),
        quantities,
    };
    if event.content_hash() != stored.content_hash {
        return Some("it was altered after it was accepted");
    }
    let Ok(components) = serde_json::from_str::<Vec<Component>>(&stored.components) else {
        return Some("its components cannot be read");
    };
    let rating = Rating { credits: Credits::from_nano(stored.credits), components };
    (!rating.is_of(&event)).then_some("its credits are not what its components come to")
}

fn quantities(json: &str) -> Result<BTreeMap<String, Decimal>, DecimalError> {
    let texts: BTreeMap<String, String> =
        serde_json::from_str(json).map_err(|_| DecimalError::Invalid(String::new()))?;
    texts.into_iter().map(|(dimension, text)| Ok((dimension, decimal::parse(&text)?))).collect()
}

/// Accepted use, so many events, and what is known of its feeds are the same.
pub(super) async fn feeds(tx: &mut Tx, accepted: u64) -> Result<Check, ServiceError> {
    let mut check = Check::new("feeds_counted");
    check.checked = accepted;
    for (source, events, counted) in feeds::differences(tx).await? {
        check.problem(format!("source {source:?}: {events} events, but its days say {counted}"));
    }
    Ok(check)
}

/// Accepted use, so many events, and the roll-ups the close reads are the same.
pub(super) async fn rollups(tx: &mut Tx, accepted: u64) -> Result<Check, ServiceError> {
    let mut check = Check::new("usage_rolled_up");
    check.checked = accepted;
    for difference in usage::rollup_differences(tx).await? {
        check.problem(format!(
            "organization {}, cycle {}: {} events with {} credits (10⁻⁹), but the roll-ups say {} and {}",
            difference.organization,
            difference.billed_cycle,
            difference.events,
            difference.events_credits,
            difference.rollup_events,
            difference.rollup_credits
        ));
    }
    Ok(check)
}
