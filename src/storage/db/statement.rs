//! Statements: static text beside its binds, once for both engines; and those with as many values as there are rows.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use super::sqlite::{Prepared, Transaction};
use super::values::{Bind, FromRow};
use super::{StorageError, Tx};

/// Runs a statement with its binds; gives the number of rows it touched.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $tx {
            $crate::storage::db::Tx::Sqlite(tx) => tx.execute($sql, &[$(&$bind),*])?,
            $crate::storage::db::Tx::Postgres(tx) => {
                sqlx::query($sql)$(.bind($bind))*.execute(&mut **tx).await?.rows_affected()
            }
        }
    };
}

/// Asks with a method that both engines have, for rows of a type.
macro_rules! fetch {
    ($how:ident, $tx:expr, $row:ty, $sql:expr $(, $bind:expr)*) => {
        match $tx {
            $crate::storage::db::Tx::Sqlite(tx) => tx.$how::<$row>($sql, &[$(&$bind),*])?,
            $crate::storage::db::Tx::Postgres(tx) => {
                sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.$how(&mut **tx).await?
            }
        }
    };
}

/// All rows of a query.
macro_rules! fetch_all {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::fetch!(fetch_all, $tx, $row, $sql $(, $bind)*)
    };
}

/// The first row of a query, if any.
macro_rules! fetch_optional {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::fetch!(fetch_optional, $tx, $row, $sql $(, $bind)*)
    };
}

/// The one row of a query that always has one.
macro_rules! fetch_one {
    ($tx:expr, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        $crate::storage::db::fetch!(fetch_one, $tx, $row, $sql $(, $bind)*)
    };
}

/// Inserts many rows: on PostgreSQL with few statements, on SQLite with one prepared once.
///
/// `insert!(tx, "INSERT INTO t (a, b)", " ON CONFLICT …", rows, row => [row.a, row.b])` gives the number
/// of rows it touched.
macro_rules! insert {
    ($tx:expr, $head:expr, $tail:expr, $rows:expr, $row:ident => [$($bind:expr),+ $(,)?]) => {{
        let rows = $rows;
        let mut touched = 0_u64;
        match &mut *$tx {
            $crate::storage::db::Tx::Sqlite(tx) => {
                let columns = [$(stringify!($bind)),+].len();
                let sql = $crate::storage::db::one_row($head, columns, $tail);
                let mut statement = tx.prepare(&sql)?;
                for $row in rows.iter() {
                    touched += statement.execute(&[$(&$bind),+])?;
                }
            }
            tx @ $crate::storage::db::Tx::Postgres(_) => {
                for chunk in rows.chunks($crate::storage::db::INSERTED_AT_ONCE) {
                    let mut statement = $crate::storage::db::Statement::new($head);
                    statement.push(" ").values(chunk, |row, $row| {
                        row$(.bind($bind))+;
                    });
                    touched += statement.push($tail).execute(tx).await?;
                }
            }
        }
        touched
    }};
}

/// All rows of many keys, each an organization and a second name. `$head` ends before `IN`.
macro_rules! fetch_keyed {
    ($tx:expr, $row:ty, $head:expr, $keys:expr) => {{
        let mut found: Vec<$row> = Vec::new();
        for chunk in $keys.chunks($crate::storage::db::rows_per_statement(2)) {
            let mut statement = $crate::storage::db::Statement::new($head);
            statement.push(" IN (").values(chunk, |row, key| {
                row.bind(key.0.clone()).bind(key.1.clone());
            });
            found.extend(statement.push(")").fetch_all::<$row>($tx).await?);
        }
        found
    }};
}

/// All rows of the named organizations. `$head` ends before `IN`; `$tail` follows the list.
macro_rules! fetch_named {
    ($tx:expr, $row:ty, $head:expr, $tail:expr, $organizations:expr) => {{
        let mut found: Vec<$row> = Vec::new();
        for chunk in $organizations.chunks($crate::storage::db::NAMES_PER_STATEMENT) {
            let mut statement = $crate::storage::db::Statement::new($head);
            statement.push(" IN (").list(chunk).push(")").push($tail);
            found.extend(statement.fetch_all::<$row>($tx).await?);
        }
        found
    }};
}

/// The condition that a column names an organization of the range `$1` to `$2`, for what a second column narrows: each
/// is looked up in the index of both. Through the range alone an engine reads all the rows they ever had. Not with a
/// `LIMIT`: SQLite lists the whole range first. Beside the range where only one index begins with the organization:
/// PostgreSQL takes that while there is little history; where there are more, it takes the wrong one.
macro_rules! in_range {
    ($column:literal) => {
        concat!($column, " IN (SELECT id FROM organization WHERE id BETWEEN $1 AND $2)")
    };
}

