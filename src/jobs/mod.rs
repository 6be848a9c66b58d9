//! The unattended part: what is due, who does it, what happens when it fails.
//!
//! Invariants: the database says what is due, a timer only wakes; a step is finished only by the worker
//! whose epoch it carries, in the transaction of its facts; steps call services and edges, never each other.

pub mod definition;
pub mod plan;
pub mod report;
pub mod requests;
pub mod runner;
pub mod schedule;
pub mod serve;
pub mod steps;

use std::fmt;
use std::str::FromStr;

/// Names of the shipped jobs that code refers to.
pub mod names {
    /// Closes ended cycles.
    pub const MONTHLY_CLOSE: &str = "monthly_close";
    /// Imports files from the inbox.
    pub const IMPORT_INBOX: &str = "import_inbox";
    /// Charges purchases.
    pub const PURCHASES: &str = "purchases";
}

/// The kinds of steps; each is a file of the same name in `jobs/steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// Imports one usage file.
    ImportUsage,
    /// Closes a chunk of organizations' cycles.
    Close,
    /// Numbers and freezes a chunk's invoices.
    Issue,
    /// Renders and stores a chunk's documents.
    Render,
    /// Charges one invoice or purchase.
    Charge,
    /// Sends one mail.
    Mail,
}

impl StepKind {
    /// All kinds.
    pub const ALL: [Self; 6] =
        [Self::ImportUsage, Self::Close, Self::Issue, Self::Render, Self::Charge, Self::Mail];

    /// The name in definitions, rows and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImportUsage => "import_usage",
            Self::Close => "close",
            Self::Issue => "issue",
            Self::Render => "render",
            Self::Charge => "charge",
            Self::Mail => "mail",
        }
    }

    /// Lower ranks are claimed first: usage before closes, charges before mails.
    #[must_use]
    pub const fn rank(self) -> i64 {
        match self {
            Self::ImportUsage => 10,
            Self::Close => 20,
            Self::Issue => 30,
            Self::Render => 40,
            Self::Charge => 50,
            Self::Mail => 60,
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for StepKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not a step; there are: {known}")
        })
    }
}
