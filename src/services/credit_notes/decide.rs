//! What a credit note consists of: decided against the document, what was paid, and what was credited before.

use super::{Decided, Wanted, no_document};
use crate::app::App;
use crate::domain::correction::{self, Amounts};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::document::CreditSettlement;
use crate::domain::grant::Grant;
use crate::domain::invoice::{InvoiceStatus, LineKind};
use crate::domain::money::Money;
use crate::domain::payment::ChargeState;
use crate::domain::rounding;
use crate::services::{ServiceError, credits, methods};
use crate::storage::charges::{self, Charge};
use crate::storage::documents::{self, Row as DocumentRow};
use crate::storage::invoices::{self, Row as InvoiceRow};
use crate::storage::organizations::Stored;
use crate::storage::{Tx, corrections, grants, purchases};

pub(super) async fn of_invoice(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    row: &InvoiceRow,
    wanted: &Wanted<'_>,
) -> Result<Decided, ServiceError> {
    let id = stored.organization.id.as_str();
    let refused = |error: correction::CorrectionError| ServiceError::Refused(error.to_string());
    let attempts = charges::of_subject(tx, id, &row.id).await?;
    if let Some(live) = attempts
        .iter()
        .find(|charge| charge.state.is_live() && charge.state != ChargeState::Succeeded)
    {
        return Err(ServiceError::Refused(format!(
            "a charge of invoice {} is {}; it may still take the whole amount: wait until it is settled, or close it \
             with `payment void`",
            wanted.number, live.state
        )));
    }
    let Some(draft) = invoices::draft(tx, id, &row.id).await? else {
        return Err(no_document(wanted.number));
    };
    let cycle: Cycle = draft.cycle;
    let returned = match wanted.credits {
        None => Vec::new(),
        Some(credits) => {
            let earlier = corrections::of_organization(tx, id).await?;
            let label = cycle.to_string();
            let before = |grant: &str| {
                let of_grant = earlier.iter().filter(|correction| {
                    correction.grant_id == grant && correction.used_cycle.as_ref() == Some(&label)
                });
                Credits::total(of_grant.map(|c| Credits::from_nano(c.credits)))
                    .unwrap_or(Credits::ZERO)
            };
            let all: Vec<Grant> =
                grants::all(tx, id).await?.into_iter().map(|open| open.grant).collect();
            let open = credits::current_cycle(tx, stored, app.clock.now()).await?;
            correction::returns(&draft.statement, &all, before, open, credits).map_err(refused)?
        }
    };
    // Purchases are on their own receipts; they are credited there.
    let zero = Money::zero(draft.currency);
    let net = Money::total(
        draft.currency,
        draft.lines.iter().filter(|line| line.kind != LineKind::Purchase).map(|line| line.amount),
    )?;
    let whole = Amounts { net, tax: draft.amount_due.minus(net)? };
    let credited = credited(tx, id, &row.id, zero).await?;
    let amounts = match (wanted.amount, wanted.credits) {
        (None, Some(_)) => None,
        (amount, _) => {
            let net = amount.map(|text| Money::parse(text, draft.currency)).transpose()?;
            Some(correction::part(whole, credited, net).map_err(refused)?)
        }
    };
    let taken = attempts.into_iter().find(|charge| charge.state == ChargeState::Succeeded);
    let settled = match amounts {
        None => CreditSettlement::None,
        Some(amounts) if row.status()? != InvoiceStatus::Settled => {
            CreditSettlement::Offset { still_due: row.outstanding()?.minus(amounts.gross()?)? }
        }
        Some(_) => by_refund(app, tx, id, taken.as_ref()).await?,
    };
    let refunded = matches!(settled, CreditSettlement::Refund { .. });
    Ok(Decided {
        subject: "invoice",
        subject_id: row.id.clone(),
        corrects: wanted.number.to_owned(),
        corrects_issued_on: row.issued_on.unwrap_or_default(),
        cycle,
        percent: draft.tax_percent,
        amounts,
        settled,
        charge: taken.filter(|_| refunded),
        returned,
        taken_back: Vec::new(),
    })
}

