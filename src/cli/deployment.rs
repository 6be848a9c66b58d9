//! `deployment show|join|adopt-gateway`: who may charge and send for a database.

use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use serde_json::json;

use super::Outcome;
use super::arguments::reason;
use super::output::Output;
use crate::app::App;
use crate::services::identity;

#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentCommand {
    /// Which deployment the database is, and whether this folder may charge and send for it
    Show,
    /// Let this folder charge and send for the database's deployment: a second host, or one that was restored
    Join {
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Let the configured provider account collect from now on: another account, or a new key of the same one
    AdoptGateway {
        /// The account is the same, only its key is another one; else no charge or refund may be under way
        #[arg(long)]
        same_account: bool,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
}

pub(super) async fn run(
    app: &Arc<App>,
    command: DeploymentCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        DeploymentCommand::Show => show(app, output).await,
        DeploymentCommand::Join { reason } => {
            identity::join(app, &reason).await?;
            let id = &app.deployment;
            output.result(&json!({"deployment": id}), || {
                format!("This folder now charges and sends for deployment {id}; a running `serve` needs a restart.")
            });
            Ok(Outcome::Done)
        }
        DeploymentCommand::AdoptGateway { same_account, reason } => {
            let before = identity::adopt_gateway(app, same_account, &reason).await?;
            let now = app.identity.gateway().unwrap_or_default();
            output.result(&json!({"gateway": now, "before": before}), || {
                format!(
                    "{now} now collects for this deployment; a running `serve` needs a restart."
                )
            });
            Ok(Outcome::Done)
        }
    }
}

async fn show(app: &Arc<App>, output: &Output) -> Result<Outcome> {
    let gateway = identity::gateway(app).await?;
    let refusal = app.identity.refusal();
    let effects = if refusal.is_none() { "allowed" } else { "refused" };
    let object = json!({
        "deployment": app.deployment, "mode": app.config.mode.as_str(), "gateway": gateway,
        "configured_gateway": app.identity.gateway(), "effects": effects, "reason": refusal,
    });
    output.result(&object, || {
        let gateway = gateway.as_deref().unwrap_or("none yet: the first one that is used");
        let said = refusal.unwrap_or("this folder may charge and send for it");
        format!(
            "deployment {}, mode {}\ngateway {gateway}\n{said}",
            app.deployment,
            app.config.mode.as_str()
        )
    });
    Ok(Outcome::Done)
}
