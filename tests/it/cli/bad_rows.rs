//! Mistakes in organizations and usage files: the row, its line, its field, what is allowed.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use serde_json::Value;

use super::home::{COLUMNS, Home, THREE};

const ALL: &str = "id,name,billing_email,plan,joined_on,zone,currency,country,address,tax_id,\
                   tax_percent,language,payment_method,allowance,rollover_cycles,rollover_cap,fee,\
                   overage_price";

/// A good row with one cell exchanged.
fn row(field: &str, value: &str) -> String {
    let good = [
        ("id", "acme"),
        ("name", "Acme"),
        ("billing_email", "a@acme.example"),
        ("plan", "standard"),
        ("joined_on", "2026-01-01"),
    ];
    let cell = |name: &str| {
        let good = good.iter().find(|(known, _)| *known == name).map_or("", |(_, cell)| cell);
        let text = if name == field { value } else { good };
        format!("\"{}\"", text.replace('"', "\"\""))
    };
    ALL.split(',').map(cell).collect::<Vec<_>>().join(",")
}

/// The row with this cell is rejected, with a reason that names the field; the row after it is taken.
#[track_caller]
fn rejects(home: &Home, field: &str, value: &str, allowed: &str) {
    let other = row("id", "other");
    home.write("o.csv", format!("{ALL}\n{}\n{other}\n", row(field, value)));
    let answer = home.json("2026-01-01", "org import o.csv", 1);
    let taken = answer["created"].as_u64().unwrap() + answer["updated"].as_u64().unwrap();
    assert_eq!(taken, 1, "{field} {value:?}: {answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 1, "{field} {value:?}: {answer}");
    assert_eq!(rejected[0]["line"], 2, "{answer}");
    let reason = rejected[0]["reason"].as_str().unwrap();
    let field = if value == "CHF" { "plan" } else { field };
    assert!(reason.starts_with(&format!("{field}: ")), "{value:?}: {reason}");
    assert!(reason.contains(allowed), "{field} {value:?}: {reason}");
}

// Each bad cell rejects its row, names line and field, says what is allowed; the next row is taken.
#[test]
fn a_bad_cell_rejects_its_row_alone() {
    let home = Home::new();
    let long = "x".repeat(64);
    let far = format!("{}@b.example", "x".repeat(300));
    let cases: [(&str, &str, &str); 54] = [
        ("id", "", "blank"),
        ("id", "Acme", "a-z"),
        ("id", "../etc/passwd", "a-z"),
        ("id", "a/b", "a-z"),
        ("id", "-a", "a-z"),
        ("id", ".", "a-z"),
        ("id", "a b", "a-z"),
        ("id", "ä", "a-z"),
        ("id", &long, "63"),
        ("name", "", "blank"),
        ("name", "\u{202E}\u{0}", "shown"),
        ("billing_email", "", "blank"),
        ("billing_email", "nobody", "mail address"),
        ("billing_email", "a@b@c.example", "mail address"),
        ("billing_email", "a b@c.example", "mail address"),
        ("billing_email", "a@c.example\r\nBcc: x@y.z", "mail address"),
        ("billing_email", "a@c.example;;nobody", "mail address"),
        ("billing_email", &far, "mail address"),
        ("plan", "", "blank"),
        ("plan", "gold", "standard"),
        ("plan", "../x", "plan"),
        ("joined_on", "", "blank"),
        ("joined_on", "2026-02-30", "YYYY-MM-DD"),
        ("joined_on", "01.02.2026", "YYYY-MM-DD"),
        ("joined_on", "2026-1-1", "YYYY-MM-DD"),
        ("joined_on", "0001-01-01", "1970"),
        ("zone", "Mars/Base", "IANA"),
        ("zone", "+02:00", "IANA"),
        ("currency", "XYZ", "ISO 4217"),
        ("currency", "usd", "ISO 4217"),
        ("currency", "CHF", "CHF"),
        ("tax_percent", "-1", "0 to 100"),
        ("tax_percent", "101", "0 to 100"),
        ("tax_percent", "20%", "0 to 100"),
        ("tax_percent", "NaN", "0 to 100"),
        ("language", "english please", "language tag"),
        ("payment_method", "4111 1111 1111 1111", "card number"),
        ("payment_method", "4111-1111-1111-1111", "card number"),
        ("payment_method", "pm$x", "token"),
        ("payment_method", "pm x", "token"),
        ("allowance", "-1", "below zero"),
        ("allowance", "1e3", "decimal"),
        ("allowance", "1,000", "decimal"),
        ("allowance", "99999999999999", "billion"),
        ("allowance", "0.0000000001", "9 decimals"),
        ("rollover_cycles", "-1", "never"),
        ("rollover_cycles", "1.5", "never"),
        ("rollover_cycles", "1201", "1200"),
        ("rollover_cap", "half", "50%"),
        ("rollover_cap", "-5%", "50%"),
        ("fee", "49.001", "2 decimals"),
        ("fee", "-1", "below zero"),
        ("overage_price", "cheap", "cheap"),
        ("overage_price", "-0.01", "below zero"),
    ];
    for (field, value, allowed) in cases {
        rejects(&home, field, value, allowed);
    }
    let all = home.json("2026-01-01", "org list", 0);
    assert_eq!(all["organizations"].as_array().unwrap().len(), 1, "nothing half-applied");
}

#[test]
fn what_is_no_organizations_file_is_refused_as_a_whole() {
    let home = Home::with(THREE);
    let good = row("id", "other");
    let cases: [(&str, &[&str]); 6] = [
        ("", &["empty", "billing_email"]),
        ("hello\n", &["hello", "billing_email"]),
        ("id,name,plan,joined_on\n", &["billing_email"]),
        ("id,id,name,billing_email,plan,joined_on\n", &["id", "twice"]),
        ("id,name,billing_email,plan,joined_on,colour\n", &["colour", "zone"]),
        ("{\"id\": \"acme\"}\n", &["billing_email"]),
    ];
    for (head, parts) in cases {
        let body = if head.is_empty() { "" } else { good.as_str() };
        home.write("o.csv", format!("{head}{body}"));
        let answer = home.run("2026-01-01", "org import o.csv");
        answer.refuses(&["o.csv"]);
        answer.refuses(parts);
    }
    home.run("2026-01-01", "org import -").refuses(&["stdin", "empty"]);
    home.run("2026-01-01", "org import none.csv").refuses(&["none.csv", "No such file"]);
    home.run("2026-01-01", "org import documents").refuses(&["documents", "directory"]);
    let all = home.json("2026-01-01", "org list", 0);
    assert_eq!(all["organizations"].as_array().unwrap().len(), 3);
}

// Too few cells, too many, an open quotation mark, bytes that are no text.
#[test]
fn torn_rows_are_rejected_alone() {
    let home = Home::new();
    let torn: [&[u8]; 4] = [
        b"short,Short",
        b"a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p",
        b"x\"y,\"Z\"z,,,",
        b"bin\xFF,B,b@b.example,standard,2026-01-01,,,,,,,,",
    ];
    for bytes in torn {
        let mut text = format!("{COLUMNS}\n").into_bytes();
        text.extend(bytes);
        text.extend(b"\nother,Other,o@o.example,standard,2026-01-01,,,,,,,,\n");
        home.write("o.csv", &text);
        let answer = home.json("2026-01-01", "org import o.csv", 1);
        assert_eq!(answer["rejected"].as_array().unwrap().len(), 1, "{answer}");
        assert_eq!(answer["rejected"][0]["line"], 2, "{answer}");
    }
    let open = format!(
        "{COLUMNS}\nopen,\"Open,o@o.example,standard,2026-01-01,,,,,,,,\nlost,Lost,l@l.example,standard,2026-01-01,,,,,,,,\n"
    );
    home.write("o.csv", open);
    let answer = home.json("2026-01-01", "org import o.csv", 1);
    let reason = answer["rejected"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("quotation mark") && reason.contains("lines 2 to 3"), "{reason}");
}

fn import(home: &Home, text: &str) -> Value {
    let answer = home.run_with("2026-01-11", &["--json", "usage", "import", "-"], text);
    assert_eq!(answer.code, 1, "{text:?}: {answer:?}");
    answer.json()
}

/// One row set aside with a reason that has all parts; the other one taken.
fn set_aside(home: &Home, text: &str, line: u64, parts: &[&str]) {
    let answer = import(home, text);
    let taken = answer["accepted"].as_u64().unwrap() + answer["duplicates"].as_u64().unwrap();
    assert_eq!((&answer["quarantined"], taken), (&Value::from(1), 1), "{text:?}: {answer}");
    let row = &answer["rows"][0];
    assert_eq!((&row["line"], &row["file"]), (&line.into(), &"stdin".into()), "{answer}");
    for part in parts {
        assert!(row["reason"].as_str().unwrap().contains(part), "{part:?}: {answer}");
    }
}

#[test]
fn a_bad_usage_row_is_set_aside_alone() {
    let home = Home::with(THREE);
    let head = "id,organization,at,meter,executions\n";
    let good = "good,acme,2026-01-10T00:00:00Z,prompt,1\n";
    let cases: [(&str, &[&str]); 17] = [
        (",acme,2026-01-10T00:00:00Z,prompt,1", &["id"]),
        ("1,,2026-01-10T00:00:00Z,prompt,1", &["organization"]),
        ("1,../etc,2026-01-10T00:00:00Z,prompt,1", &["organization", "a-z"]),
        ("1,dora,2026-01-10T00:00:00Z,prompt,1", &["organization", "dora", "org import"]),
        ("1,acme,,prompt,1", &["at"]),
        ("1,acme,10.01.2026,prompt,1", &["at", "RFC 3339"]),
        ("1,acme,2026-01-10T25:00:00Z,prompt,1", &["at"]),
        ("1,acme,2026-01-10T00:00:00Z,,1", &["meter"]),
        ("1,acme,2026-01-10T00:00:00Z,teleport,1", &["meter", "teleport"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,-1", &["executions", "below zero"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,1e3000", &["executions"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,NaN", &["executions", "NaN"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,\"1,000\"", &["executions"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,99999999999999999999999999999999", &["executions"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt", &["cells", "header"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,1,2,3", &["cells", "header"]),
        ("1,acme,2026-01-10T00:00:00Z,prompt,\"1", &["quotation mark"]),
    ];
    for (row, parts) in cases {
        set_aside(&home, &format!("{head}{good}{row}\n"), 3, parts);
    }
    assert_eq!(home.json("2026-01-11", "credits balance acme", 0)["unbilled"], "1");
}

#[test]
fn a_bad_cloud_event_is_set_aside_alone() {
    let home = Home::with(THREE);
    let good = "{\"specversion\":\"1.0\",\"id\":\"e\",\"source\":\"s\",\"time\":\"2026-01-10T00:00:00Z\",\
                \"type\":\"prompt\",\"subject\":\"acme\",\"data\":{\"executions\":1}}";
    let cases: [(&str, &str, &[&str]); 13] = [
        ("\"1.0\"", "\"0.3\"", &["specversion", "1.0"]),
        ("\"specversion\":\"1.0\",", "", &["specversion"]),
        ("\"id\":\"e\",", "", &["id"]),
        ("\"id\":\"e\"", "\"id\":5", &["id"]),
        ("\"source\":\"s\",", "", &["source"]),
        ("2026-01-10T00:00:00Z", "noon", &["time", "RFC 3339"]),
        ("\"subject\":\"acme\",", "", &["subject"]),
        ("\"acme\"", "\"dora\"", &["organization", "dora"]),
        ("\"prompt\"", "\"teleport\"", &["meter", "teleport"]),
        ("{\"executions\":1}", "{\"executions\":-1}", &["executions", "below zero"]),
        ("{\"executions\":1}", "{\"executions\":[1]}", &["executions"]),
        ("{\"executions\":1}", "7", &["data"]),
        ("}}", "}", &["JSON"]),
    ];
    for (from, to, parts) in cases {
        assert!(good.contains(from), "{from}");
        let bad = good.replacen(from, to, 1);
        set_aside(&home, &format!("{good}\n\n{bad}\n"), 3, parts);
    }
    assert_eq!(home.json("2026-01-11", "credits balance acme", 0)["unbilled"], "1");
}

#[test]
fn what_is_no_usage_file_is_refused_as_a_whole() {
    let home = Home::with(THREE);
    let cases: [(&str, &[&str]); 6] = [
        ("", &["empty", "CSV", "CloudEvents"]),
        ("\n\n", &["empty"]),
        ("[{\"id\":\"1\"}]\n", &["array"]),
        ("hello world\n", &["line 1"]),
        ("id,organization,at\n", &["line 1", "meter"]),
        ("id,id,organization,at,meter\n", &["line 1", "id"]),
    ];
    for (text, parts) in cases {
        home.write("u.csv", text);
        let answer = home.run("2026-01-11", "usage import u.csv");
        answer.refuses(&["u.csv"]);
        answer.refuses(parts);
    }
    home.run("2026-01-11", "usage import none.csv").refuses(&["none.csv", "No such file"]);
    home.run("2026-01-11", "usage import outbox").refuses(&["outbox", "directory"]);
    assert_eq!(home.json("2026-01-11", "usage quarantine list", 0)["rows"], serde_json::json!([]));
}
