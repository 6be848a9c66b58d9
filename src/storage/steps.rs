//! Steps: the one work table. Claimed by compare-and-set ([`super::claims`]), finished only by their own epoch.
//!
//! What is not done is asked for as `state IN ('ready', 'leased', 'parked')`, and what may be claimed as
//! `state IN ('ready', 'leased')`, before anything narrower: SQLite takes a partial index for its own words only.
//! `state || ''` says the rest where PostgreSQL, whose statistics know of no step that waits, would go through all.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, Statement, execute, fetch_all, fetch_one, fetch_optional, insert};
use super::{Key, StorageError, Tx};

/// A step as a worker sees it.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Step {
    /// Its id.
    pub id: String,
    /// The run it belongs to.
    pub run_id: String,
    /// Which kind: the name of a file in `jobs/steps`.
    pub kind: String,
    /// Lower ranks go first.
    pub rank: i64,
    /// Place among steps of one kind.
    pub ordinal: i64,
    /// The organization, where the step is about one alone.
    pub organization: Option<String>,
    /// First organization of the range it covers.
    pub first_organization: String,
    /// Last organization of the range it covers.
    pub last_organization: String,
    /// How many organizations that are.
    pub organizations: i64,
    /// The charge, mail or file it is about.
    pub subject: Option<String>,
    /// `ready`, `leased`, `done` or `parked`.
    pub state: String,
    /// Raised by every claim; a late worker's does not match.
    pub epoch: i64,
    /// How often it was claimed.
    pub attempts: i64,
    /// Not before this instant.
    pub next_at: DateTime<Utc>,
    /// Why it waits or is parked.
    pub error: Option<String>,
}

impl Step {
    /// The row of its organization that it is about.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        Some((self.organization.clone()?, self.subject.clone()?))
    }
}

/// Adds steps; one that is there already is left alone.
pub async fn add(tx: &mut Tx, steps: &[Step], now: DateTime<Utc>) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO step (id, run_id, kind, rank, ordinal, organization, first_organization, \
         last_organization, organizations, subject, state, epoch, attempts, next_at, error, created_at)",
        " ON CONFLICT (id) DO NOTHING",
        steps,
        step => [
            &step.id,
            &step.run_id,
            &step.kind,
            step.rank,
            step.ordinal,
            &step.organization,
            &step.first_organization,
            &step.last_organization,
            step.organizations,
            &step.subject,
            &step.state,
            step.epoch,
            step.attempts,
            step.next_at,
            &step.error,
            now,
        ]
    );
    Ok(())
}

/// Kinds of steps this program can do, between commas. What a newer program wrote is left to it (F33).
pub const KNOWN_KINDS: &str = ",import_usage,close,brake,issue,render,document,admission,alert,expiry_notice,\
    recharge,retry_payment,check_method,charge,refund,mail,webhook,";

/// In a worker's hands, before a list of ids and epochs. PostgreSQL, whose statistics are mostly older than the night,
/// would go through an index of everything that waits; with the empty text it looks for the ids. SQLite goes through
/// the index of what is in a worker's hands.
pub(super) const fn leased(tx: &Tx) -> &'static str {
    match tx {
        Tx::Sqlite(..) => " WHERE state = 'leased' AND (id, epoch) IN (",
        Tx::Postgres(_) => " WHERE state || '' = 'leased' AND (id, epoch) IN (",
    }
}

/// Sets something on the steps that are still this worker's; gives their ids. `$head` ends before the one value.
macro_rules! change_ours {
    ($tx:expr, $head:expr, $value:expr, $steps:expr) => {{
        let mut ours = HashSet::with_capacity($steps.len());
        for chunk in $steps.chunks(super::db::rows_per_statement(2)) {
            let mut statement = Statement::new($head);
            statement
                .bind($value)
                .push(leased($tx))
                .values(chunk, |row, step| {
                    row.bind(step.id.clone()).bind(step.epoch);
                })
                .push(") RETURNING id");
            let rows: Vec<(String,)> = statement.fetch_all($tx).await?;
            ours.extend(rows.into_iter().map(|(id,)| id));
        }
        ours
    }};
}

/// Refuses a step that is not among those that are still this worker's.
fn fence(step: &Step, ours: &HashSet<String>) -> Result<(), StorageError> {
    if ours.contains(&step.id) { Ok(()) } else { Err(StorageError::Fenced(step.id.clone())) }
}

/// Marks a step done, in the transaction of its facts.
///
/// # Errors
/// [`StorageError::Fenced`]: the step is not this worker's any more; roll everything back.
pub async fn finish(tx: &mut Tx, step: &Step, now: DateTime<Utc>) -> Result<(), StorageError> {
    fence(step, &finish_together(tx, &[step], now).await?)
}

/// Marks steps done, in the transaction of their facts. Gives the ids of those that were still this worker's; the
/// facts of the others are not to be written.
pub async fn finish_together(
    tx: &mut Tx,
    steps: &[&Step],
    now: DateTime<Utc>,
) -> Result<HashSet<String>, StorageError> {
    let head = "UPDATE step SET state = 'done', owner = NULL, lease_until = NULL, error = NULL, finished_at = ";
    Ok(change_ours!(tx, head, now, steps))
}

