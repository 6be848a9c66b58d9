//! What the product can be asked to do, by the command line, a job, or a later console.
//!
//! A service reads and writes through storage, decides through domain, and owns its transactions. It
//! prints nothing and knows no command line.

pub mod admission;
pub mod alerts;
pub mod catalogs;
pub mod charging;
pub mod clocks;
pub mod consequences;
pub mod contacts;
pub mod credit_notes;
pub mod credits;
pub mod doctor;
pub mod documents;
pub mod dunning;
pub mod expiry;
pub mod feeds;
pub mod history;
pub mod identity;
pub mod invoices;
pub mod issuing;
pub mod mails;
pub mod methods;
pub mod notices;
pub mod notifications;
pub mod organizations;
pub mod pay_pages;
pub mod projection;
pub mod purchases;
pub mod readiness;
pub mod recharges;
pub mod refunds;
pub mod standings;
pub mod usage;
pub mod usage_reports;
pub mod webhooks;

use std::path::Path;

use crate::domain::close::CloseError;
use crate::domain::credits::CreditsError;
use crate::domain::invoice::InvoiceError;
use crate::domain::money::MoneyError;
use crate::domain::rounding::RoundingError;
use crate::files::FileError;
use crate::storage::StorageError;

/// Why a service did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The database.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is nothing of that name.
    #[error("{0}")]
    NotFound(String),
    /// The request makes no sense as things stand.
    #[error("{0}")]
    Refused(String),
    /// A file of the input cannot be used; nothing of it was applied.
    #[error("{0}")]
    Input(String),
    /// The file system.
    #[error(transparent)]
    File(#[from] FileError),
}

impl ServiceError {
    /// The same error; one of the input names its file.
    #[must_use]
    pub fn in_file(self, file: &Path) -> Self {
        match self {
            Self::Input(problem) => Self::Input(format!("{}: {problem}", file.display())),
            other => other,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Storage(_) => "database",
            Self::NotFound(_) => "not_found",
            Self::Refused(_) => "refused",
            Self::Input(_) => "input",
            Self::File(_) => "file",
        }
    }
}

/// Domain errors are refusals that say what is out of range.
macro_rules! refused {
    ($($error:ty),+) => {
        $(impl From<$error> for ServiceError {
            fn from(error: $error) -> Self {
                Self::Refused(error.to_string())
            }
        })+
    };
}

refused!(CloseError, CreditsError, InvoiceError, MoneyError, RoundingError);

/// An organization that is not there.
pub(crate) fn no_organization(id: &str) -> ServiceError {
    ServiceError::NotFound(format!(
        "there is no organization {:?}; `monthend org list` shows all",
        id.chars().take(63).collect::<String>()
    ))
}
