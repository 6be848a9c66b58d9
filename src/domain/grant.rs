//! Grants: immutable dated lots of credits whose terms are frozen when granted (D2, D5).

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::cycle::Cycle;

/// Where a grant came from; the order is the burn order among equal expiries (D3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// The plan's allowance of a cycle.
    Allowance,
    /// Sign-up credits and gifts (D10).
    Promotional,
    /// A correction by finance.
    Adjustment,
    /// Bought credits (S21, S35).
    Purchase,
}

impl Source {
    /// All sources, in burn order.
    pub const ALL: [Self; 4] =
        [Self::Allowance, Self::Promotional, Self::Adjustment, Self::Purchase];

    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowance => "allowance",
            Self::Promotional => "promotional",
            Self::Adjustment => "adjustment",
            Self::Purchase => "purchase",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|source| source.as_str() == text).ok_or_else(|| {
            format!("{text:?} is not a grant source (allowance, promotional, adjustment, purchase)")
        })
    }
}

/// A lot of credits. Never changed after granting; what is left is derived from the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// `grt_…`, time-ordered.
    pub id: String,
    /// Where it came from.
    pub source: Source,
    /// The cycle it was granted in.
    pub cycle: Cycle,
    /// How much was granted; more than zero.
    pub granted: Credits,
    /// When it was granted.
    pub granted_at: DateTime<Utc>,
    /// The last cycle it can be used in; none: never expires.
    pub last_cycle: Option<Cycle>,
    /// The end of that cycle, computed once.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Grant {
    /// Burn order (D3): earliest expiry, then source, then earliest granted, then id.
    #[must_use]
    pub fn burn_order(&self, other: &Self) -> Ordering {
        let expiry =
            |grant: &Self| grant.last_cycle.map_or((true, grant.cycle), |last| (false, last));
        let never_ties = |a: &Self, b: &Self| match (a.last_cycle, b.last_cycle) {
            (None, None) => Ordering::Equal,
            _ => expiry(a).cmp(&expiry(b)),
        };
        never_ties(self, other)
            .then(self.source.cmp(&other.source))
            .then(self.granted_at.cmp(&other.granted_at))
            .then_with(|| self.id.cmp(&other.id))
    }
}

/// A grant with what the ledger says is left of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenGrant {
    /// The lot.
    pub grant: Grant,
    /// Credits left, `0 ≤ remaining ≤ granted`.
    pub remaining: Credits,
}
