//! One organization in memory, stepped month by month through the real close.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, NaiveDate, Utc};
use chrono_tz::Tz;
use monthend::domain::catalog::Catalog;
use monthend::domain::close::{
    self, CycleInput, CycleOutcome, OpenCycle, PaidPurchase, allowance_grant, grant_posting,
    joining_allowance,
};
use monthend::domain::credits::Credits;
use monthend::domain::cycle::{Bounds, Cycle};
use monthend::domain::grant::{Grant, OpenGrant, Source};
use monthend::domain::ids;
use monthend::domain::invoice::UsageSummary;
use monthend::domain::money::{Currency, Money};
use monthend::domain::organization::Contract;
use monthend::domain::plan::{CycleTerms, Term};
use monthend::domain::rounding;
use monthend::domain::statement::CreditStatement;
use monthend::intake::catalog_file::{self, STARTER};
use rust_decimal::Decimal;

use super::books::Books;
use super::checks;

/// The starter catalog.
pub fn catalog() -> Catalog {
    catalog_file::parse("catalog.toml", STARTER).unwrap()
}

/// The terms of a plan of the starter catalog, in USD, without a contract.
pub fn plan(id: &str) -> CycleTerms {
    contract(id, Currency::USD, &Contract::default())
}

/// The terms of a plan of the starter catalog with an organization's own terms on top.
pub fn contract(id: &str, currency: Currency, contract: &Contract) -> CycleTerms {
    let catalog = catalog();
    catalog.plan(id).unwrap().terms(contract, currency, 1, catalog.grace_hours).unwrap()
}

/// Credits from text: `credits("0.99996")`.
pub fn credits(text: &str) -> Credits {
    text.parse().unwrap()
}

/// A month from text: `cycle("2026-01")`.
pub fn cycle(text: &str) -> Cycle {
    text.parse().unwrap()
}

/// An organization's state between two closes.
pub struct Year {
    /// Its id.
    pub organization: String,
    /// Whose midnight ends its months.
    pub zone: Tz,
    /// The day it joined.
    pub joined_on: NaiveDate,
    /// Its tax rate.
    pub tax_percent: Decimal,
    /// The month that is open.
    pub open: OpenCycle,
    /// The terms of the months to come.
    pub next_terms: CycleTerms,
    /// Every grant ever made, with what is left of it.
    pub grants: BTreeMap<String, OpenGrant>,
    /// Use carried beyond all credits.
    pub deficit: Credits,
    /// Its ledger.
    pub books: Books,
    /// The statements of all closed months.
    pub closed: Vec<CreditStatement>,
    usage: Vec<UsageSummary>,
    purchases: Vec<PaidPurchase>,
    serial: u32,
}

impl Year {
    /// An organization in UTC that joins on a day and gets the allowance of that month.
    pub fn join(terms: &CycleTerms, joined_on: &str) -> Self {
        Self::join_in(chrono_tz::UTC, terms, joined_on.parse().unwrap())
    }

    /// An organization that joins on a day of its own zone.
    pub fn join_in(zone: Tz, terms: &CycleTerms, joined_on: NaiveDate) -> Self {
        let cycle = Cycle::of_date(joined_on);
        let bounds = cycle.bounds(zone);
        let open = OpenCycle { cycle, bounds, terms: terms.clone(), fee_billed: false };
        let mut year = Self {
            organization: "acme".to_owned(),
            zone,
            joined_on,
            tax_percent: Decimal::ZERO,
            open,
            next_terms: terms.clone(),
            grants: BTreeMap::new(),
            deficit: Credits::ZERO,
            books: Books::default(),
            closed: Vec::new(),
            usage: Vec::new(),
            purchases: Vec::new(),
            serial: 0,
        };
        let allowance = joining_allowance(terms, cycle, joined_on).unwrap();
        if let Some(grant) = allowance_grant(&year.organization, &year.open, zone, allowance) {
            year.add(grant);
        }
        year
    }

    /// Credits that are neither allowance nor bought; gives the grant's id.
    pub fn give(&mut self, source: Source, amount: &str, term: Term) -> String {
        self.serial += 1;
        let at = self.open.bounds.starts_at + Duration::hours(i64::from(self.serial));
        let id = ids::derived("grt", at, &[&self.organization, source.as_str()]);
        self.add(self.lot(id.clone(), source, credits(amount), term, at));
        id
    }

    /// The credits of sign-up: promotional, and they never expire (S2, D2, D10).
    pub fn sign_up(&mut self, amount: &str) -> String {
        self.give(Source::Promotional, amount, Term::Never)
    }

    /// Buys a free number of credits by the price book, taxed and paid at once; gives the grant's id.
    pub fn buy(&mut self, amount: &str) -> String {
        let currency = self.open.terms.fee.currency();
        let net = catalog().price_of(credits(amount), currency).unwrap();
        self.pay(credits(amount), net, None)
    }

    /// Buys a package of the starter catalog.
    pub fn buy_package(&mut self, id: &str) -> String {
        let catalog = catalog();
        let currency = self.open.terms.fee.currency();
        let (package, net) = catalog.package(id, currency).unwrap();
        self.pay(package.credits, net, Some(package.name.clone()))
    }

