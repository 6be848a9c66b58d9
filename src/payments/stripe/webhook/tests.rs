//! Notifications, honest and forged.
