//! Does claimed steps, keeps their leases alive meanwhile, and decides what follows a failure.

use std::sync::Arc;

use chrono::Duration;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::steps::{self as step_kinds, Ends, Range, StepError, chunk_step};
use super::{StepKind, names};
use crate::app::App;
use crate::services::ServiceError;
use crate::storage::claims::{self, Claimed};
use crate::storage::steps::{self, Step};
use crate::storage::{StorageError, cycles, organizations, runs};

/// How often a lease is renewed while its step is at work: so many times before it would be over.
const SIGNS_OF_LIFE: u32 = 3;
/// Most steps that are done together.
const TOGETHER: usize = 128;
/// Whole transactions tried again at once when the database was busy.
const IMMEDIATE_RETRIES: u32 = 5;

/// Claimed steps in the groups in which they are done.
pub(super) fn groups(claimed: Vec<Claimed>) -> Vec<Vec<Claimed>> {
    let mut groups: Vec<Vec<Claimed>> = Vec::new();
    for claimed in claimed {
        let kind = claimed.step.kind.parse::<StepKind>();
        let with = groups.iter_mut().find(|group| {
            group.len() < TOGETHER
                && kind.as_ref().is_ok_and(|kind| kind.goes_together())
                && group.first().is_some_and(|first| first.step.kind == claimed.step.kind)
        });
        match with {
            Some(group) => group.push(claimed),
            None => groups.push(vec![claimed]),
        }
    }
    groups
}

/// Does a group of claimed steps in a task of its own, so that a panic ends nothing but these; and where the group as
/// a whole fails, each by itself.
pub(super) async fn perform(
    app: Arc<App>,
    stop: CancellationToken,
    group: Vec<Claimed>,
) -> Result<(), ServiceError> {
    let Some(first) = group.first() else { return Ok(()) };
    let span = tracing::info_span!(
        "step",
        run = first.step.run_id,
        cycle = first.cycle,
        kind = first.step.kind,
        organization = first.step.organization.as_ref().filter(|_| group.len() == 1),
        organizations = group.iter().map(|claimed| claimed.step.organizations).sum::<i64>()
    );
    let steps = group.into_iter().map(|claimed| claimed.step).collect();
    let mut left = together(&app, &stop, steps, &[]).instrument(span.clone()).await?;
    let mut failed = None;
    // They failed together, or the database was busy. Those that have still to wait stay ours.
    while let Some(step) = left.pop() {
        let alone = together(&app, &stop, vec![step], &left).instrument(span.clone()).await;
        failed = failed.or(alone.err());
    }
    failed.map_or(Ok(()), Err)
}

