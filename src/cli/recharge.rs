//! `recharge set|off|list`: automatic purchases.

use std::sync::Arc;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::reason;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::domain::credits::Credits;
use crate::services::recharges::{self, Listed, Settings};

#[derive(Debug, Subcommand)]
pub(crate) enum RechargeCommand {
    /// Buy a package whenever fewer credits are left, within limits; also turns it on again after it stopped
    Set(SetArguments),
    /// Buy nothing by itself any more
    Off {
        /// The organization's id
        organization: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Who buys what, and how it goes
    List,
}

#[derive(Debug, Args)]
pub(crate) struct SetArguments {
    /// The organization's id
    organization: String,
    /// Fewer available credits than this
    #[arg(long, value_name = "CREDITS")]
    below: Credits,
    /// The package to buy
    #[arg(long)]
    package: String,
    /// Most money a calendar month, tax included, like 500.00
    #[arg(long, value_name = "AMOUNT")]
    monthly_limit: String,
    /// Minutes between two purchases
    #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    cool_off: u32,
    /// Why, for the audit trail
    #[arg(long, value_parser = reason)]
    reason: String,
}

pub(super) async fn run(
    app: &Arc<App>,
    command: RechargeCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        RechargeCommand::Set(given) => {
            let settings = Settings {
                threshold: given.below,
                package: &given.package,
                monthly_limit: &given.monthly_limit,
                cool_off_minutes: given.cool_off,
            };
            let listed = recharges::set(app, &given.organization, &settings, &given.reason).await?;
            output.result(&object(&listed), || {
                format!(
                    "{} buys {} whenever fewer than {} credits are left, for at most {} a month, tax included.",
                    given.organization, given.package, given.below, listed.limit
                )
            });
        }
        RechargeCommand::Off { organization, reason } => {
            recharges::off(app, &organization, &reason).await?;
            output.result(&json!({"organization": organization, "state": "off"}), || {
                format!("{organization} buys nothing by itself any more.")
            });
        }
        RechargeCommand::List => {
            let all = recharges::list(app).await?;
            let objects: Vec<Value> = all.iter().map(object).collect();
            output.result(&json!({"recharges": objects}), || {
                if all.is_empty() {
                    return "Nobody buys credits automatically.".to_owned();
                }
                let rows = all.iter().map(cells).collect();
                let header = [
                    "organization",
                    "state",
                    "below",
                    "package",
                    "spent",
                    "of a month",
                    "cool-off (min)",
                    "failures",
                    "last",
                ];
                table(&header, &[2, 4, 5, 6, 7], rows)
            });
        }
    }
    Ok(Outcome::Done)
}

fn object(Listed { recharge, limit, spent }: &Listed) -> Value {
    json!({"organization": recharge.organization, "state": recharge.state,
        "below": Credits::from_nano(recharge.threshold), "package": recharge.package,
        "monthly_limit": limit, "spent_this_month": spent,
        "monthly_limit_minor": recharge.monthly_limit, "cool_off_minutes": recharge.cool_off_minutes,
        "failures": recharge.failures, "last_at": recharge.last_at.map(instant)})
}

fn cells(Listed { recharge, limit, spent }: &Listed) -> Vec<String> {
    vec![
        recharge.organization.clone(),
        recharge.state.clone(),
        Credits::from_nano(recharge.threshold).to_string(),
        recharge.package.clone(),
        spent.amount_text(),
        limit.to_string(),
        recharge.cool_off_minutes.to_string(),
        recharge.failures.to_string(),
        recharge.last_at.map(instant).unwrap_or_default(),
    ]
}
