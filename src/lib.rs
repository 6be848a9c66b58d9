//! `monthend` closes an AI platform's credit month, unattended.
//!
//! ```text
//! main ─► cli ─► { jobs, services, verify } ─► { storage │ intake │ documents │ mail │ payments } ─► domain
//!                                              edges: none imports another                           pure
//! ```

pub mod clock;
pub mod domain;
pub mod storage;
