//! Charges and payments: never twice, never more than is due, and the books agree.

use std::collections::HashMap;

use super::Check;
use crate::app::App;
use crate::domain::ledger::{Account, Unit};
use crate::domain::payment::{ChargeOutcome, ChargeState};
use crate::services::ServiceError;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, charges, invoices, ledger, purchases};

pub(super) struct Checks {
    charges: Check,
    provider: Check,
    payments: Check,
    receivables: Check,
    purchases: Check,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            charges: Check::new("charges_single"),
            provider: Check::new("charges_match_provider"),
            payments: Check::new("payments_match_invoices"),
            receivables: Check::new("receivables_agree"),
            purchases: Check::new("purchases_granted_once"),
        }
    }

    pub(super) async fn organization(
        &mut self,
        app: &App,
        tx: &mut Tx,
        stored: &Stored,
    ) -> Result<(), ServiceError> {
        let id = stored.organization.id.as_str();
        let mut owed: HashMap<String, i128> = HashMap::new();
        for row in invoices::of_organization(tx, id).await? {
            let name = row.number.clone().unwrap_or_else(|| row.id.clone());
            self.charges(app, tx, id, &row.id, &name).await?;
            let paid: i128 = charges::payments(tx, id, &row.id)
                .await?
                .iter()
                .map(|payment| i128::from(payment.amount))
                .sum();
            let due = i128::from(row.amount_due);
            let fits = match row.status.as_str() {
                "settled" => paid == due,
                _ => paid == 0,
            };
            self.payments.count(fits, || {
                format!("invoice {name} is {}: due {due}, paid {paid} (minor units)", row.status)
            });
            if row.number.is_some() {
                *owed.entry(row.currency.clone()).or_default() += due - paid;
            }
        }
        self.receivables(tx, id, owed).await?;
        for purchase in purchases::all(tx, id).await? {
            self.charges(app, tx, id, &purchase.id, &purchase.id).await?;
            let granted = (purchase.state == "paid") == purchase.grant.is_some();
            self.purchases.count(granted, || {
                format!(
                    "purchase {} is {}, its grant is {:?}",
                    purchase.id, purchase.state, purchase.grant
                )
            });
        }
        Ok(())
    }

    async fn charges(
        &mut self,
        app: &App,
        tx: &mut Tx,
        id: &str,
        subject: &str,
        name: &str,
    ) -> Result<(), ServiceError> {
        let attempts = charges::of_subject(tx, id, subject).await?;
        let live = attempts.iter().filter(|charge| charge.state.is_live()).count();
        self.charges.count(live <= 1, || format!("{name}: {live} charges took or may take money"));
        for charge in &attempts {
            let final_state =
                matches!(charge.state, ChargeState::Succeeded | ChargeState::Declined);
            if app.gateway.name() != "sandbox" || !final_state {
                continue;
            }
            // Only the sandbox is on this machine; asking a real provider is not verify's business.
            let said = app.gateway.lookup(&charge.request).await;
            let voided = charge.decline_code.as_deref() == Some(charges::VOIDED)
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
        Ok(())
    }

    /// What the ledger says is owed is what issued invoices leave unpaid.
    async fn receivables(
        &mut self,
        tx: &mut Tx,
        id: &str,
        mut owed: HashMap<String, i128>,
    ) -> Result<(), ServiceError> {
        let mut books: HashMap<String, i128> = HashMap::new();
        for entry in ledger::chain(tx, id).await?.iter().flat_map(|t| &t.entries) {
            if let (Account::Receivable, Unit::Money(currency)) = (entry.account, entry.unit) {
                *books.entry(currency.to_string()).or_default() += i128::from(entry.amount);
            }
        }
        owed.retain(|_, amount| *amount != 0);
        books.retain(|_, amount| *amount != 0);
        self.receivables.count(owed == books, || {
            format!("organization {id}: invoices leave {owed:?} unpaid, the ledger says {books:?}")
        });
        Ok(())
    }

    pub(super) fn finish(self) -> [Check; 5] {
        [self.charges, self.provider, self.payments, self.receivables, self.purchases]
    }
}
