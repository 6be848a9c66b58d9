//! The credit statement: what happened to each grant in a cycle. It always foots.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::cycle::Cycle;
use super::grant::Source;

/// Is the cycle still running or already closed?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatementState {
    /// Figures so far; nothing has expired yet.
    Open,
    /// Final.
    Closed,
}

/// One organization's credits over one cycle.
///
/// `opening + granted + purchased = used + expired + closing`, and
/// `rated + deficit_brought = used + overage + deficit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreditStatement {
    /// Whose credits.
    pub organization: String,
    /// Which cycle.
    pub cycle: Cycle,
    /// Open or closed.
    pub state: StatementState,
    /// Remaining in all grants when the cycle began.
    pub opening: Credits,
    /// Granted in the cycle by allowance, promotion or adjustment.
    pub granted: Credits,
    /// Bought in the cycle.
    pub purchased: Credits,
    /// Taken from grants.
    pub used: Credits,
    /// Lapsed at the end of the cycle.
    pub expired: Credits,
    /// Carried into the next cycle.
    pub closing: Credits,
    /// Rated use billed in the cycle, late use of earlier cycles included.
    pub rated: Credits,
    /// Use beyond all grants that is billed in money (D8).
    pub overage: Credits,
    /// Use beyond all grants brought from earlier cycles (D8).
    pub deficit_brought: Credits,
    /// Use beyond all grants carried into the next cycle (D8).
    pub deficit: Credits,
    /// The same figures for each grant, in burn order (D3).
    pub grants: Vec<StatementGrant>,
}

/// One grant's part of a statement: `opening + granted = used + expired + closing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementGrant {
    /// The grant.
    pub id: String,
    /// Where it came from.
    pub source: Source,
    /// The cycle it was granted in.
    pub cycle: Cycle,
    /// Remaining when the cycle began; zero for a grant made in this cycle.
    pub opening: Credits,
    /// Its amount, if it was granted (or bought) in this cycle.
    pub granted: Credits,
    /// Taken from it.
    pub used: Credits,
    /// Lapsed at the end of the cycle.
    pub expired: Credits,
    /// What is left of it.
    pub closing: Credits,
    /// End of the last cycle it can be used in; none: never expires.
    pub expires_at: Option<DateTime<Utc>>,
}
