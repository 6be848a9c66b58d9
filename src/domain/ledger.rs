//! The ledger: double-entry, append-only, numbered and hash-chained per organization.
//!
//! ```text
//! LedgerTransaction  one fact: a grant, a close, an invoice, a payment
//! ├── organization, seq 1…n without holes, previous hash, hash
//! ├── key             names the fact; unique within the organization
//! └── Entry …         account, grant, unit, amount; amounts sum to 0 per unit
//! ```

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use super::credits::Credits;
use super::cycle::Cycle;
use super::ids;
use super::money::{Currency, Money};

/// Where an amount goes or comes from. A positive entry adds to the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Credits left in one grant; the only account that names a grant.
    Grant,
    /// Counterpart of everything ever granted.
    Granted,
    /// Use taken from grants, billed as overage or carried as a deficit.
    Used,
    /// Credits that lapsed.
    Expired,
    /// Credits that credit notes gave back to grants (below zero) or took off them (above).
    Corrected,
    /// Use beyond all grants that is billed in money.
    Overage,
    /// Use beyond all grants that the next grants fill first (D8); never above zero.
    Deficit,
    /// Money customers owe.
    Receivable,
    /// Money received.
    Cash,
    /// Money received for purchases before they are on an invoice.
    Prepayments,
    /// Net amounts invoiced.
    Sales,
    /// Tax invoiced.
    Tax,
}

impl Account {
    /// All accounts.
    pub const ALL: [Self; 12] = [
        Self::Grant,
        Self::Granted,
        Self::Used,
        Self::Expired,
        Self::Corrected,
        Self::Overage,
        Self::Deficit,
        Self::Receivable,
        Self::Cash,
        Self::Prepayments,
        Self::Sales,
        Self::Tax,
    ];

    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Granted => "granted",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Corrected => "corrected",
            Self::Overage => "overage",
            Self::Deficit => "deficit",
            Self::Receivable => "receivable",
            Self::Cash => "cash",
            Self::Prepayments => "prepayments",
            Self::Sales => "sales",
            Self::Tax => "tax",
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|account| account.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a ledger account"))
    }
}

/// What an amount counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    /// 10⁻⁹ credit.
    Credit,
    /// Minor units of a currency.
    Money(Currency),
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credit => f.write_str("CREDIT"),
            Self::Money(currency) => f.write_str(currency.code()),
        }
    }
}

impl FromStr for Unit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "CREDIT" {
            return Ok(Self::Credit);
        }
        text.parse().map(Self::Money).map_err(|error| format!("{error}"))
    }
}

/// One side of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it goes.
    pub account: Account,
    /// Which grant, for [`Account::Grant`] alone.
    pub grant: Option<String>,
    /// What is counted.
    pub unit: Unit,
    /// Never zero.
    pub amount: i64,
}

/// A fact to be posted: not yet numbered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// `grant`, `close`, `invoice`, `payment` …
    pub kind: &'static str,
    /// Names the fact within its organization, for ever: posting it again is refused.
    pub key: String,
    /// The cycle it belongs to.
    pub cycle: Cycle,
    /// When it takes effect.
    pub effective_at: DateTime<Utc>,
    /// Its sides; zero amounts are left out when built by [`Posting::new`].
    pub entries: Vec<Entry>,
}

/// The last transaction of an organization's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number; 0: none yet.
    pub seq: i64,
    /// Its hash; empty: none yet.
    pub hash: String,
}

/// A posted transaction: never changed, never removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerTransaction {
    /// Whose chain.
    pub organization: String,
    /// Place in the chain, from 1.
    pub seq: i64,
    /// See [`Posting::kind`].
    pub kind: String,
    /// See [`Posting::key`].
    pub key: String,
    /// See [`Posting::cycle`].
    pub cycle: Cycle,
    /// When it takes effect.
    pub effective_at: DateTime<Utc>,
    /// When it was written.
    pub recorded_at: DateTime<Utc>,
    /// Hash of the transaction before; empty for the first.
    pub previous_hash: String,
    /// Hash over this one and the one before.
    pub hash: String,
    /// Its sides.
    pub entries: Vec<Entry>,
}

