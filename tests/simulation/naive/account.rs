//! One organization: its terms, its lots of credits, its use, and the close of a month.

use std::collections::BTreeMap;

use chrono_tz::Tz;

use super::calendar;
use super::invoice::{self, Bill};
use super::number::{Number, half_even, percent};
use super::prices::{Cap, Prices, Term, of};

/// An organization's own terms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contract {
    pub allowance: Option<i128>,
    pub rollover: Option<Term>,
    pub cap: Option<Cap>,
    pub fee: Option<i128>,
    pub overage: Option<Number>,
}

/// A row of an organizations file.
#[derive(Debug, Clone)]
pub struct Row {
    pub id: String,
    pub plan: &'static str,
    /// Year, month, day.
    pub joined: (i32, u32, u32),
    pub zone: Tz,
    pub currency: &'static str,
    pub tax: Number,
    pub contract: Contract,
    /// Token of the method that is charged.
    pub method: Option<String>,
}

/// The terms of a month.
#[derive(Debug, Clone)]
pub struct Terms {
    pub allowance: i128,
    pub fee: i128,
    pub advance: bool,
    pub rollover: Term,
    pub cap: Option<Cap>,
    pub overage: Option<Number>,
    pub prorate_fee: bool,
    pub prorate_allowance: bool,
}

/// Credits that came in at once.
#[derive(Debug, Clone)]
pub struct Lot {
    pub id: String,
    /// 0 allowance, 1 promotional, 2 adjustment, 3 purchase.
    pub source: u8,
    /// The month it came in.
    pub month: i64,
    pub at: i64,
    /// The last month it can be used in.
    pub last: i64,
    pub opening: i128,
    /// What came in this month, corrections too.
    pub granted: i128,
    pub used: i128,
    pub expired: i128,
}

/// A purchase: asked for, and paid or not.
#[derive(Debug, Clone)]
pub struct Bought {
    pub id: String,
    pub credits: i128,
    pub net: i128,
    pub tax: i128,
    pub percent: Number,
    /// The month it was paid in.
    pub month: Option<i64>,
    /// Its credits, once it was paid.
    pub lot: Option<String>,
}

/// Use that was taken in.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// The month it is billed with.
    pub billed: i64,
    /// The month it happened in.
    pub own: i64,
    pub nano: i128,
}

/// A closed month.
#[derive(Debug, Clone)]
pub struct Closed {
    /// Opening, granted and purchased, used, expired, closing.
    pub credits: [i128; 5],
    pub rated: i128,
    pub brought: i128,
    pub overage: i128,
    pub deficit: i128,
    /// In the order they are burned in.
    pub lots: Vec<Lot>,
    pub bill: Option<Bill>,
    pub currency: &'static str,
}

/// Never over.
pub const FOR_EVER: i64 = i64::MAX;

/// An organization as the naive model keeps it.
#[derive(Debug)]
pub struct Account {
    pub row: Row,
    /// Plans and contracts with the instant they hold from.
    history: Vec<(i64, &'static str, Contract)>,
    /// The open month.
    pub month: i64,
    pub terms: Terms,
    pub fee_billed: bool,
    pub lots: Vec<Lot>,
    pub deficit: i128,
    pub uses: Vec<Used>,
    /// What each event said, by its id.
    pub events: BTreeMap<String, String>,
    pub bought: Vec<Bought>,
    pub closed: BTreeMap<i64, Closed>,
    /// Credits given back, by the closed month and lot they were used in and from.
    pub returned: BTreeMap<(i64, String), i128>,
}

fn terms(prices: &Prices, plan: &str, contract: &Contract, currency: &str) -> Terms {
    let plan = prices.plan(plan);
    Terms {
        allowance: contract.allowance.unwrap_or(plan.allowance),
        fee: contract.fee.or(of(&plan.fee, currency)).unwrap_or(0),
        advance: plan.advance,
        rollover: contract.rollover.unwrap_or(plan.rollover),
        cap: contract.cap.or(plan.cap),
        overage: contract.overage.or(of(&plan.overage, currency)),
        prorate_fee: plan.prorate_fee,
        prorate_allowance: plan.prorate_allowance,
    }
}

impl Lot {
    /// Credits that came in.
    pub fn new(id: &str, source: u8, (month, at): (i64, i64), nano: i128, term: Term) -> Self {
        Self {
            id: id.to_owned(),
            source,
            month,
            at,
            last: term.map_or(FOR_EVER, |months| month + months),
            opening: 0,
            granted: nano,
            used: 0,
            expired: 0,
        }
    }

