//! All organizations, and what they are told: usage files, grants, purchases, ticks.

use std::collections::BTreeMap;

use super::account::{Account, Bought, Lot, Row, Used};
use super::calendar::{self, DAY};
use super::number::{CREDIT, Number, percent, price};
use super::prices::{Prices, exponent, rated};

/// One reported use.
#[derive(Debug, Clone)]
pub struct Event {
    pub organization: String,
    pub id: String,
    pub at: i64,
    pub meter: &'static str,
    pub quantities: Vec<(&'static str, Number)>,
}

impl Event {
    /// Everything but its identity.
    fn content(&self) -> String {
        let parts = self.quantities.iter().map(|(name, quantity)| format!(" {name}={quantity}"));
        format!("{} {}{}", self.at, self.meter, parts.collect::<String>())
    }
}

/// What becomes of the rows of a file: accepted, there already, set aside.
pub type Fates = [u64; 3];

/// A row that was set aside, with when and where it first came in.
#[derive(Debug)]
struct Aside {
    received: i64,
    file: u64,
    line: usize,
    event: Event,
}

/// The naive model of a deployment.
#[derive(Debug)]
pub struct Town {
    pub prices: Prices,
    pub accounts: BTreeMap<String, Account>,
    aside: Vec<Aside>,
    /// The latest instant anything was done at.
    pub seen: i64,
    /// The latest instant something was closed or bought at.
    pub worked: i64,
}

/// What a tick may do by the clock alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// It must be refused.
    Behind,
    /// It may be refused.
    Doubtful,
    /// It must work.
    Right,
}

/// Missed months that are caught up with by itself.
const CATCH_UP: i64 = 2;
/// How far the clock may fall behind.
const SLACK: i64 = calendar::HOUR / 12;
/// Most credits of one event.
const MOST: i128 = 1_000_000 * CREDIT;

impl Town {
    /// Nobody there yet.
    pub fn new(prices: Prices, now: i64) -> Self {
        let accounts = BTreeMap::new();
        Self { prices, accounts, aside: Vec::new(), seen: now, worked: i64::MIN / 2 }
    }

    /// An organizations file.
    pub fn import(&mut self, rows: &[Row], now: i64) {
        for row in rows {
            if let Some(account) = self.accounts.get_mut(&row.id) {
                account.change(row, now);
            } else {
                let account = Account::open(&self.prices, row, now);
                self.accounts.insert(row.id.clone(), account);
            }
        }
    }

    /// A usage file (D7, D8): what becomes of its rows.
    pub fn usage(&mut self, file: u64, events: &[Event], now: i64) -> Fates {
        let mut fates = [0; 3];
        let mut first: BTreeMap<(&str, &str), String> = BTreeMap::new();
        let mut aside = Vec::new();
        for (line, event) in events.iter().enumerate() {
            let key = (event.organization.as_str(), event.id.as_str());
            let fate = if self.refused(event, now, now) {
                2
            } else {
                match first.get(&key) {
                    Some(content) if *content == event.content() => 1,
                    Some(_) => 2,
                    None => {
                        first.insert(key, event.content());
                        self.store(event)
                    }
                }
            };
            fates[fate] += 1;
            if fate == 2 {
                aside.push(Aside { received: now, file, line, event: event.clone() });
            } else {
                // It arrived after all.
                self.aside.retain(|known| {
                    (&known.event.organization, &known.event.id, known.event.content())
                        != (&event.organization, &event.id, event.content())
                });
            }
        }
        for row in aside {
            let same = |known: &Aside| {
                (&known.event.organization, &known.event.id, known.event.content())
                    == (&row.event.organization, &row.event.id, row.event.content())
            };
            if !self.aside.iter().any(same) {
                self.aside.push(row);
            }
        }
        fates
    }

    /// Rows that were set aside are tried again.
    pub fn retry_aside(&mut self, now: i64) -> Fates {
        let mut fates = [0; 3];
        let mut rows = std::mem::take(&mut self.aside);
        rows.sort_by_key(|row| (row.received, row.file, row.line));
        for row in rows {
            let refused = self.refused(&row.event, now, row.received);
            let fate = if refused { 2 } else { self.store(&row.event) };
            fates[fate] += 1;
            if fate == 2 {
                self.aside.push(row);
            }
        }
        fates
    }

    /// Rows that wait for a person.
    pub fn set_aside(&self) -> usize {
        self.aside.len()
    }

    fn refused(&self, event: &Event, now: i64, received: i64) -> bool {
        let Some(account) = self.accounts.get(&event.organization) else { return true };
        let (year, month, _) = account.row.joined;
        event.at > now + SLACK
            || event.at < received - self.prices.look_back_days * DAY
            || calendar::month_of(account.row.zone, event.at) < calendar::month(year, month)
            || rated(event.meter, &event.quantities) > MOST
    }

