//! Posting facts to organizations' chains, and reading chains back.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, fetch_named, insert};
use super::{StorageError, Tx, by_organization, parsed};
use crate::domain::credits::Credits;
use crate::domain::ledger::{Account, Entry, Head, LedgerTransaction, Posting, Unit};

/// Facts to post for one organization, in order.
#[derive(Debug)]
pub struct Postings {
    /// Whose chain.
    pub organization: String,
    /// What to post.
    pub postings: Vec<Posting>,
}

/// Heads of chains by organization, as read under their lock.
#[derive(Debug, Default)]
pub struct Heads(HashMap<String, Head>);

impl Heads {
    fn of(rows: Vec<HeadRow>) -> Self {
        let head = |row: HeadRow| (row.organization, Head { seq: row.seq, hash: row.hash });
        Self(rows.into_iter().map(head).collect())
    }

    /// The head of an organization's chain, taken out; of one without a chain, the beginning.
    pub fn remove(&mut self, organization: &str) -> Head {
        self.0.remove(organization).unwrap_or(Head { seq: 0, hash: String::new() })
    }
}

#[derive(Record!)]
struct HeadRow {
    organization: String,
    seq: i64,
    hash: String,
}

/// Locks organizations against each other's writes: everything that reads a balance to change it
/// comes through here first. SQLite has one writer already.
///
/// Gives the ids that are locked on PostgreSQL: an organization that appears later is not among them.
pub async fn lock(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Option<HashSet<String>>, StorageError> {
    let Tx::Postgres(tx) = tx else { return Ok(None) };
    let rows: Vec<(String,)> = sqlx::query_as(
        "SELECT id FROM organization WHERE id BETWEEN $1 AND $2 ORDER BY id FOR UPDATE",
    )
    .bind(first)
    .bind(last)
    .fetch_all(&mut **tx)
    .await?;
    Ok(Some(rows.into_iter().map(|(id,)| id).collect()))
}

/// Locks the named organizations; see [`lock`].
pub async fn lock_these(tx: &mut Tx, organizations: &[String]) -> Result<(), StorageError> {
    if let Tx::Postgres(tx) = tx {
        sqlx::query("SELECT id FROM organization WHERE id = ANY($1) ORDER BY id FOR UPDATE")
            .bind(organizations)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// The heads of the chains of a range of organizations.
pub async fn heads(tx: &mut Tx, first: &str, last: &str) -> Result<Heads, StorageError> {
    let rows = fetch_all!(
        tx,
        HeadRow,
        "SELECT organization, seq, hash FROM ledger_head WHERE organization BETWEEN $1 AND $2",
        first,
        last
    );
    Ok(Heads::of(rows))
}

/// The heads of the chains of the named organizations.
pub async fn heads_of(tx: &mut Tx, organizations: &[String]) -> Result<Heads, StorageError> {
    let rows = fetch_named!(
        tx,
        HeadRow,
        "SELECT organization, seq, hash FROM ledger_head WHERE organization",
        "",
        organizations
    );
    Ok(Heads::of(rows))
}

/// Numbers, chains and stores facts. The organizations are locked and their heads just read.
///
/// # Errors
/// A fact that was posted before is refused by its key; nothing of the batch remains.
pub async fn post(
    tx: &mut Tx,
    batch: Vec<Postings>,
    heads: &Heads,
    recorded_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    let mut transactions = Vec::with_capacity(batch.len() * 2);
    let mut new_heads = Vec::with_capacity(batch.len());
    for Postings { organization, postings } in batch {
        let mut head =
            heads.0.get(&organization).cloned().unwrap_or(Head { seq: 0, hash: String::new() });
        for posting in postings {
            let transaction = posting
                .seal(&organization, &head, recorded_at)
                .map_err(|error| StorageError::Refused(error.to_string()))?;
            head = transaction.head();
            transactions.push(transaction);
        }
        new_heads.push((organization, head));
    }
    store(tx, &transactions).await?;
    insert!(
        tx,
        "INSERT INTO ledger_head (organization, seq, hash)",
        " ON CONFLICT (organization) DO UPDATE SET seq = excluded.seq, hash = excluded.hash",
        new_heads,
        row => [&row.0, row.1.seq, &row.1.hash]
    );
    Ok(())
}

/// Posts facts of one organization.
pub async fn post_for(
    tx: &mut Tx,
    organization: &str,
    postings: Vec<Posting>,
    recorded_at: DateTime<Utc>,
) -> Result<(), StorageError> {
    let heads = heads(tx, organization, organization).await?;
    let batch = vec![Postings { organization: organization.to_owned(), postings }];
    post(tx, batch, &heads, recorded_at).await
}

async fn store(tx: &mut Tx, transactions: &[LedgerTransaction]) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO ledger_transaction (organization, seq, kind, key, cycle, effective_at, recorded_at, \
         previous_hash, hash)",
        "",
        transactions,
        t => [
            &t.organization,
            t.seq,
            &t.kind,
            &t.key,
            t.cycle.to_string(),
            t.effective_at,
            t.recorded_at,
            &t.previous_hash,
            &t.hash,
        ]
    );
    let entries: Vec<(&LedgerTransaction, i64, &Entry)> = transactions
        .iter()
        .flat_map(|t| t.entries.iter().zip(1_i64..).map(move |(entry, line)| (t, line, entry)))
        .collect();
    insert!(
        tx,
        "INSERT INTO ledger_entry (organization, seq, line, account, grant_id, unit, amount)",
        "",
        entries,
        row => [
            &row.0.organization,
            row.0.seq,
            row.1,
            row.2.account.as_str(),
            &row.2.grant,
            row.2.unit.to_string(),
            row.2.amount,
        ]
    );
    Ok(())
}

/// Adds what was posted outside a close to the derived balances of grants.
pub async fn set_remaining(
    tx: &mut Tx,
    rows: &[(String, String, Credits)],
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO credit_balance (organization, grant_id, remaining)",
        " ON CONFLICT (organization, grant_id) DO UPDATE SET remaining = excluded.remaining",
        rows,
        row => [&row.0, &row.1, row.2.nano()]
    );
    Ok(())
}

