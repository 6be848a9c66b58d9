//! Numbers without gaps, and files that are what was sent.

use std::collections::{BTreeMap, HashMap};

use super::Check;
use super::books::Books;
use crate::app::App;
use crate::domain::ids;
use crate::services::ServiceError;
use crate::storage::{Tx, numbers as series};

/// The numbers of each series are 1…N, and later numbers were not issued earlier.
pub(super) async fn numbers(tx: &mut Tx) -> Result<Check, ServiceError> {
    let mut check = Check::new("numbers_gapless");
    let mut last: BTreeMap<String, (i64, chrono::DateTime<chrono::Utc>)> = BTreeMap::new();
    for row in series::all(tx).await? {
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
    for (series, counter) in series::counters(tx).await? {
        let issued = last.get(&series).map_or(0, |(number, _)| *number);
        check.count(series == "audit" || issued == counter, || {
            format!("series {series}: the counter says {counter}, the last invoice is {issued}")
        });
    }
    Ok(check)
}

/// Files are there with the bytes their rows name, and state the document's number and total.
pub(super) struct Files {
    files: Check,
}

impl Files {
    pub(super) fn new() -> Self {
        Self { files: Check::new("documents_intact") }
    }

    pub(super) fn organization(&mut self, app: &App, books: &Books) -> Result<(), ServiceError> {
        let mut stated: HashMap<&str, (&str, String)> = HashMap::new();
        for row in books.invoices.iter().map(|invoice| &invoice.row) {
            let total = row.money(row.total)?.amount_text();
            stated.insert(&row.id, (row.number.as_deref().unwrap_or_default(), total));
        }
        for row in &books.documents {
            stated.insert(&row.id, (&row.number, row.money(row.total)?.amount_text()));
        }
        for artifact in &books.artifacts {
            // A file of no document is found by `rows_agree`.
            let Some((number, total)) = stated.get(artifact.invoice_id.as_str()) else { continue };
            let path = app.documents().join(&artifact.path);
            let bytes = std::fs::read(&path).unwrap_or_default();
            let whole = i64::try_from(bytes.len()) == Ok(artifact.length);
            self.files.count(whole && ids::sha256_hex(&bytes) == artifact.sha256, || {
                format!("{} is missing or was altered", artifact.path)
            });
            if artifact.kind == "csv" {
                let text = String::from_utf8_lossy(&bytes);
                self.files.count(text.contains(number) && text.contains(total.as_str()), || {
                    format!("{} does not state {number} and {total}", artifact.path)
                });
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Check {
        self.files
    }
}
