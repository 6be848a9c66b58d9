//! Runs, mails, audit: everybody ends in a named state, every fact is told, nothing was cut out.

use super::Check;
use crate::services::ServiceError;
use crate::storage::audit::AuditRow;
use crate::storage::{Tx, cycles, invoices, mails, numbers, runs};

/// Each run's state is what its steps say; every closed cycle is invoiced or has nothing to bill; a
/// finished run leaves no draft behind.
pub(super) async fn runs(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("runs_complete");
    check.checked = u64::try_from(runs::count(tx).await?).unwrap_or_default();
    for id in runs::done_too_early(tx).await? {
        check.problem(format!("run {id} is done, but has unfinished steps"));
    }
    let unfinished: Vec<String> =
        runs::unfinished(tx).await?.into_iter().map(|run| run.cycle).collect();
    check.checked += u64::try_from(invoices::count(tx).await?).unwrap_or_default();
    for (organization, cycle) in invoices::without_number(tx).await? {
        if !unfinished.contains(&cycle) {
            check.problem(format!(
                "organization {organization}: the draft of {cycle} was left behind"
            ));
        }
    }
    for (organization, cycle) in cycles::without_outcome(tx).await? {
        check.problem(format!("organization {organization}: {cycle} ended in no named state"));
    }
    Ok(check)
}

/// Every issued, rendered invoice has its mail, and every unsent mail a step that will send it.
pub(super) async fn mails(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("mails_complete");
    check.checked = u64::try_from(mails::count(tx).await?).unwrap_or_default();
    for id in mails::stranded(tx).await? {
        check.problem(format!("mail {id} is not sent, and no step will send it"));
    }
    for number in mails::invoices_without(tx).await? {
        check.problem(format!("invoice {number} has documents, but nobody was told"));
    }
    Ok(check)
}

/// The audit trail is complete and unaltered.
pub(super) async fn audit_trail(tx: &mut Tx, trail: &[AuditRow]) -> Result<Check, ServiceError> {
    let mut check = Check::new("audit_chained");
    let (mut seq, mut hash) = (0, "");
    for row in trail {
        let linked = row.seq == seq + 1 && row.previous_hash == hash;
        check.count(linked && row.computed_hash() == row.hash, || {
            format!("audit row {}: altered, or one before it is missing", row.seq)
        });
        (seq, hash) = (row.seq, &row.hash);
    }
    let stored = numbers::counters(tx).await?.into_iter().find(|(name, _)| name == "audit");
    let counter = stored.map_or(0, |(_, last)| last);
    check.count(counter == seq, || {
        format!("series audit: the counter says {counter}, the last row is {seq}")
    });
    Ok(check)
}
