//! Credits of credit notes: given back to grants, or taken off them with the money that paid for them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, insert};
use super::{StorageError, Tx, by_organization, parsed};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;

/// Credits of one grant in one credit note.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Correction {
    /// Whose.
    pub organization: String,
    /// The credit note.
    pub document_id: String,
    /// The grant.
    pub grant_id: String,
    /// The cycle it was made in: its statement shows it.
    pub cycle: String,
    /// 10⁻⁹ credit; above zero: given back, below: taken off.
    pub credits: i64,
    /// The closed cycle whose use was given back.
    pub used_cycle: Option<String>,
}

/// Records the credits of a credit note.
pub async fn add(
    tx: &mut Tx,
    corrections: &[Correction],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO credit_correction (organization, document_id, grant_id, cycle, credits, used_cycle, recorded_at)",
        "",
        corrections,
        row => [
            &row.organization,
            &row.document_id,
            &row.grant_id,
            &row.cycle,
            row.credits,
            &row.used_cycle,
            now,
        ]
    );
    Ok(())
}

/// All of an organization.
pub async fn of_organization(
    tx: &mut Tx,
    organization: &str,
) -> Result<Vec<Correction>, StorageError> {
    Ok(fetch_all!(
        tx,
        Correction,
        "SELECT organization, document_id, grant_id, cycle, credits, used_cycle FROM credit_correction \
         WHERE organization = $1 ORDER BY document_id, grant_id",
        organization
    ))
}

/// What a cycle's corrections come to per grant, for a range of organizations, as the close takes them.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<HashMap<String, Vec<(String, Credits)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, i64),
        "SELECT organization, grant_id, CAST(COALESCE(SUM(credits), 0) AS BIGINT) FROM credit_correction \
         WHERE organization BETWEEN $1 AND $2 AND cycle = $3 GROUP BY organization, grant_id \
         ORDER BY organization, grant_id",
        first,
        last,
        cycle.to_string()
    );
    by_organization(rows.into_iter().map(|(organization, grant, credits)| {
        Ok((organization, (grant, Credits::from_nano(credits))))
    }))
}

/// What the corrections of each cycle come to per grant, for a range of organizations: cycle, grant, credits.
pub async fn of_all_cycles(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<(Cycle, String, Credits)>>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, String, i64),
        "SELECT organization, cycle, grant_id, CAST(COALESCE(SUM(credits), 0) AS BIGINT) FROM credit_correction \
         WHERE organization BETWEEN $1 AND $2 GROUP BY organization, cycle, grant_id \
         ORDER BY organization, cycle, grant_id",
        first,
        last
    );
    by_organization(rows.into_iter().map(|(organization, cycle, grant, credits)| {
        let cycle = parsed("credit_correction", "cycle", &organization, &cycle)?;
        Ok((organization, (cycle, grant, Credits::from_nano(credits))))
    }))
}
