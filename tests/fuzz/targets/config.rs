//! `monthend.toml`: an error names file and line, and never the password in the database's address (F88).

use monthend::config::{Config, ConfigError};

use super::assert_reason;

/// Stands for the password.
const CANARY: &str = "c4n4ry-pa55";

/// A configuration, alone and behind a database whose password is known.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    read(text);
    if text.contains("4n4ry") {
        return;
    }
    let address = format!("database = \"postgres://monthend:{CANARY}@db.example/monthend");
    for with in [
        format!("{address}\"\n{text}"),
        format!("{address}{text}"),
        format!("{text}\n{address}\""),
        format!("{text}\n{address}"),
        text.replacen('=', &format!("= \"{CANARY}\" ="), 1),
    ] {
        read(&with);
    }
}

fn read(text: &str) {
    match Config::parse("monthend.toml", text) {
        Ok(config) => {
            let (name, address) = config.sender();
            assert!(address.is_ascii() && !address.contains(['\r', '\n', ' ']), "{address:?}");
            assert!(!name.contains(char::is_control), "{name:?}");
            assert!((1..=64).contains(&config.runner.workers));
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.starts_with("monthend.toml: "), "{said}");
            assert!(!said.contains(CANARY), "{said}");
            let most = text.lines().count().max(1) + 1;
            match &error {
                ConfigError::Syntax { message, .. } => {
                    let line = message.strip_prefix("line ").and_then(|rest| rest.split_once(':'));
                    let line: usize = line.expect("a line").0.parse().expect("its number");
                    assert!((1..=most).contains(&line), "{message} of {most} lines");
                }
                ConfigError::Value { line, problem, .. } => {
                    assert!((1..=most).contains(line), "{said} of {most} lines");
                    assert_reason(problem);
                }
                ConfigError::Read { .. } => panic!("nothing is read from a disk"),
            }
        }
    }
}
