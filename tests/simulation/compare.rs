//! What is stored beside what the naive model says, to the last digit.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::life::Life;
use super::naive::account::{Account, Closed, allowance_name};
use super::naive::calendar::{label, labelled};
use super::naive::invoice::{Bill, Billed, Line};
use super::naive::number::{CREDIT, tens};
use super::naive::prices::exponent;

/// After a close: the open months are those of the model.
pub async fn open_months(life: &Life) -> Result<(), String> {
    let sql = "SELECT organization, cycle FROM billing_cycle WHERE state = 'open' ORDER BY 1";
    let stored: Vec<(String, i64)> = life
        .world
        .table(sql)
        .await
        .into_iter()
        .map(|row| (row[0].clone(), labelled(&row[1])))
        .collect();
    let accounts = life.town.accounts.iter();
    let said: Vec<(String, i64)> = accounts.map(|(id, a)| (id.clone(), a.month)).collect();
    if stored == said {
        return Ok(());
    }
    Err(format!("open months are {stored:?}, the model says {said:?}"))
}

/// Everything, at the end.
pub async fn all(life: &mut Life) -> Result<(), String> {
    open_months(life).await?;
    let mut statements: BTreeMap<(String, i64), Value> = BTreeMap::new();
    let sql = "SELECT organization, cycle, statement FROM billing_cycle WHERE state = 'closed'";
    for row in life.world.table(sql).await {
        statements.insert((row[0].clone(), labelled(&row[1])), json(&row[2]));
    }
    let mut bills: BTreeMap<(String, i64), Value> = BTreeMap::new();
    let sql = "SELECT organization, cycle, draft FROM invoice WHERE number IS NOT NULL";
    for row in life.world.table(sql).await {
        bills.insert((row[0].clone(), labelled(&row[1])), json(&row[2]));
    }
    let closed: usize = life.town.accounts.values().map(|account| account.closed.len()).sum();
    if statements.len() != closed {
        return Err(format!("{} months are closed, the model closed {closed}", statements.len()));
    }
    for (name, account) in &life.town.accounts {
        for (month, closed) in &account.closed {
            let key = (name.clone(), *month);
            let wrong = |what: String| format!("{name}, {}: {what}", label(*month));
            let stored =
                statements.get(&key).ok_or_else(|| wrong("it is not closed".to_owned()))?;
            statement(stored, closed).map_err(wrong)?;
            bill(bills.remove(&key).as_ref(), closed).map_err(wrong)?;
        }
    }
    if let Some((name, month)) = bills.keys().next() {
        return Err(format!("{name}, {}: the model knows no such invoice", label(*month)));
    }
    balances(life).await?;
    set_aside(life).await
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A decimal in JSON, text or number, as so many 10⁻ⁿ.
fn digits(value: &Value, decimals: u32) -> i128 {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (sign, text) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = part.trim_end_matches('0');
    let places = u32::try_from(part.len()).unwrap();
    assert!(places <= decimals, "{text} has too many decimals");
    let part: i128 = if part.is_empty() { 0 } else { part.parse().unwrap() };
    sign * (whole.parse::<i128>().unwrap() * tens(decimals) + part * tens(decimals - places))
}

/// Money in JSON, in minor units.
fn minor(value: &Value, currency: &str) -> i128 {
    assert_eq!(value["currency"].as_str(), Some(currency), "{value}");
    digits(&value["amount"], exponent(currency))
}

/// Credits in JSON, in 10⁻⁹ credit.
fn nano(value: &Value) -> i128 {
    digits(value, 9)
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, stored: &T, said: &T) -> Result<(), String> {
    if stored == said {
        return Ok(());
    }
    Err(format!("{what}:\n    stored {stored:?}\n    model  {said:?}"))
}

fn statement(stored: &Value, closed: &Closed) -> Result<(), String> {
    let of = |name: &str| nano(&stored[name]);
    let credits =
        [of("opening"), of("granted") + of("purchased"), of("used"), of("expired"), of("closing")];
    same("credits", &credits, &closed.credits)?;
    let beyond = [of("rated"), of("deficit_brought"), of("overage"), of("deficit")];
    same("use", &beyond, &[closed.rated, closed.brought, closed.overage, closed.deficit])?;
    let names = ["opening", "granted", "used", "expired", "closing"];
    let lots: Vec<(String, [i128; 5])> = stored["grants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| (lot_name(grant, closed), names.map(|name| nano(&grant[name]))))
        .filter(|(_, figures)| figures.iter().any(|figure| *figure != 0))
        .collect();
    let said: Vec<(String, [i128; 5])> = closed
        .lots
        .iter()
        .map(|lot| (lot.id.clone(), [lot.opening, lot.granted, lot.used, lot.expired, lot.left()]))
        .collect();
    same("lots", &lots, &said)
}

/// The name the model gives a grant: the product's own for what it was told by id.
fn lot_name(grant: &Value, closed: &Closed) -> String {
    let id = grant["id"].as_str().unwrap();
    match grant["source"].as_str().unwrap() {
        "allowance" => allowance_name(labelled(grant["cycle"].as_str().unwrap())),
        "promotional" if closed.lots.iter().all(|lot| lot.id != id) => "sign-up".to_owned(),
        _ => id.to_owned(),
    }
}

fn bill(stored: Option<&Value>, closed: &Closed) -> Result<(), String> {
    let stored = stored.map(|draft| {
        let currency = closed.currency;
        let mut lines: Vec<Line> = draft["lines"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                let kind = match line["kind"].as_str().unwrap() {
                    "plan_fee" => Billed::Fee,
                    "overage" => Billed::Overage,
                    "prior_cycle" => Billed::Prior,
                    "purchase" => Billed::Purchase,
                    other => unreachable!("a close makes no line of kind {other}"),
                };
                let used = matches!(kind, Billed::Overage | Billed::Prior);
                let used = if used { digits(&line["quantity"], 9) } else { 0 };
                let month = labelled(line["cycle"].as_str().unwrap());
                (kind, month, used, minor(&line["amount"], currency))
            })
            .collect();
        lines.sort_unstable();
        let totals = ["subtotal", "tax", "total", "prepaid", "amount_due"];
        Bill { lines, totals: totals.map(|name| minor(&draft[name], currency)) }
    });
    same("invoice", &stored, &closed.bill)
}

/// What is left of each grant, before the open month's use.
async fn balances(life: &Life) -> Result<(), String> {
    let sql = "SELECT b.organization, b.grant_id, CAST(b.remaining AS TEXT), g.source, g.cycle \
         FROM credit_balance b JOIN credit_grant g ON g.organization = b.organization AND g.id = b.grant_id";
    let mut stored: BTreeMap<(String, String), i128> = BTreeMap::new();
    for row in life.world.table(sql).await {
        let lots = &life.town.accounts[&row[0]].lots;
        let known = |id: &str| lots.iter().any(|lot| lot.id == id);
        let name = match row[3].as_str() {
            "allowance" => allowance_name(labelled(&row[4])),
            "promotional" if !known(&row[1]) => "sign-up".to_owned(),
            _ => row[1].clone(),
        };
        stored.insert((row[0].clone(), name), row[2].parse().unwrap());
    }
    let of = |account: &Account| -> Vec<((String, String), i128)> {
        let lots = account.lots.iter();
        lots.map(|lot| ((account.row.id.clone(), lot.id.clone()), lot.left())).collect()
    };
    let said: BTreeMap<_, _> = life.town.accounts.values().flat_map(of).collect();
    for (key, left) in &said {
        let there = stored.get(key).copied();
        if there != Some(*left) {
            return Err(format!(
                "{key:?} has {there:?} left, the model says {left} (1 is {CREDIT})"
            ));
        }
    }
    same("number of grants", &stored.len(), &said.len())
}

async fn set_aside(life: &Life) -> Result<(), String> {
    let sql = "SELECT CAST(COUNT(*) AS TEXT) FROM usage_quarantine WHERE state = 'open'";
    let stored: usize = life.world.table(sql).await[0][0].parse().unwrap();
    same("rows set aside", &stored, &life.town.set_aside())
}