/// Marks a step done that left something for a person to look at.
///
/// # Errors
/// As [`finish`].
pub async fn finish_with_remark(
    tx: &mut Tx,
    step: &Step,
    now: DateTime<Utc>,
    remark: &str,
) -> Result<(), StorageError> {
    finish(tx, step, now).await?;
    execute!(tx, "UPDATE step SET error = $2 WHERE id = $1", step.id.clone(), remark.to_owned());
    Ok(())
}

/// Checks that a step is still this worker's, and keeps it so for the rest of the transaction.
///
/// # Errors
/// [`StorageError::Fenced`].
pub async fn hold(
    tx: &mut Tx,
    step: &Step,
    lease_until: DateTime<Utc>,
) -> Result<(), StorageError> {
    fence(step, &hold_together(tx, &[step], lease_until).await?)
}

/// As [`hold`], of many steps; gives the ids of those that are still this worker's.
pub async fn hold_together(
    tx: &mut Tx,
    steps: &[&Step],
    lease_until: DateTime<Utc>,
) -> Result<HashSet<String>, StorageError> {
    Ok(change_ours!(tx, "UPDATE step SET lease_until = ", lease_until, steps))
}

/// Gives a step back that was claimed and not begun: as if it had not been claimed.
pub async fn give_back(tx: &mut Tx, step: &Step) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE step SET state = 'ready', owner = NULL, lease_until = NULL, attempts = attempts - 1 \
         WHERE id = $1 AND epoch = $2 AND state = 'leased'",
        step.id.clone(),
        step.epoch
    );
    Ok(())
}

/// Marks the steps about a subject done: a person settled it by hand. A worker at it is fenced out.
pub async fn finish_subject(
    tx: &mut Tx,
    organization: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE step SET state = 'done', epoch = epoch + 1, owner = NULL, lease_until = NULL, error = NULL, \
         finished_at = $3 WHERE organization = $1 AND subject = $2 AND state IN ('ready', 'leased', 'parked')",
        organization,
        subject,
        now
    );
    Ok(())
}

/// Is a step still in the hands of the worker whose epoch this is?
pub async fn is_ours(tx: &mut Tx, step: &Step) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT id FROM step WHERE id = $1 AND epoch = $2 AND state = 'leased'",
        step.id.clone(),
        step.epoch
    );
    Ok(row.is_some())
}

/// Is a worker at a step about a subject?
pub async fn is_leased(
    tx: &mut Tx,
    organization: &str,
    subject: &str,
) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT id FROM step WHERE organization = $1 AND subject = $2 \
         AND state IN ('ready', 'leased', 'parked') AND state || '' = 'leased' LIMIT 1",
        organization,
        subject
    );
    Ok(row.is_some())
}

/// Lets the waiting or parked steps about a subject go now: there is news of it. Gives how many.
pub async fn hurry_subject(
    tx: &mut Tx,
    organization: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<u64, StorageError> {
    Ok(execute!(
        tx,
        "UPDATE step SET state = 'ready', next_at = $3 WHERE organization = $1 AND subject = $2 \
         AND state IN ('ready', 'leased', 'parked') AND (state = 'parked' OR (state = 'ready' AND next_at > $3))",
        organization,
        subject,
        now
    ))
}

/// Gives a step back, to be tried again at an instant.
pub async fn release(
    tx: &mut Tx,
    step: &Step,
    next_at: DateTime<Utc>,
    error: Option<&str>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE step SET state = 'ready', owner = NULL, lease_until = NULL, next_at = $3, error = $4 \
         WHERE id = $1 AND epoch = $2 AND state = 'leased'",
        step.id.clone(),
        step.epoch,
        next_at,
        error.map(str::to_owned)
    );
    Ok(())
}

/// Sets a step aside for a person, with a reason.
pub async fn park(tx: &mut Tx, step: &Step, reason: &str) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE step SET state = 'parked', owner = NULL, lease_until = NULL, error = $3 \
         WHERE id = $1 AND epoch = $2 AND state = 'leased'",
        step.id.clone(),
        step.epoch,
        reason.to_owned()
    );
    Ok(())
}

/// Lets parked steps of a run (of one organization, or all) go again; gives how many.
pub async fn unpark(
    tx: &mut Tx,
    run: &str,
    organization: Option<&str>,
    now: DateTime<Utc>,
) -> Result<u64, StorageError> {
    Ok(execute!(
        tx,
        "UPDATE step SET state = 'ready', next_at = $3, attempts = 0 WHERE run_id = $1 AND state = 'parked' \
         AND ($2 = '' OR organization = $2)",
        run,
        organization.unwrap_or_default(),
        now
    ))
}

