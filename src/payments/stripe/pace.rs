//! How fast requests leave: an even pace for all calls of a gateway, and a rest when Stripe asks.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest rest that is kept; who is asked to stay away longer asks again and is told again.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The next moment a request may leave.
#[derive(Debug)]
pub(super) struct Pace {
    gap: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most this many requests a second.
    pub(super) fn new(per_second: u32) -> Self {
        Self { gap: Duration::from_secs(1) / per_second.max(1), next: Mutex::new(None) }
    }

    /// Returns when the caller's turn has come.
    pub(super) async fn turn(&self) {
        let now = Instant::now();
        let slot = self.slot(now);
        if slot > now {
            tokio::time::sleep_until(slot).await;
        }
    }

    /// Nobody's turn comes before this time is over.
    pub(super) fn rest(&self, time: Duration) {
        let until = Instant::now() + time.min(LONGEST_REST);
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = Some(next.map_or(until, |next| next.max(until)));
    }

    fn slot(&self, now: Instant) -> Instant {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = next.map_or(now, |next| next.max(now));
        *next = Some(slot + self.gap);
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // F65
    #[test]
    fn turns_are_evenly_spaced_and_wait_for_a_rest() {
        let pace = Pace::new(4);
        let now = Instant::now();
        let turns: Vec<Duration> = (0..4).map(|_| pace.slot(now) - now).collect();
        assert_eq!(turns, [0, 250, 500, 750].map(Duration::from_millis));
        let later = now + Duration::from_mins(1);
        assert_eq!(pace.slot(later), later, "an idle time is no debt and no credit");
        pace.rest(Duration::from_hours(1));
        let next = pace.slot(now) - now;
        assert!(next >= LONGEST_REST && next < Duration::from_mins(2), "{next:?}");
    }
}
