//! `catalog.toml`: what is sold and how it is priced, read and checked as a whole.
//!
//! The shape is checked by the parser, which stops at the first thing that does not belong; the
//! meaning is checked here, and every problem is listed at once, so finance corrects a file in one go.

mod check;
mod plans;
mod rates;
mod shape;

use std::fmt;

use crate::domain::catalog::Catalog;
use crate::domain::plan::Term;
use crate::intake::{line_at, toml_lines};
use check::Checker;
use shape::File;

/// The catalog `init` writes: every rate, plan and package of the rules, with comments.
pub const STARTER: &str = include_str!("../../../templates/starter/catalog.toml");

/// Largest catalog that is read, in bytes; a real one has some 10 kB.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// One thing that is wrong with a catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as the caller named it.
    pub file: String,
    /// Line, from 1; 0 where the whole file is meant.
    pub line: usize,
    /// The field, as a path: `plans.standard.fee.USD`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.reason)
    }
}

/// A catalog that cannot be used, with every reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", list(.problems))]
pub struct CatalogError {
    /// All problems, in the order of their lines; at least one.
    pub problems: Vec<Problem>,
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
}

/// Reads a catalog; `file` is its name for the errors.
///
/// # Errors
/// Not TOML, an unknown, missing or mistyped field (one at a time), or any number of wrong values.
pub fn parse(file: &str, text: &str) -> Result<Catalog, CatalogError> {
    if text.len() > MAX_BYTES {
        let reason = format!("the file has {} bytes; at most {MAX_BYTES} are read", text.len());
        let problem = Problem { file: file.to_owned(), line: 0, field: String::new(), reason };
        return Err(CatalogError { problems: vec![problem] });
    }
    let mut check = Checker::new(file, text);
    let shape: File = match toml::from_str(text) {
        Ok(shape) => shape,
        Err(error) => {
            let reason = error.message().trim().replace('\n', "; ");
            let start = error.span().map_or(0, |span| span.start);
            let line = text.lines().nth(line_at(text, start) - 1);
            // Most messages name the key themselves.
            let key = line.and_then(toml_lines::key_of).filter(|key| !reason.contains(key));
            check.problem(error.span(), key.unwrap_or_default(), reason);
            return Err(CatalogError { problems: check.finish() });
        }
    };
    let catalog = build(&mut check, &shape);
    let problems = check.finish();
    if problems.is_empty() { Ok(catalog) } else { Err(CatalogError { problems }) }
}

/// The catalog of a file; wrong values become problems and stand-ins, so that the rest is checked too.
fn build(check: &mut Checker, file: &File) -> Catalog {
    let whole_number = |check: &mut Checker, value: &Option<_>, field: &str, default, range| {
        value.as_ref().map_or(default, |value| check.integer(field, value, range))
    };
    let usage = &file.usage;
    let meters = rates::meters(check, file);
    let rates = rates::rates(check, file, &meters);
    Catalog {
        // D7.
        grace_hours: whole_number(check, &usage.grace_hours, "usage.grace_hours", 2, 0..=240),
        look_back_days: whole_number(
            check,
            &usage.look_back_days,
            "usage.look_back_days",
            62,
            1..=366,
        ),
        price_book: check.prices("price_book", &file.price_book),
        // D2, D10.
        purchase_term: check.term(
            "grants.purchase_cycles",
            file.grants.purchase_cycles.as_ref(),
            Term::Cycles(12),
        ),
        promotional_term: check.term(
            "grants.promotional_cycles",
            file.grants.promotional_cycles.as_ref(),
            Term::Never,
        ),
        adjustment_term: check.term(
            "grants.adjustment_cycles",
            file.grants.adjustment_cycles.as_ref(),
            Term::Never,
        ),
        plans: plans::plans(check, file),
        packages: plans::packages(check, file),
        meters,
        rates,
    }
}

#[cfg(test)]
mod tests;
