//! Why `monthend.toml` cannot be used.

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {source}; run `monthend init` to write a starter file")]
    Read {
        /// Which file.
        file: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("{file}: {message}")]
    Syntax {
        /// Which file.
        file: String,
        /// Line, column and problem.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{file}: line {line}: {field}: {problem}")]
    Value {
        /// Which file.
        file: String,
        /// The line of the key, or of its section where the key is missing.
        line: usize,
        /// Which key.
        field: &'static str,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

impl ConfigError {
    pub(super) fn value(file: &str, line: usize, field: &'static str, problem: String) -> Self {
        Self::Value { file: file.to_owned(), line, field, problem }
    }
}
