//! Hostile text: what it may not do to terminals, spreadsheets, mails, file names and pages (F76, F84–F87).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::home::{COLUMNS, Home};

/// Names of organizations as an attacker would choose them.
const NAMES: [&str; 12] = [
    "=HYPERLINK(\"http://evil.example\",\"pay\")",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "Acme\r\nBcc: everyone@evil.example",
    "Acme\u{1B}[2J\u{1B}]0;owned\u{7}",
    "invoice\u{202E}fdp.exe",
    "A\0B\u{FEFF}\u{2066}C\u{2069}",
    "<script>alert(1)</script>&amp;{{ 7*7 }}{% raw %}",
    "../../../../etc/passwd",
    "👩‍💻 العربية Việt 東京 \u{0301}\u{0301}\u{0301}",
];

/// A home whose organizations `n0`, `n1`, … have these names and one closed month.
fn closed(names: &[&str]) -> Home {
    let home = Home::new();
    let mut text = format!("{COLUMNS},address,tax_id,country\n");
    for (index, name) in names.iter().enumerate() {
        let cell = format!("\"{}\"", name.replace('"', "\"\""));
        writeln!(
            text,
            "n{index},{cell},n{index}@x.example,standard,2026-01-01,,pm_sandbox_ok,,,,,,,{cell},X{index},X{index}"
        )
        .unwrap();
    }
    home.write("o.csv", text);
    let answer = home.run("2026-01-01", "org import o.csv");
    assert_eq!(answer.code, 0, "{answer:?}");
    let answer = home.run("2026-02-01T03:00:00Z", "tick");
    assert_eq!(answer.code, 0, "{answer:?}");
    home
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

fn ending(home: &Home, folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = files(&home.path().join(folder));
    found.retain(|path| path.extension().is_some_and(|extension| extension == ending));
    found.sort();
    found
}

#[test]
fn hostile_names_are_harmless_everywhere() {
    let home = closed(&NAMES);
    // The runner of these tests looks at every output: no control character, no override.
    for words in ["org list", "invoice list", "run list", "invoice show INV-2026-000001"] {
        assert_eq!(home.run("2026-02-02", words).code, 0);
        home.json("2026-02-02", words, 0);
    }
    for index in 0..NAMES.len() {
        let shown = home.json("2026-02-02", &format!("org show n{index}"), 0);
        let name = shown["name"].as_str().unwrap();
        assert!(!name.is_empty() && !name.chars().any(char::is_control), "{shown}");
        assert!(!name.contains(['\u{202E}', '\u{2066}', '\u{FEFF}']), "{shown}");
        home.run("2026-02-02", &format!("org show n{index}"));
    }
    let names: Vec<String> = files(&home.path().join("documents"))
        .into_iter()
        .chain(files(&home.path().join("outbox")))
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names.len(), NAMES.len() * 4, "pdf, csv, invoice, receipt: {names:?}");
    for name in names {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
        assert!(name.bytes().all(plain), "{name}");
    }
    assert_eq!(home.run("2026-02-02", "verify").code, 0);
}

// F87: no cell of a text column begins like a formula.
#[test]
fn no_cell_of_a_document_is_a_formula() {
    let home = closed(&NAMES);
    let documents = ending(&home, "documents", "csv");
    assert_eq!(documents.len(), NAMES.len());
    let mut guarded = 0;
    for path in documents {
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let header = reader.headers().unwrap().clone();
        for record in reader.records() {
            for (column, cell) in header.iter().zip(&record.unwrap()) {
                guarded += usize::from(cell.starts_with('\''));
                let text = ["section", "key", "text", "unit"].contains(&column);
                let formula = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
                assert!(!(text && formula), "{column} {cell:?} in {}", path.display());
                assert!(!cell.contains(['\0', '\u{1B}', '\u{202E}']), "{cell:?}");
                if formula {
                    assert!(cell.parse::<f64>().is_ok(), "{column} {cell:?}");
                }
            }
        }
    }
    assert!(guarded >= 4, "{guarded}");
}

// F76: a name cannot add a header or a recipient; the text of the mail cannot run.
#[test]
fn no_mail_has_an_injected_header() {
    let home = closed(&NAMES);
    let mails = ending(&home, "outbox", "eml");
    assert_eq!(mails.len(), NAMES.len() * 2);
    for path in mails {
        let text = std::fs::read_to_string(&path).unwrap();
        let head = text.split("\r\n\r\n").next().unwrap();
        let known = [
            "Date",
            "From",
            "To",
            "Subject",
            "Message-ID",
            "MIME-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
            "Reply-To",
            "Auto-Submitted",
        ];
        for line in head.split("\r\n").filter(|line| !line.starts_with([' ', '\t'])) {
            let name = line.split(':').next().unwrap();
            let ours = known.contains(&name) || name.starts_with("X-");
            assert!(ours, "{line:?} in {}", path.display());
        }
        assert!(!text.to_lowercase().contains("\nbcc:"), "{}", path.display());
        let folded = text.replace("=\r\n", "");
        let (_, page) = folded.split_once("Content-Type: text/html").unwrap();
        // The table attached after it holds the name as it is.
        let page = page.split("\r\n--").next().unwrap();
        assert!(!page.contains("<script"), "{}", path.display());
        // Templates do not run what a name says.
        assert!(!text.contains("&amp;49"), "{}", path.display());
    }
}

