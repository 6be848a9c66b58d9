//! `credits balance`, `statement`, `forecast`, `grant`, `buy`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::{BuyArguments, CreditsCommand};
use super::output::{Output, instant, state_text, table};
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::statement::CreditStatement;
use crate::jobs::requests;
use crate::services::purchases::{self, Wanted};
use crate::services::{ServiceError, admission, credits};

pub(super) async fn run(
    app: &Arc<App>,
    command: CreditsCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        CreditsCommand::Balance { organization } => balance(app, &organization, output).await,
        CreditsCommand::Statement { organization, cycle } => {
            statement(app, &organization, cycle, output).await
        }
        CreditsCommand::Grant { organization, credits: amount, reason, source } => {
            let grant = credits::grant(app, &organization, amount, source, &reason).await?;
            output.result(&json!({"grant": grant}), || {
                format!("Granted {amount} credits to {organization}: {grant}")
            });
            Ok(Outcome::Done)
        }
        CreditsCommand::Forecast { organization } => {
            super::forecast::run(app, &organization, output).await
        }
        CreditsCommand::Buy(arguments) => buy(app, arguments, output).await,
    }
}

async fn balance(app: &App, id: &str, output: &Output) -> Result<Outcome> {
    let balance = credits::balance(app, id).await?;
    let grants: Vec<Value> = balance
        .grants
        .iter()
        .map(|open| {
            let grant = &open.grant;
            json!({"id": grant.id, "source": grant.source, "cycle": grant.cycle, "granted": grant.granted,
                "remaining": open.remaining, "expires_at": grant.expires_at.map(instant)})
        })
        .collect();
    let object = json!({
        "organization": balance.organization, "as_of": instant(balance.as_of),
        "state": admission::state(balance.reason), "reason": balance.reason, "available": balance.available, "posted": balance.posted,
        "unbilled": balance.unbilled, "deficit": balance.deficit, "grants": grants,
    });
    output.result(&object, || {
        let rows = balance
            .grants
            .iter()
            .map(|open| {
                let grant = &open.grant;
                vec![
                    grant.id.clone(),
                    grant.source.to_string(),
                    grant.cycle.to_string(),
                    grant.granted.to_string(),
                    open.remaining.to_string(),
                    grant.expires_at.map_or("never".to_owned(), instant),
                ]
            })
            .collect();
        format!(
            "{}: {} credits available ({}) as of {}\n  {} in grants − {} used since the last close − {} deficit\n{}",
            balance.organization,
            balance.available,
            state_text(balance.reason),
            instant(balance.as_of),
            balance.posted,
            balance.unbilled,
            balance.deficit,
            table(&["grant", "source", "cycle", "granted", "remaining", "expires at"], &[3, 4], rows)
        )
    });
    Ok(Outcome::Done)
}

async fn statement(app: &App, id: &str, cycle: Cycle, output: &Output) -> Result<Outcome> {
    let statement = credits::statement(app, id, cycle).await?;
    output.result(&statement_json(&statement)?, || statement_text(&statement));
    Ok(Outcome::Done)
}

/// A statement for programs; instants in the contract's form.
pub(super) fn statement_json(statement: &CreditStatement) -> Result<Value> {
    Ok(serde_json::to_value(statement)?)
}

/// A statement for people.
pub(super) fn statement_text(s: &CreditStatement) -> String {
    let mut rows: Vec<Vec<String>> = s
        .grants
        .iter()
        .map(|grant| {
            vec![
                grant.source.to_string(),
                grant.cycle.to_string(),
                grant.opening.to_string(),
                grant.granted.to_string(),
                grant.used.to_string(),
                grant.expired.to_string(),
                grant.closing.to_string(),
                grant.expires_at.map_or("never".to_owned(), instant),
            ]
        })
        .collect();
    let granted = s.granted.plus(s.purchased).map_or_else(|e| e.to_string(), |c| c.to_string());
    rows.push(vec![
        "total".to_owned(),
        String::new(),
        s.opening.to_string(),
        granted,
        s.used.to_string(),
        s.expired.to_string(),
        s.closing.to_string(),
        String::new(),
    ]);
    let state = match s.state {
        crate::domain::statement::StatementState::Open => "open, so far",
        crate::domain::statement::StatementState::Closed => "closed",
    };
    format!(
        "Credit statement of {} for {} ({state})\n{}\nrated {} + deficit brought {} = used {} + overage {} + deficit {}",
        s.organization,
        s.cycle,
        table(
            &[
                "source",
                "granted in",
                "opening",
                "granted",
                "used",
                "expired",
                "closing",
                "expires at"
            ],
            &[2, 3, 4, 5, 6],
            rows
        ),
        s.rated,
        s.deficit_brought,
        s.used,
        s.overage,
        s.deficit
    )
}

async fn buy(app: &Arc<App>, arguments: BuyArguments, output: &Output) -> Result<Outcome> {
    let wanted = match (arguments.wanted.credits, arguments.wanted.package) {
        (Some(credits), _) => Wanted::Credits(credits),
        (None, Some(package)) => Wanted::Package(package),
        (None, None) => {
            return Err(ServiceError::Refused("give --credits or --package".to_owned()).into());
        }
    };
    let (id, _) = requests::buy(app, &arguments.organization, &wanted).await?;
    let purchase = purchases::get(app, &arguments.organization, &id).await?;
    let status = purchases::status(app, &purchase).await?;
    let charged = purchase.net.plus(purchase.tax)?;
    let object = json!({"purchase": id, "status": status, "grant": purchase.grant,
        "credits": purchase.credits, "charged": charged});
    output.result(&object, || match &purchase.grant {
        Some(grant) => format!("Bought {} credits for {charged}: {grant}", purchase.credits),
        None if status == "declined" => format!(
            "Purchase {id} of {} credits for {charged} was declined; nothing was granted.",
            purchase.credits
        ),
        None => format!(
            "Purchase {id} of {} credits for {charged} is {status}; they are granted once it is paid.",
            purchase.credits
        ),
    });
    Ok(if purchase.grant.is_some() { Outcome::Done } else { Outcome::Trouble })
}
