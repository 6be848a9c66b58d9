//! Money at the command line: methods, automatic purchases, credit notes, refunds, payments, history.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use serde_json::{Value, json};

use super::home::{Answer, Home, THREE};
use super::shape::{Kind, has};

/// Runs words; no token of a method may be in any answer.
#[track_caller]
fn run(home: &Home, now: &str, words: &str) -> Answer {
    let answer = home.run(now, words);
    for text in [&answer.stdout, &answer.stderr] {
        assert!(!text.contains("pm_sandbox"), "{answer:?}");
    }
    answer
}

#[track_caller]
fn told(home: &Home, now: &str, words: &str, code: i32) -> Value {
    let answer = run(home, now, &format!("--json {words}"));
    assert_eq!(answer.code, code, "{answer:?}");
    answer.json()
}

/// It could not run: the code of the contract.
#[track_caller]
fn fails(home: &Home, now: &str, words: &str) -> (String, String) {
    run(home, now, &format!("--json {words}")).error()
}

#[track_caller]
fn list<'a>(object: &'a Value, key: &str) -> &'a Vec<Value> {
    object[key].as_array().unwrap()
}

fn paid() -> Home {
    let home = Home::with(THREE);
    home.json("2026-01-10", "credits buy acme --credits 20", 0);
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    home
}

const METHOD: [(&str, &[Kind]); 8] = [
    ("method", &[Kind::Text]),
    ("brand", &[Kind::Text, Kind::Null]),
    ("last4", &[Kind::Text, Kind::Null]),
    ("expires", &[Kind::Cycle, Kind::Null]),
    ("state", &[Kind::Text]),
    ("default", &[Kind::Bool]),
    ("failed_attempts", &[Kind::Count]),
    ("added_at", &[Kind::Instant]),
];

#[test]
fn methods_are_listed_added_and_removed() {
    let home = Home::with(THREE);
    let now = "2026-01-10";
    let first = told(&home, now, "method list bolt", 0);
    assert_eq!(first["organization"], "bolt");
    has(&list(&first, "methods")[0], &METHOD);
    assert_eq!(list(&first, "methods")[0]["method"], "…ined");
    assert_eq!(list(&told(&home, now, "method list cora", 0), "methods").len(), 0);
    let added = told(&home, now, "method add bolt pm_sandbox_ok --reason telephone", 0);
    let uses: Vec<_> = list(&added, "methods")
        .iter()
        .map(|m| (m["method"].clone(), m["default"].clone()))
        .collect();
    assert_eq!(uses, [(json!("…ined"), json!(true)), (json!("…x_ok"), json!(false))]);
    assert_eq!(list(&added, "methods")[1]["last4"], "4242");
    let replaced = told(&home, now, "method add bolt pm_sandbox_ok --default --reason asked", 0);
    assert_eq!(list(&replaced, "methods")[0]["method"], "…x_ok", "the default is on top");
    let removed = told(&home, now, "method remove bolt pm_sandbox_ok --reason asked", 0);
    assert_eq!(list(&removed, "methods").len(), 1);
    assert_eq!(list(&removed, "methods")[0]["default"], false, "nothing replaces a default");
    for (words, code) in [
        ("method list nobody", "not_found"),
        ("method add nobody pm_sandbox_ok --reason r", "not_found"),
        ("method add bolt pm_sandbox_secret --reason r", "refused"),
        ("method remove bolt pm_sandbox_timeout_after --reason r", "not_found"),
        ("method add bolt pm_sandbox_ok", "usage"),
        ("method remove bolt pm_sandbox_declined", "usage"),
    ] {
        assert_eq!(fails(&home, now, words).0, code, "{words}");
    }
    let people = run(&home, now, "method list bolt");
    assert!(people.code == 0 && people.stdout.contains("…ined"), "{people:?}");
    assert_eq!(run(&home, now, "verify").code, 0);
}

#[test]
fn risks_name_the_trouble_and_the_money() {
    let home = Home::with(THREE);
    assert_eq!(told(&home, "2026-01-10", "method risks", 0), json!({"risks": [], "at_risk": []}));
    told(&home, "2026-01-10", "method remove acme pm_sandbox_ok --reason asked", 0);
    home.json("2026-01-10", "credits buy bolt --credits 20", 1);
    let risks = told(&home, "2026-01-10", "method risks", 0);
    for risk in list(&risks, "risks") {
        has(
            risk,
            &[
                ("organization", &[Kind::Text]),
                ("trouble", &[Kind::Text]),
                ("method", &[Kind::Text, Kind::Null]),
                ("expires", &[Kind::Cycle, Kind::Null]),
                ("needed_on", &[Kind::Day]),
                ("expected", &[Kind::Money]),
            ],
        );
    }
    let words: Vec<_> = list(&risks, "risks")
        .iter()
        .map(|r| (r["organization"].clone(), r["trouble"].clone()))
        .collect();
    assert_eq!(words, [(json!("acme"), json!("missing")), (json!("bolt"), json!("failed"))]);
    let amounts: Vec<_> = list(&risks, "at_risk")
        .iter()
        .map(|m| (m["amount"].clone(), m["currency"].clone()))
        .collect();
    let mut amounts: Vec<String> = amounts.iter().map(|(a, c)| format!("{a} {c}")).collect();
    amounts.sort();
    assert_eq!(amounts, ["\"45.00\" \"EUR\"", "\"58.80\" \"USD\""]);
    assert!(run(&home, "2026-01-10", "method risks").stdout.contains("At risk"));
}

