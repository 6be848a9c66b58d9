//! What becomes of a purchase when its charge ends: granted and receipted once, or not at all.

use chrono::{DateTime, Utc};

use super::is_called_off;
use crate::app::App;
use crate::domain::close::PaidPurchase;
use crate::domain::cycle::Cycle;
use crate::domain::document::{Document, Receipt};
use crate::domain::grant::{Grant, Source};
use crate::domain::ids;
use crate::domain::invoice::TaxSubtotal;
use crate::domain::invoice_lines::purchase_line;
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::payment::ChargeOutcome;
use crate::mail::facts::last_day_before;
use crate::services::consequences::Consequences;
use crate::services::credits::{add_grant, current_cycle, make_grant};
use crate::services::issuing::{self, Filing};
use crate::services::{ServiceError, catalogs, methods, recharges};
use crate::storage::charges::Charge;
use crate::storage::organizations::Stored;
use crate::storage::purchases::{self, Purchase};
use crate::storage::{Tx, ledger};

pub(super) async fn settle(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    outcome: &ChargeOutcome,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Consequences, ServiceError> {
    let id = stored.organization.id.as_str();
    let purchase = purchases::get(tx, id, &charge.subject_id).await?.ok_or_else(|| {
        ServiceError::Refused(format!("purchase {} of {id} is not stored", charge.subject_id))
    })?;
    match outcome {
        ChargeOutcome::Succeeded { .. } => grant(app, tx, charge, &purchase, stored, now).await,
        ChargeOutcome::Declined { decline, .. } => {
            // The buyer is told on the spot by the command's answer; no mail.
            purchases::mark_declined(tx, &purchase).await?;
            if purchase.automatic && !is_called_off(outcome) {
                return recharges::failed(app, tx, &stored.organization, &decline.message).await;
            }
            Ok(Consequences::default())
        }
        ChargeOutcome::NeedsAction { .. } | ChargeOutcome::Pending { .. } => {
            Ok(Consequences::default())
        }
    }
}

async fn grant(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    purchase: &Purchase,
    stored: &Stored,
    now: DateTime<Utc>,
) -> Result<Consequences, ServiceError> {
    let id = stored.organization.id.as_str();
    let cycle = current_cycle(tx, stored, now).await?;
    let history = catalogs::History::load(tx).await?;
    let term = history.in_force(now).catalog.purchase_term;
    let grant =
        make_grant(stored, Source::Purchase, cycle, purchase.credits, term, now, &purchase.id);
    if !purchases::mark_paid(tx, purchase, cycle, &grant.id, now).await? {
        return Ok(Consequences::default());
    }
    add_grant(app, tx, id, &grant, None, now).await?;
    let amount = charge.request.amount;
    let held = amount.negated()?;
    let posting = Posting::new(
        "purchase",
        format!("purchase:{}", purchase.id),
        cycle,
        now,
        [books::money_entry(Account::Cash, amount), books::money_entry(Account::Prepayments, held)],
    );
    ledger::post_for(tx, id, vec![posting], now).await?;
    if purchase.automatic {
        recharges::succeeded(tx, id).await?;
    }
    let document = receipt(app, tx, charge, purchase, stored, (&grant, cycle, now)).await?;
    Ok(Consequences { documents: vec![(id.to_owned(), document)], ..Consequences::default() })
}

/// Issues the receipt: an invoice over a payment in advance, in a series of its own. Gives its id.
async fn receipt(
    app: &App,
    tx: &mut Tx,
    charge: &Charge,
    purchase: &Purchase,
    stored: &Stored,
    (grant, cycle, now): (&Grant, Cycle, DateTime<Utc>),
) -> Result<String, ServiceError> {
    let organization = &stored.organization;
    let id = ids::derived("rct", now, &[&organization.id, &purchase.id]);
    let total = charge.request.amount;
    let mut line = purchase_line(
        cycle,
        &PaidPurchase {
            id: purchase.id.clone(),
            package: purchase.package_name.clone(),
            credits: purchase.credits,
            net: purchase.net,
            tax_percent: purchase.tax_percent,
            gross: total,
        },
    );
    if purchase.automatic {
        line.description.push_str(", bought automatically");
    }
    let label = methods::label(app, tx, &organization.id, &charge.request.payment_method).await?;
    let filing = Filing {
        id: &id,
        prefix: &app.config.invoices.receipt_prefix,
        subject: "purchase",
        subject_id: &purchase.id,
        cycle,
        amounts: [purchase.net, purchase.tax, total],
    };
    let taxed = !purchase.tax_percent.is_zero() || !purchase.tax.is_zero();
    let subtotal =
        TaxSubtotal { percent: purchase.tax_percent, taxable: purchase.net, amount: purchase.tax };
    let (net, tax, credits) = (purchase.net, purchase.tax, purchase.credits);
    let paid_on = now.with_timezone(&organization.zone).date_naive();
    let usable_until = grant.expires_at.map(|at| last_day_before(at, organization.zone));
    issuing::issue(app, tx, organization, &filing, |head| {
        Document::Receipt(Receipt {
            head,
            organization: organization.id.clone(),
            purchase: purchase.id.clone(),
            cycle,
            lines: vec![line],
            tax_subtotals: if taxed { vec![subtotal] } else { Vec::new() },
            subtotal: net,
            tax,
            total,
            paid_on,
            paid_with: label,
            credits,
            usable_until,
        })
    })
    .await?;
    Ok(id)
}
