//! Whether a run's invoices may be numbered: figures that moved too far against last month, or one invoice
//! too large, wait for a person (F61).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

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

#[cfg(test)]
mod tests {
    use super::*;

    fn look<'a>(limits: &'a Limits, lines: &[Line]) -> Look<'a> {
        let mut look = Look::new(limits);
        for line in lines {
            look.take(line);
        }
        look
    }

    fn decide(limits: &Limits, lines: &[Line]) -> Option<String> {
        look(limits, lines).decide()
    }

    fn waits(limits: &Limits, lines: &[Line]) -> bool {
        look(limits, lines).waits()
    }

    fn fingerprint(lines: &[Line]) -> String {
        look(&limits(), lines).fingerprint()
    }

    fn limits() -> Limits {
        Limits { total_percent: 50, organizations: 20, invoice_cap: BTreeMap::new() }
    }

    fn usd(minor: i64) -> Money {
        Money::from_minor(minor, Currency::USD)
    }

    /// So many organizations that pay `now` each, after `before`.
    fn lines(count: usize, now: Option<i64>, before: Option<i64>) -> Vec<Line> {
        (0..count)
            .map(|n| Line {
                organization: format!("o{n:03}"),
                now: now.map(usd),
                draft: true,
                before: before.map(usd),
                before_is_draft: false,
            })
            .collect()
    }

    fn is_held(lines: &[Line]) -> bool {
        decide(&limits(), lines).is_some()
    }

    // F61: both months had the same mistake, and the first of them is still held.
    #[test]
    fn a_month_that_is_held_itself_is_no_measure() {
        let mut all = lines(21, Some(1_000), Some(1_000));
        assert!(!waits(&limits(), &all) && !is_held(&all));
        for line in &mut all {
            line.before_is_draft = true;
        }
        assert!(waits(&limits(), &all));
        assert!(!waits(&Limits { total_percent: 0, ..limits() }, &all));
        assert!(!waits(&limits(), &all[..20]), "a few stop nobody");
        all[3].draft = false;
        assert!(!waits(&limits(), &all), "it is issued already");
        // The few are compared with nothing: the others are.
        let mut all = lines(42, Some(100), Some(100));
        for line in &mut all[..10] {
            line.before_is_draft = true;
        }
        for line in &mut all[..10] {
            line.now = Some(usd(10_000));
        }
        assert!(!is_held(&all));
        for line in &mut all[10..] {
            line.now = Some(usd(151));
        }
        assert!(is_held(&all));
    }

    // F61: 300 that join at twice their amount moved a run of 1,000 by 30 % only.
    #[test]
    fn those_who_join_later_are_looked_at_by_themselves() {
        let mut all = lines(100, Some(100), Some(100));
        for line in &mut all[..70] {
            line.draft = false;
        }
        assert!(!is_held(&all));
        for line in &mut all[70..] {
            line.now = Some(usd(200));
        }
        assert!(is_held(&all));
    }

    // F61: exactly the limit may pass, one minor unit more may not; both ways.
    #[test]
    fn totals_at_the_limit() {
        assert!(!is_held(&lines(21, Some(150), Some(100))));
        assert!(!is_held(&lines(21, Some(50), Some(100))));
        for (change, held) in [(0, false), (1, true)] {
            let mut up = lines(21, Some(150), Some(100));
            up[0].now = Some(usd(150 + change));
            assert_eq!(is_held(&up), held, "{change}");
            let mut down = lines(21, Some(50), Some(100));
            down[0].now = Some(usd(50 - change));
            assert_eq!(is_held(&down), held, "{change}");
        }
    }

    #[test]
    fn twenty_organizations_are_not_compared_twenty_one_are() {
        assert!(!is_held(&lines(20, Some(1_000), Some(1))));
        assert!(is_held(&lines(21, Some(1_000), Some(1))));
        // Those of either month count: a month that lost nearly everybody is no small month.
        assert!(is_held(&[lines(1, Some(1), Some(1)), lines(20, None, Some(1))].concat()));
    }

    #[test]
    fn numbers_move_without_the_total() {
        // 20 pay 1.50 each where ten paid 3.00 each: the total stands, the number doubled.
        let few = [lines(10, Some(150), Some(300)), lines(11, Some(137), None)].concat();
        let reason = decide(&limits(), &few).unwrap();
        assert!(reason.contains("their number moved by +110.0 %"), "{reason}");
        assert!(!reason.contains("the total moved"), "{reason}");
    }

    #[test]
    fn without_a_month_before_nothing_is_compared() {
        assert!(!is_held(&lines(1_000, Some(1_000_000), None)));
        assert!(!is_held(&[]));
        // One who was billed before makes a month to compare with, a free one too.
        assert!(is_held(&[lines(30, Some(1), None), lines(1, Some(0), Some(0))].concat()));
    }

    #[test]
    fn currencies_are_never_added() {
        let euro: Currency = "EUR".parse().unwrap();
        let mut lines = [lines(30, Some(100), Some(100)), lines(21, Some(100), Some(100))].concat();
        for line in &mut lines[30..] {
            line.now = line.now.map(|_| Money::from_minor(151, euro));
            line.before = line.before.map(|_| Money::from_minor(100, euro));
        }
        let reason = decide(&limits(), &lines).unwrap();
        assert!(reason.contains("EUR") && !reason.contains("USD"), "{reason}");
    }

    #[test]
    fn one_invoice_above_the_cap() {
        let capped = Limits { invoice_cap: [(Currency::USD, 5_000)].into(), ..limits() };
        let mut one = lines(1, Some(5_000), None);
        assert_eq!(decide(&capped, &one), None);
        one[0].now = Some(usd(5_001));
        let reason = decide(&capped, &one).unwrap();
        assert_eq!(reason, "the invoice of o000 for 50.01 USD is above the cap of 50.00 USD");
        // An issued one was let go already; another currency has no cap.
        one[0].draft = false;
        assert_eq!(decide(&capped, &one), None);
        let many = decide(&capped, &lines(7, Some(9_000), None)).unwrap();
        assert!(many.ends_with("and so are 2 more") && many.contains("o004"), "{many}");
    }

    #[test]
    fn off_is_off_and_sums_beyond_the_integers_are_figures_too() {
        let off = Limits { total_percent: 0, ..limits() };
        assert_eq!(decide(&off, &lines(100, Some(1_000), Some(1))), None);
        let reason = decide(&limits(), &lines(21, Some(i64::MAX), Some(1))).unwrap();
        assert!(reason.contains("minor units of USD"), "{reason}");
    }

    #[test]
    fn other_figures_have_another_fingerprint() {
        let lines = lines(2, Some(1), Some(1));
        let mut other = lines.clone();
        other[1].now = Some(usd(2));
        assert_ne!(fingerprint(&lines), fingerprint(&other));
        assert_eq!(fingerprint(&lines), fingerprint(&lines.clone()));
    }
}
