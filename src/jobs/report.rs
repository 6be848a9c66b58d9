//! What a tick or a run did, for people and programs.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::services::ServiceError;
use crate::storage::runs::{self, Counts, Run};
use crate::storage::steps::{self, Step};

/// A run with where its steps stand.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// The run.
    pub run: Run,
    /// Where its steps stand.
    pub counts: Counts,
    /// Steps a person should know of: parked, waiting to be tried again, or done with a remark.
    pub troubled: Vec<Step>,
}

/// Work that waits for a person's confirmation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Which job.
    pub job: String,
    /// The oldest cycle that waits.
    pub cycle: String,
    /// Since when it is due.
    pub due_at: DateTime<Utc>,
    /// How many organizations wait.
    pub organizations: usize,
    /// How many cycles each of them missed.
    pub missed: u32,
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Runs that were touched, oldest due first.
    pub runs: Vec<RunReport>,
    /// Work that waits for a confirmation.
    pub held: Vec<Held>,
}

impl Report {
    /// Did everything that was begun end well?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.held.is_empty() && self.runs.iter().all(|report| report.troubled.is_empty())
    }
}

/// Reads a run with its steps' standing, after setting the state they give. None: a watch that found
/// nothing leaves no run.
///
/// # Errors
/// The database fails.
pub async fn of_run(app: &App, id: &str) -> Result<Option<RunReport>, ServiceError> {
    let mut tx = app.db.write().await?;
    let counts = runs::refresh(&mut tx, id, app.clock.now()).await?;
    let Some(run) = runs::get(&mut tx, id).await? else { return Ok(None) };
    tx.commit().await?;
    let mut tx = app.db.read().await?;
    let troubled = steps::troubled(&mut tx, id).await?;
    Ok(Some(RunReport { run, counts, troubled }))
}

/// A run that is not there.
pub(crate) fn no_run(id: &str) -> ServiceError {
    ServiceError::NotFound(format!(
        "there is no run {:?}; `monthend run list` shows all",
        id.chars().take(60).collect::<String>()
    ))
}
