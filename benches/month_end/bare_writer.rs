//! A comparator: writes exactly the rows that a close added or changed into an empty database of the same
//! schema. It decides nothing and checks nothing; foreign keys are off, as the rows they name stay behind.

use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::deployment::Place;
use crate::measure::{Measured, Meter};

/// Organizations of one transaction.
const ORGANIZATIONS: usize = 1_000;
/// What a close only reads, and there is much of it.
const ONLY_READ: [&str; 3] = ["usage_event", "usage_rollup", "_sqlx_migrations"];

/// Rows of one table that differ, in the order of organizations.
struct Changed {
    insert: String,
    rows: Vec<(String, Vec<Value>)>,
    written: usize,
}

pub fn run(before: &Path, after: &Path, fresh: &Place) -> Result<Measured> {
    let mut tables = changed_rows(before, after)?;
    let mut organizations: Vec<String> =
        tables.iter().flat_map(|table| table.rows.iter().map(|row| row.0.clone())).collect();
    organizations.sort_unstable();
    organizations.dedup();
    organizations.retain(|name| !name.is_empty());
    let mut connection = Connection::open(fresh.file()?)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
         PRAGMA cache_size = -65536",
    )?;
    connection.set_prepared_statement_cache_capacity(100);
    let meter = Meter::start()?;
    for part in organizations.chunks(ORGANIZATIONS) {
        let last = part.last().map_or("", String::as_str);
        let tx = connection.transaction()?;
        for table in &mut tables {
            let mut insert = tx.prepare_cached(&table.insert)?;
            while let Some((organization, row)) = table.rows.get(table.written)
                && organization.as_str() <= last
            {
                insert.execute(params_from_iter(row))?;
                table.written += 1;
            }
        }
        tx.commit()?;
    }
    let mut measured = meter.stop(organizations.len())?;
    let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
    measured.parts.insert("rows".to_owned(), rows as f64);
    measured.total =
        connection.query_row("SELECT SUM(total) FROM invoice", [], |row| row.get(0))?;
    Ok(measured)
}

/// What `after` has and `before` has not. Rows without an organization come first.
fn changed_rows(before: &Path, after: &Path) -> Result<Vec<Changed>> {
    let connection = Connection::open(after)?;
    let name = before.to_str().context("a path that is no text")?;
    connection.execute("ATTACH DATABASE ?1 AS before", [name])?;
    let mut tables = connection.prepare(
        "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid",
    )?;
    let tables: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    let mut changed = Vec::new();
    for table in tables.iter().filter(|name| !ONLY_READ.contains(&name.as_str())) {
        let sql = format!("SELECT * FROM main.\"{table}\" EXCEPT SELECT * FROM before.\"{table}\"");
        let mut select = connection.prepare(&sql)?;
        let columns: Vec<String> = select.column_names().into_iter().map(str::to_owned).collect();
        let owner = columns.iter().position(|name| name == "organization");
        let mut rows: Vec<(String, Vec<Value>)> = select
            .query_map([], |row| {
                let values: Vec<Value> =
                    (0..columns.len()).map(|at| row.get(at)).collect::<Result<_, _>>()?;
                let organization = match owner.map(|at| &values[at]) {
                    Some(Value::Text(name)) => name.clone(),
                    _ => String::new(),
                };
                Ok((organization, values))
            })?
            .collect::<Result<_, _>>()?;
        rows.sort_by(|a, b| a.0.cmp(&b.0));
        if !rows.is_empty() {
            let marks = vec!["?"; columns.len()].join(", ");
            let insert = format!("INSERT INTO \"{table}\" VALUES ({marks})");
            changed.push(Changed { insert, rows, written: 0 });
        }
    }
    Ok(changed)
}