/// Columns of a step.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, run_id, kind, rank, ordinal, organization, first_organization, last_organization, ",
            "organizations, subject, state, epoch, attempts, next_at, error FROM step ",
            $condition
        )
    };
}

/// All steps of a run, in order.
pub async fn of_run(tx: &mut Tx, run: &str) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(tx, Step, select!("WHERE run_id = $1 ORDER BY rank, ordinal, id"), run))
}

/// Steps of a run that are parked or have something to say.
pub async fn troubled(tx: &mut Tx, run: &str) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(
        tx,
        Step,
        select!(
            "WHERE run_id = $1 AND (state = 'parked' OR error IS NOT NULL) ORDER BY rank, ordinal, id"
        ),
        run
    ))
}

/// Steps of a run that are waiting, leased or parked, of one kind.
pub async fn unfinished(tx: &mut Tx, run: &str, kind: &str) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(
        tx,
        Step,
        select!(
            "WHERE run_id = $1 AND kind = $2 AND state IN ('ready', 'leased', 'parked') ORDER BY ordinal, id"
        ),
        run,
        kind
    ))
}

/// Steps of a run of one kind.
pub async fn of_kind(tx: &mut Tx, run: &str, kind: &str) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(
        tx,
        Step,
        select!("WHERE run_id = $1 AND kind = $2 ORDER BY ordinal, id"),
        run,
        kind
    ))
}

/// Is a step of a kind of a run still to be done, or being done?
pub async fn is_at_work(tx: &mut Tx, run: &str, kind: &str) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (String,),
        "SELECT id FROM step WHERE run_id = $1 AND kind = $2 AND state IN ('ready', 'leased', 'parked') \
         AND state || '' <> 'parked' LIMIT 1",
        run,
        kind
    );
    Ok(row.is_some())
}

/// Lets one parked step go again.
pub async fn let_go(tx: &mut Tx, id: &str, now: DateTime<Utc>) -> Result<(), StorageError> {
    execute!(
        tx,
        "UPDATE step SET state = 'ready', next_at = $2, attempts = 0 WHERE id = $1 AND state = 'parked'",
        id,
        now
    );
    Ok(())
}

/// Runs that are held before their invoices are numbered, with what was parked for it.
pub async fn held(tx: &mut Tx) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(
        tx,
        Step,
        select!("WHERE kind = 'brake' AND state = 'parked' ORDER BY run_id, id")
    ))
}

/// All parked steps.
pub async fn parked(tx: &mut Tx) -> Result<Vec<Step>, StorageError> {
    Ok(fetch_all!(tx, Step, select!("WHERE state = 'parked' ORDER BY run_id, rank, ordinal, id")))
}

/// Subjects of steps of a kind that no organization has alone and that are not done, parked ones too.
pub async fn unfinished_subjects(tx: &mut Tx, kind: &str) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT subject FROM step WHERE kind = $1 AND organization IS NULL AND state <> 'done' \
         AND subject IS NOT NULL",
        kind
    );
    Ok(rows.into_iter().map(|(subject,)| subject).collect())
}

/// How many steps of a kind may go at an instant.
pub async fn ready(tx: &mut Tx, kind: &str, now: DateTime<Utc>) -> Result<u64, StorageError> {
    let (count,) = fetch_one!(
        tx,
        (i64,),
        "SELECT CAST(COUNT(*) AS BIGINT) FROM step WHERE kind = $1 \
         AND state IN ('ready', 'leased') AND state = 'ready' AND next_at <= $2",
        kind,
        now
    );
    Ok(u64::try_from(count).unwrap_or_default())
}

/// When the first step that waits may go; this may lie in the past. What this program cannot do is left out.
pub async fn next_at(tx: &mut Tx) -> Result<Option<DateTime<Utc>>, StorageError> {
    let (at,) = fetch_one!(
        tx,
        (Option<DateTime<Utc>>,),
        "SELECT MIN(next_at) FROM step WHERE state IN ('ready', 'leased') AND state = 'ready' \
         AND REPLACE($1, ',' || kind || ',', '') <> $1",
        KNOWN_KINDS
    );
    Ok(at)
}

/// Runs whose steps another worker holds, or that wait for their time.
pub async fn waiting_runs(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT r.id FROM run r WHERE (SELECT s.id FROM step s WHERE s.run_id = r.id \
         AND s.state IN ('ready', 'leased', 'parked') AND s.state || '' <> 'parked' LIMIT 1) IS NOT NULL ORDER BY r.id"
    );
    Ok(rows.into_iter().map(|(run,)| run).collect())
}

/// Makes waiting steps of a run claimable now, for a person who does not want to wait.
pub async fn hurry(
    tx: &mut Tx,
    run: &str,
    organization: Option<&str>,
    now: DateTime<Utc>,
) -> Result<u64, StorageError> {
    Ok(execute!(
        tx,
        "UPDATE step SET next_at = $3 WHERE run_id = $1 AND state = 'ready' AND next_at > $3 \
         AND ($2 = '' OR organization = $2)",
        run,
        organization.unwrap_or_default(),
        now
    ))
}
