//! `serve` as the operator runs it, and `demo` as a newcomer does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use super::home::{CANARIES, Home, program};

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

// F15: SIGTERM ended it with a signal while it still waited for its database.
#[test]
fn serve_that_waits_for_its_database_stops_on_sigterm() {
    let home = Home::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let database = format!("postgres://u@{}/d?sslmode=disable", silent.local_addr().unwrap());
    let mut child = program()
        .args(["--dir", home.path().to_str().unwrap(), "serve"])
        .env("MONTHEND_DATABASE_URL", database)
        .spawn()
        .unwrap();
    let _asked = silent.accept().unwrap();
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// F15: open connections hold nothing up; what was asked before SIGTERM is answered.
#[test]
fn serve_answers_http_and_stops_with_requests_open() {
    let home = Home::with("acme,Acme,billing@acme.example,standard,2026-01-01,,,,,,,,");
    let mut child = program()
        .args(["--dir", home.path().to_str().unwrap(), "--now", "2026-01-02T03:00:00Z"])
        .args(["serve", "--http", "127.0.0.1:0"])
        .env("MONTHEND_LOG_FORMAT", "json")
        .env("MONTHEND_HTTP_TOKEN", CANARIES[3])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = lines.by_ref().map(Result::unwrap).find(|line| line.contains("listening"));
    let listening: serde_json::Value = serde_json::from_str(&listening.unwrap()).unwrap();
    let address = listening["fields"]["address"].as_str().unwrap();
    let connect = || std::net::TcpStream::connect(address).unwrap();
    let (mut asks, mut hangs, _idle) = (connect(), connect(), connect());
    let request = format!(
        "GET /v1/organizations/acme/authorization HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
        CANARIES[3]
    );
    hangs.write_all(b"GET /health HTTP/1.1\r\nhost:").unwrap();
    asks.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4_096];
    let read = asks.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"allowed\":true"), "{answer}");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(!rest.concat().contains(CANARIES[3]), "{rest:?}");
}

// F88: no token, no server; a token that is easily guessed is none.
#[test]
fn serve_refuses_http_without_a_token() {
    let home = Home::new();
    home.run("2026-01-02", "serve --http 127.0.0.1:0")
        .refuses(&["MONTHEND_HTTP_TOKEN", "token_file"]);
    home.write("tokens", "short\n");
    home.edit("monthend.toml", "[runner]", "[http]\ntoken_file = \"tokens\"\n\n[runner]");
    home.run("2026-01-02", "serve --http 127.0.0.1:0").refuses(&["20 characters"]);
    home.write("tokens", format!("{}\n", CANARIES[3]));
    home.run("2026-01-02", "serve --http 192.0.2.1:1").refuses(&["192.0.2.1:1"]);
}

// What `[[webhooks]]` may say, and that a wrong secret is not repeated.
#[test]
fn webhooks_are_configured_without_showing_secrets() {
    let home = Home::new();
    assert!(home.error("2026-01-02", "webhook test").1.contains("[[webhooks]]"));
    let good = home.read("monthend.toml");
    let hook = "[[webhooks]]\nname = \"product\"\nurl = \"http://127.0.0.1:9/x\"\nsecret_file = \"hook\"\n";
    home.write("hook", CANARIES[4]);
    for (from, to, told) in [
        ("", "", "24 to 64"),
        ("\"hook\"", "\"nowhere\"", "nowhere"),
        ("http://127.0.0.1:9/x", "http://example.com/x", "webhooks.url"),
        ("\"product\"", "\"My Product\"", "webhooks.name"),
        ("secret_file = \"hook\"", "secret_env = \"HOME\"", "MONTHEND_"),
        ("secret_file = \"hook\"", "secret_env = \"MONTHEND_NOT_SET\"", "MONTHEND_NOT_SET"),
        ("secret_file = \"hook\"", "", "webhooks.secret_file"),
        ("secret_file", "events = [\"x\"]\nsecret_file", "organization.paused"),
    ] {
        home.write("monthend.toml", format!("{good}\n{}", hook.replacen(from, to, 1)));
        home.run("2026-01-02", "org list").refuses(&[told]);
    }
    home.write("hook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    home.write("monthend.toml", format!("{good}\n{hook}"));
    let tried = home.json("2026-01-02", "webhook test", 1);
    assert_eq!(tried["endpoints"][0]["ok"], false);
    home.import_organizations("2026-01-02", "acme,Acme,a@a.example,standard,2026-01-01,,,,,,,,");
    let paused = home.json("2026-01-02", "org pause acme --reason fraud", 0);
    assert_eq!((&paused["state"], &paused["reason"]), (&"paused".into(), &"by_hand".into()));
    let shown = home.run("2026-01-02", "org show acme").stdout;
    assert!(shown.contains("paused: by hand"), "{shown}");
    let list = home.json("2026-01-02", "webhook list --org acme", 0);
    assert_eq!(list["webhooks"][0]["state"], "ready");
    assert!(home.run("2026-01-02", "webhook list").stdout.contains("organization.paused"));
    let resumed = home.json("2026-01-02", "org resume acme --reason cleared", 0);
    assert_eq!(resumed["state"], "active");
    assert_eq!(home.error("2026-01-02", "org resume acme --reason again").0, "refused");
    assert_eq!(home.run("2026-01-02", "verify").code, 0);
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
        assert_eq!((count("invoices"), count("mails"), count("statements")), (21, 77, 21));
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
