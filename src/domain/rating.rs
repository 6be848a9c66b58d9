//! Rating: quantities to credits, exactly, rounded once per event (D14, S58, S70).

use std::collections::{BTreeMap, HashMap};

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::catalog::{Meter, Rate};
use super::credits::Credits;
use super::decimal::{self, DecimalError};
use super::rounding::{self, RoundingError};
use super::usage::UsageEvent;

/// Rates arranged for look-up: by meter, then model.
#[derive(Debug, Clone, Default)]
pub struct RateCard {
    meters: HashMap<String, MeterRates>,
}

#[derive(Debug, Clone, Default)]
struct MeterRates {
    billable: bool,
    for_all_models: Vec<Rate>,
    by_model: HashMap<String, Vec<Rate>>,
}

/// What one event costs and how that came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rating {
    /// The exact sum of the components, rounded once.
    pub credits: Credits,
    /// The exact parts; empty for a meter that is not billable.
    pub components: Vec<Component>,
}

/// What stands between the dimensions of a product.
const PRODUCT: &str = " × ";

impl Rating {
    /// Is this what an event came to? Each component is its price times the event's own quantities, and their sum,
    /// rounded once, is the credits. Whether the prices were the right ones is not asked.
    #[must_use]
    pub fn is_of(&self, event: &UsageEvent) -> bool {
        let exact = self
            .components
            .iter()
            .try_fold(Decimal::ZERO, |sum, component| decimal::sum(sum, component.of(event)?).ok());
        exact.and_then(|exact| rounding::rated_credits(exact).ok()) == Some(self.credits)
    }
}

impl Component {
    /// Its credits, if they are its price times the event's quantities.
    fn of(&self, event: &UsageEvent) -> Option<Decimal> {
        let mut quantity = Decimal::ONE;
        for dimension in self.dimension.split(PRODUCT) {
            quantity = decimal::product(quantity, *event.quantities.get(dimension)?).ok()?;
        }
        let credits = decimal::product(self.quantity, self.unit_price).ok()?;
        (quantity == self.quantity && credits == self.credits).then_some(credits)
    }
}

/// One rate applied to one quantity, or to a product of quantities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// The dimension, or several joined by ` × `.
    pub dimension: String,
    /// The quantity, or the product.
    #[serde(with = "rust_decimal::serde::str")]
    pub quantity: Decimal,
    /// Exact credits per unit.
    #[serde(with = "rust_decimal::serde::str")]
    pub unit_price: Decimal,
    /// Exact credits, not rounded.
    #[serde(with = "rust_decimal::serde::str")]
    pub credits: Decimal,
}

/// Why an event cannot be rated; it is quarantined with this reason, never priced at zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// The catalog does not know the meter.
    #[error("meter {0:?} is not in the catalog")]
    UnknownMeter(String),
    /// No rate for a quantity that was used.
    #[error("meter {meter:?} has no rate for {dimension:?}{} on {on}", for_model(model))]
    NoRate {
        /// The meter.
        meter: String,
        /// The dimension without a rate.
        dimension: String,
        /// The event's model; empty: none.
        model: String,
        /// The event's day (UTC).
        on: NaiveDate,
    },
    /// A product rate lacks one of its factors.
    #[error("meter {meter:?} is priced by {dimensions}, but {missing:?} is missing")]
    MissingFactor {
        /// The meter.
        meter: String,
        /// All factors of the rate.
        dimensions: String,
        /// The one that is not there.
        missing: String,
    },
    /// A billable event without any quantity.
    #[error("no quantity is given; meter {meter:?} is priced by {dimensions}")]
    NoQuantity {
        /// The meter.
        meter: String,
        /// What it is priced by.
        dimensions: String,
    },
    /// The exact price has too many digits.
    #[error("the price cannot be computed exactly: {0}")]
    Inexact(#[from] DecimalError),
    /// The price is out of range.
    #[error("the price is out of range: {0}")]
    Range(#[from] RoundingError),
}

fn for_model(model: &str) -> String {
    if model.is_empty() { String::new() } else { format!(" for model {model:?}") }
}

impl RateCard {
    /// A card from meters and rates, in any order.
    #[must_use]
    pub fn new<'a>(
        meters: impl IntoIterator<Item = &'a Meter>,
        rates: impl IntoIterator<Item = Rate>,
    ) -> Self {
        let mut card = Self::default();
        for meter in meters {
            let entry = card.meters.entry(meter.id.clone()).or_default();
            entry.billable = meter.billable;
        }
        for rate in rates {
            let Some(meter) = card.meters.get_mut(&rate.meter) else { continue };
            match &rate.model {
                None => meter.for_all_models.push(rate),
                Some(model) => meter.by_model.entry(model.clone()).or_default().push(rate),
            }
        }
        // Latest first, so the first that holds on a day is the one in force.
        for meter in card.meters.values_mut() {
            let all = meter.by_model.values_mut().chain([&mut meter.for_all_models]);
            all.for_each(|rates| rates.sort_by_key(|rate| std::cmp::Reverse(rate.effective_on)));
        }
        card
    }

    /// What an event costs on its day.
    ///
    /// A model with rates of its own on that day is priced by those alone; every other model by the
    /// rates for all. So a supplier's missing price is found, not filled from somebody else's.
    ///
    /// # Errors
    /// No rate, a missing factor, or a price that cannot be exact.
    pub fn rate(&self, event: &UsageEvent) -> Result<Rating, RatingError> {
        let on = event.at.date_naive();
        let meter = self
            .meters
            .get(&event.meter)
            .ok_or_else(|| RatingError::UnknownMeter(event.meter.clone()))?;
        if !meter.billable {
            return Ok(Rating { credits: Credits::ZERO, components: Vec::new() });
        }
        let rates = meter.in_force(&event.model, on);
        if event.quantities.is_empty() {
            let dimensions =
                rates.keys().map(|names| names.join(PRODUCT)).collect::<Vec<_>>().join(", ");
            return Err(RatingError::NoQuantity { meter: event.meter.clone(), dimensions });
        }
        covered(event, &rates, on)?;
        let mut components = Vec::new();
        let mut exact = Decimal::ZERO;
        for (names, rate) in &rates {
            let Some(quantity) = product_of(event, names)? else { continue };
            let credits = decimal::product(quantity, rate.unit_price)?;
            exact = decimal::sum(exact, credits)?;
            components.push(Component {
                dimension: names.join(PRODUCT),
                quantity,
                unit_price: rate.unit_price,
                credits,
            });
        }
        Ok(Rating { credits: rounding::rated_credits(exact)?, components })
    }
}

