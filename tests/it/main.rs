//! Tests of the whole, on both engines.

mod prices;
