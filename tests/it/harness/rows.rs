//! Input files, written row by row.

use std::collections::{BTreeMap, BTreeSet};

/// One row of an organizations file.
#[derive(Debug, Clone)]
pub struct Org(BTreeMap<&'static str, String>);

impl Org {
    /// An organization that pays in USD, lives in UTC and has no payment method.
    pub fn new(id: &str, plan: &str, joined_on: &str) -> Self {
        let cells = [
            ("id", id.to_owned()),
            ("name", format!("{id} Ltd")),
            ("billing_email", format!("billing@{id}.example")),
            ("plan", plan.to_owned()),
            ("joined_on", joined_on.to_owned()),
        ];
        Self(cells.into())
    }

    /// The same with another cell.
    #[must_use]
    pub fn with(mut self, column: &'static str, value: &str) -> Self {
        self.0.insert(column, value.to_owned());
        self
    }

    /// The same with a sandbox method: `ok`, `declined` …
    #[must_use]
    pub fn pays(self, how: &str) -> Self {
        self.with("payment_method", &format!("pm_sandbox_{how}"))
    }

    /// An organizations file.
    pub fn file(rows: &[Self]) -> String {
        let columns: BTreeSet<&str> = rows.iter().flat_map(|row| row.0.keys().copied()).collect();
        let quoted = |cell: &str| format!("\"{}\"", cell.replace('"', "\"\""));
        let mut lines = vec![columns.iter().copied().collect::<Vec<_>>().join(",")];
        for row in rows {
            let cells = columns.iter().map(|column| row.0.get(column).map_or("", String::as_str));
            lines.push(cells.map(quoted).collect::<Vec<_>>().join(","));
        }
        lines.join("\n") + "\n"
    }
}

/// A usage file of prompts, `(id, organization, at, executions)`: each execution is one credit (S3).
pub fn events(rows: &[(&str, &str, &str, &str)]) -> String {
    let mut text = "id,organization,at,meter,executions\n".to_owned();
    for (id, organization, at, executions) in rows {
        text.extend([id, ",", organization, ",", at, ",prompt,", executions, "\n"]);
    }
    text
}
