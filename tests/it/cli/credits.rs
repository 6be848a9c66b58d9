//! `credits balance`, `statement`, `grant`, `buy`.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use serde_json::{Value, json};

use super::home::{Home, THREE};
use super::shape::{Kind, has, nano};

fn check_balance(balance: &Value) {
    has(
        balance,
        &[
            ("organization", &[Kind::Text]),
            ("as_of", &[Kind::Instant]),
            ("state", &[Kind::Text]),
            ("available", &[Kind::Credits]),
            ("posted", &[Kind::Credits]),
            ("unbilled", &[Kind::Credits]),
            ("deficit", &[Kind::Credits]),
            ("grants", &[Kind::List]),
        ],
    );
    let figure = |name: &str| nano(&balance[name]);
    assert_eq!(figure("available"), figure("posted") - figure("unbilled") - figure("deficit"));
    let mut remaining = 0;
    for grant in balance["grants"].as_array().unwrap() {
        has(
            grant,
            &[
                ("id", &[Kind::Text]),
                ("source", &[Kind::Text]),
                ("cycle", &[Kind::Cycle]),
                ("granted", &[Kind::Credits]),
                ("remaining", &[Kind::Credits]),
                ("expires_at", &[Kind::Instant, Kind::Null]),
            ],
        );
        remaining += nano(&grant["remaining"]);
    }
    assert_eq!(remaining, figure("posted"));
}

/// The two equations of the contract, in total and per grant.
pub(super) fn check_statement(statement: &Value) {
    let figures = ["opening", "granted", "purchased", "used", "expired", "closing"];
    let rated = ["rated", "overage", "deficit_brought", "deficit"];
    for name in figures.iter().chain(&rated) {
        has(statement, &[(name, &[Kind::Credits])]);
        assert!(nano(&statement[*name]) >= 0, "{name} of {statement}");
    }
    has(
        statement,
        &[("organization", &[Kind::Text]), ("cycle", &[Kind::Cycle]), ("grants", &[Kind::List])],
    );
    assert!(["open", "closed"].contains(&statement["state"].as_str().unwrap()));
    let f = |name: &str| nano(&statement[name]);
    assert_eq!(
        f("opening") + f("granted") + f("purchased"),
        f("used") + f("expired") + f("closing"),
        "{statement}"
    );
    assert_eq!(f("rated") + f("deficit_brought"), f("used") + f("overage") + f("deficit"));
    let mut sums = [0; 5];
    for grant in statement["grants"].as_array().unwrap() {
        has(
            grant,
            &[
                ("id", &[Kind::Text]),
                ("source", &[Kind::Text]),
                ("cycle", &[Kind::Cycle]),
                ("expires_at", &[Kind::Instant, Kind::Null]),
            ],
        );
        let each =
            ["opening", "granted", "used", "expired", "closing"].map(|name| nano(&grant[name]));
        assert_eq!(each[0] + each[1], each[2] + each[3] + each[4], "{grant}");
        for (sum, figure) in sums.iter_mut().zip(each) {
            *sum += figure;
        }
    }
    let granted = f("granted") + f("purchased");
    assert_eq!(sums, [f("opening"), granted, f("used"), f("expired"), f("closing")]);
}

#[test]
fn a_balance_adds_up() {
    let home = Home::with(THREE);
    home.use_credits(
        "2026-01-10",
        &[
            ("acme", "2026-01-09", "text_generation", "tokens", "16666"),
            ("cora", "2026-01-09", "prompt", "executions", "600"),
        ],
    );
    home.json("2026-01-10", "credits grant acme 0.5 --reason goodwill", 0);
    home.json("2026-01-10", "credits buy acme --credits 20", 0);
    for id in ["acme", "bolt", "cora"] {
        check_balance(&home.json("2026-01-10", &format!("credits balance {id}"), 0));
    }
    let acme = home.json("2026-01-10", "credits balance acme", 0);
    assert_eq!(acme["as_of"], "2026-01-10T00:00:00Z");
    assert_eq!(
        (&acme["available"], &acme["unbilled"], &acme["state"]),
        (&json!("1019.50004"), &json!("0.99996"), &json!("active"))
    );
    let cora = home.json("2026-01-10", "credits balance cora", 0);
    assert_eq!((&cora["available"], &cora["state"]), (&json!("-100"), &json!("paused")));
    assert_eq!(cora["grants"][0]["expires_at"], Value::Null, "sign-up credits stay");
    // A deficit is carried; the balance shows it (D8).
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    let cora = home.json("2026-02-02", "credits balance cora", 0);
    check_balance(&cora);
    assert_eq!((&cora["available"], &cora["deficit"]), (&json!("-100"), &json!("100")));
    let shown = home.run("2026-02-02", "credits balance cora").stdout;
    assert!(shown.contains("-100") && shown.contains("paused"), "{shown}");
}

