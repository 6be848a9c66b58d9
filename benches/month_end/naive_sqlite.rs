//! A comparator: one organization after the other, a transaction and single-row statements each, on SQLite.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result};
use rusqlite::{Connection, Transaction, params};

use crate::close::SAMPLE;
use crate::input::{self, Customer};
use crate::measure::{Measured, Meter};
use crate::plain_close::{self, Closed, Grant, Use};

/// Its own plain tables, beside ours, from which it reads roll-ups and grants.
const TABLES: &str = "
CREATE TABLE naive_ledger (organization TEXT, line INTEGER, account TEXT, grant_id TEXT, credits INTEGER,
    PRIMARY KEY (organization, line));
CREATE TABLE naive_invoice (number INTEGER PRIMARY KEY, organization TEXT UNIQUE, subtotal INTEGER, tax INTEGER,
    total INTEGER);
CREATE TABLE naive_line (organization TEXT, line INTEGER, kind TEXT, quantity INTEGER, amount INTEGER,
    PRIMARY KEY (organization, line));
CREATE TABLE naive_grant (organization TEXT, id TEXT, granted INTEGER, last_cycle TEXT, remaining INTEGER,
    PRIMARY KEY (organization, id));
CREATE TABLE naive_cycle (organization TEXT, cycle TEXT, state TEXT, deficit INTEGER,
    PRIMARY KEY (organization, cycle));
INSERT INTO naive_grant SELECT organization, id, granted, last_cycle, remaining FROM credit_grant
    JOIN credit_balance USING (organization) WHERE grant_id = id;
INSERT INTO naive_cycle SELECT organization, cycle, 'open', 0 FROM billing_cycle;
";

pub fn run(file: &Path, organizations: usize) -> Result<Measured> {
    let mut connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536",
    )?;
    connection.set_prepared_statement_cache_capacity(100);
    connection.execute_batch(TABLES)?;
    let customers: HashMap<String, Customer> = (0..organizations)
        .map(|number| input::customer(number, organizations))
        .map(|customer| (customer.id.clone(), customer))
        .collect();
    let mut ids: Vec<&String> = customers.keys().collect();
    ids.sort_unstable();
    ids.truncate(SAMPLE);
    let meter = Meter::start()?;
    for id in &ids {
        let customer = customers.get(*id).context("a customer")?;
        let tx = connection.transaction()?;
        let closed = {
            let (grants, usage) = (grants(&tx, id)?, usage(&tx, id)?);
            plain_close::close(customer, &grants, &usage)?
        };
        write(&tx, customer, &closed)?;
        tx.commit()?;
    }
    let mut measured = meter.stop(ids.len())?;
    measured.sample =
        connection.query_row("SELECT SUM(total) FROM naive_invoice", [], |row| row.get(0))?;
    Ok(measured)
}

fn grants(tx: &Transaction<'_>, id: &str) -> Result<Vec<Grant>> {
    let mut select = tx.prepare_cached(
        "SELECT g.id, g.source = 'allowance', COALESCE(g.last_cycle <= ?2, FALSE), b.remaining \
         FROM credit_grant g JOIN credit_balance b ON b.organization = g.organization AND b.grant_id = g.id \
         WHERE g.organization = ?1 AND b.remaining > 0 ORDER BY g.last_cycle IS NULL, g.last_cycle, g.source, g.id",
    )?;
    let rows = select.query_map(params![id, input::CYCLE], |row| {
        Ok(Grant {
            id: row.get(0)?,
            is_allowance: row.get(1)?,
            ends: row.get(2)?,
            remaining: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn usage(tx: &Transaction<'_>, id: &str) -> Result<Vec<Use>> {
    let mut select = tx.prepare_cached(
        "SELECT meter, SUM(credits) FROM usage_rollup WHERE organization = ?1 AND billed_cycle = ?2 \
         GROUP BY meter ORDER BY meter",
    )?;
    let rows = select.query_map(params![id, input::CYCLE], |row| {
        Ok(Use { meter: row.get(0)?, credits: row.get(1)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn write(tx: &Transaction<'_>, customer: &Customer, closed: &Closed) -> Result<()> {
    let id = &customer.id;
    for (line, (account, grant, credits)) in (1_i64..).zip(&closed.entries) {
        tx.prepare_cached("INSERT INTO naive_ledger VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![id, line, account, grant, credits])?;
    }
    for (grant, left) in &closed.remaining {
        tx.prepare_cached(
            "UPDATE naive_grant SET remaining = ?3 WHERE organization = ?1 AND id = ?2",
        )?
        .execute(params![id, grant, left])?;
    }
    if customer.allowance > 0 {
        let (grant, last) =
            (plain_close::next_grant(customer), plain_close::next_last_cycle(customer));
        tx.prepare_cached("INSERT INTO naive_grant VALUES (?1, ?2, ?3, ?4, ?3)")?
            .execute(params![id, grant, customer.allowance, last])?;
    }
    tx.prepare_cached(
        "INSERT INTO naive_invoice SELECT COALESCE(MAX(number), 0) + 1, ?1, ?2, ?3, ?4 FROM naive_invoice",
    )?
    .execute(params![id, closed.subtotal, closed.tax, closed.subtotal + closed.tax])?;
    for (number, line) in (1_i64..).zip(&closed.lines) {
        tx.prepare_cached("INSERT INTO naive_line VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![id, number, line.kind, line.quantity, line.amount])?;
    }
    tx.prepare_cached(
        "UPDATE naive_cycle SET state = 'closed', deficit = ?2 WHERE organization = ?1 AND cycle = '2026-01'",
    )?
    .execute(params![id, closed.deficit])?;
    tx.prepare_cached("INSERT INTO naive_cycle VALUES (?1, '2026-02', 'open', 0)")?
        .execute([id])?;
    Ok(())
}