async fn by_refund(
    app: &App,
    tx: &mut Tx,
    id: &str,
    taken: Option<&Charge>,
) -> Result<CreditSettlement, ServiceError> {
    Ok(match taken {
        Some(charge) if app.gateway.collects() => CreditSettlement::Refund {
            label: methods::label(app, tx, id, &charge.request.payment_method).await?,
        },
        _ => CreditSettlement::Transfer,
    })
}

/// What earlier credit notes of a subject gave back.
async fn credited(
    tx: &mut Tx,
    id: &str,
    subject_id: &str,
    zero: Money,
) -> Result<Amounts, ServiceError> {
    let mut sum = Amounts { net: zero, tax: zero };
    for row in documents::of_subject(tx, id, subject_id).await? {
        if row.kind == "credit_note" {
            sum.net = sum.net.plus(row.money(row.subtotal)?)?;
            sum.tax = sum.tax.plus(row.money(row.tax)?)?;
        }
    }
    Ok(sum)
}

pub(super) async fn of_receipt(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    row: &DocumentRow,
    wanted: &Wanted<'_>,
) -> Result<Decided, ServiceError> {
    let id = stored.organization.id.as_str();
    let refused = |error: correction::CorrectionError| ServiceError::Refused(error.to_string());
    let purchase =
        purchases::get(tx, id, &row.subject_id).await?.ok_or_else(|| no_document(wanted.number))?;
    let whole = Amounts { net: purchase.net, tax: purchase.tax };
    let zero = Money::zero(purchase.net.currency());
    let before = credited(tx, id, &purchase.id, zero).await?;
    if before.net.minor() >= whole.net.minor() && before.tax.minor() >= whole.tax.minor() {
        return Err(ServiceError::Refused(format!(
            "receipt {} is credited in full already; `invoice show` names its credit notes",
            wanted.number
        )));
    }
    // What the use so far leaves of the grant: used credits are not taken back.
    let balance = credits::left_of_grants(tx, stored).await?;
    let left = balance.into_iter().find(|open| Some(&open.grant.id) == purchase.grant.as_ref());
    let taken_back = match (&left, wanted.credits) {
        (_, None) if wanted.amount.is_some() => Vec::new(),
        (None, _) => {
            return Err(ServiceError::Refused(format!(
                "all credits of receipt {} are used or expired; nothing can be taken back: give --amount alone to \
                 credit money only",
                wanted.number
            )));
        }
        (Some(left), wanted) => {
            vec![(left.grant.clone(), correction::take_back(left, wanted).map_err(refused)?)]
        }
    };
    let net = match (wanted.amount, taken_back.first()) {
        (Some(text), _) => Money::parse(text, zero.currency())?,
        (None, Some((_, credits))) => {
            let share = rounding::price_share(purchase.net, *credits, purchase.credits)?;
            let left = whole.net.minus(before.net)?;
            if share.minor() > left.minor() { left } else { share }
        }
        (None, None) => whole.net,
    };
    let attempts = charges::of_subject(tx, id, &purchase.id).await?;
    let taken = attempts.into_iter().find(|charge| charge.state == ChargeState::Succeeded);
    let settled = by_refund(app, tx, id, taken.as_ref()).await?;
    let refunded = matches!(settled, CreditSettlement::Refund { .. });
    Ok(Decided {
        subject: "purchase",
        subject_id: purchase.id.clone(),
        corrects: wanted.number.to_owned(),
        corrects_issued_on: row.issued_on,
        cycle: row.cycle.parse().map_err(|error| ServiceError::Refused(format!("{error}")))?,
        percent: purchase.tax_percent,
        amounts: Some(correction::part(whole, before, Some(net)).map_err(refused)?),
        settled,
        charge: taken.filter(|_| refunded),
        returned: Vec::new(),
        taken_back,
    })
}
