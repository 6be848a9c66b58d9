//! Claims: how a step comes into a worker's hands. Compare-and-set by epoch; no claim waits for a row that
//! another transaction holds.

use chrono::{DateTime, Utc};

use super::db::{Statement, fetch_all, fetch_optional, record_with, rows_per_statement};
use super::steps::{KNOWN_KINDS, Step, leased};
use super::{StorageError, Tx, migrations};

/// What a claim writes and asks for.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// Who claims: unique per process.
    pub owner: &'a str,
    /// Now.
    pub now: DateTime<Utc>,
    /// Until when the claim holds.
    pub lease_until: DateTime<Utc>,
    /// Ranks from this one …
    pub min_rank: i64,
    /// … up to and including this one.
    pub max_rank: i64,
    /// At most so many.
    pub limit: i64,
    /// Only this run; none: any.
    pub run: Option<&'a str>,
}

/// A step in a worker's hands.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The step.
    pub step: Step,
    /// The cycle of its run, as text; empty: it is about no cycle.
    pub cycle: Option<String>,
}

record_with!(Claimed { step: Step, cycle });

/// The columns a claim gives.
macro_rules! returning {
    () => {
        " RETURNING id, run_id, kind, rank, ordinal, organization, first_organization, \
         last_organization, organizations, subject, state, epoch, attempts, next_at, error, \
         (SELECT r.cycle FROM run r WHERE r.id = step.run_id) AS cycle"
    };
}

/// What a claim writes.
macro_rules! lease {
    () => {
        "UPDATE step SET state = 'leased', owner = $1, lease_until = $3, epoch = epoch + 1, \
         attempts = attempts + 1 WHERE id IN "
    };
}

/// No close is claimed while usage is being imported: use that has arrived counts for its own cycle. The rank of imports
/// is named to find them without going through all that waits.
macro_rules! import_is_over {
    ($step:literal, $now:literal) => {
        concat!(
            "(", $step, ".kind <> 'close' OR NOT EXISTS (SELECT 1 FROM step i WHERE i.state IN ('ready', 'leased') ",
            "AND i.rank = 10 AND i.kind = 'import_usage' AND (i.state = 'leased' OR i.next_at <= ", $now, ")))"
        )
    };
}

/// The rank of the first step that is due, and the version of the schema.
macro_rules! first {
    ($skip:literal) => {
        concat!(
            "SELECT s.rank, (SELECT CAST(COALESCE(MAX(m.version), 0) AS BIGINT) FROM _sqlx_migrations m) ",
            "FROM step s WHERE s.state IN ('ready', 'leased') ",
            "AND ((s.state = 'ready' AND s.next_at <= $1) OR (s.state = 'leased' AND s.lease_until <= $1)) ",
            "AND s.rank BETWEEN $2 AND $3 AND ($4 = '' OR s.run_id = $4) ",
            "AND REPLACE($5, ',' || s.kind || ',', '') <> $5 AND ",
            import_is_over!("s", "$1"),
            " ORDER BY s.rank, s.ordinal, s.first_organization, s.id LIMIT 1",
            $skip
        )
    };
}

/// The claim of due steps of one rank. The last part makes concurrent claimers skip each other's rows on PostgreSQL.
macro_rules! claim {
    ($skip:literal) => {
        concat!(
            lease!(),
            "(SELECT id FROM step WHERE state IN ('ready', 'leased') ",
            "AND ((state = 'ready' AND next_at <= $2) OR (state = 'leased' AND lease_until <= $2)) ",
            "AND rank = $4 AND ($6 = '' OR run_id = $6) ",
            "AND REPLACE($7, ',' || kind || ',', '') <> $7 ",
            "ORDER BY rank, ordinal, first_organization, id LIMIT $5 ",
            $skip,
            ")",
            returning!()
        )
    };
}

/// What dead workers left, up to an instant and between two ranks.
macro_rules! abandoned {
    ($now:literal, $min:literal, $max:literal, $kinds:literal) => {
        concat!(
            "s.state = 'leased' AND s.lease_until <= ",
            $now,
            " AND s.rank BETWEEN ",
            $min,
            " AND ",
            $max,
            " AND REPLACE(",
            $kinds,
            ", ',' || s.kind || ',', '') <> ",
            $kinds,
            " AND ",
            import_is_over!("s", $now)
        )
    };
}