    /// What is left of it.
    pub fn left(&self) -> i128 {
        self.opening + self.granted - self.used - self.expired
    }

    /// Did anything happen with it, or could it?
    fn counts(&self) -> bool {
        self.opening != 0 || self.granted != 0
    }
}

/// The name of a month's allowance.
pub fn allowance_name(month: i64) -> String {
    format!("allowance-{}", calendar::label(month))
}

impl Account {
    /// A new organization with its first month, allowance and sign-up credits.
    pub fn open(prices: &Prices, row: &Row, now: i64) -> Self {
        let month = calendar::month(row.joined.0, row.joined.1);
        let terms = terms(prices, row.plan, &row.contract, row.currency);
        let mut account = Self {
            row: row.clone(),
            history: vec![(now, row.plan, row.contract.clone())],
            month,
            terms,
            fee_billed: false,
            lots: Vec::new(),
            deficit: 0,
            uses: Vec::new(),
            events: BTreeMap::new(),
            bought: Vec::new(),
            closed: BTreeMap::new(),
            returned: BTreeMap::new(),
        };
        let mut allowance = account.terms.allowance;
        if let (Some((days, of)), true) = (account.joining(), account.terms.prorate_allowance) {
            allowance = half_even(allowance * days, of);
        }
        account.grant_allowance(allowance);
        let signup = prices.plan(row.plan).signup;
        if signup > 0 {
            let at = calendar::start(row.zone, month);
            account.lots.push(Lot::new("sign-up", 1, (month, at), signup, prices.promotional));
        }
        account
    }

    /// The same organization with another row; other terms hold from now on.
    pub fn change(&mut self, row: &Row, now: i64) {
        if (row.plan, &row.contract) != (self.row.plan, &self.row.contract) {
            let last = self.history.last().map_or(now, |(at, ..)| *at);
            self.history.push((now.max(last + 1), row.plan, row.contract.clone()));
        }
        self.row = row.clone();
    }

    /// Days it is in its first month, and the days of that month; none in any other month (D13).
    pub fn joining(&self) -> Option<(i128, i128)> {
        let (year, month, day) = self.row.joined;
        let first = calendar::month(year, month) == self.month && day > 1;
        let of = calendar::days_of(self.month);
        first.then(|| (of - i128::from(day) + 1, of))
    }

    fn grant_allowance(&mut self, nano: i128) {
        if nano > 0 {
            let at = calendar::start(self.row.zone, self.month);
            let name = allowance_name(self.month);
            self.lots.push(Lot::new(&name, 0, (self.month, at), nano, self.terms.rollover));
        }
    }

    fn terms_at(&self, prices: &Prices, at: i64) -> Terms {
        let held = self.history.iter().rev().find(|(since, ..)| *since <= at);
        let (_, plan, contract) = held.unwrap_or(&self.history[0]);
        terms(prices, plan, contract, self.row.currency)
    }

    /// The month something of now falls in: the calendar's, but never a closed one.
    pub fn current(&self, now: i64) -> i64 {
        self.month.max(calendar::month_of(self.row.zone, now))
    }

    /// Months that are over and not closed; none: not due yet.
    pub fn missed(&self, prices: &Prices, now: i64) -> Option<i64> {
        let grace = prices.grace_hours * calendar::HOUR;
        let end = calendar::start(self.row.zone, self.month + 1);
        let at = calendar::month_of(self.row.zone, now - grace);
        (end + grace <= now).then(|| (at - self.month).max(1))
    }

