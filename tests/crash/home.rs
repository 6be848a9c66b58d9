//! A deployment's home, made and used by the program under test alone.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::Value;

/// Where the facts are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// A file in the home.
    Sqlite,
    /// A database of a server.
    Postgres,
}

impl Engine {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// A home folder with the program that works in it.
#[derive(Debug, Clone)]
pub struct Home {
    /// The folder.
    pub folder: PathBuf,
    /// The program.
    pub binary: PathBuf,
    /// `postgres://…`; none: SQLite in the folder.
    pub database: Option<String>,
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its exit code; none: a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// The command with its environment, and nothing else of ours. `now`: the test clock.
    pub fn command(&self, now: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        for (name, value) in self.environment() {
            command.env(name, value);
        }
        command.args(self.arguments(now, arguments)).stdin(Stdio::null());
        command
    }

    /// All arguments of a command, those before it included.
    pub fn arguments(&self, now: Option<&str>, arguments: &[&str]) -> Vec<String> {
        let mut all = vec!["--dir".to_owned(), self.folder.display().to_string()];
        if let Some(now) = now {
            all.extend(["--now".to_owned(), now.to_owned()]);
        }
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        all
    }

    /// What is set in the program's environment beside what it inherits.
    pub fn environment(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("MONTHEND_DATABASE_URL", self.database.clone().unwrap_or_default()),
            ("MONTHEND_STRIPE_KEY", "sk_test_crash".to_owned()),
            ("MONTHEND_ACTOR", "crash".to_owned()),
        ])
    }

    /// Runs a command to its end.
    pub fn run(&self, now: Option<&str>, arguments: &[&str]) -> Result<Answer> {
        let output = self.command(now, arguments).output();
        Ok(Answer::of(&output.with_context(|| self.binary.display().to_string())?))
    }

    /// Runs a command that must end with 0.
    pub fn done(&self, now: Option<&str>, arguments: &[&str]) -> Result<Answer> {
        let answer = self.run(now, arguments)?;
        ensure!(answer.code == Some(0), "{}: {answer}", arguments.join(" "));
        Ok(answer)
    }

    /// The JSON object of a command that ends with 0 or 1.
    pub fn json(&self, now: Option<&str>, arguments: &[&str]) -> Result<Value> {
        let answer = self.run(now, &[&["--json"], arguments].concat())?;
        if !matches!(answer.code, Some(0 | 1)) {
            bail!("{}: {answer}", arguments.join(" "));
        }
        serde_json::from_str(&answer.stdout)
            .with_context(|| format!("{}: {answer}", arguments.join(" ")))
    }

    /// Writes a file of the home.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())
    }

    /// Lets the starter configuration speak to a provider and a mail server on this machine.
    /// To be called again with other ports as often as wanted.
    pub fn connect(&self, provider: &str, smtp_port: u16) -> Result<()> {
        const MARK: &str = "\n# --- edges of the crash tests ---\n";
        let path = self.folder.join("monthend.toml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let starter = text.split(MARK).next().unwrap_or_default();
        let text = starter
            .replace("\ntransport = \"outbox\"", "\ntransport = \"smtp\"")
            .replace("\ngateway = \"sandbox\"", "\ngateway = \"stripe\"");
        ensure!(
            text.contains("\"smtp\"") && text.contains("\"stripe\""),
            "the starter file changed"
        );
        let edges = format!(
            "[mail.smtp]\nhost = \"127.0.0.1\"\nport = {smtp_port}\ntls = \"none\"\ntimeout_s = 10\n\n\
             [payments.stripe]\nbase_url = \"{provider}\"\nrequests_per_second = 100\n"
        );
        self.write("monthend.toml", &format!("{text}{MARK}{edges}"))
    }
}

impl Answer {
    fn of(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.code {
            Some(code) => write!(f, "exit {code}")?,
            None => write!(f, "ended by a signal")?,
        }
        write!(f, " {} {}", self.stdout.trim(), self.stderr.trim())
    }
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}

/// Every file below a folder, by its path from there.
pub fn files(folder: &Path) -> Result<Vec<String>> {
    fn below(folder: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                below(&entry.path(), &format!("{name}/"), found)?;
            } else {
                found.push(name);
            }
        }
        Ok(())
    }
    let mut found = Vec::new();
    below(folder, "", &mut found)?;
    found.sort();
    Ok(found)
}

/// A file to write output into.
pub fn output_file(path: &Path) -> Result<File> {
    File::create(path).with_context(|| path.display().to_string())
}
