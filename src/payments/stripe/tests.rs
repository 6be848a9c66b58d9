//! The gateway against the rehearsal.
