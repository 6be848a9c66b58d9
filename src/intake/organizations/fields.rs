//! The fields of one organization, each with its rule.

use std::str::FromStr;

use chrono_tz::Tz;
use lettre::Address;
use rust_decimal::Decimal;

use super::{Cells, Rejected};
use crate::domain::money::Currency;
use crate::domain::organization::{Contract, Organization};
use crate::domain::text;
use crate::intake::{is_catalog_id, shown, values};

/// Longest name that is kept, in characters; documents clip it further.
const MAX_NAME_CHARS: usize = 10_000;
/// Most lines of a postal address.
const MAX_ADDRESS_LINES: usize = 20;
/// Longest country, in characters.
const MAX_COUNTRY_CHARS: usize = 100;
/// Longest tax registration, in characters.
const MAX_TAX_ID_CHARS: usize = 64;
/// Longest mail address, in bytes (RFC 5321).
const MAX_EMAIL_BYTES: usize = 254;
/// Most mail addresses of one organization.
const MAX_EMAILS: usize = 20;
/// Most decimals of a tax percentage.
const MAX_PERCENT_DECIMALS: u32 = 6;

/// The organization of one row.
pub(super) fn organization(cells: &Cells, line: u64) -> Result<Organization, Rejected> {
    let row = Row { cells, line };
    let currency = row.or("currency", Currency::USD, |text| {
        Currency::from_str(text).map_err(|error| error.to_string())
    })?;
    Ok(Organization {
        id: row.required("id", id)?,
        name: row.required("name", name)?,
        billing_emails: row.required("billing_email", emails)?,
        plan: row.required("plan", plan)?,
        joined_on: row.required("joined_on", values::date)?,
        zone: row.or("zone", Tz::UTC, zone)?,
        currency,
        country: row.optional("country", |text| short(text, MAX_COUNTRY_CHARS))?,
        address: row.optional("address", address)?,
        tax_id: row.optional("tax_id", |text| short(text, MAX_TAX_ID_CHARS))?,
        tax_percent: row.or("tax_percent", Decimal::ZERO, percent)?,
        language: row.or("language", "en".to_owned(), language)?,
        payment_method: row.optional("payment_method", payment_method)?,
        contract: Contract {
            allowance: row.optional("allowance", values::credits)?,
            rollover: row.optional("rollover_cycles", values::term)?,
            rollover_cap: row.optional("rollover_cap", values::cap)?,
            fee: row.optional("fee", |text| values::money(text, currency))?,
            overage_price: row.optional("overage_price", values::decimal)?,
        },
    })
}

struct Row<'a> {
    cells: &'a Cells<'a>,
    line: u64,
}

impl Row<'_> {
    fn optional<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, Rejected> {
        let value = self.cells.get(field).map(|text| read(text)).transpose();
        value.map_err(|reason| Rejected { line: self.line, field: Some(field), reason })
    }

    fn required<T>(
        &self,
        field: &'static str,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Rejected> {
        self.optional(field, read)?.ok_or_else(|| Rejected {
            line: self.line,
            field: Some(field),
            reason: "it is blank, but needed".to_owned(),
        })
    }

    fn or<T>(
        &self,
        field: &'static str,
        default: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Rejected> {
        Ok(self.optional(field, read)?.unwrap_or(default))
    }
}

fn id(given: &str) -> Result<String, String> {
    // F84: ids become parts of file names and keys.
    text::is_organization_id(given).then(|| given.to_owned()).ok_or_else(|| {
        format!(
            "{} is not an id: 1 to 63 characters of a-z, 0-9, '_', '-', a letter or digit first",
            shown(given)
        )
    })
}

fn plan(given: &str) -> Result<String, String> {
    is_catalog_id(given)
        .then(|| given.to_owned())
        .ok_or_else(|| format!("{} is not the id of a plan, like standard", shown(given)))
}

// F86: hostile names are cleaned, long ones kept up to a limit.
fn name(given: &str) -> Result<String, String> {
    let name = text::clipped(given, MAX_NAME_CHARS);
    if name.is_empty() { Err("nothing in it can be shown".to_owned()) } else { Ok(name) }
}

