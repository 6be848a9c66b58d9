//! Runs: one per job and due instant.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_one, fetch_optional};
use super::{StorageError, Tx};

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Which job.
    pub job: String,
    /// Which cycle, as text; empty: not about a cycle.
    pub cycle: String,
    /// When it became due.
    pub due_at: DateTime<Utc>,
    /// `open`, `done` or `attention`; `held` while its figures wait for a confirmation.
    pub state: String,
    /// `schedule`, or who started it and why.
    pub cause: String,
    /// How often work was planned into it; guards two planners at once.
    pub plans: i64,
}

/// Columns of a run. Held is not stored: it is what the parked look at its figures says.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, job, cycle, due_at, CASE WHEN EXISTS (SELECT 1 FROM step s WHERE s.run_id = run.id ",
            "AND s.kind = 'brake' AND s.state = 'parked') THEN 'held' ELSE run.state END AS state, cause, plans ",
            "FROM run ",
            $condition
        )
    };
}

/// How many steps of a run stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Record!)]
pub struct Counts {
    /// Finished.
    pub done: i64,
    /// Waiting for a person.
    pub parked: i64,
    /// Waiting for their time or a worker.
    pub waiting: i64,
}

/// Makes a run unless it is there; gives what is stored.
pub async fn get_or_create(
    tx: &mut Tx,
    run: &Run,
    now: DateTime<Utc>,
) -> Result<Run, StorageError> {
    execute!(
        tx,
        "INSERT INTO run (id, job, cycle, due_at, state, cause, plans, created_at) \
         VALUES ($1, $2, $3, $4, 'open', $5, 0, $6) ON CONFLICT DO NOTHING",
        run.id.clone(),
        run.job.clone(),
        run.cycle.clone(),
        run.due_at,
        run.cause.clone(),
        now
    );
    let stored = fetch_optional!(
        tx,
        Run,
        select!("WHERE job = $1 AND cycle = $2 AND due_at = $3"),
        run.job.clone(),
        run.cycle.clone(),
        run.due_at
    );
    stored.ok_or_else(|| StorageError::Refused(format!("run {} vanished", run.id)))
}

/// Takes the right to plan work into a run that was planned `plans` times when what is due was asked.
/// False: another planner was faster.
pub async fn begin_plan(tx: &mut Tx, run: &Run, plans: i64) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE run SET plans = plans + 1, state = 'open', finished_at = NULL WHERE id = $1 AND plans = $2",
        run.id.clone(),
        plans
    );
    Ok(touched == 1)
}

/// Opens a run again for work that joins it, whoever else does the same. False: it is not there any more, because it
/// held nothing.
pub async fn reopen(tx: &mut Tx, id: &str) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "UPDATE run SET plans = plans + 1, state = 'open', finished_at = NULL WHERE id = $1",
        id
    );
    Ok(touched == 1)
}

/// Keeps a run to oneself for the rest of the transaction. Whoever locks organizations as well locks them first.
pub async fn lock(tx: &mut Tx, id: &str) -> Result<(), StorageError> {
    execute!(tx, "UPDATE run SET plans = plans WHERE id = $1", id);
    Ok(())
}

/// One run.
pub async fn get(tx: &mut Tx, id: &str) -> Result<Option<Run>, StorageError> {
    Ok(fetch_optional!(tx, Run, select!("WHERE id = $1"), id))
}

/// The run of a job at a due instant.
pub async fn at(
    tx: &mut Tx,
    job: &str,
    due_at: DateTime<Utc>,
) -> Result<Option<Run>, StorageError> {
    Ok(fetch_optional!(tx, Run, select!("WHERE job = $1 AND due_at = $2"), job, due_at))
}

/// All runs, latest due first.
pub async fn all(tx: &mut Tx) -> Result<Vec<Run>, StorageError> {
    Ok(fetch_all!(tx, Run, select!("ORDER BY due_at DESC, id DESC")))
}

/// Runs of a job and cycle, oldest due first.
pub async fn of_cycle(tx: &mut Tx, job: &str, cycle: &str) -> Result<Vec<Run>, StorageError> {
    Ok(fetch_all!(
        tx,
        Run,
        select!("WHERE job = $1 AND cycle = $2 ORDER BY due_at, id"),
        job,
        cycle
    ))
}

/// Where the steps of a run stand.
pub async fn counts(tx: &mut Tx, id: &str) -> Result<Counts, StorageError> {
    let row = fetch_optional!(
        tx,
        Counts,
        "SELECT CAST(COALESCE(SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END), 0) AS BIGINT) AS done, \
         CAST(COALESCE(SUM(CASE WHEN state = 'parked' THEN 1 ELSE 0 END), 0) AS BIGINT) AS parked, \
         CAST(COALESCE(SUM(CASE WHEN state IN ('ready', 'leased') THEN 1 ELSE 0 END), 0) AS BIGINT) AS waiting \
         FROM step WHERE run_id = $1",
        id
    );
    Ok(row.unwrap_or_default())
}

