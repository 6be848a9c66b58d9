//! Charges and payments: never twice, never more than is due, and the books agree.

use std::collections::HashMap;

use super::Check;
use super::books::Books;
use crate::app::App;
use crate::domain::document::{self, Document};
use crate::domain::ledger::{Account, Unit};
use crate::domain::payment::{CANCELED, ChargeOutcome, ChargeState, VOIDED};
use crate::services::{ServiceError, pay_pages};
use crate::storage::charges::{self, Charge};
use crate::storage::{Tx, dunning};

pub(super) struct Checks {
    charges: Check,
    provider: Check,
    payments: Check,
    receivables: Check,
    purchases: Check,
    credit_notes: Check,
    refunds: Check,
    dunning: Check,
    budgets: Check,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            charges: Check::new("charges_single"),
            provider: Check::new("charges_match_provider"),
            payments: Check::new("payments_match_invoices"),
            receivables: Check::new("receivables_agree"),
            purchases: Check::new("purchases_granted_once"),
            credit_notes: Check::new("credit_notes_fit"),
            refunds: Check::new("refunds_fit"),
            dunning: Check::new("dunning_follows_invoices"),
            budgets: Check::new("attempts_within_budget"),
        }
    }

    pub(super) async fn organization(
        &mut self,
        app: &App,
        books: &Books,
    ) -> Result<(), ServiceError> {
        let mut owed: HashMap<String, i128> = HashMap::new();
        let credited = |subject: &str| -> i128 {
            books
                .documents
                .iter()
                .filter(|row| row.kind == "credit_note" && row.subject_id == subject)
                .map(|row| i128::from(row.total))
                .sum()
        };
        for invoice in &books.invoices {
            let (row, name) = (&invoice.row, invoice.name());
            self.charges(app, books, &row.id, name).await;
            let counting = books.payments_of(&row.id).filter(|payment| payment.counts());
            let paid: i128 = counting.map(|payment| i128::from(payment.amount)).sum();
            let due = i128::from(row.amount_due);
            let credit = credited(&row.id);
            // A credit note before the payment lowers it; one after it is refunded.
            let fits = match row.status.as_str() {
                "settled" => paid <= due && paid + credit >= due,
                _ => paid == 0 && credit < due.max(1),
            };
            self.payments.count(fits, || {
                format!(
                    "invoice {name} is {}: due {due}, paid {paid}, credited {credit} (minor units)",
                    row.status
                )
            });
            self.credit_notes.count(credit <= due, || {
                format!("invoice {name}: {credit} credited of {due} (minor units)")
            });
            if row.number.is_some() {
                *owed.entry(row.currency.clone()).or_default() += due - paid - credit;
            }
        }
        for purchase in &books.purchases {
            self.charges(app, books, &purchase.id, &purchase.id).await;
            let granted = (purchase.state == "paid") == purchase.grant.is_some();
            self.purchases.count(granted, || {
                format!(
                    "purchase {} is {}, its grant is {:?}",
                    purchase.id, purchase.state, purchase.grant
                )
            });
            let (credit, gross) = (credited(&purchase.id), i128::from(purchase.gross()?.minor()));
            self.credit_notes.count(credit <= gross, || {
                format!("purchase {}: {credit} credited of {gross} (minor units)", purchase.id)
            });
            *owed.entry(purchase.net.currency().to_string()).or_default() -= credit;
        }
        self.refunds(books, &mut owed);
        self.receivables(books, owed);
        for document in &books.documents {
            let hash = document::content_hash(&document.content);
            self.credit_notes.count(hash == document.content_hash, || {
                format!("{}: its content was altered after it was issued", document.number)
            });
        }
        self.budgets(app, books);
        Ok(())
    }

    /// Money that went back is at most what the charge took and what the credit note says.
    fn refunds(&mut self, books: &Books, owed: &mut HashMap<String, i128>) {
        let mut by_charge: HashMap<&str, i128> = HashMap::new();
        let mut by_document: HashMap<&str, i128> = HashMap::new();
        for refund in &books.refunds {
            let amount = i128::from(refund.amount);
            if refund.has_arrived() {
                *owed.entry(refund.currency.clone()).or_default() += amount;
            }
            if !refund.was_in_vain() {
                *by_document.entry(&refund.document_id).or_default() += amount;
                if let Some(charge) = &refund.charge_id {
                    *by_charge.entry(charge).or_default() += amount;
                }
            }
        }
        for row in books.documents.iter().filter(|row| row.kind == "credit_note") {
            // Given back as a whole: one that failed or came back has a successor.
            let promised = match row.document() {
                Ok(Document::CreditNote(note)) if note.settled.goes_back() => i128::from(row.total),
                _ => 0,
            };
            let amount = by_document.remove(row.id.as_str()).unwrap_or_default();
            self.refunds.count(amount == promised, || {
                format!(
                    "credit note {}: {amount} refunded or to be, of {promised} (minor units)",
                    row.number
                )
            });
        }
        for (document_id, amount) in by_document {
            self.refunds.problem(format!(
                "{amount} (minor units) refunded for credit note {document_id}, which is not stored"
            ));
        }
        for (charge_id, amount) in by_charge {
            let took = books
                .charges
                .iter()
                .find(|charge| charge.id == charge_id)
                .filter(|charge| charge.state == ChargeState::Succeeded)
                .map_or(0, |charge| i128::from(charge.request.amount.minor()));
            self.refunds.count(amount <= took, || {
                format!("charge {charge_id}: {amount} refunded of {took} (minor units)")
            });
        }
    }

    /// No method was declined more often in a window than its budget allows.
    fn budgets(&mut self, app: &App, books: &Books) {
        let (id, calendar) = (books.id(), app.calendar());
        let mut failed: HashMap<&str, Vec<chrono::DateTime<chrono::Utc>>> = HashMap::new();
        for charge in &books.charges {
            let called_off = [VOIDED, CANCELED];
            let code = charge.decline_code.as_deref().unwrap_or_default();
            if charge.state == ChargeState::Declined && !called_off.contains(&code) {
                let sent = charge.first_sent_at;
                failed.entry(&charge.request.payment_method).or_default().extend(sent);
            }
        }
        for (method, mut instants) in failed {
            instants.sort_unstable();
            let most = usize::from(calendar.attempts_per_method) + 1;
            let window = chrono::Duration::days(i64::from(calendar.window_days));
            let burst = instants.windows(most).any(|run| {
                run.last().zip(run.first()).is_some_and(|(last, first)| *last - *first < window)
            });
            self.budgets.count(!burst || pay_pages::is_hosted(method), || {
                format!(
                    "organization {id}: a payment method was declined more than {} times in {} days",
                    calendar.attempts_per_method, calendar.window_days
                )
            });
        }
    }

    /// What is about all organizations at once.
    pub(super) async fn all(&mut self, tx: &mut Tx) -> Result<(), ServiceError> {
        for (organization, charge) in charges::unattended(tx).await? {
            self.charges.problem(format!(
                "organization {organization}: charge {charge} is open, but no step looks after it"
            ));
        }
        self.dunning.checked = u64::try_from(dunning::count(tx).await?).unwrap_or_default();
        for (organization, invoice) in dunning::mismatches(tx).await? {
            self.dunning.problem(format!(
                "organization {organization}, invoice {invoice}: its dunning and its status differ"
            ));
        }
        Ok(())
    }

    async fn charges(&mut self, app: &App, books: &Books, subject: &str, name: &str) {
        let attempts: Vec<&Charge> = books.charges_of(subject).collect();
        let live = attempts.iter().filter(|charge| charge.state.is_live()).count();
        self.charges.count(live <= 1, || format!("{name}: {live} charges took or may take money"));
        for charge in attempts {
            let final_state =
                matches!(charge.state, ChargeState::Succeeded | ChargeState::Declined);
            if app.gateway.name() != "sandbox" || !final_state {
                continue;
            }
            // Only the sandbox is on this machine; asking a real provider is not verify's business.
            let said = app.gateway.lookup(&charge.request).await;
            let called_off = [VOIDED, CANCELED];
            let voided = called_off.contains(&charge.decline_code.as_deref().unwrap_or_default())
                && !matches!(said, Ok(Some(ChargeOutcome::Succeeded { .. })));
            let agrees = matches!(
                (&said, charge.state),
                (Ok(Some(ChargeOutcome::Succeeded { .. })), ChargeState::Succeeded)
                    | (Ok(Some(ChargeOutcome::Declined { .. })), ChargeState::Declined)
            );
            self.provider.count(agrees || voided, || {
                format!(
                    "{name}, attempt {}: {} here, the provider says {said:?}",
                    charge.attempt, charge.state
                )
            });
        }
    }

    /// What the ledger says is owed is what issued invoices leave unpaid.
    fn receivables(&mut self, books: &Books, mut owed: HashMap<String, i128>) {
        let id = books.id();
        let mut ledger: HashMap<String, i128> = HashMap::new();
        for entry in books.chain.iter().flat_map(|transaction| &transaction.entries) {
            if let (Account::Receivable, Unit::Money(currency)) = (entry.account, entry.unit) {
                *ledger.entry(currency.to_string()).or_default() += i128::from(entry.amount);
            }
        }
        owed.retain(|_, amount| *amount != 0);
        ledger.retain(|_, amount| *amount != 0);
        self.receivables.count(owed == ledger, || {
            format!("organization {id}: invoices leave {owed:?} unpaid, the ledger says {ledger:?}")
        });
    }

    pub(super) fn finish(self) -> [Check; 9] {
        [
            self.charges,
            self.provider,
            self.payments,
            self.receivables,
            self.purchases,
            self.credit_notes,
            self.refunds,
            self.dunning,
            self.budgets,
        ]
    }
}
