//! `usage import`, `usage quarantine`.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::home::{Home, THREE};
use super::shape::{Kind, has};

const CSV: &str = "id,organization,at,meter,project,cells,executions\n\
                   1,acme,2026-01-10T10:00:00Z,dynamic_column,p1,50,\n\
                   2,acme,2026-01-10T10:00:00Z,log,p1,,50\n";
const NDJSON: &str = "{\"specversion\":\"1.0\",\"id\":\"3\",\"source\":\"/app\",\"time\":\"2026-01-10T10:00:00Z\",\
                      \"type\":\"dynamic_column\",\"subject\":\"acme\",\"data\":{\"cells\":7,\"project\":\"p1\"}}\n";

fn totals(value: &Value) -> (u64, u64, u64, &str) {
    let count = |name: &str| value[name].as_u64().unwrap();
    let credits = value["credits"].as_str().unwrap();
    (count("accepted"), count("duplicates"), count("quarantined"), credits)
}

#[test]
fn csv_and_cloud_events_are_told_apart_by_content() {
    let home = Home::with(THREE);
    // The names lie.
    home.write("u.ndjson", CSV);
    home.write("u.csv", NDJSON);
    let both = home.json("2026-01-11", "usage import u.ndjson u.csv", 0);
    has(&both, &[("credits", &[Kind::Credits])]);
    assert_eq!(totals(&both), (3, 0, 0, "57"));
    // The same again is counted, not charged.
    let again = home.json("2026-01-11", "usage import u.ndjson u.csv", 0);
    assert_eq!(totals(&again), (0, 3, 0, "0"));
    let balance = home.json("2026-01-11", "credits balance acme", 0);
    assert_eq!(balance["available"], "943");
}

#[test]
fn stdin_is_a_file_too() {
    let home = Home::with(THREE);
    for (text, accepted) in [(CSV, 2), (NDJSON, 1), ("\u{FEFF}id,organization,at,meter\n", 0)] {
        let answer = home.run_with("2026-01-11", &["--json", "usage", "import", "-"], text);
        assert_eq!((answer.code, answer.json()["accepted"].as_u64().unwrap()), (0, accepted));
    }
    let shown = home.run_with("2026-01-11", &["usage", "import", "-"], CSV);
    assert!(shown.stdout.contains("2 duplicates"), "{shown:?}");
}

// A rate, a meter or an organization that is missing sets the row aside; it is never priced at zero.
#[test]
fn what_cannot_be_priced_waits_and_is_retried() {
    let home = Home::with(THREE);
    let rows = "1,acme,2026-01-10T10:00:00Z,prompt,1,\n\
                2,acme,2026-01-10T10:00:00Z,teleport,1,\n\
                3,dora,2026-01-10T10:00:00Z,prompt,1,\n\
                4,acme,2026-01-10T10:00:00Z,prompt,1,5\n";
    home.write("u.csv", format!("id,organization,at,meter,executions,tokens\n{rows}"));
    let answer = home.json("2026-01-11", "usage import u.csv", 1);
    assert_eq!(totals(&answer), (1, 0, 3, "1"));
    let listed = home.json("2026-01-11", "usage quarantine list", 0);
    let rows = listed["rows"].as_array().unwrap();
    let of = |line: u64| rows.iter().find(|row| row["line"] == line).unwrap();
    for row in rows {
        has(row, &[("line", &[Kind::Count]), ("reason", &[Kind::Text]), ("file", &[Kind::Text])]);
        assert_eq!(row["file"], "u.csv");
    }
    for (line, word) in [(3, "teleport"), (4, "organization"), (5, "tokens")] {
        assert!(of(line)["reason"].as_str().unwrap().contains(word), "{}", of(line));
    }
    assert!(home.run("2026-01-11", "usage quarantine list").stdout.contains("teleport"));
    // The causes are mended one after the other.
    let dora = "dora,Dora,d@d.example,standard,2026-01-01,,,,,,,,";
    home.import_organizations("2026-01-11", dora);
    assert_eq!(totals(&home.json("2026-01-11", "usage quarantine retry", 1)), (1, 0, 2, "1"));
    let text = home.read("catalog.toml");
    home.write(
        "catalog.toml",
        text + "\n[meters.teleport]\ndimensions = [\"executions\"]\n[[rates]]\nmeter = \"teleport\"\n\
                dimension = \"executions\"\ncredits = 30\n[[rates]]\nmeter = \"prompt\"\ndimension = \"tokens\"\ncredits = 2\n",
    );
    home.run("2026-01-11", "catalog apply");
    home.edit(
        "catalog.toml",
        "[meters.prompt]\ndimensions = [\"executions\"]",
        "[meters.prompt]\ndimensions = [\"executions\", \"tokens\"]",
    );
    assert_eq!(home.json("2026-01-11", "catalog apply", 0), json!({"version": 2}));
    assert_eq!(totals(&home.json("2026-01-11", "usage quarantine retry", 0)), (2, 0, 0, "41"));
    assert_eq!(home.json("2026-01-11", "usage quarantine list", 0)["rows"], json!([]));
    assert_eq!(totals(&home.json("2026-01-11", "usage quarantine retry", 0)), (0, 0, 0, "0"));
    assert_eq!(home.json("2026-01-11", "credits balance acme", 0)["available"], "958");
}