/// Why a fact cannot be posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// Entries of a unit do not sum to zero.
    #[error("transaction {key:?}: the {unit} entries sum to {sum}, not to 0")]
    Unbalanced {
        /// Which fact.
        key: String,
        /// Which unit.
        unit: Unit,
        /// What they sum to.
        sum: i128,
    },
    /// Fewer than two entries.
    #[error("transaction {0:?} has fewer than two entries")]
    Empty(String),
}

impl Posting {
    /// A fact from its sides; sides of zero are left out.
    #[must_use]
    pub fn new(
        kind: &'static str,
        key: String,
        cycle: Cycle,
        effective_at: DateTime<Utc>,
        sides: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let entries = sides.into_iter().filter(|entry| entry.amount != 0).collect();
        Self { kind, key, cycle, effective_at, entries }
    }

    /// Numbers the fact after `head` and chains its hash.
    ///
    /// # Errors
    /// Unbalanced, or without two entries.
    pub fn seal(
        self,
        organization: &str,
        head: &Head,
        recorded_at: DateTime<Utc>,
    ) -> Result<LedgerTransaction, LedgerError> {
        if self.entries.len() < 2 {
            return Err(LedgerError::Empty(self.key));
        }
        if let Some((unit, sum)) = imbalance(&self.entries) {
            return Err(LedgerError::Unbalanced { key: self.key, unit, sum });
        }
        let mut transaction = LedgerTransaction {
            organization: organization.to_owned(),
            seq: head.seq + 1,
            kind: self.kind.to_owned(),
            key: self.key,
            cycle: self.cycle,
            effective_at: self.effective_at,
            recorded_at,
            previous_hash: head.hash.clone(),
            hash: String::new(),
            entries: self.entries,
        };
        transaction.hash = transaction.computed_hash();
        Ok(transaction)
    }
}

/// The first unit whose entries do not sum to zero, with their sum.
#[must_use]
pub fn imbalance(entries: &[Entry]) -> Option<(Unit, i128)> {
    entries.iter().map(|entry| entry.unit).find_map(|unit| {
        let sum: i128 =
            entries.iter().filter(|e| e.unit == unit).map(|e| i128::from(e.amount)).sum();
        (sum != 0).then_some((unit, sum))
    })
}

impl LedgerTransaction {
    /// The hash its fields give, to compare with the stored one.
    #[must_use]
    pub fn computed_hash(&self) -> String {
        use fmt::Write as _;
        let mut text = String::with_capacity(256 + self.entries.len() * 80);
        let _ = write!(
            text,
            "monthend-ledger-1\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}\n",
            self.previous_hash,
            self.organization,
            self.seq,
            self.kind,
            self.key,
            self.cycle,
            self.effective_at.timestamp_micros(),
            self.recorded_at.timestamp_micros(),
        );
        for entry in &self.entries {
            let grant = entry.grant.as_deref().unwrap_or("-");
            let _ = writeln!(text, "{} {grant} {} {}", entry.account, entry.unit, entry.amount);
        }
        ids::sha256_hex(text.as_bytes())
    }

    /// The head of the chain after this transaction.
    #[must_use]
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash.clone() }
    }
}

/// A side in credits.
#[must_use]
pub fn credit_entry(account: Account, amount: Credits) -> Entry {
    Entry { account, grant: None, unit: Unit::Credit, amount: amount.nano() }
}

/// A side in one grant's credits.
#[must_use]
pub fn grant_entry(grant: &str, amount: Credits) -> Entry {
    Entry {
        account: Account::Grant,
        grant: Some(grant.to_owned()),
        unit: Unit::Credit,
        amount: amount.nano(),
    }
}

