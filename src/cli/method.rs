//! `method list|add|remove|refresh|link|portal|risks`: saved payment methods.

use std::sync::Arc;

use anyhow::Result;
use clap::Subcommand;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::reason;
use super::output::{Output, instant, table};
use crate::app::App;
use crate::domain::money::{Currency, Money};
use crate::services::methods::{self, masked};
use crate::services::readiness::{self, Risk, word};
use crate::services::{ServiceError, pay_pages};

#[derive(Debug, Subcommand)]
pub(crate) enum MethodCommand {
    /// Saved payment methods of an organization, the one charged first on top
    List {
        /// The organization's id
        organization: String,
    },
    /// Save a method by the provider's token: the default where there is none, else a fallback
    Add {
        /// The organization's id
        organization: String,
        /// The provider's token of it; never a card number
        token: String,
        /// Charge it first from now on
        #[arg(long)]
        default: bool,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Take a method away; it is never charged again
    Remove {
        /// The organization's id
        organization: String,
        /// The provider's token of it
        token: String,
        /// Why, for the audit trail
        #[arg(long, value_parser = reason)]
        reason: String,
    },
    /// Ask the provider what is still valid, and what may be shown
    Refresh {
        /// The organization's id
        organization: String,
    },
    /// A page of the provider where the customer saves a method
    Link {
        /// The organization's id
        organization: String,
    },
    /// A page of the provider where the customer sees and changes saved methods
    Portal {
        /// The organization's id
        organization: String,
    },
    /// Methods that will probably not work on the 1st, and how much money that is
    Risks,
}

pub(super) async fn run(
    app: &Arc<App>,
    command: MethodCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        MethodCommand::List { organization } => list(app, &organization, output).await,
        MethodCommand::Add { organization, token, default, reason } => {
            methods::add(app, &organization, &token, default, &reason).await?;
            list(app, &organization, output).await
        }
        MethodCommand::Remove { organization, token, reason } => {
            methods::remove(app, &organization, &token, &reason).await?;
            list(app, &organization, output).await
        }
        MethodCommand::Refresh { organization } => {
            methods::refresh(app, &organization).await?;
            list(app, &organization, output).await
        }
        MethodCommand::Link { organization } => {
            let page = pay_pages::save_method(app, &organization).await?;
            print_page(&organization, &page, output);
            Ok(Outcome::Done)
        }
        MethodCommand::Portal { organization } => {
            let page = pay_pages::portal(app, &organization).await?;
            print_page(&organization, &page, output);
            Ok(Outcome::Done)
        }
        MethodCommand::Risks => risks(app, output).await,
    }
}

fn print_page(organization: &str, url: &str, output: &Output) {
    output.result(&json!({"organization": organization, "url": url}), || url.to_owned());
}

async fn list(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let (organization, saved) = methods::list(app, id).await?;
    let budget = app.calendar().attempts_per_method;
    let is_default = |token: &str| organization.payment_method.as_deref() == Some(token);
    let objects: Vec<Value> = saved
        .iter()
        .map(|(method, failed)| {
            json!({"method": masked(&method.token), "brand": method.brand, "last4": method.last4,
                "expires": method.expires, "state": method.state, "default": is_default(&method.token),
                "failed_attempts": failed, "added_at": instant(method.added_at)})
        })
        .collect();
    output.result(&json!({"organization": id, "methods": objects}), || {
        if saved.is_empty() {
            return format!("{id} has no saved payment method; it pays by transfer.");
        }
        let rows = saved
            .iter()
            .map(|(method, failed)| {
                vec![
                    masked(&method.token),
                    method.label().unwrap_or_else(|| app.gateway.describe(&method.token)),
                    method.expires.clone().unwrap_or_default(),
                    method.state.clone(),
                    if is_default(&method.token) { "default" } else { "fallback" }.to_owned(),
                    format!("{failed} of {budget}"),
                ]
            })
            .collect();
        table(&["token", "method", "valid until", "state", "use", "failed lately"], &[], rows)
    });
    Ok(Outcome::Done)
}

async fn risks(app: &App, output: &Output) -> Result<Outcome> {
    let risks = readiness::list(app).await?;
    let totals = totals(&risks)?;
    let objects: Vec<Value> = risks
        .iter()
        .map(|risk| {
            json!({"organization": risk.organization, "trouble": word(risk.trouble), "method": risk.label,
                "expires": risk.expires, "needed_on": risk.needed_on, "expected": risk.expected})
        })
        .collect();
    output.result(&json!({"risks": objects, "at_risk": totals}), || {
        if risks.is_empty() {
            return "Every saved payment method should work on the 1st.".to_owned();
        }
        let rows = risks
            .iter()
            .map(|risk| {
                vec![
                    risk.organization.clone(),
                    word(risk.trouble).to_owned(),
                    risk.label.clone().unwrap_or_default(),
                    risk.expires.map(|cycle| cycle.to_string()).unwrap_or_default(),
                    risk.needed_on.to_string(),
                    risk.expected.to_string(),
                ]
            })
            .collect();
        let header = ["organization", "trouble", "method", "valid until", "needed on", "expected"];
        let sum: Vec<String> = totals.iter().map(Money::to_string).collect();
        format!("{}\nAt risk: {}", table(&header, &[5], rows), sum.join(", "))
    });
    Ok(Outcome::Done)
}

fn totals(risks: &[Risk]) -> Result<Vec<Money>, ServiceError> {
    let mut currencies: Vec<Currency> = risks.iter().map(|risk| risk.expected.currency()).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let mut totals = Vec::with_capacity(currencies.len());
    for currency in currencies {
        let of_currency =
            risks.iter().filter(|r| r.expected.currency() == currency).map(|risk| risk.expected);
        totals.push(Money::total(currency, of_currency)?);
    }
    Ok(totals)
}