// What will never be accepted is taken off the list, with a reason, and is not billed.
#[test]
fn rows_that_never_fit_are_dismissed() {
    let home = Home::with(THREE);
    let rows = |ids: [u32; 3]| {
        ids.map(|id| format!("{id},acme,2026-01-10T10:00:00Z,teleport,1\n")).concat()
    };
    home.write("u.csv", format!("id,organization,at,meter,executions\n{}", rows([1, 2, 3])));
    home.write("v.csv", format!("id,organization,at,meter,executions\n{}", rows([4, 5, 6])));
    home.json("2026-01-11", "usage import u.csv v.csv", 1);
    let now = "2026-01-12";
    let listed = || {
        let listed = home.json(now, "usage quarantine list", 0);
        let file = |row: &serde_json::Value| row["file"].as_str().unwrap().to_owned();
        listed["rows"].as_array().unwrap().iter().map(file).collect::<Vec<_>>()
    };
    let first =
        home.json(now, "usage quarantine list", 0)["rows"][0]["id"].as_str().unwrap().to_owned();
    let dismiss = "usage quarantine dismiss";
    // All or none.
    assert_eq!(
        home.error(now, &format!("{dismiss} {first} qrn_none --reason test")).0,
        "not_found"
    );
    assert_eq!(home.error(now, &format!("{dismiss} --file w.csv --reason test")).0, "not_found");
    for words in ["--reason test", &format!("{first} --file v.csv --reason test"), &first] {
        assert_eq!(home.error(now, &format!("{dismiss} {words}")).0, "usage", "{words}");
    }
    assert_eq!(listed().len(), 6);
    let done = home.json(now, &format!("{dismiss} {first} {first} --reason test-row"), 0);
    assert_eq!(done, json!({"dismissed": 1, "organizations": ["acme"]}));
    assert_eq!(listed(), ["u.csv", "u.csv", "v.csv", "v.csv", "v.csv"]);
    // Another export of the same name, a day later: which one is meant?
    home.write("v.csv", format!("id,organization,at,meter,executions\n{}", rows([7, 8, 9])));
    home.json(now, "usage import v.csv", 1);
    let of_file = format!("{dismiss} --file v.csv --reason resent");
    let (code, told) = home.error(now, &of_file);
    assert_eq!(code, "refused");
    assert!(told.contains("2026-01-11: 3 rows, 2026-01-12: 3 rows"), "{told}");
    let other_day = format!("{of_file} --received-on 2026-01-13");
    assert_eq!(home.error(now, &other_day).0, "not_found");
    for day in ["2026-01-11", "2026-01-12"] {
        let done = home.json(now, &format!("{of_file} --received-on {day}"), 0);
        assert_eq!(done, json!({"dismissed": 3, "organizations": ["acme"]}));
    }
    assert_eq!(listed(), ["u.csv", "u.csv"]);
    let dismissed = home.json(now, "usage quarantine list --dismissed", 0);
    let why = |row: &serde_json::Value| row["dismissed"].as_str().unwrap().to_owned();
    let whys: Vec<String> = dismissed["rows"].as_array().unwrap().iter().map(why).collect();
    assert_eq!(whys.iter().filter(|why| *why == "resent").count(), 6);
    assert_eq!(whys.iter().filter(|why| *why == "test-row").count(), 1);
    assert_eq!(totals(&home.json(now, "usage quarantine retry", 1)), (0, 0, 2, "0"));
    assert_eq!(home.json(now, "credits balance acme", 0)["unbilled"], "0");
    assert_eq!(home.run(now, "verify").code, 0);
}

