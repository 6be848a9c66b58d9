//! One history: it begins, things happen in it for 24 months, it comes to rest, and is looked at.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monthend::clock::HandClock;
use monthend::verify::verify;

use super::chance::Chance;
use super::deployment::Deployment;
use super::naive::calendar::{self, DAY, HOUR};
use super::naive::town::{Event, Town};
use super::post::Post;
use super::{Counts, Look, Told, compare, facts, money, rest, stage};
use crate::harness::Engine;
use crate::harness::scripted::Scripted;

/// Months of a history.
const MONTHS: i64 = 24;
/// Actions shown of a history that failed.
const SHOWN: usize = 12;

/// A history, and everything around it.
pub struct Life {
    pub(super) world: Deployment,
    pub(super) town: Town,
    pub(super) chance: Chance,
    pub(super) look: Look,
    pub(super) counts: Counts,
    /// Names of all organizations there will be.
    pub(super) names: Vec<String>,
    /// Events that were reported, for those who report them again.
    pub(super) reported: Vec<Event>,
    /// What finance recorded, in minor units, by invoice number.
    pub(super) transferred: BTreeMap<String, i64>,
    /// What finance transferred back, by organization.
    pub(super) paid_back: BTreeMap<String, i64>,
    /// Net and tax of the credit notes by what they correct.
    pub(super) credited: BTreeMap<String, (i128, i128)>,
    /// Files and other things are numbered.
    pub(super) serial: u64,
    /// By how much the clock is wrong, and for how many more actions.
    pub(super) wrong: Option<(i64, u32)>,
    /// Purchases that are neither paid nor declined.
    pub(super) open: BTreeSet<String>,
    log: Vec<String>,
    calm: Arc<AtomicBool>,
    verified_month: i64,
    told: Told,
}

impl Life {
    /// Founds a deployment.
    pub async fn begin(engine: Engine, seed: u64, look: Look) -> Self {
        let mut chance = Chance::of(seed, &["life"]);
        let month = calendar::month(2024, 1) + chance.between(0, 40);
        let begin = calendar::start(chrono_tz::UTC, month) + chance.between(0, 27 * DAY);
        let variant = chance.below(2 * stage::CATALOGS).saturating_sub(stage::CATALOGS);
        let prices = stage::catalog(variant);
        let clock = Arc::new(HandClock::new(calendar::instant(begin)));
        let calm = Arc::new(AtomicBool::new(false));
        let quiet = calm.clone();
        let provider = Scripted::new(clock.clone(), move |request, nth| {
            let calm = quiet.load(Ordering::SeqCst);
            if calm { stage::CALM } else { stage::plot(seed, request, nth) }
        });
        let post = Arc::new(Post::new(seed));
        let outside = (provider, post);
        let world = Deployment::new(engine, (variant, &prices), clock, outside, look).await;
        let many = stage::how_many(&mut chance);
        Self {
            world,
            town: Town::new(prices, begin),
            chance,
            look,
            counts: Counts::new(),
            names: (0..many).map(|n| format!("o{n}")).collect(),
            reported: Vec::new(),
            transferred: BTreeMap::new(),
            paid_back: BTreeMap::new(),
            credited: BTreeMap::new(),
            serial: 0,
            wrong: None,
            open: BTreeSet::new(),
            log: Vec::new(),
            calm,
            verified_month: 0,
            told: Told::default(),
        }
    }

    /// Everything, up to the last check.
    pub async fn live(&mut self) -> Result<(), String> {
        let lived = self.try_live().await;
        // A replay shows the whole life.
        let shown = if self.look.every_action { usize::MAX } else { SHOWN };
        let last = self.log.len().saturating_sub(shown);
        lived.map_err(|why| format!("{why}\n  after …\n  {}", self.log[last..].join("\n  ")))
    }

    async fn try_live(&mut self) -> Result<(), String> {
        let end = self.world.now() + MONTHS * 30 * DAY;
        self.found().await?;
        self.check().await?;
        while self.town.seen < end {
            self.act().await?;
            self.check().await?;
        }
        self.calm.store(true, Ordering::SeqCst);
        self.world.provider().be_honest();
        self.world.post().be_calm();
        rest::come_to_rest(self).await?;
        self.verify().await?;
        compare::all(self).await?;
        money::all(self).await?;
        rest::at_rest(self).await?;
        self.counted().await;
        if self.look.facts {
            self.told.facts = facts::of(&self.world).await;
        }
        Ok(())
    }

