//! Closed cycles: they touch, their statements foot, and closing them again gives the same figures.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::Check;
use super::books::{Books, Invoice};
use crate::domain::close::{self, CycleInput, CycleOutcome};
use crate::domain::credits::Credits;
use crate::domain::grant::{Grant, OpenGrant};
use crate::domain::invoice::{self, InvoiceDraft};
use crate::domain::statement::CreditStatement;
use crate::services::ServiceError;
use crate::storage::purchases::Purchase;
use crate::storage::{cycles, invoices};

pub(super) struct Checks {
    cycles: Check,
    statements: Check,
    billed_once: Check,
    reproducible: Check,
    invoices: Check,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            cycles: Check::new("cycles_touch"),
            statements: Check::new("statements_foot"),
            billed_once: Check::new("usage_billed_once"),
            reproducible: Check::new("closes_reproducible"),
            invoices: Check::new("invoices_intact"),
        }
    }

    pub(super) fn organization(&mut self, books: &Books) -> Result<(), ServiceError> {
        let id = books.id();
        let all = &books.cycles;
        for (earlier, later) in all.iter().zip(all.iter().skip(1)) {
            let touch = earlier.closed
                && earlier.open.cycle.next() == later.open.cycle
                && earlier.open.bounds.ends_at == later.open.bounds.starts_at;
            self.cycles.count(touch, || {
                format!(
                    "organization {id}: {} and {} do not touch",
                    earlier.open.cycle, later.open.cycle
                )
            });
        }
        let open = all.iter().filter(|cycle| !cycle.closed).count();
        self.cycles.count(open == 1, || format!("organization {id}: {open} open cycles, not 1"));
        let grants: HashMap<&str, &Grant> =
            books.grants.iter().map(|open| (open.grant.id.as_str(), &open.grant)).collect();
        for (cycle, next) in all.iter().zip(all.iter().skip(1)) {
            self.closed(books, cycle, next, &grants)?;
        }
        Ok(())
    }

    fn closed(
        &mut self,
        books: &Books,
        cycle: &cycles::Stored,
        next: &cycles::Stored,
        grants: &HashMap<&str, &Grant>,
    ) -> Result<(), ServiceError> {
        let (id, label) = (books.id(), cycle.open.cycle);
        let Some(statement) = &cycle.statement else {
            self.statements.problem(format!("organization {id}, {label}: no statement is stored"));
            return Ok(());
        };
        self.statements.count(foots(statement), || {
            format!("organization {id}, {label}: the statement does not foot")
        });
        let used = books.usage.get(&label).cloned().unwrap_or_default();
        let rated = Credits::total(used.iter().map(|usage| usage.credits))?;
        self.billed_once.count(rated == statement.rated, || {
            format!(
                "organization {id}, {label}: {rated} credits were rated, {} billed",
                statement.rated
            )
        });
        let invoice_id = invoices::cycle_invoice_id(id, label, cycle.open.bounds.ends_at);
        let invoice = books.invoice(&invoice_id);
        let draft = invoice.map(|invoice| &invoice.draft);
        let percent = draft.map_or(Decimal::ZERO, |draft| draft.tax_percent);
        let open_grants = statement
            .grants
            .iter()
            .filter_map(|line| {
                let remaining = line.opening.plus(line.granted).ok()?;
                Some(OpenGrant { grant: (*grants.get(line.id.as_str())?).clone(), remaining })
            })
            .collect();
        let input = CycleInput {
            organization: id.to_owned(),
            cycle: label,
            bounds: cycle.open.bounds,
            zone: books.stored.organization.zone,
            joined_on: books.stored.organization.joined_on,
            tax_percent: percent,
            terms: cycle.open.terms.clone(),
            next_terms: next.open.terms.clone(),
            fee_billed: cycle.open.fee_billed,
            grants: open_grants,
            usage: used,
            deficit_brought: cycle.deficit_brought,
            purchases: books
                .purchases
                .iter()
                .filter(|purchase| purchase.state == "paid" && purchase.cycle == Some(label))
                .map(Purchase::as_paid)
                .collect::<Result<_, _>>()?,
            corrections: books.corrections.get(&label).cloned().unwrap_or_default(),
        };
        let again = close::close(&input);
        let same = again.as_ref().is_ok_and(|again| same_figures(again, statement, draft));
        self.reproducible.count(same, || {
            let why = again.err().map_or("other figures".to_owned(), |error| error.to_string());
            format!("organization {id}, {label}: closing it again gives {why}")
        });
        if let Some(invoice) = invoice {
            self.invoice(invoice);
        }
        Ok(())
    }

    fn invoice(&mut self, invoice: &Invoice) {
        let (row, draft, name) = (&invoice.row, &invoice.draft, invoice.name());
        let amounts = (row.subtotal, row.tax, row.total, row.prepaid, row.amount_due);
        let drafted = (
            draft.subtotal.minor(),
            draft.tax.minor(),
            draft.total.minor(),
            draft.prepaid.minor(),
            draft.amount_due.minor(),
        );
        self.invoices.count(amounts == drafted, || {
            format!("invoice {name}: the row and the document state other amounts")
        });
        if row.number.is_some() {
            let filed = &invoice.filed;
            let hash =
                filed.header.as_deref().map(|header| invoice::content_hash(header, &filed.draft));
            self.invoices.count(hash.is_some() && hash == filed.content_hash, || {
                format!("invoice {name}: its content was altered after it was issued")
            });
            let number = invoice.header.as_ref().map(|header| &header.number);
            self.invoices.count(row.number.as_ref() == number, || {
                format!("invoice {name}: the document says {number:?}")
            });
        }
    }

    pub(super) fn finish(self) -> [Check; 5] {
        [self.cycles, self.statements, self.billed_once, self.reproducible, self.invoices]
    }
}

/// Terms may have been corrected on the next cycle since; its fee in advance is then another.
fn same_figures(
    again: &CycleOutcome,
    statement: &CreditStatement,
    draft: Option<&InvoiceDraft>,
) -> bool {
    let invoice = match (&again.invoice, draft) {
        (None, None) => true,
        (Some(again), Some(draft)) => again == draft,
        _ => false,
    };
    &again.statement == statement && invoice
}

fn foots(s: &CreditStatement) -> bool {
    let total = |amounts: &[Credits]| Credits::total(amounts.iter().copied()).ok();
    let whole = total(&[s.opening, s.granted, s.purchased])
        == total(&[s.used, s.expired, s.closing])
        && total(&[s.rated, s.deficit_brought]) == total(&[s.used, s.overage, s.deficit]);
    let column = |of: fn(&crate::domain::statement::StatementGrant) -> Credits| {
        Credits::total(s.grants.iter().map(of)).ok()
    };
    whole
        && s.grants.iter().all(|grant| {
            total(&[grant.opening, grant.granted])
                == total(&[grant.used, grant.expired, grant.closing])
        })
        && column(|grant| grant.opening) == Some(s.opening)
        && column(|grant| grant.used) == Some(s.used)
        && column(|grant| grant.expired) == Some(s.expired)
        && column(|grant| grant.closing) == Some(s.closing)
}
