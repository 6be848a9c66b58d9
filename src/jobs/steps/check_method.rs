//! Looks ahead at a chunk's payment methods that will not work on the 1st, and tells those customers.

use super::{StepError, mail_steps, range_of};
use crate::app::App;
use crate::services::readiness;
use crate::storage::steps::{self, Step};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let range = range_of(step);
    let mut tx = app.db.read().await?;
    let risks = readiness::examine(app, &mut tx, range.first, range.last).await?;
    drop(tx);
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let mut letters = Vec::new();
    for (stored, risk) in &risks {
        letters.extend(readiness::tell(app, &mut tx, stored, risk).await?);
    }
    steps::add(&mut tx, &mail_steps(&letters, &step.run_id, step.ordinal, now), now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    if !risks.is_empty() {
        tracing::info!(
            organizations = risks.len(),
            "{} payment methods will probably not work on the 1st; `method risks` lists them",
            risks.len()
        );
    }
    Ok(())
}
