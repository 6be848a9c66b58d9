//! What PostgreSQL reads to answer for a few of many organizations after two years, counted in blocks: not their whole
//! history, and not everybody's. Its plans depend on statistics: those that know nothing of the month at work, and those that do.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test a failure is the answer")]

use monthend::domain::cycle::Cycle;
use monthend::storage::admission::{self, Who};
use monthend::storage::runs::{self, Run};
use monthend::storage::{
    Key, Tx, alerts, artifacts, brakes, charges, corrections, cycles, documents, dunning, grants,
    invoices, mails, methods, organizations, pace, purchases, steps, usage,
};
use sqlx::AssertSqlSafe;

use crate::harness::world::{at, cycle};
use crate::harness::{Engine, World, run};

/// One group of organizations among 2,000.
const GROUP: i64 = 25;
const FIRST: &str = "o01000";
const LAST: &str = "o01024";

/// Blocks read for each organization of a group: some look-ups, through three levels of an index each. One for each
/// month would be 24 more.
const READ: i64 = 20;

/// The same where a row of each is written, and its place in every index.
const WRITTEN: i64 = 40;

/// Blocks that the transaction has read of the program's tables and indexes.
async fn blocks(tx: &mut Tx) -> i64 {
    let Tx::Postgres(tx) = tx else { panic!("blocks are counted on PostgreSQL") };
    let (blocks,): (i64,) = sqlx::query_as(
        "SELECT CAST(SUM(pg_stat_get_xact_blocks_fetched(oid)) AS BIGINT) FROM pg_class \
         WHERE relkind IN ('r', 'i') AND relnamespace = 'public'::regnamespace",
    )
    .fetch_one(&mut **tx)
    .await
    .unwrap();
    blocks
}

/// A transaction whose reads are all its own: those of parallel workers are counted elsewhere.
async fn begin(world: &World) -> Tx {
    let mut tx = world.app().db.write().await.unwrap();
    if let Tx::Postgres(tx) = &mut tx {
        let alone = "SET LOCAL max_parallel_workers_per_gather = 0";
        sqlx::query(alone).execute(&mut **tx).await.unwrap();
    }
    tx
}

/// Asks each question in a transaction of its own; gives those that read too much.
macro_rules! too_much {
    ($world:expr, $most:expr, $tx:ident => { $($question:expr),+ $(,)? }) => {{
        let mut found = Vec::new();
        $({
            let mut transaction = begin($world).await;
            let before = blocks(&mut transaction).await;
            let $tx = &mut transaction;
            // Rows that are not what they should be are refused after they were read.
            let _ = $question.await;
            let read = blocks(&mut transaction).await - before;
            let name = stringify!($question).split('(').next().unwrap_or_default().to_owned();
            assert!(read > 0, "{name} was not asked");
            if read > $most * GROUP {
                found.push(format!("{name} read {read} blocks"));
            }
        })+
        found
    }};
}

fn keys(second: &str) -> Vec<Key> {
    (1000..1000 + GROUP).map(|n| (format!("o{n:05}"), second.to_owned())).collect()
}

async fn fill(world: &World) {
    let app = world.app();
    let monthend::storage::Db::Postgres(pool) = &app.db else { panic!("filled on PostgreSQL") };
    let mut connection = pool.acquire().await.unwrap();
    let script = AssertSqlSafe(include_str!("night.sql"));
    sqlx::raw_sql(script).execute(&mut *connection).await.unwrap();
    // It checks no foreign keys any more: nobody else may get it.
    connection.close_on_drop();
}

// A chunk's drafts were taken from among all invoices of its organizations, one planning round read all steps there
// ever were, and the standing of a chunk that of all organizations before it.
#[test]
fn a_group_reads_its_own_rows() {
    run(Engine::Postgres, |world| async move {
        fill(&world).await;
        world.do_damage();
        let mut found = read_too_much(&world).await;
        // With statistics that know the month, some of a chunk's questions went through all of each organization.
        world.execute("ANALYZE").await.unwrap();
        found.extend(read_too_much(&world).await.into_iter().map(|one| format!("analyzed: {one}")));
        assert!(found.is_empty(), "{}", found.join("\n"));
    });
}

