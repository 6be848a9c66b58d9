//! `serve`: the unattended runner. A heartbeat wakes it, workers share the work, SIGTERM drains it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::sync::CancellationToken;

use super::rescue::rescue;
use super::runner::Runner;
use crate::app::App;

/// How long work in hand may take after SIGTERM; what is left is claimed again when its lease is over.
const DRAIN: Duration = Duration::from_secs(9);
/// How long a worker waits for a database that does not answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Runs until SIGTERM or SIGINT; a second signal ends it at once. `tasks` are what works beside the runner,
/// such as the HTTP server: they end when `stop` is cancelled, and are waited for like the workers.
///
/// # Errors
/// The scheduler cannot be set up.
pub async fn serve(
    app: Arc<App>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
    mut signals: Signals,
) -> Result<()> {
    let wake = Arc::new(Notify::new());
    let mut scheduler = heartbeat(&app, wake.clone()).await?;
    let mut workers = tasks;
    for worker in 0..app.config.runner.workers {
        let runner = Runner::new(app.clone(), stop.clone())?.as_worker(worker);
        workers.spawn(work(runner, worker == 0, wake.clone(), stop.clone()));
    }
    let rescuer = Runner::new(app.clone(), stop.clone())?;
    workers.spawn(rescue(rescuer, wake.clone(), stop.clone()));
    if let Some(refused) = app.identity.refusal() {
        tracing::error!("{refused}");
    }
    tracing::info!(workers = app.config.runner.workers, "serving");
    signals.next().await;
    tracing::info!("stopping: no new work, finishing what is in hand");
    stop.cancel();
    let drained = async { while workers.join_next().await.is_some() {} };
    tokio::select! {
        () = drained => tracing::info!("stopped"),
        () = tokio::time::sleep(DRAIN) => {
            tracing::warn!("stopped with work in hand; its leases run out in {} s", app.config.runner.lease_s);
        }
        () = signals.next() => tracing::warn!("stopped at once"),
    }
    let _ = scheduler.shutdown().await;
    workers.abort_all();
    Ok(())
}

/// A UTC timer that only wakes: what is due is asked of the database.
async fn heartbeat(app: &App, wake: Arc<Notify>) -> Result<JobScheduler> {
    let scheduler = JobScheduler::new().await.context("the heartbeat cannot be set up")?;
    let every = Duration::from_secs(u64::from(app.config.runner.heartbeat_s));
    let beat = Job::new_repeated(every, move |_, _| wake.notify_waiters())
        .context("the heartbeat cannot be set up")?;
    scheduler.add(beat).await.context("the heartbeat cannot be set up")?;
    scheduler.start().await.context("the heartbeat cannot be started")?;
    Ok(scheduler)
}

/// One worker plans at each heartbeat and works, the others only work. Between heartbeats an idle one wakes when
/// a step may be tried again.
async fn work(runner: Runner, plans: bool, wake: Arc<Notify>, stop: CancellationToken) {
    let mut heartbeat = true;
    loop {
        let done = if plans && heartbeat {
            runner.tick(None).await.map(|report| {
                for held in &report.held {
                    tracing::warn!(
                        cycle = held.cycle,
                        organizations = held.organizations,
                        "held: {}",
                        held.reason()
                    );
                }
            })
        } else {
            runner.work(None, &mut BTreeSet::new()).await.map(|_| ())
        };
        if let Err(error) = done {
            tracing::error!(%error, "this round failed; the next one tries again");
        }
        let look = runner.next_look().await.unwrap_or(PAUSE);
        heartbeat = tokio::select! {
            () = stop.cancelled() => return,
            () = wake.notified() => true,
            () = tokio::time::sleep(look) => false,
        };
    }
}

/// SIGTERM and SIGINT, heard from when this is made: one that comes before anybody waits is not lost.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on the signals no longer end the program by themselves.
    ///
    /// # Errors
    /// They cannot be heard.
    pub fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM cannot be heard")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT cannot be heard")?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
