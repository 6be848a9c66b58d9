//! Figures as people read them: exact, with thousands separators: `1,234.50`.

use rust_decimal::Decimal;

use crate::domain::credits::Credits;
use crate::domain::money::{Currency, Money};
pub use crate::domain::text::grouped;

/// An amount without its currency: `1,234.50`.
pub fn amount(money: Money) -> String {
    grouped(&money.amount_text())
}

/// An amount with its currency: `1,234.50 USD`.
pub fn money(money: Money) -> String {
    format!("{} {}", amount(money), money.currency())
}

/// Credits, without trailing zeros.
pub fn credits(credits: Credits) -> String {
    grouped(&credits.to_string())
}

/// An exact decimal, without trailing zeros.
pub fn decimal(value: Decimal) -> String {
    grouped(&value.normalize().to_string())
}

/// A price: exact, with at least the decimals of the currency.
pub fn price(value: Decimal, currency: Currency) -> String {
    let mut exact = value.normalize();
    if exact.scale() < currency.exponent() {
        exact.rescale(currency.exponent());
    }
    grouped(&exact.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_and_nothing_is_rounded() {
        for (plain, shown) in [
            ("0", "0"),
            ("999", "999"),
            ("1000", "1,000"),
            ("-1234567.891", "-1,234,567.891"),
            ("-100", "-100"),
            ("9223372036.854775807", "9,223,372,036.854775807"),
        ] {
            assert_eq!(grouped(plain), shown);
        }
        assert_eq!(price(Decimal::new(5, 1), Currency::USD), "0.50");
        assert_eq!(price(Decimal::new(12345, 7), Currency::USD), "0.0012345");
        assert_eq!(decimal(Decimal::new(150_000, 2)), "1,500");
    }
}
