//! Rows that were set aside: listed, tried again once the cause is mended, or dismissed for good.

use std::collections::BTreeSet;

use super::reading::Row;
use super::{Counted, Imported, Intake, OUT_OF_RANGE, Quarantined, is_out_of_range, set_aside};
use crate::app::App;
use crate::intake::usage as intake;
use crate::services::ServiceError;
use crate::storage::{audit, quarantine};

/// Rows that are set aside, oldest first.
///
/// # Errors
/// The database fails.
pub async fn quarantined(app: &App) -> Result<Vec<quarantine::Row>, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(quarantine::open(&mut tx).await?)
}

/// What became of the rows that were set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Totals, as for a file.
    pub imported: Imported,
    /// Rows looked at.
    pub rows: usize,
}

/// Tries every quarantined row again.
///
/// # Errors
/// The database fails.
pub async fn retry_quarantine(app: &App) -> Result<Retried, ServiceError> {
    let mut tx = app.db.read().await?;
    let open = quarantine::open(&mut tx).await?;
    drop(tx);
    let mut intake = Intake::new(app, "quarantine").await?;
    let mut retried = Retried { rows: open.len(), ..Retried::default() };
    for row in open {
        let line = u64::try_from(row.line).unwrap_or_default();
        let before = retried.imported.quarantined.len();
        match intake::read_raw(&row.raw) {
            Ok(event) => {
                let rows = [Row::new(&intake.rates, line, event, row.received_at)];
                intake.retry(&rows, &row, &mut retried.imported).await?;
            }
            Err(error) => {
                let reason = error.to_string();
                retried.imported.quarantined.push(Quarantined {
                    file: row.file.clone(),
                    line,
                    organization: row.organization.clone(),
                    raw: row.raw.clone(),
                    reason,
                });
            }
        }
        if let Some(again) = retried.imported.quarantined.get(before) {
            let mut tx = app.db.write().await?;
            quarantine::refuse_again(&mut tx, &row.id, &again.reason).await?;
            tx.commit().await?;
        }
    }
    Ok(retried)
}

impl Intake<'_> {
    async fn retry(
        &mut self,
        rows: &[Row],
        origin: &quarantine::Row,
        imported: &mut Imported,
    ) -> Result<(), ServiceError> {
        let mut rejected = Vec::new();
        let mut tx = self.app.db.write().await?;
        let stored = self.store(&mut tx, rows, &mut rejected).await;
        let summed = stored.and_then(|(counted, learned)| {
            let credits = imported.credits.plus(counted.credits)?;
            Ok((counted, learned, credits))
        });
        let (counted, learned, credits) = match summed {
            Err(error) if is_out_of_range(&error) => {
                let alone = |row: &Row| set_aside(row.line, &row.event, OUT_OF_RANGE.to_owned());
                let alone = rows.iter().map(alone).collect();
                imported.add(&Counted::default(), imported.credits, alone, &origin.file);
                return Ok(());
            }
            summed => summed?,
        };
        if rejected.is_empty() {
            quarantine::resolve(&mut tx, &origin.id, self.now).await?;
        }
        tx.commit().await?;
        self.running_out.learn(learned);
        imported.add(&counted, credits, rejected, &origin.file);
        Ok(())
    }
}

/// Which rows are dismissed.
#[derive(Debug, Clone, Copy)]
pub enum Which<'a> {
    /// Those of these ids.
    These(&'a [String]),
    /// Those of a file.
    OfFile(&'a str),
}

/// Ids the audit trail names one by one.
const NAMED: usize = 20;

/// Takes rows off the list that will never be accepted: they are not billed, and stay stored. All of them or none.
/// Gives how many.
///
/// # Errors
/// One of them is not set aside.
pub async fn dismiss(app: &App, which: Which<'_>, reason: &str) -> Result<usize, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let open = quarantine::open(&mut tx).await?;
    let ids: Vec<String> = match which {
        Which::These(ids) => {
            if let Some(id) = ids.iter().find(|id| open.iter().all(|row| row.id != **id)) {
                return Err(ServiceError::NotFound(format!(
                    "no row {id} is set aside; `monthend usage quarantine list` shows all"
                )));
            }
            ids.iter().cloned().collect::<BTreeSet<String>>().into_iter().collect()
        }
        Which::OfFile(file) => {
            let ids: Vec<String> =
                open.into_iter().filter(|row| row.file == file).map(|row| row.id).collect();
            if ids.is_empty() {
                return Err(ServiceError::NotFound(format!("no row of {file:?} is set aside")));
            }
            ids
        }
    };
    for id in &ids {
        quarantine::resolve(&mut tx, id, now).await?;
    }
    let named = ids.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(" ");
    let more = if ids.len() > NAMED { " …" } else { "" };
    let command = format!("usage quarantine dismiss, {} rows: {named}{more}", ids.len());
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(ids.len())
}