/// Runs a statement on the rows of many keys: `$head`, a value, `$middle` up to the list of keys.
macro_rules! execute_keyed {
    ($tx:expr, $head:expr, $value:expr, $middle:expr, $keys:expr) => {
        for chunk in $keys.chunks($crate::storage::db::rows_per_statement(2)) {
            let mut statement = $crate::storage::db::Statement::new($head);
            statement.bind($value).push($middle).push(" IN (").values(chunk, |row, key| {
                row.bind(key.0.clone()).bind(key.1.clone());
            });
            statement.push(")").execute($tx).await?;
        }
    };
}

pub(crate) use {
    execute, execute_keyed, fetch, fetch_all, fetch_keyed, fetch_named, fetch_one, fetch_optional,
    in_range, insert,
};

/// Rows one statement inserts at most on PostgreSQL.
pub const INSERTED_AT_ONCE: usize = 5_000;

/// Names one statement asks for at most.
pub const NAMES_PER_STATEMENT: usize = 500;

/// Rows of so many columns that fit one statement: enough to save trips, and within the number of places SQLite allows.
#[must_use]
pub fn rows_per_statement(columns: usize) -> usize {
    const BINDS: usize = 6_000;
    (BINDS / columns.max(1)).max(1)
}

/// The text that inserts one row of so many columns.
#[must_use]
pub fn one_row(head: &str, columns: usize, tail: &str) -> String {
    let places: Vec<String> = (1..=columns).map(|place| format!("${place}")).collect();
    format!("{head} VALUES ({}){tail}", places.join(", "))
}

/// A statement with as many values as there are rows: a list of places on SQLite, arrays on PostgreSQL, whose text is
/// then the same however many there are.
#[derive(Debug)]
pub struct Statement {
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(&'static str),
    Value(Value),
    /// The values of all rows, one row after the other, and how many there are in each.
    Rows(Vec<Value>, usize),
}

/// A value of a [`Statement`].
#[derive(Debug, Clone)]
pub enum Value {
    /// Text.
    Text(Option<String>),
    /// A whole number.
    Integer(Option<i64>),
    /// Yes or no.
    Boolean(Option<bool>),
    /// A calendar date.
    Date(Option<NaiveDate>),
    /// An instant.
    Instant(Option<DateTime<Utc>>),
}

macro_rules! values {
    ($($from:ty, $value:ident => $made:expr;)+) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Self {
                $made
            }
        })+
    };
}

values! {
    String, text => Self::Text(Some(text));
    &str, text => Self::Text(Some(text.to_owned()));
    Option<String>, text => Self::Text(text);
    &String, text => Self::Text(Some(text.clone()));
    Option<&str>, text => Self::Text(text.map(str::to_owned));
    &Option<String>, text => Self::Text(text.clone());
    i64, number => Self::Integer(Some(number));
    Option<i64>, number => Self::Integer(number);
    bool, truth => Self::Boolean(Some(truth));
    Option<bool>, truth => Self::Boolean(truth);
    NaiveDate, date => Self::Date(Some(date));
    Option<NaiveDate>, date => Self::Date(date);
    DateTime<Utc>, at => Self::Instant(Some(at));
    Option<DateTime<Utc>>, at => Self::Instant(at);
}

impl Bind for Value {
    fn value(&self) -> rusqlite::types::ToSqlOutput<'_> {
        match self {
            Self::Text(text) => text.value(),
            Self::Integer(number) => number.value(),
            Self::Boolean(truth) => truth.value(),
            Self::Date(date) => date.value(),
            Self::Instant(at) => at.value(),
        }
    }
}

/// The values of one row.
pub struct RowValues<'a>(&'a mut Vec<Value>);

impl RowValues<'_> {
    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.0.push(value.into());
        self
    }
}

