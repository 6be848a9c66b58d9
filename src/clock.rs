//! Time as an argument: every instant comes from here, in microseconds.

use chrono::{DateTime, SubsecRound, Utc};

/// Tells the time. Injected, so that tests and `--now` decide what it is.
pub trait Clock: Send + Sync {
    /// Now, truncated to microseconds: both databases keep exactly that.
    fn now(&self) -> DateTime<Utc>;

    /// Is it the machine's clock, which must agree with the database's?
    fn is_real(&self) -> bool {
        false
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }

    fn is_real(&self) -> bool {
        true
    }
}

/// A clock that stands still: `--now`, and tests.
#[derive(Debug, Clone, Copy)]
pub struct FixedClock(DateTime<Utc>);

impl FixedClock {
    /// Always `at`.
    #[must_use]
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(at.trunc_subsecs(6))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        self.0
    }
}

/// A clock that is moved by hand: rehearsals such as the demo, and tests.
#[derive(Debug)]
pub struct HandClock(std::sync::Mutex<DateTime<Utc>>);

impl HandClock {
    /// Begins at `at`.
    #[must_use]
    pub fn new(at: DateTime<Utc>) -> Self {
        Self(std::sync::Mutex::new(at.trunc_subsecs(6)))
    }

    /// Moves it to `at`.
    pub fn set(&self, at: DateTime<Utc>) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = at.trunc_subsecs(6);
    }
}

impl Clock for HandClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
