//! Values of a catalog, each with its rule; what breaks one is noted and the check goes on.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use toml::Spanned;

use super::Problem;
use super::shape::{Amount, Named};
use crate::domain::credits::Credits;
use crate::domain::money::{Currency, Money};
use crate::domain::plan::{RolloverCap, Term};
use crate::domain::text;
use crate::intake::values;
use crate::intake::{is_catalog_id, line_at, shown};

/// Longest name of a plan or package on documents, in characters.
const MAX_NAME_CHARS: usize = 200;
/// Longest reason, in characters.
const MAX_SHOWN_CHARS: usize = 2_000;

/// Collects problems while values are read.
pub(super) struct Checker<'a> {
    file: &'a str,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    /// All problems, by line.
    pub(super) fn finish(mut self) -> Vec<Problem> {
        self.problems.sort_by_key(|problem| problem.line);
        self.problems
    }

    /// How many problems there are so far.
    pub(super) fn count(&self) -> usize {
        self.problems.len()
    }

    /// Notes a problem at a place of the file.
    pub(super) fn problem(
        &mut self,
        span: Option<Range<usize>>,
        field: &str,
        reason: impl Into<String>,
    ) {
        let line = span.map_or(0, |span| line_at(self.text, span.start));
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line,
            // Keys and values of the file are foreign text: it must not reach a terminal as it is.
            field: text::clipped(field, MAX_SHOWN_CHARS),
            reason: text::clipped(&reason.into(), MAX_SHOWN_CHARS),
        });
    }

    /// An id of a plan, package or meter.
    pub(super) fn id(&mut self, table: &str, id: &Spanned<String>) -> String {
        let text = id.get_ref();
        if !is_catalog_id(text) {
            self.problem(
                Some(id.span()),
                &format!("{table}.{text}"),
                "an id has 1 to 63 characters of a-z, 0-9, '_', '.', '-' and begins with a letter or digit",
            );
        }
        text.clone()
    }

    /// A name for documents.
    pub(super) fn name(&mut self, field: &str, name: &Spanned<String>) -> String {
        let given = name.get_ref();
        let clean = text::cleaned(given);
        if clean.is_empty() || clean != *given || clean.chars().count() > MAX_NAME_CHARS {
            self.problem(
                Some(name.span()),
                field,
                format!(
                    "a name has 1 to {MAX_NAME_CHARS} characters, no control characters and no \
                     spaces around it"
                ),
            );
        }
        clean
    }

    /// A whole number in a range.
    pub(super) fn integer(
        &mut self,
        field: &str,
        value: &Spanned<Amount>,
        range: RangeInclusive<u16>,
    ) -> u16 {
        let text = &value.get_ref().0;
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.unwrap_or_else(|| {
            let (from, to) = (range.start(), range.end());
            let reason = format!("{} is not a whole number from {from} to {to}", shown(text));
            self.problem(Some(value.span()), field, reason);
            *range.start()
        })
    }

    /// A term of grants: a number of cycles, or "never".
    pub(super) fn term(
        &mut self,
        field: &str,
        value: Option<&Spanned<Amount>>,
        default: Term,
    ) -> Term {
        let Some(value) = value else { return default };
        self.ok(field, value, values::term(&value.get_ref().0)).unwrap_or(default)
    }

    /// A cap on carried-over allowance: credits, or a percentage (D4).
    pub(super) fn cap(
        &mut self,
        field: &str,
        value: Option<&Spanned<Amount>>,
    ) -> Option<RolloverCap> {
        let value = value?;
        self.ok(field, value, values::cap(&value.get_ref().0))
    }

    /// Credits, not negative.
    pub(super) fn credits(&mut self, field: &str, value: &Spanned<Amount>) -> Credits {
        self.ok(field, value, values::credits(&value.get_ref().0)).unwrap_or_default()
    }

    /// A decimal, not negative.
    pub(super) fn decimal(&mut self, field: &str, value: &Spanned<Amount>) -> Option<Decimal> {
        self.ok(field, value, values::decimal(&value.get_ref().0))
    }

    /// Fees or package prices by currency, none below zero.
    pub(super) fn money(
        &mut self,
        field: &str,
        table: &Named<Spanned<Amount>>,
    ) -> BTreeMap<Currency, Money> {
        let mut amounts = BTreeMap::new();
        for (code, value) in table {
            let field = format!("{field}.{}", code.get_ref());
            let Some(currency) = self.currency(&field, code) else { continue };
            let amount = values::money(&value.get_ref().0, currency);
            if let Some(amount) = self.ok(&field, value, amount) {
                amounts.insert(currency, amount);
            }
        }
        amounts
    }

    /// Prices of one credit by currency, all above zero (D8, D9).
    pub(super) fn prices(
        &mut self,
        field: &str,
        table: &Named<Spanned<Amount>>,
    ) -> BTreeMap<Currency, Decimal> {
        let mut prices = BTreeMap::new();
        for (code, value) in table {
            let field = format!("{field}.{}", code.get_ref());
            let Some(currency) = self.currency(&field, code) else { continue };
            let Some(price) = self.decimal(&field, value) else { continue };
            if price.is_zero() {
                self.problem(Some(value.span()), &field, "the price of a credit is above zero");
            }
            prices.insert(currency, price);
        }
        prices
    }

    /// A calendar day, 1970 to 2500.
    pub(super) fn date(&mut self, field: &str, value: &Spanned<Amount>) -> Option<NaiveDate> {
        self.ok(field, value, values::date(&value.get_ref().0))
    }

    fn currency(&mut self, field: &str, code: &Spanned<String>) -> Option<Currency> {
        let currency = code.get_ref().parse::<Currency>();
        currency.map_err(|error| self.problem(Some(code.span()), field, error.to_string())).ok()
    }

    fn ok<T>(
        &mut self,
        field: &str,
        value: &Spanned<Amount>,
        result: Result<T, String>,
    ) -> Option<T> {
        result.map_err(|reason| self.problem(Some(value.span()), field, reason)).ok()
    }
}