#[test]
fn automatic_purchases_are_set_and_turned_off() {
    let home = Home::with(THREE);
    let now = "2026-01-10";
    assert_eq!(told(&home, now, "recharge list", 0), json!({"recharges": []}));
    let words = "recharge set acme --below 100 --package small --monthly-limit 500.00";
    let set = told(&home, now, &format!("{words} --reason asked"), 0);
    has(
        &set,
        &[
            ("organization", &[Kind::Text]),
            ("state", &[Kind::Text]),
            ("below", &[Kind::Credits]),
            ("package", &[Kind::Text]),
            ("monthly_limit", &[Kind::Money]),
            ("spent_this_month", &[Kind::Money]),
            ("monthly_limit_minor", &[Kind::Count]),
            ("cool_off_minutes", &[Kind::Count]),
            ("failures", &[Kind::Count]),
            ("last_at", &[Kind::Null]),
        ],
    );
    assert_eq!((&set["below"], &set["monthly_limit_minor"]), (&json!("100"), &json!(50_000)));
    assert_eq!((&set["cool_off_minutes"], &set["state"]), (&json!(60), &json!("on")));
    assert_eq!(list(&told(&home, now, "recharge list", 0), "recharges"), &[set]);
    let off = told(&home, now, "recharge off acme --reason asked", 0);
    assert_eq!(off, json!({"organization": "acme", "state": "off"}));
    for (words, code) in [
        (words, "usage"),
        ("recharge off acme", "usage"),
        ("recharge off bolt --reason r", "not_found"),
        (
            "recharge set nobody --below 1 --package small --monthly-limit 500 --reason r",
            "not_found",
        ),
        ("recharge set acme --below 1 --package none --monthly-limit 500 --reason r", "refused"),
        ("recharge set acme --below 1 --package small --monthly-limit 1 --reason r", "refused"),
        ("recharge set acme --below -1 --package small --monthly-limit 500 --reason r", "usage"),
    ] {
        assert_eq!(fails(&home, now, words).0, code, "{words}");
    }
    for words in ["recharge list", "history acme"] {
        assert_eq!(run(&home, now, words).code, 0, "{words}");
    }
}