fn short(given: &str, limit: usize) -> Result<String, String> {
    let clean = text::cleaned(given);
    if clean.is_empty() || clean.chars().count() > limit {
        return Err(format!("it has 1 to {limit} characters that can be shown"));
    }
    Ok(clean)
}

fn address(given: &str) -> Result<String, String> {
    let lines: Vec<String> = given
        .split(['|', '\n', '\r'])
        .map(|line| text::clipped(line, text::MAX_NAME_CHARS))
        .filter(|line| !line.is_empty())
        .collect();
    if lines.is_empty() || lines.len() > MAX_ADDRESS_LINES {
        return Err(format!(
            "an address has 1 to {MAX_ADDRESS_LINES} lines, separated by '|' or a line feed"
        ));
    }
    Ok(lines.join("\n"))
}

pub(in crate::intake) fn emails(given: &str) -> Result<Vec<String>, String> {
    let mut emails: Vec<String> = Vec::new();
    for part in given.split(';').map(|part| part.trim_matches(' ')).filter(|part| !part.is_empty())
    {
        // F86: a line feed here would become a header of its own in a mail.
        let plain = part.len() <= MAX_EMAIL_BYTES
            && !part.chars().any(|c| c.is_control() || c.is_whitespace())
            && text::is_harmless(part)
            && part.matches('@').count() == 1;
        if !plain || part.parse::<Address>().is_err() {
            return Err(format!(
                "{} is not a mail address like billing@example.com (several: separated by ';')",
                shown(part)
            ));
        }
        if !emails.iter().any(|known| known == part) {
            emails.push(part.to_owned());
        }
    }
    if emails.is_empty() || emails.len() > MAX_EMAILS {
        return Err(format!("1 to {MAX_EMAILS} mail addresses are needed, separated by ';'"));
    }
    Ok(emails)
}

fn zone(given: &str) -> Result<Tz, String> {
    Tz::from_str(given)
        .map_err(|_| format!("{} is not an IANA time zone like Europe/Vienna", shown(given)))
}

fn percent(given: &str) -> Result<Decimal, String> {
    values::decimal(given)
        .ok()
        .map(|percent| percent.normalize())
        .filter(|percent| {
            *percent <= Decimal::ONE_HUNDRED && percent.scale() <= MAX_PERCENT_DECIMALS
        })
        .ok_or_else(|| {
            format!(
                "{} is not a percentage from 0 to 100 with at most {MAX_PERCENT_DECIMALS} decimals",
                shown(given)
            )
        })
}

fn language(given: &str) -> Result<String, String> {
    let mut subtags = given.split('-');
    let primary = subtags.next().is_some_and(|tag| {
        (2..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphabetic())
    });
    let rest = subtags
        .all(|tag| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric()));
    (primary && rest && given.len() <= 35)
        .then(|| given.to_owned())
        .ok_or_else(|| format!("{} is not a language tag like en, de or pt-BR", shown(given)))
}

/// A provider's token (S61), with its customer before it where the provider has one: `cus_…/pm_…`. What is given
/// is never repeated: it may be a card number by mistake.
pub(super) fn payment_method(given: &str) -> Result<String, String> {
    if holds_card_number(given) {
        return Err("this looks like a card number, which must not be stored here: save the \
                    method with the payment provider and give its token"
            .to_owned());
    }
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let token = (1..=128).contains(&given.len())
        && given.split('/').count() <= 2
        && given.split('/').all(plain);
    token.then(|| given.to_owned()).ok_or_else(|| {
        "this is not a token of the payment provider: 1 to 128 characters of A-Z, a-z, 0-9, '_', '-', \
         and one '/' after a customer"
            .to_owned()
    })
}

/// Is there a run of 13 to 19 digits, spaces and hyphens aside, that passes the Luhn check?
fn holds_card_number(text: &str) -> bool {
    let mut run: Vec<u32> = Vec::new();
    for c in text.chars().chain(['.']) {
        if let Some(digit) = c.to_digit(10) {
            run.push(digit);
        } else if !(c == '-' || c.is_whitespace()) {
            if (13..=19).contains(&run.len()) && luhn(&run) {
                return true;
            }
            run.clear();
        }
    }
    false
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match index % 2 {
            0 => *digit,
            _ if digit * 2 > 9 => digit * 2 - 9,
            _ => digit * 2,
        })
        .sum();
    sum.is_multiple_of(10)
}
