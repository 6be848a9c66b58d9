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
mod usage;
mod work;

use crate::app::App;
use crate::services::ServiceError;
use crate::storage::{audit, organizations};

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
    let trail = audit::all(&mut tx).await?;
    let people = facts::People::new(&trail);
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
    let events = usage::intact(&mut tx).await?;
    let accepted = events.checked;
    checks.push(events);
    checks.push(usage::rollups(&mut tx, accepted).await?);
    checks.push(usage::feeds(&mut tx, accepted).await?);
    checks.extend(closes.finish());
    checks.push(documents::numbers(&mut tx).await?);
    checks.push(files.finish());
    checks.extend(money.finish());
    checks.push(facts.finish(&mut tx, &trail).await?);
    checks.push(facts::storage(&mut tx).await?);
    checks.push(work::runs(&mut tx).await?);
    checks.push(work::mails(&mut tx).await?);
    checks.push(admission::told(&mut tx).await?);
    checks.push(alerts::once(&mut tx).await?);
    checks.push(work::audit_trail(&mut tx, &trail).await?);
    Ok(checks)
}
