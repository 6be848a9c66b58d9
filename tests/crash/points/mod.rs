//! Every crash point of a monthly cycle.

pub mod server;

use anyhow::{Result, bail};

use crate::options::PointsOptions;

/// True: everything held.
pub fn run(options: &PointsOptions) -> Result<bool> {
    bail!("not written yet: {options:?}")
}
