//! Random kills and stops of `serve` on PostgreSQL, under load.

use anyhow::{Result, bail};
use clap::Args;

use crate::options::Common;

#[derive(Debug, Clone, Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
}

/// True: everything held.
pub fn run(options: &Options) -> Result<bool> {
    bail!("random kills of {} are not written yet", options.common.binary().display())
}
