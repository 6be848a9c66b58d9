//! The database server stops under the program.

use anyhow::{Result, bail};

use crate::options::ServerOptions;

/// True: everything held.
pub fn run(options: &ServerOptions) -> Result<bool> {
    bail!("not written yet: {options:?}")
}
