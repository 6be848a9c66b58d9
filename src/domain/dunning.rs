//! Dunning: when an unpaid invoice is tried again, with which method, and when it is given up.
//!
//! One dead card must never be tried endlessly: card networks count attempts, and so do we (complaints
//! 32 and 33 of other systems' users).

use chrono::{DateTime, Duration, Utc};
use serde::Deserialize;

/// The calendar of an unpaid invoice, counted from its first failed attempt or its due date.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// On these days it is tried again, or the customer is reminded where nothing can be tried.
    pub days: Vec<u16>,
    /// After so many days it is uncollectible.
    pub give_up_after_days: u16,
    /// Is the organization paused then, until it pays?
    pub pause: bool,
    /// Failed attempts a payment method may have in a window, over invoices and purchases together.
    pub attempts_per_method: u16,
    /// Days of that window.
    pub window_days: u16,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            days: vec![1, 3, 7, 14],
            give_up_after_days: 21,
            pause: true,
            attempts_per_method: 8,
            window_days: 30,
        }
    }
}

impl Calendar {
    /// What is wrong with it: the key and the problem.
    #[must_use]
    pub fn problem(&self) -> Option<(&'static str, String)> {
        let rising = self.days.windows(2).all(|pair| pair[0] < pair[1]);
        if self.days.first() == Some(&0) || !rising {
            return Some(("days", "must rise, from at least 1".to_owned()));
        }
        if self.days.last().is_some_and(|last| *last >= self.give_up_after_days) {
            return Some(("give_up_after_days", "must be after the last of days".to_owned()));
        }
        if self.give_up_after_days == 0 || self.give_up_after_days > 366 {
            return Some(("give_up_after_days", "must be from 1 to 366".to_owned()));
        }
        if !(1..=15).contains(&self.attempts_per_method) {
            // Networks allow 15 reattempts in 30 days at most.
            return Some(("attempts_per_method", "must be from 1 to 15".to_owned()));
        }
        (!(1..=366).contains(&self.window_days))
            .then(|| ("window_days", "must be from 1 to 366".to_owned()))
    }

    /// When a stage is due: the days in order, then giving up; none after that.
    #[must_use]
    pub fn due_at(&self, began_at: DateTime<Utc>, stage: usize) -> Option<DateTime<Utc>> {
        let days = match self.days.get(stage) {
            Some(days) => *days,
            None if stage == self.days.len() => self.give_up_after_days,
            None => return None,
        };
        began_at.checked_add_signed(Duration::days(i64::from(days)))
    }

    /// Is a stage the one that gives up?
    #[must_use]
    pub fn gives_up_at(&self, stage: usize) -> bool {
        stage >= self.days.len()
    }

    /// From when on failed attempts count against a method's budget.
    #[must_use]
    pub fn window_begins(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now.checked_sub_signed(Duration::days(i64::from(self.window_days))).unwrap_or(now)
    }
}

/// A saved method as far as choosing it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its token.
    pub token: String,
    /// Declined for good, by any invoice or purchase.
    pub refused: bool,
    /// Failed attempts in the window, over invoices and purchases.
    pub failed: i64,
    /// Failed attempts for this very invoice or purchase.
    pub failed_here: i64,
}

/// Why nothing can be charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoMethod {
    /// There is no saved method.
    Missing,
    /// All were declined for good.
    Refused,
    /// Those that remain have used their budget of attempts.
    Spent,
    /// The provider's answer to an earlier charge did not fit it: a person must look first (F69).
    Held,
}

impl NoMethod {
    /// In words, for finance and for the customer's answer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "there is no saved payment method",
            Self::Refused => {
                "every saved payment method was declined for good; another one is needed"
            }
            Self::Held => {
                "the provider's answer to an earlier charge did not fit it; nothing is charged until it is closed"
            }
            Self::Spent => {
                "the saved payment method was declined too often lately; it is left alone until the window of \
                 attempts has passed"
            }
        }
    }
}