// S41, S55, S76: from an invoice's line to the event and the parts of its price.
#[test]
fn use_is_reported_and_listed() {
    let home = Home::with(THREE);
    home.write(
        "u.csv",
        "id,organization,at,meter,project,job,executions,minutes,gigabytes,gpu_hours\n\
         1,acme,2026-01-10T10:00:00Z,prompt,atlas,,50,,,\n\
         2,acme,2026-01-10T11:00:00Z,prompt,,,2,,,\n\
         3,acme,2026-01-11T10:00:00Z,compute_job,atlas,j7,,100,10,3\n\
         4,bolt,2026-01-11T10:00:00Z,prompt,atlas,,1,,,\n",
    );
    home.json("2026-01-12", "usage import u.csv", 0);
    let now = "2026-01-12";
    let report = |by: &str| home.json(now, &format!("usage report acme --cycle 2026-01{by}"), 0);
    // 100 minutes × 0.1 + 10 gigabytes × 0.5 + 3 hours × 12.
    assert_eq!(
        report(""),
        json!({"organization": "acme", "cycle": "2026-01", "by": ["meter"], "events": 3, "credits": "103", "rows": [
            {"meter": "compute_job", "events": 1, "credits": "51"}, {"meter": "prompt", "events": 2, "credits": "52"}]})
    );
    assert_eq!(
        report(" --by project,day")["rows"],
        json!([{"project": "", "day": "2026-01-10", "events": 1, "credits": "2"},
            {"project": "atlas", "day": "2026-01-10", "events": 1, "credits": "50"},
            {"project": "atlas", "day": "2026-01-11", "events": 1, "credits": "51"}])
    );
    let list = |more: &str| home.json(now, &format!("usage list acme --cycle 2026-01{more}"), 0);
    let ids = |listed: &serde_json::Value| {
        let id = |row: &serde_json::Value| row["id"].as_str().unwrap().to_owned();
        listed["rows"].as_array().unwrap().iter().map(id).collect::<Vec<_>>().concat()
    };
    let all = list("");
    assert_eq!(
        (ids(&all).as_str(), &all["events"], &all["credits"]),
        ("312", &json!(3), &json!("103"))
    );
    assert_eq!(all["rows"][0]["components"].as_array().unwrap().len(), 3);
    for (more, those) in [
        (" --limit 1", "3"),
        (" --meter prompt", "12"),
        (" --project atlas", "31"),
        (" --job j7", "3"),
        (" --day 2026-01-10", "12"),
        (" --day 2026-01-10 --project atlas", "1"),
        (" --model none", ""),
    ] {
        assert_eq!(ids(&list(more)), those, "{more}");
    }
    let text = home.run(now, "usage list acme --cycle 2026-01 --limit 1").stdout;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(text.lines().nth(1).unwrap())[3..],
        ["51", "10", "gigabytes", "0.5"],
        "{text}"
    );
    assert_eq!(words(text.lines().nth(2).unwrap()), ["3", "gpu_hours", "12"], "{text}");
    assert!(text.contains("3 events, 103 credits; 2 are not shown"), "{text}");
    assert!(home.run(now, "usage report acme --cycle 2026-01 --by day").stdout.contains("total"));
    assert_eq!(home.error(now, "usage report acme --cycle 2026-01 --by moon").0, "usage");
    assert_eq!(home.error(now, "usage list nobody --cycle 2026-01").0, "not_found");
}

