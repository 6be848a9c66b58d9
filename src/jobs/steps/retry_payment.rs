//! Works through the dunning calendar of a chunk's unpaid invoices.

use super::{StepError, follow_up, range_of};
use crate::app::App;
use crate::services::consequences::Consequences;
use crate::services::dunning;
use crate::storage::steps::{self, Step};
use crate::storage::{dunning as calendar, ledger};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let range = range_of(step);
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    ledger::lock(&mut tx, range.first, range.last).await?;
    dunning::begin_forgotten(app, &mut tx, range.first, range.last).await?;
    let mut follows = Consequences::default();
    for due in calendar::due(&mut tx, range.first, range.last, now).await? {
        follows.extend(dunning::day(app, &mut tx, &due).await?);
    }
    steps::add(&mut tx, &follow_up(&follows, &step.run_id, step.ordinal, now), now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    Ok(())
}
