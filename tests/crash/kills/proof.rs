//! What must hold after a battle, told by the program's own checks, the provider's books, the mail
//! server's memory, the files, and the rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use chrono::{SecondsFormat, Utc};

use super::battle::log_of;
use super::stage::Stage;
use crate::checks;
use crate::home::{Home, files};
use crate::provider::Booked;
use crate::sink::Accepted;

/// What was found and counted.
#[derive(Debug, Default)]
pub struct Proven {
    pub invoices: u64,
    pub captures: u64,
    pub mails: u64,
    pub duplicate_mails: u64,
    pub problems: Vec<String>,
}

/// Every check.
pub fn prove(
    stage: &Stage,
    home: &Home,
    books: &[Booked],
    accepted: &[Accepted],
    kills: usize,
) -> Result<Proven> {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut proven = Proven::default();
    proven.problems.extend(checks::verify(home, &now)?);
    proven.problems.extend(checks::charged_once(home, &now, books)?);
    money(stage, books, &mut proven)?;
    numbers(stage, &mut proven)?;
    documents(stage, home, &mut proven)?;
    mails(stage, accepted, kills, &mut proven)?;
    let waits = stage.what_waits()?;
    if !waits.is_empty() {
        proven.problems.push(format!("steps are left that are not done: {waits}"));
    }
    let log = fs::read_to_string(log_of(stage)).unwrap_or_default();
    if log.contains("PANIC:") {
        proven.problems.push("the database server panicked".to_owned());
    }
    Ok(proven)
}

/// Each month of each organization is invoiced, and each that has a card that works was paid once.
fn money(stage: &Stage, books: &[Booked], proven: &mut Proven) -> Result<()> {
    proven.captures = count(books.iter().filter(|booked| booked.is_taken).count());
    proven.invoices = stage.count("invoice WHERE number IS NOT NULL")?;
    let months = u64::from(stage.months);
    let due = [
        ("invoices", proven.invoices, stage.organizations * months),
        ("captures", proven.captures, stage.paying() * months),
        ("settled invoices", stage.count("invoice WHERE status = 'settled'")?, proven.captures),
        ("payments", stage.count("payment")?, proven.captures),
        ("charges", stage.count("charge")?, proven.invoices),
    ];
    for (what, are, should_be) in due {
        if are != should_be {
            proven.problems.push(format!("{what}: {are} instead of {should_be}"));
        }
    }
    Ok(())
}

/// Each series of numbers is 1…N.
fn numbers(stage: &Stage, proven: &mut Proven) -> Result<()> {
    let mut series: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut numbered = 0;
    let sql = "SELECT number FROM invoice WHERE number IS NOT NULL";
    for number in stage.cluster.sql(stage.database(), sql)?.lines() {
        let (name, ordinal) = number.rsplit_once('-').context("a number without a series")?;
        series.entry(name.to_owned()).or_default().insert(ordinal.parse()?);
        numbered += 1;
    }
    let mut places = 0;
    for (name, ordinals) in &series {
        places += ordinals.len();
        if ordinals.iter().zip(1..).any(|(ordinal, place)| *ordinal != place) {
            proven.problems.push(format!("the series {name} has the numbers {ordinals:?}"));
        }
    }
    if places != numbered {
        proven.problems.push(format!("{numbered} invoices share {places} numbers"));
    }
    Ok(())
}

/// PDF and CSV of each invoice are whole, and no file stands there that no row names.
fn documents(stage: &Stage, home: &Home, proven: &mut Proven) -> Result<()> {
    let folder = home.folder.join("documents");
    let said = stage.cluster.sql(stage.database(), "SELECT path, length FROM artifact")?;
    let mut named = BTreeSet::new();
    for line in said.lines() {
        let (path, length) = line.rsplit_once('|').context("an artifact")?;
        let bytes = fs::read(folder.join(path)).unwrap_or_default();
        if bytes.len().to_string() != length || !checks::is_whole(&bytes, path) {
            proven.problems.push(format!("{path} is missing or not whole"));
        }
        named.insert(path.to_owned());
    }
    if count(named.len()) != 2 * proven.invoices {
        let problem = format!("{} documents of {} invoices", named.len(), proven.invoices);
        proven.problems.push(problem);
    }
    for file in files(&folder)? {
        // What a kill left half written has a name that begins with a dot; it is swept a day later.
        let is_temporary = file.rsplit('/').next().is_some_and(|name| name.starts_with('.'));
        if !is_temporary && !named.contains(&file) {
            proven.problems.push(format!("{file} stands there, and no document names it"));
        }
    }
    Ok(())
}

/// Each mail was accepted, at most one more time for each kill, and always under the one Message-ID of its row.
fn mails(stage: &Stage, accepted: &[Accepted], kills: usize, proven: &mut Proven) -> Result<()> {
    let mut arrived: BTreeMap<&str, u64> = BTreeMap::new();
    for mail in accepted {
        *arrived.entry(mail.message_id.trim_matches(['<', '>'])).or_default() += 1;
    }
    proven.mails = count(arrived.len());
    proven.duplicate_mails = count(accepted.len()) - proven.mails;
    let mut known = BTreeSet::new();
    let sql = "SELECT state, COALESCE(message_id, '') FROM mail";
    let said = stage.cluster.sql(stage.database(), sql)?;
    for line in said.lines() {
        let (state, id) = line.split_once('|').context("a mail")?;
        let id = id.trim_matches(['<', '>']);
        if state != "sent" || !arrived.contains_key(id) {
            proven.problems.push(format!("mail {id:?} is {state} and did not arrive"));
        }
        known.insert(id);
    }
    for id in arrived.keys().filter(|id| !known.contains(*id)) {
        proven.problems.push(format!("mail {id:?} arrived, and no row says that it was sent"));
    }
    if proven.duplicate_mails > count(kills) {
        let problem = format!("{} mails arrived again after {kills} kills", proven.duplicate_mails);
        proven.problems.push(problem);
    }
    Ok(())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