/// What is asked about a group, or about whoever it is, and reads more than its own.
async fn read_too_much(world: &World) -> Vec<String> {
    let (past, works, open): (Cycle, Cycle, Cycle) =
        (cycle("2025-10"), cycle("2025-11"), cycle("2025-12"));
    let now = at("2025-12-01T02:00:00Z");
    let run = Run {
        id: "run_2025-11".to_owned(),
        job: "monthly_close".to_owned(),
        cycle: works.to_string(),
        due_at: at("2025-12-01T00:00:00Z"),
        state: "open".to_owned(),
        cause: "schedule".to_owned(),
        plans: 1,
    };
    let names: Vec<String> = keys("").into_iter().map(|(organization, _)| organization).collect();
    let mut found = too_much!(world, READ, tx => {
        // A close.
        usage::summaries(tx, FIRST, LAST, works),
        usage::by_billed_cycle(tx, FIRST, LAST),
        grants::for_close(tx, FIRST, LAST, works),
        purchases::paid_in_range(tx, FIRST, LAST, works),
        corrections::in_range(tx, FIRST, LAST, works),
        cycles::open_in_range(tx, FIRST, LAST),
        cycles::held_alone(tx, FIRST, LAST, "close"),
        charges::mismatched(tx, FIRST, LAST),
        admission::may_change(tx, FIRST, LAST, works),
        admission::figures(tx, Who::Range(FIRST, LAST)),
        admission::figures(tx, Who::These(&names)),
        // Numbers and documents.
        brakes::lines(tx, (works, run.due_at), FIRST, GROUP),
        invoices::released_drafts(tx, &run, FIRST, LAST),
        invoices::issued_ids(tx, (FIRST, LAST), past, "", i64::MAX),
        invoices::issued_ids(tx, ("", "~"), past, FIRST, GROUP),
        invoices::issued_in_range(tx, FIRST, LAST, past),
        invoices::declined_in_range(tx, (FIRST, LAST), past, at("2026-02-01T02:00:00Z")),
        invoices::documents_of(tx, &keys("inv_2025-10")),
        artifacts::in_range(tx, FIRST, LAST, past),
        documents::of_cycle(tx, FIRST, LAST, past),
        artifacts::these(tx, &keys("inv_2025-10")),
        // Charges and mails.
        charges::failed_by_method(tx, FIRST, LAST, now),
        charges::last_declined(tx, FIRST, LAST),
        charges::these(tx, &keys("chg_2025-11")),
        charges::of_subjects(tx, &keys("inv_2025-11")),
        methods::these(tx, &keys("pm")),
        mails::these(tx, &keys("mal_2025-11")),
        organizations::these(tx, &names),
        dunning::due(tx, FIRST, LAST, now),
        dunning::forgotten(tx, FIRST, LAST),
        // Alerts.
        pace::daily(tx, FIRST, LAST, works),
        pace::by_project(tx, FIRST, LAST, works, &["p"]),
        pace::grants_made(tx, FIRST, LAST, works),
        alerts::states(tx, FIRST, LAST, works),
        // What a planner and a worker ask, whoever it is about.
        cycles::due(tx, at("2026-01-01T02:00:00Z"), None, None, GROUP),
        steps::is_leased(tx, FIRST, "chg_2025-11"),
        steps::unfinished_subjects(tx, "import_usage"),
        steps::waiting_runs(tx),
        steps::is_at_work(tx, "run_2025-11", "close"),
        steps::unfinished(tx, "run_2025-11", "brake"),
        steps::held(tx),
        steps::parked(tx),
        runs::ended(tx),
        runs::has_open(tx, "monthly_close"),
        // What is asked about one of them.
        invoices::list(tx, Some(FIRST), None),
        charges::history(tx, Some(FIRST), 10),
        alerts::list(tx, Some(FIRST), None),
        usage::unbilled(tx, FIRST, open),
    });
    found.extend(too_much!(world, WRITTEN, tx => {
        charges::mark_sent(tx, &keys("chg_2025-11"), now),
        invoices::settle(tx, &keys("inv_2025-10"), "paid"),
        dunning::end(tx, &keys("inv_2025-10"), "paid"),
        steps::hurry_subject(tx, FIRST, "chg_2025-11", now),
        steps::finish_subject(tx, FIRST, "chg_2025-11", now),
        runs::refresh(tx, "run_2025-10", now),
        runs::refresh(tx, "run_2025-11", now),
    }));
    found
}
