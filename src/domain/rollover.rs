//! Rollover: what lapses at the end of a cycle and what is carried on (S36–S39, D1, D4).

use super::credits::{Credits, CreditsError};
use super::cycle::Cycle;
use super::grant::{OpenGrant, Source};

/// Credits that lapse of each grant at the end of `cycle`, in the order of the input.
///
/// `grants` are in burn order and hold what is left after the burn-down. A grant in its last cycle
/// lapses whole. `cap` limits carried-over allowance alone; the soonest to expire lapse first.
///
/// # Errors
/// Out of range.
pub fn lapses(
    grants: &[OpenGrant],
    cycle: Cycle,
    cap: Option<Credits>,
) -> Result<Vec<Credits>, CreditsError> {
    let ends = |open: &OpenGrant| open.grant.last_cycle.is_some_and(|last| last <= cycle);
    let mut lapsed: Vec<Credits> =
        grants.iter().map(|open| if ends(open) { open.remaining } else { Credits::ZERO }).collect();
    let Some(cap) = cap else { return Ok(lapsed) };
    let carried_allowance =
        |open: &OpenGrant| open.grant.source == Source::Allowance && !ends(open);
    let carried = Credits::total(
        grants.iter().filter(|open| carried_allowance(open)).map(|open| open.remaining),
    )?;
    let mut over = carried.minus(cap)?.max(Credits::ZERO);
    for (open, lapsed) in grants.iter().zip(&mut lapsed) {
        if carried_allowance(open) {
            let part = open.remaining.min(over);
            over = over.minus(part)?;
            *lapsed = part;
        }
    }
    Ok(lapsed)
}
