//! Who runs out while a file comes in. How much an organization has left is read once; after that only those whose use
//! in this import came to as much are looked at again.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};

use crate::app::App;
use crate::domain::credits::Credits;
use crate::services::ServiceError;
use crate::services::admission::{self, Ended};
use crate::storage::Tx;
use crate::storage::admission::Who;
use crate::storage::usage::Group;

/// What an import knows of who may still run out.
///
/// What others do meanwhile is not seen: who runs out by two imports at once is told by the job `admission`.
#[derive(Debug, Default)]
pub struct RunningOut {
    /// Credits left; none: nothing that comes in changes whether it may go on.
    left: HashMap<String, Option<Credits>>,
}

/// What was learned in a transaction; true once that is committed.
#[derive(Debug, Default)]
#[must_use]
pub struct Learned(Vec<(String, Option<Credits>)>);

impl RunningOut {
    /// Pauses, and tells so, who runs out with these events, in the transaction that stores them (S49).
    ///
    /// # Errors
    /// The database fails, or a sum is out of range.
    pub async fn look(
        &self,
        app: &App,
        tx: &mut Tx,
        groups: &[Group<'_>],
        now: DateTime<Utc>,
    ) -> Result<Learned, ServiceError> {
        let mut used: BTreeMap<&str, Credits> = BTreeMap::new();
        for group in groups {
            let Some(first) = group.first() else { continue };
            let sum = used.entry(first.event.organization.as_str()).or_default();
            *sum = sum.plus(Credits::total(group.iter().map(|rated| rated.rating.credits))?)?;
        }
        let mut learned = Learned::default();
        let mut looked_at = Vec::new();
        for (organization, used) in used {
            match self.left.get(organization) {
                Some(None) => {}
                Some(Some(left)) if *left > used => {
                    learned.0.push((organization.to_owned(), Some(left.minus(used)?)));
                }
                Some(Some(_)) | None => looked_at.push(organization.to_owned()),
            }
        }
        let found = admission::update(app, tx, Who::These(&looked_at), Ended::Leave, now).await?;
        let left: HashMap<String, Credits> = found
            .into_iter()
            .filter(|standing| standing.available.is_positive())
            .map(|standing| (standing.organization, standing.available))
            .collect();
        let known = looked_at.into_iter().map(|organization| {
            let left = left.get(&organization).copied();
            (organization, left)
        });
        learned.0.extend(known);
        Ok(learned)
    }

    /// The transaction was committed.
    pub fn learn(&mut self, learned: Learned) {
        self.left.extend(learned.0);
    }
}
