//! What happens in a history, and what the naive model is told of it.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::grant::Source;
use monthend::jobs::requests;
use monthend::jobs::requests::Rerun;
use monthend::services::purchases::Wanted;
use monthend::services::{ServiceError, credits, methods, organizations, usage};

use super::life::Life;
use super::naive::account::Row;
use super::naive::calendar::{self, DAY};
use super::naive::number::{CREDIT, number};
use super::naive::town::{Clock, Event};
use super::{compare, stage};
use crate::harness::Org;

/// Everything that may happen; in a large run each must happen.
pub const KINDS: [&str; 29] = [
    "import",
    "newcomer",
    "usage file",
    "use accepted",
    "use doubled",
    "use set aside",
    "buy",
    "grant",
    "terms changed",
    "tick",
    "tick refused by the clock",
    "catch-up held",
    "catch-up confirmed",
    "rerun of a cycle",
    "rerun of what is due",
    "run retried",
    "transfer",
    "transfer taken back",
    "charge voided",
    "credit note: money",
    "credit note: credits",
    "credit note: purchase",
    "refund recorded",
    "refund came back",
    "set aside, retried",
    "restart",
    "method added",
    "clock back",
    "clock forward",
];

/// What may be refused is refused for a reason; anything else is a failure.
pub fn went<T>(result: Result<T, ServiceError>) -> Result<Option<T>, String> {
    match result {
        Ok(done) => Ok(Some(done)),
        Err(ServiceError::Refused(_) | ServiceError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

impl Life {
    /// The first organizations.
    pub(super) async fn found(&mut self) -> Result<(), String> {
        let now = self.world.now();
        let first = self.names.len() - self.names.len() / 3;
        let names: Vec<String> = self.names.drain(..first).collect();
        let rows: Vec<Row> =
            names.iter().map(|name| stage::row(name, now, &mut self.chance)).collect();
        self.import(&rows).await?;
        self.count("import", 1);
        Ok(())
    }

    /// Something happens.
    pub(super) async fn act(&mut self) -> Result<(), String> {
        self.mend_clock();
        if self.chance.percent(85) {
            let time = self.some_time();
            self.pass(time);
        }
        let name = self.somebody();
        match self.chance.below(100) {
            0..24 => self.use_credits(&name).await?,
            24..58 => self.tick(None).await?,
            58..65 => self.buy(&name).await?,
            65..68 => self.grant(&name).await?,
            68..74 => self.change(&name).await?,
            74..76 => self.newcomer().await?,
            76..79 => self.rerun(&name).await?,
            79 => self.rerun_due(&name).await?,
            80..83 => self.retry_run(&name).await?,
            83..85 if self.chance.percent(35) => self.take_back(&name).await?,
            83..85 => self.transfer(&name).await?,
            85..87 => self.void(&name).await?,
            87..91 => self.credit(&name).await?,
            91 => {
                self.pay_back(&name).await?;
                self.come_back(&name).await?;
            }
            92 => self.retry_aside().await?,
            93..95 => {
                self.note("restart".to_owned());
                self.world.restart().await;
                self.count("restart", 1);
            }
            95..97 => self.method(&name).await?,
            _ => self.jump(),
        }
        let now = self.world.now();
        self.town.seen = self.town.seen.max(now);
        self.purchases().await
    }

    fn somebody(&mut self) -> String {
        let names: Vec<String> = self.town.accounts.keys().cloned().collect();
        self.chance.pick(&names).cloned().unwrap_or_default()
    }

    /// A wrong clock is set right after some actions.
    fn mend_clock(&mut self) {
        let Some((error, left)) = self.wrong else { return };
        self.wrong = Some((error, left.saturating_sub(1)));
        if left == 0 {
            self.wrong = None;
            self.pass(-error);
            self.note(format!("the clock is right again ({} days)", -error / DAY));
        }
    }

    fn jump(&mut self) {
        if self.wrong.is_some() {
            return;
        }
        let days = if self.chance.percent(60) {
            -self.chance.between(1, 90)
        } else if self.chance.percent(35) {
            self.chance.between(21, 400)
        } else {
            self.chance.between(1, 20)
        };
        let error = days * DAY + self.chance.between(0, DAY - 1);
        self.pass(error);
        self.note(format!("the clock jumps by {days} days"));
        self.count(if days < 0 { "clock back" } else { "clock forward" }, 1);
        if self.chance.percent(if days < 0 { 70 } else { 10 }) {
            self.wrong = Some((error, self.chance.below(4)));
        }
    }

    async fn import(&mut self, rows: &[Row]) -> Result<(), String> {
        let now = self.world.now();
        let file = Org::file(&rows.iter().map(stage::written).collect::<Vec<_>>());
        self.note(format!("organizations: {}", file.trim_end().replace('\n', " | ")));
        let imported = organizations::import(&self.world.app(), file.as_bytes()).await;
        let imported = imported.map_err(|error| error.to_string())?;
        if !imported.rejected.is_empty() {
            return Err(format!("organizations were rejected: {:?}", imported.rejected));
        }
        self.town.import(rows, now);
        Ok(())
    }

    async fn newcomer(&mut self) -> Result<(), String> {
        let Some(name) = self.names.pop() else { return Ok(()) };
        let row = stage::row(&name, self.world.now(), &mut self.chance);
        self.count("newcomer", 1);
        self.import(&[row]).await
    }

    async fn change(&mut self, name: &str) -> Result<(), String> {
        let mut row = self.town.accounts[name].row.clone();
        if self.chance.percent(80) {
            stage::terms(&mut row, &mut self.chance);
        } else {
            row.method = self.chance.percent(80).then(|| "pm_sandbox_ok".to_owned());
        }
        self.count("terms changed", 1);
        self.import(&[row]).await
    }

    /// A usage file: new use, late use, use that was reported before, and use that contradicts it.
    async fn use_credits(&mut self, name: &str) -> Result<(), String> {
        let now = self.world.now();
        let many = self.chance.between(1, 9);
        let mut events: Vec<Event> = Vec::new();
        for _ in 0..many {
            let before = self.chance.pick(&self.reported).cloned();
            let event = match (self.chance.below(100), before) {
                (0..9, Some(known)) => known,
                (9..12, Some(known)) => {
                    let at = known.at + self.chance.between(1, 1_000_000);
                    Event { at, ..known }
                }
                (roll, _) => {
                    let somebody = self.somebody();
                    let whose = match roll {
                        12..14 => self.names.last().map_or("nobody", String::as_str),
                        14..40 => somebody.as_str(),
                        _ => name,
                    };
                    let whose = whose.to_owned();
                    self.serial += 1;
                    stage::event(&whose, format!("e{}", self.serial), now, &mut self.chance)
                }
            };
            events.push(event);
        }
        self.serial += 1;
        let (serial, file) = (self.serial, stage::usage_file(&events));
        self.note(format!("usage: {}", file.trim_end().replace('\n', " | ")));
        let label = format!("u{serial:08}.csv");
        let imported = usage::import(&self.world.app(), &label, std::io::Cursor::new(file)).await;
        let imported = imported.map_err(|error| error.to_string())?;
        let aside = u64::try_from(imported.quarantined.len()).unwrap();
        let fates = [imported.accepted, imported.duplicates, aside];
        let expected = self.town.usage(serial, &events, now);
        if fates != expected {
            let reasons: Vec<&str> =
                imported.quarantined.iter().map(|row| row.reason.as_str()).collect();
            return Err(format!(
                "usage: accepted, doubled, set aside {fates:?}, the model says {expected:?}: {reasons:?}"
            ));
        }
        self.reported.extend(events);
        self.count("usage file", 1);
        for (what, times) in ["use accepted", "use doubled", "use set aside"].iter().zip(fates) {
            self.count(what, times);
        }
        Ok(())
    }

    async fn retry_aside(&mut self) -> Result<(), String> {
        self.note("what was set aside is tried again".to_owned());
        let retried = usage::retry_quarantine(&self.world.app()).await;
        let retried = retried.map_err(|error| error.to_string())?;
        let aside = u64::try_from(retried.imported.quarantined.len()).unwrap();
        let fates = [retried.imported.accepted, retried.imported.duplicates, aside];
        let expected = self.town.retry_aside(self.world.now());
        self.count("set aside, retried", 1);
        self.count("use accepted after all", fates[0]);
        if fates == expected { Ok(()) } else { Err(format!("retried {fates:?}, not {expected:?}")) }
    }

    async fn buy(&mut self, name: &str) -> Result<(), String> {
        let now = self.world.now();
        let package = self.chance.pick(&["small", "standard", "professional", "large"]).copied();
        let nano = match self.chance.below(3) {
            0 => i128::from(self.chance.between(1, 900)) * CREDIT,
            _ => i128::from(self.chance.between(1_000_000_000, 900_000_000_000)),
        };
        let (wanted, told) = if let Some(id) = package.filter(|_| self.chance.percent(50)) {
            (Wanted::Package(id.to_owned()), Ok(id))
        } else {
            let text = number(nano, 9).to_string();
            (Wanted::Credits(text.parse().unwrap()), Err(nano))
        };
        self.note(format!("{name} buys {wanted:?}"));
        let mut priced = self.town.priced(name, told, now).ok_or("no price")?;
        let bought = went(requests::buy(&self.world.app(), name, &wanted).await)?;
        let Some((id, _)) = bought else { return Ok(()) };
        self.count("buy", 1);
        let sql = format!(
            "SELECT CAST(credits AS TEXT), CAST(net AS TEXT), CAST(tax AS TEXT) FROM purchase WHERE id = '{id}'"
        );
        let stored: Vec<i128> =
            self.world.table(&sql).await[0].iter().map(|text| text.parse().unwrap()).collect();
        if stored != [priced.credits, priced.net, priced.tax] {
            return Err(format!("{id} is {stored:?}, the model says {priced:?}"));
        }
        priced.id.clone_from(&id);
        self.town.accounts.get_mut(name).unwrap().bought.push(priced);
        self.open.insert(id);
        Ok(())
    }

    /// Which purchases were paid meanwhile: the provider's word, not the model's.
    pub(super) async fn purchases(&mut self) -> Result<(), String> {
        if self.open.is_empty() {
            return Ok(());
        }
        let sql = "SELECT organization, id, state, grant_id FROM purchase WHERE state <> 'open' ORDER BY id";
        for row in self.world.table(sql).await {
            if !self.open.remove(&row[1]) || row[2] != "paid" {
                continue;
            }
            if self.world.provider().moved(&row[0]).iter().all(|moved| moved.reference != row[1]) {
                return Err(format!("purchase {} is paid, but nothing was taken", row[1]));
            }
            self.town.paid(&row[0], &row[1], &row[3], self.world.now());
        }
        Ok(())
    }

    async fn grant(&mut self, name: &str) -> Result<(), String> {
        let promotional = self.chance.percent(50);
        let nano = i128::from(self.chance.between(1, 800_000_000_000));
        let source = if promotional { Source::Promotional } else { Source::Adjustment };
        self.note(format!("{name} is granted {nano} ({source:?})"));
        let amount = number(nano, 9).to_string().parse().unwrap();
        let id = credits::grant(&self.world.app(), name, amount, source, "simulation").await;
        let id = id.map_err(|error| error.to_string())?;
        self.town.grant(name, &id, promotional, nano, self.world.now());
        self.count("grant", 1);
        Ok(())
    }

    /// A tick: everything that is due, or nothing while the clock is behind.
    pub(super) async fn tick(&mut self, confirmed: Option<u32>) -> Result<(), String> {
        let now = self.world.now();
        let held = self.town.held(now);
        let confirmed = confirmed.or_else(|| {
            let months = u32::try_from(held?).ok()?;
            self.chance
                .percent(60)
                .then(|| if self.chance.percent(80) { months } else { months / 2 })
        });
        self.note(format!("tick, confirmed {confirmed:?}"));
        self.count("tick", 1);
        match (went(self.world.tick(confirmed).await)?, self.town.clock(now)) {
            (Some(_), Clock::Behind) => Err("a tick worked with the clock behind".to_owned()),
            (None, Clock::Right) => Err("a tick was refused with the clock right".to_owned()),
            (None, _) => {
                self.count("tick refused by the clock", 1);
                Ok(())
            }
            (Some(report), _) => {
                let closed = self.town.tick(confirmed, now);
                self.count("catch-up confirmed", u64::from(confirmed.is_some() && closed > 0));
                let waits = self.town.held(now).is_some();
                self.count("catch-up held", u64::from(waits));
                if report.held.is_empty() == waits {
                    return Err(format!("held {:?}, the model says {waits}", report.held));
                }
                self.closed(closed).await
            }
        }
    }

    /// After a close the open months are those of the model.
    async fn closed(&mut self, closed: u64) -> Result<(), String> {
        if closed > 0 {
            self.town.worked = self.town.worked.max(self.world.now());
        }
        compare::open_months(self).await
    }

    async fn rerun(&mut self, name: &str) -> Result<(), String> {
        let now = self.world.now();
        let open = self.town.accounts[name].month;
        let month = open - self.chance.between(0, 3);
        let only = self.chance.percent(50).then(|| name.to_owned());
        let names: Vec<String> = only.iter().cloned().collect();
        self.note(format!("rerun of {} for {only:?}", calendar::label(month)));
        let request = Rerun {
            job: "monthly_close",
            cycle: Some(calendar::label(month).parse().unwrap()),
            organizations: &names,
            reason: "simulation",
        };
        let done = went(requests::rerun(&self.world.app(), &request).await)?;
        match (done, self.town.clock(now)) {
            (Some(_), Clock::Behind) => Err("a rerun worked with the clock behind".to_owned()),
            (Some(_), _) => {
                self.count("rerun of a cycle", 1);
                let closed = self.town.rerun(Some(month), only.as_deref(), now);
                self.closed(closed).await
            }
            (None, _) => compare::open_months(self).await,
        }
    }

    async fn rerun_due(&mut self, name: &str) -> Result<(), String> {
        let now = self.world.now();
        let only = self.chance.percent(50).then(|| name.to_owned());
        let names: Vec<String> = only.iter().cloned().collect();
        self.note(format!("rerun of what is due for {only:?}"));
        let request = Rerun {
            job: "monthly_close",
            cycle: None,
            organizations: &names,
            reason: "simulation",
        };
        let done = went(requests::rerun(&self.world.app(), &request).await)?;
        if done.is_none() {
            let right = self.town.clock(now) == Clock::Right;
            return if right { Err("a rerun was refused".to_owned()) } else { Ok(()) };
        }
        self.count("rerun of what is due", 1);
        let closed = self.town.rerun(None, only.as_deref(), now);
        self.closed(closed).await
    }

    async fn retry_run(&mut self, name: &str) -> Result<(), String> {
        let runs = self.world.table("SELECT id FROM run ORDER BY id").await.concat();
        let Some(run) = self.chance.pick(&runs).cloned() else { return Ok(()) };
        let only = self.chance.percent(50).then_some(name);
        self.note(format!("retry of {run} for {only:?}"));
        let done = went(requests::retry(&self.world.app(), &run, only, "simulation").await)?;
        self.count("run retried", u64::from(done.is_some()));
        Ok(())
    }

    async fn method(&mut self, name: &str) -> Result<(), String> {
        let which = ["ok", "b", "c"][self.chance.below(3) as usize];
        let token = format!("pm_sandbox_{which}");
        let app = self.world.app();
        if self.chance.percent(70) {
            let default = self.chance.percent(50);
            self.note(format!("{name} adds {token}, default {default}"));
            let done = went(methods::add(&app, name, &token, default, "simulation").await)?;
            self.count("method added", u64::from(done.is_some()));
        } else {
            self.note(format!("{name} removes {token}"));
            let done = went(methods::remove(&app, name, &token, "simulation").await)?;
            self.count("method removed", u64::from(done.is_some()));
        }
        Ok(())
    }
}
