//! Credits: the unit customers buy and burn, exact to 10⁻⁹ (D14).

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Parts of one credit in the stored unit.
pub const NANO: i64 = 1_000_000_000;

/// An amount of credits in units of 10⁻⁹ credit. Never money: the price book is the only bridge.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i64);

/// Why a text or a number is not an amount of credits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not a decimal, or more than nine decimals, or out of range.
    #[error(
        "{0:?} is not an amount of credits (a decimal with at most 9 decimals, up to 9.2 billion)"
    )]
    Invalid(String),
    /// The sum or difference does not fit.
    #[error("an amount of credits is out of range (about ±9.2 billion)")]
    Overflow,
}

impl Credits {
    /// No credits.
    pub const ZERO: Self = Self(0);

    /// From the stored unit, 10⁻⁹ credit.
    #[must_use]
    pub const fn from_nano(nano: i64) -> Self {
        Self(nano)
    }

    /// Whole credits.
    ///
    /// # Errors
    /// Out of range.
    pub fn whole(credits: i64) -> Result<Self, CreditsError> {
        credits.checked_mul(NANO).map(Self).ok_or(CreditsError::Overflow)
    }

    /// The stored unit, 10⁻⁹ credit.
    #[must_use]
    pub const fn nano(self) -> i64 {
        self.0
    }

    /// Is it zero?
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Is it more than zero?
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// As an exact decimal number of credits.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 9)
    }

    /// Sum.
    ///
    /// # Errors
    /// Out of range.
    pub fn plus(self, other: Self) -> Result<Self, CreditsError> {
        self.0.checked_add(other.0).map(Self).ok_or(CreditsError::Overflow)
    }

    /// Difference; may be negative.
    ///
    /// # Errors
    /// Out of range.
    pub fn minus(self, other: Self) -> Result<Self, CreditsError> {
        self.0.checked_sub(other.0).map(Self).ok_or(CreditsError::Overflow)
    }

    /// The same amount with the other sign.
    ///
    /// # Errors
    /// Out of range.
    pub fn negated(self) -> Result<Self, CreditsError> {
        self.0.checked_neg().map(Self).ok_or(CreditsError::Overflow)
    }

    /// Sum of many.
    ///
    /// # Errors
    /// Out of range.
    pub fn total(amounts: impl IntoIterator<Item = Self>) -> Result<Self, CreditsError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::plus)
    }
}

impl fmt::Display for Credits {
    /// Decimal text without trailing zeros: `0.99996`, `5000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (whole, part) = (magnitude / NANO.unsigned_abs(), magnitude % NANO.unsigned_abs());
        if part == 0 {
            write!(f, "{sign}{whole}")
        } else {
            let digits = format!("{part:09}");
            write!(f, "{sign}{whole}.{}", digits.trim_end_matches('0'))
        }
    }
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || CreditsError::Invalid(text.chars().take(40).collect());
        let decimal = super::decimal::parse(text).map_err(|_| invalid())?.normalize();
        Self::try_from(decimal).map_err(|_| invalid())
    }
}

impl TryFrom<Decimal> for Credits {
    type Error = CreditsError;

    /// Exact: more than nine decimals is an error, never rounded.
    fn try_from(decimal: Decimal) -> Result<Self, Self::Error> {
        let invalid = || CreditsError::Invalid(decimal.to_string());
        let decimal = decimal.normalize();
        let factor = 9_u32.checked_sub(decimal.scale()).ok_or_else(invalid)?;
        let nano = decimal.mantissa().checked_mul(10_i128.pow(factor)).ok_or_else(invalid)?;
        i64::try_from(nano).map(Self).map_err(|_| invalid())
    }
}

impl Serialize for Credits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Credits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_without_trailing_zeros() {
        for text in ["0", "1", "0.99996", "-3.5", "5000", "0.000000001", "9223372036.854775807"] {
            assert_eq!(text.parse::<Credits>().unwrap().to_string(), text);
        }
        assert_eq!("1.500".parse::<Credits>().unwrap().to_string(), "1.5");
    }

    #[test]
    fn more_than_nine_decimals_is_refused_not_rounded() {
        for text in ["0.0000000001", "", "x", "1e3", "9223372036.854775808", " 1", "1,5", "+1"] {
            assert!(text.parse::<Credits>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn zero_is_neither_more_nor_less() {
        let zero: Credits = "0.000".parse().unwrap();
        assert!(zero.is_zero() && !zero.is_positive());
        for text in ["0.000000001", "-0.000000001", "1"] {
            assert!(!text.parse::<Credits>().unwrap().is_zero(), "{text}");
        }
    }

    #[test]
    fn json_carries_text() {
        let credits: Credits = "-3.5".parse().unwrap();
        assert_eq!(serde_json::to_string(&credits).unwrap(), "\"-3.5\"");
        assert_eq!(serde_json::from_str::<Credits>("\"-3.5\"").unwrap(), credits);
        assert!(serde_json::from_str::<Credits>("\"3.5x\"").is_err());
    }
}
