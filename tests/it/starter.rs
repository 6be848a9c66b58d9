//! The starter files are what a person edits first: each line that is commented out works as it stands.

use monthend::config::{Config, STARTER};
use monthend::files::write_durably;

#[test]
fn every_key_can_be_uncommented_where_it_stands() {
    let key = |line: &str| {
        let name = line.split_once(" = ").map_or("", |(name, _)| name);
        line.starts_with('[')
            || (!name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    let uncommented = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if key(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    let text: Vec<String> = STARTER.lines().map(uncommented).collect();
    assert!(text.iter().any(|line| line.starts_with("jobs_dir = ")));
    let home = tempfile::tempdir().unwrap();
    write_durably(&home.path().join("monthend.toml"), text.join("\n").as_bytes()).unwrap();
    let config = Config::load(home.path()).unwrap();
    assert!(config.jobs_dir.is_some() && config.templates_dir.is_some());
    assert!(config.database.is_some() && config.mail.smtp.is_some());
}
