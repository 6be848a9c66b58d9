//! A ledger in memory: posts facts, keeps the chain, and gives the balances.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use monthend::domain::ledger::{Account, Head, LedgerTransaction, Posting, Unit};

/// One organization's ledger.
#[derive(Default)]
pub struct Books {
    transactions: Vec<LedgerTransaction>,
    keys: BTreeSet<String>,
    balances: BTreeMap<(Account, Option<String>), i128>,
}

impl Books {
    /// Posts a fact; a key that was posted before is a failure (L9).
    pub fn post(&mut self, organization: &str, posting: Posting, recorded_at: DateTime<Utc>) {
        assert!(self.keys.insert(posting.key.clone()), "{} is posted twice", posting.key);
        let none = Head { seq: 0, hash: String::new() };
        let head = self.transactions.last().map_or(none, LedgerTransaction::head);
        let sealed = posting.seal(organization, &head, recorded_at).unwrap();
        for entry in &sealed.entries {
            assert_ne!(entry.amount, 0, "{}: L1", sealed.key);
            assert_eq!(entry.unit, Unit::Credit, "{}: a close moves credits alone", sealed.key);
            assert_eq!(entry.grant.is_some(), entry.account == Account::Grant, "{}", sealed.key);
            *self.balances.entry((entry.account, entry.grant.clone())).or_default() +=
                i128::from(entry.amount);
        }
        self.transactions.push(sealed);
    }

    /// Balance of an account over all its grants, in 10⁻⁹ credit.
    pub fn balance(&self, account: Account) -> i128 {
        self.balances.iter().filter(|((a, _), _)| *a == account).map(|(_, sum)| sum).sum()
    }

    /// What the ledger says is left of one grant, in 10⁻⁹ credit.
    pub fn left(&self, grant: &str) -> i128 {
        let key = (Account::Grant, Some(grant.to_owned()));
        self.balances.get(&key).copied().unwrap_or_default()
    }

    /// How many facts were posted.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// L1, L2, L3, L8: balanced facts, numbered without holes, each hash over the one before.
    pub fn verify(&self) {
        let mut previous = Head { seq: 0, hash: String::new() };
        let mut sums: BTreeMap<(Account, Option<String>), i128> = BTreeMap::new();
        for transaction in &self.transactions {
            let amounts = transaction.entries.iter().map(|entry| i128::from(entry.amount));
            assert_eq!(amounts.sum::<i128>(), 0, "{}: L1", transaction.key);
            assert!(transaction.entries.len() >= 2, "{}: L1", transaction.key);
            assert_eq!(transaction.seq, previous.seq + 1, "{}: L8", transaction.key);
            assert_eq!(transaction.previous_hash, previous.hash, "{}: L8", transaction.key);
            assert_eq!(transaction.hash, transaction.computed_hash(), "{}: L8", transaction.key);
            for entry in &transaction.entries {
                *sums.entry((entry.account, entry.grant.clone())).or_default() +=
                    i128::from(entry.amount);
            }
            previous = transaction.head();
        }
        assert_eq!(sums, self.balances, "L3");
        assert_eq!(sums.values().sum::<i128>(), 0, "L2");
    }
}
