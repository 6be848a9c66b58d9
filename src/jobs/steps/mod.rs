//! One file per kind of step. A step reads, decides through domain, writes once, and makes its successors
//! in the same transaction.

pub mod admission;
pub mod alert;
pub mod brake;
pub mod charge;
pub mod check_method;
pub mod close;
pub mod document;
pub mod expiry_notice;
pub mod import_usage;
pub mod issue;
pub mod mail;
pub mod recharge;
pub mod refund;
pub mod render;
pub mod retry_payment;
pub mod webhook;

use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use futures_util::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;

use super::StepKind;
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::ids;
use crate::payments::GatewayError;
use crate::services::ServiceError;
use crate::services::consequences::Consequences;
use crate::services::identity;
use crate::storage::mails::Mail;
use crate::storage::runs::{self, Run};
use crate::storage::steps::Step;
use crate::storage::{StorageError, Tx};

/// How long an effect waits that this home may not cause.
const REFUSED: Duration = Duration::minutes(10);

/// Why a step is not done, sorted by what happens next.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StepError {
    /// It may work later: back to ready, after the job's delay or the given one.
    #[error("{reason}")]
    Retry {
        /// Why.
        reason: String,
        /// How long to wait, where the step knows.
        after: Option<Duration>,
    },
    /// It cannot work until a person acts. A chunk is split first, so that one organization's trouble
    /// stops nobody else.
    #[error("{0}")]
    Park(String),
    /// The program is stopping, and this step was not begun: it goes back as it was.
    #[error("not begun")]
    NotBegun,
    /// Another worker took the step over: nothing was written, nothing is to be done.
    #[error("taken over by another worker")]
    Fenced,
}

impl From<StorageError> for StepError {
    fn from(error: StorageError) -> Self {
        match &error {
            StorageError::Fenced(_) => Self::Fenced,
            _ if error.is_transient() => Self::Retry { reason: error.to_string(), after: None },
            _ => Self::Park(error.to_string()),
        }
    }
}

impl From<ServiceError> for StepError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Storage(error) => error.into(),
            // A full disk, a missing folder: it comes back when space does.
            ServiceError::File(error) => Self::Retry { reason: error.to_string(), after: None },
            other => Self::Park(other.to_string()),
        }
    }
}

/// How steps that were done together ended, in their order.
pub type Ends = Vec<Result<(), StepError>>;

/// Does claimed steps of one kind: one, or several where [`StepKind::goes_together`].
///
/// # Errors
/// Why none of them is done. What became of each is in the answer; the runner decides what follows.
pub async fn execute(
    app: &Arc<App>,
    stop: &CancellationToken,
    steps: &[Step],
) -> Result<Ends, StepError> {
    let Some(first) = steps.first() else { return Ok(Vec::new()) };
    let kind: StepKind = first.kind.parse().map_err(StepError::Park)?;
    let allowed = match kind {
        StepKind::Charge | StepKind::Refund => identity::allow_money(app).await,
        StepKind::Mail | StepKind::Webhook => identity::allow_effects(app),
        _ => Ok(()),
    };
    match allowed {
        // They wait untouched for the home or the gateway that may.
        Err(ServiceError::Refused(reason)) => {
            let wait = || StepError::Retry { reason: reason.clone(), after: Some(REFUSED) };
            return Ok(steps.iter().map(|_| Err(wait())).collect());
        }
        allowed => allowed?,
    }
    match kind {
        StepKind::Charge => charge::execute(app, stop, steps).await,
        StepKind::Mail => mail::execute(app, stop, steps).await,
        _ => {
            let mut ends = Vec::with_capacity(steps.len());
            for step in steps {
                ends.push(alone(app, kind, step).await);
            }
            Ok(ends)
        }
    }
}

/// Does a step of a kind that is done alone.
async fn alone(app: &App, kind: StepKind, step: &Step) -> Result<(), StepError> {
    match kind {
        StepKind::ImportUsage => import_usage::execute(app, step).await,
        StepKind::Close => close::execute(app, step).await,
        StepKind::Brake => brake::execute(app, step).await,
        StepKind::Issue => issue::execute(app, step).await,
        StepKind::Render => render::execute(app, step).await,
        StepKind::Document => document::execute(app, step).await,
        StepKind::Recharge => recharge::execute(app, step).await,
        StepKind::RetryPayment => retry_payment::execute(app, step).await,
        StepKind::CheckMethod => check_method::execute(app, step).await,
        StepKind::Refund => refund::execute(app, step).await,
        StepKind::Admission => admission::execute(app, step).await,
        StepKind::Webhook => webhook::execute(app, step).await,
        StepKind::Alert => alert::execute(app, step).await,
        StepKind::ExpiryNotice => expiry_notice::execute(app, step).await,
        StepKind::Charge | StepKind::Mail => {
            Err(StepError::Park(format!("a {} step is never done alone", kind.as_str())))
        }
    }
}

