//! `monthend` closes an AI platform's credit month, unattended.
//!
//! ```text
//! main ─► cli ─► { jobs, services, verify } ─► { storage │ intake │ documents │ mail │ payments │ webhooks } ─► domain
//!                                              edges: none imports another                           pure
//! ```

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cores;
pub mod documents;
pub mod domain;
pub mod files;
pub mod http;
pub mod intake;
pub mod jobs;
pub mod mail;
pub mod pace;
pub mod payments;
pub mod services;
pub mod storage;
pub mod telemetry;
pub mod verify;
pub mod webhooks;
