use proptest::prelude::*;

use super::*;
use crate::domain::plan::{RolloverCap, Term};

const HEADER: &str = "id,name,billing_email,plan,joined_on";

fn rows(text: &str) -> Vec<Result<Organization, Rejected>> {
    read(text.as_bytes()).unwrap().rows.into_iter().map(|(_, row)| row).collect()
}

/// The one row `acme,Acme,…` with one more column.
fn with(column: &str, cell: &str) -> Result<Organization, Rejected> {
    let text = format!("{HEADER},{column}\nacme,Acme,a@b.example,standard,2026-01-15,{cell}\n");
    rows(&text).remove(0)
}

fn file_error(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn a_full_row_in_any_order_of_columns() {
    let text = "\u{FEFF}plan,id,joined_on,name,billing_email,zone,currency,country,address,tax_id,\
                tax_percent,language,payment_method,allowance,rollover_cycles,rollover_cap,fee,\
                overage_price\r\n\
                enterprise,globex,2025-12-31,\"Globex, Inc.\",ap@globex.example; cfo@globex.example,\
                Asia/Tokyo,JPY,JP,\"1 Main St|Tokyo\",T123,10.5,ja-JP,pm_sandbox_ok,8000.5,6,50%,\
                120000,1.25\r\n";
    let organization = rows(text).remove(0).unwrap();
    assert_eq!(organization.id, "globex");
    assert_eq!(organization.name, "Globex, Inc.");
    assert_eq!(organization.billing_emails, ["ap@globex.example", "cfo@globex.example"]);
    assert_eq!(organization.zone, chrono_tz::Asia::Tokyo);
    assert_eq!(organization.address.as_deref(), Some("1 Main St\nTokyo"));
    assert_eq!(organization.tax_percent.to_string(), "10.5");
    let contract = organization.contract;
    assert_eq!(contract.allowance.unwrap().to_string(), "8000.5");
    assert_eq!(contract.rollover, Some(Term::Cycles(6)));
    assert_eq!(contract.rollover_cap, Some(RolloverCap::Percent(50.into())));
    assert_eq!(contract.fee.unwrap().to_string(), "120000 JPY");
    assert_eq!(contract.overage_price.unwrap().to_string(), "1.25");
}

#[test]
fn blank_means_the_default() {
    let organization = with("rollover_cycles", "").unwrap();
    assert_eq!((organization.zone, organization.currency.code()), (chrono_tz::UTC, "USD"));
    assert_eq!((organization.language.as_str(), organization.payment_method), ("en", None));
    assert_eq!(organization.contract, crate::domain::organization::Contract::default());
    assert_eq!(with("rollover_cycles", "never").unwrap().contract.rollover, Some(Term::Never));
}

#[test]
fn every_wrong_field_is_named() {
    for (column, cell, reason) in [
        ("zone", "Mars/Olympus", "IANA"),
        ("currency", "usd", "ISO 4217"),
        ("tax_percent", "100.01", "0 to 100"),
        ("tax_percent", "-1", "0 to 100"),
        ("language", "english please", "language tag"),
        ("payment_method", "pm ok", "not a token"),
        ("allowance", "-5", "below zero"),
        ("allowance", "1e3", "amount of credits"),
        ("rollover_cycles", "1201", "1200"),
        ("rollover_cap", "50 percent", "50%"),
        ("fee", "1.234", "2 decimals"),
        ("overage_price", "-0.01", "below zero"),
        ("country", "\u{0007}", "can be shown"),
        ("address", "|", "lines"),
    ] {
        let rejected = with(column, cell).unwrap_err();
        assert_eq!((rejected.line, rejected.field), (2, Some(column)), "{rejected}");
        assert!(rejected.reason.contains(reason), "{rejected}");
    }
    for (row, field) in [
        ("../etc,Acme,a@b.example,standard,2026-01-15", "id"),
        ("acme,\u{202E},a@b.example,standard,2026-01-15", "name"),
        ("acme,Acme,,standard,2026-01-15", "billing_email"),
        ("acme,Acme,a@b@c.example,standard,2026-01-15", "billing_email"),
        ("acme,Acme,\"a@b.example\nBcc: x@y.example\",standard,2026-01-15", "billing_email"),
        ("acme,Acme,@b.example,standard,2026-01-15", "billing_email"),
        ("acme,Acme,a@b.example,Standard!,2026-01-15", "plan"),
        ("acme,Acme,a@b.example,standard,2026-02-29", "joined_on"),
        ("acme,Acme,a@b.example,standard,1969-12-31", "joined_on"),
        ("acme,Acme,a@b.example,standard,15.01.2026", "joined_on"),
    ] {
        let rejected = rows(&format!("{HEADER}\n{row}\n")).remove(0).unwrap_err();
        assert_eq!(rejected.field, Some(field), "{rejected}");
    }
}

// S61: a token of the provider, never card data; and a mistake is not repeated in the report.
#[test]
fn card_numbers_are_refused_and_not_shown() {
    for number in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "card_4111111111111111",
        "6011000990139424",
        "5555555555554444",
    ] {
        let rejected = with("payment_method", number).unwrap_err();
        assert!(rejected.reason.contains("card number"), "{rejected}");
        assert!(!rejected.to_string().contains("1111"), "{rejected}");
    }
    for token in ["pm_sandbox_ok", "pm_1N4111", "4111111111111112", "tok-0"] {
        assert_eq!(with("payment_method", token).unwrap().payment_method.unwrap(), token);
    }
    let rejected = with("payment_method", "4111 1111 1111 1112").unwrap_err();
    assert!(!rejected.to_string().contains("1111"), "{rejected}");
}

