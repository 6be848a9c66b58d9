//! Golden ledgers: a year of closes for each kind of terms, as an accountant would check it.
//!
//! `tests/scenarios/README.md` explains the files. `UPDATE_SCENARIOS=1` rewrites their computed part.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

mod render;
mod script;
mod table;

use std::path::{Path, PathBuf};

use monthend::files::write_durably;

use script::Script;

/// Between what a person writes and what the program computes.
const CUT: &str = "==== computed from the lines above ====\n";

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    files
}

/// The text a file should have: its own input, and what the closes make of it.
fn computed(name: &str, text: &str) -> String {
    let input = text.split_once(CUT).map_or(text, |(input, _)| input);
    let script = Script::parse(name, input);
    format!("{}\n\n{CUT}{}", input.trim_end(), render::months(&script.play()))
}

// S28, S32–S39, D1–D5, D7, D8, D10, D11, D13: every figure of every file.
#[test]
fn every_golden_ledger_is_what_the_closes_make() {
    let files = files();
    assert!(files.len() >= 7, "only {} golden ledgers", files.len());
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let expected = computed(name, &text);
        if update && text != expected {
            write_durably(&path, expected.as_bytes()).unwrap();
        } else if text != expected {
            let mut lines = text.lines().zip(expected.lines()).enumerate();
            let differing = lines.find(|(_, (is, should))| is != should);
            wrong.push(format!("{name}: (line, (the file says, the closes make)) {differing:#?}"));
        }
    }
    assert!(wrong.is_empty(), "UPDATE_SCENARIOS=1 rewrites them\n{}", wrong.join("\n"));
}

// A golden ledger with another figure in it does not pass, and a line nobody understands is named.
#[test]
fn a_changed_figure_is_noticed() {
    let text = computed("new", "plan standard\njoined 2026-01-01\n2026-01 used 400 # of 1,000\n");
    assert!(
        text.contains("\n2026-01        0    1,000       0   400      600        0\n"),
        "{text}"
    );
    let changed = text.replacen(" 600 ", " 601 ", 1);
    assert_ne!(changed, text);
    assert_eq!(computed("changed", &changed), text);
}

#[test]
#[should_panic(expected = "bad, line 2: \"discount 5 %\" is not understood")]
fn a_line_nobody_understands_is_named() {
    Script::parse("bad", "joined 2026-01-01\ndiscount 5 %\n");
}
