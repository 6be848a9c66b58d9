//! A comparator on PostgreSQL: COPY of exactly the rows that a close added or changed into an empty database of
//! the same schema. Triggers and foreign keys are off, as the rows they name stay behind.

use std::collections::HashSet;

use anyhow::Result;
use futures_util::TryStreamExt;
use sqlx::Connection;
use sqlx::postgres::PgConnection;

use crate::measure::{Measured, Meter};

/// What a close only reads, and there is much of it.
const ONLY_READ: [&str; 3] = ["usage_event", "usage_rollup", "_sqlx_migrations"];

pub async fn run(before: &str, after: &str, fresh: &str, organizations: usize) -> Result<Measured> {
    let mut old = PgConnection::connect(before).await?;
    let mut new = PgConnection::connect(after).await?;
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name",
    )
    .fetch_all(&mut new)
    .await?;
    let mut changed: Vec<(String, Vec<u8>, usize)> = Vec::new();
    for (table,) in tables.into_iter().filter(|(name,)| !ONLY_READ.contains(&name.as_str())) {
        let known: Vec<u8> = text_of(&mut old, &table).await?;
        let known: HashSet<&[u8]> = known.split_inclusive(|byte| *byte == b'\n').collect();
        let all = text_of(&mut new, &table).await?;
        let lines =
            || all.split_inclusive(|byte| *byte == b'\n').filter(|line| !known.contains(line));
        let rows = lines().count();
        if rows > 0 {
            changed.push((table, lines().flatten().copied().collect(), rows));
        }
    }
    old.close().await?;
    new.close().await?;
    let mut connection = PgConnection::connect(fresh).await?;
    sqlx::raw_sql("SET session_replication_role = replica").execute(&mut connection).await?;
    let meter = Meter::start()?;
    let mut tx = connection.begin().await?;
    for (table, lines, _) in &changed {
        let mut copy = tx.copy_in_raw(&format!("COPY \"{table}\" FROM STDIN")).await?;
        for part in lines.chunks(1 << 16) {
            copy.send(part).await?;
        }
        copy.finish().await?;
    }
    tx.commit().await?;
    let mut measured = meter.stop(organizations)?;
    let rows: usize = changed.iter().map(|(_, _, rows)| rows).sum();
    measured.parts.insert("rows".to_owned(), rows as f64);
    let sum = "SELECT CAST(SUM(total) AS BIGINT) FROM invoice";
    (measured.total,) = sqlx::query_as(sum).fetch_one(&mut connection).await?;
    Ok(measured)
}

async fn text_of(connection: &mut PgConnection, table: &str) -> Result<Vec<u8>> {
    let mut stream = connection.copy_out_raw(&format!("COPY \"{table}\" TO STDOUT")).await?;
    let mut text = Vec::new();
    while let Some(part) = stream.try_next().await? {
        text.extend_from_slice(&part);
    }
    Ok(text)
}
