//! What nobody else may read: files for their owner alone, no secret in any output (F84, F88).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::home::{CANARIES, Home, THREE, finish, program};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

fn check_modes(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let allowed = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&path) & !allowed, 0, "{:o} {}", mode(&path), path.display());
        if path.is_dir() {
            check_modes(&path);
        }
    }
}

#[test]
fn everything_written_is_for_its_owner_alone() {
    let home = Home::with(THREE);
    std::fs::remove_file(home.path().join("organizations.csv")).unwrap();
    home.json("2026-01-10", "credits buy acme --credits 20", 0);
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    assert_eq!(mode(&home.path().join("monthend.db")), 0o600);
    assert_eq!(mode(&home.path().join("documents")), 0o700);
    check_modes(home.path());
    // A folder that does not exist yet is made for its owner alone, too.
    let parent = Home::bare();
    let mut init = program();
    init.args(["--now", "2026-01-01T00:00:00Z", "init", "--dir"]).arg(parent.path().join("a/b"));
    assert_eq!(finish(init, "").code, 0);
    assert_eq!(mode(&parent.path().join("a/b")), 0o700);
}

// The runner of these tests looks for the canaries in every output.
#[test]
fn the_mail_password_is_never_shown() {
    let home = Home::with(THREE);
    home.write("password", CANARIES[1]);
    home.edit(
        "monthend.toml",
        "transport = \"outbox\"",
        "transport = \"smtp\"\nsmtp = { host = \"127.0.0.1\", port = 1, username = \"u\", tls = \"none\", timeout_s = 1, password_file = \"password\" }",
    );
    for words in ["doctor", "org list", "tick", "job list", "verify", "run list"] {
        let mut command = program();
        command.env("MONTHEND_LOG", "trace").args(["--dir"]).arg(home.path());
        command.args(["--now", "2026-02-01T03:00:00Z"]).args(words.split_whitespace());
        finish(command, "");
    }
    for words in ["doctor", "run list"] {
        let mut command = program();
        command.env("MONTHEND_SMTP_PASSWORD", CANARIES[1]).env("MONTHEND_LOG_FORMAT", "json");
        command.env("MONTHEND_LOG", "debug").args(["--json", "--dir"]).arg(home.path());
        command.args(["--now", "2026-02-01T03:00:00Z"]).args(words.split_whitespace());
        finish(command, "");
    }
    // A mail server that is not there stops no close.
    let list = home.json("2026-02-02", "invoice list", 0);
    assert_eq!(list["invoices"].as_array().unwrap().len(), 2);
    home.edit("monthend.toml", "tls = \"none\"", &format!("password = \"{}\"", CANARIES[1]));
    home.run("2026-02-02", "org list").refuses(&["monthend.toml", "password", "password_file"]);
}

#[test]
fn the_database_password_is_never_shown() {
    let home = Home::new();
    let good = home.read("monthend.toml");
    for address in [
        "postgres://u:canary-db-password@[",
        "postgres://u:canary-db-password@h:99999/d",
        "mysql://u:canary-db-password@h/d",
        "postgres:/u:canary-db-password@h/d",
    ] {
        home.edit(
            "monthend.toml",
            "mode = \"test\"",
            &format!("mode = \"test\"\ndatabase = \"{address}\""),
        );
        for words in ["org list", "--json tick"] {
            assert_eq!(home.run("2026-01-02", words).code, 2, "{address}");
        }
        assert_eq!(home.run("2026-01-02", "doctor").code, 1, "{address}");
        home.write("monthend.toml", &good);
        let mut command = program();
        command.env("MONTHEND_DATABASE_URL", address).env("MONTHEND_LOG", "trace");
        command.arg("--dir").arg(home.path()).args([
            "--now",
            "2026-01-02T00:00:00Z",
            "org",
            "list",
        ]);
        finish(command, "").refuses(&["ostgre"]);
    }
    for broken in ["\" x", "", "\"\nx = "] {
        let to =
            format!("mode = \"test\"\ndatabase = \"postgres://u:canary-db-password@h/d{broken}");
        home.edit("monthend.toml", "mode = \"test\"", &to);
        home.run("2026-01-02", "org list").refuses(&["monthend.toml", "line"]);
        home.write("monthend.toml", &good);
    }
}

// A card number by mistake is refused without being repeated, and nowhere kept.
#[test]
fn a_card_number_is_neither_shown_nor_kept() {
    let home = Home::new();
    let row = format!("acme,Acme,a@a.example,standard,2026-01-01,,{},,,,,,\n", CANARIES[2]);
    home.write("o.csv", format!("{}\n{row}", super::home::COLUMNS));
    for words in ["org import o.csv", "--json org import o.csv"] {
        assert_eq!(home.run("2026-01-01", words).code, 1);
    }
    for file in ["monthend.db", "sandbox-journal.jsonl"] {
        let bytes = std::fs::read(home.path().join(file)).unwrap();
        let found = bytes.windows(16).any(|part| part == CANARIES[2].as_bytes());
        assert!(!found, "{file}");
    }
}

// F84: a link in place of a document or its folder is not followed; what it points to stays as it was.
#[test]
fn links_in_output_folders_are_not_followed() {
    let home = Home::with(THREE);
    let victims = Home::bare();
    let victim = victims.write("victim", "precious");
    std::fs::create_dir(home.path().join("documents/2026-01")).unwrap();
    for ending in ["pdf", "csv"] {
        let name = format!("documents/2026-01/INV-2026-000001.{ending}");
        symlink(&victim, home.path().join(name)).unwrap();
    }
    let tick = home.run("2026-02-01T03:00:00Z", "tick");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious", "{tick:?}");
    // A folder behind a link is refused by name, and nothing is written into it.
    let home = Home::with(THREE);
    std::fs::create_dir(victims.path().join("elsewhere")).unwrap();
    symlink(victims.path().join("elsewhere"), home.path().join("documents/2026-01")).unwrap();
    let tick = home.run("2026-02-01T03:00:00Z", "tick");
    assert_eq!(tick.code, 1, "{tick:?}");
    assert!(tick.stdout.contains("documents"), "{tick:?}");
    let written = std::fs::read_dir(victims.path().join("elsewhere")).unwrap().count();
    assert_eq!(written, 0, "{tick:?}");
    assert_eq!(home.run("2026-02-01T03:00:00Z", "doctor").code, 0, "waiting is no parking");
}
