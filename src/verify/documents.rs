//! Numbers without gaps, and files that are what was sent.

use std::collections::BTreeMap;

use super::Check;
use crate::app::App;
use crate::domain::ids;
use crate::services::ServiceError;
use crate::storage::{Tx, artifacts, documents, invoices};

/// The numbers of each series are 1…N, and later numbers were not issued earlier.
pub(super) async fn numbers(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("numbers_gapless");
    let mut last: BTreeMap<String, (i64, chrono::DateTime<chrono::Utc>)> = BTreeMap::new();
    for row in invoices::numbers(tx).await? {
        let (number, issued_at) =
            last.get(&row.series).copied().unwrap_or((0, chrono::DateTime::<chrono::Utc>::MIN_UTC));
        check.count(row.series_number == number + 1, || {
            format!("series {}: after {number} comes {}", row.series, row.series_number)
        });
        check.count(row.issued_at >= issued_at, || {
            format!("invoice {} was issued before the number before it", row.number)
        });
        last.insert(row.series, (row.series_number, row.issued_at));
    }
    for (series, counter) in invoices::counters(tx).await? {
        let issued = last.get(&series).map_or(0, |(number, _)| *number);
        check.count(series == "audit" || issued == counter, || {
            format!("series {series}: the counter says {counter}, the last invoice is {issued}")
        });
    }
    Ok(check)
}

/// Every stored file is there with the bytes its row names, and states the invoice's number and total.
pub(super) async fn files(app: &App, tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("documents_intact");
    let mut documented = Vec::new();
    for row in invoices::list(tx, None, None).await? {
        let total = row.money(row.total)?.amount_text();
        documented.push((row.organization, row.id, row.number.unwrap_or_default(), total));
    }
    for row in documents::all(tx).await? {
        let total = row.money(row.total)?.amount_text();
        documented.push((row.organization, row.id, row.number, total));
    }
    for (organization, id, number, total) in documented {
        for artifact in artifacts::of_invoice(tx, &organization, &id).await? {
            let path = app.documents().join(&artifact.path);
            let bytes = std::fs::read(&path).unwrap_or_default();
            let whole = i64::try_from(bytes.len()) == Ok(artifact.length);
            check.count(whole && ids::sha256_hex(&bytes) == artifact.sha256, || {
                format!("{} is missing or was altered", artifact.path)
            });
            if artifact.kind == "csv" {
                let text = String::from_utf8_lossy(&bytes);
                check.count(text.contains(&number) && text.contains(&total), || {
                    format!("{} does not state {number} and {total}", artifact.path)
                });
            }
        }
    }
    Ok(check)
}
