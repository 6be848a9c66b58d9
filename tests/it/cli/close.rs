//! `tick`, `job`, `run`: what is due is done, once; what is missed is made up for.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use serde_json::{Value, json};

use super::home::{Home, THREE};
use super::shape::{Kind, has};

const TICK: [(&str, &[Kind]); 6] = [
    ("run", &[Kind::Text, Kind::Null]),
    ("job", &[Kind::Text]),
    ("cycle", &[Kind::Cycle, Kind::Null]),
    ("due_at", &[Kind::Instant]),
    ("state", &[Kind::Text]),
    ("steps", &[Kind::Object]),
];

fn runs(value: &Value) -> Vec<Value> {
    let runs = value["runs"].as_array().unwrap().clone();
    for run in &runs {
        has(run, &TICK);
        let counts: [(&str, &[Kind]); 3] =
            [("done", &[Kind::Count]), ("parked", &[Kind::Count]), ("waiting", &[Kind::Count])];
        has(&run["steps"], &counts);
    }
    runs
}

fn numbers(home: &Home, now: &str) -> Vec<String> {
    let list = home.json(now, "invoice list", 0);
    let mut numbers: Vec<String> = list["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|invoice| invoice["number"].as_str().unwrap().to_owned())
        .collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn a_tick_does_what_is_due_once() {
    let home = Home::with(THREE);
    assert_eq!(home.json("2026-01-31", "tick", 0), json!({"runs": []}));
    // Grace: two hours after the end of the cycle, in each organization's zone.
    assert_eq!(home.json("2026-02-01T01:59:59Z", "job due", 0)["due"].as_array().unwrap().len(), 1);
    let due = home.json("2026-02-01T03:00:00Z", "job due", 0);
    for row in due["due"].as_array().unwrap() {
        has(
            row,
            &[("job", &[Kind::Text]), ("cycle", &[Kind::Cycle]), ("due_at", &[Kind::Instant])],
        );
    }
    assert_eq!(due["due"].as_array().unwrap().len(), 2, "Tokyo, and the rest of the world");
    let done = runs(&home.json("2026-02-01T03:00:00Z", "tick", 0));
    assert!(done.iter().all(|run| run["state"] == "done" && run["cycle"] == "2026-01"));
    assert_eq!(home.json("2026-02-01T03:00:00Z", "tick", 0), json!({"runs": []}));
    assert_eq!(home.json("2026-02-01T03:00:00Z", "job due", 0), json!({"due": []}));
    // Who used nothing and owes nothing gets no invoice.
    let expected = ["INV-2026-000001", "INV-2026-000002"];
    assert_eq!(numbers(&home, "2026-02-02"), expected);
    let table = home.run("2026-03-01T03:00:00Z", "job due").stdout;
    assert!(table.contains("monthly_close") && table.contains("2026-02"), "{table}");
}

// More missed cycles than `max_catch_up` wait for a person; the number confirmed must suffice.
#[test]
fn missed_cycles_are_made_up_for_in_order() {
    let home = Home::with(THREE);
    let now = "2026-07-02T00:00:00Z";
    let held = home.json(now, "tick", 1);
    for run in runs(&held) {
        assert_eq!((&run["state"], &run["run"]), (&json!("held"), &Value::Null), "{run}");
    }
    assert!(home.run(now, "tick").stdout.contains("tick --catch-up 6"));
    assert_eq!(
        runs(&home.json(now, "tick --catch-up 5", 1)).len(),
        held["runs"].as_array().unwrap().len()
    );
    assert_eq!(numbers(&home, now).len(), 0);
    let done = runs(&home.json(now, "tick --catch-up 6", 0));
    let mut cycles: Vec<&str> = done.iter().map(|run| run["cycle"].as_str().unwrap()).collect();
    cycles.dedup();
    cycles.sort_unstable();
    cycles.dedup();
    assert_eq!(cycles, ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06"]);
    let expected: Vec<String> = (1..=12).map(|number| format!("INV-2026-{number:06}")).collect();
    assert_eq!(numbers(&home, now), expected, "gapless");
    assert_eq!(home.run(now, "verify").code, 0);
}

#[test]
fn the_clock_cannot_run_backwards() {
    let home = Home::with(THREE);
    assert_eq!(home.run("2026-02-02", "tick").code, 0);
    let answer = home.run("2026-01-15", "tick");
    answer.refuses(&["clock"]);
}

#[test]
fn jobs_are_listed() {
    let home = Home::new();
    let list = home.json("2026-01-02", "job list", 0);
    let names: Vec<&str> =
        list["jobs"].as_array().unwrap().iter().map(|job| job["name"].as_str().unwrap()).collect();
    for name in ["monthly_close", "import_inbox", "purchases"] {
        assert!(names.contains(&name), "{names:?}");
    }
    assert!(home.run("2026-01-02", "job list").stdout.contains("monthly_close"));
}

// F90: a wrong cycle is refused, a rerun of a paid month pays nothing again.
#[test]
fn job_run_is_a_run_or_a_safe_rerun() {
    let home = Home::with(THREE);
    let run = |now: &str, words: &str, code: i32| {
        let mut arguments = vec!["--json", "job", "run"];
        arguments.extend(words.split_whitespace());
        arguments.extend(["--reason", "asked by finance"]);
        let answer = home.run_with(now, &arguments, "");
        assert_eq!(answer.code, code, "{words}: {answer:?}");
        if code == 2 { json!(answer.error().1) } else { answer.json() }
    };
    let now = "2026-02-01T03:00:00Z";
    for (words, part) in [
        ("monthly_close --cycle 2026-02 --org acme", "acme"),
        ("monthly_close --cycle 2026-01 --org nobody", "nobody"),
        ("monthly_close --cycle 2025-01 --org acme", "2025-01"),
        ("weekly_close --cycle 2026-01", "monthly_close"),
        ("import_inbox --cycle 2026-01", "--cycle"),
    ] {
        let message = run(now, words, 2);
        assert!(message.as_str().unwrap().contains(part), "{words}: {message}");
    }
    let blank = ["--json", "job", "run", "monthly_close", "--reason", " "];
    assert!(home.run_with(now, &blank, "").error().1.contains("reason"));
    assert_eq!(numbers(&home, now).len(), 0);
    let one = runs(&run(now, "monthly_close --cycle 2026-01 --org acme", 0));
    assert!(one.iter().any(|run| run["cycle"] == "2026-01"), "{one:?}");
    assert_eq!(numbers(&home, now), ["INV-2026-000001"]);
    let paid = home.json(now, "invoice list --org acme", 0);
    run(now, "monthly_close --cycle 2026-01 --org acme", 0);
    run("2026-02-03", "monthly_close --cycle 2026-01", 0);
    assert_eq!(numbers(&home, now).len(), 2);
    assert_eq!(home.json(now, "invoice list --org acme", 0), paid);
    assert_eq!(home.run("2026-02-03", "verify").code, 0);
    let shown = home.json("2026-02-03", "invoice show INV-2026-000001", 0);
    assert_eq!(shown["charges"].as_array().unwrap().len(), 1, "charged once");
}

#[test]
fn runs_are_listed_and_shown() {
    let home = Home::with(THREE);
    home.json("2026-02-01T03:00:00Z", "tick", 0);
    let list = runs(&home.json("2026-02-02", "run list", 0));
    assert!(!list.is_empty());
    for run in &list {
        let id = run["run"].as_str().unwrap();
        let shown = home.json("2026-02-02", &format!("run show {id}"), 0);
        has(
            &shown,
            &[
                ("run", &[Kind::Text]),
                ("job", &[Kind::Text]),
                ("cycle", &[Kind::Cycle, Kind::Null]),
                ("state", &[Kind::Text]),
                ("steps", &[Kind::List]),
                ("parked", &[Kind::List]),
            ],
        );
        for step in shown["steps"].as_array().unwrap() {
            has(
                step,
                &[
                    ("kind", &[Kind::Text]),
                    ("organizations", &[Kind::Count]),
                    ("organization", &[Kind::Text, Kind::Null]),
                    ("state", &[Kind::Text]),
                    ("attempts", &[Kind::Count]),
                    ("error", &[Kind::Text, Kind::Null]),
                ],
            );
        }
        assert!(home.run("2026-02-02", &format!("run show {id}")).stdout.contains(id));
        let arguments = ["--json", "run", "retry", id, "--org", "acme", "--reason", "again"];
        let (_, message) = home.run_with("2026-02-02", &arguments, "").error();
        assert!(message.contains("nothing to retry"), "{message}");
    }
    for words in ["run show run_x", "run retry run_x --reason again"] {
        let (code, message) = home.error("2026-02-02", words);
        assert_eq!(code, "not_found");
        assert!(message.contains("run_x"), "{message}");
    }
}

// A folder that cannot be written parks documents, not the others' money; mended, it goes on (F84).
#[test]
fn what_is_parked_is_listed_and_retried() {
    let home = Home::with(THREE);
    let retry = "\n[retry]\nattempts = 1\nfirst_delay_s = 1\nmax_delay_s = 1\n";
    std::fs::create_dir(home.path().join("jobs")).unwrap();
    home.write(
        "jobs/monthly_close.toml",
        format!(
            "name = \"monthly_close\"\ndescription = \"Close\"\ndue = \"cycle_end\"\nmax_catch_up = 2\n\
             chunk_organizations = 1\nsteps = [\"close\", \"issue\", \"render\", \"charge\", \"mail\"]\n{retry}"
        ),
    );
    home.edit("monthend.toml", "\nmode = \"test\"", "\nmode = \"test\"\njobs_dir = \"jobs\"");
    std::fs::remove_dir(home.path().join("documents")).unwrap();
    home.write("documents", "in the way");
    let now = "2026-02-01T03:00:00Z";
    let done = runs(&home.json(now, "tick", 1));
    assert!(done.iter().any(|run| run["steps"]["parked"].as_u64().unwrap() > 0), "{done:?}");
    let text = home.run("2026-02-02", "run list").stdout;
    assert!(text.contains("parked"), "{text}");
    std::fs::remove_file(home.path().join("documents")).unwrap();
    for run in done.iter().filter(|run| run["state"] == "attention") {
        let id = run["run"].as_str().unwrap();
        let shown = home.json("2026-02-02", &format!("run show {id}"), 0);
        for parked in shown["parked"].as_array().unwrap() {
            has(parked, &[("organization", &[Kind::Text, Kind::Null]), ("reason", &[Kind::Text])]);
            assert!(parked["reason"].as_str().unwrap().contains("documents"), "{parked}");
        }
        let blank = ["--json", "run", "retry", id, "--reason", ""];
        assert!(home.run_with("2026-02-02", &blank, "").error().1.contains("reason"));
        home.json("2026-02-02", &format!("run retry {id} --reason mended"), 0);
    }
    let list = home.json("2026-02-02", "invoice list", 0);
    for invoice in list["invoices"].as_array().unwrap() {
        assert!(std::path::Path::new(invoice["pdf"].as_str().unwrap()).is_file(), "{invoice}");
    }
    assert_eq!(home.run("2026-02-02", "verify").code, 0);
}

// Files dropped into the inbox are taken; what is still being written is left alone.
#[test]
fn the_inbox_is_emptied() {
    let home = Home::with(THREE);
    let row = |id: &str| {
        format!("id,organization,at,meter,executions\n{id},acme,2026-01-10T10:00:00Z,prompt,1\n")
    };
    home.write("inbox/a.csv", row("1"));
    home.write("inbox/b.csv.part", row("2"));
    home.write("inbox/.c.csv", row("3"));
    let first = home.run("2026-01-11T00:00:00Z", "tick");
    assert_eq!(first.code, 0, "{first:?}");
    let again = home.run("2026-01-11T00:06:00Z", "tick");
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(home.json("2026-01-11T00:10:00Z", "credits balance acme", 0)["unbilled"], "1");
    assert!(!home.path().join("inbox/a.csv").exists());
    assert!(home.path().join("inbox/b.csv.part").exists());
    assert!(home.path().join("inbox/.c.csv").exists());
}

// Rows of the inbox that are set aside are no secret: 1, and the file is named.
#[test]
fn bad_rows_of_the_inbox_are_told() {
    let home = Home::with(THREE);
    let text = "id,organization,at,meter,executions\n1,acme,2026-01-10T10:00:00Z,prompt,1\n\
                2,acme,2026-01-10T10:00:00Z,teleport,1\n";
    home.write("inbox/a.csv", text);
    let tick = home.run("2026-01-11T00:00:00Z", "tick");
    assert_eq!(tick.code, 1, "{tick:?}");
    assert!(tick.stdout.contains("a.csv"), "{tick:?}");
    assert_eq!(home.json("2026-01-11T00:01:00Z", "credits balance acme", 0)["unbilled"], "1");
    let rows = home.json("2026-01-11T00:01:00Z", "usage quarantine list", 0);
    assert_eq!(rows["rows"][0]["line"], 3, "{rows}");
    assert!(home.read("inbox/a.csv.rejected.csv").contains("teleport"));
}
