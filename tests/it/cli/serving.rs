//! `serve` as the operator runs it, and `demo` as a newcomer does.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::home::{Home, program};

// F15: SIGTERM ends `serve` with 0; what was due at its start was done before.
#[test]
fn serve_does_what_is_due_and_stops_on_sigterm() {
    let home = Home::with("acme,Acme,billing@acme.example,standard,2026-01-01,,,,,,,,");
    let mut child = program()
        .args(["--dir", home.path().to_str().unwrap(), "--now", "2026-02-01T03:00:00Z", "serve"])
        .env("MONTHEND_LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    // Its own log says when the documents are stored; the run, the cycle and the step are in it.
    let stored = lines.by_ref().map(Result::unwrap).find(|line| line.contains("stored"));
    let stored: serde_json::Value = serde_json::from_str(&stored.unwrap()).unwrap();
    assert_eq!(stored["span"]["cycle"], "2026-01", "{stored}");
    assert!(stored["span"]["run"].as_str().unwrap().starts_with("run_"), "{stored}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(rest.iter().any(|line| line.contains("stopping")), "{rest:?}");
    let told = rest.concat();
    assert!(!told.contains("acme.example"), "addresses have no place in a log: {told}");
    let answer = home.run("2026-02-01T03:10:00Z", "--json tick");
    assert_eq!(answer.code, 0, "{answer:?}");
    let invoices = home.run("2026-02-01T03:10:00Z", "--json invoice list").json();
    assert_eq!(invoices["invoices"].as_array().unwrap().len(), 1);
    assert_eq!(home.run("2026-02-01T03:10:00Z", "verify").code, 0);
}

// The demo's figures are the same every time: real input, a clock of its own.
#[test]
fn the_demo_leaves_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let output = program()
            .args(["--dir", folder.path().to_str().unwrap(), "--json", "demo"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |what: &str| told[what].as_array().unwrap().len();
        assert_eq!((count("invoices"), count("mails"), count("statements")), (21, 49, 21));
        assert_eq!(told["verified"], true);
        for invoice in told["invoices"].as_array().unwrap() {
            for file in ["pdf", "csv"] {
                let path = invoice[file].as_str().unwrap();
                assert!(std::path::Path::new(path).is_file(), "{path}");
            }
        }
    }
    // A folder that no demo made is left alone.
    std::fs::remove_file(folder.path().join("monthend-demo/this-is-a-demo")).unwrap();
    let output =
        program().args(["--dir", folder.path().to_str().unwrap(), "demo"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
