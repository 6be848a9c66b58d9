//! Works through the dunning calendar of one unpaid invoice: another attempt, a reminder, or giving up.

use chrono::{DateTime, Days, NaiveDate, Utc};

use super::charging::attempts::{Next, by_transfer};
use super::charging::{self, begin_dunning};
use super::consequences::Consequences;
use super::{ServiceError, admission, no_organization, notices, pay_pages};
use crate::app::App;
use crate::domain::dunning::{Calendar, NoMethod};
use crate::domain::invoice::{InvoiceDocument, InvoiceStatus, PaymentTerms};
use crate::domain::organization::Organization;
use crate::domain::payment::ChargeState;
use crate::mail::{InvoiceFacts, Notice};
use crate::storage::dunning::{self, Dunning};
use crate::storage::invoices::{self, Row, payment_status};
use crate::storage::{Tx, ledger, organizations, payments};

/// How long the calendar waits for an attempt that may still take the money.
const WAIT_HOURS: i64 = 6;
/// How long a page of the provider lasts, and a little more.
const PAGE_HOURS: i64 = 25;

/// Does what a due day of an invoice's calendar asks for, in the caller's transaction.
///
/// # Errors
/// The database fails, or a fact is missing.
pub async fn day(app: &App, tx: &mut Tx, due: &Dunning) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = due.organization.as_str();
    ledger::lock(tx, id, id).await?;
    // What was read before the lock may have been paid since.
    let Some(row) = dunning::get(tx, id, &due.invoice_id).await? else {
        return Ok(Consequences::default());
    };
    if row.state != "open" || row.next_at > now {
        return Ok(Consequences::default());
    }
    let Some(invoice) = invoices::get(tx, id, &row.invoice_id).await? else {
        return Ok(Consequences::default());
    };
    if invoice.status()? != InvoiceStatus::Issued {
        return Ok(Consequences::default());
    }
    let calendar = app.calendar();
    let stage = usize::try_from(row.stage).unwrap_or(usize::MAX);
    let last_day = calendar.gives_up_at(stage);
    let next = if last_day {
        charging::last_attempt(app, tx, &invoice).await?
    } else {
        charging::next_attempt(app, tx, &invoice).await?
    };
    let unsettled = match &next {
        // A page may be paid on any minute of its day.
        Next::Live(charge) if pay_pages::is_hosted(&charge.request.payment_method) => {
            let young = |sent| now - sent < chrono::Duration::hours(PAGE_HOURS);
            charge.state != ChargeState::NeedsAction || charge.first_sent_at.is_some_and(young)
        }
        Next::Live(charge) => charge.state != ChargeState::NeedsAction,
        // Ours to look at first: the customer did nothing wrong.
        Next::NoMethod(NoMethod::Held) => true,
        _ => false,
    };
    if unsettled {
        // The provider's word comes first: nothing is counted, reminded or given up before it.
        let later = now + chrono::Duration::hours(WAIT_HOURS);
        dunning::advance(tx, &row, row.stage, later).await?;
        return Ok(Consequences::default());
    }
    let own = calendar.due_at(row.began_at, stage).filter(|own| *own > now);
    if let Some(own) = own
        && !matches!(next, Next::Attempt(_))
    {
        // Brought forward by a new method, with which nothing can be tried: its day is still ahead.
        dunning::advance(tx, &row, row.stage, own).await?;
        return Ok(Consequences::default());
    }
    if last_day && !matches!(next, Next::Attempt(_)) {
        let by_transfer = by_transfer(tx, &invoice).await? || !app.gateway.collects();
        return end_of_calendar(app, tx, &row, &invoice, by_transfer).await;
    }
    advance(tx, &calendar, &row, now).await?;
    match next {
        // Its own mail tells how it ended.
        Next::Attempt(charge) => Ok(Consequences {
            charges: vec![(id.to_owned(), charge.id)],
            ..Consequences::default()
        }),
        Next::Live(_) | Next::NoMethod(_) | Next::ByTransfer | Next::NothingToPay => {
            if invoice.payment_status != payment_status::NEEDS_ACTION {
                let status = payment_status::PAST_DUE;
                invoices::set_status(tx, id, &invoice.id, InvoiceStatus::Issued, status).await?;
            }
            remind(app, tx, &row, &invoice).await
        }
    }
}

