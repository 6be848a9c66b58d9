//! The rehearsal itself.
