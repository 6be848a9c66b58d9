//! What customers, finance and the provider do, by chance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use monthend::domain::payment::ChargeRequest;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::services::charging::Transfer;
use monthend::services::purchases::Wanted;
use monthend::services::{ServiceError, credit_notes, methods, recharges};
use monthend::storage::steps;
use tokio_util::sync::CancellationToken;

use super::Done;
use crate::harness::scripted::{Answer, LookUps, Script, Scripted};
use crate::harness::world::whole;
use crate::harness::{Engine, Org, World, events};
use crate::simulation::chance::Chance;

/// Everything that may happen; each must happen in a full run.
pub const KINDS: [&str; 11] = [
    "buy",
    "transfer",
    "reverse",
    "credit invoice",
    "credit receipt",
    "pay back",
    "void",
    "retry",
    "notify",
    "add method",
    "remove method",
];

/// A world full of organizations, and what the test itself did with money.
pub struct Town {
    pub world: Arc<World>,
    pub provider: Arc<Scripted>,
    pub names: Vec<String>,
    /// What finance recorded, in minor units, by invoice number.
    pub transferred: BTreeMap<String, i64>,
    /// What finance transferred back, by organization.
    pub paid_back: BTreeMap<String, i64>,
    /// How often each thing was done.
    pub done: Done,
    seed: u64,
    /// From here on every new charge goes well.
    calm: Arc<AtomicBool>,
}

/// How the n-th attempt for a reference goes.
fn plot(seed: u64, request: &ChargeRequest, nth: usize) -> Script {
    let words = [request.organization.as_str(), &request.reference, &nth.to_string()];
    let mut chance = Chance::of(seed, &words);
    let hours = i64::from(5 + chance.below(60));
    let answer = match chance.below(100) {
        0..40 => Answer::Succeeds,
        40..58 => Answer::SoftDecline,
        58..61 => Answer::HardDecline,
        61..67 => Answer::Acts(hours),
        67..71 => Answer::Expires(hours),
        71..77 => Answer::SettlesLater(hours),
        77..81 => Answer::FailsLater(hours),
        81..88 => Answer::LostBefore,
        88..96 => Answer::LostAfter,
        _ => Answer::NotSent(1 + chance.below(3)),
    };
    let look_ups = match chance.below(10) {
        0 => LookUps::FailFor(i64::from(5 + chance.below(120))),
        1 => LookUps::LagOnce,
        _ => LookUps::Truth,
    };
    Script { answer, look_ups, kills: false }
}

/// What may be refused is refused for a reason; anything else is a failure.
fn went<T>(result: Result<T, ServiceError>) -> bool {
    match result {
        Ok(_) => true,
        Err(ServiceError::Refused(_) | ServiceError::NotFound(_)) => false,
        Err(error) => unreachable!("{error}"),
    }
}

/// Receipts, credit notes and mails are not what is looked at here, and cost more than all the rest: their
/// steps are done as soon as they are made. On PostgreSQL they are worked.
async fn quiet_paper(world: &World, engine: Engine) {
    if engine == Engine::Sqlite {
        let sql = "CREATE TRIGGER quiet_paper AFTER INSERT ON step WHEN NEW.kind IN ('document', 'mail') \
             BEGIN UPDATE step SET state = 'done', finished_at = NEW.created_at WHERE id = NEW.id; \
             UPDATE mail SET state = 'sent', sent_at = NEW.created_at \
             WHERE organization = NEW.organization AND id = NEW.subject; END";
        world.execute(sql).await.unwrap();
    }
}

impl Town {
    /// Organizations that differ in plan, tax and method; some buy by themselves.
    pub async fn found(world: Arc<World>, engine: Engine, seed: u64, many: usize) -> Self {
        world.set_clock("2026-01-20T09:00:00Z");
        quiet_paper(&world, engine).await;
        let names: Vec<String> = (0..many).map(|n| format!("o{n:04}")).collect();
        let mut rows = Vec::new();
        for name in &names {
            let mut chance = Chance::of(seed, &["org", name]);
            let plan = if chance.percent(30) { "professional" } else { "standard" };
            let org = Org::new(name, plan, "2026-01-01");
            let org = if chance.percent(50) { org.with("tax_percent", "7.7") } else { org };
            rows.push(if chance.percent(90) { org.pays("ok") } else { org });
        }
        world.organizations(&rows).await;
        let calm = Arc::new(AtomicBool::new(false));
        let quiet = calm.clone();
        let provider = Scripted::new(world.app().clock.clone(), move |request, nth| {
            if quiet.load(Ordering::SeqCst) {
                let (answer, look_ups) = (Answer::Succeeds, LookUps::Truth);
                return Script { answer, look_ups, kills: false };
            }
            plot(seed, request, nth)
        });
        world.collect_by(provider.clone()).await;
        for name in &names {
            if Chance::of(seed, &["recharge", name]).percent(40) {
                let settings = recharges::Settings {
                    threshold: whole(900),
                    package: "small",
                    monthly_limit: "500.00",
                    cool_off_minutes: 60,
                };
                // Those without a card have nothing to buy with.
                if let Err(error) = recharges::set(&world.app(), name, &settings, "test").await {
                    assert!(error.to_string().contains("no stored payment method"), "{error}");
                }
            }
        }
        Self {
            world,
            provider,
            names,
            transferred: BTreeMap::new(),
            paid_back: BTreeMap::new(),
            done: Done::new(),
            seed,
            calm,
        }
    }

