//! An invoice: what is due and how, its lines and totals, the credit statement, use by meter.

use chrono_tz::Tz;

use super::cover::{Cover, Panel};
use super::flow::{Align, Flow, MARGIN, MUTED, Style};
use super::sections::{self, Sum, TEXT, result, sum, sum_block};
use super::table::{self, Column, Row};
use crate::documents::{figures, words};
use crate::domain::invoice::{InvoiceDocument, InvoiceDraft, PaymentTerms, UsageSummary};

/// Its frame.
pub fn cover(document: &InvoiceDocument) -> Cover<'_> {
    let InvoiceDocument { header, draft } = document;
    Cover {
        title: words::INVOICE,
        number: &header.number,
        issued_on: header.issued_on,
        subject: words::period(draft.cycle),
        seller: &header.seller,
        buyer: &header.buyer,
        support: &header.support,
        facts: vec![
            (words::NUMBER, header.number.clone()),
            (words::ISSUED_ON, words::date(header.issued_on)),
            (words::DUE_ON, words::date(header.due_on)),
            (words::PERIOD, words::period(draft.cycle)),
            (words::ZONE, header.zone.clone()),
            (words::PLAN, draft.plan.clone()),
            (words::ORGANIZATION, draft.organization.clone()),
        ],
        panel: panel(document),
    }
}

/// What is due, until when, and how it is paid.
fn panel(document: &InvoiceDocument) -> Panel {
    let due = document.draft.amount_due;
    let (sentence, details) = match &document.header.payment {
        PaymentTerms::NothingDue => (words::NOTHING_DUE.to_owned(), Vec::new()),
        PaymentTerms::StoredMethod { label } => (words::stored_method(label), Vec::new()),
        PaymentTerms::BankTransfer { details } => {
            (words::BANK_TRANSFER.to_owned(), details.clone())
        }
    };
    let about = if due.is_positive() {
        words::due(document.header.due_on)
    } else {
        words::PAYMENT.to_owned()
    };
    Panel { label: words::AMOUNT_DUE, figure: figures::money(due), about, sentence, details }
}

/// All that follows the head.
pub fn draw(flow: &mut Flow<'_>, document: &InvoiceDocument) {
    let InvoiceDocument { header, draft } = document;
    sections::lines(flow, &draft.lines, draft.currency);
    sections::totals(flow, &sums(draft));
    statement(flow, document);
    usage(flow, &draft.usage);
    sections::notes(flow, &header.notes);
}

fn sums(draft: &InvoiceDraft) -> Vec<Sum> {
    let mut sums = sections::taxed(draft.subtotal, &draft.tax_subtotals, draft.tax, words::tax);
    sums.push(result(words::TOTAL, figures::money(draft.total)));
    if !draft.prepaid.is_zero() {
        sums.push(sum(words::PREPAID, figures::grouped(&negated(&draft.prepaid.amount_text()))));
    }
    sums.push(result(words::AMOUNT_DUE, figures::money(draft.amount_due)));
    sums
}

fn negated(plain: &str) -> String {
    plain.strip_prefix('-').map_or_else(|| format!("-{plain}"), str::to_owned)
}

fn statement(flow: &mut Flow<'_>, document: &InvoiceDocument) {
    let statement = &document.draft.statement;
    flow.heading(&words::statement_of(statement.cycle), 60_000);
    if statement.grants.is_empty() {
        flow.y += 14_000;
        let column = (MARGIN, flow.width());
        flow.label(words::NO_GRANTS, column, flow.y, Style { tint: MUTED, ..TEXT }, Align::Left);
        flow.y += 6_000;
    } else {
        grants(flow, document);
    }
    let sums: Vec<Sum> = [
        (words::RATED, statement.rated),
        (words::DEFICIT_BROUGHT, statement.deficit_brought),
        (words::FROM_GRANTS, statement.used),
        (words::OVERAGE, statement.overage),
        (words::DEFICIT, statement.deficit),
    ]
    .into_iter()
    .filter(|(_, credits)| !credits.is_zero())
    .map(|(label, credits)| sum(label, figures::credits(credits)))
    .collect();
    flow.y += 8_000;
    sum_block(flow, &sums, flow.width() * 62 / 100);
}

fn grants(flow: &mut Flow<'_>, document: &InvoiceDocument) {
    let statement = &document.draft.statement;
    let zone: Tz = document.header.zone.parse().unwrap_or(Tz::UTC);
    let columns = [
        Column::text(words::SOURCE),
        Column::text(words::GRANTED_IN),
        Column::figures(words::OPENING),
        Column::figures(words::GRANTED),
        Column::figures(words::USED),
        Column::figures(words::EXPIRED),
        Column::figures(words::CLOSING),
        Column::figures(words::EXPIRES),
    ];
    let mut rows: Vec<Row> = statement
        .grants
        .iter()
        .map(|grant| {
            let figures = [grant.opening, grant.granted, grant.used, grant.expired, grant.closing];
            let mut others = vec![grant.cycle.to_string()];
            others.extend(figures.map(figures::credits));
            others.push(words::last_day(grant.expires_at, zone));
            Row::new(words::source(grant.source), others)
        })
        .collect();
    let granted = statement.granted.to_decimal() + statement.purchased.to_decimal();
    let others = vec![
        String::new(),
        figures::credits(statement.opening),
        figures::decimal(granted),
        figures::credits(statement.used),
        figures::credits(statement.expired),
        figures::credits(statement.closing),
        String::new(),
    ];
    rows.push(Row { bold: true, ..Row::new(words::TOTAL, others) });
    table::draw(flow, &columns, &rows);
}

fn usage(flow: &mut Flow<'_>, usage: &[UsageSummary]) {
    if usage.is_empty() {
        return;
    }
    flow.heading(words::USAGE, 40_000);
    let columns = [
        Column::text(words::METER),
        Column::text(words::CYCLE),
        Column::figures(words::EVENTS),
        Column::figures(words::CREDITS),
    ];
    let rows: Vec<Row> = usage
        .iter()
        .map(|used| {
            let events = figures::grouped(&used.events.to_string());
            let others = vec![used.cycle.to_string(), events, figures::credits(used.credits)];
            Row::new(used.meter.clone(), others)
        })
        .collect();
    table::draw(flow, &columns, &rows);
}
