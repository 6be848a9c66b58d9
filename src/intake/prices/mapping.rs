//! Which published price becomes which rate.

use rust_decimal::Decimal;
use serde_json::Value;

use super::SupplierRate;
use super::json::Fields;
use crate::domain::decimal::{self, DecimalError};
use crate::domain::text;
use crate::intake::{shown, usage};

/// Prices that become a rate of meter `inference`: published name, dimension. Where two names mean the
/// same dimension, the first that is given holds.
const INFERENCE: [(&str, &str); 18] = [
    ("input_cost_per_token", "input_tokens"),
    ("output_cost_per_token", "output_tokens"),
    ("cache_read_input_token_cost", "cached_input_tokens"),
    ("input_cost_per_token_cache_hit", "cached_input_tokens"),
    ("input_cost_per_character", "input_characters"),
    ("output_cost_per_character", "output_characters"),
    ("input_cost_per_second", "input_seconds"),
    ("cost_per_second", "input_seconds"),
    ("output_cost_per_second", "output_seconds"),
    ("output_cost_per_video_per_second", "output_seconds"),
    ("input_cost_per_image", "input_images"),
    ("output_cost_per_image", "output_images"),
    ("input_cost_per_pixel", "input_pixels"),
    ("output_cost_per_pixel", "output_pixels"),
    ("ocr_cost_per_page", "pages"),
    ("input_cost_per_query", "queries"),
    ("input_cost_per_request", "queries"),
    ("cost_per_query", "queries"),
];

/// A meter for people, beside `inference`, of all models of one mode.
struct Kin {
    mode: &'static str,
    meter: &'static str,
    dimension: &'static str,
    /// Dimensions of `inference` that mean the same, the likeliest first.
    from: [&'static str; 2],
    /// How many of the published units are one of the meter's.
    units: u32,
}

const KIN: [Kin; 5] = [
    // S65: a minute heard costs sixty seconds heard.
    Kin {
        mode: "audio_transcription",
        meter: "transcription",
        dimension: "minutes",
        from: ["input_seconds", "output_seconds"],
        units: 60,
    },
    // S67.
    Kin {
        mode: "audio_speech",
        meter: "speech_synthesis",
        dimension: "characters",
        from: ["input_characters", "output_characters"],
        units: 1,
    },
    Kin {
        mode: "image_generation",
        meter: "image_generation",
        dimension: "images",
        from: ["output_images", "input_images"],
        units: 1,
    },
    Kin { mode: "rerank", meter: "rerank", dimension: "queries", from: ["queries"; 2], units: 1 },
    Kin { mode: "search", meter: "search", dimension: "queries", from: ["queries"; 2], units: 1 },
];

/// The entry that explains the format.
const DOCUMENTATION: &str = "sample_spec";

/// The rates of one model, and notes for a person; or why it has none.
pub(super) fn rates(
    model: &str,
    fields: &Fields,
    notes: &mut Vec<String>,
) -> Result<Vec<SupplierRate>, String> {
    if model == DOCUMENTATION {
        return Err("this entry explains the format; it is not a model".to_owned());
    }
    if model.is_empty() || usage::checked_text(model).is_err() {
        return Err("a model's name has 1 to 256 characters, no control characters".to_owned());
    }
    let prices = prices(fields)?;
    let inference = inference(&prices, notes)?;
    if inference.is_empty() {
        return Err(why_none(&prices));
    }
    let left = unmapped(&prices);
    let free = inference.iter().all(|(_, price)| price.is_zero());
    if free && let Some((name, _)) = left.iter().find(|(_, price)| price.costs()) {
        // Importing only the zeros would give the model away.
        return Err(format!(
            "its prices are 0 except {name}, for which there is no rate here; give it rates by hand"
        ));
    }
    if free {
        notes.push("free: all its published prices are 0, so its use costs nothing".to_owned());
    }
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(name, _)| *name).collect();
        notes.push(format!(
            "prices without a rate here, not imported: {}",
            text::cleaned(&names.join(", "))
        ));
    }
    let supplier = supplier(fields);
    let kin = kin(mode(fields), &inference, free, notes)?;
    let inference = inference.into_iter().map(|(dimension, price)| ("inference", dimension, price));
    let rate = |(meter, dimension, unit_price): (&str, &str, Decimal)| SupplierRate {
        model: model.to_owned(),
        supplier: supplier.clone(),
        meter: meter.to_owned(),
        dimension: dimension.to_owned(),
        unit_price,
    };
    Ok(inference.chain(kin).map(rate).collect())
}

/// A published price.
enum Price {
    /// One exact number.
    Flat(Decimal),
    /// By size, hour or setting: an object or a list.
    Structured,
}

impl Price {
    fn costs(&self) -> bool {
        !matches!(self, Self::Flat(price) if price.is_zero())
    }
}