// F86: every page is valid, however long or strange the name.
#[test]
fn every_page_is_valid() {
    let long = "Wort ".repeat(2_000);
    let unbroken = "x".repeat(10_000);
    let mut names = NAMES.to_vec();
    names.extend([long.as_str(), unbroken.as_str(), "\u{1F600}\u{10FFFF}\u{FFFD}"]);
    let home = closed(&names);
    let pages = ending(&home, "documents", "pdf");
    assert_eq!(pages.len(), names.len());
    for path in pages {
        let bytes = std::fs::read(&path).unwrap();
        assert!(bytes.starts_with(b"%PDF-") && bytes.len() > 5_000, "{}", path.display());
        assert!(bytes.len() < 1_000_000, "{}", path.display());
        // Where the checker is not installed, the beginning must do.
        let Ok(checked) = Command::new("qpdf").arg("--check").arg(&path).output() else { continue };
        assert!(checked.status.success(), "{}: {checked:?}", path.display());
    }
    for words in ["org list", "org show n12", "org show n13", "invoice list"] {
        let shown = home.run("2026-02-02", words);
        assert_eq!(shown.code, 0);
        if words.contains("list") {
            let longest = shown.stdout.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(longest < 250, "{longest}");
        }
    }
}

// F84: an id that is a path gets nowhere, whichever command it is given to.
#[test]
fn paths_are_no_ids() {
    let home = Home::new();
    let hostile = [
        "../../etc/passwd",
        "..",
        "/etc/passwd",
        "a\u{0008}b",
        "\u{202E}acme",
        "$(id)",
        "acme;ls",
        "%00",
    ];
    for id in hostile {
        let words: [&[&str]; 8] = [
            &["org", "show", id],
            &["credits", "balance", id],
            &["credits", "statement", id, "--cycle", "2026-01"],
            &["credits", "grant", id, "5", "--reason", "x"],
            &["credits", "buy", id, "--credits", "5"],
            &["invoice", "show", id],
            &["run", "show", id],
            &["job", "run", "monthly_close", "--cycle", "2026-01", "--org", id, "--reason", "x"],
        ];
        for arguments in words {
            let answer = home.run_with("2026-01-02", arguments, "");
            answer.refuses(&["there is no"]);
            let mut json = vec!["--json"];
            json.extend(arguments);
            assert_eq!(home.run_with("2026-01-02", &json, "").error().0, "not_found");
        }
    }
}

// What stands in a usage row is shown clean wherever it comes up again.
#[test]
fn hostile_usage_rows_are_shown_clean() {
    let home = closed(&["Acme"]);
    let evil = "\u{1B}[31m\u{202E}=cmd()\u{7}";
    let csv = format!(
        "id,organization,at,meter,project,executions\n\
         \"{evil}\",n0,2026-02-01T00:00:00Z,prompt,\"{evil}\",1\n\
         2,\"{evil}\",2026-02-01T00:00:00Z,prompt,p,1\n\
         3,n0,2026-02-01T00:00:00Z,\"{evil}\",p,1\n\
         4,n0,\"{evil}\",prompt,p,1\n\
         5,n0,2026-02-01T00:00:00Z,prompt,p,\"{evil}\"\n"
    );
    let answer = home.run_with("2026-02-02", &["usage", "import", "-"], &csv);
    assert_eq!(answer.code, 1, "{answer:?}");
    let json = "{\"specversion\":\"1.0\",\"id\":\"a\",\"source\":\"s\",\"time\":\"2026-02-01T00:00:00Z\",\
                \"type\":\"\\u001b[31m\\u202e\",\"subject\":\"n0\",\"data\":{\"\\u001b[2J\":1}}\n";
    assert_eq!(home.run_with("2026-02-02", &["usage", "import", "-"], json).code, 1);
    assert_eq!(home.run("2026-02-02", "usage quarantine list").code, 0);
    home.json("2026-02-02", "usage quarantine list", 0);
    assert_eq!(home.run("2026-02-02", "usage quarantine retry").code, 1);
    assert_eq!(home.run_with("2026-02-02", &["usage", "import", evil], "").code, 2);
    assert_eq!(home.run_with("2026-02-02", &["org", "import", evil], "").code, 2);
    assert_eq!(home.run_with("2026-02-02", &["job", "run", evil, "--reason", "x"], "").code, 2);
    assert_eq!(home.run("2026-02-02", "verify").code, 0);
}

// A reason is kept for the audit, clean.
#[test]
fn hostile_reasons_and_packages_are_harmless() {
    let home = closed(&["Acme"]);
    let evil = "sorry\u{1B}[2J\r\n\u{202E}=1+1";
    let granted =
        home.run_with("2026-02-02", &["credits", "grant", "n0", "5", "--reason", evil], "");
    assert_eq!(granted.code, 0, "{granted:?}");
    assert_eq!(
        home.run_with("2026-02-02", &["credits", "buy", "n0", "--package", evil], "").code,
        2
    );
    assert_eq!(home.run("2026-02-02", "credits statement n0 --cycle 2026-02").code, 0);
    assert_eq!(home.run("2026-02-02", "verify").code, 0);
}
