//! `verify` and `doctor`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::output::{Output, table};
use crate::app::{App, Options};
use crate::services::doctor;
use crate::verify;

pub(super) async fn verify(app: &Arc<App>, output: &Output) -> Result<Outcome> {
    let spinner = output.spinner("checking every invariant");
    let checks = verify::verify(app).await;
    spinner.finish_and_clear();
    let checks = checks?;
    let ok = checks.iter().all(verify::Check::ok);
    let objects: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({"name": check.name, "ok": check.ok(), "checked": check.checked, "detail": check.detail()})
        })
        .collect();
    output.result(&json!({"ok": ok, "checks": objects}), || {
        let rows = checks
            .iter()
            .map(|check| {
                let verdict = if check.ok() { "ok" } else { "FAILED" };
                vec![check.name.to_owned(), verdict.to_owned(), check.checked.to_string()]
            })
            .collect();
        let mut text = table(&["invariant", "", "checked"], &[2], rows);
        for check in checks.iter().filter(|check| !check.ok()) {
            for problem in &check.problems {
                text.push_str(&format!("\n  {}: {problem}", check.name));
            }
        }
        text
    });
    Ok(if ok { Outcome::Done } else { Outcome::Trouble })
}

pub(super) async fn doctor(options: Options, output: &Output) -> Result<Outcome> {
    let findings = doctor::examine(options).await;
    let ok = findings.iter().all(|finding| finding.ok);
    let objects: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"name": finding.name, "ok": finding.ok, "detail": finding.detail}))
        .collect();
    output.result(&json!({"ok": ok, "checks": objects}), || {
        let mut text = String::new();
        for finding in &findings {
            let verdict = if finding.ok { "ok" } else { "FAILED" };
            text.push_str(&format!("{verdict:<7}{:<14}{}\n", finding.name, finding.detail));
        }
        text
    });
    Ok(if ok { Outcome::Done } else { Outcome::Trouble })
}
