//! `[[alerts]]` and `[expiry_notices]`: what organizations are told before it is too late.

use serde::Deserialize;

use crate::domain::alert::{Measure, Rule};
use crate::domain::credits::Credits;
use crate::domain::money::{Currency, Money};

/// Most rules, and most thresholds of one.
const MOST: usize = 50;
/// The role that always has somebody.
const BILLING: &str = "billing";

/// One rule as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    id: String,
    measure: String,
    thresholds: Vec<toml::Value>,
    #[serde(default)]
    currency: Option<String>,
    #[serde(default)]
    project: Option<String>,
    #[serde(default)]
    organizations: Vec<String>,
    #[serde(default)]
    plans: Vec<String>,
    #[serde(default = "billing")]
    recipients: Vec<String>,
}

fn billing() -> Vec<String> {
    vec![BILLING.to_owned()]
}

/// Notices of credits that are about to lapse.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExpiryNotices {
    /// Days before an expiry on which it is told.
    pub days: Vec<u16>,
    /// Tell of allowances, too, that end with their own month?
    pub monthly_allowance: bool,
    /// Who is told, by role.
    pub recipients: Vec<String>,
}

impl Default for ExpiryNotices {
    fn default() -> Self {
        Self { days: vec![30, 7, 1], monthly_allowance: false, recipients: billing() }
    }
}

impl ExpiryNotices {
    /// What is wrong with them: key and problem.
    pub(super) fn problem(&self) -> Option<(&'static str, String)> {
        let sensible =
            self.days.len() <= MOST && self.days.iter().all(|day| (1..=366).contains(day));
        if !sensible {
            return Some(("expiry_notices.days", "must be days from 1 to 366".to_owned()));
        }
        let problem = roles(&self.recipients).err()?;
        Some(("expiry_notices.recipients", problem))
    }
}

/// A rule that cannot be used: its key, the line of it in the file, and what is wrong.
pub(super) struct Problem {
    pub(super) key: &'static str,
    pub(super) line: usize,
    pub(super) what: String,
}

/// The rules of the file; without any table, the shipped ones. `alerts = []` means none.
pub(super) fn rules(tables: Option<&[Table]>, text: &str) -> Result<Vec<Rule>, Problem> {
    let Some(tables) = tables else { return Ok(shipped()) };
    let mut rules: Vec<Rule> = Vec::with_capacity(tables.len());
    for (place, table) in tables.iter().enumerate() {
        let wrong = |(key, problem): (&'static str, String)| Problem {
            key,
            line: line_in_table(text, place, key.rsplit('.').next().unwrap_or(key)),
            what: format!("rule {:?}: {problem}", table.id.chars().take(63).collect::<String>()),
        };
        let rule = rule(table).map_err(wrong)?;
        if rules.len() == MOST {
            return Err(wrong(("alerts.id", format!("there are more than {MOST} rules"))));
        }
        if rules.iter().any(|known| known.id == rule.id) {
            return Err(wrong(("alerts.id", "there are two of this id".to_owned())));
        }
        rules.push(rule);
    }
    Ok(rules)
}

/// What everybody is told where the file says nothing.
fn shipped() -> Vec<Rule> {
    let rule = |id: &str, measure, thresholds: &[i64]| Rule {
        id: id.to_owned(),
        measure,
        thresholds: thresholds.to_vec(),
        currency: None,
        project: None,
        organizations: Vec::new(),
        plans: Vec::new(),
        recipients: billing(),
    };
    vec![
        rule("allowance", Measure::AllowanceUsed, &[50, 80, 100]),
        rule("days_left", Measure::DaysLeft, &[3]),
    ]
}

