//! Mistakes in `monthend.toml`, `catalog.toml`, jobs and templates: file, line, field, what is allowed.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use super::home::{Home, THREE};

/// Each mistake alone: the command cannot run, says all the parts, and works again when mended. A part
/// `@2` is a line: the second after the one that was changed.
fn check(home: &Home, file: &str, words: &str, cases: &[(&str, &str, &[&str])]) {
    let good = home.read(file);
    for (from, to, parts) in cases {
        home.edit(file, from, to);
        let answer = home.run("2026-01-02", words);
        answer.refuses(&[file]);
        let changed = good.split(from).next().unwrap_or_default().split('\n').count();
        for part in *parts {
            let Some(offset) = part.strip_prefix('@') else {
                answer.refuses(&[part]);
                continue;
            };
            let line = changed.strict_add_signed(offset.parse().unwrap());
            let said = [format!(": line {line}: "), format!("toml:{line}: ")];
            assert!(said.iter().any(|said| answer.stderr.contains(said)), "{line}: {answer:?}");
        }
        home.run("2026-01-02", &format!("--json {words}")).error();
        home.write(file, &good);
    }
    let mended = home.run("2026-01-02", words);
    assert_eq!(mended.code, 0, "{mended:?}");
}

const TEST: &str = "mode = \"test\"";

#[test]
fn mistakes_in_the_configuration() {
    let home = Home::with(THREE);
    check(
        &home,
        "monthend.toml",
        "org list",
        &[
            (TEST, "mode = \"prod\"", &["@0", "mode", "prod", "test", "live"]),
            (TEST, "mode = 1", &["@0", "mode"]),
            (TEST, "", &["mode"]),
            (TEST, "mode = \"test\"\nmode = \"test\"", &["@1", "mode", "duplicate"]),
            (TEST, "mode = \"test\"\ncolour = 1", &["@1", "colour", "database", "seller"]),
            (TEST, "mode = \"test", &["@0", "mode"]),
            (
                TEST,
                "mode = \"test\"\ndatabase = \"mysql://h/d\"",
                &["@1", "database", "postgres://"],
            ),
            (TEST, "mode = \"test\"\ndatabase = 5", &["@1", "database", "string"]),
            ("[runner]", "[runer]", &["@0", "runer", "runner"]),
            ("[runner]", "[runner", &["@0"]),
            ("workers = 2", "workers = 0", &["@0", "runner.workers", "1 to 64"]),
            ("workers = 2", "workers = -2", &["@0", "workers", "-2"]),
            ("workers = 2", "workers = \"two\"", &["@0", "workers", "two"]),
            ("heartbeat_s = 30", "heartbeat_s = 0", &["@0", "runner.heartbeat_s", "3600"]),
            ("lease_s = 60", "lease_s = 1", &["@0", "runner.lease_s", "2 to 3600"]),
            ("lease_s = 60", "lease_s = 3601", &["@0", "runner.lease_s"]),
            (
                "timeout_s = 30\n\n[runner]",
                "timeout_s = 999\n\n[runner]",
                &["@0", "payments.timeout_s", "50"],
            ),
            ("payment_days = 14", "payment_days = 99999", &["@0", "payment_days", "99999"]),
            (
                "series = \"seller\"",
                "series = \"month\"",
                &["@0", "series", "seller", "organization"],
            ),
            ("prefix = \"INV\"", "prefix = \"../x\"", &["@0", "invoices.prefix", "A–Z"]),
            ("prefix = \"INV\"", "prefix = \"\"", &["@0", "invoices.prefix", "1 to 12"]),
            (
                "transport = \"outbox\"",
                "transport = \"pigeon\"",
                &["@0", "transport", "outbox", "smtp"],
            ),
            ("transport = \"outbox\"", "transport = \"smtp\"", &["mail.smtp", "host and port"]),
            (
                "gateway = \"sandbox\"",
                "gateway = \"barter\"",
                &["@0", "gateway", "sandbox", "manual"],
            ),
            ("<billing@example.com>", "<billing>", &["@0", "mail.from", "billing@example.com"]),
            ("billing@example.com>", "a@b.c>\\r\\nBcc: x@y.z", &["@0", "mail.from"]),
            (
                "name = \"Example AI",
                "name = \"\\u0007Example AI",
                &["@0", "seller.name", "control"],
            ),
            ("support = \"support@example.com\"", "support = \" \"", &["@0", "seller.support"]),
            ("support = \"support@example.com\"", "", &["support"]),
        ],
    );
}

