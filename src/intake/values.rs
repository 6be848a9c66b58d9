//! Values that the catalog and the organizations file write the same way. Errors are reasons for people.

use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;

use super::shown;
use crate::domain::credits::Credits;
use crate::domain::decimal;
use crate::domain::money::{Currency, Money};
use crate::domain::plan::{RolloverCap, Term};

/// Longest term of a grant, in cycles: a hundred years.
const MAX_CYCLES: u16 = 1200;
/// Largest cap in percent of the allowance.
const MAX_CAP_PERCENT: u32 = 100_000;

/// Credits, not negative.
pub(super) fn credits(text: &str) -> Result<Credits, String> {
    let credits = text.parse::<Credits>().map_err(|error| error.to_string())?;
    if credits < Credits::ZERO { Err(below_zero(text)) } else { Ok(credits) }
}

/// Money in a currency, not negative.
pub(super) fn money(text: &str, currency: Currency) -> Result<Money, String> {
    let money = Money::parse(text, currency).map_err(|error| error.to_string())?;
    if money.minor() < 0 { Err(below_zero(text)) } else { Ok(money) }
}

/// A plain decimal, not negative.
pub(super) fn decimal(text: &str) -> Result<Decimal, String> {
    let number = decimal::parse(text).map_err(|error| error.to_string())?;
    if number.is_zero() {
        Ok(Decimal::ZERO)
    } else if number.is_sign_negative() {
        Err(below_zero(text))
    } else {
        Ok(number)
    }
}

/// A number of cycles, or `never` (D1, D2).
pub(super) fn term(text: &str) -> Result<Term, String> {
    if text == "never" {
        return Ok(Term::Never);
    }
    match text.parse::<u16>() {
        Ok(cycles) if cycles <= MAX_CYCLES && !text.starts_with('+') => Ok(Term::Cycles(cycles)),
        _ => Err(format!(
            "{} is not a number of cycles from 0 to {MAX_CYCLES} or \"never\"",
            shown(text)
        )),
    }
}

/// A cap on carried-over allowance: credits like `8000`, or a percentage like `50%` (D4).
pub(super) fn cap(text: &str) -> Result<RolloverCap, String> {
    let invalid = || {
        format!("{} is not an amount of credits like 8000 or a percentage like 50%", shown(text))
    };
    match text.strip_suffix('%') {
        Some(percent) => {
            let percent = decimal(percent.trim_end()).map_err(|_| invalid())?;
            let sensible = percent <= Decimal::from(MAX_CAP_PERCENT) && percent.scale() <= 6;
            sensible.then_some(RolloverCap::Percent(percent)).ok_or_else(invalid)
        }
        None => credits(text).map(RolloverCap::Credits).map_err(|_| invalid()),
    }
}

/// A calendar day as `YYYY-MM-DD`, 1970 to 2500: the years billing cycles have.
pub(super) fn date(text: &str) -> Result<NaiveDate, String> {
    let plain = text.len() == 10
        && text.bytes().enumerate().all(|(index, byte)| match index {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    let day = if plain { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
    day.filter(|day| (1970..=2500).contains(&day.year())).ok_or_else(|| {
        format!("{} is not a day from 1970 to 2500, written YYYY-MM-DD", shown(text))
    })
}

fn below_zero(text: &str) -> String {
    format!("{} is below zero", shown(text))
}
