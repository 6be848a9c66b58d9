//! What people ask about money: buy, record a transfer, correct an invoice, close a charge, open a page to pay.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::payment::{ChargeOutcome, ChargeState, Decline, RefundOutcome};
use crate::jobs::plan::daily_run;
use crate::jobs::report::Report;
use crate::jobs::runner::Runner;
use crate::jobs::steps::{follow_up, subject_step};
use crate::jobs::{StepKind, names};
use crate::payments::GatewayError;
use crate::services::charging::{self, Transfer};
use crate::services::consequences::Consequences;
use crate::services::purchases::{self, Begun, Wanted};
use crate::services::{ServiceError, credit_notes, identity, refunds};
use crate::storage::charges::Charge;
use crate::storage::purchases as purchases_stored;
use crate::storage::refunds::{self as refund_rows, Refund};
use crate::storage::{Tx, audit, charges, documents, invoices, ledger, steps};

/// Buys credits: charges the stored method, grants when paid, mails the receipt. Gives the purchase's id.
///
/// # Errors
/// See [`purchases::begin`].
pub async fn buy(
    app: &Arc<App>,
    organization: &str,
    wanted: &Wanted,
) -> Result<(String, Report), ServiceError> {
    identity::allow_money(app).await?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let begun = purchases::begin(app, &mut tx, organization, wanted, false).await?;
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    let (purchase, refused) = match begun {
        Begun::Charge(purchase, charge) => {
            let step = subject_step(StepKind::Charge, &run, Some(organization), &charge.id, 0, now);
            steps::add(&mut tx, &[step], now).await?;
            (purchase, None)
        }
        Begun::Declined(purchase, none) => (purchase, Some(none)),
    };
    let command = format!("credits buy {organization} {} ({})", purchase.credits, purchase.id);
    audit::append(&mut tx, now, &app.actor, &command, "purchase").await?;
    tx.commit().await?;
    let report = Runner::new(app.clone(), CancellationToken::new())?.finish_run(&run).await?;
    if let Some(none) = refused {
        tracing::warn!(organization, "nothing was charged: {}", none.reason());
    }
    Ok((purchase.id, report))
}

/// Records a bank transfer and mails the receipt.
///
/// # Errors
/// See [`charging::record_transfer`].
pub async fn record_transfer(
    app: &Arc<App>,
    transfer: &Transfer<'_>,
) -> Result<Report, ServiceError> {
    let mut tx = app.db.write().await?;
    let follows = charging::record_transfer(app, &mut tx, transfer).await?;
    finish(app, tx, &follows).await
}

/// Takes a transfer that was recorded by mistake back, and tells the customer.
///
/// # Errors
/// See [`charging::reverse_transfer`].
pub async fn reverse_transfer(
    app: &Arc<App>,
    number: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    let mut tx = app.db.write().await?;
    let follows = charging::reverse_transfer(app, &mut tx, number, reason).await?;
    finish(app, tx, &follows).await
}

/// Commits a request with the steps it leaves behind, in today's run, and does them. What troubled somebody in
/// that run before is not this request's trouble, and not reported as such.
async fn finish(
    app: &Arc<App>,
    mut tx: Tx,
    follows: &Consequences,
) -> Result<Report, ServiceError> {
    let now = app.clock.now();
    let run = daily_run(&mut tx, names::PURCHASES, now).await?;
    let before: HashSet<String> =
        steps::troubled(&mut tx, &run).await?.into_iter().map(|step| step.id).collect();
    steps::add(&mut tx, &follow_up(follows, &run, 0, now), now).await?;
    tx.commit().await?;
    let runner = Runner::new(app.clone(), CancellationToken::new())?;
    let mut report = runner.finish_run(&run).await?;
    for done in &mut report.runs {
        done.troubled.retain(|step| !before.contains(&step.id));
    }
    Ok(report)
}

/// Issues a credit note, renders and mails it, and sends its money back. Gives its number.
///
/// # Errors
/// See [`credit_notes::issue`].
pub async fn credit(
    app: &Arc<App>,
    wanted: &credit_notes::Wanted<'_>,
) -> Result<(String, Report), ServiceError> {
    let mut tx = app.db.write().await?;
    let issued = credit_notes::issue(app, &mut tx, wanted).await?;
    let report = finish(app, tx, &issued.follows).await?;
    Ok((issued.number, report))
}

/// Records that finance transferred the money of a credit note back.
///
/// # Errors
/// See [`refunds::record_transfer`].
pub async fn record_refund(
    app: &Arc<App>,
    number: &str,
    reference: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    let stuck = never_made(app, number).await?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    if let Some(refund) = stuck {
        // As of a charge that is closed by hand: a worker may have sent it while the provider was asked.
        steps::finish_subject(&mut tx, &refund.organization, &refund.id, now).await?;
        ledger::lock(&mut tx, &refund.organization, &refund.organization).await?;
        let stored = refund_rows::get(&mut tx, &refund.organization, &refund.id).await?;
        let moved = |stored: &Refund| {
            (&stored.state, stored.first_sent_at) != (&refund.state, refund.first_sent_at)
        };
        if stored.as_ref().is_none_or(moved) {
            return Err(ServiceError::Refused(format!(
                "the refund of credit note {number} moved on while the provider was asked; look again"
            )));
        }
        let outcome = RefundOutcome::Failed {
            provider_id: None,
            message: "the provider knows no such refund; closed by hand".to_owned(),
        };
        // Its successor is the transfer that is recorded below, in the same transaction.
        let _ = refunds::settle(app, &mut tx, &refund, &outcome).await?;
    }
    let follows = refunds::record_transfer(app, &mut tx, number, reference, reason).await?;
    finish(app, tx, &follows).await
}

