//! What a brake holds, for the person who looks; and letting it go, when that person says why it is right.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::brake::{Mover, Movers};
use crate::jobs::StepKind;
use crate::jobs::plan::PAGE;
use crate::jobs::report::{Report, no_run};
use crate::jobs::runner::Runner;
use crate::services::ServiceError;
use crate::storage::{audit, brakes, parsed, runs, steps};

/// Those whose invoices moved the most against last month in a run that is held, as they stand now.
///
/// # Errors
/// No such run, or the database fails.
pub async fn movers(app: &App, run: &str) -> Result<Vec<Mover>, ServiceError> {
    let mut tx = app.db.read().await?;
    let run = runs::get(&mut tx, run).await?.ok_or_else(|| no_run(run))?;
    let cycle = parsed("run", "cycle", &run.id, &run.cycle)?;
    let (mut movers, mut after) = (Movers::default(), String::new());
    loop {
        let page = brakes::lines(&mut tx, (cycle, run.due_at), &after, PAGE).await?;
        let Some(last) = page.last else { break };
        after = last;
        for line in &page.lines {
            movers.take(line);
        }
    }
    Ok(movers.end())
}

/// Confirms the figures a run is held for, these and no others, and does what then may go. `figures` names those that
/// were read: the run may be held for others by now.
///
/// # Errors
/// No such run, it is not held, or for other figures.
pub async fn confirm(
    app: &Arc<App>,
    run: &str,
    figures: &str,
    reason: &str,
) -> Result<Report, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    runs::lock(&mut tx, run).await?;
    let stored = runs::get(&mut tx, run).await?.ok_or_else(|| no_run(run))?;
    let looks = steps::of_kind(&mut tx, run, StepKind::Brake.as_str()).await?;
    let parked = looks.into_iter().find(|look| look.state == "parked");
    let held = brakes::latest(&mut tx, run).await?.filter(|held| held.confirmed_at.is_none());
    let (Some(look), Some(held)) = (parked, held) else {
        return Err(ServiceError::Refused(format!("run {run} is not held")));
    };
    if figures != held.short_figures() {
        return Err(ServiceError::Refused(format!(
            "run {run} is held for other figures now, {}: {}; nothing was confirmed",
            held.short_figures(),
            held.reason
        )));
    }
    brakes::confirm(&mut tx, run, held.ordinal, now).await?;
    steps::let_go(&mut tx, &look.id, now).await?;
    let command = format!("run confirm {run}: {}", held.reason);
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    runs::reopen(&mut tx, &stored.id).await?;
    tx.commit().await?;
    Runner::new(app.clone(), CancellationToken::new())?.finish_run(run).await
}
