//! What a scripted provider can play.

/// What becomes of a charge at the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Taken.
    Succeeds,
    /// Not this time.
    SoftDecline,
    /// Never with this method.
    HardDecline,
    /// The customer acts after so many hours.
    Acts(i64),
    /// The customer never acts; it is over after so many hours.
    Expires(i64),
    /// The bank pays after so many hours.
    SettlesLater(i64),
    /// The bank refuses after so many hours.
    FailsLater(i64),
    /// The first request is lost on its way.
    LostBefore,
    /// It is taken, and the first answer is lost on its way.
    LostAfter,
    /// So many requests are refused before they are sent, or told to come back later.
    NotSent(u32),
    /// Another amount is taken than was asked for.
    OtherAmount,
    /// The request is refused as wrong.
    Misuse,
}

/// What look-ups say once a charge was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookUps {
    /// The truth.
    Truth,
    /// Nothing clear for so many minutes, then the truth.
    FailFor(i64),
    /// Asked within an hour: nothing is known, once; then the truth.
    LagOnce,
}

/// How one key is treated.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    /// What becomes of it.
    pub answer: Answer,
    /// What look-ups say.
    pub look_ups: LookUps,
    /// Does the process that sends it first die before the answer?
    pub kills: bool,
}