/// A refund of a credit note that the provider was asked for and, asked again, does not know, too long ago to
/// be sent any more: a transfer may take its place.
async fn never_made(app: &App, number: &str) -> Result<Option<Refund>, ServiceError> {
    let mut tx = app.db.read().await?;
    let Some(note) = documents::by_number(&mut tx, number).await? else { return Ok(None) };
    let asked = refund_rows::of_document(&mut tx, &note.organization, &note.id).await?;
    let open = |refund: &Refund| refund.method == "charge" && !refund.is_final();
    let Some(refund) = asked.into_iter().find(open) else { return Ok(None) };
    let request = refunds::request(&mut tx, &refund).await?;
    drop(tx);
    // Another account than the one that was asked for it knows nothing of it.
    identity::allow_money(app).await?;
    let young = |first| app.clock.now() - first < QUIET;
    match app.gateway.lookup_refund(&request).await {
        Ok(None) if !refund.first_sent_at.is_some_and(young) => Ok(Some(refund)),
        Ok(_) => Err(ServiceError::Refused(format!(
            "the provider is still at the refund of credit note {number}; wait until it has ended"
        ))),
        Err(error) => Err(ServiceError::Refused(error.to_string())),
    }
}

/// How long an unknown charge must have been quiet before a person may close it.
const QUIET: chrono::Duration = chrono::Duration::hours(24);

/// Closes an invoice's open charge as not taken, after a person checked with the provider. The provider is
/// asked once more: a charge it took is settled instead.
///
/// # Errors
/// No such invoice, no open charge, an unknown one sent less than a day ago, or a provider that does
/// not answer.
pub async fn void_charge(
    app: &Arc<App>,
    number: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    identity::allow_money(app).await?;
    let now = app.clock.now();
    let mut tx = app.db.read().await?;
    let (organization, subject) = match invoices::by_number(&mut tx, number).await? {
        Some(row) => (row.organization, row.id),
        None => purchases_stored::by_id(&mut tx, number)
            .await?
            .map(|purchase| (purchase.organization, purchase.id))
            .ok_or_else(|| crate::services::invoices::no_invoice(number))?,
    };
    let attempts = charges::of_subject(&mut tx, &organization, &subject).await?;
    drop(tx);
    let Some(charge) = attempts
        .into_iter()
        .find(|charge| charge.state.is_live() && charge.state != ChargeState::Succeeded)
    else {
        return Err(ServiceError::Refused(format!("{number} has no open charge")));
    };
    let unclear = matches!(charge.state, ChargeState::Sent | ChargeState::Unknown);
    if unclear && charge.first_sent_at.is_some_and(|first| now - first < QUIET) {
        return Err(ServiceError::Refused(format!(
            "the charge of {number} was sent less than a day ago and may still go through; wait"
        )));
    }
    let outcome = end_for_good(app, &charge, number, reason).await?;
    let mut tx = app.db.write().await?;
    // A worker may have sent it while the provider was asked: what was looked at must still be what is there. Whoever
    // sends holds the step, so it is taken first: later ones are fenced out, and what earlier ones wrote is seen.
    steps::finish_subject(&mut tx, &organization, &charge.id, now).await?;
    ledger::lock(&mut tx, &organization, &organization).await?;
    let still = charges::get(&mut tx, &organization, &charge.id).await?.is_some_and(|stored| {
        (stored.state, stored.first_sent_at) == (charge.state, charge.first_sent_at)
    });
    if !still {
        return Err(ServiceError::Refused(format!(
            "the charge of {number} moved on while the provider was asked; look again"
        )));
    }
    let follows = charging::settle(app, &mut tx, &charge, &outcome).await?;
    let command = format!("payment void {number}, attempt {}: {}", charge.attempt, outcome.state());
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    finish(app, tx, &follows).await
}

/// Makes sure at the provider that a charge takes nothing any more, and gives how it ended. What waits for the
/// customer is called off there too: he could still act, and pay beside a later attempt.
async fn end_for_good(
    app: &App,
    charge: &Charge,
    number: &str,
    reason: &str,
) -> Result<ChargeOutcome, ServiceError> {
    let refused = |error: GatewayError| ServiceError::Refused(error.to_string());
    let mut known = app.gateway.lookup(&charge.request).await.map_err(refused)?;
    if let Some(ChargeOutcome::NeedsAction { .. }) = known {
        known = app.gateway.cancel(&charge.request).await.map_err(refused)?;
    }
    let waits = matches!(charge.state, ChargeState::Pending | ChargeState::NeedsAction);
    let recent = charge.first_sent_at.is_some_and(|first| app.clock.now() - first < QUIET);
    match known {
        Some(outcome @ ChargeOutcome::Succeeded { .. }) => Ok(outcome),
        Some(ChargeOutcome::Pending { .. } | ChargeOutcome::NeedsAction { .. }) => {
            Err(ServiceError::Refused(format!(
                "the provider says the charge of invoice {number} is still pending; it may go through: wait"
            )))
        }
        // It had it, and does not list it now: that may be its delay.
        None if waits && recent => Err(ServiceError::Refused(format!(
            "the provider does not find the charge of invoice {number}, which was sent less than a day ago; wait"
        ))),
        None | Some(ChargeOutcome::Declined { .. }) => Ok(ChargeOutcome::Declined {
            provider_id: charge.provider_id.clone(),
            decline: Decline {
                code: crate::domain::payment::VOIDED.to_owned(),
                hard: false,
                message: format!("closed by {} as not taken: {reason}", app.actor),
            },
        }),
    }
}