    /// Forty days in turns of hours or days.
    pub async fn live(&mut self) {
        let mut chance = Chance::of(self.seed, &["time"]);
        let mut streams: Vec<Chance> =
            self.names.iter().map(|name| Chance::of(self.seed, &["acts", name])).collect();
        for turn in 0..30 {
            self.world.pass(i64::from(1 + chance.below(64)) * 3_600);
            self.tick().await;
            self.use_credits(turn, &mut chance).await;
            for (name, stream) in self.names.clone().iter().zip(&mut streams) {
                if stream.percent(30) {
                    self.act(name, stream).await;
                }
            }
        }
    }

    /// Everything that was begun comes to its end.
    pub async fn come_to_rest(&mut self) {
        self.calm.store(true, Ordering::SeqCst);
        self.provider.be_honest();
        for _ in 0..12 {
            self.world.pass(12 * 3_600);
            self.tick().await;
        }
    }

    async fn tick(&self) {
        self.world.tick(None).await.unwrap();
    }

    async fn use_credits(&self, turn: u32, chance: &mut Chance) {
        let at = self.world.app().clock.now() - chrono::Duration::minutes(1);
        let at = at.format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let mut rows = Vec::new();
        for name in &self.names {
            if chance.percent(15) {
                rows.push((name.as_str(), (50 + chance.below(400)).to_string()));
            }
        }
        let id = format!("t{turn}");
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, used)| (id.as_str(), *name, at.as_str(), used.as_str()))
            .collect();
        if !rows.is_empty() {
            self.world.usage(&events(&rows)).await;
        }
    }

    /// Something happens; mostly what waits is looked after first.
    async fn act(&mut self, name: &str, chance: &mut Chance) {
        let waits = chance.percent(60);
        for one in if waits { vec![6, 9, 8, 7] } else { vec![chance.below(17)] } {
            if self.act_one(name, one, chance).await {
                break;
            }
        }
    }

    async fn act_one(&mut self, name: &str, one: u32, chance: &mut Chance) -> bool {
        let app = self.world.app();
        let (kind, went) = match one {
            0..3 => {
                let wanted = if chance.percent(50) {
                    Wanted::Package("small".to_owned())
                } else {
                    Wanted::Credits(whole(37))
                };
                ("buy", went(requests::buy(&app, name, &wanted).await))
            }
            3 | 13 => ("transfer", self.transfer(name, chance).await),
            4 => ("credit invoice", self.credit(name, "invoice", chance).await),
            5 => ("credit receipt", self.credit(name, "document", chance).await),
            6 => ("pay back", self.pay_back(name, chance).await),
            7 => {
                let number = self.invoice(name, "status <> 'settled'", chance).await;
                let Some(number) = number else { return false };
                ("void", went(requests::void_charge(&app, &number, "test").await))
            }
            8 => ("retry", self.retry(name, chance).await),
            9 | 10 => ("notify", self.notify(name).await),
            11 => {
                let token = format!("pm_sandbox_{}", ["ok", "b", "c"][chance.below(3) as usize]);
                let default = chance.percent(50);
                ("add method", went(methods::add(&app, name, &token, default, "test").await))
            }
            12 | 14..16 => ("reverse", self.reverse(name, chance).await),
            _ => {
                let token = format!("pm_sandbox_{}", ["ok", "b", "c"][chance.below(3) as usize]);
                ("remove method", went(methods::remove(&app, name, &token, "test").await))
            }
        };
        *self.done.entry(kind).or_default() += u64::from(went);
        went
    }

    /// The number of one of an organization's invoices.
    async fn invoice(&self, name: &str, which: &str, chance: &mut Chance) -> Option<String> {
        let sql = format!(
            "SELECT number FROM invoice WHERE organization = '{name}' AND number IS NOT NULL \
             AND {which} ORDER BY number"
        );
        chance.pick(&self.world.table(&sql).await.concat()).cloned()
    }

    async fn transfer(&mut self, name: &str, chance: &mut Chance) -> bool {
        let Some(number) = self.invoice(name, "status <> 'settled'", chance).await else {
            return false;
        };
        let due = format!(
            "SELECT CAST(i.amount_due - COALESCE((SELECT SUM(d.total) FROM document d \
             WHERE d.organization = i.organization AND d.subject_id = i.id \
             AND d.kind = 'credit_note'), 0) AS TEXT) FROM invoice i WHERE i.number = '{number}'"
        );
        let due: i64 = self.world.table(&due).await[0][0].parse().unwrap();
        let received_on = self.world.app().clock.now().date_naive();
        let transfer = Transfer {
            number: &number,
            amount: None,
            received_on,
            reference: "bank",
            reason: "test",
        };
        let went = went(requests::record_transfer(&self.world.app(), &transfer).await);
        if went {
            *self.transferred.entry(number).or_default() += due;
        }
        went
    }

    /// A transfer that was recorded is taken back; money a charge took is not.
    async fn reverse(&mut self, name: &str, chance: &mut Chance) -> bool {
        let settled = "status = 'settled' AND id IN (SELECT invoice_id FROM payment WHERE method = 'transfer')";
        let Some(number) = self.invoice(name, settled, chance).await else {
            return false;
        };
        let app = self.world.app();
        let went = went(requests::reverse_transfer(&app, &number, "test").await);
        assert_eq!(went, went && self.transferred.remove(&number).is_some(), "{number}");
        went
    }

    async fn credit(&self, name: &str, what: &str, chance: &mut Chance) -> bool {
        let receipt = if what == "document" { "kind = 'receipt'" } else { "1 = 1" };
        let sql = format!(
            "SELECT number FROM {what} WHERE organization = '{name}' AND number IS NOT NULL \
             AND {receipt} ORDER BY number"
        );
        let Some(number) = chance.pick(&self.world.table(&sql).await.concat()).cloned() else {
            return false;
        };
        let amount = chance.percent(70).then(|| format!("{}.50", 1 + chance.below(30)));
        let wanted = credit_notes::Wanted {
            number: &number,
            amount: amount.as_deref(),
            credits: None,
            reason: "test",
        };
        went(requests::credit(&self.world.app(), &wanted).await)
    }

    async fn pay_back(&mut self, name: &str, chance: &mut Chance) -> bool {
        let sql = format!(
            "SELECT d.number, CAST(r.amount AS TEXT) FROM refund r JOIN document d \
             ON d.organization = r.organization AND d.id = r.document_id \
             WHERE r.organization = '{name}' AND r.method = 'transfer' \
             AND r.state = 'intended' ORDER BY r.id"
        );
        let owed = self.world.table(&sql).await;
        let Some([number, amount]) = chance.pick(&owed).map(Vec::as_slice) else { return false };
        let went = went(requests::record_refund(&self.world.app(), number, "bank", "test").await);
        if went {
            *self.paid_back.entry(name.to_owned()).or_default() += amount.parse::<i64>().unwrap();
        }
        went
    }

    async fn retry(&self, name: &str, chance: &mut Chance) -> bool {
        let sql = "SELECT id FROM run WHERE job = 'monthly_close' ORDER BY id";
        let Some(run) = chance.pick(&self.world.table(sql).await.concat()).cloned() else {
            return false;
        };
        went(requests::retry(&self.world.app(), &run, Some(name), "test").await)
    }

    /// The provider tells that something happened, twice: what waits is looked up now.
    async fn notify(&self, name: &str) -> bool {
        let app = self.world.app();
        let mut hurried = 0;
        for _ in 0..2 {
            let sql = format!(
                "SELECT DISTINCT run_id FROM step WHERE organization = '{name}' \
                 AND kind IN ('charge', 'refund') AND state = 'ready' ORDER BY run_id"
            );
            for run in self.world.table(&sql).await.concat() {
                let mut tx = app.db.write().await.unwrap();
                hurried += steps::hurry(&mut tx, &run, Some(name), app.clock.now()).await.unwrap();
                tx.commit().await.unwrap();
                let runner = Runner::new(app.clone(), CancellationToken::new()).unwrap();
                runner.finish_run(&run).await.unwrap();
            }
        }
        hurried > 0
    }
}
