//! Looks at the figures of a whole run before anything of it is numbered: too far from last month, or one
//! invoice too large, and a person must say that they are right (F61).
//!
//! Drafts are private; a number is for good, and what it says can only be corrected by a credit note. So the
//! run stops here, before numbers, charges and mails. A held run is its parked step: nothing but a confirmation
//! of exactly these figures, other figures or other limits let it go.

use chrono::{DateTime, Duration, Utc};

use super::{Range, StepError, chunk_step, cycle_of, run_of};
use crate::app::App;
use crate::domain::brake::Look;
use crate::jobs::StepKind;
use crate::jobs::plan::{Cutter, ORDINALS_PER_PLAN, PAGE};
use crate::services::ServiceError;
use crate::storage::steps::{self, Step};
use crate::storage::{Tx, brakes, invoices, runs};

/// How soon it looks again while last month's invoices are on their way.
const LOOKS_AGAIN: Duration = Duration::minutes(1);

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let now = app.clock.now();
    let limits = app.config.brakes.limits().map_err(StepError::Park)?;
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    runs::lock(&mut tx, &step.run_id).await?;
    let run = run_of(&mut tx, step).await?;
    // A close that goes again meanwhile makes another look when it ends.
    if steps::is_at_work(&mut tx, &run.id, StepKind::Close.as_str()).await? {
        steps::finish(&mut tx, step, now).await?;
        tx.commit().await?;
        return Ok(());
    }
    let job = app.job(&run.job).map_err(|error| StepError::Park(format!("{error:#}")))?;
    let (mut look, mut drafts) = (Look::new(&limits), Cutter::new(job.chunk_organizations));
    let mut after = String::new();
    loop {
        let page = brakes::lines(&mut tx, (cycle_of(&run)?, run.due_at), &after, PAGE).await?;
        let Some(last) = page.last else { break };
        after = last;
        for line in page.lines {
            look.take(&line);
            if line.draft {
                drafts.take(line.organization);
            }
        }
    }
    if look.waits() {
        return Err(StepError::Retry {
            reason: "last month's invoices are not issued yet: there is nothing to compare this month's with; where \
                     they are held, look at that run first"
                .to_owned(),
            after: Some(LOOKS_AGAIN),
        });
    }
    let figures = look.fingerprint();
    if let Some(reason) = look.decide()
        && !brakes::is_confirmed(&mut tx, &run.id, &figures, &reason).await?
    {
        brakes::hold(&mut tx, &run.id, &figures, &reason, now).await?;
        let told =
            format!("{reason}; {}", way_out(&run.id, &brakes::short_figures(&figures, &reason)));
        steps::park(&mut tx, step, &told).await?;
        tx.commit().await?;
        tracing::warn!(reason, "held: nothing is numbered until a person confirms the figures");
        return Ok(());
    }
    let first = step.ordinal * ORDINALS_PER_PLAN;
    let issues: Vec<Step> = (first..)
        .zip(drafts.end())
        .map(|(ordinal, range)| {
            chunk_step(StepKind::Issue, &run.id, &range.as_range(), ordinal, now)
        })
        .collect();
    steps::add(&mut tx, &issues, now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    Ok(())
}

/// How a held run goes on.
fn way_out(run: &str, figures: &str) -> String {
    format!("if that is right: `monthend run confirm {run} --figures {figures} --reason …`")
}

/// Has a run's figures looked at when its last close has ended, in the transaction that ends it. The lock of
/// the run lets two closes that end at once not both take the other for the last.
///
/// # Errors
/// The database fails.
pub async fn when_closed(tx: &mut Tx, run: &str, now: DateTime<Utc>) -> Result<(), ServiceError> {
    runs::lock(tx, run).await?;
    if steps::is_at_work(tx, run, StepKind::Close.as_str()).await? {
        return Ok(());
    }
    let Some(run) = runs::get(tx, run).await? else { return Ok(()) };
    let looks = steps::of_kind(tx, &run.id, StepKind::Brake.as_str()).await?;
    match looks.iter().find(|look| look.state != "done") {
        // One that is on its way takes the run's lock first, and so sees what is written here.
        Some(look) if look.state != "parked" => {}
        Some(look) => steps::let_go(tx, &look.id, now).await?,
        None if invoices::has_drafts(tx, &run.cycle, run.due_at).await? => {
            let all = Range { first: "", last: "~", organizations: 0 };
            let ordinal = i64::try_from(looks.len()).unwrap_or(i64::MAX);
            let look = chunk_step(StepKind::Brake, &run.id, &all, ordinal, now);
            steps::add(tx, &[look], now).await?;
        }
        None => {}
    }
    Ok(())
}
