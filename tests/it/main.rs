//! Tests of the whole, on both engines.

mod golden;
mod model;
mod prices;
mod properties;
mod scenarios;