/// The method to charge: never one that was declined for good or has used its budget; the one that
/// failed least for this very amount, and among equals the first. Candidates come in the customer's order.
///
/// # Errors
/// Why there is none.
pub fn choose<'a>(
    candidates: &'a [Candidate],
    calendar: &Calendar,
) -> Result<&'a Candidate, NoMethod> {
    if candidates.is_empty() {
        return Err(NoMethod::Missing);
    }
    if candidates.iter().all(|candidate| candidate.refused) {
        return Err(NoMethod::Refused);
    }
    candidates
        .iter()
        .filter(|candidate| !candidate.refused)
        .filter(|candidate| candidate.failed < i64::from(calendar.attempts_per_method))
        .min_by_key(|candidate| candidate.failed_here)
        .ok_or(NoMethod::Spent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(token: &str, refused: bool, failed: i64, failed_here: i64) -> Candidate {
        Candidate { token: token.to_owned(), refused, failed, failed_here }
    }

    #[test]
    fn the_calendar_rises_and_ends() {
        let calendar = Calendar::default();
        assert_eq!(calendar.problem(), None);
        let began: DateTime<Utc> = "2026-02-01T02:00:00Z".parse().unwrap();
        let days: Vec<i64> = (0..6)
            .map_while(|stage| calendar.due_at(began, stage))
            .map(|due| (due - began).num_days())
            .collect();
        assert_eq!(days, [1, 3, 7, 14, 21]);
        assert!(!calendar.gives_up_at(3) && calendar.gives_up_at(4));
        for wrong in [
            Calendar { days: vec![0, 3], ..Calendar::default() },
            Calendar { days: vec![3, 3], ..Calendar::default() },
            Calendar { days: vec![1, 30], ..Calendar::default() },
            Calendar { attempts_per_method: 16, ..Calendar::default() },
            Calendar { window_days: 0, ..Calendar::default() },
            Calendar { window_days: 367, ..Calendar::default() },
            Calendar { days: vec![], give_up_after_days: 0, ..Calendar::default() },
            Calendar { give_up_after_days: 367, ..Calendar::default() },
        ] {
            assert!(wrong.problem().is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn the_longest_and_the_shortest_calendar() {
        let longest = Calendar { give_up_after_days: 366, window_days: 366, ..Calendar::default() };
        let shortest = Calendar { days: vec![], give_up_after_days: 1, ..Calendar::default() };
        assert_eq!((longest.problem(), shortest.problem()), (None, None));
    }

    // People read these: each says something else, in words.
    #[test]
    fn every_reason_is_told() {
        let all = [NoMethod::Missing, NoMethod::Refused, NoMethod::Spent, NoMethod::Held];
        let told: std::collections::HashSet<&str> = all.iter().map(|none| none.reason()).collect();
        assert!(
            told.len() == all.len()
                && told.iter().all(|text| text.contains("method") || text.contains("charged"))
        );
    }

    // Complaints 32, 33: a dead card is left alone.
    #[test]
    fn a_method_is_chosen_within_its_budget() {
        let calendar = Calendar::default();
        let choose = |candidates: &[Candidate]| {
            choose(candidates, &calendar).map(|candidate| candidate.token.clone())
        };
        assert_eq!(choose(&[]), Err(NoMethod::Missing));
        assert_eq!(choose(&[candidate("a", true, 1, 1)]), Err(NoMethod::Refused));
        assert_eq!(choose(&[candidate("a", false, 8, 0)]), Err(NoMethod::Spent));
        assert_eq!(choose(&[candidate("a", false, 7, 7)]), Ok("a".to_owned()));
        // The first one, until it failed for this invoice; then its fallback; then the first again.
        let two = |here: i64, there: i64| {
            choose(&[candidate("a", false, here, here), candidate("b", false, there, there)])
        };
        assert_eq!(two(0, 0), Ok("a".to_owned()));
        assert_eq!(two(1, 0), Ok("b".to_owned()));
        assert_eq!(two(1, 1), Ok("a".to_owned()));
        let both = [candidate("a", true, 1, 1), candidate("b", false, 8, 2)];
        assert_eq!(choose(&both), Err(NoMethod::Spent));
    }
}
