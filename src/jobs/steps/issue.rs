//! Numbers and freezes a chunk's drafts. Numbers are taken in the transaction that uses them: no gaps.

use std::collections::BTreeMap;
use std::collections::HashMap;

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::{StepError, chunk_step, cycle_of, range_of, run_of};
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::invoice::{self, InvoiceDraft, InvoiceHeader, PaymentTerms};
use crate::domain::ledger::{self as books, Account, Posting};
use crate::domain::organization::Organization;
use crate::domain::text;
use crate::jobs::StepKind;
use crate::services::methods::Wallets;
use crate::services::{dunning, issuing, mails};
use crate::storage::invoices::{DraftRow, Issued};
use crate::storage::ledger::Postings;
use crate::storage::steps::Step;
use crate::storage::{
    self, StorageError, Tx, invoices, ledger, numbers, organizations, steps, to_json,
};

/// A draft as stored, and what it says.
struct Draft {
    row: DraftRow,
    content: InvoiceDraft,
}

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
    let run = run_of(&mut tx, step).await?;
    let cycle = cycle_of(&run)?;
    let range = range_of(step);
    ledger::lock(&mut tx, range.first, range.last).await?;
    let rows = invoices::released_drafts(&mut tx, &run, range.first, range.last).await?;
    let buyers: HashMap<String, Organization> =
        organizations::range(&mut tx, range.first, range.last)
            .await?
            .into_iter()
            .map(|stored| (stored.organization.id.clone(), stored.organization))
            .collect();
    let wallets = Wallets::read(app, &mut tx, range.first, range.last).await?;
    let drafts: Vec<Draft> = rows
        .into_iter()
        .map(|row| Ok(Draft { content: row.draft()?, row }))
        .collect::<Result<_, StorageError>>()?;
    let now = app.clock.now();
    post(&mut tx, step, &drafts, now).await?;
    // All issuers of a series wait for each other from here to the commit: what needs no number is done.
    let invoices = number(app, &mut tx, cycle, &drafts, &buyers, &wallets).await?;
    let late: Vec<_> = invoices
        .iter()
        .filter(|invoice| matches!(invoice.header.payment, PaymentTerms::BankTransfer { .. }))
        .filter_map(|invoice| {
            let buyer = buyers.get(&invoice.organization)?;
            Some(dunning::of_transfer(app, buyer, &invoice.id, invoice.header.due_on))
        })
        .collect();
    storage::dunning::begin(&mut tx, &late).await?;
    invoices::issue(&mut tx, &invoices).await?;
    if !invoices.is_empty() {
        let render = chunk_step(StepKind::Render, &step.run_id, &range, step.ordinal, now);
        steps::add(&mut tx, &[render], now).await?;
    }
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    tracing::info!(issued = invoices.len(), "issued {} invoices for {cycle}", invoices.len());
    Ok(())
}

/// The date of a cycle's invoices: the first day after it, whenever it is really issued (F34).
fn issued_on(cycle: Cycle) -> NaiveDate {
    cycle.next().first_day()
}

async fn number(
    app: &App,
    tx: &mut Tx,
    cycle: Cycle,
    drafts: &[Draft],
    buyers: &HashMap<String, Organization>,
    wallets: &Wallets,
) -> Result<Vec<Issued>, StepError> {
    let issued_on = issued_on(cycle);
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for Draft { row, .. } in drafts {
        *counts
            .entry(issuing::series_name(
                app,
                &app.config.invoices.prefix,
                &row.organization,
                issued_on,
            ))
            .or_default() += 1;
    }
    // Series are taken in the order of their names: two issuers never wait for each other in a ring (F25).
    let mut next: BTreeMap<String, (i64, DateTime<Utc>)> = BTreeMap::new();
    for (series, count) in counts {
        let first = numbers::take(tx, &series, count).await?;
        // Read under the series' lock: a later number was never issued earlier, whichever worker's
        // clock runs ahead (V3).
        let last = numbers::last_issued_at(tx, &series).await?;
        let now = app.clock.now();
        next.insert(series, (first, last.map_or(now, |last| last.max(now))));
    }
    let mut issued = Vec::with_capacity(drafts.len());
    for Draft { row, content } in drafts {
        let buyer = buyers.get(&row.organization).ok_or_else(|| {
            StepError::Park(format!("organization {} is not stored", row.organization))
        })?;
        let series =
            issuing::series_name(app, &app.config.invoices.prefix, &row.organization, issued_on);
        let (series_number, issued_at) = match next.get_mut(&series) {
            None => return Err(StepError::Park(format!("series {series} has no counter"))),
            Some((counter, issued_at)) => {
                *counter += 1;
                (*counter - 1, *issued_at)
            }
        };
        let number = format!("{series}-{series_number:06}");
        let header = header(app, wallets, number, issued_on, (content, buyer));
        let header_json = to_json("invoice", "header", &row.id, &header)?;
        issued.push(Issued {
            organization: row.organization.clone(),
            id: row.id.clone(),
            series,
            series_number,
            content_hash: invoice::content_hash(&header_json, &row.draft),
            issued_at,
            settled: matches!(header.payment, PaymentTerms::NothingDue),
            header,
            header_json,
        });
    }
    Ok(issued)
}

fn header(
    app: &App,
    wallets: &Wallets,
    number: String,
    issued_on: NaiveDate,
    (draft, buyer): (&InvoiceDraft, &Organization),
) -> InvoiceHeader {
    let payment = mails::payment_terms(app, wallets, buyer, draft.amount_due.is_positive());
    let days = match payment {
        PaymentTerms::BankTransfer { .. } => u64::from(app.config.invoices.payment_days),
        PaymentTerms::StoredMethod { .. } | PaymentTerms::NothingDue => 0,
    };
    InvoiceHeader {
        number,
        issued_on,
        due_on: issued_on.checked_add_days(Days::new(days)).unwrap_or(issued_on),
        zone: buyer.zone.name().to_owned(),
        seller: issuing::seller(app),
        buyer: issuing::buyer(buyer),
        payment,
        support: text::cleaned(&app.config.seller.support),
        notes: app.config.invoices.notes.iter().map(|note| text::cleaned(note)).collect(),
    }
}

/// The invoices' ledger transactions: what is owed, what was prepaid, sales and tax.
async fn post(
    tx: &mut Tx,
    step: &Step,
    drafts: &[Draft],
    now: DateTime<Utc>,
) -> Result<(), StepError> {
    let range = range_of(step);
    let heads = ledger::heads(tx, range.first, range.last).await?;
    let mut batch = Vec::with_capacity(drafts.len());
    for Draft { row, content } in drafts {
        let organization = &row.organization;
        let posting = posting(content, &row.id).map_err(|error| {
            StepError::Park(format!("invoice of organization {organization}: {error}"))
        })?;
        if !posting.entries.is_empty() {
            batch.push(Postings { organization: organization.clone(), postings: vec![posting] });
        }
    }
    ledger::post(tx, batch, &heads, now).await?;
    Ok(())
}

fn posting(
    draft: &InvoiceDraft,
    invoice_id: &str,
) -> Result<Posting, crate::domain::money::MoneyError> {
    Ok(Posting::new(
        "invoice",
        format!("invoice:{invoice_id}"),
        draft.cycle,
        draft.ends_at,
        [
            books::money_entry(Account::Receivable, draft.amount_due),
            books::money_entry(Account::Prepayments, draft.prepaid),
            books::money_entry(Account::Sales, draft.subtotal.negated()?),
            books::money_entry(Account::Tax, draft.tax.negated()?),
        ],
    ))
}