impl MeterRates {
    /// The rate in force for each set of dimensions.
    fn in_force(&self, model: &str, on: NaiveDate) -> BTreeMap<&[String], &Rate> {
        let pick = |rates: &'_ [Rate]| -> Vec<usize> {
            (0..rates.len()).filter(|index| rates[*index].effective_on <= on).collect()
        };
        let own = self.by_model.get(model).map(Vec::as_slice).unwrap_or_default();
        let own_held = pick(own);
        let (rates, held) = if own_held.is_empty() {
            (self.for_all_models.as_slice(), pick(&self.for_all_models))
        } else {
            (own, own_held)
        };
        let mut in_force = BTreeMap::new();
        for index in held {
            let rate = &rates[index];
            in_force.entry(rate.dimensions.as_slice()).or_insert(rate);
        }
        in_force
    }
}

/// Every quantity above zero must be priced by some rate.
fn covered(
    event: &UsageEvent,
    rates: &BTreeMap<&[String], &Rate>,
    on: NaiveDate,
) -> Result<(), RatingError> {
    for (dimension, quantity) in &event.quantities {
        if !quantity.is_zero() && !rates.keys().any(|names| names.contains(dimension)) {
            return Err(RatingError::NoRate {
                meter: event.meter.clone(),
                dimension: dimension.clone(),
                model: event.model.clone(),
                on,
            });
        }
    }
    Ok(())
}

/// The quantity a rate applies to: none when the event reports none of its dimensions.
fn product_of(event: &UsageEvent, names: &[String]) -> Result<Option<Decimal>, RatingError> {
    let given = names.iter().filter(|name| event.quantities.contains_key(*name)).count();
    if given == 0 {
        return Ok(None);
    }
    let mut product = Decimal::ONE;
    for name in names {
        let quantity = event.quantities.get(name).ok_or_else(|| RatingError::MissingFactor {
            meter: event.meter.clone(),
            dimensions: names.join(PRODUCT),
            missing: name.clone(),
        })?;
        product = decimal::product(product, *quantity)?;
    }
    Ok(Some(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        decimal::parse(text).unwrap()
    }

    fn event(quantities: &[(&str, &str)]) -> UsageEvent {
        UsageEvent {
            organization: "acme".to_owned(),
            source: String::new(),
            id: "1".to_owned(),
            at: "2026-01-10T00:00:00Z".parse().unwrap(),
            meter: "inference".to_owned(),
            project: String::new(),
            member: String::new(),
            environment: String::new(),
            model: String::new(),
            supplier: String::new(),
            job: String::new(),
            quantities: quantities
                .iter()
                .map(|(dimension, quantity)| ((*dimension).to_owned(), decimal(quantity)))
                .collect(),
        }
    }

    fn component(dimension: &str, [quantity, unit_price, credits]: [&str; 3]) -> Component {
        Component {
            dimension: dimension.to_owned(),
            quantity: decimal(quantity),
            unit_price: decimal(unit_price),
            credits: decimal(credits),
        }
    }

    // D14: priced exactly by part, summed exactly, rounded once.
    #[test]
    fn a_rating_is_of_its_event_alone() {
        let parts = || {
            vec![
                component("input_tokens", ["1500", "0.0000000005", "0.00000075"]),
                component("gigabytes × hours", ["6", "0.25", "1.5"]),
            ]
        };
        let of = |components: Vec<Component>, credits: &str| Rating {
            credits: credits.parse().unwrap(),
            components,
        };
        let used = event(&[("input_tokens", "1500"), ("gigabytes", "2"), ("hours", "3.0")]);
        assert!(of(parts(), "1.50000075").is_of(&used));
        assert!(!of(parts(), "1.500000751").is_of(&used));
        assert!(!of(parts()[..1].to_vec(), "1.50000075").is_of(&used));
        assert!(of(Vec::new(), "0").is_of(&used) && !of(Vec::new(), "1").is_of(&used));
        // Each figure of a component by itself, even where the sum stays what it was.
        for wrong in [
            component("gigabytes", ["6", "0.25", "1.5"]),
            component("gigabytes × days", ["6", "0.25", "1.5"]),
            component("gigabytes × hours", ["5", "0.3", "1.5"]),
            component("gigabytes × hours", ["6", "0.2", "1.5"]),
        ] {
            let mut components = parts();
            components[1] = wrong.clone();
            assert!(!of(components, "1.50000075").is_of(&used), "{wrong:?}");
        }
        let other = event(&[("input_tokens", "1500"), ("gigabytes", "2"), ("hours", "4")]);
        assert!(!of(parts(), "1.50000075").is_of(&other));
    }
}
