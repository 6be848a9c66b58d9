//! `payment list|record|reverse|void`, `refund record`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::{PaymentCommand, RefundCommand};
use super::output::{Output, table};
use crate::app::App;
use crate::jobs::report::Report;
use crate::jobs::requests;
use crate::services::charging::{Transfer, transfers};
use crate::services::{invoices, refunds};

pub(super) async fn run(
    app: &Arc<App>,
    command: PaymentCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        PaymentCommand::List { organization, limit } => {
            super::history::payments(app, organization.as_deref(), limit, output).await
        }
        PaymentCommand::Record { number, amount, on, reference, reason } => {
            let transfer = Transfer {
                number: &number,
                amount: amount.as_deref(),
                received_on: on.unwrap_or_else(|| app.clock.now().date_naive()),
                reference: &reference,
                reason: &reason,
            };
            let report = requests::record_transfer(app, &transfer).await?;
            let others = transfers::others_with(app, &number, &reference).await?;
            print(app, &number, &others, output).await?;
            Ok(outcome(&report))
        }
        PaymentCommand::Reverse { number, reason } => {
            let report = requests::reverse_transfer(app, &number, &reason).await?;
            print(app, &number, &[], output).await?;
            Ok(outcome(&report))
        }
        PaymentCommand::Void { number, reason } => {
            let report = requests::void_charge(app, &number, &reason).await?;
            if number.starts_with("pur_") {
                output.result(&json!({"purchase": number, "charge": "closed"}), || {
                    format!("The charge of purchase {number} is closed; `history ORG` shows how it ended.")
                });
            } else {
                print(app, &number, &[], output).await?;
            }
            Ok(outcome(&report))
        }
    }
}

pub(super) async fn refund(
    app: &Arc<App>,
    command: RefundCommand,
    output: &Output,
) -> Result<Outcome> {
    let (number, reference, reason) = match command {
        RefundCommand::List => return refunds_owed(app, output).await,
        RefundCommand::Record { number, reference, reason } => (number, reference, reason),
    };
    let report = requests::record_refund(app, &number, &reference, &reason).await?;
    output.result(&json!({"credit_note": number, "refund": "succeeded"}), || {
        format!("The money of credit note {number} has gone back by transfer.")
    });
    Ok(outcome(&report))
}

/// Refunds that have not ended: on their way at the provider, or to be transferred by finance.
async fn refunds_owed(app: &App, output: &Output) -> Result<Outcome> {
    let open = refunds::open(app).await?;
    let objects: Vec<Value> = open
        .iter()
        .map(|(number, refund, amount)| {
            json!({"credit_note": number, "organization": refund.organization, "amount": amount,
                "method": refund.method, "state": refund.state, "message": refund.message})
        })
        .collect();
    output.result(&json!({"refunds": objects}), || {
        if open.is_empty() {
            return "No refund is owed.".to_owned();
        }
        let rows = open
            .iter()
            .map(|(number, refund, amount)| {
                let by = if refund.method == "transfer" { "transfer it" } else { "the provider" };
                let organization = refund.organization.clone();
                vec![
                    number.clone(),
                    organization,
                    amount.to_string(),
                    by.to_owned(),
                    refund.state.clone(),
                ]
            })
            .collect();
        table(&["credit note", "organization", "amount", "by", "state"], &[2], rows)
    });
    Ok(Outcome::Done)
}

/// A request reports its own trouble only.
pub(super) fn outcome(report: &Report) -> Outcome {
    if report.is_clean() { Outcome::Done } else { Outcome::Trouble }
}

/// Where an invoice stands now, and which others the same reference of the bank was recorded for.
async fn print(app: &App, number: &str, others: &[String], output: &Output) -> Result<()> {
    let shown = invoices::show(app, number).await?;
    let (row, total) = (&shown.row, shown.row.money(shown.row.total)?);
    output.result(
        &json!({"invoice": number, "status": row.status, "payment_status": row.payment_status,
            "amount": row.money(row.amount_due)?, "same_reference": others}),
        || {
            let mut text = format!(
                "Invoice {number} of {total} is {}, payment {}.",
                row.status, row.payment_status
            );
            if !others.is_empty() {
                text.push_str(&format!(
                    "\nThe same reference is recorded for {}, too: right if one transfer pays them all; otherwise \
                     `payment reverse NUMBER` takes the wrong one back.",
                    others.join(", ")
                ));
            }
            text
        },
    );
    Ok(())
}
