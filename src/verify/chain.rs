//! The ledger: balanced, numbered without holes, chained; grants and deficits follow from it.

use std::collections::HashMap;

use super::Check;
use crate::domain::credits::Credits;
use crate::domain::ledger::{Account, Head, LedgerTransaction, Unit, imbalance};
use crate::services::ServiceError;
use crate::storage::organizations::Stored;
use crate::storage::{Tx, cycles, grants, ledger};

pub(super) struct Checks {
    balanced: Check,
    chained: Check,
    grants: Check,
    deficits: Check,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self {
            balanced: Check::new("ledger_balanced"),
            chained: Check::new("ledger_chained"),
            grants: Check::new("grants_foot"),
            deficits: Check::new("deficits_carried"),
        }
    }

    pub(super) async fn organization(
        &mut self,
        tx: &mut Tx,
        stored: &Stored,
    ) -> Result<(), ServiceError> {
        let id = stored.organization.id.as_str();
        let transactions = ledger::chain(tx, id).await?;
        let mut head = Head { seq: 0, hash: String::new() };
        for transaction in &transactions {
            self.transaction(id, transaction, &head);
            head = transaction.head();
        }
        let said = ledger::head(tx, id).await?;
        self.chained.count(said == head, || {
            format!("organization {id}: the chain ends at {}, its head says {}", head.seq, said.seq)
        });
        self.grants(tx, id, &transactions).await?;
        self.deficit(tx, id, &transactions).await
    }

    fn transaction(&mut self, id: &str, transaction: &LedgerTransaction, head: &Head) {
        let seq = transaction.seq;
        let sum = imbalance(&transaction.entries);
        self.balanced.count(sum.is_none() && transaction.entries.len() >= 2, || {
            format!("organization {id}, transaction {seq}: entries do not sum to 0 ({sum:?})")
        });
        let linked = seq == head.seq + 1 && transaction.previous_hash == head.hash;
        self.chained.count(linked && transaction.computed_hash() == transaction.hash, || {
            format!("organization {id}, transaction {seq}: altered, or one before it is missing")
        });
    }

    async fn grants(
        &mut self,
        tx: &mut Tx,
        id: &str,
        transactions: &[LedgerTransaction],
    ) -> Result<(), ServiceError> {
        let mut left: HashMap<&str, i128> = HashMap::new();
        let mut granted: HashMap<&str, i128> = HashMap::new();
        for transaction in transactions {
            for entry in &transaction.entries {
                if let Some(grant) = &entry.grant {
                    *left.entry(grant).or_default() += i128::from(entry.amount);
                    // A credit note gives back what was granted before: it grants nothing new.
                    if entry.amount > 0 && transaction.kind != "credit_note" {
                        *granted.entry(grant).or_default() += i128::from(entry.amount);
                    }
                }
            }
        }
        let open = cycles::open_of(tx, &[id.to_owned()]).await?.into_iter().next();
        for stored in grants::all(tx, id).await? {
            let grant = &stored.grant;
            let name = grant.id.as_str();
            let amount = i128::from(grant.granted.nano());
            let remaining = i128::from(stored.remaining.nano());
            let foots = granted.remove(name) == Some(amount)
                && left.remove(name) == Some(remaining)
                && (0..=amount).contains(&remaining);
            self.grants.count(foots, || {
                format!("organization {id}, grant {name}: the ledger and the grant differ")
            });
            let lapsed = open
                .as_ref()
                .zip(grant.last_cycle)
                .is_some_and(|(open, last)| last < open.open.cycle);
            self.grants.count(!lapsed || remaining == 0, || {
                format!(
                    "organization {id}, grant {name}: it expired, but {} credits are left",
                    stored.remaining
                )
            });
        }
        self.grants.count(left.is_empty(), || {
            format!(
                "organization {id}: the ledger names grants that are not stored: {:?}",
                left.keys()
            )
        });
        Ok(())
    }

    async fn deficit(
        &mut self,
        tx: &mut Tx,
        id: &str,
        transactions: &[LedgerTransaction],
    ) -> Result<(), ServiceError> {
        let carried: i128 = transactions
            .iter()
            .flat_map(|transaction| &transaction.entries)
            .filter(|entry| entry.account == Account::Deficit && entry.unit == Unit::Credit)
            .map(|entry| i128::from(entry.amount))
            .sum();
        let brought = cycles::open_of(tx, &[id.to_owned()])
            .await?
            .into_iter()
            .next()
            .map_or(Credits::ZERO, |open| open.deficit_brought);
        self.deficits.count(carried == -i128::from(brought.nano()), || {
            format!(
                "organization {id}: the ledger carries {carried} (10⁻⁹), the open cycle {brought}"
            )
        });
        Ok(())
    }

    pub(super) async fn finish(mut self, tx: &mut Tx) -> Result<[Check; 4], ServiceError> {
        for organization in ledger::orphan_heads(tx).await? {
            self.chained
                .problem(format!("there is a ledger of {organization}, which is not stored"));
        }
        Ok([self.balanced, self.chained, self.grants, self.deficits])
    }
}