#[test]
fn credit_notes_and_refunds() {
    let home = paid();
    let now = "2026-02-02";
    let number = "INV-2026-000001";
    let part =
        told(&home, now, &format!("invoice credit {number} --amount 10.00 --reason agreed"), 0);
    has(
        &part,
        &[
            ("credit_note", &[Kind::Text]),
            ("corrects", &[Kind::Text]),
            ("subtotal", &[Kind::Money]),
            ("tax", &[Kind::Money]),
            ("total", &[Kind::Money]),
            ("settled", &[Kind::Object]),
            ("returned", &[Kind::List]),
            ("taken_back", &[Kind::List]),
            ("pdf", &[Kind::Text]),
            ("csv", &[Kind::Text]),
        ],
    );
    assert_eq!(
        (&part["credit_note"], &part["corrects"]),
        (&json!("CN-2026-000001"), &json!(number))
    );
    assert_eq!(
        (&part["total"]["amount"], &part["settled"]["by"]),
        (&json!("12.00"), &json!("refund"))
    );
    for file in ["pdf", "csv"] {
        assert!(std::path::Path::new(part[file].as_str().unwrap()).is_file(), "{part}");
    }
    // Of a receipt: the unused credits, and the money that paid for them.
    let back = told(&home, now, "invoice credit RCT-2026-000001 --reason unused", 0);
    assert_eq!(
        (&back["total"]["amount"], &back["taken_back"][0]["credits"]),
        (&json!("24.00"), &json!("20"))
    );
    // What corrects an invoice stands with it, and can be shown itself, as a receipt can.
    let invoice = told(&home, now, &format!("invoice show {number}"), 0);
    let notes = invoice["credit_notes"].as_array().unwrap();
    assert_eq!((notes.len(), &notes[0]["number"]), (1, &json!("CN-2026-000001")));
    assert_eq!(
        (&notes[0]["total"]["amount"], &notes[0]["reason"]),
        (&json!("12.00"), &json!("agreed"))
    );
    let shown = told(&home, now, "invoice show CN-2026-000001", 0);
    assert_eq!((&shown["kind"], &shown["corrects"]), (&json!("credit_note"), &json!(number)));
    assert_eq!(
        (&shown["total"], &shown["refunds"][0]["state"]),
        (&part["total"], &json!("succeeded"))
    );
    let receipt = told(&home, now, "invoice show RCT-2026-000001", 0);
    assert_eq!(
        (&receipt["kind"], &receipt["total"]["amount"]),
        (&json!("receipt"), &json!("24.00"))
    );
    for (number, words) in [
        (
            "CN-2026-000001",
            "for INV-2026-000001 of acme, issued on 2026-02-02: 12.00 USD with tax; the money has gone back",
        ),
        ("CN-2026-000002", "20 credits taken back"),
        ("RCT-2026-000001", "20 credits for 24.00 USD with tax"),
        ("INV-2026-000001", "credited 12.00 USD by CN-2026-000001 on 2026-02-02: agreed"),
    ] {
        let text = run(&home, now, &format!("invoice show {number}")).stdout;
        assert!(text.contains(words), "{text}");
    }
    // bolt's invoice is unpaid.
    let offset = told(&home, now, "invoice credit INV-2026-000002 --amount 5 --reason agreed", 0);
    assert_eq!(offset["settled"]["still_due"]["amount"], "40.00");
    for (words, code) in [
        (format!("invoice credit {number} --amount 10.00"), "usage"),
        (format!("invoice credit {number} --amount 39.01 --reason r"), "refused"),
        (format!("invoice credit {number} --amount 0 --reason r"), "refused"),
        (format!("invoice credit {number} --credits 5000 --reason r"), "refused"),
        ("invoice credit INV-2026-000099 --reason r".to_owned(), "not_found"),
        ("refund record CN-2026-000001 --reference b --reason r".to_owned(), "refused"),
        ("refund record CN-2026-000099 --reference b --reason r".to_owned(), "not_found"),
        ("refund record CN-2026-000001 --reference b".to_owned(), "usage"),
    ] {
        assert_eq!(fails(&home, now, &words).0, code, "{words}");
    }
    // Paid by transfer, it goes back by transfer.
    told(&home, now, "payment record INV-2026-000002 --reference b1 --reason arrived", 0);
    let note = told(&home, now, "invoice credit INV-2026-000002 --reason agreed", 0);
    let issued = note["credit_note"].as_str().unwrap();
    assert_eq!((issued, &note["settled"]["by"]), ("CN-2026-000004", &json!("transfer")));
    let words = format!("refund record {issued} --reference b2 --reason sent");
    assert_eq!(told(&home, now, &words, 0), json!({"credit_note": issued, "refund": "succeeded"}));
    assert_eq!(fails(&home, now, &words).0, "refused");
    assert_eq!(run(&home, now, "verify").code, 0);
}

// Issued, but its file cannot be written: a result, and 1.
#[test]
fn a_credit_note_whose_document_waits_is_trouble() {
    let home = paid();
    std::fs::create_dir(home.path().join("documents/2026-01/CN-2026-000001.pdf")).unwrap();
    let words = "invoice credit INV-2026-000001 --amount 1 --reason agreed";
    let issued = told(&home, "2026-02-02", words, 1);
    assert_eq!((&issued["credit_note"], &issued["pdf"]), (&json!("CN-2026-000001"), &Value::Null));
    // That is its own trouble, and nobody else's.
    told(&home, "2026-02-02", "payment record INV-2026-000002 --reference b --reason arrived", 0);
}

// The wrong invoice's transfer is taken back; where a reference is recorded twice, both are told.
#[test]
fn a_transfer_is_taken_back() {
    let home = paid();
    assert_eq!(home.run("2026-03-01T03:00:00Z", "tick").code, 0);
    let now = "2026-03-02";
    let listed = told(&home, now, "invoice list --org bolt", 0);
    let numbers: Vec<&str> =
        list(&listed, "invoices").iter().map(|row| row["number"].as_str().unwrap()).collect();
    assert_eq!((numbers.len(), numbers[0]), (2, "INV-2026-000002"));
    let reverse = "payment reverse INV-2026-000002 --reason wrong";
    assert_eq!(fails(&home, now, reverse).0, "refused");
    assert_eq!(fails(&home, now, "payment reverse INV-2026-000009 --reason wrong").0, "not_found");
    let record = |number: &str| {
        let words = format!("payment record {number} --reference b1 --reason arrived");
        told(&home, now, &words, 0)
    };
    assert_eq!(record("INV-2026-000002")["same_reference"], json!([]));
    assert_eq!(record(numbers[1])["same_reference"], json!(["INV-2026-000002"]));
    let text = run(&home, now, "invoice show INV-2026-000002").stdout;
    assert!(text.contains("paid since 45.00 EUR") && !text.contains("taken back"), "{text}");
    let answer = told(&home, now, reverse, 0);
    assert_eq!((&answer["status"], &answer["payment_status"]), (&json!("issued"), &json!("due")));
    let text = run(&home, now, "invoice show INV-2026-000002").stdout;
    assert!(
        !text.contains("paid since") && text.contains("(b1), taken back at 2026-03-02"),
        "{text}"
    );
    let shown = told(&home, now, "invoice show INV-2026-000002", 0);
    assert_eq!(shown["payments"][0]["state"], "reversed");
    assert!(shown["payments"][0]["reversed_at"].is_string(), "{shown}");
    let all = told(&home, now, "payment list --org bolt", 0);
    assert!(list(&all, "payments").iter().any(|payment| payment["state"] == "reversed"), "{all}");
    assert_eq!(run(&home, now, "verify").code, 0);
}

