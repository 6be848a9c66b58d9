//! Numbers as digits and decimals, and the one rounding: half to even.

use std::fmt;

/// One credit.
pub const CREDIT: i128 = 1_000_000_000;

/// A decimal number as an integer and a number of decimals.
#[derive(Debug, Clone, Copy)]
pub struct Number {
    /// All its digits.
    pub digits: i128,
    /// How many of them are decimals.
    pub decimals: u32,
}

/// A number of so many digits, of which so many are decimals.
pub const fn number(digits: i128, decimals: u32) -> Number {
    Number { digits, decimals }
}

/// 10 to a power.
pub fn tens(count: u32) -> i128 {
    (0..count).fold(1, |power, _| power * 10)
}

/// `part / whole`, a half to the even neighbour; nothing is negative.
pub fn half_even(part: i128, whole: i128) -> i128 {
    let (down, twice) = (part / whole, part % whole * 2);
    if twice > whole || (twice == whole && down % 2 == 1) { down + 1 } else { down }
}

/// So many percent of an amount.
pub fn percent(of: i128, rate: Number) -> i128 {
    half_even(of * rate.digits, 100 * tens(rate.decimals))
}

/// Minor units for an amount of 10⁻⁹ credit at a price of one credit.
pub fn price(nano: i128, price: Number, exponent: u32) -> i128 {
    half_even(nano * price.digits * tens(exponent), CREDIT * tens(price.decimals))
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.digits * tens(other.decimals) == other.digits * tens(self.decimals)
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = tens(self.decimals);
        write!(f, "{}", self.digits / whole)?;
        if self.decimals > 0 {
            write!(f, ".{:0width$}", self.digits % whole, width = self.decimals as usize)?;
        }
        Ok(())
    }
}

/// An amount of credits as text.
pub fn credits_text(nano: i128) -> String {
    number(nano, 9).to_string()
}
