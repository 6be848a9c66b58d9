//! Alerts: a measure crossed a threshold of a rule (S27).
//!
//! A rule tells a threshold once in a cycle, the most severe one that is crossed, in rising order. It is armed
//! again by the next cycle, and by credits that were granted meanwhile and brought the measure back under.

use std::fmt;
use std::str::FromStr;

use super::credits::Credits;
use super::money::{Currency, Money};
use super::organization::Organization;

/// What a rule measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Measure {
    /// Percent of the cycle's allowance that is used, rounded down.
    AllowanceUsed,
    /// Credits left in all grants after the use so far, in 10⁻⁹ credit.
    CreditsLeft,
    /// The cycle's use at the price of a credit, in the minor unit.
    Spend,
    /// Whole days the credits last at the present pace.
    DaysLeft,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 4] =
        [Self::AllowanceUsed, Self::CreditsLeft, Self::Spend, Self::DaysLeft];

    /// The configured and stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllowanceUsed => "allowance_used",
            Self::CreditsLeft => "credits_left",
            Self::Spend => "spend",
            Self::DaysLeft => "days_left",
        }
    }

    /// Is more of it more severe?
    #[must_use]
    pub const fn rises(self) -> bool {
        matches!(self, Self::AllowanceUsed | Self::Spend)
    }

    /// Can it be measured for one project alone? Credits belong to the organization as a whole (S18).
    #[must_use]
    pub const fn of_a_project(self) -> bool {
        self.rises()
    }

    /// Is a threshold crossed by a figure? Reaching it is crossing it.
    #[must_use]
    pub const fn crosses(self, figure: i64, threshold: i64) -> bool {
        if self.rises() { figure >= threshold } else { figure <= threshold }
    }

    /// Is `threshold` strictly more severe than `than`?
    #[must_use]
    pub const fn more_severe(self, threshold: i64, than: i64) -> bool {
        if self.rises() { threshold > than } else { threshold < than }
    }

    /// The most severe of some thresholds.
    pub fn most_severe(self, thresholds: impl IntoIterator<Item = i64>) -> Option<i64> {
        let thresholds = thresholds.into_iter();
        if self.rises() { thresholds.max() } else { thresholds.min() }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Measure {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not a measure ({known})")
        })
    }
}

/// A rule of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its id.
    pub id: String,
    /// What it measures.
    pub measure: Measure,
    /// Thresholds in the measure's unit.
    pub thresholds: Vec<i64>,
    /// The currency of money thresholds: organizations with another one are not watched.
    pub currency: Option<Currency>,
    /// The one project whose use is watched; none: all use.
    pub project: Option<String>,
    /// Organizations it is for; none here and in `plans`: all.
    pub organizations: Vec<String>,
    /// Plans it is for.
    pub plans: Vec<String>,
    /// Who is told, by role.
    pub recipients: Vec<String>,
}

impl Rule {
    /// Is it for this organization under this plan?
    #[must_use]
    pub fn watches(&self, organization: &Organization, plan: &str) -> bool {
        let everyone = self.organizations.is_empty() && self.plans.is_empty();
        let named = self.organizations.contains(&organization.id)
            || self.plans.iter().any(|known| known == plan);
        let currency = self.currency.is_none_or(|currency| currency == organization.currency);
        (everyone || named) && currency
    }

    /// The project it watches, as stored: empty for all use.
    #[must_use]
    pub fn scope(&self) -> &str {
        self.project.as_deref().unwrap_or_default()
    }
}

/// Where an organization stands in a cycle; use is that of the rule's project, if it has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Figures {
    /// Rated use the cycle bills so far.
    pub used: Credits,
    /// The cycle's allowance: the denominator of percentages.
    pub allowance: Credits,
    /// Credits left after all use; below zero where more was used than there is.
    pub available: Credits,
    /// The use in money; none: there is no price of a credit in the organization's currency.
    pub spent: Option<Money>,
    /// Whole days the credits last; none: they are not expected to run out.
    pub days_left: Option<u32>,
    /// Grants made in the cycle beside its allowance: bought credits, gifts, corrections.
    pub grants: i64,
}

