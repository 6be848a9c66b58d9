//! What the demo's organizations do: real calls at published prices, and every other meter once a month.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use chrono::{DateTime, Days, NaiveDateTime, Utc};

/// A cut of the published price map.
pub(super) const PRICES: &str = include_str!("../../../templates/demo/model_prices_cut.json");
/// Organizations of every plan.
pub(super) const ORGANIZATIONS: &str = include_str!("../../../templates/demo/organizations.csv");
/// A cut of a real trace of a code-completion service.
const TRACE: &str = include_str!("../../../templates/demo/azure_llm_code_2023_cut.csv");

/// Who makes the trace's calls, in turn, and with which model.
const CALLERS: [(&str, &str); 6] = [
    ("example-studio", "gpt-4o-mini"),
    ("example-agency", "deepseek/deepseek-chat"),
    ("example-robotics", "gpt-4o"),
    ("example-kiwi", "anthropic.claude-opus-4-1-20250805-v1:0"),
    ("example-tokyo", "gpt-4o"),
    ("example-bank", "anthropic.claude-opus-4-1-20250805-v1:0"),
];

/// One month of the demo.
pub(super) struct Month {
    /// Its cycle.
    pub(super) cycle: &'static str,
    /// Days the trace of 16 November is moved by.
    days_later: u64,
    /// When its usage has arrived.
    pub(super) used_by: &'static str,
    /// When `tick` runs: the 1st, after the last zone's midnight and grace.
    pub(super) closed_at: &'static str,
    /// A package the studio buys.
    pub(super) bought: Option<&'static str>,
    /// How busy the month is, in tenths of the first.
    load: u32,
    /// Use of the month before that arrives only now.
    late: Option<&'static str>,
}

pub(super) const MONTHS: [Month; 3] = [
    Month {
        cycle: "2023-11",
        days_later: 0,
        used_by: "2023-11-28T12:00:00Z",
        closed_at: "2023-12-01T12:00:00Z",
        bought: Some("small"),
        load: 10,
        late: None,
    },
    Month {
        cycle: "2023-12",
        days_later: 30,
        used_by: "2023-12-28T12:00:00Z",
        closed_at: "2024-01-01T12:00:00Z",
        bought: None,
        load: 17,
        late: Some("2023-11-29T15:00:00Z"),
    },
    Month {
        cycle: "2024-01",
        days_later: 61,
        used_by: "2024-01-28T12:00:00Z",
        closed_at: "2024-02-01T12:00:00Z",
        bought: Some("standard"),
        load: 12,
        late: None,
    },
];

/// Who, when in the month, which meter, quantities by dimension.
type Other = (&'static str, &'static str, &'static str, &'static [(&'static str, u32)]);

/// Meters beside inference, a row a month.
const OTHERS: [Other; 16] = [
    ("example-evals", "04T09:00:00", "prompt", &[("executions", 60)]),
    ("example-evals", "05T10:00:00", "dynamic_column", &[("cells", 50)]),
    ("example-evals", "05T11:00:00", "log", &[("executions", 5000)]),
    ("example-evals", "07T11:00:00", "offline_eval", &[("rows", 40)]),
    ("example-studio", "08T08:00:00", "translation", &[("characters", 24_000_000)]),
    ("example-studio", "09T08:00:00", "speech_synthesis", &[("characters", 9_500_000)]),
    ("example-studio", "10T08:00:00", "transcription", &[("minutes", 2_500)]),
    ("example-agency", "14T08:00:00", "text_generation", &[("tokens", 7_000_000)]),
    ("example-robotics", "11T01:00:00", "training", &[("gpu_hours", 180)]),
    ("example-robotics", "12T01:00:00", "data_processing", &[("gigabytes", 850)]),
    (
        "example-robotics",
        "13T01:00:00",
        "benchmark",
        &[("model_billion_parameters", 70), ("dataset_rows", 4_000)],
    ),
    ("example-kiwi", "12T20:00:00", "training", &[("gpu_hours", 96)]),
    ("example-tokyo", "15T20:00:00", "training", &[("gpu_hours", 210)]),
    (
        "example-bank",
        "06T20:00:00",
        "compute_job",
        &[("minutes", 4_000), ("gigabytes", 900), ("gpu_hours", 160)],
    ),
    ("example-bank", "07T20:00:00", "training", &[("gpu_hours", 60)]),
    ("example-bank", "20T20:00:00", "data_processing", &[("gigabytes", 500)]),
];

/// A month's usage as the CSV that `usage import` takes.
pub(super) fn usage(month: &Month) -> Result<String> {
    let mut csv = String::from(
        "id,organization,at,meter,source,project,environment,model,input_tokens,output_tokens,executions,cells,rows,\
         characters,minutes,tokens,gpu_hours,gigabytes,model_billion_parameters,dataset_rows\n",
    );
    for (number, line) in TRACE.lines().skip(1).enumerate() {
        let (organization, model) = CALLERS[number % CALLERS.len()];
        let mut cells = line.split(',');
        let mut cell = || cells.next().context("the trace has three columns");
        let at = moved(cell()?, month.days_later)?;
        let (context, generated) = (cell()?, cell()?);
        let environment = if number % 5 == 0 { "development" } else { "production" };
        let _ = writeln!(
            csv,
            "call-{}-{number},{organization},{at},inference,azure-trace,completion,{environment},{model},{context},{generated},,,,,,,,,,",
            month.cycle
        );
    }
    for (number, (organization, when, meter, quantities)) in OTHERS.iter().enumerate() {
        let id = format!("job-{}-{number}", month.cycle);
        let at = format!("{}-{when}Z", month.cycle);
        other(&mut csv, &id, organization, &at, meter, &loaded(quantities, month.load));
    }
    if let Some(at) = month.late {
        let id = format!("late-{}", month.cycle);
        other(&mut csv, &id, "example-bank", at, "training", &[("gpu_hours", 25)]);
    }
    Ok(csv)
}

/// The trace's time, some days later, as RFC 3339.
fn moved(text: &str, days: u64) -> Result<String> {
    let at = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .with_context(|| format!("the trace's time {text}"))?;
    let at: DateTime<Utc> = at.and_utc() + Days::new(days);
    Ok(at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

fn loaded<'a>(quantities: &[(&'a str, u32)], load: u32) -> Vec<(&'a str, u32)> {
    quantities.iter().map(|(dimension, quantity)| (*dimension, quantity * load / 10)).collect()
}

fn other(
    csv: &mut String,
    id: &str,
    organization: &str,
    at: &str,
    meter: &str,
    quantities: &[(&str, u32)],
) {
    const DIMENSIONS: [&str; 10] = [
        "executions",
        "cells",
        "rows",
        "characters",
        "minutes",
        "tokens",
        "gpu_hours",
        "gigabytes",
        "model_billion_parameters",
        "dataset_rows",
    ];
    let _ = write!(csv, "{id},{organization},{at},{meter},platform,,production,,,");
    for dimension in DIMENSIONS {
        let quantity = quantities.iter().find(|(name, _)| *name == dimension);
        let text = quantity.map(|(_, quantity)| quantity.to_string()).unwrap_or_default();
        let _ = write!(csv, ",{text}");
    }
    csv.push('\n');
}
