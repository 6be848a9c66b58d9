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
    use crate::domain::grant::Source;
    use crate::domain::money::Currency;
    use crate::domain::statement::{StatementGrant, StatementState};

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

    fn credits(text: &str) -> Credits {
        text.parse().unwrap()
    }

    fn grant(id: &str, last: Option<&str>) -> Grant {
        Grant {
            id: id.to_owned(),
            source: Source::Promotional,
            cycle: "2026-01".parse().unwrap(),
            granted: credits("100"),
            granted_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            last_cycle: last.map(|last| last.parse().unwrap()),
            expires_at: None,
        }
    }

    /// January's statement: what each grant gave, in burn order.
    fn january(used: &[(&str, &str)]) -> CreditStatement {
        let zero = Credits::ZERO;
        let line = |(id, used): &(&str, &str)| StatementGrant {
            id: (*id).to_owned(),
            source: Source::Promotional,
            cycle: "2026-01".parse().unwrap(),
            opening: zero,
            granted: credits("100"),
            used: credits(used),
            expired: zero,
            closing: zero,
            expires_at: None,
        };
        CreditStatement {
            organization: "acme".to_owned(),
            cycle: "2026-01".parse().unwrap(),
            state: StatementState::Closed,
            opening: zero,
            granted: zero,
            purchased: zero,
            used: zero,
            expired: zero,
            closing: zero,
            rated: zero,
            overage: zero,
            deficit_brought: zero,
            deficit: zero,
            grants: used.iter().map(line).collect(),
        }
    }

    // What was burned last goes back first, to grants that can still be used, and never twice.
    #[test]
    fn credits_go_back_where_they_came_from() {
        let statement = january(&[("over", "5"), ("first", "10"), ("unused", "0"), ("last", "20")]);
        let grants = [
            grant("over", Some("2026-01")),
            grant("first", Some("2026-02")),
            grant("unused", None),
            grant("last", None),
        ];
        let open: Cycle = "2026-02".parse().unwrap();
        let back = |returned: &'static str, wanted: &str| {
            let earlier =
                move |id: &str| if id == "last" { credits(returned) } else { Credits::ZERO };
            returns(&statement, &grants, earlier, open, credits(wanted)).map(|parts| {
                parts
                    .into_iter()
                    .map(|(grant, part)| format!("{} {part}", grant.id))
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(back("0", "20").unwrap(), ["last 20"]);
        assert_eq!(back("0", "20.5").unwrap(), ["last 20", "first 0.5"]);
        assert_eq!(back("0", "30").unwrap(), ["last 20", "first 10"]);
        assert_eq!(back("20", "10").unwrap(), ["first 10"]);
        // The five of a grant whose last cycle is over stay where they are.
        let (wanted, left) = (credits("30.1"), credits("30"));
        let too_many = CorrectionError::TooManyCredits { wanted, left, what: "returned" };
        assert_eq!(back("0", "30.1"), Err(too_many));
        for nothing in ["0", "-1"] {
            assert_eq!(back("0", nothing), Err(CorrectionError::Nothing), "{nothing}");
        }
    }

    #[test]
    fn of_a_purchase_at_most_what_is_left_is_taken_back() {
        let open =
            |left: &str| OpenGrant { grant: grant("bought", None), remaining: credits(left) };
        assert_eq!(take_back(&open("7.5"), None), Ok(credits("7.5")));
        assert_eq!(take_back(&open("7.5"), Some(credits("7.5"))), Ok(credits("7.5")));
        assert_eq!(take_back(&open("7.5"), Some(credits("2"))), Ok(credits("2")));
        let (wanted, left) = (credits("8"), credits("7.5"));
        let too_many = CorrectionError::TooManyCredits { wanted, left, what: "taken back" };
        assert_eq!(take_back(&open("7.5"), Some(wanted)), Err(too_many));
        for (left, wanted) in [("0", None), ("7.5", Some("0")), ("7.5", Some("-1"))] {
            let said = take_back(&open(left), wanted.map(credits));
            assert_eq!(said, Err(CorrectionError::Nothing), "{wanted:?} of {left}");
        }
    }
}
