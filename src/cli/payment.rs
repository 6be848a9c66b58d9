//! `payment list|record|void`, `refund record`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::Outcome;
use super::arguments::{PaymentCommand, RefundCommand};
use super::output::Output;
use crate::app::App;
use crate::jobs::requests;
use crate::services::charging::Transfer;
use crate::services::invoices;

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
            print(app, &number, output).await?;
            Ok(if report.is_clean() { Outcome::Done } else { Outcome::Trouble })
        }
        PaymentCommand::Void { number, reason } => {
            let report = requests::void_charge(app, &number, &reason).await?;
            print(app, &number, output).await?;
            Ok(if report.is_clean() { Outcome::Done } else { Outcome::Trouble })
        }
    }
}

pub(super) async fn refund(
    app: &Arc<App>,
    command: RefundCommand,
    output: &Output,
) -> Result<Outcome> {
    let RefundCommand::Record { number, reference, reason } = command;
    let report = requests::record_refund(app, &number, &reference, &reason).await?;
    output.result(&json!({"credit_note": number, "refund": "succeeded"}), || {
        format!("The money of credit note {number} has gone back by transfer.")
    });
    Ok(if report.is_clean() { Outcome::Done } else { Outcome::Trouble })
}

async fn print(app: &App, number: &str, output: &Output) -> Result<()> {
    let shown = invoices::show(app, number).await?;
    let (row, total) = (&shown.row, shown.row.money(shown.row.total)?);
    output.result(
        &json!({"invoice": number, "status": row.status, "payment_status": row.payment_status,
            "amount": row.money(row.amount_due)?}),
        || {
            format!(
                "Invoice {number} of {total} is {}, payment {}.",
                row.status, row.payment_status
            )
        },
    );
    Ok(())
}
