//! Tells a chunk of organizations which credits are about to lapse.

use super::{StepError, mail_steps, range_of};
use crate::app::App;
use crate::services::{expiry, standings};
use crate::storage::ledger;
use crate::storage::steps::{self, Step};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let (first, last) = (range_of(step).first, range_of(step).last);
    ledger::lock(&mut tx, first, last).await?;
    let standings = standings::of_range(&mut tx, first, last, now).await?;
    let settings = &app.config.expiry_notices;
    let mails = expiry::tell(&mut tx, settings, (first, last), &standings, now).await?;
    let told = mails.len();
    steps::add(&mut tx, &mail_steps(&mails, &step.run_id, step.ordinal, now), now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    tracing::debug!(told, "looked for credits that are about to lapse");
    Ok(())
}