/// All prices of a model by their published names; `null` is absent.
fn prices(fields: &Fields) -> Result<Vec<(&str, Price)>, String> {
    let is_price = |name: &str| name.contains("cost") || name.contains("pric");
    let mut prices = Vec::new();
    for (name, value) in fields.iter().filter(|(name, _)| is_price(name)) {
        let price = match value {
            Value::Null => continue,
            Value::Number(number) => Price::Flat(exact(name, number.as_str())?),
            Value::Object(_) | Value::Array(_) => Price::Structured,
            Value::String(_) | Value::Bool(_) if !is_known(name) => continue,
            Value::String(_) | Value::Bool(_) => {
                return Err(format!("{name} is not a number"));
            }
        };
        prices.push((name.as_str(), price));
    }
    Ok(prices)
}

/// The number as it is written.
fn exact(name: &str, number: &str) -> Result<Decimal, String> {
    let name = text::clipped(name, 60);
    match decimal::parse_scientific(number) {
        Ok(price) if price.is_zero() => Ok(Decimal::ZERO),
        Ok(price) if price.is_sign_negative() => {
            Err(format!("{name} is below zero: {}", shown(number)))
        }
        Ok(price) => Ok(price.normalize()),
        Err(DecimalError::TooPrecise(_) | DecimalError::Inexact) => {
            Err(format!("{name} has too many digits to be kept exactly: {}", shown(number)))
        }
        Err(DecimalError::Invalid(_)) => Err(format!("{name} is not a number: {}", shown(number))),
    }
}

fn is_known(name: &str) -> bool {
    INFERENCE.iter().any(|(known, _)| *known == name)
}

/// The prices of meter `inference`.
fn inference(
    prices: &[(&str, Price)],
    notes: &mut Vec<String>,
) -> Result<Vec<(&'static str, Decimal)>, String> {
    let mut rates: Vec<(&str, Decimal)> = Vec::new();
    for (name, dimension) in INFERENCE {
        let Some((_, price)) = prices.iter().find(|(published, _)| *published == name) else {
            continue;
        };
        let Price::Flat(price) = price else {
            return Err(format!("{name} is not one number but depends on conditions"));
        };
        match rates.iter().find(|(known, _)| *known == dimension) {
            None => rates.push((dimension, *price)),
            Some((_, first)) if first == price => {}
            Some(_) => notes.push(format!("{name} differs from the price taken for {dimension}")),
        }
    }
    Ok(rates)
}

/// Prices for which there is no rate.
fn unmapped<'a>(prices: &'a [(&'a str, Price)]) -> Vec<&'a (&'a str, Price)> {
    prices.iter().filter(|(name, _)| !is_known(name)).collect()
}

/// Why no price of a model became a rate.
fn why_none(prices: &[(&str, Price)]) -> String {
    if prices.is_empty() {
        return "no price is published".to_owned();
    }
    let names: Vec<&str> = prices.iter().map(|(name, _)| *name).collect();
    let names = text::clipped(&names.join(", "), 300);
    if prices.iter().all(|(_, price)| matches!(price, Price::Structured)) {
        format!("its price depends on size or conditions ({names}), not one price per unit")
    } else {
        format!("its only prices are in units without a rate here: {names}")
    }
}

/// The rate of the meter that belongs to the model's mode, if it is priced by its unit.
fn kin(
    mode: Option<&str>,
    inference: &[(&'static str, Decimal)],
    free: bool,
    notes: &mut Vec<String>,
) -> Result<Option<(&'static str, &'static str, Decimal)>, String> {
    let Some(kin) = KIN.iter().find(|kin| Some(kin.mode) == mode) else { return Ok(None) };
    let of = |dimension: &str| {
        inference.iter().find(|(known, _)| *known == dimension).map(|(_, price)| *price)
    };
    let [first, second] = kin.from.map(of);
    let paid = |price: &Decimal| !price.is_zero();
    let price = first.filter(paid).or(second.filter(paid));
    // A zero here counts only for a model that is free: else it is paid for in another unit.
    let price = price.or(first.or(second).filter(|_| free));
    let Some(price) = price else {
        notes.push(format!(
            "not priced by {}: on meter {} it has no rate of its own",
            kin.dimension, kin.meter
        ));
        return Ok(None);
    };
    let unit_price = decimal::product(price, Decimal::from(kin.units))
        .map_err(|_| format!("its price per {} cannot be kept exactly", kin.dimension))?;
    Ok(Some((kin.meter, kin.dimension, unit_price)))
}

fn mode(fields: &Fields) -> Option<&str> {
    text_field(fields, "mode")
}

fn supplier(fields: &Fields) -> Option<String> {
    let supplier = text_field(fields, "litellm_provider")?;
    usage::checked_text(supplier).ok().filter(|supplier| !supplier.is_empty())
}

fn text_field<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
    fields.iter().find(|(field, _)| field == name).and_then(|(_, value)| value.as_str())
}
