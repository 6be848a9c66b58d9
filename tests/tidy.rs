//! Tidiness as an ordinary test: who may import whom, how long a file may be, what may not be written.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fs;
use std::path::{Path, PathBuf};

/// Most lines of a file.
const MOST_LINES: usize = 600;

/// Rooms and the rooms they may import, beside themselves. Edges know the domain and nothing else.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("intake", &["domain"]),
    ("storage", &["domain"]),
    ("documents", &["domain", "files"]),
    ("mail", &["domain", "files", "pace"]),
    ("payments", &["domain", "pace"]),
    ("webhooks", &["domain"]),
    // A front door beside the command line; it hears the provider's notifications.
    ("http", &["app", "domain", "payments", "services"]),
    ("clock", &[]),
    ("files", &[]),
    ("pace", &[]),
    ("config", &["domain"]),
    ("telemetry", &[]),
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The rooms a text names after `crate::`.
fn imported(text: &str) -> Vec<String> {
    text.match_indices("crate::")
        .map(|(at, found)| {
            text[at + found.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

#[test]
fn imports_point_one_way() {
    let source = root().join("src");
    let mut checked = 0;
    for (room, allowed) in MAY_IMPORT {
        let files = match source.join(room) {
            folder if folder.is_dir() => sources(&folder),
            _ => vec![source.join(format!("{room}.rs"))],
        };
        for file in files {
            let text = fs::read_to_string(&file).unwrap();
            for name in imported(&text) {
                let fine = name == *room || allowed.contains(&name.as_str());
                assert!(fine, "{}: {room} must not know {name}", file.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 100, "only {checked} imports were looked at");
}

#[test]
fn the_domain_is_pure() {
    for file in sources(&root().join("src/domain")) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().expect("a first part");
        for word in ["async ", "sqlx", "tracing", "std::fs", "std::io", "Utc::now", "f64", "f32"] {
            assert!(
                !code.contains(word),
                "{}: {word:?} has no place in the domain",
                file.display()
            );
        }
    }
}

#[test]
fn only_one_file_rounds() {
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let rounds = text.contains(".round") || text.contains("RoundingStrategy");
        let allowed =
            file.ends_with("domain/rounding.rs") || file.starts_with(root().join("src/documents"));
        assert!(
            !rounds || allowed,
            "{} rounds; rules of rounding live in domain/rounding.rs",
            file.display()
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for folder in ["src", "tests", "benches"] {
        for file in sources(&root().join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines; split it", file.display());
        }
    }
}

#[test]
fn statements_use_no_clock_and_no_json_of_the_engine() {
    for file in sources(&root().join("src/storage")) {
        let text = fs::read_to_string(&file).unwrap().to_lowercase();
        for word in ["now()\"", "current_timestamp", "json_each", "jsonb", "datetime('now"] {
            // When a migration was applied is the migrator's own note.
            let noted = file.ends_with("storage/migrations.rs") && word == "current_timestamp";
            assert!(
                noted || !text.contains(word),
                "{}: {word:?} differs between the engines",
                file.display()
            );
        }
    }
}

// F28: a transaction that reads first and writes later cannot meet another writer half-way: every transaction begins
// in one room, and those that write begin at once.
#[test]
fn transactions_begin_in_one_room_and_write_at_once() {
    let home = root().join("src/storage/db");
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let begins = ["BEGIN", ".begin(", ".begin_with(", ".acquire(", "SAVEPOINT"];
        let found = begins.iter().filter(|word| text.contains(*word)).collect::<Vec<_>>();
        // Permits of the mailer and of the HTTP door are no connections.
        let permits = file.ends_with("mail/smtp.rs") || file.ends_with("http/mod.rs");
        let other = permits && found == [&".acquire("];
        assert!(
            found.is_empty() || other || file.starts_with(&home),
            "{}: {found:?}",
            file.display()
        );
    }
    let of_files = sources(&home.join("sqlite"));
    let text: String = of_files.iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(text.matches("\"BEGIN IMMEDIATE\"").count(), 1, "a writer begins at once");
    // Readers cannot write at all.
    assert_eq!(text.matches("\"BEGIN\"").count(), 1, "only a reader begins otherwise");
    assert!(text.contains("OpenFlags::SQLITE_OPEN_READ_ONLY"));
}

// F54: no float is anywhere near money or credits: not in a type, not in a cast, not in a parse.
#[test]
fn no_float_comes_near_money() {
    for folder in ["domain", "storage", "services", "jobs", "intake", "payments", "verify"] {
        for file in sources(&root().join("src").join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
                let float = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let float = float
                    .into_iter()
                    .any(|word| ["f32", "f64", "to_f64", "from_f64"].contains(&word));
                // The one reader that meets them refuses them.
                let float = float && !line.contains("fn visit_f64<E: de::Error>(self, _: f64)");
                assert!(!float, "{}: {line}", file.display());
            }
        }
    }
}

/// Names of tests in a cell of the table of failures: `module::function` between backticks.
fn named_tests(cell: &str) -> Vec<(String, String)> {
    let quoted = cell.split('`').skip(1).step_by(2);
    let names = quoted.filter(|text| !text.contains(' '));
    names
        .filter_map(|text| text.rsplit_once("::"))
        .map(|(path, test)| {
            let module = path.rsplit("::").next().unwrap();
            (module.to_owned(), test.to_owned())
        })
        .collect()
}

/// Is there a test of that name in a file or folder of that name?
fn exists(texts: &[(PathBuf, String)], module: &str, test: &str) -> bool {
    texts.iter().any(|(path, text)| {
        let parts = path.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
        let here = parts.into_iter().any(|part| part.trim_end_matches(".rs") == module)
            || text.contains(&format!("mod {module} "));
        here && [format!("fn {test}("), format!("both_engines!({test},"), format!("({test}, ")]
            .iter()
            .any(|wanted| text.contains(wanted))
    })
}

// Every failure mode has a row, and every test a row names exists.
#[test]
fn the_table_of_failures_names_tests_that_exist() {
    const FAILURES: usize = 90;
    let table = fs::read_to_string(root().join("docs/RELIABILITY.md")).unwrap();
    let mut texts = Vec::new();
    for folder in ["src", "tests"] {
        for file in sources(&root().join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            texts.push((file.strip_prefix(root()).unwrap().to_owned(), text));
        }
    }
    let mut named = 0;
    for number in 1..=FAILURES {
        let begins = format!("| F{number} |");
        let rows: Vec<&str> = table.lines().filter(|line| line.starts_with(&begins)).collect();
        assert_eq!(rows.len(), 1, "F{number} has {} rows in docs/RELIABILITY.md", rows.len());
        for (module, test) in named_tests(rows[0]) {
            assert!(exists(&texts, &module, &test), "F{number}: there is no {module}::{test}");
            named += 1;
        }
    }
    assert!(named > FAILURES, "only {named} tests are named");
}
