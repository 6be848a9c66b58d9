//! What must hold outside the program, whatever was killed: told by the provider's books, the mail
//! server's memory, the files of the home, and the program's own lists. Each check gives what is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::home::{Home, files};
use crate::provider::Booked;
use crate::sink::Accepted;

/// Every invariant of the program itself.
pub fn verify(home: &Home, now: &str) -> Result<Vec<String>> {
    let said = home.json(Some(now), &["verify"])?;
    let failed = rows(&said, "checks")?.iter().filter(|check| check["ok"] != true);
    let mut problems: Vec<String> =
        failed.map(|check| format!("verify: {}: {}", check["name"], check["detail"])).collect();
    if problems.is_empty() && said["ok"] != true {
        problems.push("verify: not ok, and no check says why".to_owned());
    }
    Ok(problems)
}

/// Money was taken exactly once for each charge the program says succeeded, and for nothing else.
pub fn charged_once(home: &Home, now: &str, books: &[Booked]) -> Result<Vec<String>> {
    let said = home.json(Some(now), &["payment", "list", "--limit", "100000"])?;
    let mut taken: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for booked in books.iter().filter(|booked| booked.is_taken) {
        *taken.entry((&booked.organization, &booked.reference)).or_default() += 1;
    }
    let mut problems = Vec::new();
    let mut known = BTreeSet::new();
    for payment in rows(&said, "payments")? {
        let (organization, reference) = (text(payment, "organization"), text(payment, "reference"));
        let times = taken.get(&(organization, reference)).copied().unwrap_or_default();
        let state = text(payment, "state");
        if state == "succeeded" {
            known.insert((organization, reference));
            if times != 1 {
                problems.push(format!("{reference} of {organization} was charged {times} times"));
            }
        }
    }
    for (charge, times) in &taken {
        if !known.contains(charge) {
            problems
                .push(format!("{charge:?} was charged {times} times, and no paid charge says so"));
        }
    }
    Ok(problems)
}

/// No mail arrived more often than once and `kills` times more, and a repeat has the same Message-ID.
/// Gives the problems, and how many mails arrived again.
pub fn mailed(mails: &[Accepted], kills: usize) -> (Vec<String>, usize) {
    let mut problems = Vec::new();
    let mut arrived: BTreeMap<&Accepted, usize> = BTreeMap::new();
    let mut ids: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for mail in mails {
        *arrived.entry(mail).or_default() += 1;
        let about = (mail.recipient.as_str(), mail.subject.as_str());
        ids.entry(about).or_default().insert(&mail.message_id);
    }
    for ((recipient, subject), ids) in ids {
        if ids.len() > 1 {
            problems
                .push(format!("{subject:?} went to {recipient} under {} Message-IDs", ids.len()));
        }
    }
    let again = arrived.values().map(|times| times - 1).sum::<usize>();
    if again > kills {
        let often = arrived.iter().filter(|(_, times)| **times > 1);
        let which: Vec<_> =
            often.map(|(mail, times)| format!("{times} × {:?}", mail.subject)).collect();
        problems.push(format!("{again} mails arrived again after {kills} kills: {which:?}"));
    }
    (problems, again)
}

/// The numbers of each series of documents are 1…N.
pub fn numbered(home: &Home, now: &str, organizations: &[String]) -> Result<Vec<String>> {
    let mut series: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut note = |number: &str| -> Result<()> {
        let (name, ordinal) = number.rsplit_once('-').context("a number without a series")?;
        series.entry(name.to_owned()).or_default().push(ordinal.parse()?);
        Ok(())
    };
    let said = home.json(Some(now), &["invoice", "list"])?;
    for invoice in rows(&said, "invoices")? {
        note(text(invoice, "number"))?;
    }
    for organization in organizations {
        let said = home.json(Some(now), &["history", organization])?;
        for entry in rows(&said, "entries")? {
            if matches!(text(entry, "kind"), "receipt" | "credit_note") {
                note(text(entry, "number"))?;
            }
        }
    }
    let mut problems = Vec::new();
    for (name, mut ordinals) in series {
        ordinals.sort_unstable();
        if ordinals.iter().zip(1..).any(|(ordinal, place)| *ordinal != place) {
            problems.push(format!("the series {name} has the numbers {ordinals:?}"));
        }
    }
    Ok(problems)
}

/// Every document is there as PDF and CSV, whole, and no file stands there that no document names.
pub fn documented(home: &Home, now: &str, organizations: &[String]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for organization in organizations {
        let said = home.json(Some(now), &["history", organization])?;
        for entry in rows(&said, "entries")? {
            if !matches!(text(entry, "kind"), "invoice" | "receipt" | "credit_note") {
                continue;
            }
            let Some(pdf) = entry["pdf"].as_str() else {
                problems.push(format!("{} has no document", entry["number"]));
                continue;
            };
            let csv = format!("{}csv", pdf.trim_end_matches("pdf"));
            for path in [pdf.to_owned(), csv] {
                if !is_whole(&fs::read(&path).unwrap_or_default(), &path) {
                    problems.push(format!("{path} is missing or not whole"));
                }
                named.insert(path);
            }
        }
    }
    let folder = home.folder.join("documents");
    for file in files(&folder)? {
        let path = folder.join(&file).display().to_string();
        let is_temporary = file.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        if !is_temporary && !named.contains(&path) {
            problems.push(format!("{path} stands there, and no document names it"));
        }
    }
    Ok(problems)
}

/// Does a document end as it should?
pub fn is_whole(bytes: &[u8], path: &str) -> bool {
    if path.rsplit('.').next() == Some("pdf") {
        bytes.starts_with(b"%PDF-") && bytes.trim_ascii_end().ends_with(b"%%EOF")
    } else {
        bytes.ends_with(b"\n")
    }
}

/// Temporary files that are left in the home.
pub fn temporaries(home: &Home) -> Result<Vec<String>> {
    let hidden = |file: &String| file.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
    Ok(files(&home.folder)?.into_iter().filter(hidden).collect())
}

/// The list under a name.
pub fn rows<'a>(said: &'a Value, name: &str) -> Result<&'a Vec<Value>> {
    said[name].as_array().with_context(|| format!("no list {name:?} in {said}"))
}

/// The text under a name.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}
