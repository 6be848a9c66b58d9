//! Every rounding rule of the product, each with a name. No other file rounds.
//!
//! All rules round half to even, once, from the exact value.

use rust_decimal::{Decimal, RoundingStrategy};

use super::credits::{Credits, CreditsError};
use super::decimal::{self, DecimalError};
use super::money::{Currency, Money, MoneyError};

/// Why a rounding could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RoundingError {
    /// The exact value cannot be held.
    #[error(transparent)]
    Decimal(#[from] DecimalError),
    /// The rounded value is out of range.
    #[error(transparent)]
    Credits(#[from] CreditsError),
    /// The rounded value is out of range.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A part of nothing: weights that sum to zero, or a month without days.
    #[error("cannot split into parts that sum to zero")]
    NoParts,
}

fn half_even(value: Decimal, decimals: u32) -> Decimal {
    value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointNearestEven)
}

/// An event's exact rating to 10⁻⁹ credit (D14).
///
/// # Errors
/// Out of range.
pub fn rated_credits(exact: Decimal) -> Result<Credits, RoundingError> {
    Ok(Credits::try_from(half_even(exact, 9))?)
}

/// An exact amount in the major unit to the currency's minor unit.
///
/// # Errors
/// Out of range.
pub fn minor_units(exact: Decimal, currency: Currency) -> Result<Money, RoundingError> {
    let rounded = half_even(exact, currency.exponent()).normalize();
    // Rounded to the currency's decimals, it can only be too large.
    Ok(Money::parse(&decimal::text(rounded), currency).map_err(|_| MoneyError::Overflow)?)
}

/// Credits at a money price of one credit (D9): one rounding a line.
///
/// # Errors
/// Out of range.
pub fn credits_at_price(
    credits: Credits,
    price: Decimal,
    currency: Currency,
) -> Result<Money, RoundingError> {
    minor_units(decimal::product(credits.to_decimal(), price)?, currency)
}

/// Tax on a document's sum for one rate: never a sum of rounded line taxes (EN 16931 BR-CO-17).
///
/// # Errors
/// Out of range.
pub fn tax(taxable: Money, percent: Decimal) -> Result<Money, RoundingError> {
    let exact = decimal::product(taxable.to_decimal(), percent)?;
    minor_units(decimal::product(exact, Decimal::new(1, 2))?, taxable.currency())
}

/// `days` of `of_days` of a fee (D13).
///
/// # Errors
/// `of_days` is zero, or out of range.
pub fn prorated_fee(fee: Money, days: u32, of_days: u32) -> Result<Money, RoundingError> {
    let minor = ratio_half_even(fee.minor(), days.into(), of_days.into())?;
    Ok(Money::from_minor(minor, fee.currency()))
}

/// `days` of `of_days` of an allowance (D13, when a plan says so).
///
/// # Errors
/// `of_days` is zero, or out of range.
pub fn prorated_allowance(
    allowance: Credits,
    days: u32,
    of_days: u32,
) -> Result<Credits, RoundingError> {
    Ok(Credits::from_nano(ratio_half_even(allowance.nano(), days.into(), of_days.into())?))
}

/// A percentage of an allowance (D4).
///
/// # Errors
/// Out of range.
pub fn percent_of_allowance(
    allowance: Credits,
    percent: Decimal,
) -> Result<Credits, RoundingError> {
    let exact = decimal::product(allowance.to_decimal(), percent)?;
    rated_credits(decimal::product(exact, Decimal::new(1, 2))?)
}

/// The part of a tax that goes with `part` of a net amount `of`: what a credit note gives back.
///
/// # Errors
/// `of` is zero, or out of range.
pub fn tax_share(tax: Money, part: Money, of: Money) -> Result<Money, RoundingError> {
    let minor = ratio_half_even(tax.minor(), part.minor(), of.minor())?;
    Ok(Money::from_minor(minor, tax.currency()))
}

/// The part of a net price that goes with some of the credits it bought.
///
/// # Errors
/// `of` is zero, or out of range.
pub fn price_share(net: Money, part: Credits, of: Credits) -> Result<Money, RoundingError> {
    let minor = ratio_half_even(net.minor(), part.nano(), of.nano())?;
    Ok(Money::from_minor(minor, net.currency()))
}

