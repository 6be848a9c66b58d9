//! Grants and what is left of them.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, insert};
use super::{StorageError, Tx, by_organization, parsed};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::grant::{Grant, OpenGrant};

#[derive(Record!)]
struct GrantRow {
    organization: String,
    id: String,
    source: String,
    cycle: String,
    granted: i64,
    granted_at: DateTime<Utc>,
    last_cycle: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    remaining: i64,
}

impl GrantRow {
    fn into_domain(self) -> Result<(String, OpenGrant), StorageError> {
        let name = format!("{}/{}", self.organization, self.id);
        let last_cycle = self
            .last_cycle
            .as_deref()
            .map(|text| parsed::<Cycle>("credit_grant", "last_cycle", &name, text))
            .transpose()?;
        let grant = Grant {
            source: parsed("credit_grant", "source", &name, &self.source)?,
            cycle: parsed("credit_grant", "cycle", &name, &self.cycle)?,
            granted: Credits::from_nano(self.granted),
            granted_at: self.granted_at,
            last_cycle,
            expires_at: self.expires_at,
            id: self.id,
        };
        let remaining = Credits::from_nano(self.remaining);
        Ok((self.organization, OpenGrant { grant, remaining }))
    }
}

/// Stores new grants with their whole amounts left.
pub async fn add(
    tx: &mut Tx,
    grants: &[(String, Grant)],
    reason: Option<&str>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO credit_grant (organization, id, source, cycle, granted, granted_at, last_cycle, \
         expires_at, reason)",
        "",
        grants,
        row => [
            &row.0,
            &row.1.id,
            row.1.source.as_str(),
            row.1.cycle.to_string(),
            row.1.granted.nano(),
            row.1.granted_at,
            row.1.last_cycle.map(|cycle| cycle.to_string()),
            row.1.expires_at,
            reason.map(str::to_owned),
        ]
    );
    let balances: Vec<_> = grants
        .iter()
        .map(|(organization, grant)| (organization.clone(), grant.id.clone(), grant.granted))
        .collect();
    super::ledger::set_remaining(tx, &balances).await
}

/// Grants of a range of organizations that the close of a cycle looks at: those with credits left, and
/// those a credit note of the cycle left nothing of.
pub async fn for_close(
    tx: &mut Tx,
    first: &str,
    last: &str,
    cycle: Cycle,
) -> Result<HashMap<String, Vec<OpenGrant>>, StorageError> {
    let mut by_organization = open(tx, first, last).await?;
    let rows = fetch_all!(
        tx,
        GrantRow,
        "SELECT DISTINCT g.organization, g.id, g.source, g.cycle, g.granted, g.granted_at, g.last_cycle, \
         g.expires_at, b.remaining FROM credit_correction c JOIN credit_grant g \
         ON g.organization = c.organization AND g.id = c.grant_id \
         JOIN credit_balance b ON b.organization = g.organization AND b.grant_id = g.id \
         WHERE c.organization BETWEEN $1 AND $2 AND c.cycle = $3 AND b.remaining = 0 \
         ORDER BY g.organization, g.id",
        first,
        last,
        cycle.to_string()
    );
    for row in rows {
        let (organization, open) = row.into_domain()?;
        by_organization.entry(organization).or_default().push(open);
    }
    Ok(by_organization)
}

/// Grants with credits left of a range of organizations, by organization. `CROSS`, or SQLite would begin with all
/// grants they ever had.
pub async fn open(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<OpenGrant>>, StorageError> {
    let rows = fetch_all!(
        tx,
        GrantRow,
        "SELECT g.organization, g.id, g.source, g.cycle, g.granted, g.granted_at, g.last_cycle, \
         g.expires_at, b.remaining FROM credit_balance b CROSS JOIN credit_grant g \
         WHERE g.organization = b.organization AND g.id = b.grant_id \
         AND b.organization BETWEEN $1 AND $2 AND b.remaining > 0 ORDER BY b.organization, b.grant_id",
        first,
        last
    );
    by_organization(rows.into_iter().map(GrantRow::into_domain))
}

/// All grants of one organization, used up or not, oldest first.
pub async fn all(tx: &mut Tx, organization: &str) -> Result<Vec<OpenGrant>, StorageError> {
    let mut grants = in_range(tx, organization, organization).await?;
    Ok(grants.remove(organization).unwrap_or_default())
}

/// All grants of a range of organizations, used up or not, oldest first.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<OpenGrant>>, StorageError> {
    let rows = fetch_all!(
        tx,
        GrantRow,
        "SELECT g.organization, g.id, g.source, g.cycle, g.granted, g.granted_at, g.last_cycle, \
         g.expires_at, COALESCE(b.remaining, -1) AS remaining FROM credit_grant g \
         LEFT JOIN credit_balance b ON g.organization = b.organization AND g.id = b.grant_id \
         WHERE g.organization BETWEEN $1 AND $2 ORDER BY g.organization, g.id",
        first,
        last
    );
    by_organization(rows.into_iter().map(GrantRow::into_domain))
}
