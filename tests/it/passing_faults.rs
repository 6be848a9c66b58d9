//! Faults of the machine that pass: what they stop is tried again, not parked.

use monthend::storage::StorageError;

/// An error of the engine with its code.
#[derive(Debug)]
struct Coded(&'static str);

impl std::fmt::Display for Coded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "(code: {})", self.0)
    }
}

impl std::error::Error for Coded {}

impl sqlx::error::DatabaseError for Coded {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> sqlx::error::ErrorKind {
        sqlx::error::ErrorKind::Other
    }
}

fn passes_on_a_server(code: &'static str) -> bool {
    StorageError::Server(sqlx::Error::Database(Box::new(Coded(code)))).is_transient()
}

fn passes_in_a_file(code: i32) -> bool {
    let error = rusqlite::ffi::Error::new(code);
    StorageError::Embedded(rusqlite::Error::SqliteFailure(error, None)).is_transient()
}

// One failed write of the database's file parked the step it happened in: money that had been taken
// stayed unsettled until somebody let the step go.
#[test]
fn a_failed_write_of_the_database_parks_nothing() {
    // IOERR, its READ, WRITE, FSYNC, TRUNCATE, SHMOPEN; CANTOPEN; FULL.
    for code in [10, 266, 778, 1034, 1546, 4618, 14, 13] {
        assert!(passes_in_a_file(code), "SQLite's {code} passes");
    }
    // CORRUPT, NOTADB, CONSTRAINT_UNIQUE, READONLY.
    for code in [11, 26, 2067, 8] {
        assert!(!passes_in_a_file(code), "SQLite's {code} does not pass by itself");
    }
    // Shutting down, no more connections; a unique violation, a syntax error.
    for (code, passes) in [("57P01", true), ("53300", true), ("23505", false), ("42601", false)] {
        assert_eq!(passes_on_a_server(code), passes, "PostgreSQL's {code}");
    }
}