/// Use in `micros` at a pace of `used` in `window` microseconds: a forecast, never billed.
///
/// # Errors
/// An empty window, or out of range.
pub fn at_pace(used: Credits, micros: i64, window: i64) -> Result<Credits, RoundingError> {
    Ok(Credits::from_nano(ratio_half_even(used.nano(), micros, window)?))
}

fn ratio_half_even(whole: i64, part: i64, of: i64) -> Result<i64, RoundingError> {
    let of = i128::from(of);
    if of <= 0 {
        return Err(RoundingError::NoParts);
    }
    let exact = i128::from(whole) * i128::from(part);
    let (floor, rest) = (exact.div_euclid(of), exact.rem_euclid(of));
    let up = match (rest * 2).cmp(&of) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => floor % 2 != 0,
    };
    i64::try_from(floor + i128::from(up)).map_err(|_| MoneyError::Overflow.into())
}

/// Splits a total by weights with largest remainder, ties to the first part; parts sum to the whole.
///
/// # Errors
/// No weight above zero, or a negative weight.
pub fn split(total: i64, weights: &[u64]) -> Result<Vec<i64>, RoundingError> {
    let sum: u128 = weights.iter().map(|weight| u128::from(*weight)).sum();
    if sum == 0 {
        return Err(RoundingError::NoParts);
    }
    let magnitude = u128::from(total.unsigned_abs());
    // Both factors are below 2^64, so the product fits.
    let exact = |weight: u64| magnitude * u128::from(weight);
    let mut parts: Vec<u128> = weights.iter().map(|weight| exact(*weight) / sum).collect();
    let missing = magnitude - parts.iter().sum::<u128>();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|part| (std::cmp::Reverse(exact(weights[*part]) % sum), *part));
    for part in order.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX)) {
        parts[part] += 1;
    }
    parts
        .into_iter()
        .map(|part| {
            let part = i128::try_from(part).map_err(|_| MoneyError::Overflow)?;
            let signed = if total < 0 { -part } else { part };
            i64::try_from(signed).map_err(|_| MoneyError::Overflow.into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // F50: half to even everywhere.
    #[test]
    fn halves_go_to_even() {
        let usd = |text: &str| Money::parse(text, Currency::USD).unwrap();
        for (exact, cents) in
            [("0.005", 0), ("0.015", 2), ("0.025", 2), ("-0.005", 0), ("-0.015", -2)]
        {
            let exact = decimal::parse(exact).unwrap();
            assert_eq!(minor_units(exact, Currency::USD).unwrap().minor(), cents);
        }
        assert_eq!(prorated_fee(usd("0.05"), 1, 2).unwrap(), usd("0.02"));
        assert_eq!(prorated_fee(usd("0.07"), 1, 2).unwrap(), usd("0.04"));
        assert_eq!(prorated_fee(usd("49.00"), 17, 31).unwrap(), usd("26.87"));
    }

    #[test]
    fn tax_is_on_the_sum() {
        let sum = Money::parse("10.05", Currency::USD).unwrap();
        assert_eq!(tax(sum, decimal::parse("19").unwrap()).unwrap().minor(), 191);
        assert_eq!(tax(sum, decimal::parse("7.7").unwrap()).unwrap().minor(), 77);
    }

    // F50: every half of two currencies between −100 and 100 minor units, against integers alone.
    #[test]
    fn every_half_goes_to_the_even_neighbour() {
        for (code, decimals) in [("USD", 2), ("JPY", 0), ("KWD", 3)] {
            for twice in -200..=200_i64 {
                let down = twice.div_euclid(2);
                let expected = if twice % 2 == 0 || down % 2 == 0 { down } else { down + 1 };
                let exact = Decimal::new(twice * 5, decimals + 1);
                let rounded = minor_units(exact, code.parse().unwrap()).unwrap().minor();
                assert_eq!(rounded, expected, "{exact} {code}");
            }
        }
    }

    // F49: many splits, each by largest remainder with ties by place, against exact integers.
    // `MONTHEND_SPLITS=10000000` is the nightly number.
    #[test]
    fn many_splits_are_by_largest_remainder() {
        let asked = std::env::var("MONTHEND_SPLITS").ok();
        let count: u64 = asked.map_or(20_000, |text| text.parse().unwrap());
        let mut state = 1_u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 20
        };
        for _ in 0..count {
            let total = i64::try_from(next() % 2_000_001).unwrap() - 1_000_000;
            let weights: Vec<u64> = (0..=next() % 7).map(|_| next() % 1_000).collect();
            let sum: u64 = weights.iter().sum();
            let Ok(parts) = split(total, &weights) else {
                assert_eq!(sum, 0);
                continue;
            };
            assert_eq!(parts.iter().sum::<i64>(), total, "{total} by {weights:?}");
            // What a part got above its floor is one unit or nothing, and who got it had no smaller remainder
            // than who did not, ties by place.
            let whole = |weight: &u64| total.unsigned_abs() * weight;
            let cells: Vec<(u64, bool)> = parts
                .iter()
                .zip(&weights)
                .map(|(part, weight)| {
                    let more = part.unsigned_abs() - whole(weight) / sum;
                    assert!(more <= 1, "{total} by {weights:?}: {parts:?}");
                    (whole(weight) % sum, more == 1)
                })
                .collect();
            for (place, (rest, got)) in cells.iter().enumerate() {
                for (other, other_got) in &cells[place + 1..] {
                    let fair = if rest >= other { *got || !other_got } else { !got || *other_got };
                    assert!(fair, "{total} by {weights:?}: {parts:?}");
                }
            }
        }
    }

    // F49: what is left over goes to the largest remainders, not to the largest parts; ties to the first.
    #[test]
    fn leftovers_go_to_the_largest_remainders() {
        assert_eq!(split(10, &[6, 3, 2]), Ok(vec![5, 3, 2]));
        assert_eq!(split(-10, &[6, 3, 2]), Ok(vec![-5, -3, -2]));
        assert_eq!(split(100, &[1, 1, 1]), Ok(vec![34, 33, 33]));
        assert_eq!(split(0, &[1, 2]), Ok(vec![0, 0]));
        assert_eq!(split(5, &[0, 0]), Err(RoundingError::NoParts));
    }

    #[test]
    fn shares_round_half_to_even() {
        let usd = |minor| Money::from_minor(minor, Currency::USD);
        assert_eq!(tax_share(usd(5), usd(1), usd(2)), Ok(usd(2)));
        assert_eq!(tax_share(usd(-7), usd(1), usd(2)), Ok(usd(-4)));
        assert_eq!(tax_share(usd(5), usd(1), usd(0)), Err(RoundingError::NoParts));
        let credits = Credits::from_nano;
        assert_eq!(price_share(usd(100), credits(1), credits(3)), Ok(usd(33)));
        assert_eq!(at_pace(credits(7), 1, 2), Ok(credits(4)));
        assert_eq!(at_pace(credits(7), 1, 0), Err(RoundingError::NoParts));
        assert!(at_pace(credits(i64::MAX), 2, 1).is_err());
    }

    proptest! {
        // F49: splits sum to the whole, and no part is off by one unit or more.
        #[test]
        fn splits_sum_to_the_whole(total: i64, weights in prop::collection::vec(0_u64..=u64::MAX, 1..12)) {
            prop_assume!(weights.iter().any(|w| *w > 0));
            let parts = split(total, &weights).unwrap();
            prop_assert_eq!(parts.iter().map(|p| i128::from(*p)).sum::<i128>(), i128::from(total));
            for (part, weight) in parts.iter().zip(&weights) {
                prop_assert!(*weight > 0 || *part == 0);
                prop_assert!(part.signum() * total.signum() >= 0);
            }
        }

        // The integer model of the proration rule.
        #[test]
        fn proration_agrees_with_decimals(minor in -10_000_000_i64..10_000_000, days in 0_u32..=31) {
            let fee = Money::from_minor(minor, Currency::USD);
            let exact = fee.to_decimal() * Decimal::from(days) / Decimal::from(31);
            let expected = minor_units(exact, Currency::USD).unwrap();
            prop_assert_eq!(prorated_fee(fee, days, 31).unwrap(), expected);
        }
    }
}
