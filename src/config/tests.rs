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

// S27: mistakes in a rule name its line; without rules the shipped ones hold, and none can be wanted.
#[test]
fn alert_rules_are_checked() {
    let parse = |rules: &str| Config::parse("monthend.toml", &format!("{STARTER}\n{rules}"));
    assert_eq!(parse("").unwrap().alert_rules.len(), 2);
    let none = STARTER.replace("mode = \"test\"", "mode = \"test\"\nalerts = []");
    assert!(Config::parse("monthend.toml", &none).unwrap().alert_rules.is_empty());
    let good = "[[alerts]]\nid = \"a\"\nmeasure = \"spend\"\ncurrency = \"USD\"\n\
                thresholds = [100, \"12.50\"]\nproject = \"x\"\nrecipients = [\"tech\"]\n\n\
                [[alerts]]\nid = \"b\"\nmeasure = \"days_left\"\nthresholds = [3]\n";
    let rules = parse(good).unwrap().alert_rules;
    assert_eq!((rules[0].thresholds.as_slice(), rules.len()), (&[10_000, 1_250][..], 2));
    let first = STARTER.lines().count() + 2;
    for (from, to, line, expected) in [
        ("\"a\"", "\"A b\"", 1, "alerts.id: rule \"A b\": must be"),
        ("id = \"b\"", "id = \"a\"", 9, "there are two of this id"),
        ("\"spend\"", "\"speed\"", 2, "is not a measure (allowance_used"),
        ("currency = \"USD\"\n", "", 0, "alerts.currency: rule \"a\": is missing"),
        ("[100, \"12.50\"]", "[0.5]", 4, "must be a whole number, or text"),
        ("[100, \"12.50\"]", "[\"1.005\"]", 4, "alerts.thresholds"),
        ("[3]", "[999]", 11, "from 0 to 366"),
        ("[3]", "[]", 11, "1 to 50"),
        ("[3]", "[3]\nproject = \"x\"", 12, "days_left has no project"),
        ("[\"tech\"]", "[]", 6, "at least one role"),
    ] {
        let error = parse(&good.replacen(from, to, 1)).unwrap_err().to_string();
        let place = format!("line {}: ", first + line);
        assert!(error.contains(&place) && error.contains(expected), "{place} {error}");
    }
    let marks = "[expiry_notices]\ndays = [0]\n";
    assert!(parse(marks).unwrap_err().to_string().contains("expiry_notices.days: must be days"));
}

// F88: the address of the database and those of endpoints were plain text to `{:?}`.
#[test]
fn debug_of_a_configuration_shows_no_secret() {
    let text = format!(
        "{}\n[[webhooks]]\nname = \"a\"\nurl = \"https://h.example/x?token=canary-of-a-hook\"\n\
         secret_env = \"MONTHEND_X\"\n",
        STARTER.replacen(
            "mode = \"test\"",
            "mode = \"test\"\ndatabase = \"postgres://u:canary-db-password@h/d\"",
            1
        )
    );
    let config = Config::parse("monthend.toml", &text).unwrap();
    assert!(config.database.is_some() && config.webhooks.len() == 1);
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("***") && !shown.contains("canary"), "{shown}");
}
