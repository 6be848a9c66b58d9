//! The fields of a usage event, each with its rule, whatever file they come from.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::{Rejected, UNREADABLE, time};
use crate::domain::decimal::{self, DecimalError};
use crate::domain::text;
use crate::domain::usage::UsageEvent;
use crate::intake::{is_dimension, shown};

/// Columns a usage CSV must have.
pub(super) const REQUIRED: [&str; 4] = ["id", "organization", "at", "meter"];
/// Columns it may have; every other one is a dimension.
pub(super) const OPTIONAL: [&str; 7] =
    ["source", "project", "member", "environment", "model", "supplier", "job"];

/// Longest text of an event, in characters.
const MAX_TEXT_CHARS: usize = 256;
/// Largest quantity, 10^15: with every published price the credits still fit.
const MAX_QUANTITY: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);
/// Most decimals of a quantity.
const MAX_QUANTITY_DECIMALS: u32 = 12;
/// Most dimensions of one event.
const MAX_DIMENSIONS: usize = 100;

/// A name that cannot be a dimension, because it means something else in a usage row.
pub(crate) fn is_column(name: &str) -> bool {
    REQUIRED.contains(&name)
        || OPTIONAL.contains(&name)
        || name == UNREADABLE
        || name == "specversion"
}

/// A text as it stands: at most 256 characters, none of them a control character (F86).
pub(crate) fn checked_text(text: &str) -> Result<String, String> {
    // Most texts are short ASCII; counting characters is only needed for the others.
    if text.len() > MAX_TEXT_CHARS && text.chars().count() > MAX_TEXT_CHARS {
        return Err(format!("it has more than {MAX_TEXT_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character in it".to_owned());
    }
    Ok(text.to_owned())
}

/// An event that is being read, field by field.
#[derive(Debug, Default)]
pub(super) struct Draft {
    organization: String,
    source: String,
    id: String,
    at: Option<DateTime<Utc>>,
    meter: String,
    project: String,
    member: String,
    environment: String,
    model: String,
    supplier: String,
    job: String,
    quantities: BTreeMap<String, Decimal>,
}

impl Draft {
    /// Takes a column by its name; blank is absent.
    pub(super) fn put(&mut self, column: &str, text: &str) -> Result<(), Rejected> {
        if text.is_empty() {
            return Ok(());
        }
        let place = match column {
            "id" => &mut self.id,
            "organization" => {
                if !text::is_organization_id(text) {
                    let reason = format!(
                        "{} is not the id of an organization: 1 to 63 characters of a-z, 0-9, '_', '-'",
                        shown(text)
                    );
                    return Err(Rejected::field(column, reason));
                }
                &mut self.organization
            }
            "meter" => &mut self.meter,
            "source" => &mut self.source,
            "project" => &mut self.project,
            "member" => &mut self.member,
            "environment" => &mut self.environment,
            "model" => &mut self.model,
            "supplier" => &mut self.supplier,
            "job" => &mut self.job,
            "at" => {
                let at = time::instant(text).map_err(|reason| Rejected::field(column, reason))?;
                self.at = Some(at);
                return Ok(());
            }
            dimension => return self.quantity(dimension, decimal::parse(text)),
        };
        *place = checked_text(text).map_err(|reason| Rejected::field(column, reason))?;
        Ok(())
    }

    /// Takes a quantity of a dimension whose name was checked.
    pub(super) fn quantity(
        &mut self,
        dimension: &str,
        number: Result<Decimal, DecimalError>,
    ) -> Result<(), Rejected> {
        let number =
            number.map_err(|error| Rejected::field(dimension, error.to_string()))?.normalize();
        let reason = if number.is_sign_negative() && !number.is_zero() {
            "a quantity is not below zero".to_owned()
        } else if number > MAX_QUANTITY || number.scale() > MAX_QUANTITY_DECIMALS {
            format!("a quantity is at most 10^15, with at most {MAX_QUANTITY_DECIMALS} decimals")
        } else if self.quantities.len() >= MAX_DIMENSIONS {
            format!("an event has at most {MAX_DIMENSIONS} quantities")
        } else {
            let number = if number.is_zero() { Decimal::ZERO } else { number };
            self.quantities.insert(dimension.to_owned(), number);
            return Ok(());
        };
        Err(Rejected::field(dimension, reason))
    }

    /// The event, when nothing that it needs is missing.
    pub(super) fn finish(self) -> Result<UsageEvent, Rejected> {
        let missing = |field: &str| Rejected::field(field, "it is blank, but needed");
        for (field, text) in
            [("id", &self.id), ("organization", &self.organization), ("meter", &self.meter)]
        {
            if text.is_empty() {
                return Err(missing(field));
            }
        }
        Ok(UsageEvent {
            at: self.at.ok_or_else(|| missing("at"))?,
            organization: self.organization,
            source: self.source,
            id: self.id,
            meter: self.meter,
            project: self.project,
            member: self.member,
            environment: self.environment,
            model: self.model,
            supplier: self.supplier,
            job: self.job,
            quantities: self.quantities,
        })
    }
}

/// The name of a dimension, or why it is none.
pub(super) fn checked_dimension(name: &str) -> Result<(), String> {
    if is_column(name) {
        Err(format!("{} has another meaning and cannot be a dimension", shown(name)))
    } else if is_dimension(name) {
        Ok(())
    } else if name.contains([';', '\t']) {
        Err(format!("{} is not a dimension: columns are separated by commas", shown(name)))
    } else {
        Err(format!(
            "{} is not a dimension: 1 to 63 characters of a-z, 0-9, '_', a letter first",
            shown(name)
        ))
    }
}
