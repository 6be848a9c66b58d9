//! What must hold for any bytes from outside: one file for each door they come in by.
//!
//! Each target takes bytes and panics where a promise is broken. `cargo-fuzz` looks for such bytes
//! (`tests/fuzz/run`); the tests of the whole replay the corpora, and changed copies of them, on stable Rust.

#![allow(clippy::expect_used, clippy::panic, reason = "a promise that is broken is a panic here")]

pub mod answers;
pub mod catalog;
pub mod cloudevents;
pub mod config;
pub mod mail;
pub mod notifications;
pub mod organizations;
pub mod pages;
pub mod prices;
pub mod tables;
pub mod usage;
pub mod values;

/// What is done with one input.
pub type Target = fn(&[u8]);

/// Every target by name: the name of its corpus and of its program.
pub const ALL: [(&str, Target); 12] = [
    ("usage", usage::target),
    ("cloudevents", cloudevents::target),
    ("organizations", organizations::target),
    ("prices", prices::target),
    ("catalog", catalog::target),
    ("config", config::target),
    ("values", values::target),
    ("answers", answers::target),
    ("notifications", notifications::target),
    ("mail", mail::target),
    ("tables", tables::target),
    ("pages", pages::target),
];

/// Lines as a person counts them: a last line without its end counts, an empty one after the end does not.
fn lines(data: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    if lines.last().is_some_and(|last| last.is_empty()) {
        lines.pop();
    }
    lines
}

/// A reason for people: there, on one line, and not as long as what it is about.
fn assert_reason(reason: &str) {
    assert!(!reason.is_empty());
    assert!(reason.chars().count() <= 2_500, "a reason of {} bytes", reason.len());
    assert!(!reason.contains(char::is_control), "{reason:?}");
}

/// A plain decimal as digits and decimals, without zeros at either end: a reading that shares no code with the
/// program's. None: it is no plain decimal.
fn plain(text: &str) -> Option<(bool, String, usize)> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !all(whole) || !all(part) {
        return None;
    }
    let part = part.trim_end_matches('0');
    let mantissa = format!("{whole}{part}");
    let mantissa = mantissa.trim_start_matches('0');
    let negative = digits.len() < text.len() && !mantissa.is_empty();
    Some((negative, mantissa.to_owned(), part.len()))
}
