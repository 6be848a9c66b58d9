//! Exact decimals: read as text, multiplied without silent rounding.
//!
//! `rust_decimal` rounds a product that needs more than 96 bits without a word; here that is an
//! error, because a rate is applied exactly and rounded once (D14).

use rust_decimal::Decimal;

/// Why an exact computation was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not written as a plain decimal.
    #[error("{0:?} is not a decimal number (like 12, 0.5 or -3.25)")]
    Invalid(String),
    /// More digits than can be kept exactly.
    #[error("{0:?} has more digits than can be kept exactly (28)")]
    TooPrecise(String),
    /// A sum or product that does not fit exactly in 96 bits.
    #[error("the exact result has too many digits")]
    Inexact,
}

/// A plain decimal: digits, at most one point, an optional minus. No exponent, sign `+` or spaces.
///
/// # Errors
/// Anything else, or more than 28 digits.
pub fn parse(text: &str) -> Result<Decimal, DecimalError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if text.len() > 64 || !plain(whole) || !plain(part) {
        return Err(DecimalError::Invalid(clip(text)));
    }
    Decimal::from_str_exact(text).map_err(|_| DecimalError::TooPrecise(clip(text)))
}

/// A decimal that may carry an exponent, as JSON writes numbers: `1.375e-07`.
///
/// # Errors
/// Not a number, or more than 28 digits or decimals.
pub fn parse_scientific(text: &str) -> Result<Decimal, DecimalError> {
    let Some((base, exponent)) = text.split_once(['e', 'E']) else {
        return parse(text);
    };
    let base = parse(base)?.normalize();
    let exponent: i32 = exponent
        .strip_prefix('+')
        .unwrap_or(exponent)
        .parse()
        .map_err(|_| DecimalError::Invalid(clip(text)))?;
    let too_precise = || DecimalError::TooPrecise(clip(text));
    let scale = i32::try_from(base.scale()).map_err(|_| too_precise())?;
    let scale = scale.checked_sub(exponent).ok_or_else(too_precise)?;
    let (mantissa, scale) = if scale < 0 {
        let power = 10_i128.checked_pow(scale.unsigned_abs()).ok_or_else(too_precise)?;
        (base.mantissa().checked_mul(power).ok_or_else(too_precise)?, 0)
    } else {
        (base.mantissa(), scale.unsigned_abs())
    };
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| too_precise())
}

/// The exact product.
///
/// # Errors
/// When it cannot be held exactly.
pub fn product(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    let (a, b) = (a.normalize(), b.normalize());
    let mantissa = a.mantissa().checked_mul(b.mantissa()).ok_or(DecimalError::Inexact)?;
    let (mut mantissa, mut scale) = (mantissa, a.scale() + b.scale());
    while scale > 0 && mantissa % 10 == 0 {
        (mantissa, scale) = (mantissa / 10, scale - 1);
    }
    Decimal::try_from_i128_with_scale(mantissa, scale).map_err(|_| DecimalError::Inexact)
}

/// The exact sum.
///
/// # Errors
/// When it cannot be held exactly.
pub fn sum(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    let total = a.checked_add(b).ok_or(DecimalError::Inexact)?;
    // An inexact addition drops digits; taking one part away again then misses the other.
    let exact = total.checked_sub(a) == Some(b) && total.checked_sub(b) == Some(a);
    exact.then_some(total).ok_or(DecimalError::Inexact)
}

/// The exact quotient.
///
/// # Errors
/// Division by zero, or a quotient without an exact decimal.
pub fn quotient(a: Decimal, b: Decimal) -> Result<Decimal, DecimalError> {
    let quotient = a.checked_div(b).ok_or(DecimalError::Inexact)?.normalize();
    (product(quotient, b)? == a).then_some(quotient).ok_or(DecimalError::Inexact)
}

/// Decimal text without trailing zeros.
#[must_use]
pub fn text(value: Decimal) -> String {
    value.normalize().to_string()
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scientific_notation_is_exact() {
        for (given, plain) in [
            ("1.375e-07", "0.0000001375"),
            ("6e-05", "0.00006"),
            ("1E+3", "1000"),
            ("0.0", "0"),
            ("2.5e-08", "0.000000025"),
        ] {
            assert_eq!(text(parse_scientific(given).unwrap()), plain);
        }
        assert_eq!(text(parse_scientific("1e28").unwrap()), format!("1{}", "0".repeat(28)));
        for long in ["1e29", "1e2147483647", "1e-2147483648", "1e-29"] {
            let said = parse_scientific(long).unwrap_err();
            assert_eq!(said, DecimalError::TooPrecise(long.to_owned()));
        }
        for bad in ["1e", "e5", "1e-99", "1e99", "0x1", "NaN", "--1", "1.", ".5"] {
            assert!(parse_scientific(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_product_that_needs_rounding_is_an_error() {
        let long = parse("0.1234567890123456789012345678").unwrap();
        assert_eq!(product(long, long), Err(DecimalError::Inexact));
        assert_eq!(
            text(product(parse("16666").unwrap(), parse("0.00006").unwrap()).unwrap()),
            "0.99996"
        );
    }

    #[test]
    fn a_sum_that_drops_digits_is_an_error() {
        let big = parse("79228162514264337593543950335").unwrap();
        assert_eq!(sum(big, parse("0.1").unwrap()), Err(DecimalError::Inexact));
        assert_eq!(text(sum(parse("1.5").unwrap(), parse("2.5").unwrap()).unwrap()), "4");
    }

    #[test]
    fn only_exact_quotients() {
        let one = parse("1").unwrap();
        assert!(quotient(one, parse("3").unwrap()).is_err());
        assert!(quotient(one, parse("0").unwrap()).is_err());
        assert_eq!(
            text(quotient(parse("60").unwrap(), parse("1000000").unwrap()).unwrap()),
            "0.00006"
        );
    }

    // 25 × 4 at 30 places would not fit; 1 at 28 does.
    #[test]
    fn a_product_is_shortened_before_it_is_too_long() {
        let (a, b) = ("0.000000000000025", "0.000000000000004");
        let product = product(parse(a).unwrap(), parse(b).unwrap()).unwrap();
        assert_eq!(text(product), format!("0.{}1", "0".repeat(27)));
    }

    #[test]
    fn texts_of_any_length_are_refused_by_their_beginning() {
        assert_eq!(text(parse(&format!("{}7", "0".repeat(63))).unwrap()), "7");
        let said = parse(&format!("{}7", "0".repeat(64))).unwrap_err();
        assert_eq!(said, DecimalError::Invalid("0".repeat(40)));
        assert_eq!(parse("1,5").unwrap_err(), DecimalError::Invalid("1,5".to_owned()));
    }
}
