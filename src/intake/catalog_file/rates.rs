//! Meters and rates of a catalog (S3–S13, S54, S64–S71, D15).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use toml::Spanned;

use super::check::Checker;
use super::shape::{self, File};
use crate::domain::catalog::{Meter, Rate};
use crate::domain::decimal;
use crate::intake::{is_dimension, shown};

/// All meters, by id.
pub(super) fn meters(check: &mut Checker, file: &File) -> BTreeMap<String, Meter> {
    let mut meters = BTreeMap::new();
    let priced: BTreeSet<&str> =
        file.rates.iter().map(|rate| rate.get_ref().meter.get_ref().as_str()).collect();
    for (key, shape) in &file.meters {
        let id = check.id("meters", key);
        let field = format!("meters.{id}");
        let mut dimensions: Vec<String> = Vec::new();
        for name in &shape.dimensions {
            let field = format!("{field}.dimensions");
            if !is_dimension(name.get_ref()) || crate::intake::usage::is_column(name.get_ref()) {
                let reason = format!(
                    "{} is not a dimension: 1 to 63 characters of a-z, 0-9, '_', a letter first, \
                     and not a column of usage files",
                    shown(name.get_ref())
                );
                check.problem(Some(name.span()), &field, reason);
            }
            if dimensions.contains(name.get_ref()) {
                let reason = format!("{} is there twice", shown(name.get_ref()));
                check.problem(Some(name.span()), &field, reason);
            }
            dimensions.push(name.get_ref().clone());
        }
        let billable = shape.billable.unwrap_or(true);
        if billable && !priced.contains(id.as_str()) {
            let reason =
                "a billable meter needs at least one [[rates]] entry (or billable = false)";
            check.problem(Some(key.span()), &field, reason);
        }
        meters.insert(id.clone(), Meter { id, billable, dimensions });
    }
    meters
}

/// What no two rates may have in common.
type RateKey = (String, Vec<String>, Option<String>, NaiveDate);

/// All rates, in the order of the file.
pub(super) fn rates(
    check: &mut Checker,
    file: &File,
    meters: &BTreeMap<String, Meter>,
) -> Vec<Rate> {
    let mut rates = Vec::new();
    let mut seen: HashMap<RateKey, usize> = HashMap::new();
    for (index, shape) in file.rates.iter().enumerate() {
        let place = format!("rates[{}]", index + 1);
        let Some(rate) = rate(check, &place, shape.get_ref(), meters) else { continue };
        let key =
            (rate.meter.clone(), rate.dimensions.clone(), rate.model.clone(), rate.effective_on);
        if let Some(first) = seen.insert(key, index + 1) {
            let reason = format!(
                "rates[{first}] already prices the same dimensions of meter {} for the same model \
                 from the same day",
                shown(&rate.meter)
            );
            check.problem(Some(shape.span()), &place, reason);
        }
        rates.push(rate);
    }
    rates
}

fn rate(
    check: &mut Checker,
    place: &str,
    shape: &shape::Rate,
    meters: &BTreeMap<String, Meter>,
) -> Option<Rate> {
    let field = |name: &str| format!("{place}.{name}");
    let unit_price = unit_price(check, place, shape);
    let model = model(check, &field("model"), shape.model.as_ref());
    let effective_on = match &shape.effective_on {
        Some(day) => check.date(&field("effective_on"), day),
        // Without a day a rate has always held.
        None => NaiveDate::from_ymd_opt(1970, 1, 1),
    };
    let span = Some(shape.meter.span());
    let Some(meter) = meters.get(shape.meter.get_ref()) else {
        let known = meters.keys().cloned().collect::<Vec<_>>().join(", ");
        let reason = format!(
            "meter {} is not in [meters]; there are: {known}",
            shown(shape.meter.get_ref())
        );
        check.problem(span, &field("meter"), reason);
        return None;
    };
    if !meter.billable {
        let reason = format!("meter {} is not billable, so it has no rates", shown(&meter.id));
        check.problem(span, &field("meter"), reason);
    }
    let dimensions = dimensions(check, place, shape, meter)?;
    Some(Rate {
        meter: meter.id.clone(),
        dimensions,
        model,
        unit_price: unit_price?,
        effective_on: effective_on?,
    })
}

/// Exact credits per unit: `credits` divided by `per`.
fn unit_price(check: &mut Checker, place: &str, shape: &shape::Rate) -> Option<Decimal> {
    let credits = check.decimal(&format!("{place}.credits"), &shape.credits);
    let Some(per) = &shape.per else { return credits };
    let field = format!("{place}.per");
    let units = check.decimal(&field, per)?;
    if units.is_zero() {
        check.problem(Some(per.span()), &field, "a rate is per more than 0 units");
        return None;
    }
    let price = decimal::quotient(credits?, units);
    if price.is_err() {
        let reason = "credits divided by per is not an exact decimal; choose a per like 1000000";
        check.problem(Some(per.span()), &field, reason);
    }
    price.ok()
}

fn model(check: &mut Checker, field: &str, model: Option<&Spanned<String>>) -> Option<String> {
    let model = model?;
    if let Err(reason) = crate::intake::usage::checked_text(model.get_ref()) {
        check.problem(Some(model.span()), field, reason);
    } else if model.get_ref().is_empty() {
        check.problem(Some(model.span()), field, "leave `model` out for a rate of all models");
    }
    Some(model.get_ref().clone())
}

/// The dimensions of a rate, in the order its meter declares them: so the same product is the same
/// rate, however it is written.
fn dimensions(
    check: &mut Checker,
    place: &str,
    shape: &shape::Rate,
    meter: &Meter,
) -> Option<Vec<String>> {
    let names: Vec<&Spanned<String>> = match (&shape.dimension, &shape.dimensions) {
        (Some(one), None) => vec![one],
        (None, Some(several)) if !several.is_empty() => several.iter().collect(),
        _ => {
            let reason = "a rate has either `dimension`, or `dimensions` whose product is priced";
            check.problem(Some(shape.meter.span()), place, reason);
            return None;
        }
    };
    let mut places = BTreeSet::new();
    let mut complete = true;
    for name in names {
        let field = format!("{place}.dimension");
        let index = meter.dimensions.iter().position(|known| known == name.get_ref());
        let reason = match index {
            None => format!(
                "meter {} has no dimension {}; it has: {}",
                shown(&meter.id),
                shown(name.get_ref()),
                meter.dimensions.join(", ")
            ),
            Some(index) if !places.insert(index) => {
                format!("{} is there twice", shown(name.get_ref()))
            }
            Some(_) => continue,
        };
        check.problem(Some(name.span()), &field, reason);
        complete = false;
    }
    let ordered = places.into_iter().filter_map(|index| meter.dimensions.get(index).cloned());
    complete.then(|| ordered.collect())
}
