//! How each combination must end: written from what the provider does, without a line of the product's.

use crate::harness::scripted::{Answer, LookUps};

/// When the scripted answer comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// To the first charge of an invoice.
    First,
    /// To the second one, on the first day of the dunning calendar.
    Second,
    /// To the charge of a purchase.
    Purchase,
    /// To a process that is killed before it hears it.
    Killed,
    /// To a process whose database is then replaced by a copy from before it sent.
    Restored,
}

impl Moment {
    pub const ALL: [Self; 5] =
        [Self::First, Self::Second, Self::Purchase, Self::Killed, Self::Restored];

    pub const fn word(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Purchase => "purchase",
            Self::Killed => "killed",
            Self::Restored => "restored",
        }
    }
}

/// The thirteen answers, named.
pub const ANSWERS: [(&str, Answer); 13] = [
    ("succeeds", Answer::Succeeds),
    ("soft", Answer::SoftDecline),
    ("hard", Answer::HardDecline),
    ("acts", Answer::Acts(34)),
    ("expires", Answer::Expires(34)),
    ("settles", Answer::SettlesLater(58)),
    ("fails", Answer::FailsLater(58)),
    ("lost_before", Answer::LostBefore),
    ("lost_after", Answer::LostAfter),
    ("refused", Answer::NotSent(1)),
    ("busy", Answer::NotSent(3)),
    ("other", Answer::OtherAmount),
    ("misuse", Answer::Misuse),
];

/// One cell of the table.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub moment: Moment,
    pub answer: Answer,
    pub look_ups: LookUps,
}

/// Where a case stands at rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stand {
    /// Of the invoice, or `purchase`.
    pub status: String,
    /// Payment status of the invoice, or where the purchase stands.
    pub payment: String,
    /// How often the provider took money.
    pub captures: usize,
    /// Attempts recorded here.
    pub attempts: i64,
    /// State of the dunning calendar; empty: none.
    pub dunning: String,
    /// Does the charge wait for a person?
    pub parked: bool,
}

fn stand(status: &str, payment: &str, captures: usize, attempts: i64, dunning: &str) -> Stand {
    Stand {
        status: status.to_owned(),
        payment: payment.to_owned(),
        captures,
        attempts,
        dunning: dunning.to_owned(),
        parked: false,
    }
}

/// Does the money come in the end with this very attempt, and at once?
const fn comes_at_once(answer: Answer) -> bool {
    matches!(answer, Answer::Succeeds | Answer::LostBefore | Answer::LostAfter | Answer::NotSent(_))
}

/// What an invoice says whose charge the provider refuses as wrong: what it said before. Only who was killed
/// after sending, and then got no answer to his question, knows nothing.
const fn misused(case: &Case) -> &'static str {
    match (case.moment, case.look_ups) {
        (Moment::Killed, LookUps::FailFor(_)) => "unknown",
        (Moment::Second, _) => "processing",
        _ => "due",
    }
}

/// Hours after the answer, before the calendar's next day.
pub fn early(case: &Case) -> Stand {
    if case.moment == Moment::Purchase {
        return early_purchase(case.answer);
    }
    let second = case.moment == Moment::Second;
    let n = 1 + i64::from(second);
    let running = if second { "open" } else { "" };
    match case.answer {
        answer if comes_at_once(answer) => {
            stand("settled", "paid", 1, n, if second { "paid" } else { "" })
        }
        Answer::SoftDecline | Answer::HardDecline => {
            stand("issued", if second { "past_due" } else { "declined" }, 0, n, "open")
        }
        Answer::Acts(_) | Answer::Expires(_) => stand("issued", "needs_action", 0, n, "open"),
        Answer::SettlesLater(_) | Answer::FailsLater(_) => {
            stand("issued", "pending", 0, n, running)
        }
        Answer::OtherAmount => Stand { parked: true, ..stand("issued", "unknown", 1, n, running) },
        _ => Stand { parked: true, ..stand("issued", misused(case), 0, n, running) },
    }
}

fn early_purchase(answer: Answer) -> Stand {
    let purchase = |payment, captures| stand("purchase", payment, captures, 1, "");
    match answer {
        answer if comes_at_once(answer) => purchase("paid", 1),
        Answer::SoftDecline | Answer::HardDecline => purchase("declined", 0),
        Answer::Acts(_) | Answer::Expires(_) => purchase("needs_action", 0),
        Answer::SettlesLater(_) | Answer::FailsLater(_) => purchase("pending", 0),
        Answer::OtherAmount => Stand { parked: true, ..purchase("unknown", 1) },
        _ => Stand { parked: true, ..purchase("intended", 0) },
    }
}

/// After the last day of the calendar; attempts after the scripted one go well.
pub fn late(case: &Case) -> Stand {
    let before = early(case);
    let n = before.attempts;
    if case.moment == Moment::Purchase {
        // A purchase is tried once: its buyer decides what comes next.
        return match case.answer {
            Answer::Acts(_) | Answer::SettlesLater(_) => stand("purchase", "paid", 1, n, ""),
            Answer::Expires(_) | Answer::FailsLater(_) => stand("purchase", "declined", 0, n, ""),
            _ => before,
        };
    }
    let dunned = if case.moment == Moment::Second { "paid" } else { "" };
    match case.answer {
        Answer::SoftDecline | Answer::Expires(_) | Answer::FailsLater(_) => {
            stand("settled", "paid", 1, n + 1, "paid")
        }
        Answer::HardDecline => stand("uncollectible", "past_due", 0, n, "given_up"),
        Answer::Acts(_) => stand("settled", "paid", 1, n, "paid"),
        Answer::SettlesLater(_) => stand("settled", "paid", 1, n, dunned),
        _ => before,
    }
}
