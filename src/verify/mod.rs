//! Every invariant, checked read-only on one snapshot of a live database.
//!
//! Each check recomputes what it checks from other rows: hashes from contents, remaining from entries,
//! statements and invoices by closing the cycle again.

mod admission;
mod alerts;
mod books;
mod chain;
mod closes;
mod documents;
mod facts;
mod money;
mod work;

use crate::app::App;
use crate::services::ServiceError;
use crate::storage::{audit, organizations, usage};

/// One invariant and whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name, stable for programs.
    pub name: &'static str,
    /// How many things were checked.
    pub checked: u64,
    /// What does not hold, in words for finance; the first twenty of them.
    pub problems: Vec<String>,
    /// How many more problems there are.
    pub more: u64,
}

/// Problems kept per check.
const SHOWN: usize = 20;

impl Check {
    fn new(name: &'static str) -> Self {
        Self { name, checked: 0, problems: Vec::new(), more: 0 }
    }

    /// Does it hold?
    #[must_use]
    pub fn ok(&self) -> bool {
        self.problems.is_empty()
    }

    /// Counts one thing and notes a problem where there is one.
    fn count(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.problem(problem());
        }
    }

    fn problem(&mut self, problem: String) {
        if self.problems.len() < SHOWN {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// All problems in one text.
    #[must_use]
    pub fn detail(&self) -> String {
        let mut text = self.problems.join("; ");
        if self.more > 0 {
            text.push_str(&format!("; and {} more", self.more));
        }
        text
    }
}

/// Checks everything.
///
/// # Errors
/// The database fails, or a row does not convert (which names it).
pub async fn verify(app: &App) -> Result<Vec<Check>, ServiceError> {
    let mut tx = app.db.read().await?;
    let all = organizations::all(&mut tx).await?;
    let mut chain = chain::Checks::new();
    let mut closes = closes::Checks::new();
    let mut money = money::Checks::new();
    let mut facts = facts::Checks::new();
    let mut files = documents::Files::new();
    let people = audit::all(&mut tx).await?;
    for neighbours in all.chunks(books::AT_ONCE) {
        for books in books::read(&mut tx, neighbours).await? {
            chain.organization(&books);
            closes.organization(&books)?;
            money.organization(app, &books).await?;
            facts.organization(&books, &people)?;
            files.organization(app, &books)?;
        }
    }
    money.all(&mut tx).await?;
    let mut checks = Vec::new();
    checks.extend(chain.finish(&mut tx).await?);
    checks.push(rollups(&mut tx).await?);
    checks.push(feeds(&mut tx).await?);
    checks.extend(closes.finish());
    checks.push(documents::numbers(&mut tx).await?);
    checks.push(files.finish());
    checks.extend(money.finish());
    checks.push(facts.finish(&mut tx, &people).await?);
    checks.push(facts::storage(&mut tx).await?);
    checks.push(work::runs(&mut tx).await?);
    checks.push(work::mails(&mut tx).await?);
    checks.push(admission::told(&mut tx).await?);
    checks.push(alerts::once(&mut tx).await?);
    checks.push(work::audit_trail(&mut tx, &people).await?);
    Ok(checks)
}

/// Accepted use and what is known of its feeds are the same.
async fn feeds(tx: &mut crate::storage::Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("feeds_counted");
    check.checked = u64::try_from(usage::count(tx).await?).unwrap_or_default();
    for (source, events, counted) in crate::storage::feeds::differences(tx).await? {
        check.problem(format!("source {source:?}: {events} events, but its days say {counted}"));
    }
    Ok(check)
}

/// Accepted use and the roll-ups the close reads are the same.
async fn rollups(tx: &mut crate::storage::Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("usage_rolled_up");
    check.checked = u64::try_from(usage::count(tx).await?).unwrap_or_default();
    for difference in usage::rollup_differences(tx).await? {
        check.problem(format!(
            "organization {}, cycle {}: {} events with {} credits (10⁻⁹), but the roll-ups say {} and {}",
            difference.organization,
            difference.billed_cycle,
            difference.events,
            difference.events_credits,
            difference.rollup_events,
            difference.rollup_credits
        ));
    }
    Ok(check)
}
