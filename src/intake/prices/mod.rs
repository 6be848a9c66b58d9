//! Published model prices: the supplier's own price of each model, to the last digit (S56–S59).
//!
//! The input is the widely used price map in JSON: an object of models, each an object of prices in
//! USD per token, character, second, image … Each model ends imported or skipped with a reason; a price of
//! an imported model that has no rate here is listed, never guessed. Numbers are taken as their text
//! (D14): no float is ever made of them.

mod json;
mod mapping;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::domain::catalog::Rate;
use crate::domain::text;

/// Largest price map that is read, in bytes; the published one has some 3 MB.
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// Longest name of a model that is shown, in characters.
const MAX_NAME_CHARS: usize = 256;
/// Longest reason, in characters.
const MAX_REASON_CHARS: usize = 1_000;

/// What a price map gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceImport {
    /// All rates, by model in the order of the file.
    pub rates: Vec<SupplierRate>,
    /// How many models they are of. With `skipped` it adds up to all models of the file.
    pub imported_models: usize,
    /// Models without any rate, each once.
    pub skipped: Vec<Skip>,
    /// What a person may want to know of imported models: prices without a rate here, free models.
    pub notes: Vec<Skip>,
}

/// One price of one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupplierRate {
    /// The model: its key in the map.
    pub model: String,
    /// Who sets the price (S57).
    pub supplier: Option<String>,
    /// The meter it prices.
    pub meter: String,
    /// The dimension it prices.
    pub dimension: String,
    /// Exact USD per one unit; credits as well, as 1 credit = 1 USD (S56).
    pub unit_price: Decimal,
}

/// A model and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// Its key in the map.
    pub model: String,
    /// Why, for a person.
    pub reason: String,
}

/// Why a file is not a price map; nothing of it was read.
#[derive(Debug, thiserror::Error)]
pub enum PricesError {
    /// Too large.
    #[error("the price map has {0} bytes; at most {MAX_BYTES} are read")]
    TooLarge(usize),
    /// Not JSON, not an object of objects, or a name that comes twice; with line and column.
    #[error("the price map cannot be read: {0}")]
    Json(#[from] serde_json::Error),
}

impl SupplierRate {
    /// As a rate of the catalog that holds from a day (UTC) on.
    #[must_use]
    pub fn rate(&self, effective_on: NaiveDate) -> Rate {
        Rate {
            meter: self.meter.clone(),
            dimensions: vec![self.dimension.clone()],
            model: Some(self.model.clone()),
            // S56, S59: 1 credit = 1 USD, and the platform adds nothing.
            unit_price: self.unit_price,
            effective_on,
        }
    }
}

/// Reads a price map.
///
/// # Errors
/// Not a JSON object of objects, the same name twice in one object, or too large.
pub fn read(text: &str) -> Result<PriceImport, PricesError> {
    if text.len() > MAX_BYTES {
        return Err(PricesError::TooLarge(text.len()));
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let models = json::models(text)?;
    let mut import = PriceImport::default();
    for (model, fields) in &models {
        let mut notes = Vec::new();
        match mapping::rates(model, fields, &mut notes) {
            Ok(rates) => {
                import.imported_models += 1;
                import.rates.extend(rates);
                import.notes.extend(notes.iter().map(|reason| skip(model, reason)));
            }
            Err(reason) => import.skipped.push(skip(model, &reason)),
        }
    }
    Ok(import)
}

/// Names of models and of their prices are foreign text that must not reach a terminal as it is.
fn skip(model: &str, reason: &str) -> Skip {
    Skip {
        model: text::clipped(model, MAX_NAME_CHARS),
        reason: text::clipped(reason, MAX_REASON_CHARS),
    }
}

#[cfg(test)]
mod tests;
