//! Money: integers of a currency's minor unit (ISO 4217).

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ISO 4217 currency.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// Active ISO 4217 codes with no minor unit.
const EXPONENT_0: &str = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF";
/// Active ISO 4217 codes with three decimals.
const EXPONENT_3: &str = "BHD IQD JOD KWD LYD OMR TND";
/// Active ISO 4217 codes with two decimals.
const EXPONENT_2: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN \
    BWP BYN BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD \
    GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD \
    MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB \
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU \
    UZS VES WST XCD YER ZAR ZMW ZWG";

/// Is it one of the codes of a list, which are three letters and a blank each?
fn is_listed(code: [u8; 3], list: &str) -> bool {
    list.as_bytes().chunks(4).any(|known| known.starts_with(&code))
}

/// Why something is not an amount of money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not an active ISO 4217 code.
    #[error("{0:?} is not an ISO 4217 currency code (like USD, EUR, JPY)")]
    Currency(String),
    /// Not a decimal with at most the currency's decimals.
    #[error("{text:?} is not an amount of {currency} (a decimal with at most {decimals} decimals)")]
    Amount {
        /// What was given.
        text: String,
        /// The currency it should be in.
        currency: Currency,
        /// How many decimals that currency has.
        decimals: u32,
    },
    /// A sum of two currencies.
    #[error("amounts of {0} and {1} cannot be added")]
    Mixed(Currency, Currency),
    /// The result does not fit.
    #[error(
        "an amount of money is out of range (above 92 quadrillion minor units); check prices and quantities"
    )]
    Overflow,
}

impl Currency {
    /// United States dollar, in which published model prices are given.
    pub const USD: Self = Self(*b"USD");

    /// Decimals of the minor unit: 0, 2 or 3 (ISO 4217).
    #[must_use]
    pub fn exponent(self) -> u32 {
        if is_listed(self.0, EXPONENT_0) {
            0
        } else if is_listed(self.0, EXPONENT_3) {
            3
        } else {
            2
        }
    }

    /// The three-letter code.
    #[must_use]
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or("???")
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || MoneyError::Currency(text.chars().take(10).collect());
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| invalid())?;
        [EXPONENT_2, EXPONENT_0, EXPONENT_3]
            .iter()
            .any(|list| is_listed(code, list))
            .then_some(Self(code))
            .ok_or_else(invalid)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An amount in the minor unit of its currency: 12.30 USD is 1230.
///
/// Money and [`Credits`](super::credits::Credits) are two types; nothing turns one into the other by itself:
///
/// ```
/// use monthend::domain::{credits::Credits, money::{Currency, Money}};
/// let (money, credits) = (Money::from_minor(1, Currency::USD), Credits::from_nano(1));
/// assert!(money.plus(money).is_ok() && credits.plus(credits).is_ok());
/// ```
///
/// ```compile_fail,E0308
/// use monthend::domain::{credits::Credits, money::{Currency, Money}};
/// let (money, credits) = (Money::from_minor(1, Currency::USD), Credits::from_nano(1));
/// let _ = money.plus(credits);
/// ```
///
/// ```compile_fail,E0277
/// use monthend::domain::{credits::Credits, money::{Currency, Money}};
/// let money: Money = Credits::from_nano(1).into();
/// ```
///
/// ```compile_fail,E0369
/// use monthend::domain::money::{Currency, Money};
/// let _ = Money::from_minor(1, Currency::USD) + Money::from_minor(1, Currency::USD);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    minor: i64,
    currency: Currency,
}

impl Money {
    /// From minor units.
    #[must_use]
    pub const fn from_minor(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Nothing, in a currency.
    #[must_use]
    pub const fn zero(currency: Currency) -> Self {
        Self { minor: 0, currency }
    }

    /// A decimal text with at most the currency's decimals: `12.30`.
    ///
    /// # Errors
    /// Anything else; never rounded.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let decimals = currency.exponent();
        let invalid =
            || MoneyError::Amount { text: text.chars().take(40).collect(), currency, decimals };
        let decimal = super::decimal::parse(text).map_err(|_| invalid())?.normalize();
        let factor = decimals.checked_sub(decimal.scale()).ok_or_else(invalid)?;
        let minor = decimal.mantissa().checked_mul(10_i128.pow(factor)).ok_or_else(invalid)?;
        Ok(Self { minor: i64::try_from(minor).map_err(|_| invalid())?, currency })
    }

    /// Minor units.
    #[must_use]
    pub const fn minor(self) -> i64 {
        self.minor
    }

    /// The currency.
    #[must_use]
    pub const fn currency(self) -> Currency {
        self.currency
    }

