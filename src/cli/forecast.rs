//! `credits forecast`.

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::services::standings;

pub(super) async fn run(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let standing = standings::of_one(app, id).await?;
    let (forecast, pace) = (&standing.forecast, standing.pace);
    let per_day = pace.per_day()?;
    let grants: Vec<Value> = forecast
        .grants
        .iter()
        .map(|out| {
            let grant = &out.open.grant;
            json!({"id": grant.id, "source": grant.source, "cycle": grant.cycle,
                "remaining": out.open.remaining, "expires_at": grant.expires_at.map(instant),
                "unused": out.unused})
        })
        .collect();
    let object = json!({
        "organization": id, "as_of": instant(app.clock.now()), "cycle": standing.cycle.cycle,
        "available": forecast.available, "used": standing.used, "pace_per_day": per_day,
        "pace_since": pace.since, "days_left": forecast.days_left,
        "runs_out_on": forecast.runs_out_on, "grants": grants,
    });
    output.result(&object, || {
        let end = match (forecast.days_left, forecast.runs_out_on) {
            (Some(days), Some(day)) => format!("they last {days} days, through {day}"),
            _ => "they are not expected to run out".to_owned(),
        };
        let rows = forecast
            .grants
            .iter()
            .map(|out| {
                let grant = &out.open.grant;
                vec![
                    grant.id.clone(),
                    grant.source.to_string(),
                    out.open.remaining.to_string(),
                    grant.expires_at.map_or("never".to_owned(), instant),
                    out.unused.to_string(),
                ]
            })
            .collect();
        format!(
            "{id}: {} credits available; {per_day} a day since {}: {end}\n{}",
            forecast.available,
            pace.since,
            table(&["grant", "source", "left", "expires at", "will lapse"], &[2, 4], rows)
        )
    });
    Ok(Outcome::Done)
}
