//! How fast requests and mails leave: an even pace for all that go one way, a rest when the other side asks, and how
//! long what waits will take.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest rest that is kept; who is asked to stay away longer asks again and is told again.
const LONGEST_REST: Duration = Duration::from_secs(30);

/// The next moment a request may leave.
#[derive(Debug)]
pub struct Pace {
    per_second: u32,
    gap: Duration,
    next: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most this many requests a second.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        let per_second = per_second.max(1);
        Self { per_second, gap: Duration::from_secs(1) / per_second, next: Mutex::new(None) }
    }

    /// How many a second.
    #[must_use]
    pub const fn per_second(&self) -> u32 {
        self.per_second
    }

    /// Returns when the caller's turn has come.
    pub async fn turn(&self) {
        let now = Instant::now();
        let slot = self.slot(now);
        if slot > now {
            tokio::time::sleep_until(slot).await;
        }
    }

    /// Nobody's turn comes before this time is over.
    pub fn rest(&self, time: Duration) {
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

/// How long so many take at so many a second, to the second upwards.
#[must_use]
pub const fn takes(count: u64, per_second: u32) -> Duration {
    let per_second = if per_second == 0 { 1 } else { per_second };
    Duration::from_secs(count.div_ceil(per_second as u64))
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

    #[test]
    fn what_waits_takes_as_long_as_its_pace() {
        assert_eq!(takes(100_000, 25), Duration::from_secs(4_000));
        assert_eq!(takes(101, 100), Duration::from_secs(2));
        assert_eq!((takes(0, 5), takes(7, 0)), (Duration::ZERO, Duration::from_secs(7)));
    }
}
