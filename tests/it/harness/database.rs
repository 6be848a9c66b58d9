//! A database per test: a file, or one made on the tests' server and dropped again.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]
#![expect(clippy::panic, reason = "one clear sentence instead of an error value")]

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use monthend::app::sqlite_address;
use monthend::storage::{Db, StorageError, db};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::Engine;

pub const SERVER: &str = "MONTHEND_TEST_POSTGRES";

/// Where one test's facts are.
pub struct Place {
    /// The address for [`Db::open`].
    pub address: String,
    /// Server and name of a database that has to be dropped.
    made: Option<(String, String)>,
}

impl Place {
    /// Makes room for a deployment in `home`.
    pub async fn new(engine: Engine, home: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        if engine == Engine::Sqlite {
            return Self { address: sqlite_address(home), made: None };
        }
        let server = std::env::var(SERVER).unwrap_or_else(|_| {
            panic!("start tests with tests/run, or set {SERVER} to a server where databases may be created")
        });
        let ordinal = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("monthend_it_{}_{ordinal}", std::process::id());
        let mut connection = PgConnection::connect(&server).await.unwrap();
        // An earlier process of the same id that was killed may have left it.
        for statement in
            [format!("DROP DATABASE IF EXISTS {name}"), format!("CREATE DATABASE {name}")]
        {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
        Self { address: beside(&server, &name), made: Some((server, name)) }
    }

    /// Removes what [`Self::new`] and [`Self::keep`] made.
    pub async fn remove(&self) {
        let Some((_, name)) = &self.made else { return };
        self.ask(&[
            format!("DROP DATABASE {name} WITH (FORCE)"),
            format!("DROP DATABASE IF EXISTS {name}_kept WITH (FORCE)"),
        ])
        .await;
    }

    /// Keeps a copy of a database that nobody has open.
    pub async fn keep(&self) {
        match (&self.made, self.address.strip_prefix("sqlite:")) {
            (Some((_, name)), _) => {
                self.ask(&[format!("CREATE DATABASE {name}_kept TEMPLATE {name}")]).await;
            }
            (None, Some(file)) => drop(std::fs::copy(file, format!("{file}.kept")).unwrap()),
            (None, None) => unreachable!("a database is a file or was made"),
        }
    }

    /// Puts the copy in the place of the database, which nobody has open.
    pub async fn bring_back(&self) {
        match (&self.made, self.address.strip_prefix("sqlite:")) {
            (Some((_, name)), _) => {
                self.ask(&[
                    format!("DROP DATABASE {name} WITH (FORCE)"),
                    format!("CREATE DATABASE {name} TEMPLATE {name}_kept"),
                ])
                .await;
            }
            (None, Some(file)) => {
                for beside in ["-wal", "-shm"] {
                    let _ = std::fs::remove_file(format!("{file}{beside}"));
                }
                std::fs::copy(format!("{file}.kept"), file).unwrap();
            }
            (None, None) => unreachable!("a database is a file or was made"),
        }
    }

    async fn ask(&self, statements: &[String]) {
        let Some((server, _)) = &self.made else { return };
        let mut connection = PgConnection::connect(server).await.unwrap();
        for statement in statements {
            let statement = sqlx::query(AssertSqlSafe(statement.clone()));
            statement.execute(&mut connection).await.unwrap();
        }
        connection.close().await.unwrap();
    }
}

/// The address of another database of a server.
pub fn beside(server: &str, name: &str) -> String {
    let (address, options) = server.split_once('?').unwrap_or((server, ""));
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let base = match address[scheme..].find('/') {
        Some(slash) => &address[..scheme + slash],
        None => address,
    };
    let options = if options.is_empty() { String::new() } else { format!("?{options}") };
    format!("{base}/{name}{options}")
}

/// Runs any statement, past all the product's own doors; gives the number of rows it touched.
pub async fn execute(db: &Db, sql: &str) -> Result<u64, StorageError> {
    Ok(match db {
        Db::Sqlite(file) => {
            let tx = file.write().await?;
            let touched = tx.execute(sql, &[])?;
            tx.commit()?;
            touched
        }
        Db::Postgres(pool) => {
            sqlx::query(AssertSqlSafe(sql.to_owned())).execute(pool).await?.rows_affected()
        }
    })
}

/// A row whose columns are all text.
struct Cells(Vec<String>);

impl<'r> sqlx::FromRow<'r, PgRow> for Cells {
    fn from_row(row: &'r PgRow) -> sqlx::Result<Self> {
        let cells = (0..row.len())
            .map(|column| Ok(row.try_get::<Option<String>, _>(column)?.unwrap_or_default()));
        Ok(Self(cells.collect::<sqlx::Result<_>>()?))
    }
}

impl db::FromRow for Cells {
    fn columns() -> Vec<&'static str> {
        Vec::new()
    }

    fn from_sqlite(row: &rusqlite::Row<'_>, columns: &[usize]) -> rusqlite::Result<Self> {
        let mut columns = columns.iter();
        let mut cells = Vec::new();
        while columns.len() > 0 {
            cells.push(db::next::<Option<String>>(row, &mut columns)?.unwrap_or_default());
        }
        Ok(Self(cells))
    }
}

/// All rows of any query.
pub async fn rows<R: db::FromRow>(db: &Db, sql: &str) -> Result<Vec<R>, StorageError> {
    Ok(match db {
        Db::Sqlite(file) => file.read().await?.fetch_all(sql, &[])?,
        Db::Postgres(pool) => sqlx::query_as(AssertSqlSafe(sql.to_owned())).fetch_all(pool).await?,
    })
}

/// All rows of a query whose columns are all text.
pub async fn table(db: &Db, sql: &str) -> Vec<Vec<String>> {
    rows::<Cells>(db, sql).await.unwrap().into_iter().map(|Cells(cells)| cells).collect()
}

/// The number of rows a condition finds: `"ledger_entry"`, `"step WHERE state = 'done'"`.
pub async fn count(db: &Db, what: &str) -> i64 {
    let sql = format!("SELECT CAST(COUNT(*) AS BIGINT) FROM {what}");
    rows::<(i64,)>(db, &sql).await.unwrap()[0].0
}
