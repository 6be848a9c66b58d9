//! Amounts as Stripe counts them. Money is in ISO 4217 minor units; a few currencies deviate there.

use crate::domain::money::Money;
use crate::payments::GatewayError;

/// How Stripe's unit lies to the ISO minor unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// The same.
    Same,
    /// A hundredth of it, although ISO knows no decimals: kept by Stripe for old integrations.
    Hundredth,
    /// Whole units only, although ISO knows two decimals.
    Whole,
    /// The same, but the last digit must be 0.
    Tens,
}

fn unit(money: Money) -> Unit {
    match (money.currency().code(), money.currency().exponent()) {
        ("ISK" | "UGX", _) => Unit::Hundredth,
        ("MGA", _) => Unit::Whole,
        (_, 3) => Unit::Tens,
        _ => Unit::Same,
    }
}

/// The amount to send.
///
/// # Errors
/// [`GatewayError::Misuse`]: nothing or less (C8), or digits Stripe does not take.
pub(super) fn sent(money: Money) -> Result<i64, GatewayError> {
    let minor = money.minor();
    if !money.is_positive() {
        return Err(GatewayError::Misuse(format!("an amount must be above zero, not {money}")));
    }
    let whole = |step: i64, amount: Option<i64>| {
        amount.filter(|_| minor % step == 0).ok_or_else(|| {
            GatewayError::Misuse(format!(
                "Stripe does not take all decimals of {}: {money} cannot be charged; round its \
                 prices to {step} minor units",
                money.currency()
            ))
        })
    };
    match unit(money) {
        Unit::Same => Ok(minor),
        Unit::Hundredth => whole(1, minor.checked_mul(100)),
        Unit::Whole => whole(100, Some(minor / 100)),
        Unit::Tens => whole(10, Some(minor)),
    }
}

/// The name of the currency to send.
pub(super) fn currency(money: Money) -> String {
    money.currency().code().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    // F51
    #[test]
    fn currencies_that_deviate() {
        for (code, minor, expected) in [
            ("USD", 1_230, Some(1_230)),
            ("JPY", 1_230, Some(1_230)),
            ("HUF", 123_456, Some(123_456)),
            ("TWD", 123_456, Some(123_456)),
            ("ISK", 500, Some(50_000)),
            ("UGX", 5, Some(500)),
            ("ISK", i64::MAX, None),
            ("KWD", 1_230, Some(1_230)),
            ("KWD", 1_234, None),
            ("MGA", 500, Some(5)),
            ("MGA", 550, None),
            ("USD", 0, None),
            ("USD", -1, None),
            ("USD", i64::MIN, None),
        ] {
            let answer = sent(Money::from_minor(minor, code.parse().unwrap()));
            assert_eq!(answer.as_ref().ok(), expected.as_ref(), "{minor} {code}: {answer:?}");
            assert!(expected.is_some() || matches!(answer, Err(GatewayError::Misuse(_))));
        }
    }
}
