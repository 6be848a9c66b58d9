//! Sums of roll-ups by day and by project, and counts of grants: what alerts and forecasts look at.

use std::collections::HashMap;

use chrono::NaiveDate;

use super::db::{Statement, fetch_all, in_range};
use super::{StorageError, Tx, parsed};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;

/// Use by the cycle that bills it and by day.
pub type Days = Vec<(Cycle, NaiveDate, Credits)>;

/// Rated use of a range of organizations by the cycle that bills it, from `since` on, and by day.
pub async fn daily(
    tx: &mut Tx,
    first: &str,
    last: &str,
    since: Cycle,
) -> Result<HashMap<String, Days>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, NaiveDate, i64),
        concat!(
            "SELECT organization, billed_cycle, day, CAST(COALESCE(SUM(credits), 0) AS BIGINT) FROM usage_rollup WHERE ",
            in_range!("organization"),
            " AND organization BETWEEN $1 AND $2 AND billed_cycle >= $3 GROUP BY organization, billed_cycle, day"
        ),
        first,
        last,
        since.to_string()
    );
    let mut daily: HashMap<String, Days> = HashMap::new();
    for (organization, cycle, day, nano) in rows {
        let cycle = parsed("usage_rollup", "billed_cycle", &organization, &cycle)?;
        daily.entry(organization).or_default().push((cycle, day, Credits::from_nano(nano)));
    }
    Ok(daily)
}

/// Use of projects by organization, cycle that bills it, and project.
pub type Projects = HashMap<(String, Cycle, String), Credits>;

/// Rated use of some projects of a range of organizations, by the cycle that bills it, from `since` on.
pub async fn by_project(
    tx: &mut Tx,
    first: &str,
    last: &str,
    since: Cycle,
    projects: &[&str],
) -> Result<Projects, StorageError> {
    if projects.is_empty() {
        return Ok(Projects::new());
    }
    let mut statement = Statement::new(
        "SELECT organization, billed_cycle, project, CAST(COALESCE(SUM(credits), 0) AS BIGINT) \
         FROM usage_rollup WHERE organization IN (SELECT id FROM organization WHERE id BETWEEN ",
    );
    statement
        .bind(first)
        .push(" AND ")
        .bind(last)
        .push(") AND organization BETWEEN ")
        .bind(first)
        .push(" AND ")
        .bind(last)
        .push(" AND billed_cycle >= ")
        .bind(since.to_string())
        .push(" AND project IN (")
        .list(projects)
        .push(") GROUP BY organization, billed_cycle, project");
    let rows: Vec<(String, String, String, i64)> = statement.fetch_all(tx).await?;
    let mut used = Projects::with_capacity(rows.len());
    for (organization, cycle, project, nano) in rows {
        let cycle = parsed("usage_rollup", "billed_cycle", &organization, &cycle)?;
        used.insert((organization, cycle, project), Credits::from_nano(nano));
    }
    Ok(used)
}

/// How many grants beside allowances were made to a range of organizations, by cycle from `since` on.
pub async fn grants_made(
    tx: &mut Tx,
    first: &str,
    last: &str,
    since: Cycle,
) -> Result<HashMap<(String, Cycle), i64>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String, String, i64),
        "SELECT organization, cycle, CAST(COUNT(*) AS BIGINT) FROM credit_grant \
         WHERE organization BETWEEN $1 AND $2 AND cycle >= $3 AND source <> 'allowance' \
         GROUP BY organization, cycle",
        first,
        last,
        since.to_string()
    );
    let mut made = HashMap::with_capacity(rows.len());
    for (organization, cycle, count) in rows {
        let cycle = parsed("credit_grant", "cycle", &organization, &cycle)?;
        made.insert((organization, cycle), count);
    }
    Ok(made)
}