#[test]
fn a_header_that_is_not_understood_refuses_the_file() {
    assert!(file_error("").contains("empty"));
    assert!(file_error("id,name,billing_email,plan\n").contains("missing joined_on"));
    assert!(file_error(&format!("{HEADER},colour\n")).contains("column \"colour\" is unknown"));
    assert!(file_error(&format!("{HEADER},name\n")).contains("\"name\" is there twice"));
}

#[test]
fn one_bad_row_never_stops_the_others() {
    let mut text = format!("{HEADER}\na,A,a@b.example,standard,2026-01-01\nb,B\n").into_bytes();
    text.extend_from_slice(b"c,\xFF\xFE,a@b.example,standard,2026-01-01\n");
    text.extend_from_slice(b"a,Again,a@b.example,standard,2026-01-01\n");
    text.extend_from_slice(b"d,D,a@b.example,standard,2026-01-01\n");
    let rows = read(text.as_slice()).unwrap().rows;
    let lines: Vec<(u64, bool)> = rows.iter().map(|(line, row)| (*line, row.is_ok())).collect();
    assert_eq!(lines, [(2, true), (3, false), (4, false), (5, false), (6, true)]);
    let reasons: Vec<String> =
        rows.iter().filter_map(|(_, row)| row.as_ref().err()).map(ToString::to_string).collect();
    assert_eq!(reasons[0], "line 3: the row has 2 cells, the header 5");
    assert!(reasons[1].contains("name: the text is not UTF-8"), "{}", reasons[1]);
    assert!(reasons[2].contains("already on line 2"), "{}", reasons[2]);
}

// The CSV reader would take the rest of the file as one address, and the rows in it were gone.
#[test]
fn an_unclosed_quotation_mark_swallows_nothing_unsaid() {
    let text = format!(
        "{HEADER},address\n\n\na,A,a@b.example,standard,2026-01-01,\"Main St\n\
         b,B,b@b.example,standard,2026-01-01,Side St\n"
    );
    let found = read(text.as_bytes()).unwrap().rows;
    assert_eq!((found.len(), found[0].0), (1, 4));
    let rejected = found[0].1.as_ref().unwrap_err();
    assert!(rejected.reason.contains("lines 4 to 5"), "{rejected}");
    let text = format!(
        "{HEADER},address\na,A,a@b.example,standard,2026-01-01,\"Main St\nb,B,b@b.example,standard,2026-01-01,\"Side St\nc,C,c@b.example,standard,2026-01-01,\"Main St\nTown\"\n"
    );
    let found = rows(&text);
    assert!(found.iter().any(|row| row.as_ref().is_err_and(|r| r.reason.contains("lines 2 to"))));
}

// F86: 10,000 characters are kept, a right-to-left override is not.
#[test]
fn hostile_names_are_cleaned() {
    let text =
        format!("{HEADER}\na,{}\u{202E},a@b.example,standard,2026-01-01\n", "é".repeat(9_999));
    assert_eq!(rows(&text).remove(0).unwrap().name.chars().count(), 9_999);
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(bytes.as_slice());
        let mut file = format!("{HEADER},zone,fee,payment_method\n").into_bytes();
        file.extend_from_slice(&bytes);
        let _ = read(file.as_slice());
    }

    // Without quotation marks every line that is not blank is one row, accepted or rejected.
    #[test]
    fn every_row_is_answered(lines in prop::collection::vec("[ -!#-~]{1,40}", 0..20)) {
        let text = format!("{HEADER}\n{}", lines.join("\n"));
        prop_assert_eq!(rows(&text).len(), lines.len());
    }
}
