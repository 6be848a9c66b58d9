//! The end a cycle comes to, and whether it is the one it would have come to undisturbed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use chrono::DateTime;
use serde_json::{Value, json};

use super::cycle::{END, ORGANIZATIONS, World};
use crate::checks;
use crate::home::files;

/// Everything an outsider can see at the end, part by part.
pub struct End {
    parts: BTreeMap<String, Value>,
    /// Whose invoice of which cycle has which number.
    numbers: BTreeMap<String, String>,
    /// Was anything bought?
    pub has_purchase: bool,
    /// Checks that did not hold.
    pub problems: Vec<String>,
    /// Mails that arrived again.
    pub again: usize,
}

/// Plays the last tick and looks at everything. `kills`: how many mails may have arrived again.
pub fn reach(world: &World, kills: usize) -> Result<End> {
    let home = &world.home;
    age_temporaries(world)?;
    home.json(Some(END), &["tick"])?;
    let (mails, books) = (world.mails()?, world.books().unwrap_or_default());
    let organizations: Vec<String> = ORGANIZATIONS.iter().map(|&id| id.to_owned()).collect();
    let (mut problems, again) = checks::mailed(&mails, kills);
    problems.extend(checks::verify(home, END)?);
    problems.extend(checks::charged_once(home, END, &books)?);
    problems.extend(checks::numbered(home, END, &organizations)?);
    problems.extend(checks::documented(home, END, &organizations)?);
    let left = checks::temporaries(home)?;
    if !left.is_empty() {
        problems.push(format!("temporary files are left: {left:?}"));
    }
    let mut parts = BTreeMap::new();
    let mut has_purchase = false;
    for organization in &organizations {
        let history = home.json(Some(END), &["history", organization])?;
        has_purchase |=
            checks::rows(&history, "entries")?.iter().any(|it| it["kind"] == "purchase");
        let fields = ["kind", "number", "amount", "credits", "status", "by"];
        parts.insert(format!("history of {organization}"), only(&history, "entries", &fields)?);
        let balance = home.json(Some(END), &["credits", "balance", organization])?;
        parts.insert(
            format!("balance of {organization}"),
            json!([balance["available"], balance["deficit"]]),
        );
    }
    let invoices = home.json(Some(END), &["invoice", "list"])?;
    let fields = [
        "number",
        "organization",
        "cycle",
        "issued_on",
        "status",
        "payment_status",
        "total",
        "amount_due",
    ];
    parts.insert("invoices".to_owned(), only(&invoices, "invoices", &fields)?);
    let payments = home.json(Some(END), &["payment", "list"])?;
    let fields = ["organization", "attempt", "amount", "state", "message"];
    parts.insert("payments".to_owned(), only(&payments, "payments", &fields)?);
    let runs = home.json(Some(END), &["run", "list"])?;
    let steps = |name: &str| -> Result<u64> {
        let count = |run: &Value| run["steps"][name].as_u64().unwrap_or_default();
        Ok(checks::rows(&runs, "runs")?.iter().map(count).sum())
    };
    parts.insert(
        "steps that wait or are parked".to_owned(),
        json!([steps("waiting")?, steps("parked")?]),
    );
    let mut told: Vec<_> = mails.iter().map(|mail| json!([mail.recipient, mail.subject])).collect();
    told.sort_by_key(Value::to_string);
    told.dedup();
    parts.insert("mails".to_owned(), json!(told));
    parts.insert("documents".to_owned(), documents(world)?);
    let mut numbers = BTreeMap::new();
    for invoice in checks::rows(&invoices, "invoices")? {
        let text = |name| checks::text(invoice, name);
        let whose = format!("INV of {} for {}", text("organization"), text("cycle"));
        numbers.insert(text("number").to_owned(), whose);
    }
    for part in parts.values_mut() {
        *part = without_numbers(part, &numbers)?;
    }
    Ok(End { parts, numbers, has_purchase, problems, again })
}