    /// Is it zero?
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.minor == 0
    }

    /// Is it more than zero?
    #[must_use]
    pub const fn is_positive(self) -> bool {
        self.minor > 0
    }

    /// As an exact decimal in the major unit.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.minor, self.currency.exponent())
    }

    /// Sum.
    ///
    /// # Errors
    /// Two currencies, or out of range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::Mixed(self.currency, other.currency));
        }
        let minor = self.minor.checked_add(other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, ..self })
    }

    /// Difference; may be negative.
    ///
    /// # Errors
    /// Two currencies, or out of range.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        let minor = other.minor.checked_neg().ok_or(MoneyError::Overflow)?;
        self.plus(Self { minor, ..other })
    }

    /// The same amount the other way.
    ///
    /// # Errors
    /// Out of range.
    pub fn negated(self) -> Result<Self, MoneyError> {
        Self::zero(self.currency).minus(self)
    }

    /// Sum of many in one currency.
    ///
    /// # Errors
    /// Two currencies, or out of range.
    pub fn total(
        currency: Currency,
        amounts: impl IntoIterator<Item = Self>,
    ) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::zero(currency), Self::plus)
    }

    /// The amount alone, with all the currency's decimals: `12.30`.
    #[must_use]
    pub fn amount_text(self) -> String {
        let decimals = self.currency.exponent();
        let sign = if self.minor < 0 { "-" } else { "" };
        let magnitude = self.minor.unsigned_abs();
        let unit = 10_u64.pow(decimals);
        if decimals == 0 {
            format!("{sign}{magnitude}")
        } else {
            let width = decimals as usize;
            format!("{sign}{}.{:0width$}", magnitude / unit, magnitude % unit)
        }
    }
}

impl fmt::Display for Money {
    /// `12.30 USD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount_text(), self.currency)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MoneyJson {
    amount: String,
    currency: Currency,
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        MoneyJson { amount: self.amount_text(), currency: self.currency }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = MoneyJson::deserialize(deserializer)?;
        Self::parse(&json.amount, json.currency).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // F51: exponents 0, 2 and 3 are table-driven.
    #[test]
    fn exponents_of_iso_4217() {
        for (code, text, minor) in [
            ("USD", "12.30", 1230),
            ("JPY", "1230", 1230),
            ("KWD", "1.230", 1230),
            ("EUR", "-0.05", -5),
        ] {
            let money = Money::parse(text, code.parse().unwrap()).unwrap();
            assert_eq!((money.minor(), money.amount_text().as_str()), (minor, text));
        }
    }

    // F51: every code of the list, at the edges of what an amount can be.
    #[test]
    fn every_currency_reads_what_it_writes() {
        let mut seen = std::collections::BTreeSet::new();
        for (list, decimals) in [(EXPONENT_0, 0), (EXPONENT_2, 2), (EXPONENT_3, 3)] {
            for code in list.split_ascii_whitespace() {
                assert!(seen.insert(code), "{code} is listed twice");
                let currency: Currency = code.parse().unwrap();
                assert_eq!(currency.exponent(), decimals, "{code}");
                for minor in [0, 1, -1, 99, 100, 999, 1_000, -12_345, i64::MAX, i64::MIN + 1] {
                    let money = Money::from_minor(minor, currency);
                    let text = money.amount_text();
                    assert_eq!(Money::parse(&text, currency), Ok(money), "{text} {code}");
                    let shown = text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                    assert_eq!(u32::try_from(shown), Ok(decimals), "{text} {code}");
                }
            }
        }
        assert!(seen.len() > 150, "{} currencies", seen.len());
    }

    #[test]
    fn too_many_decimals_and_unknown_codes_are_refused() {
        assert!(Money::parse("1.234", Currency::USD).is_err());
        assert!(Money::parse("1.5", "JPY".parse().unwrap()).is_err());
        for code in ["usd", "XXX", "US", "USDD", "", "ÄÖ"] {
            assert!(code.parse::<Currency>().is_err(), "{code}");
        }
    }

    #[test]
    fn two_currencies_never_add() {
        let eur = Money::from_minor(1, "EUR".parse().unwrap());
        assert!(matches!(
            Money::from_minor(1, Currency::USD).plus(eur),
            Err(MoneyError::Mixed(..))
        ));
        assert_eq!(
            Money::from_minor(i64::MAX, Currency::USD).plus(Money::from_minor(1, Currency::USD)),
            Err(MoneyError::Overflow)
        );
    }

    #[test]
    fn a_currency_is_shown_by_its_code() {
        let usd = Currency::USD;
        assert_eq!((format!("{usd:?}"), usd.to_string()), ("USD".to_owned(), "USD".to_owned()));
    }

    #[test]
    fn an_amount_the_other_way() {
        let money = |text: &str| Money::parse(text, Currency::USD).unwrap();
        assert_eq!(money("-12.30").negated(), Ok(money("12.30")));
        assert_eq!(money("0.00").negated(), Ok(money("0.00")));
        assert!(Money::from_minor(i64::MIN, Currency::USD).negated().is_err());
    }
}
