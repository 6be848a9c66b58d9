//! The part of a golden ledger that a person writes.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use chrono::NaiveDate;
use monthend::domain::close::CycleOutcome;
use monthend::domain::credits::Credits;
use monthend::domain::cycle::Cycle;
use monthend::domain::decimal;
use monthend::domain::grant::Source;
use monthend::domain::money::{Currency, Money};
use monthend::domain::organization::Contract;
use monthend::domain::plan::{CycleTerms, FeeTiming, RolloverCap, Term};
use rust_decimal::Decimal;

use crate::model::year::{self, Year};

/// One thing that happened in a month.
type Event = (Cycle, Vec<String>);

/// A parsed file.
pub struct Script {
    plan: String,
    joined_on: NaiveDate,
    currency: Currency,
    tax_percent: Decimal,
    sign_up: Option<String>,
    timing: Option<FeeTiming>,
    contract: Contract,
    events: Vec<Event>,
}

/// A year that was played.
pub struct Played {
    /// The organization afterwards.
    pub year: Year,
    /// Each close.
    pub closes: Vec<CycleOutcome>,
}

impl Script {
    /// Reads the input part; a line that is not understood is a failure that names it.
    pub fn parse(name: &str, input: &str) -> Self {
        let mut script = Self {
            plan: String::new(),
            joined_on: NaiveDate::MIN,
            currency: Currency::USD,
            tax_percent: Decimal::ZERO,
            sign_up: None,
            timing: None,
            contract: Contract::default(),
            events: Vec::new(),
        };
        for (number, line) in input.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let understood = match words.as_slice() {
                [] => true,
                [month, event @ ..] if month.parse::<Cycle>().is_ok() => {
                    let event = event.iter().map(|word| (*word).to_owned()).collect();
                    script.events.push((year::cycle(month), event));
                    true
                }
                terms => script.term(terms).is_some(),
            };
            assert!(understood, "{name}, line {}: {line:?} is not understood", number + 1);
        }
        assert_ne!(script.joined_on, NaiveDate::MIN, "{name}: the line `joined` is missing");
        script
    }

    fn term(&mut self, words: &[&str]) -> Option<()> {
        match words {
            ["plan", id] => (*id).clone_into(&mut self.plan),
            ["joined", day] => self.joined_on = day.parse().ok()?,
            ["currency", code] => self.currency = code.parse().ok()?,
            ["tax", percent, "%"] => self.tax_percent = decimal::parse(percent).ok()?,
            ["sign-up", credits] => self.sign_up = Some((*credits).to_owned()),
            ["fees", "in", timing] => self.timing = Some(fee_timing(timing)?),
            ["allowance", credits] => self.contract.allowance = Some(credits.parse().ok()?),
            ["rollover", months, "months"] => {
                self.contract.rollover = Some(Term::Cycles(months.parse().ok()?));
            }
            ["cap", credits] => {
                self.contract.rollover_cap = Some(RolloverCap::Credits(credits.parse().ok()?));
            }
            ["cap", percent, "%"] => {
                let percent = decimal::parse(percent).ok()?;
                self.contract.rollover_cap = Some(RolloverCap::Percent(percent));
            }
            ["fee", amount] => self.contract.fee = Some(Money::parse(amount, self.currency).ok()?),
            ["overage", price] => {
                self.contract.overage_price = Some(decimal::parse(price).ok()?);
            }
            _ => return None,
        }
        Some(())
    }

    fn terms(&self, plan: &str, timing: Option<FeeTiming>) -> CycleTerms {
        let mut terms = year::contract(plan, self.currency, &self.contract);
        terms.fee_timing = timing.unwrap_or(terms.fee_timing);
        terms
    }

    /// Closes every month the script names, in order.
    pub fn play(&self) -> Played {
        let terms = self.terms(&self.plan, self.timing);
        let mut year = Year::join_in(chrono_tz::UTC, &terms, self.joined_on);
        year.tax_percent = self.tax_percent;
        if let Some(credits) = &self.sign_up {
            year.sign_up(credits);
        }
        let mut closes = Vec::new();
        for (month, words) in &self.events {
            if *month == year.open.cycle.next() {
                closes.push(year.close());
            }
            assert_eq!(*month, year.open.cycle, "months must be named one after the other");
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            assert!(self.event(&mut year, &words).is_some(), "{month} {words:?} is not understood");
        }
        closes.push(year.close());
        Played { year, closes }
    }

    fn event(&self, year: &mut Year, words: &[&str]) -> Option<()> {
        match words {
            ["nothing"] => {}
            ["used", credits] => year.burn(credits),
            ["used", credits, "late", "of", month] => year.burn_late(month, credits),
            ["bought", "package", id] => {
                year.buy_package(id);
            }
            ["bought", credits] => {
                year.buy(credits);
            }
            ["given", credits, source, "for", "ever"] => {
                year.give(source.parse().ok()?, credits, Term::Never);
            }
            ["given", credits, source, "for", months, "months"] => {
                let source: Source = source.parse().ok()?;
                year.give(source, credits, Term::Cycles(months.parse().ok()?));
            }
            ["plan", id, "from", month, timing @ ..] => {
                assert_eq!(year::cycle(month), year.open.cycle.next(), "a plan starts next month");
                let timing = match timing {
                    [] => None,
                    ["fees", "in", timing] => Some(fee_timing(timing)?),
                    _ => return None,
                };
                year.change_plan(&self.terms(id, timing));
            }
            _ => return None,
        }
        Some(())
    }
}

fn fee_timing(word: &str) -> Option<FeeTiming> {
    match word {
        "advance" => Some(FeeTiming::Advance),
        "arrears" => Some(FeeTiming::Arrears),
        _ => None,
    }
}

/// Sum of a figure over all closes.
pub fn sum(closes: &[CycleOutcome], part: fn(&CycleOutcome) -> Credits) -> Credits {
    Credits::total(closes.iter().map(part)).unwrap()
}
