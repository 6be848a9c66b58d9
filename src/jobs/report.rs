//! What a tick or a run did, for people and programs.

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::services::ServiceError;
use crate::services::feeds::Silent;
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
    /// How many cycles each of them missed; 0: it is feeds they wait for.
    pub missed: u32,
    /// The feeds of usage that look incomplete.
    pub feeds: Vec<Silent>,
    /// Which organizations wait, in order.
    pub names: Vec<String>,
}

impl Held {
    /// Why they wait, and what lets them go.
    #[must_use]
    pub fn reason(&self) -> String {
        let missed = self.missed;
        if self.feeds.is_empty() {
            return format!(
                "{missed} missed cycles wait for a confirmation: `monthend tick --catch-up {missed}`"
            );
        }
        self.feeds.iter().map(Silent::told).collect::<Vec<_>>().join("; ")
    }

    /// The first few who wait.
    #[must_use]
    pub fn some_names(&self) -> String {
        const SHOWN: usize = 5;
        let mut names = self.names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
        if let more @ 1.. = self.names.len().saturating_sub(SHOWN) {
            names.push_str(&format!(" and {more} more"));
        }
        names
    }
}

/// What was done.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Runs that were touched, oldest due first.
    pub runs: Vec<RunReport>,
    /// Work that waits for a confirmation.
    pub held: Vec<Held>,
    /// Why nothing was charged or sent: this home or gateway is not the deployment's.
    pub refused: Option<String>,
}

impl Report {
    /// Did everything that was begun end well?
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.refused.is_none()
            && self.held.is_empty()
            && self.runs.iter().all(|report| report.troubled.is_empty())
    }
}

/// Reads a run with its steps' standing, after setting the state they give. None: a watch that found
/// nothing leaves no run.
///
/// # Errors
/// The database fails.
pub async fn of_run(app: &App, id: &str) -> Result<Option<RunReport>, ServiceError> {
    let mut tx = app.db.write().await?;
    runs::refresh(&mut tx, id, app.clock.now()).await?;
    tx.commit().await?;
    let mut tx = app.db.read().await?;
    let Some(run) = runs::get(&mut tx, id).await? else { return Ok(None) };
    let counts = runs::counts(&mut tx, id).await?;
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
