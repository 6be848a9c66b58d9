//! The credit month once more, as simply as it can be said: whole numbers and a list of lots.
//!
//! Nothing here calls the domain. Credits are 10⁻⁹ credit, money is minor units, months are counted
//! from year 0.

use std::collections::BTreeMap;

use super::history::{
    Bill, Billed, BilledLine, Cap, Figures, History, Kind, Month, Number, Terms, allowance_name,
};

/// Credits that came in at once.
struct Held {
    id: String,
    month: i64,
    minute: i64,
    /// 0 allowance, 1 promotional, 2 adjustment, 3 purchase.
    source: u8,
    /// The last month it can be used in.
    last: i64,
    opening: i128,
    granted: i128,
    used: i128,
    expired: i128,
}

const FOR_EVER: i64 = i64::MAX;

impl Held {
    fn new(id: String, month: i64, source: u8, credits: i64, term: Option<u16>) -> Self {
        let last = term.map_or(FOR_EVER, |months| month + i64::from(months));
        let (opening, used, expired) = (0, 0, 0);
        Self { id, month, minute: 0, source, last, opening, granted: credits.into(), used, expired }
    }

    fn left(&self) -> i128 {
        self.opening + self.granted - self.used - self.expired
    }
}

/// `part / whole`, a half to the even neighbour; nothing is negative.
fn half_even(part: i128, whole: i128) -> i128 {
    let (down, twice) = (part / whole, part % whole * 2);
    if twice > whole || (twice == whole && down % 2 == 1) { down + 1 } else { down }
}

fn tens(count: u32) -> i128 {
    (0..count).fold(1, |power, _| power * 10)
}

fn percent(of: i128, rate: Number) -> i128 {
    half_even(of * i128::from(rate.digits), 100 * tens(rate.decimals))
}

fn days_of(year: i32, month: u32) -> i128 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// An organization as the naive model keeps it.
struct Naive {
    /// Decimals of its currency.
    exponent: u32,
    month: i64,
    terms: Terms,
    fee_billed: bool,
    /// Days it is in the first month, and the days of that month.
    joining: Option<(i128, i128)>,
    lots: Vec<Held>,
    deficit: i128,
}

/// Computes all months of a script.
pub fn run(history: &History) -> Vec<Figures> {
    let (year, month, day) = history.joined;
    let of = days_of(year, month);
    let joining = (day > 1).then(|| (of - i128::from(day) + 1, of));
    let mut naive = Naive {
        exponent: history.currency.1,
        month: i64::from(year) * 12 + i64::from(month) - 1,
        terms: history.terms.clone(),
        fee_billed: false,
        joining,
        lots: Vec::new(),
        deficit: 0,
    };
    let mut allowance = history.terms.allowance;
    if let (Some((days, of)), true) = (joining, history.terms.prorate_allowance) {
        allowance = i64::try_from(half_even(i128::from(allowance) * days, of)).unwrap_or(i64::MAX);
    }
    naive.grant_allowance(allowance);
    history.months.iter().map(|month| naive.month(month)).collect()
}

impl Naive {
    fn grant_allowance(&mut self, credits: i64) {
        if credits > 0 {
            let id = allowance_name(self.month);
            self.lots.push(Held::new(id, self.month, 0, credits, self.terms.rollover));
        }
    }

    fn month(&mut self, month: &Month) -> Figures {
        for lot in &month.lots {
            let source = match lot.kind {
                Kind::Promotional => 1,
                Kind::Adjustment => 2,
                Kind::Purchase(..) => 3,
            };
            let held = Held::new(lot.id.clone(), self.month, source, lot.credits, lot.term);
            self.lots.push(Held { minute: lot.minute, ..held });
        }
        let late: i128 = month.late.iter().map(|(_, nano)| i128::from(*nano)).sum();
        let now: i128 = month.used.iter().map(|nano| i128::from(*nano)).sum();
        let brought = self.deficit;
        let covered = self.burn(brought + late + now);
        let beyond = brought + late + now - covered;
        self.lapse();
        let next = month.next.clone().unwrap_or_else(|| self.terms.clone());
        let bill = self.bill(month, brought, now, covered, &next);
        let billed = self.terms.overage.is_some();
        self.deficit = if billed { 0 } else { beyond };
        let figures = self.figures(if billed { beyond } else { 0 }, bill);
        self.open_next(next);
        figures
    }

    /// Takes credits one lot after the other; gives what the lots could pay.
    fn burn(&mut self, demand: i128) -> i128 {
        let mut owed = demand;
        while owed > 0 {
            let full = self.lots.iter_mut().filter(|lot| lot.left() > 0);
            let first = full.min_by(|a, b| {
                let key = |lot: &Held| (lot.last, lot.source, lot.month, lot.minute);
                key(a).cmp(&key(b)).then_with(|| a.id.cmp(&b.id))
            });
            let Some(lot) = first else { break };
            let taken = owed.min(lot.left());
            lot.used += taken;
            owed -= taken;
        }
        demand - owed
    }

