//! Whether a run's invoices may be numbered: figures that moved too far against last month, or one invoice
//! too large, wait for a person (F61).

mod movers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

pub use movers::{Mover, Movers};

use super::ids;
use super::money::{Currency, Money};

/// How far figures may move.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Percent by which the total to be paid, or the number of invoices, may move either way; 0: any.
    pub total_percent: u32,
    /// Up to so many invoices, this month and last, nothing is compared: few customers move much.
    pub organizations: u32,
    /// The largest amount one invoice may ask for, in minor units.
    pub invoice_cap: BTreeMap<Currency, i64>,
}

/// One organization of a run: its invoice of this month and that of the month before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub organization: String,
    /// What this month's invoice asks for; none: nothing to bill.
    pub now: Option<Money>,
    /// Is it a draft, not numbered yet?
    pub draft: bool,
    /// What last month's asked for, less its credit notes; none: it was not billed.
    pub before: Option<Money>,
    /// Is last month's a draft itself, held or on its way?
    pub before_is_draft: bool,
}

/// Invoices of one currency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    invoices: i128,
    amount: i128,
}

impl Sum {
    fn add(&mut self, money: Money) {
        self.invoices += 1;
        self.amount += i128::from(money.minor());
    }
}

/// Large invoices that are named one by one.
const NAMED: usize = 5;

/// A look at the lines of a run, one after the other: it takes no more memory for many than for few.
#[derive(Debug, Clone)]
pub struct Look<'a> {
    limits: &'a Limits,
    /// Drafts whose last month is a draft as well.
    stuck: u64,
    /// Is one of them numbered already?
    some_issued: bool,
    all: Sums,
    drafts: Sums,
    above_cap: AboveCap,
    figures: Sha256,
}

/// This month and last, by currency.
type Sums = BTreeMap<Currency, (Sum, Sum)>;

impl<'a> Look<'a> {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            stuck: 0,
            some_issued: false,
            all: Sums::new(),
            drafts: Sums::new(),
            above_cap: AboveCap::default(),
            figures: Sha256::new_with_prefix("monthend-brake-2\n"),
        }
    }

    /// The next organization, in order.
    pub fn take(&mut self, line: &Line) {
        self.stuck += u64::from(line.draft && line.before_is_draft);
        self.some_issued |= !line.draft && line.now.is_some();
        if !line.before_is_draft {
            add(&mut self.all, line);
            if line.draft {
                add(&mut self.drafts, line);
            }
        }
        if line.draft {
            self.above_cap.take(self.limits, line);
        }
        let money = |money: Option<Money>| money.map_or("-".to_owned(), |money| money.to_string());
        let (now, before) = (money(line.now), money(line.before));
        // Those with a draft before are compared with nothing: once it is issued, they are other figures.
        let (draft, stuck) = (line.draft, line.before_is_draft);
        let text = format!("{} {now} {draft} {before} {stuck}\n", line.organization);
        self.figures.update(text.as_bytes());
    }

    /// Why the invoices must wait; none: they may be numbered. The same organizations are compared: those of the run
    /// whose month is closed, with what the same ones were billed the month before, currency by currency. Where nobody
    /// was billed before there is nothing to compare.
    #[must_use]
    pub fn decide(&self) -> Option<String> {
        let mut reasons = all_moved(self.limits, &self.all);
        // Those that join a run later are not hidden behind the many that were issued before.
        if reasons.is_empty() && self.some_issued {
            reasons = all_moved(self.limits, &self.drafts);
        }
        reasons.extend(self.above_cap.told());
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// Must the look wait? Last month's invoices are drafts themselves, held or on their way: a mistake that both
    /// months have would not show. A few that are stuck stop nobody else, and are compared with nothing.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.limits.total_percent > 0 && self.stuck > self.limits.organizations.into()
    }

    /// Names exactly these figures: a confirmation of them is for no others.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        ids::hex(&self.figures.clone().finalize().into())
    }
}

fn add(sums: &mut Sums, line: &Line) {
    if let Some(now) = line.now {
        sums.entry(now.currency()).or_default().0.add(now);
    }
    if let Some(before) = line.before {
        sums.entry(before.currency()).or_default().1.add(before);
    }
}

fn all_moved(limits: &Limits, sums: &Sums) -> Vec<String> {
    sums.iter()
        .filter_map(|(currency, (now, before))| moved(limits, *currency, *now, *before))
        .collect()
}

fn moved(limits: &Limits, currency: Currency, now: Sum, before: Sum) -> Option<String> {
    let few = now.invoices.max(before.invoices) <= i128::from(limits.organizations);
    if limits.total_percent == 0 || few || before.invoices == 0 {
        return None;
    }
    let percent = i128::from(limits.total_percent);
    let far = |now: i128, before: i128| (now - before).abs() * 100 > percent * before.abs();
    let mut what = Vec::new();
    if far(now.amount, before.amount) {
        what.push(format!("the total moved by {}", change(now.amount, before.amount)));
    }
    if far(now.invoices, before.invoices) {
        what.push(format!("their number moved by {}", change(now.invoices, before.invoices)));
    }
    (!what.is_empty()).then(|| {
        format!(
            "{} invoices for {} are to be issued to organizations that had {} for {} last month: {}; the limit \
             is {percent} %",
            now.invoices,
            amount(now.amount, currency),
            before.invoices,
            amount(before.amount, currency),
            what.join(" and ")
        )
    })
}

/// `+80.0 %`; the last digit upwards, so that what is above a limit also looks it.
fn change(now: i128, before: i128) -> String {
    let sign = if now < before { '-' } else { '+' };
    match before.abs() {
        0 => "any measure (it was 0)".to_owned(),
        before_abs => {
            let tenths = ((now - before).abs() * 1000 + before_abs - 1) / before_abs;
            format!("{sign}{}.{} %", tenths / 10, tenths % 10)
        }
    }
}

/// An amount that may be more than one invoice can hold.
fn amount(minor: i128, currency: Currency) -> String {
    match i64::try_from(minor) {
        Ok(minor) => Money::from_minor(minor, currency).to_string(),
        Err(_) => format!("{minor} minor units of {currency}"),
    }
}

/// Invoices above the cap: the largest of them, and how many there are.
#[derive(Debug, Clone, Default)]
struct AboveCap {
    largest: Vec<(String, Money, Money)>,
    count: usize,
}

impl AboveCap {
    fn take(&mut self, limits: &Limits, line: &Line) {
        let Some(now) = line.now else { return };
        let Some(cap) = limits.invoice_cap.get(&now.currency()) else { return };
        let cap = Money::from_minor(*cap, now.currency());
        if now.minor() > cap.minor() {
            self.count += 1;
            self.largest.push((line.organization.clone(), now, cap));
            self.largest
                .sort_by(|(a, one, _), (b, other, _)| (other.minor(), a).cmp(&(one.minor(), b)));
            self.largest.truncate(NAMED);
        }
    }

    fn told(&self) -> Option<String> {
        let mut text = String::new();
        for (organization, now, cap) in &self.largest {
            let comma = if text.is_empty() { "" } else { ", " };
            let _ = write!(
                text,
                "{comma}the invoice of {organization} for {now} is above the cap of {cap}"
            );
        }
        if let more @ 1.. = self.count.saturating_sub(NAMED) {
            let _ = write!(text, ", and so are {more} more");
        }
        (!text.is_empty()).then_some(text)
    }
}
