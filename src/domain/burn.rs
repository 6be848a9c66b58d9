//! Burn-down: which grants pay for a cycle's use (D3).

use super::credits::{Credits, CreditsError};
use super::grant::OpenGrant;

/// What a demand took from grants, and what they could not cover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BurnDown {
    /// Credits taken from each grant, in the order of the input.
    pub taken: Vec<Credits>,
    /// Their sum.
    pub used: Credits,
    /// Demand beyond all grants.
    pub uncovered: Credits,
}

/// Sorts grants into burn order (D3).
pub fn sort(grants: &mut [OpenGrant]) {
    grants.sort_by(|a, b| a.grant.burn_order(&b.grant));
}

/// Takes `demand` from grants that are already in burn order.
///
/// Every expiry falls on a cycle's end, so a whole cycle's demand can be taken at once: the result
/// does not depend on the order of events inside the cycle.
///
/// # Errors
/// Out of range.
pub fn burn_down(grants: &[OpenGrant], demand: Credits) -> Result<BurnDown, CreditsError> {
    let mut uncovered = demand;
    let mut taken = Vec::with_capacity(grants.len());
    for open in grants {
        let credits = open.remaining.min(uncovered).max(Credits::ZERO);
        uncovered = uncovered.minus(credits)?;
        taken.push(credits);
    }
    Ok(BurnDown { used: demand.minus(uncovered)?, taken, uncovered })
}
