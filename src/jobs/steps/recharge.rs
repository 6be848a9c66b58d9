//! Buys credits for a chunk's organizations that run low and want it.

use super::{StepError, follow_up, range_of};
use crate::app::App;
use crate::services::consequences::Consequences;
use crate::services::{ServiceError, recharges};
use crate::storage::recharges::on_in_range;
use crate::storage::steps::{self, Step};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let range = range_of(step);
    let mut tx = app.db.read().await?;
    let wanting = on_in_range(&mut tx, range.first, range.last).await?;
    drop(tx);
    let mut troubled = Vec::new();
    for recharge in wanting {
        // One transaction each: money is asked for, and nobody waits for a chunk of others.
        let mut tx = app.db.write().await?;
        steps::hold(&mut tx, step, app.clock.now() + app.lease()).await?;
        let follows: Consequences = match recharges::buy_if_low(app, &mut tx, &recharge).await {
            Ok(follows) => follows,
            Err(ServiceError::Storage(error)) => return Err(error.into()),
            Err(error) => {
                tx.rollback().await?;
                troubled.push(format!("{}: {error}", recharge.organization));
                continue;
            }
        };
        steps::add(&mut tx, &follow_up(&follows, &step.run_id, step.ordinal, now), now).await?;
        tx.commit().await?;
    }
    let mut tx = app.db.write().await?;
    if troubled.is_empty() {
        steps::finish(&mut tx, step, now).await?;
    } else {
        let remark = format!("automatic purchases that cannot be made: {}", troubled.join("; "));
        steps::finish_with_remark(&mut tx, step, now, &remark).await?;
    }
    tx.commit().await?;
    Ok(())
}