/// Does steps together; gives those that are to be done alone. The leases of others that wait are renewed meanwhile.
async fn together(
    app: &Arc<App>,
    stop: &CancellationToken,
    mut steps: Vec<Step>,
    waiting: &[Step],
) -> Result<Vec<Step>, ServiceError> {
    for _ in 0..IMMEDIATE_RETRIES {
        let (worker, stop, claimed) = (app.clone(), stop.clone(), steps.clone());
        let task = async move { step_kinds::execute(&worker, &stop, &claimed).await };
        let task = tokio::spawn(task.in_current_span());
        let kept: Vec<Step> = steps.iter().chain(waiting).cloned().collect();
        let done = with_heartbeat(app, &kept, task).await;
        let ends = match done {
            Ok(Ok(ends)) => ends,
            Ok(Err(error)) if steps.len() == 1 || is_busy(&error) => {
                steps.iter().map(|_| Err(error.clone())).collect()
            }
            Err(panic) if steps.len() == 1 => {
                let reason = format!("the program failed on this step: {panic}");
                vec![Err(StepError::Park(reason))]
            }
            Ok(Err(_)) | Err(_) => return Ok(steps),
        };
        let mut busy = Vec::new();
        let mut failed = None;
        for (step, end) in steps.into_iter().zip(ends) {
            match end {
                Ok(()) => {}
                Err(error) if is_busy(&error) => busy.push(step),
                Err(error) => {
                    failed = failed.or(after_failure(app, &step, error).await.err());
                }
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        if busy.is_empty() {
            return Ok(busy);
        }
        steps = busy;
    }
    if steps.len() > 1 {
        return Ok(steps);
    }
    for step in &steps {
        let busy = StepError::Retry { reason: "the database was busy".to_owned(), after: None };
        after_failure(app, step, busy).await?;
    }
    Ok(Vec::new())
}

/// Renews the leases while steps are at work, so that long ones are not begun again by another worker.
async fn with_heartbeat(
    app: &App,
    steps: &[Step],
    mut task: JoinHandle<Result<Ends, StepError>>,
) -> Result<Result<Ends, StepError>, JoinError> {
    let lease = app.lease();
    let pause = lease.to_std().unwrap_or_default() / SIGNS_OF_LIFE;
    loop {
        tokio::select! {
            done = &mut task => return done,
            () = tokio::time::sleep(pause) => {
                // A lease that cannot be renewed runs out; the epoch keeps a late finish out.
                if let Ok(mut tx) = app.db.write().await
                    && claims::renew(&mut tx, steps, app.clock.now() + lease).await.is_ok()
                {
                    let _ = tx.commit().await;
                }
            }
        }
    }
}

/// A lock or a deadlock: the whole transaction is tried again at once.
fn is_busy(error: &StepError) -> bool {
    matches!(error, StepError::Retry { reason, after: None } if reason.starts_with("database: ")
        && (reason.contains("deadlock") || reason.contains("locked") || reason.contains("serialize")))
}

async fn after_failure(app: &App, step: &Step, error: StepError) -> Result<(), ServiceError> {
    match error {
        StepError::Fenced => {
            tracing::info!("taken over by another worker; nothing was written");
            Ok(())
        }
        StepError::NotBegun => {
            let mut tx = app.db.write().await?;
            steps::give_back(&mut tx, step).await?;
            Ok(tx.commit().await?)
        }
        StepError::Retry { reason, after } => retry_later(app, step, &reason, after).await,
        StepError::Park(reason) => {
            if step.organization.is_none() && step.organizations > 1 {
                split(app, step, &reason).await
            } else {
                park(app, step, &reason).await
            }
        }
    }
}

async fn retry_later(
    app: &App,
    step: &Step,
    reason: &str,
    after: Option<Duration>,
) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    let job = runs::get(&mut tx, &step.run_id).await?.map(|run| run.job).unwrap_or_default();
    let retry = app.job(&job).or_else(|_| app.job(names::MONTHLY_CLOSE)).map(|job| job.retry);
    let retry = retry.map_err(|error| ServiceError::Refused(error.to_string()))?;
    // A step that knows its own delay counts its own tries.
    if after.is_none() && step.attempts >= i64::from(retry.attempts) {
        drop(tx);
        return park(app, step, &format!("{reason} (tried {} times)", step.attempts)).await;
    }
    let spread = step.id.bytes().next_back().unwrap_or_default();
    let delay = after.unwrap_or_else(|| retry.delay(step.attempts, spread));
    if delay.is_zero() {
        tracing::info!(reason, "asks again at once");
    } else {
        tracing::warn!(reason, "waits {} s and is tried again", delay.num_seconds());
    }
    steps::release(&mut tx, step, app.clock.now() + delay, Some(reason)).await?;
    tx.commit().await?;
    Ok(())
}

async fn park(app: &App, step: &Step, reason: &str) -> Result<(), ServiceError> {
    tracing::warn!(reason, "parked: waits for a person");
    let mut tx = app.db.write().await?;
    steps::park(&mut tx, step, reason).await?;
    if step.kind == StepKind::Close.as_str() {
        // Nobody else waits for this one any more.
        step_kinds::brake::when_closed(&mut tx, &step.run_id, app.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Halves a chunk that fails as a whole, until what is to blame stands alone.
async fn split(app: &App, step: &Step, reason: &str) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let Some(run) = runs::get(&mut tx, &step.run_id).await? else {
        drop(tx);
        return park(app, step, reason).await;
    };
    let (first, last) = (&step.first_organization, &step.last_organization);
    let organizations = if run.cycle.is_empty() {
        organizations::ids_between(&mut tx, first, last).await?
    } else {
        cycles::organizations(&mut tx, &run.cycle, first, last).await?
    };
    let kind: StepKind = step.kind.parse().map_err(ServiceError::Refused)?;
    let halves = organizations.chunks(organizations.len().div_ceil(2).max(1));
    let parts: Vec<Step> = halves
        .filter_map(|part| {
            let range = Range {
                first: part.first()?,
                last: part.last()?,
                organizations: i64::try_from(part.len()).unwrap_or(i64::MAX),
            };
            Some(chunk_step(kind, &step.run_id, &range, step.ordinal, now))
        })
        .collect();
    if parts.len() < 2 {
        drop(tx);
        return park(app, step, reason).await;
    }
    tracing::warn!(reason, "split: {} organizations fail together", organizations.len());
    steps::add(&mut tx, &parts, now).await?;
    match steps::finish(&mut tx, step, now).await {
        Ok(()) => tx.commit().await?,
        Err(StorageError::Fenced(_)) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
