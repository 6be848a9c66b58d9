//! Published prices: each model is imported or skipped, no price is below zero or guessed.

use std::collections::BTreeSet;

use monthend::intake::prices;
use rust_decimal::Decimal;
use serde_json::Value;

use super::assert_reason;

/// A price map.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(import) = prices::read(text) else { return };
    let object: Value = serde_json::from_str(text.strip_prefix('\u{FEFF}').unwrap_or(text))
        .expect("what was read is JSON");
    let models = object.as_object().expect("an object of models");
    assert_eq!(import.imported_models + import.skipped.len(), models.len());
    let imported: BTreeSet<&str> = import.rates.iter().map(|rate| rate.model.as_str()).collect();
    assert_eq!(imported.len(), import.imported_models);
    for rate in &import.rates {
        assert!(rate.unit_price >= Decimal::ZERO, "{rate:?}");
        assert!(models.contains_key(&rate.model));
        // Whatever the unit, the digits of the price stand in the model's own entry.
        let entry: String = models[&rate.model].to_string().chars().filter(|c| *c != '.').collect();
        let stands = [1, 60, 3_600, 1_000].into_iter().any(|units| {
            let price = rate.unit_price / Decimal::from(units);
            entry.contains(price.normalize().mantissa().to_string().trim_end_matches('0'))
        });
        assert!(stands, "{} is not in {entry}", rate.unit_price);
    }
    for said in import.skipped.iter().chain(&import.notes) {
        assert_reason(&said.reason);
    }
}