impl Figures {
    /// What a measure reads; none where it has no denominator, price or pace.
    #[must_use]
    pub fn read(&self, measure: Measure) -> Option<i64> {
        match measure {
            Measure::AllowanceUsed => percent(self.used, self.allowance),
            Measure::CreditsLeft => Some(self.available.nano()),
            Measure::Spend => self.spent.map(Money::minor),
            Measure::DaysLeft => self.days_left.map(i64::from),
        }
    }
}

/// Percent of an allowance that is used, rounded down; none without an allowance.
#[must_use]
pub fn percent(used: Credits, allowance: Credits) -> Option<i64> {
    allowance.is_positive().then(|| {
        let percent = i128::from(used.nano()) * 100 / i128::from(allowance.nano());
        i64::try_from(percent).unwrap_or(i64::MAX)
    })
}

/// What was told by a rule in a cycle.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Grants of the cycle when it was last armed.
    pub arming: i64,
    /// The most severe threshold told, or left standing, since; none: armed for all.
    pub standing: Option<i64>,
}

impl State {
    /// The state after one more event; events may come in any order.
    #[must_use]
    pub fn after(self, measure: Measure, arming: i64, standing: Option<i64>) -> Self {
        match arming.cmp(&self.arming) {
            std::cmp::Ordering::Less => self,
            std::cmp::Ordering::Greater => Self { arming, standing },
            std::cmp::Ordering::Equal => {
                let standing = measure.most_severe(self.standing.into_iter().chain(standing));
                Self { arming, standing }
            }
        }
    }
}

/// What an evaluation found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A threshold was crossed: it is told.
    Told,
    /// New credits brought the measure back under: the rule is armed again.
    Recovered,
}

impl Kind {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Recovered => "recovered",
        }
    }
}

/// A crossing, or a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Which of both.
    pub kind: Kind,
    /// The threshold crossed, or the one that is not crossed any more.
    pub threshold: i64,
    /// What the measure read.
    pub figure: i64,
    /// The arming it belongs to: grants of the cycle when the rule was last armed.
    pub arming: i64,
    /// The most severe threshold that stands after it.
    pub standing: Option<i64>,
}