fn rule(table: &Table) -> Result<Rule, (&'static str, String)> {
    if !is_word(&table.id) {
        let problem = "must be 1 to 63 letters a-z, digits, _ and -".to_owned();
        return Err(("alerts.id", problem));
    }
    let measure: Measure = table.measure.parse().map_err(|problem| ("alerts.measure", problem))?;
    if table.project.is_some() && !measure.of_a_project() {
        let problem = format!("credits belong to the whole organization: {measure} has no project");
        return Err(("alerts.project", problem));
    }
    if table.project.as_deref() == Some("") {
        return Err(("alerts.project", "must name a project".to_owned()));
    }
    let currency = currency(table, measure).map_err(|problem| ("alerts.currency", problem))?;
    let thresholds: Vec<i64> = table
        .thresholds
        .iter()
        .map(|value| threshold(value, measure, currency))
        .collect::<Result<_, _>>()
        .map_err(|problem| ("alerts.thresholds", problem))?;
    if thresholds.is_empty() || thresholds.len() > MOST {
        return Err(("alerts.thresholds", format!("must be 1 to {MOST} of them")));
    }
    roles(&table.recipients).map_err(|problem| ("alerts.recipients", problem))?;
    Ok(Rule {
        id: table.id.clone(),
        measure,
        thresholds,
        currency,
        project: table.project.clone(),
        organizations: table.organizations.clone(),
        plans: table.plans.clone(),
        recipients: table.recipients.clone(),
    })
}

fn currency(table: &Table, measure: Measure) -> Result<Option<Currency>, String> {
    match (&table.currency, measure) {
        (Some(text), Measure::Spend) => {
            text.parse().map(Some).map_err(|error| format!("{text:?}: {error}"))
        }
        (None, Measure::Spend) => {
            Err("is missing; spend is watched in one currency, like \"USD\"".to_owned())
        }
        (Some(_), _) => Err(format!("is only for measure = \"spend\", not {measure}")),
        (None, _) => Ok(None),
    }
}

/// A threshold in the measure's unit. Amounts may be text, so that they stay exact.
fn threshold(
    value: &toml::Value,
    measure: Measure,
    currency: Option<Currency>,
) -> Result<i64, String> {
    let text = match value {
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::String(text) => text.clone(),
        other => return Err(format!("{other} must be a whole number, or text like \"12.50\"")),
    };
    let whole = |range: std::ops::RangeInclusive<i64>| {
        let number = text.parse::<i64>().ok().filter(|number| range.contains(number));
        let (low, high) = (range.start(), range.end());
        number.ok_or_else(|| format!("{text:?} must be a whole number from {low} to {high}"))
    };
    match (measure, currency) {
        (Measure::AllowanceUsed, _) => whole(1..=100_000),
        (Measure::DaysLeft, _) => whole(0..=366),
        (Measure::CreditsLeft, _) => {
            text.parse::<Credits>().map(Credits::nano).map_err(|error| error.to_string())
        }
        (Measure::Spend, None) => Err("needs a currency".to_owned()),
        (Measure::Spend, Some(currency)) => {
            let money = Money::parse(&text, currency).map_err(|error| error.to_string())?;
            let minor = Some(money.minor()).filter(|minor| *minor > 0);
            minor.ok_or_else(|| format!("{text:?} must be above zero"))
        }
    }
}

fn roles(roles: &[String]) -> Result<(), String> {
    if roles.is_empty() {
        return Err("must name at least one role, like \"billing\"".to_owned());
    }
    match roles.iter().find(|role| !is_word(role)) {
        Some(role) => Err(format!("{role:?} is not a role (1 to 63 letters a-z, digits, _ and -)")),
        None => Ok(()),
    }
}

fn is_word(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
    (1..=63).contains(&text.len()) && text.bytes().all(plain)
}

/// The line of a key in the table of a place among `[[alerts]]`, else the table's own.
fn line_in_table(text: &str, place: usize, key: &str) -> usize {
    let (mut tables, mut found) = (0, 1);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            if tables > place {
                break;
            }
            if line.replace(' ', "").starts_with("[[alerts]]") {
                tables += 1;
                found = if tables > place { number } else { found };
            }
        } else if tables > place && super::key_of(line) == Some(key) {
            return number;
        }
    }
    found
}
