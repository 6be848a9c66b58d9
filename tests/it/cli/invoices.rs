//! `invoice list`, `invoice show`, and the documents they name.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::path::Path;

use serde_json::{Value, json};

use super::credits::check_statement;
use super::home::{Home, THREE};
use super::shape::{Kind, has};

const ROW: [(&str, &[Kind]); 12] = [
    ("number", &[Kind::Text]),
    ("organization", &[Kind::Text]),
    ("cycle", &[Kind::Cycle]),
    ("issued_on", &[Kind::Day]),
    ("status", &[Kind::Text]),
    ("payment_status", &[Kind::Text]),
    ("subtotal", &[Kind::Money]),
    ("tax", &[Kind::Money]),
    ("total", &[Kind::Money]),
    ("amount_due", &[Kind::Money]),
    ("pdf", &[Kind::Text]),
    ("csv", &[Kind::Text]),
];

fn closed() -> Home {
    let home = Home::with(THREE);
    home.use_credits("2026-01-10", &[("acme", "2026-01-09", "prompt", "executions", "400")]);
    home.json("2026-01-10", "credits buy acme --credits 20", 0);
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    home
}

fn listed(home: &Home, filter: &str) -> Vec<Value> {
    let list = home.json("2026-02-02", &format!("invoice list {filter}"), 0);
    list["invoices"].as_array().unwrap().clone()
}

fn cents(money: &Value) -> i64 {
    money["amount"].as_str().unwrap().replace('.', "").parse().unwrap()
}

#[test]
fn the_list_has_the_contracts_shape_and_filters() {
    let home = closed();
    let all = listed(&home, "");
    assert_eq!(all.len(), 2);
    for row in &all {
        has(row, &ROW);
        assert_eq!(cents(&row["subtotal"]) + cents(&row["tax"]), cents(&row["total"]), "{row}");
        for file in ["pdf", "csv"] {
            assert!(Path::new(row[file].as_str().unwrap()).is_file(), "{row}");
        }
    }
    assert_eq!(listed(&home, "--org acme").len(), 1);
    assert_eq!(listed(&home, "--cycle 2026-01").len(), 2);
    assert_eq!(listed(&home, "--org acme --cycle 2026-01").len(), 1);
    assert_eq!(listed(&home, "--cycle 2026-02").len(), 0);
    let (code, message) = home.error("2026-02-02", "invoice list --org nobody");
    assert_eq!(code, "not_found");
    assert!(message.contains("nobody"), "{message}");
    home.error("2026-02-02", "invoice list --cycle soon");
    let table = home.run("2026-02-02", "invoice list").stdout;
    for word in ["INV-2026-000001", "acme", "82.80", "declined", "EUR"] {
        assert!(table.contains(word), "{word} in {table}");
    }
}

// D11: fee, purchases as already paid, tax, and the credit statement.
#[test]
fn an_invoice_shows_every_figure() {
    let home = closed();
    let number = listed(&home, "--org acme")[0]["number"].as_str().unwrap().to_owned();
    let shown = home.json("2026-02-02", &format!("invoice show {number}"), 0);
    has(&shown, &ROW);
    has(&shown, &[("lines", &[Kind::List]), ("statement", &[Kind::Object])]);
    let mut sum = 0;
    for line in shown["lines"].as_array().unwrap() {
        has(
            line,
            &[
                ("description", &[Kind::Text]),
                ("quantity", &[Kind::Credits]),
                ("unit", &[Kind::Text]),
                ("unit_price", &[Kind::Credits]),
                ("amount", &[Kind::Money]),
                ("cycle", &[Kind::Cycle]),
            ],
        );
        sum += cents(&line["amount"]);
    }
    assert_eq!(sum, cents(&shown["subtotal"]));
    check_statement(&shown["statement"]);
    assert_eq!(
        (&shown["subtotal"], &shown["tax"], &shown["total"]),
        (
            &json!({"amount": "69.00", "currency": "USD"}),
            &json!({"amount": "13.80", "currency": "USD"}),
            &json!({"amount": "82.80", "currency": "USD"})
        )
    );
    assert_eq!((&shown["status"], &shown["payment_status"]), (&json!("settled"), &json!("paid")));
    // Bought credits are not charged twice.
    assert_eq!(shown["charges"][0]["amount"]["amount"], "58.80");
    let text = home.run("2026-02-02", &format!("invoice show {number}")).stdout;
    for word in ["82.80", "20 %", "already paid", "prompt", "400", "allowance", ".pdf"] {
        assert!(text.contains(word), "{word} in {text}");
    }
    // What was paid, and with what, adds up to the total: 82.80 = 24.00 + 58.80.
    for line in ["already paid 24.00 USD", "paid since 58.80 USD", "to pay 0.00 USD"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let declined = listed(&home, "--org bolt")[0].clone();
    assert_eq!(declined["amount_due"], declined["total"]);
    let number = declined["number"].as_str().unwrap();
    let text = home.run("2026-02-02", &format!("invoice show {number}")).stdout;
    assert!(text.contains("does not have enough funds"), "{text}");
}

#[test]
fn an_invoice_that_is_not_there() {
    let home = closed();
    for number in ["INV-2026-000099", "../../etc/passwd", "inv-2026-000001", "\u{202E}x"] {
        let (code, message) =
            home.run_with("2026-02-02", &["--json", "invoice", "show", number], "").error();
        assert_eq!(code, "not_found", "{message}");
    }
}
