//! Credit notes: corrections of issued invoices and receipts, in money and in credits.
//!
//! Nothing issued is ever changed. A credit note reverses net and tax, and lowers what is still to be paid
//! or sends the money back; credits it returns go to the grants they came from, under their own expiry.

mod decide;

use chrono::{DateTime, Utc};

use super::consequences::Consequences;
use super::issuing::{self, Filing};
use super::{ServiceError, charging, credits, no_organization, refunds};
use crate::app::App;
use crate::domain::correction::Amounts;
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::document::{CreditNote, CreditSettlement, Document, GrantCredits};
use crate::domain::grant::Grant;
use crate::domain::ids;
use crate::domain::invoice::{InvoiceLine, LineKind, TaxSubtotal};
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::money::Money;
use crate::mail::facts::last_day_before;
use crate::storage::charges::Charge;
use crate::storage::corrections::{self, Correction};
use crate::storage::invoices::{self, payment_status};
use crate::storage::organizations::Stored;
use crate::storage::{Tx, audit, cycles, documents, grants, ledger, organizations};

/// What finance wants corrected.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Number of the invoice or receipt.
    pub number: &'a str,
    /// Net amount to credit, like `12.30`; none: see `credits`, else all that is left.
    pub amount: Option<&'a str>,
    /// Of an invoice: used credits that go back. Of a receipt: bought credits that are taken back.
    pub credits: Option<Credits>,
    /// Why; printed on the document.
    pub reason: &'a str,
}

/// What was issued.
#[derive(Debug)]
pub struct Issued {
    /// Its number.
    pub number: String,
    /// Its organization.
    pub organization: String,
    /// What follows: the document is rendered and mailed, money sent back.
    pub follows: Consequences,
}

/// What a credit note consists of, once everything is decided.
struct Decided {
    subject: &'static str,
    subject_id: String,
    corrects: String,
    corrects_issued_on: chrono::NaiveDate,
    cycle: Cycle,
    percent: rust_decimal::Decimal,
    amounts: Option<Amounts>,
    settled: CreditSettlement,
    /// The charge the money goes back to, where it does.
    charge: Option<Charge>,
    returned: Vec<(Grant, Credits)>,
    taken_back: Vec<(Grant, Credits)>,
}

/// Issues a credit note in one transaction: number, ledger, credits, and the refund that follows.
///
/// # Errors
/// No such document, a charge that may still take the whole amount, or more than can be given back.
pub async fn issue(app: &App, tx: &mut Tx, wanted: &Wanted<'_>) -> Result<Issued, ServiceError> {
    let now = app.clock.now();
    let id = organization_of(tx, wanted.number).await?;
    ledger::lock(tx, &id, &id).await?;
    let stored = organizations::get(tx, &id).await?.ok_or_else(|| no_organization(&id))?;
    refuse_unclosed(tx, &id, now).await?;
    let decided = match invoices::by_number(tx, wanted.number).await? {
        Some(row) => decide::of_invoice(app, tx, &stored, &row, wanted).await?,
        None => match documents::by_number(tx, wanted.number).await? {
            Some(row) if row.kind == "receipt" => {
                decide::of_receipt(app, tx, &stored, &row, wanted).await?
            }
            _ => return Err(no_document(wanted.number)),
        },
    };
    let earlier = documents::of_subject(tx, &id, &decided.subject_id).await?;
    let distinction = earlier.len().to_string();
    let note_id = ids::derived("crn", now, &[&id, &decided.subject_id, &distinction]);
    let number = file(app, tx, &stored, &note_id, &decided, wanted.reason).await?;
    post(tx, &stored, &note_id, &decided, now).await?;
    let mut follows =
        Consequences { documents: vec![(id.clone(), note_id.clone())], ..Consequences::default() };
    follows.extend(settle(app, tx, &stored, &note_id, &decided).await?);
    let command = format!("invoice credit {} {number}", wanted.number);
    audit::append(tx, now, &app.actor, &command, wanted.reason).await?;
    Ok(Issued { number, organization: id, follows })
}

fn no_document(number: &str) -> ServiceError {
    ServiceError::NotFound(format!(
        "there is no invoice or receipt {:?}; `monthend invoice list` and `monthend history ORG` show all",
        number.chars().take(60).collect::<String>()
    ))
}

async fn organization_of(tx: &mut Tx, number: &str) -> Result<String, ServiceError> {
    if let Some(row) = invoices::by_number(tx, number).await? {
        return Ok(row.organization);
    }
    let row = documents::by_number(tx, number).await?.ok_or_else(|| no_document(number))?;
    Ok(row.organization)
}

/// Credits of an ended cycle that is not closed yet still move: its statement must not be changed under it.
async fn refuse_unclosed(tx: &mut Tx, id: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
    let open = cycles::open_of(tx, &[id.to_owned()]).await?.pop();
    match open {
        Some(open) if open.open.bounds.ends_at <= now => Err(ServiceError::Refused(format!(
            "cycle {} of organization {id} has ended but is not closed yet; run `monthend tick` first",
            open.open.cycle
        ))),
        _ => Ok(()),
    }
}