#[derive(Record!)]
struct TransactionRow {
    organization: String,
    seq: i64,
    kind: String,
    key: String,
    cycle: String,
    effective_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    previous_hash: String,
    hash: String,
}

#[derive(Record!)]
struct EntryRow {
    organization: String,
    seq: i64,
    account: String,
    grant_id: Option<String>,
    unit: String,
    amount: i64,
}

/// One organization's chain, in order.
///
/// # Errors
/// A row that does not convert is named.
pub async fn chain(
    tx: &mut Tx,
    organization: &str,
) -> Result<Vec<LedgerTransaction>, StorageError> {
    let mut chains = chains(tx, organization, organization).await?;
    Ok(chains.remove(organization).unwrap_or_default())
}

/// The chains of a range of organizations, each in order.
///
/// # Errors
/// A row that does not convert is named.
pub async fn chains(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<LedgerTransaction>>, StorageError> {
    let rows = fetch_all!(
        tx,
        TransactionRow,
        "SELECT organization, seq, kind, key, cycle, effective_at, recorded_at, previous_hash, hash \
         FROM ledger_transaction WHERE organization BETWEEN $1 AND $2 ORDER BY organization, seq",
        first,
        last
    );
    let mut entries: HashMap<(String, i64), Vec<Entry>> = HashMap::new();
    for row in fetch_all!(
        tx,
        EntryRow,
        "SELECT organization, seq, account, grant_id, unit, amount FROM ledger_entry \
         WHERE organization BETWEEN $1 AND $2 ORDER BY organization, seq, line",
        first,
        last
    ) {
        let name = format!("{}/{}", row.organization, row.seq);
        entries.entry((row.organization, row.seq)).or_default().push(Entry {
            account: parsed::<Account>("ledger_entry", "account", &name, &row.account)?,
            grant: row.grant_id,
            unit: parsed::<Unit>("ledger_entry", "unit", &name, &row.unit)?,
            amount: row.amount,
        });
    }
    by_organization(rows.into_iter().map(|row| {
        let name = format!("{}/{}", row.organization, row.seq);
        let of = (row.organization, row.seq);
        let transaction = LedgerTransaction {
            cycle: parsed("ledger_transaction", "cycle", &name, &row.cycle)?,
            entries: entries.remove(&of).unwrap_or_default(),
            organization: of.0.clone(),
            seq: row.seq,
            kind: row.kind,
            key: row.key,
            effective_at: row.effective_at,
            recorded_at: row.recorded_at,
            previous_hash: row.previous_hash,
            hash: row.hash,
        };
        Ok((of.0, transaction))
    }))
}

/// Organizations that have a chain but no row of their own, and heads without a chain: none, ever.
pub async fn orphan_heads(tx: &mut Tx) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT organization FROM ledger_head WHERE organization NOT IN (SELECT id FROM organization)"
    );
    Ok(rows.into_iter().map(|(organization,)| organization).collect())
}

/// The stored head of one organization's chain.
pub async fn head(tx: &mut Tx, organization: &str) -> Result<Head, StorageError> {
    Ok(heads(tx, organization, organization).await?.remove(organization))
}