#[test]
fn mistakes_in_the_catalog() {
    let home = Home::with(THREE);
    check(
        &home,
        "catalog.toml",
        "catalog check",
        &[
            ("grace_hours = 2", "grace_hours = 999", &["@0", "usage.grace_hours", "0 to 240"]),
            ("grace_hours = 2", "grace_hours = -1", &["@0", "usage.grace_hours", "0 to 240"]),
            ("grace_hours = 2", "grace = 2", &["@0", "grace", "grace_hours", "look_back_days"]),
            ("USD = \"1\"", "USX = \"1\"", &["price_book.USX", "ISO 4217"]),
            ("USD = \"1\"", "USD = \"-1\"", &["price_book.USD", "below zero"]),
            ("USD = \"1\"", "USD = \"1,5\"", &["price_book.USD", "1,5"]),
            (
                "purchase_cycles = 12",
                "purchase_cycles = \"ever\"",
                &["grants.purchase_cycles", "never"],
            ),
            ("allowance = 1000", "allowance = -5", &["plans.standard.allowance", "below zero"]),
            ("allowance = 1000", "allowance = 1.5", &["@0", "allowance", "text"]),
            (
                "allowance = 1000",
                "allowance = \"1e3\"",
                &["plans.standard.allowance", "1e3", "decimal"],
            ),
            (
                "allowance = 1000",
                "allowance = \"0.0000000001\"",
                &["plans.standard.allowance", "9 decimals"],
            ),
            ("allowance = 1000", "", &["@-2", "allowance"]),
            (
                "depletion = \"pause\"",
                "depletion = \"explode\"",
                &["depletion", "explode", "pause", "overage"],
            ),
            (
                "fee_timing = \"arrears\"",
                "fee_timing = \"never\"",
                &["fee_timing", "arrears", "advance"],
            ),
            (
                "rollover_cycles = 3",
                "rollover_cycles = 9999",
                &["plans.professional.rollover_cycles", "1200"],
            ),
            ("prorate_fee = true", "prorate_fee = \"yes\"", &["prorate_fee", "boolean"]),
            ("USD = \"49.00\"", "USD = \"49.001\"", &["plans.standard.fee.USD", "2 decimals"]),
            ("[plans.starter]", "[plans.\"../x\"]", &["@0", "a-z"]),
            ("[plans.starter]", "[plans.starter", &["@0"]),
            ("[plans.starter]", "[plan.starter]", &["plan", "plans"]),
            ("credits = 100\n", "credits = 0\n", &["packages.small", "credits"]),
            ("meter = \"prompt\"", "meter = \"promt\"", &["promt", "prompt", "rates[1].meter"]),
            (
                "dimension = \"executions\"",
                "dimension = \"cells\"",
                &["rates[1].dimension", "cells", "executions"],
            ),
            ("per = 1000000", "per = 3", &["per", "exact"]),
            ("per = 1000000", "per = 0", &["per", "more than 0"]),
            ("credits = \"2.50\"", "credits = \"free\"", &["credits", "free"]),
        ],
    );
}

// Every problem of a catalog is told at once.
#[test]
fn a_catalog_with_several_mistakes_lists_them() {
    let home = Home::new();
    home.edit("catalog.toml", "grace_hours = 2", "grace_hours = 999");
    home.edit("catalog.toml", "allowance = 1000", "allowance = -5");
    home.run("2026-01-02", "catalog check").refuses(&["grace_hours", "plans.standard.allowance"]);
}