impl End {
    /// Where this end differs from another, and how.
    pub fn differences(&self, expected: &Self) -> Vec<String> {
        let same_order = self.numbers == expected.numbers;
        let differs = |(name, part): (&String, &Value)| {
            let other = expected.parts.get(name).unwrap_or(&Value::Null);
            if name == "documents" && !same_order {
                // Other numbers are printed in them; `verify` has compared the bytes with the stored hashes.
                return (names(part) != names(other)).then(|| "documents are others".to_owned());
            }
            (part != other).then(|| format!("{name}: {}", difference(part, other)))
        };
        self.parts.iter().filter_map(differs).collect()
    }
}

/// A part with an invoice's owner and cycle instead of its number: a close that had to be done again comes
/// after the others, so its invoices get later numbers. That they are 1…N is a check of its own.
fn without_numbers(part: &Value, numbers: &BTreeMap<String, String>) -> Result<Value> {
    let mut text = part.to_string();
    for (number, whose) in numbers {
        text = text.replace(number, whose);
    }
    let mut part: Value = serde_json::from_str(&text)?;
    if let Some(list) = part.as_array_mut().filter(|list| list.iter().any(Value::is_array)) {
        list.sort_by_key(Value::to_string);
    }
    Ok(part)
}

/// The first field of each row.
fn names(part: &Value) -> Vec<&Value> {
    part.as_array().into_iter().flatten().map(|row| &row[0]).collect()
}

/// What two lists do not share; of anything else, both.
fn difference(seen: &Value, expected: &Value) -> String {
    let lacks = |list: &Value, other: &Value| -> Option<Vec<String>> {
        let rest = list
            .as_array()?
            .iter()
            .filter(|it| !other.as_array().unwrap_or(&Vec::new()).contains(it));
        Some(rest.map(Value::to_string).collect())
    };
    match (lacks(seen, expected), lacks(expected, seen)) {
        (Some(more), Some(less)) if seen.as_array().is_some_and(|list| list.len() > 2) => {
            format!("too much: {more:?}; missing: {less:?}")
        }
        _ => format!("{seen}, undisturbed: {expected}"),
    }
}

/// Some fields of every row, in an order of their own.
fn only(said: &Value, name: &str, fields: &[&str]) -> Result<Value> {
    let row = |row: &Value| json!(fields.iter().map(|field| &row[*field]).collect::<Vec<_>>());
    let mut rows: Vec<Value> = checks::rows(said, name)?.iter().map(row).collect();
    rows.sort_by_key(Value::to_string);
    Ok(json!(rows))
}

/// Each document with a hash of its bytes: a redo gives the same. Only the id of a grant begins with the
/// instant of its purchase, and stands in the CSV.
fn documents(world: &World) -> Result<Value> {
    let folder = world.home.folder.join("documents");
    let mut hashes = Vec::new();
    for file in files(&folder)? {
        let mut bytes = fs::read(folder.join(&file))?;
        if file.ends_with("csv") {
            bytes = without_grants(&String::from_utf8_lossy(&bytes)).into_bytes();
        }
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        hashes.push(json!([file, hasher.finish()]));
    }
    Ok(json!(hashes))
}

/// A text without the ids of grants.
fn without_grants(text: &str) -> String {
    let parts = text.split("grt_").enumerate().map(|(number, part)| match part.find(',') {
        Some(end) if number > 0 => &part[end..],
        _ => part,
    });
    parts.collect::<Vec<_>>().join("grt_")
}

/// Lets what a crash left half written be older than a day: the last tick sweeps it.
fn age_temporaries(world: &World) -> Result<()> {
    let end = DateTime::parse_from_rfc3339(END)?;
    let old = SystemTime::from(end) - Duration::from_hours(48);
    for file in checks::temporaries(&world.home)? {
        File::options().write(true).open(world.home.folder.join(file))?.set_modified(old)?;
    }
    Ok(())
}
