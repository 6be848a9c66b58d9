//! Closed cycles: they touch, their statements foot, and closing them again gives the same figures.

use std::collections::HashMap;

use rust_decimal::Decimal;

use super::Check;
use crate::domain::close::{self, CycleInput, CycleOutcome};
use crate::domain::credits::Credits;
use crate::domain::grant::{Grant, OpenGrant};
use crate::domain::invoice::{self, InvoiceDraft};
use crate::domain::statement::CreditStatement;
use crate::services::ServiceError;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, corrections, cycles, grants, invoices, purchases, usage};

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

    pub(super) async fn organization(
        &mut self,
        tx: &mut Tx,
        stored: &Stored,
    ) -> Result<(), ServiceError> {
        let id = stored.organization.id.as_str();
        let all = cycles::all(tx, id).await?;
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
        let grants: HashMap<String, Grant> = grants::all(tx, id)
            .await?
            .into_iter()
            .map(|open| (open.grant.id.clone(), open.grant))
            .collect();
        for (cycle, next) in all.iter().zip(all.iter().skip(1)) {
            self.closed(tx, stored, cycle, next, &grants).await?;
        }
        Ok(())
    }

    async fn closed(
        &mut self,
        tx: &mut Tx,
        stored: &Stored,
        cycle: &cycles::Stored,
        next: &cycles::Stored,
        grants: &HashMap<String, Grant>,
    ) -> Result<(), ServiceError> {
        let (id, label) = (stored.organization.id.as_str(), cycle.open.cycle);
        let Some(statement) = &cycle.statement else {
            self.statements.problem(format!("organization {id}, {label}: no statement is stored"));
            return Ok(());
        };
        self.statements.count(foots(statement), || {
            format!("organization {id}, {label}: the statement does not foot")
        });
        let used = usage::summaries(tx, id, id, label).await?.remove(id).unwrap_or_default();
        let rated = Credits::total(used.iter().map(|usage| usage.credits))?;
        self.billed_once.count(rated == statement.rated, || {
            format!(
                "organization {id}, {label}: {rated} credits were rated, {} billed",
                statement.rated
            )
        });
        let invoice_id = invoices::cycle_invoice_id(id, label, cycle.open.bounds.ends_at);
        let row = invoices::get(tx, id, &invoice_id).await?;
        let draft = invoices::draft(tx, id, &invoice_id).await?;
        let percent = draft.as_ref().map_or(Decimal::ZERO, |draft| draft.tax_percent);
        let open_grants = statement
            .grants
            .iter()
            .filter_map(|line| {
                let remaining = line.opening.plus(line.granted).ok()?;
                Some(OpenGrant { grant: grants.get(&line.id)?.clone(), remaining })
            })
            .collect();
        let input = CycleInput {
            organization: id.to_owned(),
            cycle: label,
            bounds: cycle.open.bounds,
            zone: stored.organization.zone,
            joined_on: stored.organization.joined_on,
            tax_percent: percent,
            terms: cycle.open.terms.clone(),
            next_terms: next.open.terms.clone(),
            fee_billed: cycle.open.fee_billed,
            grants: open_grants,
            usage: used,
            deficit_brought: cycle.deficit_brought,
            purchases: purchases::paid_in_range(tx, id, id, label)
                .await?
                .remove(id)
                .unwrap_or_default(),
            corrections: corrections::in_range(tx, id, id, label)
                .await?
                .remove(id)
                .unwrap_or_default(),
        };
        let again = close::close(&input);
        let same = again.as_ref().is_ok_and(|again| same_figures(again, statement, draft.as_ref()));
        self.reproducible.count(same, || {
            let why = again.err().map_or("other figures".to_owned(), |error| error.to_string());
            format!("organization {id}, {label}: closing it again gives {why}")
        });
        if let (Some(row), Some(draft)) = (row, draft) {
            self.invoice(tx, &row, &draft).await?;
        }
        Ok(())
    }

    async fn invoice(
        &mut self,
        tx: &mut Tx,
        row: &invoices::Row,
        draft: &InvoiceDraft,
    ) -> Result<(), ServiceError> {
        let name = row.number.as_deref().unwrap_or(&row.id);
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
        if let Some(document) = invoices::document(tx, &row.organization, &row.id).await? {
            let hash = invoice::content_hash(&document.header, &document.draft);
            self.invoices.count(hash == document.content_hash, || {
                format!("invoice {name}: its content was altered after it was issued")
            });
            let number = document.document()?.header.number;
            self.invoices.count(row.number.as_ref() == Some(&number), || {
                format!("invoice {name}: the document says {number}")
            });
        }
        Ok(())
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
