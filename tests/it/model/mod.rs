//! Test support: one organization's credit months in memory, and a naive model to compare with.
//!
//! - [`year`] steps an organization month by month through the real close and checks every step.
//! - [`checks`] says what must hold after each close, whatever happened in the month.
//! - [`books`] is the ledger in memory.
//! - [`history`] is a script of months in plain integers; [`naive`] computes it without the domain.

pub mod books;
pub mod checks;
pub mod history;
pub mod naive;
pub mod year;
