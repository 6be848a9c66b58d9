//! `feed confirm`: a silent day of a usage source is complete.

use std::sync::Arc;

use anyhow::Result;
use chrono::NaiveDate;
use clap::Subcommand;
use serde_json::json;

use super::Outcome;
use super::arguments::reason;
use super::output::Output;
use crate::app::App;
use crate::services::feeds;

#[derive(Debug, Subcommand)]
pub(crate) enum FeedCommand {
    /// Say that there was no use on a day without events: who waits for it is closed by the next tick
    Confirm {
        /// The events' source, as `tick` names it
        source: String,
        /// The day (UTC), like 2026-02-24
        #[arg(long, value_name = "DATE")]
        day: NaiveDate,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

pub(super) async fn run(app: &Arc<App>, command: FeedCommand, output: &Output) -> Result<Outcome> {
    let FeedCommand::Confirm { source, day, reason } = command;
    feeds::confirm(app, &source, day, &reason).await?;
    output.result(&json!({"source": source, "day": day}), || {
        format!("{day} of source {source:?} is complete without events; the next tick closes who waited for it.")
    });
    Ok(Outcome::Done)
}