    fn pay(&mut self, amount: Credits, net: Money, package: Option<String>) -> String {
        let id = self.give(Source::Purchase, &amount.to_string(), catalog().purchase_term);
        let gross = net.plus(rounding::tax(net, self.tax_percent).unwrap()).unwrap();
        let tax_percent = self.tax_percent;
        self.paid(PaidPurchase {
            id: id.clone(),
            package,
            credits: amount,
            net,
            tax_percent,
            gross,
        });
        id
    }

    /// Notes a payment for credits; the grant is added apart.
    pub fn paid(&mut self, purchase: PaidPurchase) {
        self.purchases.push(purchase);
    }

    /// Rated use of the open month.
    pub fn burn(&mut self, amount: &str) {
        self.use_of(self.open.cycle, "prompt", credits(amount));
    }

    /// Rated use of an earlier month that arrived after its close (D7).
    pub fn burn_late(&mut self, own: &str, amount: &str) {
        assert!(cycle(own) < self.open.cycle, "{own} is not closed");
        self.use_of(cycle(own), "prompt", credits(amount));
    }

    /// Rated use of any month.
    pub fn use_of(&mut self, own: Cycle, meter: &str, amount: Credits) {
        let usage =
            UsageSummary { cycle: own, meter: meter.to_owned(), events: 1, credits: amount };
        self.usage.push(usage);
    }

    /// Another plan, from the next month on (D5).
    pub fn change_plan(&mut self, terms: &CycleTerms) {
        self.next_terms = terms.clone();
    }

    /// A lot of the open month, its expiry computed as the product does.
    pub fn lot(
        &self,
        id: String,
        source: Source,
        granted: Credits,
        term: Term,
        granted_at: DateTime<Utc>,
    ) -> Grant {
        let last_cycle = term.last_cycle(self.open.cycle);
        let expires_at = last_cycle.map(|last| last.bounds(self.zone).ends_at);
        Grant { id, source, cycle: self.open.cycle, granted, granted_at, last_cycle, expires_at }
    }

    /// Makes a grant and posts it.
    pub fn add(&mut self, grant: Grant) {
        let posting = grant_posting(&grant).unwrap();
        self.books.post(&self.organization, posting, grant.granted_at);
        self.keep(grant);
    }

    fn keep(&mut self, grant: Grant) {
        let open = OpenGrant { remaining: grant.granted, grant };
        let before = self.grants.insert(open.grant.id.clone(), open);
        assert!(before.is_none(), "two grants of one id");
    }

    /// What the close of the open month will be given.
    pub fn input(&self) -> CycleInput {
        // Against the order of ids, so that only the close can have put them in burn order.
        let grants = self.grants.values().rev().filter(|open| open.remaining.is_positive());
        CycleInput {
            organization: self.organization.clone(),
            cycle: self.open.cycle,
            bounds: self.open.bounds,
            zone: self.zone,
            joined_on: self.joined_on,
            tax_percent: self.tax_percent,
            terms: self.open.terms.clone(),
            next_terms: self.next_terms.clone(),
            fee_billed: self.open.fee_billed,
            grants: grants.cloned().collect(),
            usage: self.usage.clone(),
            deficit_brought: self.deficit,
            purchases: self.purchases.clone(),
            corrections: Vec::new(),
        }
    }

    /// Closes the open month, checks all that must hold, and opens the next.
    pub fn close(&mut self) -> CycleOutcome {
        let input = self.input();
        checks::preview(&input, &close::preview_statement(&input).unwrap());
        let outcome = close::close(&input).unwrap();
        checks::outcome(&input, &outcome);
        let mut seen = Vec::new();
        for (id, left) in &outcome.remaining {
            assert!(!seen.contains(&id), "{id} is changed twice");
            seen.push(id);
            self.grants.get_mut(id).unwrap().remaining = *left;
        }
        for posting in &outcome.postings {
            let at = input.bounds.ends_at + Duration::hours(2);
            self.books.post(&self.organization, posting.clone(), at);
        }
        if let Some(grant) = &outcome.next_grant {
            self.keep(grant.clone());
        }
        self.deficit = outcome.statement.deficit;
        self.closed.push(outcome.statement.clone());
        self.open = outcome.next.clone();
        self.usage.clear();
        self.purchases.clear();
        checks::year(self);
        outcome
    }

    /// Closes so many months without use; gives the last outcome.
    pub fn rest(&mut self, months: u32) -> CycleOutcome {
        assert!(months > 0);
        (0..months).map(|_| self.close()).last().unwrap()
    }

    /// What can be used now: credits left in all grants, less the deficit they fill first (D8).
    pub fn balance(&self) -> Credits {
        let left = Credits::total(self.grants.values().map(|open| open.remaining)).unwrap();
        left.minus(self.deficit).unwrap()
    }

    /// What is left of one grant.
    pub fn left(&self, id: &str) -> Credits {
        self.grants[id].remaining
    }

    /// The id of the allowance of a month.
    pub fn allowance_of(&self, month: &str) -> String {
        let of = |open: &&OpenGrant| {
            open.grant.source == Source::Allowance && open.grant.cycle == cycle(month)
        };
        self.grants.values().find(of).unwrap().grant.id.clone()
    }

    /// The bounds of the open month.
    pub fn bounds(&self) -> Bounds {
        self.open.bounds
    }
}