/// Waits for all of some work, so many at once; gives the answers in order.
async fn some_at_once<W: Future>(at_once: usize, work: Vec<W>) -> Vec<W::Output> {
    stream::iter(work).buffered(at_once.max(1)).collect().await
}

/// The range of organizations a step covers.
#[derive(Debug, Clone)]
pub struct Range<'a> {
    /// First.
    pub first: &'a str,
    /// Last, included.
    pub last: &'a str,
    /// How many they are.
    pub organizations: i64,
}

/// A new step over a range of organizations.
#[must_use]
pub fn chunk_step(
    kind: StepKind,
    run: &str,
    range: &Range<'_>,
    ordinal: i64,
    now: DateTime<Utc>,
) -> Step {
    let alone = range.first == range.last;
    Step {
        id: ids::derived(
            "stp",
            now,
            &[run, kind.as_str(), range.first, range.last, &ordinal.to_string()],
        ),
        run_id: run.to_owned(),
        kind: kind.as_str().to_owned(),
        rank: kind.rank(),
        ordinal,
        organization: alone.then(|| range.first.to_owned()),
        first_organization: range.first.to_owned(),
        last_organization: range.last.to_owned(),
        organizations: range.organizations,
        subject: None,
        state: "ready".to_owned(),
        epoch: 0,
        attempts: 0,
        next_at: now,
        error: None,
    }
}

/// A new step about one charge, mail or file.
#[must_use]
pub fn subject_step(
    kind: StepKind,
    run: &str,
    organization: Option<&str>,
    subject: &str,
    ordinal: i64,
    now: DateTime<Utc>,
) -> Step {
    let name = organization.unwrap_or_default();
    let range = Range { first: name, last: name, organizations: i64::from(organization.is_some()) };
    Step {
        id: ids::derived("stp", now, &[run, kind.as_str(), name, subject, &ordinal.to_string()]),
        organization: organization.map(str::to_owned),
        subject: Some(subject.to_owned()),
        ..chunk_step(kind, run, &range, ordinal, now)
    }
}

/// Steps that send mails.
#[must_use]
pub fn mail_steps(mails: &[Mail], run: &str, ordinal: i64, now: DateTime<Utc>) -> Vec<Step> {
    mails
        .iter()
        .map(|mail| {
            subject_step(StepKind::Mail, run, Some(&mail.organization), &mail.id, ordinal, now)
        })
        .collect()
}

/// Steps for what a fact leaves behind, to be added in its transaction.
#[must_use]
pub fn follow_up(follows: &Consequences, run: &str, ordinal: i64, now: DateTime<Utc>) -> Vec<Step> {
    let mut next = mail_steps(&follows.mails, run, ordinal, now);
    for (kind, subjects) in [
        (StepKind::Document, &follows.documents),
        (StepKind::Charge, &follows.charges),
        (StepKind::Refund, &follows.refunds),
    ] {
        next.extend(subjects.iter().map(|(organization, subject)| {
            subject_step(kind, run, Some(organization), subject, ordinal, now)
        }));
    }
    next
}

/// A provider that does not answer in time gave no clear answer.
async fn bounded<T>(
    app: &App,
    call: impl Future<Output = Result<T, GatewayError>>,
) -> Result<T, GatewayError> {
    let limit = std::time::Duration::from_secs(u64::from(app.config.payments.timeout_s));
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer,
        Err(_) => Err(GatewayError::Unclear(format!("no answer within {} s", limit.as_secs()))),
    }
}

/// The run of a step.
async fn run_of(tx: &mut Tx, step: &Step) -> Result<Run, StepError> {
    runs::get(tx, &step.run_id)
        .await?
        .ok_or_else(|| StepError::Park(format!("run {} is not stored", step.run_id)))
}

/// The cycle of a run.
fn cycle_of(run: &Run) -> Result<Cycle, StepError> {
    run.cycle.parse().map_err(|error| StepError::Park(format!("run {}: {error}", run.id)))
}

/// The range of a step.
fn range_of(step: &Step) -> Range<'_> {
    Range {
        first: &step.first_organization,
        last: &step.last_organization,
        organizations: step.organizations,
    }
}