/// Moves to the next day of the calendar that lies ahead: days that were missed while the program was
/// down are not made up for one after the other.
async fn advance(
    tx: &mut Tx,
    calendar: &Calendar,
    row: &Dunning,
    now: DateTime<Utc>,
) -> Result<(), ServiceError> {
    let tomorrow = now + chrono::Duration::days(1);
    // Brought forward by a new method, a day ahead is not used up.
    let index = usize::try_from(row.stage).unwrap_or(usize::MAX);
    let ahead = calendar.due_at(row.began_at, index).is_some_and(|due| due > now);
    let mut stage = if ahead { row.stage } else { row.stage + 1 };
    let next_at = loop {
        let index = usize::try_from(stage).unwrap_or(usize::MAX);
        let due = calendar.due_at(row.began_at, index).unwrap_or(tomorrow);
        if calendar.gives_up_at(index) {
            // An attempt of today is not followed by giving up today.
            break due.max(tomorrow);
        }
        if due > now {
            break due;
        }
        stage += 1;
    };
    Ok(dunning::advance(tx, row, stage, next_at).await?)
}

/// What tells the letters of one calendar from those of the next: nothing for the first, `-2` for the one that
/// began when a payment was taken back.
async fn which_calendar(tx: &mut Tx, invoice: &Row) -> Result<String, ServiceError> {
    let before = payments::times_taken_back(tx, &invoice.organization, &invoice.id).await?;
    Ok(if before == 0 { String::new() } else { format!("-{}", before + 1) })
}

async fn remind(
    app: &App,
    tx: &mut Tx,
    row: &Dunning,
    invoice: &Row,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let stored = organizations::get(tx, &row.organization)
        .await?
        .ok_or_else(|| no_organization(&row.organization))?;
    let organization = &stored.organization;
    let document = document(tx, invoice).await?;
    let payment = document.header.payment.clone();
    let by_transfer = matches!(payment, PaymentTerms::BankTransfer { .. });
    let notice = Notice::PaymentReminder {
        invoice: InvoiceFacts::of(&document),
        outstanding: invoice.outstanding()?,
        payment,
        next_attempt_on: next_attempt_on(app, tx, organization, &invoice.id).await?,
        pause_on: if by_transfer { None } else { pause_on(app, organization, row) },
        pay_link: pay_pages::pay_link(app, tx, invoice).await?,
    };
    let key =
        format!("reminder-{}-{}{}", invoice.id, row.stage, which_calendar(tx, invoice).await?);
    let recipients = &organization.billing_emails;
    let mails = notices::tell(tx, organization, recipients, &key, notice, now).await?;
    Ok(Consequences::mails(mails))
}

/// An issued invoice as it is printed.
///
/// # Errors
/// The database fails, or there is none.
pub async fn document(tx: &mut Tx, invoice: &Row) -> Result<InvoiceDocument, ServiceError> {
    let document = invoices::document(tx, &invoice.organization, &invoice.id).await?;
    let document = document.ok_or_else(|| {
        ServiceError::Refused(format!(
            "invoice {} has no document; run `monthend verify`",
            invoice.id
        ))
    })?;
    Ok(document.document()?)
}

/// The day the organization is paused on, if it is.
fn pause_on(app: &App, organization: &Organization, row: &Dunning) -> Option<NaiveDate> {
    let calendar = app.calendar();
    let given_up = calendar.due_at(row.began_at, calendar.days.len())?;
    calendar.pause.then(|| given_up.with_timezone(&organization.zone).date_naive())
}

