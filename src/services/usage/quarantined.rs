//! Rows that were set aside: listed, tried again once the cause is mended, or dismissed for good.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;

use super::reading::Row;
use super::{Counted, Imported, Intake, OUT_OF_RANGE, Quarantined, is_out_of_range, set_aside};
use crate::app::App;
use crate::intake::usage as intake;
use crate::services::ServiceError;
use crate::storage::{audit, ledger, quarantine};

/// Rows that are set aside, oldest first.
///
/// # Errors
/// The database fails.
pub async fn quarantined(app: &App) -> Result<Vec<quarantine::Row>, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(quarantine::open(&mut tx).await?)
}

/// Rows that were dismissed, oldest first.
///
/// # Errors
/// The database fails.
pub async fn dismissed(app: &App) -> Result<Vec<quarantine::Row>, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(quarantine::dismissed(&mut tx).await?)
}

/// What became of the rows that were set aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Retried {
    /// Totals, as for a file.
    pub imported: Imported,
    /// Rows looked at.
    pub rows: usize,
}

/// Tries every quarantined row again; one that is dismissed meanwhile stays dismissed.
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
        // The organization first, as an import locks it.
        let names: Vec<String> = rows.iter().map(|row| row.event.organization.clone()).collect();
        ledger::lock_these(&mut tx, &names).await?;
        // Taken off the list before it is billed: of a retry and a dismissal at once, one waits and finds it gone.
        if !quarantine::resolve(&mut tx, &origin.id, None, self.now).await? {
            return Ok(());
        }
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
        // Refused again, it stays on the list.
        if rejected.is_empty() {
            tx.commit().await?;
        } else {
            drop(tx);
        }
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
    /// Those of the files of a name; of those set aside on one day, where it is named.
    OfFile(&'a str, Option<NaiveDate>),
}

/// Ids the audit trail names one by one; the rows themselves keep the reason.
const NAMED: usize = 20;

/// Takes rows off the list that will never be accepted: they are not billed, and stay stored. All of them or none.
/// Gives them.
///
/// # Errors
/// One of them is not set aside, or files of one name came on several days and no day is named.
pub async fn dismiss(
    app: &App,
    which: Which<'_>,
    reason: &str,
) -> Result<Vec<quarantine::Row>, ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let rows = chosen(quarantine::open(&mut tx).await?, which)?;
    // The organizations first, as an import locks them.
    let organizations: BTreeSet<String> =
        rows.iter().filter_map(|row| row.organization.clone()).collect();
    ledger::lock_these(&mut tx, &Vec::from_iter(organizations)).await?;
    for row in &rows {
        if !quarantine::resolve(&mut tx, &row.id, Some(reason), now).await? {
            return Err(not_set_aside(&row.id));
        }
    }
    let named = rows.iter().take(NAMED).map(|row| row.id.as_str()).collect::<Vec<_>>().join(" ");
    let more = if rows.len() > NAMED { " …" } else { "" };
    let of = match which {
        Which::These(_) => String::new(),
        Which::OfFile(file, _) => format!(" of {file}"),
    };
    let command = format!("usage quarantine dismiss, {} rows{of}: {named}{more}", rows.len());
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(rows)
}

fn chosen(
    mut open: Vec<quarantine::Row>,
    which: Which<'_>,
) -> Result<Vec<quarantine::Row>, ServiceError> {
    match which {
        Which::These(ids) => {
            if let Some(id) = ids.iter().find(|id| open.iter().all(|row| row.id != **id)) {
                return Err(not_set_aside(id));
            }
            open.retain(|row| ids.contains(&row.id));
        }
        Which::OfFile(file, day) => {
            let is_of = |row: &quarantine::Row| {
                row.file == file && day.is_none_or(|day| row.received_at.date_naive() == day)
            };
            open.retain(is_of);
            if open.is_empty() {
                let day = day.map(|day| format!(" on {day}")).unwrap_or_default();
                return Err(ServiceError::NotFound(format!(
                    "no row of {file:?} was set aside{day}; `monthend usage quarantine list` shows all"
                )));
            }
        }
    }
    // Exports of every month may have one name.
    let mut days: BTreeMap<NaiveDate, usize> = BTreeMap::new();
    for row in &open {
        *days.entry(row.received_at.date_naive()).or_default() += 1;
    }
    if let Which::OfFile(file, None) = which
        && days.len() > 1
    {
        let days: Vec<String> =
            days.iter().map(|(day, rows)| format!("{day}: {rows} rows")).collect();
        return Err(ServiceError::Refused(format!(
            "files named {file:?} were imported on several days ({}); say which with --received-on",
            days.join(", ")
        )));
    }
    Ok(open)
}

fn not_set_aside(id: &str) -> ServiceError {
    ServiceError::NotFound(format!(
        "no row {id} is set aside; `monthend usage quarantine list` shows all"
    ))
}