/// A side in money.
#[must_use]
pub fn money_entry(account: Account, amount: Money) -> Entry {
    Entry { account, grant: None, unit: Unit::Money(amount.currency()), amount: amount.minor() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(amounts: &[i64]) -> Posting {
        Posting::new(
            "grant",
            "k".into(),
            "2026-01".parse().unwrap(),
            DateTime::UNIX_EPOCH,
            amounts.iter().map(|a| credit_entry(Account::Used, Credits::from_nano(*a))),
        )
    }

    #[test]
    fn only_balanced_facts_are_posted() {
        let head = Head { seq: 0, hash: String::new() };
        assert!(posting(&[5, -5]).seal("acme", &head, DateTime::UNIX_EPOCH).is_ok());
        assert!(matches!(
            posting(&[5, -4]).seal("acme", &head, DateTime::UNIX_EPOCH),
            Err(LedgerError::Unbalanced { sum: 1, .. })
        ));
        assert!(matches!(
            posting(&[0, 0]).seal("acme", &head, DateTime::UNIX_EPOCH),
            Err(LedgerError::Empty(_))
        ));
    }

    #[test]
    fn the_chain_names_what_came_before() {
        let head = Head { seq: 0, hash: String::new() };
        let first = posting(&[5, -5]).seal("acme", &head, DateTime::UNIX_EPOCH).unwrap();
        let second = posting(&[5, -5]).seal("acme", &first.head(), DateTime::UNIX_EPOCH).unwrap();
        assert_eq!((second.seq, &second.previous_hash), (2, &first.hash));
        let mut altered = second.clone();
        altered.entries[0].amount = 6;
        assert_ne!(altered.computed_hash(), second.hash);
    }

    // Stored chains were hashed so: what changes this text breaks every one of them.
    #[test]
    fn a_known_fact_has_its_known_hash() {
        let eur: Currency = "EUR".parse().unwrap();
        let entries = [
            grant_entry("grt_1", Credits::from_nano(-5)),
            credit_entry(Account::Used, Credits::from_nano(5)),
            money_entry(Account::Cash, Money::from_minor(7, eur)),
            money_entry(Account::Sales, Money::from_minor(-7, eur)),
        ];
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let cycle = "2026-01".parse().unwrap();
        let posting = Posting::new("close", "close:2026-01".into(), cycle, at(1), entries);
        let head = Head { seq: 7, hash: "abc".into() };
        let sealed = posting.seal("acme", &head, at(2)).unwrap();
        // SHA-256 of the lines, computed apart from this program.
        let expected = "c8f7044ea1782d35549af81b8cf5371bcc248301a01ba256e7f73fe0d16c93c5";
        assert_eq!(sealed.hash, expected);
        assert_eq!(sealed.head(), Head { seq: 8, hash: expected.into() });
    }

    #[test]
    fn accounts_and_units_are_read_as_they_are_written() {
        for account in Account::ALL {
            assert_eq!(account.to_string().parse(), Ok(account));
            assert!(!account.as_str().is_empty());
        }
        let eur = Unit::Money("EUR".parse().unwrap());
        assert_eq!([Unit::Credit, eur].map(|unit| unit.to_string()), ["CREDIT", "EUR"]);
        assert_eq!(["CREDIT", "EUR"].map(str::parse), [Ok(Unit::Credit), Ok(eur)]);
        assert!("grants".parse::<Account>().is_err() && "credit".parse::<Unit>().is_err());
    }

    // Each unit balances by itself, also where the others do.
    #[test]
    fn an_imbalance_of_one_unit_is_not_hidden_by_another() {
        let usd = money_entry(Account::Cash, Money::from_minor(3, Currency::USD));
        let credits = |nano| credit_entry(Account::Used, Credits::from_nano(nano));
        let entries = [credits(5), credits(-5), usd];
        assert_eq!(imbalance(&entries), Some((Unit::Money(Currency::USD), 3)));
        assert_eq!(imbalance(&entries[..2]), None);
    }
}