// An id is used once: another content under it is no event and no duplicate.
#[test]
fn an_id_with_other_content_is_set_aside() {
    let home = Home::with(THREE);
    home.write("u.csv", CSV);
    home.json("2026-01-11", "usage import u.csv", 0);
    home.edit("u.csv", "p1,50,", "p1,51,");
    assert_eq!(totals(&home.json("2026-01-11", "usage import u.csv", 1)), (0, 1, 1, "0"));
    assert_eq!(home.json("2026-01-11", "credits balance acme", 0)["available"], "950");
}

// F46: from 62 days back to 5 minutes ahead.
#[test]
fn the_future_and_the_distant_past_are_set_aside() {
    let home = Home::new();
    let old = "acme,Acme,a@a.example,professional,2025-01-01,,,,,,,,";
    home.import_organizations("2025-01-01", old);
    let times = [
        ("2026-03-05T00:05:00Z", true),
        ("2026-03-05T00:05:01Z", false),
        ("2026-01-02T00:00:00Z", true),
        ("2026-01-01T23:59:59Z", false),
        ("2026-03-04T23:59:60Z", true),
        ("1969-12-31T00:00:00Z", false),
        ("9999-12-31T23:59:59Z", false),
        ("2026-03-04T12:00:00+05:30", true),
        ("2026-03-04T12:00:00.123456789Z", true),
        ("2026-02-30T12:00:00Z", false),
        ("2026-03-04 12:00", false),
        ("yesterday", false),
        ("", false),
    ];
    for (number, (at, good)) in times.iter().enumerate() {
        let text = format!("id,organization,at,meter,executions\n{number},acme,{at},prompt,1\n");
        let answer = home.run_with("2026-03-05", &["--json", "usage", "import", "-"], &text);
        // F47: a leap second is taken or refused, never a panic.
        let value = answer.json();
        if *at != "2026-03-04T23:59:60Z" {
            assert_eq!(value["accepted"], u64::from(*good), "{at}: {value}");
            assert_eq!(answer.code, i32::from(!good), "{at}: {value}");
        }
        assert_eq!(totals(&value).0 + totals(&value).2, 1, "{at}: {value}");
    }
}

// Every row of a file is accounted for, in files larger than one transaction.
#[test]
fn every_row_ends_somewhere() {
    let home = Home::with(THREE);
    let mut text = "id,organization,at,meter,executions\n".to_owned();
    for number in 0..4_500 {
        let quantity = if number % 1_000 == 999 { "x" } else { "0.25" };
        let id = if number % 1_000 == 500 { 0 } else { number };
        writeln!(text, "e{id},acme,2026-01-10T10:00:00Z,prompt,{quantity}").unwrap();
    }
    home.write("big.csv", &text);
    let first = home.json("2026-01-11", "usage import big.csv", 1);
    assert_eq!(totals(&first), (4_492, 4, 4, "1123"));
    let again = home.json("2026-01-11", "usage import big.csv", 1);
    assert_eq!(totals(&again), (0, 4_496, 4, "0"));
    let listed = home.json("2026-01-11", "usage quarantine list", 0);
    assert_eq!(listed["rows"].as_array().unwrap().len(), 4, "the same row is not set aside twice");
    let balance = home.json("2026-01-11", "credits balance acme", 0);
    assert_eq!((&balance["available"], &balance["unbilled"]), (&json!("-123"), &json!("1123")));
}

// A row that lay in the future, imported again once its time had come, was billed and still called set aside.
#[test]
fn rows_that_arrive_after_all_leave_the_list() {
    let home = Home::with(THREE);
    let row = "1,acme,2026-01-10T12:00:00Z,prompt,1\n";
    home.write("u.csv", format!("id,organization,at,meter,executions\n{row}"));
    home.json("2026-01-10T10:00:00Z", "usage import u.csv", 1);
    let listed = |now: &str| {
        let listed = home.json(now, "usage quarantine list", 0);
        listed["rows"].as_array().unwrap().len()
    };
    assert_eq!(listed("2026-01-10T10:00:00Z"), 1);
    home.json("2026-01-10T13:00:00Z", "usage import u.csv", 0);
    assert_eq!(listed("2026-01-10T13:00:00Z"), 0);
    assert_eq!(
        home.json("2026-01-10T13:00:00Z", "usage quarantine list --dismissed", 0)["rows"],
        json!([])
    );
}