/// Evaluates a rule: at most one event, the most severe crossing.
#[must_use]
pub fn evaluate(rule: &Rule, figures: &Figures, state: State) -> Option<Event> {
    let measure = rule.measure;
    let figure = figures.read(measure)?;
    let crossed = rule.thresholds.iter().copied().filter(|t| measure.crosses(figure, *t));
    let crossed = measure.most_severe(crossed);
    match (crossed, state.standing) {
        (Some(now), before) if before.is_none_or(|before| measure.more_severe(now, before)) => {
            let (arming, standing) = (state.arming, Some(now));
            Some(Event { kind: Kind::Told, threshold: now, figure, arming, standing })
        }
        (now, Some(before))
            if figures.grants > state.arming
                && !measure.crosses(figure, before)
                && now.is_none_or(|now| measure.more_severe(before, now)) =>
        {
            let (arming, standing) = (figures.grants, now);
            Some(Event { kind: Kind::Recovered, threshold: before, figure, arming, standing })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(measure: Measure, thresholds: &[i64]) -> Rule {
        Rule {
            id: "r".to_owned(),
            measure,
            thresholds: thresholds.to_vec(),
            currency: None,
            project: None,
            organizations: Vec::new(),
            plans: Vec::new(),
            recipients: vec!["billing".to_owned()],
        }
    }

    fn figures(used: i64, allowance: i64, available: i64, grants: i64) -> Figures {
        let whole = |credits| Credits::whole(credits).unwrap();
        Figures {
            used: whole(used),
            allowance: whole(allowance),
            available: whole(available),
            spent: Some(Money::from_minor(used * 100, Currency::USD)),
            days_left: None,
            grants,
        }
    }

    /// Plays figures in order; gives what was told, thresholds above zero, recoveries below.
    fn play(rule: &Rule, course: &[Figures]) -> Vec<i64> {
        let (mut state, mut events) = (State::default(), Vec::new());
        for figures in course {
            if let Some(event) = evaluate(rule, figures, state) {
                events.push(if event.kind == Kind::Told {
                    event.threshold
                } else {
                    -event.threshold
                });
                state = state.after(rule.measure, event.arming, event.standing);
                assert_eq!(evaluate(rule, figures, state), None, "told twice");
            }
        }
        events
    }

    // S27: the highest crossed threshold alone, each once, in rising order; reaching is crossing.
    #[test]
    fn the_highest_crossed_threshold_is_told_once() {
        let rule = rule(Measure::AllowanceUsed, &[80, 50, 100]);
        let course = |used: &[i64]| -> Vec<Figures> {
            used.iter().map(|used| figures(*used, 1_000, 0, 0)).collect()
        };
        for (used, told) in [
            (&[0, 499, 500, 501, 799, 800, 999, 1_000, 5_000][..], &[50, 80, 100][..]),
            (&[10, 950, 960], &[80]),
            (&[1_200, 1_300], &[100]),
            (&[499], &[]),
            (&[600, 400, 600], &[50]),
        ] {
            assert_eq!(play(&rule, &course(used)), told, "{used:?}");
        }
    }

    // No denominator, no alert; no price, no alert.
    #[test]
    fn what_cannot_be_measured_is_not_told() {
        let percent = rule(Measure::AllowanceUsed, &[50]);
        assert_eq!(play(&percent, &[figures(500, 0, 0, 0)]), [0_i64; 0]);
        let unpriced = Figures { spent: None, ..figures(500, 0, 0, 0) };
        assert_eq!(play(&rule(Measure::Spend, &[1]), &[unpriced]), [0_i64; 0]);
        assert_eq!(play(&rule(Measure::DaysLeft, &[3]), &[figures(1, 1, 1, 0)]), [0_i64; 0]);
        assert_eq!(play(&rule(Measure::Spend, &[50_000]), &[figures(500, 0, 0, 0)]), [50_000]);
    }

    // Armed again by credits that bring it back under, and by nothing else.
    #[test]
    fn new_credits_arm_again() {
        let nano = |credits: i64| Credits::whole(credits).unwrap().nano();
        let rule = rule(Measure::CreditsLeft, &[nano(100), nano(10)]);
        let at = |available, grants| figures(0, 0, available, grants);
        let (hundred, ten) = (nano(100), nano(10));
        for (course, told) in [
            // Bought, gone again: told again.
            (vec![at(90, 0), at(5, 0), at(500, 1), at(50, 1)], vec![hundred, ten, -ten, hundred]),
            // Bought too little: nothing new to tell.
            (vec![at(5, 0), at(8, 1), at(-3, 1)], vec![ten]),
            // Back under the worst only: the worst is told again, the lesser one still stands.
            (vec![at(5, 0), at(50, 1), at(9, 1), at(60, 1)], vec![ten, -ten, ten]),
            // Without new credits nothing is armed.
            (vec![at(90, 0), at(500, 0), at(90, 0)], vec![hundred]),
            // A second purchase.
            (
                vec![at(90, 0), at(500, 1), at(90, 1), at(600, 2), at(70, 2)],
                vec![hundred, -hundred, hundred, -hundred, hundred],
            ),
        ] {
            assert_eq!(play(&rule, &course), told, "{course:?}");
        }
    }

    #[test]
    fn states_add_up_in_any_order() {
        let events = [(0, Some(50)), (0, Some(80)), (2, None), (2, Some(50))];
        let fold = |events: &[(i64, Option<i64>)]| {
            events.iter().fold(State::default(), |state, (arming, standing)| {
                state.after(Measure::AllowanceUsed, *arming, *standing)
            })
        };
        let mut turned = events;
        turned.reverse();
        assert_eq!(fold(&events), State { arming: 2, standing: Some(50) });
        assert_eq!(fold(&events), fold(&turned));
    }
}