    /// 0: new; 1: there already; 2: another event has its id.
    fn store(&mut self, event: &Event) -> usize {
        let Some(account) = self.accounts.get_mut(&event.organization) else { return 2 };
        if let Some(known) = account.events.get(&event.id) {
            return if *known == event.content() { 1 } else { 2 };
        }
        account.events.insert(event.id.clone(), event.content());
        let own = calendar::month_of(account.row.zone, event.at);
        let nano = rated(event.meter, &event.quantities);
        account.uses.push(Used { billed: own.max(account.month), own, nano });
        0
    }

    /// Credits granted by hand.
    pub fn grant(&mut self, organization: &str, id: &str, promotional: bool, nano: i128, now: i64) {
        let (source, term) =
            if promotional { (1, self.prices.promotional) } else { (2, self.prices.adjustment) };
        let Some(account) = self.accounts.get_mut(organization) else { return };
        let month = account.current(now);
        account.lots.push(Lot::new(id, source, (month, now), nano, term));
    }

    /// A purchase is asked for: a package, or so many 10⁻⁹ credit. Net and tax, so that the taxes of the month's
    /// purchases are the tax on their sum.
    pub fn priced(
        &self,
        organization: &str,
        wanted: Result<&str, i128>,
        now: i64,
    ) -> Option<Bought> {
        let account = self.accounts.get(organization)?;
        let row = &account.row;
        let of_book = |nano: i128| {
            let book = super::prices::of(&self.prices.book, row.currency)?;
            Some(price(nano, book, exponent(row.currency)))
        };
        let (credits, net) = match wanted {
            Ok(package) => {
                let (whole, own) = self.prices.package(package, row.currency);
                let nano = whole * CREDIT;
                (nano, own.or_else(|| of_book(nano))?)
            }
            Err(nano) => (nano, of_book(nano)?),
        };
        let month = account.current(now);
        let paid = |bought: &&Bought| bought.month == Some(month) && bought.percent == row.tax;
        let (mut nets, mut taxes) = (net, 0);
        for bought in account.bought.iter().filter(paid) {
            nets += bought.net;
            taxes += bought.tax;
        }
        let tax = (percent(nets, row.tax) - taxes).max(0);
        let (id, percent) = (String::new(), row.tax);
        Some(Bought { id, credits, net, tax, percent, month: None, lot: None })
    }

    /// A purchase was paid: its credits come in under this name.
    pub fn paid(&mut self, organization: &str, purchase: &str, lot: &str, now: i64) {
        let term = self.prices.purchase;
        let Some(account) = self.accounts.get_mut(organization) else { return };
        let month = account.current(now);
        let Some(bought) = account.bought.iter_mut().find(|bought| bought.id == purchase) else {
            return;
        };
        bought.month = Some(month);
        bought.lot = Some(lot.to_owned());
        let nano = bought.credits;
        account.lots.push(Lot::new(lot, 3, (month, now), nano, term));
    }

    /// May anything be closed at this instant?
    pub fn clock(&self, now: i64) -> Clock {
        if now < self.worked - SLACK {
            Clock::Behind
        } else if now < self.seen - SLACK {
            Clock::Doubtful
        } else {
            Clock::Right
        }
    }

    /// Everything that is due is closed, but for those who missed too many months. Gives how many months.
    pub fn tick(&mut self, confirmed: Option<u32>, now: i64) -> u64 {
        let limit = confirmed.map_or(CATCH_UP, |months| CATCH_UP.max(months.into()));
        let mut closed = 0;
        for account in self.accounts.values_mut() {
            while account.missed(&self.prices, now).is_some_and(|missed| missed <= limit) {
                account.close(&self.prices);
                closed += 1;
            }
        }
        closed
    }

    /// One month of each is closed: those of a cycle whatever was missed, or those who are due.
    pub fn rerun(&mut self, cycle: Option<i64>, only: Option<&str>, now: i64) -> u64 {
        let mut closed = 0;
        for account in self.accounts.values_mut() {
            if only.is_some_and(|only| only != account.row.id) {
                continue;
            }
            let Some(missed) = account.missed(&self.prices, now) else { continue };
            let wanted = cycle.map_or(missed <= CATCH_UP, |cycle| cycle == account.month);
            if wanted {
                account.close(&self.prices);
                closed += 1;
            }
        }
        closed
    }

    /// Does somebody wait for a person to confirm, and for how many months?
    pub fn held(&self, now: i64) -> Option<i64> {
        let missed = |account: &Account| account.missed(&self.prices, now);
        self.accounts.values().filter_map(missed).filter(|missed| *missed > CATCH_UP).max()
    }
}
