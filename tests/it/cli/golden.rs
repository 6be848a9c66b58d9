//! The golden numbers once more, from the outside: files in, months closed, balances out.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use super::home::Home;

const ROWS: &str = "std,Standard,s@s.example,standard,2026-01-01,,,,,,,,\n\
                    pro,Professional,p@p.example,professional,2026-01-01,,,,,,,,\n\
                    ent,Enterprise,e@e.example,enterprise,2026-01-01,,,3000,6,8000,,,";

fn available(home: &Home, now: &str, id: &str) -> String {
    let balance = home.json(now, &format!("credits balance {id}"), 0);
    balance["available"].as_str().unwrap().to_owned()
}

fn tick(home: &Home, month: u32) {
    let answer = home.run(&format!("2026-{month:02}-01T03:00:00Z"), "tick");
    assert_eq!(answer.code, 0, "{answer:?}");
}

// S1–S13, S64–S71
#[test]
fn use_costs_what_it_costs() {
    let home = Home::with(ROWS);
    let cost = |number: usize, meter: &str, dimension: &str, quantity: &str| {
        let text = format!(
            "id,organization,at,meter,{dimension}\n{number},pro,2026-01-02T00:00:00Z,{meter},{quantity}\n"
        );
        let answer = home.run_with("2026-01-03", &["--json", "usage", "import", "-"], &text);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.json()["credits"].as_str().unwrap().to_owned()
    };
    let cases = [
        ("dynamic_column", "cells", "50", "50"),
        ("log", "executions", "50", "0"),
        ("offline_eval", "rows", "200", "200"),
        ("prompt", "executions", "1", "1"),
        ("flow_step", "executions", "3", "3"),
        ("translation", "characters", "100000", "1"),
        ("transcription", "seconds", "2500", "1"),
        ("text_generation", "tokens", "16666", "0.99996"),
        ("speech_synthesis", "characters", "62500", "1"),
        ("training", "gpu_hours", "2.5", "30"),
        ("data_processing", "gigabytes", "3", "1.5"),
    ];
    for (number, (meter, dimension, quantity, credits)) in cases.into_iter().enumerate() {
        assert_eq!(cost(number, meter, dimension, quantity), credits, "{meter}");
    }
    // A pipeline of three models costs exactly the sum of the three.
    let pipeline = "id,organization,at,meter,job,minutes,tokens,characters\n\
                    p1,pro,2026-01-02T00:00:00Z,transcription,run-1,10,,\n\
                    p2,pro,2026-01-02T00:00:00Z,text_generation,run-1,,16666,\n\
                    p3,pro,2026-01-02T00:00:00Z,speech_synthesis,run-1,,,1\n";
    home.write("pipeline.csv", pipeline);
    assert_eq!(home.json("2026-01-03", "usage import pipeline.csv", 0)["credits"], "1.239976");
}

// S32, S36–S37: 1,000 granted, 400 used, 600 expire; the next month begins with 1,000.
#[test]
fn a_standard_month() {
    let home = Home::with(ROWS);
    home.use_credits("2026-01-20", &[("std", "2026-01-19", "prompt", "executions", "400")]);
    assert_eq!(available(&home, "2026-01-20", "std"), "600");
    tick(&home, 2);
    assert_eq!(available(&home, "2026-02-01T03:00:00Z", "std"), "1000");
    let statement = home.json("2026-02-02", "credits statement std --cycle 2026-01", 0);
    let figures = ["opening", "granted", "used", "expired", "closing"].map(|name| &statement[name]);
    assert_eq!(figures, ["0", "1000", "400", "600", "0"]);
}

// S38, D1: January's allowance can be used through April.
#[test]
fn professional_credits_roll_over_for_three_months() {
    let home = Home::with(ROWS);
    for month in 2..=4 {
        tick(&home, month);
    }
    assert_eq!(available(&home, "2026-04-15", "pro"), "20000");
    tick(&home, 5);
    assert_eq!(available(&home, "2026-05-15", "pro"), "20000");
    let april = home.json("2026-05-15", "credits statement pro --cycle 2026-04", 0);
    assert_eq!((&april["expired"], &april["opening"]), (&"5000".into(), &"15000".into()));
    let expired: Vec<&str> = april["grants"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|grant| grant["expired"] != "0")
        .map(|grant| grant["cycle"].as_str().unwrap())
        .collect();
    assert_eq!(expired, ["2026-01"]);
    // S39, D4: the enterprise contract carries at most 8,000 over.
    for cycle in ["2026-01", "2026-02", "2026-03", "2026-04"] {
        let statement =
            home.json("2026-05-15", &format!("credits statement ent --cycle {cycle}"), 0);
        let closing: u32 = statement["closing"].as_str().unwrap().parse().unwrap();
        assert!(closing <= 8_000, "{statement}");
    }
    assert_eq!(available(&home, "2026-05-15", "ent"), "11000");
    assert_eq!(home.run("2026-05-15", "verify").code, 0);
}

// D3: the grant that expires first is used first.
#[test]
fn february_burns_januarys_grant_first() {
    let home = Home::with(ROWS);
    home.use_credits("2026-01-20", &[("pro", "2026-01-19", "prompt", "executions", "1000")]);
    tick(&home, 2);
    home.use_credits("2026-02-20", &[("pro", "2026-02-19", "prompt", "executions", "1000")]);
    tick(&home, 3);
    let february = home.json("2026-03-02", "credits statement pro --cycle 2026-02", 0);
    for grant in february["grants"].as_array().unwrap() {
        let used = if grant["cycle"] == "2026-01" { "1000" } else { "0" };
        assert_eq!(grant["used"], used, "{grant}");
    }
}
