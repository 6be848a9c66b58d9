//! The command line from the outside: what its contract promises, what it says to bad and hostile input.

mod bad_config;
mod bad_rows;
mod canaries;
mod catalog;
mod close;
mod credits;
mod golden;
mod holding;
mod home;
mod hostile;
mod invoices;
mod memory;
mod money;
mod organizations;
mod secrets;
mod serving;
mod setup;
mod shape;
mod signals;
mod usage;
