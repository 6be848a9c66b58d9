//! Statements of an embedded file: prepared once, run with values, read into rows.

use std::ops::{Deref, DerefMut};

use rusqlite::{CachedStatement, Connection, StatementStatus};

use crate::storage::StorageError;
use crate::storage::db::values::{Bind, FromRow};

/// What tells about statements.
const SQL: &str = "monthend::sql";

/// A prepared statement, to be run once or for many rows.
pub struct Prepared<'a> {
    statement: Held<'a>,
    sql: &'a str,
    connection: &'a Connection,
    /// Which value each place of the statement takes, by its number: `$2` may come before `$1`.
    places: Vec<usize>,
}

/// A statement that is kept for the next time, or not.
enum Held<'a> {
    Kept(CachedStatement<'a>),
    Once(rusqlite::Statement<'a>),
}

impl<'a> Deref for Held<'a> {
    type Target = rusqlite::Statement<'a>;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Self::Kept(statement) => statement,
            Self::Once(statement) => statement,
        }
    }
}

impl<'a> Prepared<'a> {
    /// Takes a statement from those prepared before, or prepares it and keeps it.
    pub(super) fn kept(connection: &'a Connection, sql: &'a str) -> Result<Self, StorageError> {
        Ok(Self::new(connection, sql, Held::Kept(connection.prepare_cached(sql)?)))
    }

    /// Prepares a statement that is not kept.
    pub(super) fn once(connection: &'a Connection, sql: &'a str) -> Result<Self, StorageError> {
        Ok(Self::new(connection, sql, Held::Once(connection.prepare(sql)?)))
    }

    fn new(connection: &'a Connection, sql: &'a str, statement: Held<'a>) -> Self {
        let count = statement.parameter_count();
        let places = (1..=count)
            .map(|place| {
                let number = statement.parameter_name(place).and_then(|name| name.get(1..));
                number.and_then(|number| number.parse().ok()).unwrap_or(place)
            })
            .collect();
        Self { statement, sql, connection, places }
    }

    fn bind(&mut self, values: &[&dyn Bind]) -> Result<(), StorageError> {
        // The engine would take a missing value for NULL.
        let wanted = self.places.iter().copied().max().unwrap_or(0);
        if wanted != values.len() {
            return Err(rusqlite::Error::InvalidParameterCount(values.len(), wanted).into());
        }
        for (place, number) in self.places.iter().enumerate() {
            if let Some(value) = values.get(number - 1) {
                self.statement.raw_bind_parameter(place + 1, value.value())?;
            }
        }
        Ok(())
    }

    /// Runs it with these values; gives the number of rows it touched.
    ///
    /// # Errors
    /// The engine refuses it.
    pub fn execute(&mut self, values: &[&dyn Bind]) -> Result<u64, StorageError> {
        self.bind(values)?;
        let before = self.connection.total_changes();
        let mut rows = self.statement.raw_query();
        while rows.next()?.is_some() {}
        drop(rows);
        self.tell();
        // Statements that change nothing leave the count of the one before.
        Ok(if self.connection.total_changes() == before { 0 } else { self.connection.changes() })
    }

    /// Runs it with these values; gives its first rows.
    ///
    /// # Errors
    /// The engine refuses it, or a value is not of its type.
    pub fn fetch<R: FromRow>(
        &mut self,
        values: &[&dyn Bind],
        most: usize,
    ) -> Result<Vec<R>, StorageError> {
        self.bind(values)?;
        let names = R::columns();
        let columns: Vec<usize> = if names.is_empty() {
            (0..self.statement.column_count()).collect()
        } else {
            let found = names.into_iter().enumerate().map(|(at, name)| {
                // Mostly the statement names them in the same order.
                let is_there = self.statement.column_name(at).is_ok_and(|there| there == name);
                if is_there { Ok(at) } else { self.statement.column_index(name) }
            });
            found.collect::<Result<_, _>>()?
        };
        let mut found = Vec::new();
        let mut rows = self.statement.raw_query();
        while found.len() < most
            && let Some(row) = rows.next()?
        {
            found.push(R::from_sqlite(row, &columns)?);
        }
        drop(rows);
        self.tell();
        Ok(found)
    }

    /// Tells what the statement cost, in the engine's steps, to whoever asks with `MONTHEND_LOG=monthend::sql=trace`.
    fn tell(&self) {
        if tracing::enabled!(target: SQL, tracing::Level::TRACE) {
            let steps = self.statement.reset_status(StatementStatus::VmStep);
            tracing::trace!(target: SQL, steps, sql = self.sql);
        }
    }
}