    /// Use of the open month so far and of earlier months that is billed with it, by its own month.
    pub fn demand(&self) -> BTreeMap<i64, i128> {
        let mut by_month = BTreeMap::new();
        for used in self.uses.iter().filter(|used| used.billed == self.month) {
            *by_month.entry(used.own).or_default() += used.nano;
        }
        by_month
    }

    /// Closes the open month and opens the next.
    pub fn close(&mut self, prices: &Prices) {
        let demand = self.demand();
        let rated: i128 = demand.values().sum();
        let brought = self.deficit;
        let covered = burn(&mut self.lots, self.month, brought + rated);
        let beyond = brought + rated - covered;
        self.lapse();
        let next = self.terms_at(prices, calendar::start(self.row.zone, self.month + 1));
        let bill = invoice::bill(self, &demand, covered, &next);
        let billed = self.terms.overage.is_some();
        self.deficit = if billed { 0 } else { beyond };
        let mut lots: Vec<Lot> = self
            .lots
            .iter()
            .filter(|lot| lot.month <= self.month && lot.counts())
            .cloned()
            .collect();
        lots.sort_by(|a, b| rank(a).cmp(&rank(b)));
        let sum = |part: fn(&Lot) -> i128| lots.iter().map(part).sum();
        let credits = [
            sum(|lot| lot.opening),
            sum(|lot| lot.granted),
            sum(|lot| lot.used),
            sum(|lot| lot.expired),
            sum(Lot::left),
        ];
        let closed = Closed {
            credits,
            rated,
            brought,
            overage: if billed { beyond } else { 0 },
            deficit: self.deficit,
            lots,
            bill,
            currency: self.row.currency,
        };
        self.closed.insert(self.month, closed);
        self.open_next(next);
    }

    /// What has reached its last month lapses; then allowance over the cap, the soonest to expire first (D4).
    fn lapse(&mut self) {
        let month = self.month;
        let open = |lot: &&mut Lot| lot.month <= month;
        for lot in self.lots.iter_mut().filter(open) {
            if lot.last <= month {
                lot.expired += lot.left();
            }
        }
        let cap = match self.terms.cap {
            None => return,
            Some(Cap::Credits(nano)) => nano,
            Some(Cap::Percent(rate)) => percent(self.terms.allowance, rate),
        };
        loop {
            let carried = self.lots.iter().filter(|lot| lot.source == 0 && lot.month <= month);
            let over = carried.map(Lot::left).sum::<i128>() - cap;
            if over <= 0 {
                return;
            }
            let full = self.lots.iter_mut().filter(|lot| lot.source == 0 && lot.left() > 0);
            let Some(soonest) = full.min_by_key(|lot| (lot.last, lot.month)) else { return };
            soonest.expired += over.min(soonest.left());
        }
    }

    fn open_next(&mut self, next: Terms) {
        for lot in self.lots.iter_mut().filter(|lot| lot.month <= self.month) {
            lot.opening = lot.left();
            (lot.granted, lot.used, lot.expired) = (0, 0, 0);
        }
        self.month += 1;
        self.fee_billed = next.advance;
        self.terms = next;
        self.grant_allowance(self.terms.allowance);
    }
}

/// The order lots are burned in (D3).
fn rank(lot: &Lot) -> (i64, u8, i64, &str) {
    (lot.last, lot.source, lot.at, &lot.id)
}

/// Takes credits one lot after the other; gives what the lots of a month could pay.
pub fn burn(lots: &mut [Lot], month: i64, demand: i128) -> i128 {
    let mut owed = demand;
    while owed > 0 {
        let full = lots.iter_mut().filter(|lot| lot.month <= month && lot.left() > 0);
        let Some(lot) = full.min_by(|a, b| rank(a).cmp(&rank(b))) else { break };
        let taken = owed.min(lot.left());
        lot.used += taken;
        owed -= taken;
    }
    demand - owed
}
