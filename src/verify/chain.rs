//! The ledger: balanced, numbered without holes, chained; grants and deficits follow from it.

use std::collections::HashMap;

use super::Check;
use super::books::Books;
use crate::domain::credits::Credits;
use crate::domain::ledger::{Account, Head, LedgerTransaction, Unit, imbalance};
use crate::services::ServiceError;
use crate::storage::{Tx, ledger};

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

    pub(super) fn organization(&mut self, books: &Books) {
        let id = books.id();
        let mut head = Head { seq: 0, hash: String::new() };
        for transaction in &books.chain {
            self.transaction(id, transaction, &head);
            head = transaction.head();
        }
        let said = &books.head;
        self.chained.count(*said == head, || {
            format!("organization {id}: the chain ends at {}, its head says {}", head.seq, said.seq)
        });
        self.grants(books);
        self.deficit(books);
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

    fn grants(&mut self, books: &Books) {
        let id = books.id();
        let mut left: HashMap<&str, i128> = HashMap::new();
        let mut granted: HashMap<&str, i128> = HashMap::new();
        for transaction in &books.chain {
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
        let open = books.open_cycle();
        for stored in &books.grants {
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
            let lapsed =
                open.zip(grant.last_cycle).is_some_and(|(open, last)| last < open.open.cycle);
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
    }

    fn deficit(&mut self, books: &Books) {
        let id = books.id();
        let carried: i128 = books
            .chain
            .iter()
            .flat_map(|transaction| &transaction.entries)
            .filter(|entry| entry.account == Account::Deficit && entry.unit == Unit::Credit)
            .map(|entry| i128::from(entry.amount))
            .sum();
        let brought = books.open_cycle().map_or(Credits::ZERO, |open| open.deficit_brought);
        self.deficits.count(carried == -i128::from(brought.nano()), || {
            format!(
                "organization {id}: the ledger carries {carried} (10⁻⁹), the open cycle {brought}"
            )
        });
    }

    pub(super) async fn finish(mut self, tx: &mut Tx) -> Result<[Check; 4], ServiceError> {
        for organization in ledger::orphan_heads(tx).await? {
            self.chained
                .problem(format!("there is a ledger of {organization}, which is not stored"));
        }
        Ok([self.balanced, self.chained, self.grants, self.deficits])
    }
}