/// The claim of what dead workers left.
macro_rules! take_over {
    ($skip:literal) => {
        concat!(
            lease!(),
            "(SELECT id FROM step s WHERE ",
            abandoned!("$2", "$4", "$5", "$7"),
            " ORDER BY s.lease_until, s.rank, s.ordinal, s.first_organization, s.id LIMIT $6 ",
            $skip,
            ")",
            returning!()
        )
    };
}

/// Claims due steps, lowest rank first. All claimed steps have the rank of the first.
///
/// # Errors
/// A newer program has changed the database (F33), or the engine fails.
pub async fn claim(tx: &mut Tx, claim: &Claim<'_>) -> Result<Vec<Claimed>, StorageError> {
    let first = match tx {
        Tx::Sqlite(..) => first!(""),
        // Rows in other hands hide nothing of a higher rank.
        Tx::Postgres(_) => first!(" FOR UPDATE OF s SKIP LOCKED"),
    };
    let Some((rank, schema)) = fetch_optional!(
        tx,
        (i64, i64),
        first,
        claim.now,
        claim.min_rank,
        claim.max_rank,
        claim.run.unwrap_or_default(),
        KNOWN_KINDS
    ) else {
        return Ok(Vec::new());
    };
    migrations::refuse_schema(tx, schema)?;
    let sql = match tx {
        Tx::Sqlite(..) => claim!(""),
        Tx::Postgres(_) => claim!("FOR UPDATE SKIP LOCKED"),
    };
    let steps = fetch_all!(
        tx,
        Claimed,
        sql,
        claim.owner,
        claim.now,
        claim.lease_until,
        rank,
        claim.limit,
        claim.run.unwrap_or_default(),
        KNOWN_KINDS
    );
    Ok(in_order(steps))
}

/// By rank, place and organization: the engines give changed rows in any order.
fn in_order(mut claimed: Vec<Claimed>) -> Vec<Claimed> {
    fn place(Claimed { step, .. }: &Claimed) -> (i64, i64, &str, &str) {
        (step.rank, step.ordinal, &step.first_organization, &step.id)
    }
    claimed.sort_by(|a, b| place(a).cmp(&place(b)));
    claimed
}

/// Would [`take_over`] find anything?
pub async fn has_abandoned(tx: &mut Tx, claim: &Claim<'_>) -> Result<bool, StorageError> {
    let row = fetch_optional!(
        tx,
        (String,),
        concat!("SELECT s.id FROM step s WHERE ", abandoned!("$1", "$2", "$3", "$4"), " LIMIT 1"),
        claim.now,
        claim.min_rank,
        claim.max_rank,
        KNOWN_KINDS
    );
    Ok(row.is_some())
}

/// Claims steps whose worker gave no sign of life until its lease was over, of any of the ranks and any run.
///
/// # Errors
/// As [`claim`].
pub async fn take_over(tx: &mut Tx, claim: &Claim<'_>) -> Result<Vec<Claimed>, StorageError> {
    migrations::refuse_newer(tx).await?;
    let sql = match tx {
        Tx::Sqlite(..) => take_over!(""),
        Tx::Postgres(_) => take_over!("FOR UPDATE SKIP LOCKED"),
    };
    let steps = fetch_all!(
        tx,
        Claimed,
        sql,
        claim.owner,
        claim.now,
        claim.lease_until,
        claim.min_rank,
        claim.max_rank,
        claim.limit,
        KNOWN_KINDS
    );
    Ok(in_order(steps))
}

/// Renews leases for a worker that is still at its steps. It waits for nobody: while the worker's own transaction
/// holds a row, nobody else can take the step.
pub async fn renew(
    tx: &mut Tx,
    steps: &[Step],
    lease_until: DateTime<Utc>,
) -> Result<(), StorageError> {
    let skip = match tx {
        Tx::Sqlite(..) => ")",
        Tx::Postgres(_) => " FOR UPDATE SKIP LOCKED)",
    };
    for chunk in steps.chunks(rows_per_statement(2)) {
        let mut statement = Statement::new("UPDATE step SET lease_until = ");
        statement
            .bind(lease_until)
            .push(" WHERE id IN (SELECT id FROM step")
            .push(leased(tx))
            .values(chunk, |row, step| {
                row.bind(step.id.clone()).bind(step.epoch);
            })
            .push(")")
            .push(skip);
        statement.execute(tx).await?;
    }
    Ok(())
}
