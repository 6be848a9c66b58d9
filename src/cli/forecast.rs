//! `credits forecast`.

use anyhow::Result;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::domain::forecast::{self, Outlook};
use crate::services::standings;

pub(super) async fn run(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let standing = standings::of_one(app, id).await?;
    let (found, pace) = (&standing.forecast, standing.pace);
    let per_day = pace.per_day()?;
    let zone = standing.stored.organization.zone;
    let lapses = |out: &Outlook| -> Value {
        let one = |(at, lapse): &(DateTime<Utc>, Credits)| json!({"on": forecast::last_day(*at, zone), "credits": lapse});
        out.lapses.iter().map(one).collect()
    };
    let grants: Vec<Value> = found
        .grants
        .iter()
        .map(|out| {
            let grant = &out.open.grant;
            Ok(json!({"id": grant.id, "source": grant.source, "cycle": grant.cycle,
                "remaining": out.open.remaining, "expires_at": grant.expires_at.map(instant),
                "unused": out.unused()?, "lapses": lapses(out)}))
        })
        .collect::<Result<_>>()?;
    let object = json!({
        "organization": id, "as_of": instant(app.clock.now()), "cycle": standing.cycle.cycle,
        "available": found.available, "used": standing.used, "pace_per_day": per_day,
        "pace_since": pace.since, "days_left": found.days_left,
        "runs_out_on": found.runs_out_on, "grants": grants,
    });
    output.result(&object, || {
        let end = match (found.days_left, found.runs_out_on) {
            (Some(days), Some(day)) => format!("they last {days} days, through {day}"),
            _ => "they are not expected to run out".to_owned(),
        };
        let rows = found
            .grants
            .iter()
            .map(|out| {
                let grant = &out.open.grant;
                vec![
                    grant.id.clone(),
                    grant.source.to_string(),
                    out.open.remaining.to_string(),
                    grant.expires_at.map_or("never".to_owned(), instant),
                    will_lapse(out, zone),
                ]
            })
            .collect();
        format!(
            "{id}: {} credits available; {per_day} a day since {}: {end}\n{}",
            found.available,
            pace.since,
            table(&["grant", "source", "left", "expires at", "will lapse"], &[2, 4], rows)
        )
    });
    Ok(Outcome::Done)
}

/// What will lapse of a grant, and on the last day of which cycle.
fn will_lapse(out: &Outlook, zone: Tz) -> String {
    let one = |(at, lapse): &(DateTime<Utc>, Credits)| {
        format!("{lapse} after {}", forecast::last_day(*at, zone))
    };
    let all: Vec<String> = out.lapses.iter().map(one).collect();
    if all.is_empty() { "0".to_owned() } else { all.join(", ") }
}
