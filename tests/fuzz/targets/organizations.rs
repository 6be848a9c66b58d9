//! Organizations and contacts: rows in order, each with its line; ids, addresses and tokens in shape.

use std::collections::BTreeSet;

use chrono::Datelike as _;
use monthend::domain::organization::Organization;
use monthend::domain::text::{is_harmless, is_organization_id};
use monthend::intake::{contacts, organizations};
use rust_decimal::Decimal;

use super::{assert_reason, lines};

/// The same bytes as either file.
pub fn target(data: &[u8]) {
    let most = u64::try_from(lines(data).len()).expect("few lines").max(1);
    // A carriage return alone ends a row, but only line feeds are counted: two rows may share a line.
    let alone = data.windows(2).any(|pair| pair[0] == b'\r' && pair[1] != b'\n');
    let first = if alone { 1 } else { 2 };
    match organizations::read(data) {
        Err(error) => assert_reason(&error.to_string()),
        Ok(file) => {
            let (mut last, mut ids) = (first - 1, BTreeSet::new());
            for (line, row) in file.rows {
                let follows = if alone { last <= line } else { last < line };
                assert!(follows && line <= most, "line {line} after {last} of {most}");
                last = line;
                match row {
                    Ok(organization) => {
                        sane(&organization);
                        assert!(ids.insert(organization.id), "an id twice");
                    }
                    Err(rejected) => {
                        assert_eq!(rejected.line, line);
                        assert_reason(&rejected.reason);
                    }
                }
            }
        }
    }
    match contacts::read(data) {
        Err(error) => assert_reason(&error.to_string()),
        Ok(file) => {
            assert!(file.rejected.is_sorted_by_key(|rejected| rejected.line));
            for rejected in &file.rejected {
                assert!((first..=most).contains(&rejected.line), "{rejected:?} of {most}");
                assert_reason(&rejected.reason);
            }
            for (line, contacts) in file.organizations.values() {
                assert!((first..=most).contains(line));
                for (_, address) in contacts {
                    assert_address(address);
                }
            }
        }
    }
}

fn assert_address(address: &str) {
    assert!(address.len() <= 254 && address.matches('@').count() == 1, "{address:?}");
    assert!(!address.contains(|c: char| c.is_whitespace() || c.is_control()), "{address:?}");
}

fn sane(organization: &Organization) {
    assert!(is_organization_id(&organization.id), "{:?}", organization.id);
    assert!(!organization.name.is_empty() && is_harmless(&organization.name));
    assert!((1..=20).contains(&organization.billing_emails.len()));
    organization.billing_emails.iter().for_each(|address| assert_address(address));
    assert!((1970..=2500).contains(&organization.joined_on.year()));
    let percent = organization.tax_percent;
    assert!(Decimal::ZERO <= percent && percent <= Decimal::ONE_HUNDRED, "{percent}");
    if let Some(address) = &organization.address {
        assert!((1..=20).contains(&address.lines().count()));
        assert!(address.lines().all(is_harmless), "{address:?}");
    }
    // S61: what may be a card's number is no token.
    if let Some(token) = &organization.payment_method {
        assert!(token.len() <= 128 && token.is_ascii());
        let digits = token.bytes().filter(u8::is_ascii_digit).count();
        assert!(digits < token.len() || !(13..=19).contains(&digits) || !luhn(token), "{token}");
    }
}

fn luhn(digits: &str) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let digits = digits.chars().rev().filter_map(|c| c.to_digit(10)).enumerate();
    let sum: u32 = digits.map(|(at, d)| if at % 2 == 0 { d } else { doubled(d) }).sum();
    sum.is_multiple_of(10)
}