    /// Nothing of it is left.
    pub async fn end(&mut self) {
        self.world.remove().await;
    }

    /// What it leaves behind.
    pub fn told(&mut self) -> Told {
        let mut told = std::mem::take(&mut self.told);
        told.counts = std::mem::take(&mut self.counts);
        told
    }

    /// Counts something that happened.
    pub(super) fn count(&mut self, what: &str, times: u64) {
        if times > 0 {
            *self.counts.entry(what.to_owned()).or_default() += times;
        }
    }

    /// Notes an action, for those who read of a failure.
    #[expect(clippy::needless_pass_by_value, reason = "each note is made for this call")]
    pub(super) fn note(&mut self, what: String) {
        let at = calendar::instant(self.world.now()).format("%Y-%m-%d %H:%M:%S%.6f");
        self.log.push(format!("{at} {what}"));
        self.count("actions", 1);
    }

    /// `verify`, after every action or once in every month of the clock.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        let month = calendar::month_of(chrono_tz::UTC, self.world.now());
        if self.look.every_action || month > self.verified_month {
            self.verified_month = self.verified_month.max(month);
            self.verify().await?;
        }
        Ok(())
    }

    async fn verify(&mut self) -> Result<(), String> {
        self.count("verify", 1);
        // It asks the provider too, and its questions must not change the history.
        let before = self.world.provider().set_honest(true);
        let checks = verify(&self.world.app()).await;
        self.world.provider().set_honest(before);
        let checks = checks.map_err(|error| format!("verify: {error}"))?;
        let broken: Vec<String> = checks
            .iter()
            .filter(|check| !check.ok())
            .map(|check| format!("{}: {}", check.name, check.detail()))
            .collect();
        if broken.is_empty() { Ok(()) } else { Err(format!("verify: {}", broken.join("\n  "))) }
    }

    /// What happened inside, from the stored rows.
    async fn counted(&mut self) {
        let charges = "SELECT 'charge ' || state || CASE WHEN decline_hard THEN ' hard' ELSE '' END \
             || CASE WHEN lookups > 0 THEN ' after unknown' ELSE '' END, CAST(COUNT(*) AS TEXT) FROM charge \
             GROUP BY 1";
        let mails = "SELECT 'mail of ' || kind, CAST(COUNT(*) AS TEXT) FROM mail WHERE state = 'sent' GROUP BY 1";
        let others = [
            ("invoice", "invoice WHERE number IS NOT NULL"),
            ("receipt", "document WHERE kind = 'receipt'"),
            ("credit note", "document WHERE kind = 'credit_note'"),
            ("purchase paid", "purchase WHERE state = 'paid'"),
            ("purchase declined", "purchase WHERE state = 'declined'"),
            ("late use billed later", "usage_event WHERE cycle <> billed_cycle"),
            ("invoice given up", "invoice WHERE status = 'uncollectible'"),
        ];
        for sql in [charges, mails] {
            for row in self.world.table(sql).await {
                self.count(&row[0], row[1].parse().unwrap_or(0));
            }
        }
        for (what, from) in others {
            let sql = format!("SELECT CAST(COUNT(*) AS TEXT) FROM {from}");
            let times = self.world.table(&sql).await[0][0].parse().unwrap_or(0);
            self.count(what, times);
        }
        let closed: usize = self.town.accounts.values().map(|account| account.closed.len()).sum();
        self.count("month closed", u64::try_from(closed).unwrap());
        self.count("organization", u64::try_from(self.town.accounts.len()).unwrap());
        for handed in self.world.post().books().into_values() {
            self.count("mail put off", handed.later.into());
            self.count("mail refused", handed.refused.into());
            self.count("mail accepted, answer lost", handed.lost.into());
        }
    }

    /// Time passes.
    pub(super) fn pass(&mut self, micros: i64) {
        self.world.set_clock(self.world.now() + micros);
    }

    /// Mostly days, now and then minutes or weeks.
    pub(super) fn some_time(&mut self) -> i64 {
        match self.chance.below(10) {
            0 => self.chance.between(1, 3 * HOUR),
            1..5 => self.chance.between(HOUR, 12 * DAY),
            _ => self.chance.between(8 * DAY, 25 * DAY),
        }
    }
}
