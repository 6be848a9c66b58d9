//! Who made a run's figures move: for the person who has to say whether they are right.

use std::collections::BTreeMap;

use super::Line;
use crate::domain::money::{Currency, Money};

/// Organizations that are named, of each currency.
const NAMED: usize = 10;

/// One organization whose invoice differs from last month's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mover {
    /// Whose.
    pub organization: String,
    /// What this month's invoice asks for; zero: nothing to bill.
    pub now: Money,
    /// What last month's asked for; zero: it was not billed.
    pub before: Money,
}

impl Mover {
    /// By how much, in minor units, either way.
    fn distance(&self) -> u64 {
        self.now.minor().abs_diff(self.before.minor())
    }
}

/// Those who moved the most, of each currency; no more memory for many than for few.
#[derive(Debug, Clone, Default)]
pub struct Movers {
    most: BTreeMap<Currency, Vec<Mover>>,
}

impl Movers {
    /// The next organization. Invoices that are numbered already are not in question.
    pub fn take(&mut self, line: &Line) {
        if line.now.is_some() && !line.draft || line.before_is_draft {
            return;
        }
        let mut currencies: Vec<Currency> =
            [line.now, line.before].into_iter().flatten().map(Money::currency).collect();
        currencies.dedup();
        for currency in currencies {
            let in_currency = |money: Option<Money>| {
                money
                    .filter(|money| money.currency() == currency)
                    .unwrap_or_else(|| Money::zero(currency))
            };
            let mover = Mover {
                organization: line.organization.clone(),
                now: in_currency(line.now),
                before: in_currency(line.before),
            };
            self.insert(currency, mover);
        }
    }

    fn insert(&mut self, currency: Currency, mover: Mover) {
        if mover.distance() == 0 {
            return;
        }
        let most = self.most.entry(currency).or_default();
        // Of two that moved alike the first in order stands first.
        let place = most.partition_point(|other| other.distance() >= mover.distance());
        most.insert(place, mover);
        most.truncate(NAMED);
    }

    /// Currency by currency, those who moved the most first.
    #[must_use]
    pub fn end(self) -> Vec<Mover> {
        self.most.into_values().flatten().collect()
    }
}
