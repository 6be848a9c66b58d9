//! Everything that is printed: tables and sentences for people, one JSON object for programs.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::config::ConfigError;
use crate::domain::admission::Reason;
use crate::domain::text;
use crate::services::ServiceError;
use crate::storage::StorageError;

/// Where and how a command prints.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    /// What `--quiet` keeps back: it is told if there was trouble.
    kept: Mutex<String>,
}

/// A stable word for programs about an error.
pub(crate) fn code_of(error: &anyhow::Error) -> &'static str {
    if let Some(error) = error.downcast_ref::<ServiceError>() {
        return error.code();
    }
    if error.downcast_ref::<ConfigError>().is_some() {
        return "configuration";
    }
    if error.downcast_ref::<StorageError>().is_some() {
        return "database";
    }
    "cannot_run"
}

impl Output {
    pub(crate) const fn new(json: bool, quiet: bool) -> Self {
        Self { json, quiet, kept: Mutex::new(String::new()) }
    }

    /// Prints the result: the object for programs, or the text for people.
    pub(crate) fn result(&self, object: &Value, text: impl FnOnce() -> String) {
        if self.json {
            line(&mut std::io::stdout(), &escaped(object));
        } else if self.quiet {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_str(text().trim_end());
            kept.push('\n');
        } else {
            line(&mut std::io::stdout(), text().trim_end());
        }
    }

    /// The command ended, but something failed: a result that was kept back says what.
    pub(crate) fn trouble(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.is_empty() {
            line(&mut std::io::stdout(), kept.trim_end());
        }
    }

    /// Prints an error.
    pub(crate) fn error(&self, code: &str, message: &str) {
        let message: String =
            message.lines().map(text::cleaned_line).collect::<Vec<_>>().join("\n");
        if self.json {
            let object = json!({"error": {"code": code, "message": message}});
            line(&mut std::io::stderr(), &object.to_string());
        } else {
            line(&mut std::io::stderr(), &format!("monthend: {message}"));
        }
    }

    /// A progress bar over bytes; hidden unless stderr is a terminal.
    pub(crate) fn bytes_bar(&self, length: u64, what: &str) -> ProgressBar {
        if self.json || self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(length);
        let pattern = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(pattern) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar
    }

    /// A spinner for long work; hidden unless stderr is a terminal.
    pub(crate) fn spinner(&self, what: &str) -> ProgressBar {
        if self.json || self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(std::time::Duration::from_millis(120));
        bar
    }
}

/// JSON whose texts steer no terminal: what [`text::cleaned`] would take out stays, but escaped.
fn escaped(object: &Value) -> String {
    let json = object.to_string();
    if text::is_harmless(&json) {
        return json;
    }
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        if text::is_harmless(c.encode_utf8(&mut [0; 4])) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                safe += &format!("\\u{unit:04x}");
            }
        }
    }
    safe
}

/// A closed pipe is no reason to fail.
fn line(to: &mut impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
}

/// A table with right-aligned columns where `right` says so.
pub(crate) fn table(header: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.iter().copied());
    for row in rows {
        table.add_row(row.iter().map(|cell| text::clipped(cell, 60)));
    }
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.to_string().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Whether an organization may work, for people: `active`, or `paused: out of credits`.
pub(crate) fn state_text(reason: Option<Reason>) -> String {
    reason.map_or("active".to_owned(), |reason| format!("paused: {}", pause_reason(reason)))
}

/// Why an organization is paused, for people.
pub(crate) const fn pause_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::ByHand => "by hand",
        Reason::Unpaid => "an invoice is unpaid",
        Reason::OutOfCredits => "out of credits",
    }
}

/// An instant as programs read it.
pub(crate) fn instant(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}

/// A path for people and programs.
pub(crate) fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}
