//! `payment record`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::Outcome;
use super::arguments::PaymentCommand;
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
    let PaymentCommand::Record { number, amount, on, reference, reason } = command;
    let transfer = Transfer {
        number: &number,
        amount: amount.as_deref(),
        received_on: on.unwrap_or_else(|| app.clock.now().date_naive()),
        reference: &reference,
        reason: &reason,
    };
    let report = requests::record_transfer(app, &transfer).await?;
    let shown = invoices::show(app, &number).await?;
    let paid = shown.row.money(shown.row.amount_due)?;
    output.result(
        &json!({"invoice": number, "status": shown.row.status, "payment_status": shown.row.payment_status,
            "amount": paid}),
        || format!("Invoice {number} is {}: {paid} received.", shown.row.status),
    );
    Ok(if report.is_clean() { Outcome::Done } else { Outcome::Trouble })
}
