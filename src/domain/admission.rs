//! May an organization start new operations (S49, S50)?

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::credits::Credits;

/// Why new operations are paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Finance paused it.
    ByHand,
    /// An invoice was given up.
    Unpaid,
    /// No credits are available under a plan that pauses.
    OutOfCredits,
}

impl Reason {
    const ALL: [Self; 3] = [Self::ByHand, Self::Unpaid, Self::OutOfCredits];

    /// The stored and printed word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ByHand => "by_hand",
            Self::Unpaid => "unpaid",
            Self::OutOfCredits => "out_of_credits",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Reason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| format!("{text:?} is not a reason to pause"))
    }
}

/// What the answer depends on, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Finance set it aside.
    pub by_hand: bool,
    /// An invoice of it was given up.
    pub unpaid: bool,
    /// Use beyond the credits is billed under the terms of the running cycle.
    pub bills_overage: bool,
    /// Credits available, below zero where more was used than there is.
    pub available: Credits,
}

impl Facts {
    /// Why it is paused; none: it may go on. A person's word comes first, then unpaid invoices, then
    /// credits: new credits do not lift what has another cause.
    #[must_use]
    pub const fn paused(&self) -> Option<Reason> {
        if self.by_hand {
            Some(Reason::ByHand)
        } else if self.unpaid {
            Some(Reason::Unpaid)
        } else if !self.bills_overage && !self.available.is_positive() {
            Some(Reason::OutOfCredits)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // S49: exactly nothing left pauses, the smallest credit does not; overage never does.
    #[test]
    fn only_no_credits_without_overage_pause_by_themselves() {
        let facts = |nano, bills_overage| Facts {
            by_hand: false,
            unpaid: false,
            bills_overage,
            available: Credits::from_nano(nano),
        };
        assert_eq!(facts(1, false).paused(), None);
        assert_eq!(facts(0, false).paused(), Some(Reason::OutOfCredits));
        assert_eq!(facts(-1, false).paused(), Some(Reason::OutOfCredits));
        assert_eq!(facts(-1, true).paused(), None);
        let unpaid = Facts { unpaid: true, ..facts(1, true) };
        assert_eq!(unpaid.paused(), Some(Reason::Unpaid));
        assert_eq!(Facts { by_hand: true, ..unpaid }.paused(), Some(Reason::ByHand));
    }

    #[test]
    fn words_are_read_back() {
        for reason in Reason::ALL {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        assert!("tired".parse::<Reason>().is_err());
    }
}
