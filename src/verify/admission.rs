//! Pauses: versions without holes, each change told, each webhook sent or on its way.

use std::collections::BTreeMap;

use super::Check;
use crate::services::ServiceError;
use crate::services::admission::{KEY, key_of};
use crate::storage::{Tx, admission, webhooks};

/// Each change has its notice, the last one says what the row says, and no webhook is stranded.
pub(super) async fn told(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("admission_told");
    let mut notices: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (organization, key, kind) in admission::notices(tx, KEY).await? {
        notices.entry(organization).or_default().insert(key, kind);
    }
    for told in admission::all(tx).await? {
        let id = &told.organization;
        let found = notices.remove(id).unwrap_or_default();
        let known = (1..=told.version).filter(|version| found.contains_key(&key_of(*version)));
        let complete = known.count() == found.len()
            && i64::try_from(found.len()).is_ok_and(|count| count == told.version);
        check.count(complete, || {
            format!("organization {id}: {} of {} changes were told", found.len(), told.version)
        });
        let kind = if told.reason.is_some() { "paused" } else { "resumed" };
        let last = found.get(&key_of(told.version));
        check.count(last.is_none_or(|last| last == kind), || {
            format!("organization {id}: the last change told is not that it is {kind}")
        });
    }
    for id in notices.into_keys() {
        check.problem(format!("organization {id}: a change was told that is not recorded"));
    }
    check.checked += u64::try_from(webhooks::count(tx).await?).unwrap_or_default();
    for id in webhooks::stranded(tx).await? {
        check.problem(format!("webhook {id} is not sent, and no step will send it"));
    }
    Ok(check)
}
