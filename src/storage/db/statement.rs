//! Statements: static text beside its binds, once for both engines; and those with as many values as there are rows.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;

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
        let columns = [$(stringify!($bind)),+].len();
        let rows = $rows;
        let mut touched = 0_u64;
        match $tx {
            $crate::storage::db::Tx::Sqlite(tx) => {
                let sql = $crate::storage::db::one_row($head, columns, $tail);
                let mut statement = tx.prepare(&sql)?;
                for $row in rows.iter() {
                    touched += statement.execute(&[$(&$bind),+])?;
                }
            }
            $crate::storage::db::Tx::Postgres(tx) => {
                for chunk in rows.chunks($crate::storage::db::rows_per_statement(columns)) {
                    let mut builder = sqlx::QueryBuilder::new($head);
                    builder.push(" ");
                    builder.push_values(chunk, |mut values, $row| {
                        $(values.push_bind($bind);)+
                    });
                    builder.push($tail);
                    touched += builder.build().execute(&mut **tx).await?.rows_affected();
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
    insert,
};

/// Names one statement asks for at most.
pub const NAMES_PER_STATEMENT: usize = 500;

/// Rows of so many columns that fit one statement: enough to save trips, few enough that the text is
/// prepared once and used again.
#[must_use]
pub fn rows_per_statement(columns: usize) -> usize {
    const BINDS: usize = 6_000;
    (BINDS / columns.max(1)).max(1)
}

/// The text that inserts one row of so many columns.
#[must_use]
pub fn one_row(head: &str, columns: usize, tail: &str) -> String {
    let places: Vec<String> = (1..=columns).map(|place| format!("${place}")).collect();
    // Two engines, one text: a conflict clause after a bare VALUES list needs no WHERE.
    format!("{head} VALUES ({}){tail}", places.join(", "))
}

/// A statement whose text depends on how many rows it is given.
#[derive(Debug)]
pub struct Statement {
    /// With a [`PLACE`] for each value.
    text: String,
    values: Vec<Value>,
}

/// Stands for a value's place until it is known which engine is asked: names of thousands of places cost SQLite more
/// than the rows in them.
const PLACE: char = '\u{1}';

/// A value of a [`Statement`].
#[derive(Debug, Clone)]
pub enum Value {
    /// Text.
    Text(Option<String>),
    /// A whole number.
    Integer(i64),
    /// Yes or no.
    Boolean(bool),
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
    i64, number => Self::Integer(number);
    bool, truth => Self::Boolean(truth);
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
pub struct RowValues<'a> {
    statement: &'a mut Statement,
    is_first: bool,
}

impl RowValues<'_> {
    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        if !std::mem::take(&mut self.is_first) {
            self.statement.text.push_str(", ");
        }
        self.statement.bind(value);
        self
    }
}

impl Statement {
    /// Begins a statement.
    #[must_use]
    pub fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Adds text.
    pub fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        self.text.push(PLACE);
        self
    }

    /// Adds values between commas.
    pub fn list<V: Clone + Into<Value>>(&mut self, values: &[V]) -> &mut Self {
        let mut row = RowValues { statement: self, is_first: true };
        for value in values {
            row.bind(value.clone());
        }
        self
    }

    /// Adds a `VALUES` list with a row for each of `rows`.
    pub fn values<T>(&mut self, rows: &[T], fill: impl Fn(&mut RowValues<'_>, &T)) -> &mut Self {
        self.text.push_str("VALUES ");
        for (at, row) in rows.iter().enumerate() {
            self.text.push_str(if at == 0 { "(" } else { ", (" });
            fill(&mut RowValues { statement: self, is_first: true }, row);
            self.text.push(')');
        }
        self
    }

    /// Runs it; gives the number of rows it touched.
    ///
    /// # Errors
    /// The engine refuses it.
    pub async fn execute(&mut self, tx: &mut Tx) -> Result<u64, StorageError> {
        match tx {
            Tx::Sqlite(tx) => tx.execute(&self.for_sqlite(), &self.binds()),
            Tx::Postgres(tx) => Ok(self.query().execute(&mut **tx).await?.rows_affected()),
        }
    }

    /// All its rows.
    ///
    /// # Errors
    /// The engine refuses it, or a value is not of its type.
    pub async fn fetch_all<R: FromRow>(&mut self, tx: &mut Tx) -> Result<Vec<R>, StorageError> {
        match tx {
            Tx::Sqlite(tx) => tx.fetch_all(&self.for_sqlite(), &self.binds()),
            Tx::Postgres(tx) => {
                let rows: Vec<PgRow> = self.query().fetch_all(&mut **tx).await?;
                Ok(rows.iter().map(R::from_row).collect::<Result<_, _>>()?)
            }
        }
    }

    fn for_sqlite(&self) -> String {
        self.text.replace(PLACE, "?")
    }

    fn for_postgres(&self) -> String {
        let mut parts = self.text.split(PLACE);
        let mut sql = parts.next().unwrap_or_default().to_owned();
        for (number, part) in (1_usize..).zip(parts) {
            sql.push('$');
            sql.push_str(&number.to_string());
            sql.push_str(part);
        }
        sql
    }

    fn binds(&self) -> Vec<&dyn Bind> {
        self.values.iter().map(|value| -> &dyn Bind { value }).collect()
    }

    fn query(&mut self) -> Query<'_, sqlx::Postgres, PgArguments> {
        let mut query = sqlx::query(AssertSqlSafe(self.for_postgres()));
        for value in std::mem::take(&mut self.values) {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Integer(number) => query.bind(number),
                Value::Boolean(truth) => query.bind(truth),
                Value::Date(date) => query.bind(date),
                Value::Instant(at) => query.bind(at),
            };
        }
        query
    }
}