#[test]
fn statements_foot_open_and_closed() {
    let home = Home::with(THREE);
    home.use_credits(
        "2026-01-10",
        &[
            ("acme", "2026-01-09", "text_generation", "tokens", "16666"),
            ("cora", "2026-01-09", "prompt", "executions", "600"),
        ],
    );
    home.json("2026-01-10", "credits buy acme --credits 20", 0);
    let statement = |now: &str, id: &str, cycle: &str| {
        let value = home.json(now, &format!("credits statement {id} --cycle {cycle}"), 0);
        check_statement(&value);
        assert_eq!((&value["organization"], &value["cycle"]), (&json!(id), &json!(cycle)));
        value
    };
    let open = statement("2026-01-10", "acme", "2026-01");
    assert_eq!((&open["state"], &open["used"]), (&json!("open"), &json!("0.99996")));
    assert_eq!((&open["granted"], &open["purchased"]), (&json!("1000"), &json!("20")));
    statement("2026-01-10", "cora", "2026-01");
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    let closed = statement("2026-02-02", "acme", "2026-01");
    assert_eq!(
        (&closed["state"], &closed["expired"], &closed["closing"]),
        (&json!("closed"), &json!("999.00004"), &json!("20"))
    );
    let cora = statement("2026-02-02", "cora", "2026-01");
    assert_eq!((&cora["used"], &cora["deficit"]), (&json!("500"), &json!("100")));
    let next = statement("2026-02-02", "cora", "2026-02");
    assert_eq!((&next["deficit_brought"], &next["state"]), (&json!("100"), &json!("open")));
    let shown = home.run("2026-02-02", "credits statement acme --cycle 2026-01").stdout;
    for word in ["2026-01", "closed", "allowance", "999.00004"] {
        assert!(shown.contains(word), "{shown}");
    }
}

#[test]
fn statements_of_cycles_and_organizations_that_are_not_there() {
    let home = Home::with(THREE);
    for cycle in ["2025-12", "2026-02"] {
        let (_, message) =
            home.error("2026-01-10", &format!("credits statement acme --cycle {cycle}"));
        assert!(message.contains(cycle) && message.contains("acme"), "{message}");
    }
    for words in [
        "credits statement nobody --cycle 2026-01",
        "credits balance nobody",
        "credits grant nobody 5 --reason x",
        "credits buy nobody --credits 5",
    ] {
        let (code, message) = home.error("2026-01-10", words);
        assert_eq!(code, "not_found");
        assert!(message.contains("nobody"), "{message}");
    }
}

