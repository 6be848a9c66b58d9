//! Importing usage: ours with rating, roll-ups and exact de-duplication, and the same rows into a bare keyed
//! table of the same engine.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Result, ensure};
use monthend::services::usage;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

use crate::deployment::{self, Place};
use crate::measure::{Measured, Meter};

/// Rows of one transaction of the bare writer.
const ROWS: usize = 10_000;
const TABLE: &str = "event (organization TEXT, event_id TEXT, at TEXT, meter TEXT, project TEXT, model TEXT, \
    executions TEXT, input_tokens TEXT, output_tokens TEXT, characters TEXT, minutes TEXT";

/// Ours, the first time and, where wanted, the same file again.
pub async fn ours(
    place: &Place,
    organizations: usize,
    csv: &Path,
    again: bool,
) -> Result<Measured> {
    let (app, _) = deployment::make(place, organizations).await?;
    rustix::fs::sync();
    let meter = Meter::start()?;
    let imported = usage::import(&app, "usage.csv", BufReader::new(File::open(csv)?)).await?;
    let mut measured = meter.stop(usize::try_from(imported.accepted)?)?;
    ensure!(imported.quarantined.is_empty(), "rows were set aside");
    measured.total = i64::try_from(imported.accepted)?;
    if again {
        let meter = Meter::start()?;
        let repeated = usage::import(&app, "usage.csv", BufReader::new(File::open(csv)?)).await?;
        ensure!(repeated.accepted == 0, "an event was stored twice");
        ensure!(repeated.duplicates == imported.accepted, "a repeat was not told as one");
        measured.parts.insert("again".to_owned(), meter.stop(0)?.seconds);
    }
    app.db.close().await;
    Ok(measured)
}

/// A bare keyed table on SQLite.
pub fn bare_sqlite(file: &Path, csv: &Path) -> Result<Measured> {
    let mut connection = Connection::open(file)?;
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536; \
         CREATE TABLE {TABLE}, PRIMARY KEY (organization, event_id))"
    ))?;
    let meter = Meter::start()?;
    let mut reader = csv::Reader::from_path(csv)?;
    let mut record = csv::StringRecord::new();
    let mut written = 0;
    let mut more = true;
    while more {
        let tx = connection.transaction()?;
        let mut insert = tx.prepare_cached(
            "INSERT OR IGNORE INTO event VALUES (?2, ?1, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        for _ in 0..ROWS {
            more = reader.read_record(&mut record)?;
            if !more {
                break;
            }
            written += insert.execute(params_from_iter(&record))?;
        }
        drop(insert);
        tx.commit()?;
    }
    let mut measured = meter.stop(written)?;
    measured.total = connection.query_row("SELECT COUNT(*) FROM event", [], |row| row.get(0))?;
    Ok(measured)
}

/// The rows as ours stores them, with rating and hashes: read from our database while the clock stands still.
pub fn bare_stored(file: &Path, ours: &Path) -> Result<Measured> {
    let source = Connection::open(ours)?;
    let sql = "SELECT sql FROM sqlite_master WHERE name = 'usage_event'";
    let table: String = source.query_row(sql, [], |row| row.get(0))?;
    let mut connection = Connection::open(file)?;
    connection.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -65536",
    )?;
    connection.execute_batch(&table)?;
    let mut select = source.prepare("SELECT * FROM usage_event ORDER BY rowid")?;
    let columns = select.column_count();
    let marks = vec!["?"; columns].join(", ");
    let insert = format!("INSERT OR IGNORE INTO usage_event VALUES ({marks})");
    let mut rows = select.query([])?;
    let mut all = Measured::default();
    loop {
        let mut batch: Vec<Vec<Value>> = Vec::with_capacity(ROWS);
        while batch.len() < ROWS
            && let Some(row) = rows.next()?
        {
            batch.push((0..columns).map(|at| row.get(at)).collect::<Result<_, _>>()?);
        }
        if batch.is_empty() {
            break;
        }
        let meter = Meter::start()?;
        let tx = connection.transaction()?;
        let mut statement = tx.prepare_cached(&insert)?;
        for row in &batch {
            statement.execute(params_from_iter(row))?;
        }
        drop(statement);
        tx.commit()?;
        let part = meter.stop(batch.len())?;
        all.seconds += part.seconds;
        all.cpu += part.cpu;
        all.count += part.count;
        all.peak_kib = all.peak_kib.max(part.peak_kib);
    }
    let count = "SELECT COUNT(*) FROM usage_event";
    all.total = connection.query_row(count, [], |row| row.get(0))?;
    Ok(all)
}

/// COPY into a temporary table, and from there into a bare keyed one on PostgreSQL.
pub async fn bare_postgres(address: &str, csv: &Path) -> Result<Measured> {
    let mut connection = PgConnection::connect(address).await?;
    let table = TABLE.replace(" TEXT", " TEXT COLLATE \"C\"");
    let keyed = format!("CREATE TABLE {table}, PRIMARY KEY (organization, event_id))");
    sqlx::raw_sql(sqlx::AssertSqlSafe(keyed)).execute(&mut connection).await?;
    let meter = Meter::start()?;
    let mut tx = connection.begin().await?;
    sqlx::raw_sql("CREATE TEMP TABLE arrived (LIKE event) ON COMMIT DROP")
        .execute(&mut *tx)
        .await?;
    let columns = "event_id, organization, at, meter, project, model, executions, input_tokens, output_tokens, \
                   characters, minutes";
    let copy = format!("COPY arrived ({columns}) FROM STDIN (FORMAT csv, HEADER)");
    let mut copy = tx.copy_in_raw(&copy).await?;
    let mut file = File::open(csv)?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        copy.send(&buffer[..read]).await?;
    }
    copy.finish().await?;
    let insert = "INSERT INTO event SELECT * FROM arrived ON CONFLICT DO NOTHING";
    let written = sqlx::raw_sql(insert).execute(&mut *tx).await?.rows_affected();
    tx.commit().await?;
    let mut measured = meter.stop(usize::try_from(written)?)?;
    measured.total = i64::try_from(written)?;
    Ok(measured)
}