/// The day of the next automatic attempt: none where no saved method could be charged, or none is to be.
///
/// # Errors
/// The database fails.
pub async fn next_attempt_on(
    app: &App,
    tx: &mut Tx,
    organization: &Organization,
    invoice: &str,
) -> Result<Option<NaiveDate>, ServiceError> {
    let id = organization.id.as_str();
    let Some(row) = dunning::get(tx, id, invoice).await? else { return Ok(None) };
    let stage = usize::try_from(row.stage).unwrap_or(usize::MAX);
    if row.state != "open" || app.calendar().gives_up_at(stage) {
        return Ok(None);
    }
    let Some(stored) = invoices::get(tx, id, invoice).await? else { return Ok(None) };
    if by_transfer(tx, &stored).await? {
        return Ok(None);
    }
    let attempts = crate::storage::charges::of_subject(tx, id, invoice).await?;
    if attempts.iter().any(|charge| charge.state.is_live()) {
        return Ok(None);
    }
    let wallets = super::methods::Wallets::read(app, tx, id, id).await?;
    let usable = wallets.choose(app, organization, &attempts).is_ok();
    Ok(usable.then(|| row.next_at.with_timezone(&organization.zone).date_naive()))
}

/// After the last day: an invoice that was to be charged is given up. One that is paid by transfer stays past
/// due: whether a bank's customer is paused is for finance to decide.
async fn end_of_calendar(
    app: &App,
    tx: &mut Tx,
    row: &Dunning,
    invoice: &Row,
    by_transfer: bool,
) -> Result<Consequences, ServiceError> {
    if by_transfer {
        let never = chrono::DateTime::<Utc>::MAX_UTC;
        let far =
            app.clock.now().checked_add_signed(chrono::Duration::days(36_500)).unwrap_or(never);
        dunning::advance(tx, row, row.stage, far).await?;
        return Ok(Consequences::default());
    }
    give_up(app, tx, row, invoice).await
}

/// The calendar has ended: the invoice is uncollectible, and the organization paused where the calendar
/// says so. Paying it by any route still settles it.
async fn give_up(
    app: &App,
    tx: &mut Tx,
    row: &Dunning,
    invoice: &Row,
) -> Result<Consequences, ServiceError> {
    let now = app.clock.now();
    let id = row.organization.as_str();
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let organization = &stored.organization;
    let status = InvoiceStatus::Uncollectible;
    invoices::set_status(tx, id, &invoice.id, status, payment_status::PAST_DUE).await?;
    dunning::end(tx, &[(id.to_owned(), invoice.id.clone())], "given_up").await?;
    let pause = app.calendar().pause;
    if pause {
        admission::set_unpaid(app, tx, id, true, now).await?;
    }
    let notice = Notice::Uncollectible {
        invoice: InvoiceFacts::of(&document(tx, invoice).await?),
        outstanding: invoice.outstanding()?,
        paused: pause,
        pay_link: pay_pages::pay_link(app, tx, invoice).await?,
    };
    let key = format!("uncollectible-{}{}", invoice.id, which_calendar(tx, invoice).await?);
    let recipients = &organization.billing_emails;
    let mails = notices::tell(tx, organization, recipients, &key, notice, now).await?;
    tracing::warn!(organization = id, invoice = invoice.number, "given up: uncollectible");
    Ok(Consequences::mails(mails))
}

/// Begins the calendar of unpaid invoices that have none: of a database from before there was one.
///
/// # Errors
/// The database fails.
pub async fn begin_forgotten(
    app: &App,
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<(), ServiceError> {
    let now = app.clock.now();
    for (organization, invoice) in dunning::forgotten(tx, first, last).await? {
        begin_dunning(app, tx, &organization, &invoice, now).await?;
    }
    Ok(())
}

/// Begins the calendar of an invoice that is paid by transfer: the day after it was due.
///
/// # Errors
/// The database fails.
#[must_use]
pub fn of_transfer(
    app: &App,
    organization: &Organization,
    invoice: &str,
    due_on: NaiveDate,
) -> Dunning {
    let late = due_on.checked_add_days(Days::new(1)).unwrap_or(due_on);
    let began_at = crate::domain::cycle::start_of_day(late, organization.zone);
    Dunning::from_the_start(&app.calendar(), &organization.id, invoice, began_at)
}
