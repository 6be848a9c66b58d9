//! The unattended part: what is due, who does it, what happens when it fails.
//!
//! Invariants: the database says what is due, a timer only wakes; a step is finished only by the worker
//! whose epoch it carries, in the transaction of its facts; steps call services and edges, never each other.

pub mod breaker;
pub mod definition;
mod perform;
pub mod plan;
pub mod queue;
pub mod report;
pub mod requests;
pub mod rescue;
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
    /// Works through the dunning calendar.
    pub const RETRY_PAYMENTS: &str = "retry_payments";
    /// Evaluates alert rules.
    pub const ALERTS: &str = "alerts";
    /// Tells of credits that are about to lapse.
    pub const EXPIRY_NOTICES: &str = "expiry_notices";
    /// Webhooks about who is paused.
    pub const ADMISSION: &str = "admission";
}

/// The kinds of steps; each is a file of the same name in `jobs/steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// Imports one usage file.
    ImportUsage,
    /// Closes a chunk of organizations' cycles.
    Close,
    /// Looks at a run's figures before anything is numbered.
    Brake,
    /// Numbers and freezes a chunk's invoices.
    Issue,
    /// Renders and stores a chunk's documents.
    Render,
    /// Renders and stores one receipt or credit note.
    Document,
    /// Sees who is paused and who goes on, and tells it.
    Admission,
    /// Evaluates alert rules.
    Alert,
    /// Tells of credits that are about to lapse.
    ExpiryNotice,
    /// Buys credits for organizations that run low and want it.
    Recharge,
    /// Works through the dunning calendar of unpaid invoices.
    RetryPayment,
    /// Looks ahead at payment methods that will not work.
    CheckMethod,
    /// Charges one invoice or purchase.
    Charge,
    /// Gives the money of one credit note back.
    Refund,
    /// Sends one mail.
    Mail,
    /// Sends one webhook.
    Webhook,
}

impl StepKind {
    /// All kinds.
    pub const ALL: [Self; 16] = [
        Self::ImportUsage,
        Self::Close,
        Self::Brake,
        Self::Issue,
        Self::Render,
        Self::Document,
        Self::Admission,
        Self::Alert,
        Self::ExpiryNotice,
        Self::Recharge,
        Self::RetryPayment,
        Self::CheckMethod,
        Self::Charge,
        Self::Refund,
        Self::Mail,
        Self::Webhook,
    ];

    /// Kinds with an effect outside, which cannot be rolled back: a step for each, some at once.
    pub const EFFECTS: [Self; 4] = [Self::Charge, Self::Refund, Self::Mail, Self::Webhook];

    /// Are several of its steps done together, with a handful of statements? Each still ends for itself.
    #[must_use]
    pub const fn goes_together(self) -> bool {
        matches!(self, Self::Charge | Self::Mail)
    }

    /// The name in definitions, rows and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImportUsage => "import_usage",
            Self::Close => "close",
            Self::Brake => "brake",
            Self::Issue => "issue",
            Self::Render => "render",
            Self::Document => "document",
            Self::Admission => "admission",
            Self::Alert => "alert",
            Self::ExpiryNotice => "expiry_notice",
            Self::Recharge => "recharge",
            Self::RetryPayment => "retry_payment",
            Self::CheckMethod => "check_method",
            Self::Charge => "charge",
            Self::Refund => "refund",
            Self::Mail => "mail",
            Self::Webhook => "webhook",
        }
    }

    /// Lower ranks are claimed first: usage before closes, closes before alerts, charges before mails.
    /// Facts and files rank below [`Self::Charge`], effects from there on.
    #[must_use]
    pub const fn rank(self) -> i64 {
        match self {
            Self::ImportUsage => 10,
            Self::Close => 20,
            Self::Brake => 25,
            Self::Issue => 30,
            Self::Render => 40,
            Self::Document => 47,
            Self::Admission => 41,
            Self::Alert => 42,
            Self::ExpiryNotice => 43,
            Self::Recharge => 44,
            Self::RetryPayment => 45,
            Self::CheckMethod => 46,
            Self::Charge => 50,
            Self::Refund => 55,
            Self::Mail => 60,
            Self::Webhook => 65,
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

#[cfg(test)]
mod tests {
    use super::StepKind;
    use crate::storage::steps::KNOWN_KINDS;

    // F33: exactly what this program can do is claimed by it.
    #[test]
    fn every_kind_is_claimed_and_no_other() {
        assert_eq!(format!(",{},", StepKind::ALL.map(StepKind::as_str).join(",")), KNOWN_KINDS);
    }

    // Claims of closes look for imports by their rank.
    #[test]
    fn imports_have_the_rank_that_claims_name() {
        assert_eq!(StepKind::ImportUsage.rank(), 10);
    }
}
