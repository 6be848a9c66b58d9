//! Tests of the whole, on both engines.

mod arrivals;
mod buying;
mod catch_up;
mod cli;
mod clocks;
mod documented;
mod engines_agree;
mod golden;
mod harness;
mod history;
mod inbox;
mod late_usage;
mod model;
mod paying;
mod prices;
mod properties;
mod real_input;
mod repairs;
mod scenarios;
mod standing;
mod starter;
mod tampering;
mod thousand;
mod thread;
mod workers;
