//! What the fuzz targets check.

#[path = "../targets/mod.rs"]
pub mod targets;
