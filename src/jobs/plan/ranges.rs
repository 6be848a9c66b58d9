//! Ranges of organizations: what a step covers. They are cut while organizations go by in order, so that a plan takes
//! no more memory for a million organizations than for a thousand.

use std::sync::Arc;

use crate::jobs::steps::Range;

/// A range of organizations that are planned together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// First.
    pub first: String,
    /// Last, included.
    pub last: String,
    /// How many they are.
    pub organizations: usize,
}

impl Stretch {
    /// What a step covers.
    #[must_use]
    pub fn as_range(&self) -> Range<'_> {
        Range {
            first: &self.first,
            last: &self.last,
            organizations: i64::try_from(self.organizations).unwrap_or(i64::MAX),
        }
    }
}

/// Cuts ranges of at most so many organizations.
#[derive(Debug, Clone, Default)]
pub struct Cutter {
    done: Vec<Stretch>,
    at_most: usize,
    /// Somebody who is not asked for went by: the next range begins anew.
    cut: bool,
}

impl Cutter {
    /// Ranges of at most so many organizations.
    #[must_use]
    pub fn new(at_most: usize) -> Self {
        Self { at_most: at_most.max(1), ..Self::default() }
    }

    /// The next organization, in order.
    pub fn take(&mut self, organization: String) {
        let cut = std::mem::take(&mut self.cut);
        match self.done.last_mut() {
            Some(last) if !cut && last.organizations < self.at_most => {
                last.last = organization;
                last.organizations += 1;
            }
            _ => self.done.push(Stretch {
                first: organization.clone(),
                last: organization,
                organizations: 1,
            }),
        }
    }

    /// An organization goes by that no range may hold: a step does all that lie in its range.
    pub fn pass(&mut self) {
        self.cut = true;
    }

    /// All ranges, in order.
    #[must_use]
    pub fn end(self) -> Vec<Stretch> {
        self.done
    }
}

/// Of which organizations something was asked; empty: of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only(Arc<[String]>);

impl Only {
    /// The named ones; none named: all.
    #[must_use]
    pub fn these(names: &[String]) -> Self {
        Self(names.into())
    }

    /// Are all meant?
    #[must_use]
    pub fn is_everyone(&self) -> bool {
        self.0.is_empty()
    }

    /// Is this one asked for?
    #[must_use]
    pub fn wants(&self, organization: &str) -> bool {
        self.is_everyone() || self.0.iter().any(|name| name == organization)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_what_is_asked_for_and_nobody_else() {
        let mut cutter = Cutter::new(3);
        for name in ["a", "b", "c", "d", "-", "e", "-", "-", "f", "g"] {
            if name == "-" { cutter.pass() } else { cutter.take(name.to_owned()) }
        }
        let ranges: Vec<String> = cutter
            .end()
            .into_iter()
            .map(|one| format!("{}{}{}", one.first, one.last, one.organizations))
            .collect();
        assert_eq!(ranges, ["ac3", "dd1", "ee1", "fg2"]);
        assert!(Only::default().wants("a") && !Only::these(&["b".to_owned()]).wants("a"));
    }
}
