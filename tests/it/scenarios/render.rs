//! The part of a golden ledger that is computed: credits, invoice lines, totals, what is left.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::close::CycleOutcome;
use monthend::domain::credits::Credits;
use monthend::domain::decimal;
use monthend::domain::invoice::InvoiceDraft;
use monthend::domain::money::Money;

use super::script::{Played, sum};
use super::table::Side::{self, Left, Right};
use super::table::{grouped, table};

/// All tables of a year.
pub fn months(played: &Played) -> String {
    format!(
        "\nCredits (opening + granted + bought = used + expired + closing)\n\n{}\
         \nUse (rated + owed before = used + billed + owed after)\n\n{}\
         \nInvoice lines\n\n{}\
         \nInvoices (net + tax = total; total - already paid = amount due)\n\n{}\
         \nLeft after the last month, in the order it will be used\n\n{}",
        credits(&played.closes),
        uses(&played.closes),
        lines(&played.closes),
        invoices(&played.closes),
        left(played),
    )
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

fn row<const N: usize>(first: &str, figures: [Credits; N]) -> Vec<String> {
    let figures = figures.map(|credits| grouped(&credits.to_string()));
    std::iter::once(first.to_owned()).chain(figures).collect()
}

const fn numbers<const N: usize>() -> [Side; N] {
    let mut sides = [Right; N];
    sides[0] = Left;
    sides
}

fn credits(closes: &[CycleOutcome]) -> String {
    let mut rows =
        vec![words(["month", "opening", "granted", "bought", "used", "expired", "closing"])];
    for close in closes {
        let s = &close.statement;
        let figures = [s.opening, s.granted, s.purchased, s.used, s.expired, s.closing];
        rows.push(row(&s.cycle.to_string(), figures));
    }
    let of_year = [
        closes.first().unwrap().statement.opening,
        sum(closes, |close| close.statement.granted),
        sum(closes, |close| close.statement.purchased),
        sum(closes, |close| close.statement.used),
        sum(closes, |close| close.statement.expired),
        closes.last().unwrap().statement.closing,
    ];
    rows.push(row("all", of_year));
    table(&numbers::<7>(), &rows)
}

fn uses(closes: &[CycleOutcome]) -> String {
    let mut rows = vec![words(["month", "rated", "owed before", "used", "billed", "owed after"])];
    for close in closes {
        let s = &close.statement;
        let figures = [s.rated, s.deficit_brought, s.used, s.overage, s.deficit];
        rows.push(row(&s.cycle.to_string(), figures));
    }
    let of_year = [
        sum(closes, |close| close.statement.rated),
        closes.first().unwrap().statement.deficit_brought,
        sum(closes, |close| close.statement.used),
        sum(closes, |close| close.statement.overage),
        closes.last().unwrap().statement.deficit,
    ];
    rows.push(row("all", of_year));
    table(&numbers::<6>(), &rows)
}

fn lines(closes: &[CycleOutcome]) -> String {
    let mut rows = vec![words(["month", "line", "quantity", "unit", "unit price", "amount"])];
    for close in closes {
        for line in close.invoice.iter().flat_map(|draft| &draft.lines) {
            rows.push(vec![
                close.statement.cycle.to_string(),
                line.description.clone(),
                grouped(&decimal::text(line.quantity)),
                line.unit.clone(),
                grouped(&decimal::text(line.unit_price)),
                grouped(&line.amount.amount_text()),
            ]);
        }
    }
    table(&[Left, Left, Right, Left, Right, Right], &rows)
}

fn invoices(closes: &[CycleOutcome]) -> String {
    let heads = ["month", "currency", "net", "tax %", "tax", "total", "already paid", "amount due"];
    let mut rows = vec![words(heads)];
    for close in closes {
        let month = close.statement.cycle.to_string();
        rows.push(match &close.invoice {
            Some(draft) => invoice(month, draft),
            None => words([&month, "nothing to bill", "", "", "", "", "", ""]),
        });
    }
    let drafts = || closes.iter().filter_map(|close| close.invoice.as_ref());
    if let Some(currency) = drafts().map(|draft| draft.currency).next() {
        let total = |part: fn(&InvoiceDraft) -> Money| {
            grouped(&Money::total(currency, drafts().map(part)).unwrap().amount_text())
        };
        rows.push(vec![
            "all".to_owned(),
            currency.to_string(),
            total(|draft| draft.subtotal),
            String::new(),
            total(|draft| draft.tax),
            total(|draft| draft.total),
            total(|draft| draft.prepaid),
            total(|draft| draft.amount_due),
        ]);
    }
    let mut sides = numbers::<8>();
    sides[1] = Left;
    table(&sides, &rows)
}

fn invoice(month: String, draft: &InvoiceDraft) -> Vec<String> {
    let amount = |money: Money| grouped(&money.amount_text());
    let percent: Vec<String> =
        draft.tax_subtotals.iter().map(|part| decimal::text(part.percent)).collect();
    vec![
        month,
        draft.currency.to_string(),
        amount(draft.subtotal),
        percent.join(", "),
        amount(draft.tax),
        amount(draft.total),
        amount(draft.prepaid),
        amount(draft.amount_due),
    ]
}

fn left(played: &Played) -> String {
    let mut rows = vec![words(["granted in", "source", "granted", "left", "usable through"])];
    let mut open: Vec<_> =
        played.year.grants.values().filter(|open| open.remaining.is_positive()).collect();
    open.sort_by(|a, b| a.grant.burn_order(&b.grant));
    for open in open {
        let grant = &open.grant;
        rows.push(vec![
            grant.cycle.to_string(),
            grant.source.to_string(),
            grouped(&grant.granted.to_string()),
            grouped(&open.remaining.to_string()),
            grant.last_cycle.map_or_else(|| "for ever".to_owned(), |last| last.to_string()),
        ]);
    }
    table(&[Left, Left, Right, Right, Left], &rows)
}
