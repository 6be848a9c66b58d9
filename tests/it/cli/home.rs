//! A throw-away home folder and the program run in it.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Words that no output may ever hold.
pub(super) const CANARIES: [&str; 5] = [
    "canary-db-password",
    "canary-smtp-password",
    "4111111111111111",
    "canary-bearer-token-0123456789",
    "whsec_Y2FuYXJ5",
];

/// A home folder; it and everything in it vanish with the test.
pub(super) struct Home {
    folder: TempDir,
}

/// What the program left behind.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: i32,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// The program, with an environment that knows no setting of the machine the test runs on.
pub(super) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monthend"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MONTHEND_") {
            command.env_remove(name);
        }
    }
    command.env("MONTHEND_ACTOR", "tester").env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
    command
}

/// Runs a command; what must hold of every run is checked here.
pub(super) fn finish(mut command: Command, stdin: &str) -> Answer {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input closes it: no reason to fail.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    let answer = Answer {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    for text in [&answer.stdout, &answer.stderr] {
        assert!(!text.contains("panicked"), "{answer:?}");
        // F86: nothing may steer the terminal, nor turn the order of its text round.
        let steers =
            |c: char| c != '\n' && (c.is_control() || ('\u{202A}'..='\u{202E}').contains(&c));
        assert!(!text.contains(steers), "{answer:?}");
        // F88
        for canary in CANARIES {
            assert!(!text.contains(canary), "{answer:?}");
        }
    }
    assert!((0..=2).contains(&answer.code), "{answer:?}");
    answer
}

impl Answer {
    /// The one object on stdout; stderr must be silent.
    #[track_caller]
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.stderr, "", "{self:?}");
        assert_eq!(self.stdout.lines().count(), 1, "{self:?}");
        let value: Value = serde_json::from_str(&self.stdout).unwrap();
        assert!(value.is_object(), "{self:?}");
        value
    }

    /// Code and message of a run that could not be done, with `--json`: 2, and nothing on stdout.
    #[track_caller]
    pub(super) fn error(&self) -> (String, String) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:?}");
        let value: Value = serde_json::from_str(&self.stderr).unwrap();
        let error = value["error"].as_object().unwrap();
        assert_eq!((error.len(), value.as_object().unwrap().len()), (2, 1), "{self:?}");
        let text = |name| error[name].as_str().unwrap().to_owned();
        assert!(!text("code").is_empty() && !text("message").is_empty(), "{self:?}");
        (text("code"), text("message"))
    }

    /// Holds what a person must find in an error.
    #[track_caller]
    pub(super) fn refuses(&self, parts: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (2, ""), "{self:?}");
        for part in parts {
            assert!(self.stderr.contains(part), "no {part:?} in {self:?}");
        }
    }
}

impl Home {
    /// An empty folder.
    pub(super) fn bare() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A home in test mode, made at the beginning of 2026.
    pub(super) fn new() -> Self {
        let home = Self::bare();
        assert_eq!(home.run("2026-01-01", "init").code, 0);
        home
    }

    /// A home with organizations, one row each of an organizations file with these columns.
    pub(super) fn with(rows: &str) -> Self {
        let home = Self::new();
        home.import_organizations("2026-01-01", rows);
        home
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `monthend` with words; `now` is a day, an instant, or nothing for the machine's clock.
    pub(super) fn run(&self, now: &str, words: &str) -> Answer {
        self.run_with(now, &words.split_whitespace().collect::<Vec<_>>(), "")
    }

    pub(super) fn run_with(&self, now: &str, arguments: &[&str], stdin: &str) -> Answer {
        let mut command = program();
        command.arg("--dir").arg(self.path()).args(arguments).current_dir(self.path());
        match now.len() {
            0 => {}
            10 => drop(command.arg("--now").arg(format!("{now}T00:00:00Z"))),
            _ => drop(command.arg("--now").arg(now)),
        }
        finish(command, stdin)
    }

    /// The same with `--json`: a result, and the exit code of the contract.
    #[track_caller]
    pub(super) fn json(&self, now: &str, words: &str, code: i32) -> Value {
        let answer = self.run(now, &format!("--json {words}"));
        assert_eq!(answer.code, code, "{answer:?}");
        answer.json()
    }

    /// The same with `--json`: it could not run.
    #[track_caller]
    pub(super) fn error(&self, now: &str, words: &str) -> (String, String) {
        self.run(now, &format!("--json {words}")).error()
    }

    /// Writes a file of input and gives its path.
    pub(super) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let mut file = std::fs::File::create(&path).unwrap();
        file.write_all(text.as_ref()).unwrap();
        path
    }

    pub(super) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap()
    }

    /// Replaces a part of a file of the home, which must be there.
    #[track_caller]
    pub(super) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{from:?} is not in {name}");
        self.write(name, text.replacen(from, to, 1));
    }

    /// Imports rows under [`COLUMNS`]; all must be taken.
    #[track_caller]
    pub(super) fn import_organizations(&self, now: &str, rows: &str) {
        self.write("organizations.csv", format!("{COLUMNS}\n{rows}\n"));
        let answer = self.run(now, "org import organizations.csv");
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    /// Imports usage rows `organization,at,meter,dimension,quantity`, numbered; all must be taken.
    #[track_caller]
    pub(super) fn use_credits(&self, now: &str, rows: &[(&str, &str, &str, &str, &str)]) -> Value {
        let mut text = String::new();
        for (organization, at, meter, dimension, quantity) in rows {
            let number = text.lines().count();
            writeln!(
                text,
                "{{\"specversion\":\"1.0\",\"id\":\"{now}-{number}\",\"source\":\"it\",\"time\":\"{at}T12:00:00Z\",\
                 \"type\":\"{meter}\",\"subject\":\"{organization}\",\"data\":{{\"{dimension}\":{quantity}}}}}"
            )
            .unwrap();
        }
        let answer = self.run_with(now, &["--json", "usage", "import", "-"], &text);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.json()
    }
}

/// Columns of the organizations that tests import.
pub(super) const COLUMNS: &str = "id,name,billing_email,plan,joined_on,currency,payment_method,\
                                  allowance,rollover_cycles,rollover_cap,overage_price,tax_percent,zone";
/// A card that works, one that does not, and one organization without: Standard in January.
pub(super) const THREE: &str = "acme,Acme Corp,billing@acme.example,standard,2026-01-01,,pm_sandbox_ok,,,,,20,\n\
                                bolt,Bolt Ltd,pay@bolt.example,standard,2026-01-01,EUR,pm_sandbox_declined,,,,,,\n\
                                cora,Cora Inc,cora@cora.example,starter,2026-01-01,,,,,,,,Asia/Tokyo";