/// Numbers and freezes the document.
async fn file(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    note_id: &str,
    decided: &Decided,
    reason: &str,
) -> Result<String, ServiceError> {
    let organization = &stored.organization;
    let zero = Money::zero(organization.currency);
    let Amounts { net, tax } = decided.amounts.unwrap_or(Amounts { net: zero, tax: zero });
    let total = net.plus(tax)?;
    let lines = decided.amounts.map(|amounts| InvoiceLine {
        kind: LineKind::Correction,
        description: format!("Credit for {}", decided.corrects),
        quantity: rust_decimal::Decimal::ONE,
        unit: "credit note".to_owned(),
        unit_price: amounts.net.to_decimal(),
        amount: amounts.net,
        cycle: decided.cycle,
    });
    let taxed = decided.amounts.is_some() && (!decided.percent.is_zero() || !tax.is_zero());
    let subtotal = TaxSubtotal { percent: decided.percent, taxable: net, amount: tax };
    let listed = |parts: &[(Grant, Credits)]| {
        parts
            .iter()
            .map(|(grant, credits)| GrantCredits {
                grant: grant.id.clone(),
                source: grant.source,
                cycle: grant.cycle,
                credits: *credits,
                usable_until: grant.expires_at.map(|at| last_day_before(at, organization.zone)),
            })
            .collect()
    };
    let filing = Filing {
        id: note_id,
        prefix: &app.config.invoices.credit_note_prefix,
        subject: decided.subject,
        subject_id: &decided.subject_id,
        cycle: decided.cycle,
        amounts: [net, tax, total],
    };
    let (returned, taken_back) = (listed(&decided.returned), listed(&decided.taken_back));
    issuing::issue(app, tx, organization, &filing, |head| {
        Document::CreditNote(CreditNote {
            head,
            organization: organization.id.clone(),
            corrects: decided.corrects.clone(),
            corrects_issued_on: decided.corrects_issued_on,
            cycle: decided.cycle,
            reason: crate::domain::text::clipped(reason, crate::domain::text::MAX_NAME_CHARS),
            lines: lines.into_iter().collect(),
            tax_subtotals: if taxed { vec![subtotal] } else { Vec::new() },
            subtotal: net,
            tax,
            total,
            settled: decided.settled.clone(),
            returned,
            taken_back,
        })
    })
    .await
}

/// The ledger's side: sales and tax reversed against what is owed, credits moved.
async fn post(
    tx: &mut Tx,
    stored: &Stored,
    note_id: &str,
    decided: &Decided,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let id = stored.organization.id.as_str();
    let cycle = credits::current_cycle(tx, stored, now).await?;
    let mut entries = Vec::new();
    if let Some(amounts) = decided.amounts {
        let gross = amounts.gross()?;
        entries.push(books::money_entry(Account::Sales, amounts.net));
        entries.push(books::money_entry(Account::Tax, amounts.tax));
        let owed = gross.negated()?;
        entries.push(books::money_entry(Account::Receivable, owed));
    }
    let mut moved = Vec::new();
    for (grant, credits) in &decided.returned {
        moved.push((grant, *credits, Some(decided.cycle.to_string())));
    }
    for (grant, credits) in &decided.taken_back {
        moved.push((grant, credits.negated()?, None));
    }
    let left: Vec<_> = grants::all(tx, id).await?;
    let (mut rows, mut balances) = (Vec::new(), Vec::new());
    for (grant, credits, used_cycle) in moved {
        entries.push(books::grant_entry(&grant.id, credits));
        entries.push(books::credit_entry(Account::Corrected, credits.negated()?));
        rows.push(Correction {
            organization: id.to_owned(),
            document_id: note_id.to_owned(),
            grant_id: grant.id.clone(),
            cycle: cycle.to_string(),
            credits: credits.nano(),
            used_cycle,
        });
        if let Some(open) = left.iter().find(|open| open.grant.id == grant.id) {
            let remaining = open.remaining.plus(credits)?;
            balances.push((id.to_owned(), grant.id.clone(), remaining));
        }
    }
    corrections::add(tx, &rows, now).await?;
    ledger::set_remaining(tx, &balances).await?;
    let key = format!("credit_note:{note_id}");
    let posting = Posting::new("credit_note", key, cycle, now, entries);
    if !posting.entries.is_empty() {
        ledger::post_for(tx, id, vec![posting], now).await?;
    }
    Ok(())
}

/// What happens to the money.
async fn settle(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    note_id: &str,
    decided: &Decided,
) -> Result<Consequences, ServiceError> {
    let id = stored.organization.id.as_str();
    let Some(amounts) = decided.amounts else { return Ok(Consequences::default()) };
    match &decided.settled {
        CreditSettlement::None => Ok(Consequences::default()),
        CreditSettlement::Offset { still_due } => {
            if still_due.is_zero() {
                let invoice = (id.to_owned(), decided.subject_id.clone());
                charging::paid(app, tx, &[invoice], payment_status::CREDITED).await?;
            }
            Ok(Consequences::default())
        }
        CreditSettlement::Refund { .. } | CreditSettlement::Transfer => {
            refunds::intend(app, tx, id, note_id, decided.charge.as_ref(), amounts.gross()?).await
        }
    }
}
