//! A database of the first schema, full of rows, is brought to this one: the program is killed, or its disk fails, at
//! its n-th call, and started again plainly. The database must be the one an undisturbed upgrade makes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::ValueEnum as _;
use rusqlite::types::ValueRef;
use serde_json::json;
use sqlx::migrate::{Migration, Migrator};

use crate::cluster::Cluster;
use crate::home::{Engine, Home, copy_folder};
use crate::options::{Fault, UpgradeOptions};
use crate::points::ended_well;
use crate::points::tracer::{End, Tracer};

/// Organizations of the old database, each with a mail and a purchase.
const ORGANIZATIONS: usize = 400;
const NOW: &str = "2026-03-05T08:00:00Z";
/// A command that changes nothing but the schema.
const COMMAND: [&str; 3] = ["--quiet", "org", "list"];
/// Failures after which nothing new begins.
const MOST_FAILURES: u64 = 20;
/// Where the first schema ends.
const FIRST: i64 = 2;

/// Tables whose rows differ from one upgrade to the next: when it was, and the id it drew.
const DRAWN: [&str; 2] = ["_sqlx_migrations", "meta"];

/// An old deployment, and the programs that look at it.
struct Old<'a> {
    options: &'a UpgradeOptions,
    scratch: &'a Path,
    cluster: Option<Cluster>,
    tracer: Tracer,
}

/// True: everything held.
pub fn run(options: &UpgradeOptions) -> Result<bool> {
    let scratch = options.common.scratch()?;
    let cluster = match options.engine {
        Engine::Sqlite => None,
        Engine::Postgres => Some(Cluster::start(&scratch.path().join("postgres"))?),
    };
    let old = Old { options, scratch: scratch.path(), cluster, tracer: Tracer::build()? };
    old.make()?;
    let home = old.copy()?;
    home.done(Some(NOW), &COMMAND)?;
    let expected = old.dump(&home)?;
    ensure!(
        expected.len() > 3 * ORGANIZATIONS,
        "{} lines are no upgraded database",
        expected.len()
    );
    let begun = Instant::now();
    let (mut points, mut failed) = (0_u64, 0_u64);
    for &fault in options.faults() {
        let name = fault.to_possible_value().map(|value| value.get_name().to_owned());
        let name = name.unwrap_or_default();
        let (mut at, mut fired) = (options.which.offset, 0_u64);
        while options.which.last.is_none_or(|last| at <= last) {
            match old.point(fault, at, &expected) {
                Ok(None) => break,
                Ok(Some(problems)) if problems.is_empty() => {}
                Ok(Some(problems)) => {
                    failed += 1;
                    told(options, &name, at, &problems);
                }
                Err(error) => {
                    failed += 1;
                    told(options, &name, at, &[format!("{error:#}")]);
                    // Nothing says that there is an end to it.
                    if failed >= MOST_FAILURES {
                        break;
                    }
                }
            }
            fired += 1;
            at += options.which.every;
        }
        println!("{name:<8}{fired:>7} points of an upgrade");
        points += fired;
    }
    println!(
        "{}",
        json!({"test": "upgrade", "engine": options.engine.name(), "every": options.which.every, "points": points,
            "failed": failed, "rows": expected.len(), "seconds": begun.elapsed().as_secs()})
    );
    Ok(failed == 0 && points > 0)
}

fn told(options: &UpgradeOptions, fault: &str, at: u64, problems: &[String]) {
    println!("FAILED: an upgrade under {fault} at {at}");
    for problem in problems {
        println!("  {}", problem.chars().take(1_500).collect::<String>());
    }
    let engine = options.engine.name();
    println!(
        "  replay: cargo test --test crash -- upgrade --engine {engine} --fault {fault} --offset {at} --last {at}"
    );
}

impl Old<'_> {
    /// Makes the old deployment: a home of this program, with a database of the first schema.
    fn make(&self) -> Result<()> {
        let new = |name: &str| Home {
            folder: self.scratch.join(name),
            binary: self.options.common.binary(),
            database: self.cluster.as_ref().map(|cluster| cluster.address(name)),
        };
        let home = new("old");
        if let Some(cluster) = &self.cluster {
            cluster.create("old", None)?;
        }
        home.done(Some(NOW), &["--quiet", "init"])?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let first = runtime.block_on(first_schema(self.options.engine))?;
        match &self.cluster {
            None => {
                for file in ["monthend.db", "monthend.db-wal", "monthend.db-shm"] {
                    let _ = fs::remove_file(home.folder.join(file));
                }
                fill_file(&home.folder.join("monthend.db"), &first)
            }
            Some(cluster) => {
                cluster.create("old", None)?;
                runtime.block_on(async {
                    let pool = sqlx::PgPool::connect(&cluster.address("old")).await?;
                    first.run(&pool).await?;
                    pool.close().await;
                    anyhow::Ok(())
                })?;
                // Not all in one argument of a command.
                rows().chunks(50).try_for_each(|some| cluster.sql("old", &some.join(";")).map(drop))
            }
        }
    }

    /// The old deployment once more.
    fn copy(&self) -> Result<Home> {
        let folder = self.scratch.join("home");
        let _ = fs::remove_dir_all(&folder);
        copy_folder(&self.scratch.join("old"), &folder)?;
        if let Some(cluster) = &self.cluster {
            cluster.create("home", Some("old"))?;
        }
        Ok(Home {
            folder,
            binary: self.options.common.binary(),
            database: self.cluster.as_ref().map(|cluster| cluster.address("home")),
        })
    }

    /// One point: what is wrong after it; none: the upgrade ended before its call.
    fn point(
        &self,
        fault: Fault,
        at: u64,
        expected: &BTreeSet<String>,
    ) -> Result<Option<Vec<String>>> {
        let home = self.copy()?;
        let traced = self.tracer.run(&home, self.scratch, Some(fault), at, NOW, &COMMAND)?;
        if traced.fired.is_none() {
            ensure!(traced.end == End::Exit(0), "undisturbed it ended with {:?}", traced.end);
            return Ok(None);
        }
        let mut problems = ended_well(fault, &traced);
        home.done(Some(NOW), &COMMAND)?;
        let seen = self.dump(&home)?;
        let first = |from: &BTreeSet<String>, other: &BTreeSet<String>| {
            from.difference(other).next().cloned()
        };
        if let Some(more) = first(&seen, expected) {
            problems.push(format!("too much: {more}"));
        }
        if let Some(less) = first(expected, &seen) {
            problems.push(format!("missing: {less}"));
        }
        Ok(Some(problems))
    }

    /// The schema and all rows, in lines.
    fn dump(&self, home: &Home) -> Result<BTreeSet<String>> {
        match &self.cluster {
            None => dump_file(&home.folder.join("monthend.db")),
            Some(cluster) => {
                let mut lines: BTreeSet<String> =
                    cluster.dump("home", &DRAWN)?.lines().map(str::to_owned).collect();
                let applied = "SELECT 'applied', version, success, checksum FROM _sqlx_migrations";
                lines.extend(cluster.sql("home", applied)?.lines().map(str::to_owned));
                // Drawn anew for each dump.
                lines.retain(|line| {
                    !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict")
                });
                Ok(lines)
            }
        }
    }
}

