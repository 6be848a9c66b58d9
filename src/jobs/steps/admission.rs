//! Looks at a chunk of organizations and tells whose pause began or ended without anybody telling it: a
//! month that ended, an import that left it to this step.

use super::{StepError, range_of};
use crate::app::App;
use crate::services::admission::{self, Ended};
use crate::storage::admission::Who;
use crate::storage::ledger;
use crate::storage::steps::{self, Step};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let range = range_of(step);
    let now = app.clock.now();
    // Looking takes no locks: mostly there is nothing to tell.
    let mut tx = app.db.read().await?;
    let found = admission::differing(&mut tx, Who::Range(range.first, range.last), now).await?;
    drop(tx);
    let mut tx = app.db.write().await?;
    if !found.is_empty() {
        ledger::lock_these(&mut tx, &found).await?;
        admission::update(app, &mut tx, Who::These(&found), Ended::SeeThrough, now).await?;
    }
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    Ok(())
}
