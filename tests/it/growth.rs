//! What a month costs an organization, counted in the steps of SQLite's engine: the same among many organizations as
//! among few, and the same after years as in the first months.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use monthend::domain::payment::{EventSubject, ProviderEvent};
use monthend::jobs::names;
use monthend::jobs::requests::{self, Rerun};
use monthend::services::purchases::Wanted;
use monthend::services::{alerts, history, notifications};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::harness::world::{cycle, whole};
use crate::harness::{Engine, How, Org, World, events, run_as};

/// Runs and steps of the engine, by the statement's text.
type Costs = BTreeMap<String, Cost>;

#[derive(Debug, Clone, Copy, Default)]
struct Cost {
    runs: i64,
    steps: i64,
}

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Costs>>);

#[derive(Default)]
struct Told {
    sql: String,
    steps: i64,
}

impl Visit for Told {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "steps" {
            self.steps = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "sql" {
            self.sql = without_lists(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}

impl<S: Subscriber> Layer<S> for Heard {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        let mut costs = self.0.lock().unwrap();
        let cost = costs.entry(told.sql).or_default();
        cost.runs += 1;
        cost.steps += told.steps;
    }
}

impl Heard {
    fn take(&self) -> Costs {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// The text without its places, of which there may be one for each of many rows.
fn without_lists(sql: &str) -> String {
    let mut parts = sql.split("VALUES (?");
    let head = parts.next().unwrap_or_default().to_owned();
    parts.fold(head, |text, part| {
        text + "VALUES …" + part.trim_start_matches(['?', '(', ')', ',', ' '])
    })
}

/// Runs a scenario and hears what its statements cost.
fn hear<B, T>(scenario: impl FnOnce(Arc<World>, Heard) -> B) -> T
where
    B: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let heard = Heard::default();
    let filter = Targets::new().with_target("monthend::sql", Level::TRACE);
    let listener = tracing_subscriber::registry().with(heard.clone().with_filter(filter));
    let _listening = tracing::subscriber::set_default(listener);
    run_as(How::OnThisThread, Engine::Sqlite, |world| scenario(world, heard))
}

/// No statement costs each of so many more than a sixth, and a few steps, above what it did.
fn is_level(before: &(Costs, i64), after: &(Costs, i64), few: i64) {
    let all: i64 = before.0.values().map(|cost| cost.steps).sum();
    assert!(all > 1_000 * before.1, "too little was heard: {all} steps");
    let each = |costs: &(Costs, i64), sql: &str| {
        let cost = costs.0.get(sql).copied().unwrap_or_default();
        (cost.steps / costs.1, cost.runs)
    };
    let grown: Vec<String> = after
        .0
        .keys()
        .filter_map(|sql| {
            let ((before, runs), (after, later)) = (each(before, sql), each(after, sql));
            let told =
                format!("{before} steps in {runs} runs became {after} in {later}, for each: {sql}");
            (after > before * 7 / 6 + few).then_some(told)
        })
        .collect();
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}

/// Everything of a month of 2026 of so many organizations, and a person's rerun of it.
async fn month(world: &World, organizations: usize, used: &str, number: u32) {
    let ids = (0..organizations).map(|n| format!("o{n:05}")).collect::<Vec<_>>();
    let day = |day: u32| format!("2026-{number:02}-{day:02}T09:00:00Z");
    if world.count("organization").await == 0 {
        world.set_clock(&day(1));
        let org = |id: &String| Org::new(id, "standard", &day(1)[..10]).pays("ok");
        world.organizations(&ids.iter().map(org).collect::<Vec<_>>()).await;
    }
    world.set_clock(&day(20));
    let (name, at) = (number.to_string(), day(10));
    let rows: Vec<_> =
        ids.iter().map(|id| (name.as_str(), id.as_str(), at.as_str(), used)).collect();
    world.accepted_usage(&events(&rows)).await;
    world.clean_tick().await;
    // Over, and closed two hours later.
    for time in ["00:30", "02:00"] {
        world.set_clock(&format!("2026-{:02}-01T{time}:00Z", number + 1));
        world.clean_tick().await;
    }
    let rerun = Rerun {
        job: names::MONTHLY_CLOSE,
        cycle: Some(cycle(&format!("2026-{number:02}"))),
        organizations: &[],
        reason: "test",
    };
    assert!(requests::rerun(&world.app(), &rerun).await.unwrap().is_clean());
}

/// What is asked about one organization, and done for it, on an ordinary day.
async fn a_day(world: &World, id: &str) {
    let app = world.app();
    world.balance(id).await;
    assert!(!world.invoices(id).await.is_empty());
    assert!(!history::payments(&app, Some(id), 10).await.unwrap().is_empty());
    assert!(!alerts::list(&app, Some(id), None).await.unwrap().is_empty());
    history::of_organization(&app, id).await.unwrap();
    let wanted = Wanted::Credits(whole(10));
    assert!(requests::buy(&app, id, &wanted).await.unwrap().1.is_clean());
    let keys = world
        .table(&format!("SELECT key FROM charge WHERE organization = '{id}' ORDER BY id DESC"))
        .await;
    let key = keys.concat().remove(0);
    let about = EventSubject::Charge { key: key.clone() };
    let event = ProviderEvent { id: key, kind: "payment_intent.succeeded".to_owned(), about };
    notifications::hear(&app, &event).await.unwrap();
}

// Numbering, planning and a person's rerun went through all organizations for each group of them.
#[test]
fn a_month_costs_each_of_many_as_much_as_each_of_few() {
    let costs = |organizations: u16| {
        hear(|world, heard| async move {
            month(&world, organizations.into(), "500", 1).await;
            (heard.take(), organizations.into())
        })
    };
    is_level(&costs(750), &costs(3_000), 3);
}

// What waits, is open or is left was looked for among all there ever was: steps at each tick, an organization's use
// of all months at each close.
#[test]
fn a_month_and_a_day_cost_as_much_after_a_year_as_after_a_quarter() {
    hear(|world, heard| async move {
        let (mut months, mut days) = (Vec::new(), Vec::new());
        for number in 1..=11 {
            heard.take();
            month(&world, 100, "1100", number).await;
            let mut costs = heard.take();
            // Each run there ever was is asked whether it waits: a few, whoever they were for.
            costs.retain(|sql, _| !sql.contains("FROM run r WHERE"));
            months.push((costs, 100));
            a_day(&world, "o00007").await;
            days.push((heard.take(), 1));
        }
        is_level(&months[2], &months[10], 10);
        // A list of all an organization had grows with it; one of everybody's would by a hundred times as much.
        is_level(&days[2], &days[10], 2_000);
    });
}
