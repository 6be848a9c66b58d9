//! `usage report`, `usage list`: what was used, and how its credits came about.

use anyhow::Result;
use chrono::NaiveDate;
use clap::Args;
use serde_json::{Map, Value, json};

use super::Outcome;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::decimal;
use crate::domain::rating::Component;
use crate::services::usage_reports::{self, Key};
use crate::storage::usage_reports::{Event, Filter};

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The organization's id
    organization: String,
    /// The cycle that bills the use, like 2026-10
    #[arg(long)]
    cycle: Cycle,
    /// What sums are made by: cycle, day, meter, project, member, environment, model, supplier
    #[arg(long, value_delimiter = ',', default_value = "meter")]
    by: Vec<Key>,
}

#[derive(Debug, Args)]
pub(crate) struct List {
    /// The organization's id
    organization: String,
    /// The cycle that bills the use, like 2026-10
    #[arg(long)]
    cycle: Cycle,
    /// Only this meter
    #[arg(long)]
    meter: Option<String>,
    /// Only this model
    #[arg(long)]
    model: Option<String>,
    /// Only this project
    #[arg(long)]
    project: Option<String>,
    /// Only this job
    #[arg(long)]
    job: Option<String>,
    /// Only this day, in the organization's zone
    #[arg(long, value_name = "DATE")]
    day: Option<NaiveDate>,
    /// At most so many events
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,
}

pub(super) async fn report(app: &App, asked: Report, output: &Output) -> Result<Outcome> {
    let sums = usage_reports::sums(app, &asked.organization, asked.cycle, &asked.by).await?;
    let words: Vec<&str> = asked.by.iter().map(|key| key.as_str()).collect();
    let rows: Vec<Value> = sums
        .rows
        .iter()
        .map(|(values, sum)| {
            let mut row: Map<String, Value> = words
                .iter()
                .map(|word| (*word).to_owned())
                .zip(values.iter().map(|value| json!(value)))
                .collect();
            row.insert("events".to_owned(), json!(sum.events));
            row.insert("credits".to_owned(), json!(sum.credits));
            Value::Object(row)
        })
        .collect();
    let object = json!({"organization": asked.organization, "cycle": asked.cycle, "by": words,
        "events": sums.total.events, "credits": sums.total.credits, "rows": rows});
    output.result(&object, || {
        let last = words.len();
        let mut cells: Vec<Vec<String>> = sums
            .rows
            .iter()
            .map(|(values, sum)| {
                let mut row: Vec<String> = values
                    .iter()
                    .map(|value| if value.is_empty() { "-" } else { value }.to_owned())
                    .collect();
                row.extend([sum.events.to_string(), sum.credits.to_string()]);
                row
            })
            .collect();
        let mut total = vec!["total".to_owned()];
        total.resize(last, String::new());
        total.extend([sums.total.events.to_string(), sums.total.credits.to_string()]);
        cells.push(total);
        let header = [&words[..], &["events", "credits"]].concat();
        table(&header, &[last, last + 1], cells)
    });
    Ok(Outcome::Done)
}

pub(super) async fn list(app: &App, asked: List, output: &Output) -> Result<Outcome> {
    let List { organization, cycle, meter, model, project, job, day, limit } = asked;
    let filter = Filter { meter, model, project, job, day };
    let (all, shown) = usage_reports::events(app, &organization, cycle, &filter, limit).await?;
    let rows = shown.iter().map(event_json).collect::<Result<Vec<Value>>>()?;
    let cells = shown.iter().map(event_cells).collect::<Result<Vec<_>>>()?.concat();
    let object = json!({"organization": organization, "cycle": cycle, "events": all.events,
        "credits": all.credits, "rows": rows});
    output.result(&object, || {
        let header = ["event", "at", "meter", "credits", "quantity", "of", "unit price"];
        let mut text = table(&header, &[3, 4, 6], cells);
        let events = if all.events == 1 { "event" } else { "events" };
        text.push_str(&format!("\n{} {events}, {} credits", all.events, all.credits));
        if let more @ 1.. =
            all.events.saturating_sub(i64::try_from(shown.len()).unwrap_or(i64::MAX))
        {
            text.push_str(&format!(
                "; {more} are not shown, none of them dearer than these (`--limit`)"
            ));
        }
        text
    });
    Ok(Outcome::Done)
}

fn event_json(event: &Event) -> Result<Value> {
    let quantities: Value = serde_json::from_str(&event.quantities)?;
    let components: Value = serde_json::from_str(&event.components)?;
    Ok(
        json!({"id": event.event_id, "source": event.source, "at": instant(event.at), "cycle": event.cycle,
        "meter": event.meter, "project": event.project, "member": event.member, "environment": event.environment,
        "model": event.model, "supplier": event.supplier, "job": event.job, "quantities": quantities,
        "components": components, "credits": Credits::from_nano(event.credits),
        "recorded_at": instant(event.recorded_at)}),
    )
}

/// A row for each part of the price.
fn event_cells(event: &Event) -> Result<Vec<Vec<String>>> {
    let components: Vec<Component> = serde_json::from_str(&event.components)?;
    let model = if event.model.is_empty() { String::new() } else { format!(" ({})", event.model) };
    let mut head = [
        event.event_id.clone(),
        instant(event.at),
        format!("{}{model}", event.meter),
        Credits::from_nano(event.credits).to_string(),
    ];
    let parts: Vec<[String; 3]> = components
        .iter()
        .map(|part| {
            [decimal::text(part.quantity), part.dimension.clone(), decimal::text(part.unit_price)]
        })
        .collect();
    let rows = parts.len().max(1);
    let mut parts = parts.into_iter();
    Ok((0..rows)
        .map(|_| [std::mem::take(&mut head).as_slice(), &parts.next().unwrap_or_default()].concat())
        .collect())
}
