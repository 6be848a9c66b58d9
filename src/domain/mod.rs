//! The rules of the credit month: pure and exact.
//!
//! No I/O, clock, randomness, logging or floating point in here: time and ids come in as arguments,
//! so nothing fails for outside reasons and every result can be computed again.

pub mod admission;
pub mod alert;
pub mod brake;
pub mod burn;
pub mod catalog;
pub mod close;
pub mod correction;
pub mod credits;
pub mod cycle;
pub mod decimal;
pub mod document;
pub mod dunning;
pub mod feed;
pub mod forecast;
pub mod grant;
pub mod ids;
pub mod invoice;
pub mod invoice_lines;
pub mod ledger;
pub mod money;
pub mod organization;
pub mod payment;
pub mod plan;
pub mod rating;
pub mod rollover;
pub mod rounding;
pub mod secret;
pub mod statement;
pub mod text;
pub mod usage;
pub mod webhook;
