//! Values and rows as the engines keep them: what sqlx does for PostgreSQL, the same for SQLite.

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rusqlite::Row;
use rusqlite::types::{FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use sqlx::postgres::PgRow;

/// A value a statement is given on SQLite.
pub trait Bind {
    /// As the engine keeps it.
    fn value(&self) -> ToSqlOutput<'_>;
}

impl Bind for str {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Text(self.as_bytes()))
    }
}

impl Bind for String {
    fn value(&self) -> ToSqlOutput<'_> {
        self.as_str().value()
    }
}

impl Bind for i64 {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Integer(*self))
    }
}

impl Bind for bool {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Integer(i64::from(*self)))
    }
}

/// Dates are texts that sort as they follow each other.
impl Bind for NaiveDate {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Text(self.format("%F").to_string()))
    }
}

/// RFC 3339 in UTC: texts that sort as they follow each other.
impl Bind for DateTime<Utc> {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Owned(Value::Text(self.to_rfc3339_opts(SecondsFormat::AutoSi, false)))
    }
}

impl Bind for [u8] {
    fn value(&self) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(self))
    }
}

impl Bind for Vec<u8> {
    fn value(&self) -> ToSqlOutput<'_> {
        self.as_slice().value()
    }
}

impl<T: Bind> Bind for Option<T> {
    fn value(&self) -> ToSqlOutput<'_> {
        match self {
            Some(value) => value.value(),
            None => ToSqlOutput::Owned(Value::Null),
        }
    }
}

impl<T: Bind + ?Sized> Bind for &T {
    fn value(&self) -> ToSqlOutput<'_> {
        (**self).value()
    }
}

/// A value a row gives on SQLite.
pub trait Column: Sized {
    /// From what the engine keeps.
    ///
    /// # Errors
    /// It is of another type.
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self>;
}

impl Column for String {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(value.as_str()?.to_owned())
    }
}

impl Column for i64 {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_i64()
    }
}

impl Column for bool {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(value.as_i64()? != 0)
    }
}

impl Column for NaiveDate {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        NaiveDate::parse_from_str(value.as_str()?, "%F").map_err(FromSqlError::other)
    }
}

impl Column for DateTime<Utc> {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let at = DateTime::parse_from_rfc3339(value.as_str()?).map_err(FromSqlError::other)?;
        Ok(at.to_utc())
    }
}

impl Column for Vec<u8> {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Ok(value.as_blob()?.to_vec())
    }
}

impl<T: Column> Column for Option<T> {
    fn from_value(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Null => Ok(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A row of a result, as both engines give it.
pub trait FromRow: Sized + Send + Unpin + for<'r> sqlx::FromRow<'r, PgRow> {
    /// The columns it takes, by name; none: all, by place.
    fn columns() -> Vec<&'static str>;

    /// Reads a row on SQLite; `columns` says where its columns are.
    ///
    /// # Errors
    /// A value is not of its type, or a column is missing.
    fn from_sqlite(row: &Row<'_>, columns: &[usize]) -> rusqlite::Result<Self>;
}

/// The next column of a row.
///
/// # Errors
/// It is not of its type, or there is none.
pub fn next<T: Column>(
    row: &Row<'_>,
    columns: &mut std::slice::Iter<'_, usize>,
) -> rusqlite::Result<T> {
    let column = *columns.next().ok_or(rusqlite::Error::InvalidColumnIndex(columns.len()))?;
    let value = row.get_ref(column)?;
    T::from_value(value).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, value.data_type(), Box::new(error))
    })
}

macro_rules! tuples {
    ($($($name:ident)+;)+) => {
        $(impl<$($name),+> FromRow for ($($name,)+)
        where
            $($name: Column + Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres>
                + sqlx::Type<sqlx::Postgres>,)+
        {
            fn columns() -> Vec<&'static str> {
                Vec::new()
            }

            fn from_sqlite(row: &Row<'_>, columns: &[usize]) -> rusqlite::Result<Self> {
                let mut columns = columns.iter();
                Ok(($(next::<$name>(row, &mut columns)?,)+))
            }
        })+
    };
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
    A B C D E F G H I;
}

/// A row that holds another one and one column more.
macro_rules! record_with {
    ($name:ident { $inner:ident: $record:ty, $field:ident }) => {
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                let $inner = <$record>::from_row(row)?;
                Ok(Self { $inner, $field: row.try_get(stringify!($field))? })
            }
        }

        impl $crate::storage::db::FromRow for $name {
            fn columns() -> Vec<&'static str> {
                let mut columns = <$record>::columns();
                columns.push(stringify!($field));
                columns
            }

            fn from_sqlite(row: &rusqlite::Row<'_>, columns: &[usize]) -> rusqlite::Result<Self> {
                let (inner, last) = columns.split_at(columns.len().saturating_sub(1));
                let $inner = <$record>::from_sqlite(row, inner)?;
                Ok(Self { $inner, $field: $crate::storage::db::next(row, &mut last.iter())? })
            }
        }
    };
}

/// Derives [`FromRow`] for a struct whose fields are named as the columns, on both engines.
macro_rules! Record {
    (
        $(#[$_attribute:meta])*
        $_visible:vis struct $name:ident {
            $($(#[$_of_field:meta])* $_field_visible:vis $field:ident: $type:ty),* $(,)?
        }
    ) => {
        impl<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> for $name {
            fn from_row(row: &'r sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($field: row.try_get(stringify!($field))?,)* })
            }
        }

        impl $crate::storage::db::FromRow for $name {
            fn columns() -> Vec<&'static str> {
                vec![$(stringify!($field)),*]
            }

            fn from_sqlite(row: &rusqlite::Row<'_>, columns: &[usize]) -> rusqlite::Result<Self> {
                let mut columns = columns.iter();
                Ok(Self { $($field: $crate::storage::db::next(row, &mut columns)?,)* })
            }
        }
    };
}

pub(crate) use {Record, record_with};
