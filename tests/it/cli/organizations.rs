//! `org import`, `org list`, `org show`.

use serde_json::json;

use super::home::{COLUMNS, Home, THREE};
use super::shape::{Kind, has};

#[test]
fn import_creates_then_updates() {
    let home = Home::new();
    home.write("o.csv", format!("{COLUMNS}\n{THREE}\n"));
    let first = home.json("2026-01-01", "org import o.csv", 0);
    assert_eq!(first, json!({"created": 3, "updated": 0, "rejected": []}));
    let again = home.json("2026-01-01", "org import o.csv", 0);
    assert_eq!(again, json!({"created": 0, "updated": 3, "rejected": []}));
    home.edit("o.csv", "Acme Corp", "Acme Holding");
    home.edit("o.csv", "billing@acme.example", "a@acme.example;b@acme.example");
    home.json("2026-01-01", "org import o.csv", 0);
    let acme = home.json("2026-01-01", "org show acme", 0);
    assert_eq!(acme["name"], "Acme Holding");
    assert_eq!(acme["billing_emails"], json!(["a@acme.example", "b@acme.example"]));
}

#[test]
fn stdin_a_byte_order_mark_and_any_order_of_columns_are_fine() {
    let home = Home::new();
    let text = "\u{FEFF}plan,joined_on,billing_email,name,id\r\n\
                standard,2026-01-01,a@b.example,\"Acme, \"\"The\"\" Corp\",acme\r\n";
    let answer = home.run_with("2026-01-01", &["--json", "org", "import", "-"], text);
    assert_eq!(answer.json()["created"], 1);
    assert_eq!(home.json("2026-01-01", "org show acme", 0)["name"], "Acme, \"The\" Corp");
}

// One bad row never stops the others; each has its line, its field and what is allowed.
#[test]
fn bad_rows_are_listed_and_the_others_taken() {
    let home = Home::new();
    let rows = "good,Good,g@g.example,standard,2026-01-01,,,,,,,,\n\
                Bad Id,Bad,b@b.example,standard,2026-01-01,,,,,,,,\n\
                \"two\",\"Two\nlines\",t@t.example,standard,2026-01-01,,,,,,,,\n\
                late,Late,l@l.example,gold,2026-01-01,,,,,,,,";
    home.write("o.csv", format!("{COLUMNS}\n{rows}\n"));
    let answer = home.json("2026-01-01", "org import o.csv", 1);
    assert_eq!((&answer["created"], &answer["updated"]), (&json!(2), &json!(0)));
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 2);
    for (row, line, part) in [(&rejected[0], 3, "a-z"), (&rejected[1], 6, "plan")] {
        has(row, &[("line", &[Kind::Count]), ("reason", &[Kind::Text])]);
        assert_eq!(row["line"], line, "{row}");
        assert!(row["reason"].as_str().unwrap().contains(part), "{row}");
    }
    let shown = home.run("2026-01-01", "org import o.csv");
    assert_eq!(shown.code, 1);
    assert!(shown.stdout.contains("o.csv, line 3: id:"), "{shown:?}");
}

// What closed cycles rest on cannot be changed by an import.
#[test]
fn zone_currency_and_joining_stay() {
    let home = Home::with(THREE);
    for (from, to) in [
        ("Asia/Tokyo", "Asia/Seoul"),
        ("2026-01-01,EUR", "2026-01-01,GBP"),
        ("starter,2026-01-01", "starter,2026-01-02"),
    ] {
        assert!(THREE.contains(from));
        home.write("o.csv", format!("{COLUMNS}\n{}\n", THREE.replace(from, to)));
        let answer = home.json("2026-01-02", "org import o.csv", 1);
        assert_eq!(answer["rejected"].as_array().unwrap().len(), 1, "{answer}");
        assert_eq!(answer["updated"], 2, "{answer}");
    }
    assert_eq!(home.json("2026-01-02", "org show cora", 0)["zone"], "Asia/Tokyo");
}

#[test]
fn an_id_given_twice_in_a_file_counts_once() {
    let home = Home::new();
    let row = "acme,Acme,a@a.example,standard,2026-01-01,,,,,,,,";
    home.write("o.csv", format!("{COLUMNS}\n{row}\n{}\n", row.replace("Acme", "Other")));
    let answer = home.json("2026-01-01", "org import o.csv", 1);
    assert_eq!(answer["created"], 1);
    assert_eq!(answer["rejected"][0]["line"], 3);
    assert_eq!(home.json("2026-01-01", "org show acme", 0)["name"], "Acme");
}

#[test]
fn list_and_show_have_the_contracts_shape() {
    let home = Home::with(THREE);
    let list = home.json("2026-01-02", "org list", 0);
    let keys: [(&str, &[Kind]); 4] = [
        ("id", &[Kind::Text]),
        ("name", &[Kind::Text]),
        ("plan", &[Kind::Text]),
        ("state", &[Kind::Text]),
    ];
    for row in list["organizations"].as_array().unwrap() {
        has(row, &keys);
    }
    let show = home.json("2026-01-02", "org show cora", 0);
    has(&show, &keys);
    assert_eq!(
        (&show["id"], &show["plan"], &show["state"]),
        (&json!("cora"), &json!("starter"), &json!("active"))
    );
    let (code, message) = home.error("2026-01-02", "org show nobody");
    assert_eq!(code, "not_found");
    assert!(message.contains("nobody") && message.contains("org list"), "{message}");
    let text = home.run("2026-01-02", "org show cora").stdout;
    assert!(text.contains("own terms       none") && !text.contains('{'), "{text}");
    let table = home.run("2026-01-02", "org list").stdout;
    for word in ["acme", "Acme Corp", "standard", "active"] {
        assert!(table.contains(word), "{table}");
    }
}

// S49, S50: out of credits, paused; credits come, active again.
#[test]
fn out_of_credits_is_paused_until_more_come() {
    let home = Home::with(THREE);
    home.use_credits("2026-01-10", &[("cora", "2026-01-09", "dynamic_column", "cells", "500")]);
    let state = || home.json("2026-01-10", "org show cora", 0)["state"].clone();
    let listed = || {
        let list = home.json("2026-01-10", "org list", 0);
        list["organizations"].as_array().unwrap()[2]["state"].clone()
    };
    assert_eq!((state(), listed()), (json!("paused"), json!("paused")));
    home.json("2026-01-10", "credits grant cora 1 --reason goodwill", 0);
    assert_eq!((state(), listed()), (json!("active"), json!("active")));
}
