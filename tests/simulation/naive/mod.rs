//! The second opinion: the credit month said once more, as simply as it can be, from the requirements alone.
//!
//! Whole numbers and lists of lots; nothing here calls the product. Credits are 10⁻⁹ credit, money is minor units,
//! months are counted from year 0, instants are microseconds. It knows what it was told: catalog, organizations,
//! events, grants, who paid when, when the clock was looked at.

pub mod account;
pub mod calendar;
pub mod corrections;
pub mod invoice;
pub mod number;
pub mod prices;
pub mod town;