    /// What has reached its last month lapses; then allowance over the cap, the soonest first.
    fn lapse(&mut self) {
        for lot in &mut self.lots {
            if lot.last <= self.month {
                lot.expired += lot.left();
            }
        }
        let cap = match self.terms.cap {
            None => return,
            Some(Cap::Credits(nano)) => i128::from(nano),
            Some(Cap::Percent(rate)) => percent(self.terms.allowance.into(), rate),
        };
        loop {
            let allowances = || self.lots.iter().filter(|lot| lot.source == 0);
            let over = allowances().map(Held::left).sum::<i128>() - cap;
            if over <= 0 {
                return;
            }
            let soonest = self.lots.iter_mut().filter(|lot| lot.source == 0 && lot.left() > 0);
            if let Some(lot) = soonest.min_by_key(|lot| (lot.last, lot.month)) {
                lot.expired += over.min(lot.left());
            }
        }
    }

    fn open_next(&mut self, next: Terms) {
        for lot in &mut self.lots {
            lot.opening = lot.left();
            (lot.granted, lot.used, lot.expired) = (0, 0, 0);
        }
        self.lots.retain(|lot| lot.opening > 0);
        self.month += 1;
        self.joining = None;
        self.fee_billed = next.advance;
        self.terms = next;
        self.grant_allowance(self.terms.allowance);
    }

    fn figures(&self, overage: i128, bill: Option<Bill>) -> Figures {
        let sum = |part: fn(&Held) -> i128| self.lots.iter().map(part).sum();
        let bought = |lot: &Held| if lot.source == 3 { lot.granted } else { 0 };
        let given = |lot: &Held| if lot.source == 3 { 0 } else { lot.granted };
        let lots: BTreeMap<String, [i128; 5]> = self
            .lots
            .iter()
            .map(|l| (l.id.clone(), [l.opening, l.granted, l.used, l.expired, l.left()]))
            .collect();
        let credits = [
            sum(|lot| lot.opening),
            sum(given),
            sum(bought),
            sum(|lot| lot.used),
            sum(|lot| lot.expired),
            sum(Held::left),
        ];
        Figures { credits, overage, deficit: self.deficit, lots, bill }
    }

    fn bill(
        &self,
        month: &Month,
        brought: i128,
        now: i128,
        covered: i128,
        next: &Terms,
    ) -> Option<Bill> {
        let mut lines = self.fees(next);
        lines.extend(self.uses(month, brought, now, covered));
        let (mut paid, mut paid_tax) = (0, 0);
        for lot in &month.lots {
            if let Kind::Purchase(net, tax) = lot.kind {
                lines.push((Billed::Purchase, self.month, 0, net.into()));
                paid += i128::from(net) + i128::from(tax);
                paid_tax += i128::from(tax);
            }
        }
        if lines.is_empty() && month.used.is_empty() && month.late.is_empty() {
            return None;
        }
        lines.sort_unstable();
        let subtotal: i128 = lines.iter().map(|line| line.3).sum();
        let tax = percent(subtotal, month.tax).max(paid_tax);
        let total = subtotal + tax;
        Some(Bill { lines, totals: [subtotal, tax, total, paid, total - paid] })
    }

    fn fees(&self, next: &Terms) -> Vec<BilledLine> {
        let mut lines = Vec::new();
        if !self.fee_billed && self.terms.fee > 0 {
            let fee = match self.joining {
                Some((days, of)) if self.terms.prorate_fee => {
                    half_even(i128::from(self.terms.fee) * days, of)
                }
                _ => self.terms.fee.into(),
            };
            lines.push((Billed::Fee, self.month, 0, fee));
        }
        if next.advance && next.fee > 0 {
            lines.push((Billed::Fee, self.month + 1, 0, next.fee.into()));
        }
        lines
    }

    /// The credits pay for the oldest use first: the deficit, then late use, then the month's own.
    fn uses(&self, month: &Month, brought: i128, now: i128, covered: i128) -> Vec<BilledLine> {
        let mut late: BTreeMap<i64, i128> = BTreeMap::new();
        for (back, nano) in &month.late {
            *late.entry(self.month - i64::from(*back)).or_default() += i128::from(*nano);
        }
        let mut pot = covered;
        let mut beyond = |rated: i128| {
            let paid = rated.min(pot);
            pot -= paid;
            if self.terms.overage.is_some() { rated - paid } else { 0 }
        };
        let mut lines = Vec::new();
        let old = beyond(brought);
        if old > 0 {
            lines.push((Billed::Prior, self.month - 1, old, self.price(old)));
        }
        for (own, rated) in late {
            let over = beyond(rated);
            if over > 0 {
                lines.push((Billed::Prior, own, over, self.price(over)));
            }
            if rated > over {
                lines.push((Billed::Prior, own, rated - over, 0));
            }
        }
        let over = beyond(now);
        if over > 0 {
            lines.push((Billed::Overage, self.month, over, self.price(over)));
        }
        lines
    }

    fn price(&self, nano: i128) -> i128 {
        let Some(price) = self.terms.overage else { return 0 };
        let minor = nano * i128::from(price.digits) * tens(self.exponent);
        half_even(minor, tens(9) * tens(price.decimals))
    }
}