/// Sets the state that a run's steps give: `open`, `attention` or `done`, and gives it. Not by counting them: each
/// worker asks whenever it finds nothing to do.
pub async fn refresh(tx: &mut Tx, id: &str, now: DateTime<Utc>) -> Result<String, StorageError> {
    // Steps that somebody adds meanwhile come with a lock of their own: their run is not done.
    if matches!(tx, Tx::Postgres(_)) {
        lock(tx, id).await?;
    }
    let (state,) = fetch_one!(
        tx,
        (String,),
        // In such words that PostgreSQL does not go through all that may be claimed (as in `steps`).
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM step WHERE run_id = $1 AND state IN ('ready', 'leased', 'parked') \
         AND state || '' <> 'parked') THEN 'open' \
         WHEN EXISTS (SELECT 1 FROM step WHERE run_id = $1 AND state = 'parked') THEN 'attention' ELSE 'done' END",
        id
    );
    execute!(
        tx,
        "UPDATE run SET state = $2, finished_at = $3 WHERE id = $1 AND state <> $2",
        id,
        &state,
        (state == "done").then_some(now)
    );
    Ok(state)
}

/// Runs whose state is not that of their steps any more, all of which have ended: whoever ended the last one stopped before the run was told, or ended
/// it by hand.
pub async fn ended(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT r.id FROM run r WHERE r.state <> 'done' AND NOT EXISTS (SELECT 1 FROM step s WHERE s.run_id = r.id \
         AND s.state IN ('ready', 'leased', 'parked') AND (s.state <> 'parked' OR r.state = 'attention')) ORDER BY r.id"
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Has a job a run whose steps are still to be done?
pub async fn has_open(tx: &mut Tx, job: &str) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM run r WHERE r.job = $1 AND r.state = 'open' AND EXISTS \
         (SELECT 1 FROM step s WHERE s.run_id = r.id AND s.state IN ('ready', 'leased') AND s.rank < 50)",
        job
    );
    Ok(row.is_some_and(|(count,)| count > 0))
}

/// The due instants watches last looked at, by job.
pub async fn watched(tx: &mut Tx) -> Result<HashMap<String, DateTime<Utc>>, StorageError> {
    let rows = fetch_all!(tx, (String, DateTime<Utc>), "SELECT job, due_at FROM watch");
    Ok(rows.into_iter().collect())
}

/// Takes the right to look at a due instant. False: somebody looks at it, or at a later one, already.
pub async fn begin_watch(
    tx: &mut Tx,
    job: &str,
    due_at: DateTime<Utc>,
) -> Result<bool, StorageError> {
    let touched = execute!(
        tx,
        "INSERT INTO watch (job, due_at) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE \
         SET due_at = excluded.due_at WHERE watch.due_at < excluded.due_at",
        job,
        due_at
    );
    Ok(touched == 1)
}

/// Removes the run of a watch that found nothing: all its steps are of the kind it began with, done, and
/// without a remark. True: it is gone.
pub async fn remove_quiet(tx: &mut Tx, id: &str, first_kind: &str) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM step WHERE run_id = $1 \
         AND (kind <> $2 OR state <> 'done' OR error IS NOT NULL)",
        id,
        first_kind
    );
    if row.is_some_and(|(count,)| count > 0) {
        return Ok(false);
    }
    execute!(tx, "DELETE FROM step WHERE run_id = $1", id);
    execute!(tx, "DELETE FROM run WHERE id = $1", id);
    Ok(true)
}

/// How many runs there are.
pub async fn count(tx: &mut Tx) -> Result<i64, StorageError> {
    let (count,) = fetch_one!(tx, (i64,), "SELECT CAST(COUNT(*) AS BIGINT) FROM run");
    Ok(count)
}

/// Runs that say they are done while steps of theirs are not: none, ever.
pub async fn done_too_early(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT r.id FROM run r WHERE r.state = 'done' AND EXISTS (SELECT 1 FROM step s WHERE s.run_id = r.id \
         AND s.state IN ('ready', 'leased', 'parked')) ORDER BY r.id"
    );
    Ok(rows.into_iter().map(|(id,)| id).collect())
}

/// Runs that are not done.
pub async fn unfinished(tx: &mut Tx) -> Result<Vec<Run>, StorageError> {
    Ok(fetch_all!(tx, Run, select!("WHERE run.state <> 'done' ORDER BY due_at, id")))
}
