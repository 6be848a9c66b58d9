//! The sessions shown in the documentation are run as they stand: an example that rots fails here.
//!
//! The convention: in a section that is run, each block marked `sh` is executed, and in each block marked
//! `console` a line after `$ ` is a command (continued while lines end in `\`) and what follows is its
//! output with its errors. A line that is only `…` stands for any number of lines, a `…` inside a line for
//! any text. Every command ends with 0 unless the session itself shows another code.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Stands for what is left out.
const LEFT_OUT: &str = "…";
/// Printed after each command, with its exit code.
const MARK: &str = "<<ended>>";

/// A command of a session and what the page says of it.
#[derive(Debug)]
struct Shown {
    command: String,
    /// None: a block of commands whose output is not shown.
    output: Option<Vec<String>>,
}

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// The lines below a heading, up to the next one of its level.
fn section<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let level = heading.split(' ').next().unwrap();
    let mut fenced = false;
    let lines: Vec<&str> = page
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| {
            fenced ^= line.starts_with("```");
            fenced || line.split(' ').next() != Some(level)
        })
        .collect();
    assert!(!lines.is_empty(), "there is no section {heading:?}");
    lines
}

/// The commands of a section, in order.
fn commands(lines: &[&str]) -> Vec<Shown> {
    let mut shown = Vec::new();
    let mut lines = lines.iter();
    while let Some(fence) = lines.next() {
        let block = || lines.clone().take_while(|line| **line != "```");
        match *fence {
            "```sh" => {
                let command = block().copied().collect::<Vec<_>>().join("\n");
                shown.push(Shown { command, output: None });
            }
            "```console" => shown.extend(session(block().copied())),
            other if !other.starts_with("```") => continue,
            _ => {}
        }
        lines.by_ref().find(|line| **line == "```");
    }
    shown
}

fn session<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            shown.push(Shown { command: command.to_owned(), output: Some(Vec::new()) });
        } else if let Some(last) = shown.last_mut() {
            let output = last.output.get_or_insert_default();
            if last.command.ends_with('\\') {
                last.command = format!("{}\n{line}", last.command);
            } else {
                output.push(line.to_owned());
            }
        }
    }
    shown
}

/// Runs all commands in one shell, so that what one sets the next one sees; gives output and exit code
/// of each.
fn run(shown: &[Shown]) -> Vec<(Vec<String>, String)> {
    let folder = tempfile::tempdir().unwrap();
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_monthend"), programs.join("monthend")).unwrap();
    let here = folder.path().join("here");
    fs::create_dir(&here).unwrap();
    let script: Vec<String> =
        shown.iter().map(|shown| format!("{}\necho \"{MARK} $?\"", shown.command)).collect();
    let inherited = std::env::var("PATH").unwrap_or_default();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("exec 2>&1\n{}", script.join("\n")))
        .current_dir(&here)
        .env("PATH", format!("{}:{inherited}", programs.display()));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MONTHEND_")) {
        shell.env_remove(name);
    }
    let text = String::from_utf8(shell.output().unwrap().stdout).unwrap();
    let mut done = vec![];
    let mut output = vec![];
    for line in text.lines() {
        match line.strip_prefix(MARK) {
            Some(code) => done.push((std::mem::take(&mut output), code.trim().to_owned())),
            None => output.push(line.trim_end().to_owned()),
        }
    }
    done
}

/// Is a line what the page shows?
fn line_fits(shown: &str, line: &str) -> bool {
    let mut parts = shown.split(LEFT_OUT);
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut open = false;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open = part.is_empty();
    }
    open || rest.is_empty()
}

/// Is an output what the page shows?
fn fits(shown: &[String], output: &[String]) -> bool {
    match (shown.split_first(), output.split_first()) {
        (None, _) => output.is_empty(),
        (Some((first, rest)), _) if first == LEFT_OUT => {
            (0..=output.len()).any(|skipped| fits(rest, &output[skipped..]))
        }
        (Some((first, rest)), Some((line, left))) => line_fits(first, line) && fits(rest, left),
        (Some(_), None) => false,
    }
}

/// Runs a section of a page and compares.
fn holds(name: &str, heading: &str, least: usize) {
    let page = page(name);
    let mut shown = commands(&section(&page, heading));
    assert!(shown.len() >= least, "{name}: only {} commands are shown", shown.len());
    // A program that not every machine has.
    let has_sqlite = Command::new("sqlite3").arg("--version").output().is_ok();
    shown.retain(|shown| has_sqlite || !shown.command.starts_with("sqlite3 "));
    let done = run(&shown);
    assert_eq!(done.len(), shown.len(), "{name}: the session ended early");
    for (shown, (output, code)) in shown.iter().zip(&done) {
        let command = &shown.command;
        assert_eq!(code, "0", "{name}: {command}\n{}", output.join("\n"));
        let Some(expected) = &shown.output else { continue };
        assert!(
            fits(expected, output),
            "{name}: {command}\n--- shown\n{}\n--- is\n{}",
            expected.join("\n"),
            output.join("\n")
        );
    }
}

#[test]
fn the_tour_is_true() {
    holds("README.md", "## Five minutes", 10);
}

#[test]
fn the_worked_example_is_true() {
    holds("docs/OPERATIONS.md", "# Explain an invoice", 3);
}

#[test]
fn what_is_left_out_may_be_anything_and_nothing_else() {
    assert!(line_fits("paid … EUR by … on …", "paid 5 EUR by charge on 2026-02-01"));
    assert!(!line_fits("paid … EUR", "paid 5 EUR by charge") && !line_fits("a", "b"));
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(fits(&lines("a\n…\nd"), &lines("a\nb\nc\nd")) && fits(&lines("…"), &[]));
    assert!(!fits(&lines("a\n…\nd"), &lines("a\nb")) && !fits(&[], &lines("a")));
}
