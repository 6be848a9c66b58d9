//! What webhooks tell: names of events, and the id by which a receiver knows one it had before.

use std::fmt;
use std::str::FromStr;

/// An event that endpoints can subscribe to. Another one is a line here and a line in `as_str`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// New operations are paused, or paused for another reason than before (S49).
    OrganizationPaused,
    /// Operations go on (S50).
    OrganizationResumed,
}

impl Event {
    /// All events.
    pub const ALL: [Self; 2] = [Self::OrganizationPaused, Self::OrganizationResumed];

    /// The word in configuration, rows and payloads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OrganizationPaused => "organization.paused",
            Self::OrganizationResumed => "organization.resumed",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|event| event.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("{text:?} is not an event; there are: {known}")
        })
    }
}