impl Statement {
    /// Begins a statement.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self { parts: vec![Part::Text(text)] }
    }

    /// Adds text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.parts.push(Part::Text(text));
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.parts.push(Part::Value(value.into()));
        self
    }

    /// Adds a subquery that gives these values.
    pub fn list<V: Clone + Into<Value>>(&mut self, values: &[V]) -> &mut Self {
        self.values(values, |row, value| {
            row.bind(value.clone());
        })
    }

    /// Adds a subquery that gives a row for each of `rows`, of which there is at least one.
    pub fn values<T>(&mut self, rows: &[T], fill: impl Fn(&mut RowValues<'_>, &T)) -> &mut Self {
        let mut values = Vec::new();
        for row in rows {
            fill(&mut RowValues(&mut values), row);
        }
        let columns = values.len() / rows.len().max(1);
        self.parts.push(Part::Rows(values, columns));
        self
    }

    /// Runs it; gives the number of rows it touched.
    ///
    /// # Errors
    /// The engine refuses it.
    pub async fn execute(&mut self, tx: &mut Tx) -> Result<u64, StorageError> {
        match tx {
            Tx::Sqlite(tx) => {
                let (sql, binds) = self.for_sqlite();
                self.prepare(tx, &sql)?.execute(&binds)
            }
            Tx::Postgres(tx) => Ok(self.for_postgres()?.execute(&mut **tx).await?.rows_affected()),
        }
    }

    /// All its rows.
    ///
    /// # Errors
    /// The engine refuses it, or a value is not of its type.
    pub async fn fetch_all<R: FromRow>(&mut self, tx: &mut Tx) -> Result<Vec<R>, StorageError> {
        match tx {
            Tx::Sqlite(tx) => {
                let (sql, binds) = self.for_sqlite();
                self.prepare(tx, &sql)?.fetch(&binds, usize::MAX)
            }
            Tx::Postgres(tx) => {
                let rows: Vec<PgRow> = self.for_postgres()?.fetch_all(&mut **tx).await?;
                Ok(rows.iter().map(R::from_row).collect::<Result<_, _>>()?)
            }
        }
    }

    /// The text for one row is met again and again; each other number of rows has a text of its own.
    fn prepare<'a>(&self, tx: &'a Transaction, sql: &'a str) -> Result<Prepared<'a>, StorageError> {
        let is_usual = self.parts.iter().all(|part| match part {
            Part::Rows(values, columns) => values.len() == *columns,
            Part::Text(_) | Part::Value(_) => true,
        });
        if is_usual { tx.prepare(sql) } else { tx.prepare_once(sql) }
    }

    /// Places without names: those of thousands of places would cost more than the rows in them.
    fn for_sqlite(&self) -> (String, Vec<&dyn Bind>) {
        let (mut sql, mut binds) = (String::new(), Vec::<&dyn Bind>::new());
        for part in &self.parts {
            match part {
                Part::Text(text) => sql.push_str(text),
                Part::Value(value) => {
                    sql.push('?');
                    binds.push(value);
                }
                Part::Rows(values, columns) => {
                    let row = format!("({})", vec!["?"; *columns].join(", "));
                    let rows = values.len() / (*columns).max(1);
                    sql.push_str("VALUES ");
                    sql.push_str(&vec![row.as_str(); rows].join(", "));
                    binds.extend(values.iter().map(|value| -> &dyn Bind { value }));
                }
            }
        }
        (sql, binds)
    }

    /// Rows as one array for each column.
    fn for_postgres(&mut self) -> Result<Asked, StorageError> {
        let (mut sql, mut places) = (String::new(), Vec::new());
        for part in std::mem::take(&mut self.parts) {
            match part {
                Part::Text(text) => sql.push_str(text),
                Part::Value(value) => {
                    places.push(Place::One(value));
                    sql.push_str(&format!("${}", places.len()));
                }
                Part::Rows(values, columns) => {
                    let mut arrays: Vec<Vec<Value>> = vec![Vec::new(); columns];
                    for (at, value) in values.into_iter().enumerate() {
                        arrays[at % columns].push(value);
                    }
                    sql.push_str("SELECT * FROM UNNEST(");
                    for (at, array) in arrays.into_iter().enumerate() {
                        let kind = array.first().map_or("TEXT", Value::postgres_type);
                        places.push(Place::Many(array));
                        let comma = if at == 0 { "" } else { ", " };
                        sql.push_str(&format!("{comma}CAST(${} AS {kind}[])", places.len()));
                    }
                    sql.push(')');
                }
            }
        }
        let query = sqlx::query(AssertSqlSafe(sql));
        places.into_iter().try_fold(query, |query, place| match place {
            Place::One(value) => Ok(value.bind_to(query)),
            Place::Many(values) => bind_array(query, values),
        })
    }
}

/// What one place of a statement on PostgreSQL takes.
enum Place {
    One(Value),
    Many(Vec<Value>),
}

type Asked = Query<'static, Postgres, PgArguments>;

impl Value {
    const fn postgres_type(&self) -> &'static str {
        match self {
            Self::Text(_) => "TEXT",
            Self::Integer(_) => "BIGINT",
            Self::Boolean(_) => "BOOLEAN",
            Self::Date(_) => "DATE",
            Self::Instant(_) => "TIMESTAMPTZ",
        }
    }

    fn bind_to(self, query: Asked) -> Asked {
        match self {
            Self::Text(text) => query.bind(text),
            Self::Integer(number) => query.bind(number),
            Self::Boolean(truth) => query.bind(truth),
            Self::Date(date) => query.bind(date),
            Self::Instant(at) => query.bind(at),
        }
    }
}

/// Binds the values of one column.
///
/// # Errors
/// They are not all of one type: nothing may become NULL without a word.
fn bind_array(query: Asked, values: Vec<Value>) -> Result<Asked, StorageError> {
    macro_rules! array {
        ($kind:ident) => {
            values
                .into_iter()
                .map(|value| if let Value::$kind(value) = value { Some(value) } else { None })
                .collect::<Option<Vec<_>>>()
                .map(|array| query.bind(array))
        };
    }
    let bound = match values.first() {
        Some(Value::Integer(_)) => array!(Integer),
        Some(Value::Boolean(_)) => array!(Boolean),
        Some(Value::Date(_)) => array!(Date),
        Some(Value::Instant(_)) => array!(Instant),
        Some(Value::Text(_)) | None => array!(Text),
    };
    bound.ok_or_else(|| {
        StorageError::Refused("a statement was given a column of two types".to_owned())
    })
}