#[test]
fn a_reason_has_words_everywhere() {
    let home = paid();
    for words in [
        "method add bolt pm_sandbox_ok",
        "method remove bolt pm_sandbox_declined",
        "recharge set acme --below 1 --package small --monthly-limit 500",
        "recharge off acme",
        "invoice credit INV-2026-000001",
        "refund record CN-2026-000001 --reference b",
        "payment record INV-2026-000002 --reference b",
        "payment reverse INV-2026-000002",
        "payment void INV-2026-000002",
    ] {
        for reason in ["", " ", "\t\n"] {
            let mut given = vec!["--json"];
            given.extend(words.split(' '));
            given.extend(["--reason", reason]);
            assert_eq!(home.run_with("2026-02-02", &given, "").error().0, "usage", "{words}");
        }
    }
}

#[test]
fn payments_and_history_are_listed() {
    let home = paid();
    let now = "2026-02-02";
    told(&home, now, "payment record INV-2026-000002 --reference b1 --reason arrived", 0);
    told(&home, now, "invoice credit INV-2026-000001 --amount 10.00 --reason agreed", 0);
    let all = told(&home, now, "payments list", 0);
    assert_eq!(all, told(&home, now, "payment list", 0));
    for payment in list(&all, "payments") {
        has(
            payment,
            &[
                ("payment", &[Kind::Text]),
                ("organization", &[Kind::Text]),
                ("at", &[Kind::Instant]),
                ("reference", &[Kind::Text]),
                ("attempt", &[Kind::Count, Kind::Null]),
                ("amount", &[Kind::Money]),
                ("method", &[Kind::Text]),
                ("state", &[Kind::Text]),
                ("provider_id", &[Kind::Text, Kind::Null]),
                ("message", &[Kind::Text, Kind::Null]),
            ],
        );
    }
    // Latest first: the transfer, bolt's decline and acme's charge, the purchase.
    let mut states: Vec<_> =
        list(&all, "payments").iter().map(|p| p["state"].as_str().unwrap()).collect();
    assert_eq!((states[0], states[3]), ("received", "succeeded"));
    states.sort_unstable();
    assert_eq!(states, ["declined", "received", "succeeded", "succeeded"]);
    assert_eq!(list(&told(&home, now, "payments list --org bolt", 0), "payments").len(), 2);
    assert_eq!(list(&told(&home, now, "payments list --limit 1", 0), "payments").len(), 1);
    assert_eq!(fails(&home, now, "payments list --org nobody").0, "not_found");
    let history = told(&home, now, "history acme", 0);
    for entry in list(&history, "entries") {
        has(
            entry,
            &[
                ("at", &[Kind::Instant]),
                ("kind", &[Kind::Text]),
                ("id", &[Kind::Text]),
                ("number", &[Kind::Text, Kind::Null]),
                ("amount", &[Kind::Money, Kind::Null]),
                ("credits", &[Kind::Credits, Kind::Null]),
                ("status", &[Kind::Text]),
                ("by", &[Kind::Text, Kind::Null]),
                ("pdf", &[Kind::Text, Kind::Null]),
            ],
        );
    }
    let mut kinds: Vec<_> =
        list(&history, "entries").iter().map(|e| e["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    let expected = [
        "charge",
        "charge",
        "credit_note",
        "grant",
        "grant",
        "grant",
        "invoice",
        "purchase",
        "receipt",
        "refund",
    ];
    assert_eq!(kinds, expected);
    let at: Vec<_> = list(&history, "entries").iter().map(|e| e["at"].as_str().unwrap()).collect();
    assert!(at.is_sorted(), "{at:?}");
    assert_eq!(history["recurring"]["plan"], "Standard");
    assert_eq!(fails(&home, now, "history nobody").0, "not_found");
    for words in ["payments list", "history acme", "history cora"] {
        assert_eq!(run(&home, now, words).code, 0, "{words}");
    }
}
