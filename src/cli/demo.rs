//! `demo`: placeholder until the pieces are in place.
use super::Outcome;
use super::output::Output;
use anyhow::Result;
use std::path::Path;
pub(super) async fn run(_dir: &Path, _output: &Output) -> Result<Outcome> {
    Ok(Outcome::Done)
}