const JOB: &str = "name = \"monthly_close\"\ndescription = \"Close\"\ndue = \"cycle_end\"\n\
                   steps = [\"close\", \"issue\", \"render\", \"charge\", \"mail\"]\n\
                   [retry]\nattempts = 3\nfirst_delay_s = 5\nmax_delay_s = 60\n";
const INBOX: &str = "name = \"import_inbox\"\ndescription = \"Inbox\"\ndue = \"schedule\"\n\
                     schedule = \"*/5 * * * *\"\nzone = \"UTC\"\nsteps = [\"import_usage\"]\n\
                     [retry]\nattempts = 3\nfirst_delay_s = 5\nmax_delay_s = 60\n";

fn with_folder(key: &str) -> Home {
    let home = Home::new();
    home.edit("monthend.toml", TEST, &format!("mode = \"test\"\n{key} = \"{key}\""));
    home
}

#[test]
fn mistakes_in_job_files() {
    let home = with_folder("jobs_dir");
    home.run("2026-01-02", "job list").refuses(&["jobs_dir", "No such file"]);
    std::fs::create_dir(home.path().join("jobs_dir")).unwrap();
    home.write("jobs_dir/monthly_close.toml", JOB);
    home.write("jobs_dir/import_inbox.toml", INBOX);
    check(
        &home,
        "jobs_dir/monthly_close.toml",
        "job list",
        &[
            (
                "due = \"cycle_end\"",
                "due = \"whenever\"",
                &["due", "cycle_end", "schedule", "on_demand"],
            ),
            ("\"issue\", ", "\"issue\", \"dance\", ", &["line 4", "dance", "render"]),
            (
                "steps = [\"close\", \"issue\", \"render\", \"charge\", \"mail\"]",
                "steps = []",
                &["steps"],
            ),
            ("attempts = 3", "attempts = 0", &["attempts"]),
            ("attempts = 3", "attempts = -3", &["line 6", "-3"]),
            ("attempts = 3", "attemps = 3", &["line 6", "attemps", "attempts"]),
            ("description", "descripton", &["line 2", "descripton", "description"]),
            ("name = \"monthly_close\"", "name = \"../x\"", &["name"]),
            ("due =", "due", &["line 3"]),
        ],
    );
    check(
        &home,
        "jobs_dir/import_inbox.toml",
        "job list",
        &[
            ("*/5 * * * *", "61 * * * *", &["schedule"]),
            ("*/5 * * * *", "sometimes", &["schedule", "sometimes"]),
            ("schedule = \"*/5 * * * *\"\n", "", &["schedule"]),
            ("\"UTC\"", "\"Mars/Base\"", &["zone", "Mars/Base", "IANA"]),
        ],
    );
}

#[test]
fn mistakes_in_templates() {
    let home = with_folder("templates_dir");
    home.run("2026-01-02", "org list").refuses(&["templates_dir", "does not exist"]);
    std::fs::create_dir(home.path().join("templates_dir")).unwrap();
    assert_eq!(home.run("2026-01-02", "doctor").code, 0, "nothing replaced");
    for (text, parts) in [
        ("Dear {{ organization\nYours", &["line", "invoice.txt"][..]),
        ("Dear {% if %}", &["line", "invoice.txt"]),
        ("Dear {{ no_such_fact.at_all }}", &["invoice.txt"]),
        ("{% include \"../monthend.toml\" %}", &["invoice.txt"]),
        (
            "{% for x in range(9999999) %}{% for y in range(9999999) %}x{% endfor %}{% endfor %}",
            &["invoice.txt"],
        ),
    ] {
        home.write("templates_dir/invoice.txt", text);
        let doctor = home.run("2026-01-02", "doctor");
        assert_eq!(doctor.code, 1, "{text}: {doctor:?}");
        for part in parts {
            assert!(doctor.stdout.contains(part), "{text}: {doctor:?}");
        }
    }
    home.write("templates_dir/invoice.txt", b"\xFF\xFE");
    let doctor = home.run("2026-01-02", "doctor");
    assert!(doctor.code == 1 && doctor.stdout.contains("invoice.txt"), "{doctor:?}");
}