/// The migrations of the first version.
async fn first_schema(engine: Engine) -> Result<Migrator> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut all: Vec<Migration> = Vec::new();
    for folder in [root.clone(), root.join(engine.name())] {
        all.extend(Migrator::new(folder).await?.iter().cloned());
    }
    all.retain(|migration| migration.version <= FIRST);
    Ok(Migrator::with_migrations(all))
}

/// Rows as the first version wrote them.
fn rows() -> Vec<String> {
    let one = |n: usize| {
        format!(
            "INSERT INTO organization (id, name, billing_emails, joined_on, zone, currency, tax_percent, language, \
             payment_method, state, terms_since, created_at, updated_at) VALUES ('o{n}', 'Example {n}', \
             'o{n}@a.example', '2026-01-01', 'UTC', 'USD', '0', 'en', 'pm_sandbox_ok', 'active', \
             '2026-01-01T00:00:00.000000+00:00', '2026-01-01T00:00:00.000000+00:00', \
             '2026-01-01T00:00:00.000000+00:00');
             INSERT INTO mail (organization, id, key, kind, subject_id, recipients, recipient, state, created_at) \
             VALUES ('o{n}', 'mal_{n}', 'invoice-{n}', 'invoice', 'inv_{n}', 'o{n}@a.example', 'o{n}@a.example', \
             'sent', '2026-02-01T00:00:00.000000+00:00');
             INSERT INTO purchase (organization, id, credits, currency, net, tax, tax_percent, state, created_at) \
             VALUES ('o{n}', 'pur_{n}', 100, 'USD', 10, 0, '0', 'open', '2026-01-05T00:00:00.000000+00:00')"
        )
    };
    (0..ORGANIZATIONS).map(one).collect()
}

/// Writes a file as the first version left it.
fn fill_file(path: &Path, first: &Migrator) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
         installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
         checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    )?;
    for migration in first.iter() {
        transaction.execute_batch(migration.sql.as_str())?;
        let (version, sum) = (migration.version, migration.checksum.as_ref());
        transaction.execute(
            "INSERT INTO _sqlx_migrations VALUES (?1, ?2, '2026-01-01 00:00:00', TRUE, ?3, 1)",
            (version, migration.description.as_ref(), sum),
        )?;
    }
    transaction.execute_batch(&rows().join(";"))?;
    transaction.commit()?;
    Ok(())
}

fn dump_file(path: &Path) -> Result<BTreeSet<String>> {
    let connection = rusqlite::Connection::open(path)?;
    let sound: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(sound == "ok", "integrity_check: {sound}");
    let mut lines = BTreeSet::new();
    let mut tables = Vec::new();
    let mut schema =
        connection.prepare("SELECT type, name, COALESCE(sql, '') FROM sqlite_schema")?;
    let mut objects = schema.query([])?;
    while let Some(object) = objects.next()? {
        let (kind, name, sql): (String, String, String) =
            (object.get(0)?, object.get(1)?, object.get(2)?);
        lines.insert(format!("{kind} {name} {sql}"));
        if kind == "table" && !DRAWN.contains(&name.as_str()) {
            tables.push(name);
        }
    }
    for table in tables {
        let mut all = connection.prepare(&format!("SELECT * FROM {table}"))?;
        let columns = all.column_count();
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let cells: Vec<String> =
                (0..columns).map(|column| Ok(cell(row.get_ref(column)?))).collect::<Result<_>>()?;
            lines.insert(format!("{table}: {}", cells.join("|")));
        }
    }
    let mut applied =
        connection.prepare("SELECT version, success, hex(checksum) FROM _sqlx_migrations")?;
    let mut applied = applied.query([])?;
    while let Some(row) = applied.next()? {
        let (version, success, sum): (i64, bool, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        lines.insert(format!("applied {version} {success} {sum}"));
    }
    Ok(lines)
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => format!("{number:?}"),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("{bytes:02x?}"),
    }
}
