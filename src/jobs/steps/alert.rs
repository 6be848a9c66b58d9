//! Evaluates alert rules over a chunk of organizations: few reads, one decision each, told once.

use std::collections::HashMap;

use super::{StepError, mail_steps, range_of};
use crate::app::App;
use crate::services::alerts::{self, Seen, Watch};
use crate::services::standings;
use crate::storage::steps::{self, Step};
use crate::storage::{ledger, organizations};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    let (first, last) = (range_of(step).first, range_of(step).last);
    ledger::lock(&mut tx, first, last).await?;
    let rules = app.config.alert_rules.as_slice();
    let mut told = 0;
    if !rules.is_empty() {
        let standings = standings::of_range(&mut tx, first, last, now).await?;
        let mut seen = Vec::with_capacity(standings.len());
        for standing in &standings {
            match Seen::running(standing) {
                Ok(figures) => seen.push(figures),
                Err(error) => {
                    let organization = &standing.stored.organization.id;
                    tracing::warn!(organization, %error, "left out");
                }
            }
        }
        let organizations: HashMap<String, organizations::Stored> = standings
            .into_iter()
            .map(|standing| (standing.stored.organization.id.clone(), standing.stored))
            .collect();
        let watch = Watch { rules, first, last, organizations: &organizations, closing: false };
        let mails = alerts::tell(&mut tx, watch, &seen, now).await?;
        told = mails.len();
        steps::add(&mut tx, &mail_steps(&mails, &step.run_id, step.ordinal, now), now).await?;
    }
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    tracing::debug!(told, "evaluated alert rules");
    Ok(())
}
