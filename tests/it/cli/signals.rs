//! A second signal while work is in hand: the program ends at once, like killed, and loses nothing.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::home::{Home, program};

/// A mail server that takes connections and never says a word: whoever sends a mail has it in hand for a minute.
fn silent_server() -> (u16, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            open.push(stream);
            if sender.send(()).is_err() {
                break;
            }
        }
    });
    (port, heard)
}

fn begin(words: &[&str]) -> (Home, Child) {
    let home =
        Home::with("acme,Acme,billing@acme.example,standard,2026-01-01,,pm_sandbox_ok,,,,,,");
    let (port, heard) = silent_server();
    home.edit("monthend.toml", "transport = \"outbox\"", "transport = \"smtp\"");
    let smtp = format!(
        "[mail.smtp]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"none\"\ntimeout_s = 50\n"
    );
    home.edit("monthend.toml", "[payments]", &format!("{smtp}\n[payments]"));
    let child = program()
        .args(["--dir", home.path().to_str().unwrap(), "--now", "2026-02-01T03:00:00Z"])
        .args(words)
        .env("MONTHEND_LOG_FORMAT", "json")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    heard.recv().unwrap();
    (home, child)
}

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

/// Two minutes later, with a mail server that talks, everything is done once.
fn nothing_is_lost(home: &Home) {
    home.edit("monthend.toml", "transport = \"smtp\"", "transport = \"outbox\"");
    let later = "2026-02-01T03:02:00Z";
    assert_eq!(home.run(later, "--json tick").code, 0);
    let invoices = home.json(later, "invoice list", 0);
    assert_eq!(invoices["invoices"].as_array().unwrap().len(), 1);
    assert_eq!(home.json(later, "payments list", 0)["payments"].as_array().unwrap().len(), 1);
    assert_eq!(
        std::fs::read_dir(home.path().join("outbox")).unwrap().count(),
        2,
        "invoice, receipt"
    );
    assert_eq!(home.run(later, "verify").code, 0);
}

// F16: `serve` drains at the first SIGTERM and ends at once at the second, or at a SIGINT after it.
#[test]
fn a_second_signal_ends_serve_at_once() {
    for second in ["-TERM", "-INT"] {
        let (home, mut child) = begin(&["serve"]);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        signal(&child, "-TERM");
        assert!(lines.any(|line| line.contains("stopping")));
        signal(&child, second);
        let rest: Vec<String> = lines.collect();
        child.wait().unwrap();
        assert!(rest.iter().any(|line| line.contains("stopped at once")), "{rest:?}");
        nothing_is_lost(&home);
    }
}

// F16: so does `tick`, and its exit code is a killed one's.
#[test]
fn a_second_signal_ends_tick_at_once() {
    let (home, mut child) = begin(&["tick"]);
    // Two signals that arrive together are one: it is sent until it was heard twice.
    let ended = (0..1_000).find_map(|_| {
        if child.try_wait().unwrap().is_none() {
            signal(&child, "-INT");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.try_wait().unwrap()
    });
    assert_eq!(ended.unwrap().code(), Some(130));
    nothing_is_lost(&home);
}
