//! Credit notes: what of an issued document may still be given back, in money and in credits.

use super::credits::{Credits, CreditsError};
use super::cycle::Cycle;
use super::grant::{Grant, OpenGrant};
use super::money::{Money, MoneyError};
use super::rounding::{self, RoundingError};
use super::statement::CreditStatement;

/// Net and tax of a document, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amounts {
    /// Before tax.
    pub net: Money,
    /// Tax on it.
    pub tax: Money,
}

impl Amounts {
    /// Net and tax together.
    ///
    /// # Errors
    /// Out of range.
    pub fn gross(self) -> Result<Money, MoneyError> {
        self.net.plus(self.tax)
    }
}

/// Why nothing, or not so much, can be given back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// More than is left of the document.
    #[error("{wanted} is more than the {left} that can still be credited (before tax)")]
    TooMuch {
        /// What was asked for.
        wanted: Money,
        /// What is left.
        left: Money,
    },
    /// More credits than can go back.
    #[error(
        "{wanted} credits are more than the {left} that can be {what}; what lapsed, or was never used, cannot"
    )]
    TooManyCredits {
        /// What was asked for.
        wanted: Credits,
        /// What is left.
        left: Credits,
        /// `returned` or `taken back`.
        what: &'static str,
    },
    /// Nothing was asked for.
    #[error("give an amount or a number of credits above 0")]
    Nothing,
    /// What is left, or the price of so few credits, comes to nothing in money.
    #[error("that comes to {0}: there is nothing to credit")]
    Worthless(Money),
    /// An amount is out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// Credits are out of range.
    #[error(transparent)]
    Credits(#[from] CreditsError),
    /// A rounding failed.
    #[error(transparent)]
    Rounding(#[from] RoundingError),
}

/// The part of a document that is credited: `net` of it with the tax that goes with it, or all that is left.
///
/// Tax is taken cumulatively, so that the taxes of several credit notes over the whole are the whole tax.
///
/// # Errors
/// More than is left, or nothing.
pub fn part(
    whole: Amounts,
    credited: Amounts,
    net: Option<Money>,
) -> Result<Amounts, CorrectionError> {
    let left = whole.net.minus(credited.net)?;
    let net = net.unwrap_or(left);
    if !net.is_positive() {
        return Err(CorrectionError::Worthless(net));
    }
    if net.minor() > left.minor() {
        return Err(CorrectionError::TooMuch { wanted: net, left });
    }
    let so_far = rounding::tax_share(whole.tax, credited.net.plus(net)?, whole.net)?;
    Ok(Amounts { net, tax: so_far.minus(credited.tax)? })
}

/// Credits of a closed cycle's use that go back to the grants they were burned from, the last burned
/// first. `returned` says what earlier credit notes gave back of each grant for this cycle; a grant whose
/// last cycle is over when `open` runs can no longer be used, so nothing goes back to it.
///
/// # Errors
/// More than can go back, or nothing.
pub fn returns(
    statement: &CreditStatement,
    grants: &[Grant],
    returned: impl Fn(&str) -> Credits,
    open: Cycle,
    wanted: Credits,
) -> Result<Vec<(Grant, Credits)>, CorrectionError> {
    if !wanted.is_positive() {
        return Err(CorrectionError::Nothing);
    }
    let usable = |grant: &&Grant| grant.last_cycle.is_none_or(|last| last >= open);
    let mut parts = Vec::new();
    let mut left = wanted;
    let mut most = Credits::ZERO;
    for line in statement.grants.iter().rev() {
        let Some(grant) = grants.iter().find(|grant| grant.id == line.id).filter(usable) else {
            continue;
        };
        let possible = line.used.minus(returned(&line.id))?;
        most = most.plus(possible)?;
        let part = possible.min(left);
        if part.is_positive() {
            left = left.minus(part)?;
            parts.push((grant.clone(), part));
        }
    }
    if left.is_positive() {
        return Err(CorrectionError::TooManyCredits { wanted, left: most, what: "returned" });
    }
    Ok(parts)
}

/// Credits of a purchase that are taken back with its money: at most what the use so far leaves of its grant.
///
/// # Errors
/// More than is left, or nothing.
pub fn take_back(left: &OpenGrant, wanted: Option<Credits>) -> Result<Credits, CorrectionError> {
    let credits = wanted.unwrap_or(left.remaining);
    if !credits.is_positive() {
        return Err(CorrectionError::Nothing);
    }
    if credits > left.remaining {
        let left = left.remaining;
        return Err(CorrectionError::TooManyCredits { wanted: credits, left, what: "taken back" });
    }
    Ok(credits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;

    fn usd(minor: i64) -> Money {
        Money::from_minor(minor, Currency::USD)
    }

    // V4: several credit notes over a whole document give back exactly its tax, whatever the parts.
    #[test]
    fn taxes_of_parts_are_the_whole_tax() {
        let whole = Amounts { net: usd(10_007), tax: usd(1_901) };
        for parts in [vec![1, 2, 3, 10_001], vec![3_333, 3_333, 3_341], vec![10_007]] {
            let mut credited = Amounts { net: usd(0), tax: usd(0) };
            for net in parts {
                let now = part(whole, credited, Some(usd(net))).unwrap();
                assert!(now.tax.minor() >= 0);
                credited.net = credited.net.plus(now.net).unwrap();
                credited.tax = credited.tax.plus(now.tax).unwrap();
            }
            assert_eq!(credited, whole);
            assert_eq!(part(whole, credited, None), Err(CorrectionError::Worthless(usd(0))));
        }
        let none = Amounts { net: usd(0), tax: usd(0) };
        assert!(matches!(
            part(whole, none, Some(usd(10_008))),
            Err(CorrectionError::TooMuch { .. })
        ));
        assert_eq!(part(whole, none, None).unwrap(), whole);
    }
}