#[test]
fn grants_by_hand_need_an_amount_a_source_and_a_reason() {
    let home = Home::with(THREE);
    let grant = home.json("2026-01-10", "credits grant acme 10.5 --reason goodwill", 0);
    has(&grant, &[("grant", &[Kind::Text])]);
    home.json("2026-01-10", "credits grant acme 1 --reason x --source adjustment", 0);
    let balance = home.json("2026-01-10", "credits balance acme", 0);
    let sources: Vec<&str> = balance["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| grant["source"].as_str().unwrap())
        .collect();
    for source in ["allowance", "promotional", "adjustment"] {
        assert!(sources.contains(&source), "{sources:?}");
    }
    assert_eq!(balance["available"], "1011.5");
    for words in [
        "credits grant acme 0 --reason x",
        "credits grant acme -- -5 --reason x",
        "credits grant acme 1e3 --reason x",
        "credits grant acme 0.0000000001 --reason x",
        "credits grant acme 99999999999999999999 --reason x",
        "credits grant acme NaN --reason x",
        "credits grant acme 1 --reason x --source purchase",
        "credits grant acme 1 --reason x --source allowance",
        "credits grant acme 1 --reason x --source gift",
        "credits grant acme 1",
    ] {
        home.error("2026-01-10", words);
    }
    // F90: a reason is words.
    for reason in ["", "  ", "\u{202E}\n"] {
        let arguments = ["--json", "credits", "grant", "acme", "1", "--reason", reason];
        let (_, message) = home.run_with("2026-01-10", &arguments, "").error();
        assert!(message.contains("reason"), "{message}");
    }
    assert_eq!(home.json("2026-01-10", "credits balance acme", 0)["available"], "1011.5");
    assert_eq!(home.run("2026-01-10", "verify").code, 0);
}

// Amounts at the edge of what can be counted are refused with words, not wrapped (F52).
#[test]
fn the_largest_amounts_are_refused_not_wrapped() {
    let home = Home::with(THREE);
    home.json("2026-01-10", "credits grant acme 3999990000 --reason x", 0);
    let (_, message) = home.error("2026-01-10", "credits grant acme 9000000000 --reason x");
    assert!(message.contains("acme") && message.contains("too many"), "{message}");
    home.error("2026-01-10", "credits buy acme --credits 9200000000");
    assert_eq!(home.json("2026-01-10", "credits balance acme", 0)["available"], "3999991000");
    assert_eq!(home.run("2026-01-10", "verify").code, 0);
}

#[test]
fn buying_charges_grants_and_receipts() {
    let home = Home::with(THREE);
    let keys: [(&str, &[Kind]); 3] = [
        ("purchase", &[Kind::Text]),
        ("status", &[Kind::Text]),
        ("grant", &[Kind::Text, Kind::Null]),
    ];
    let bought = home.json("2026-01-10", "credits buy acme --credits 20", 0);
    has(&bought, &keys);
    assert_eq!(bought["status"], "paid");
    let package = home.json("2026-01-10", "credits buy acme --package professional", 0);
    has(&package, &keys);
    assert_ne!(package["purchase"], bought["purchase"]);
    assert_eq!(home.json("2026-01-10", "credits balance acme", 0)["available"], "6020");
    let mails = std::fs::read_dir(home.path().join("outbox")).unwrap().count();
    assert_eq!(mails, 2, "a receipt each");
    // A declined card: nothing is granted, and the exit code says so.
    let declined = home.json("2026-01-10", "credits buy bolt --credits 20", 1);
    has(&declined, &keys);
    assert_eq!((&declined["status"], &declined["grant"]), (&json!("declined"), &Value::Null));
    assert_eq!(home.json("2026-01-10", "credits balance bolt", 0)["available"], "1000");
    let (_, message) = home.error("2026-01-10", "credits buy cora --credits 5");
    assert!(message.contains("payment_method"), "{message}");
    let (_, message) = home.error("2026-01-10", "credits buy acme --package gold");
    assert!(message.contains("gold") && message.contains("standard"), "{message}");
    home.error("2026-01-10", "credits buy acme --credits 0");
    home.error("2026-01-10", "credits buy acme --credits 5 --package standard");
    assert_eq!(home.run("2026-01-10", "verify").code, 0);
}

// The provider acts and its answer is lost, or does not act at all: credits are granted once, or not.
#[test]
fn lost_answers_of_the_provider_charge_once() {
    let row = |id: &str, method: &str| {
        format!("{id},{id},x@x.example,standard,2026-01-01,,{method},,,,,,")
    };
    let rows = [
        row("after", "pm_sandbox_timeout_after"),
        row("before", "pm_sandbox_timeout_before"),
        row("action", "pm_sandbox_needs_action"),
        row("stolen", "pm_sandbox_stolen"),
    ];
    let home = Home::with(&rows.join("\n"));
    for id in ["after", "before", "action", "stolen"] {
        let answer = home.run("2026-01-10", &format!("--json credits buy {id} --credits 20"));
        let value: Value = serde_json::from_str(&answer.stdout).unwrap();
        let granted = value["grant"].is_string();
        assert_eq!(answer.code, i32::from(!granted), "{id}: {answer:?}");
        assert_eq!(granted, value["status"] == "paid", "{id}: {answer:?}");
        let expected = if granted { "1020" } else { "1000" };
        let balance = home.json("2026-01-10", &format!("credits balance {id}"), 0);
        assert_eq!(balance["available"], expected, "{id}");
    }
    assert_eq!(home.run("2026-01-10", "verify").code, 0);
}
