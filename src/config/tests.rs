//! Mistakes of the operator are told, secrets are not.

use super::*;

#[test]
fn the_starter_file_is_valid_and_in_test_mode() {
    assert_eq!(Config::parse("monthend.toml", STARTER).unwrap().mode, Mode::Test);
}

#[test]
fn mistakes_name_file_line_and_field() {
    for (from, to, expected) in [
        ("mode = \"test\"", "mode = \"prod\"", "line"),
        ("mode = \"test\"", "mode = \"test\"\ncolour = 1", "unknown field `colour`"),
        ("prefix = \"INV\"", "prefix = \"../x\"", ": invoices.prefix"),
        ("payment_days = 14", "payment_days = -1", ": payment_days: invalid value"),
        ("<billing@example.com>", "<billing>", ": mail.from: must be an address"),
        ("mode = \"test\"", "mode = \"test\"\ndatabase = \"mysql://x\"", ": database: must begin"),
    ] {
        assert!(STARTER.contains(from), "{from}");
        let error = Config::parse("monthend.toml", &STARTER.replace(from, to)).unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with("monthend.toml: line ") && error.contains(expected), "{error}");
    }
}

// F88: a password in an address must not come back in an error.
#[test]
fn errors_do_not_repeat_the_file() {
    let text = "mode = \"test\"\ndatabase = \"postgres://u:s3cr3t-canary@h/d\" x";
    let error = format!("{:?}", Config::parse("monthend.toml", text).unwrap_err());
    assert!(!error.contains("s3cr3t-canary"), "{error}");
}
