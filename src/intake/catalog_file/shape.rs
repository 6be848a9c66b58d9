//! The fields of `catalog.toml`, as they are written. Every value remembers where it stands.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

/// A table whose keys are ids or currencies.
pub(super) type Named<T> = BTreeMap<Spanned<String>, T>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    pub usage: Usage,
    pub price_book: Named<Spanned<Amount>>,
    #[serde(default)]
    pub grants: Grants,
    pub plans: Named<Plan>,
    #[serde(default)]
    pub packages: Named<Package>,
    pub meters: Named<Meter>,
    #[serde(default)]
    pub rates: Vec<Spanned<Rate>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Usage {
    pub grace_hours: Option<Spanned<Amount>>,
    pub look_back_days: Option<Spanned<Amount>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "the fields are named as in the file")]
pub(super) struct Grants {
    pub purchase_cycles: Option<Spanned<Amount>>,
    pub promotional_cycles: Option<Spanned<Amount>>,
    pub adjustment_cycles: Option<Spanned<Amount>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    pub name: Spanned<String>,
    pub allowance: Spanned<Amount>,
    pub signup_credits: Option<Spanned<Amount>>,
    #[serde(default)]
    pub fee: Named<Spanned<Amount>>,
    pub fee_timing: Option<crate::domain::plan::FeeTiming>,
    pub rollover_cycles: Option<Spanned<Amount>>,
    pub rollover_cap: Option<Spanned<Amount>>,
    pub depletion: Option<Spanned<crate::domain::plan::Depletion>>,
    #[serde(default)]
    pub overage_price: Named<Spanned<Amount>>,
    pub prorate_fee: Option<bool>,
    pub prorate_allowance: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Package {
    pub name: Spanned<String>,
    pub credits: Spanned<Amount>,
    #[serde(default)]
    pub price: Named<Spanned<Amount>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Meter {
    pub billable: Option<bool>,
    #[serde(default)]
    pub dimensions: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rate {
    pub meter: Spanned<String>,
    pub dimension: Option<Spanned<String>>,
    pub dimensions: Option<Vec<Spanned<String>>>,
    pub model: Option<Spanned<String>>,
    pub credits: Spanned<Amount>,
    pub per: Option<Spanned<Amount>>,
    pub effective_on: Option<Spanned<Amount>>,
}

/// A number or word, as text: `"0.024"`, `1000`, `"never"`, `"50%"`. Never a TOML float, which
/// would already have lost the exact amount.
#[derive(Debug)]
pub(super) struct Amount(pub String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AmountVisitor;
        impl de::Visitor<'_> for AmountVisitor {
            type Value = Amount;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text like \"0.024\" or a whole number like 1000")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Amount, E> {
                Ok(Amount(text.to_owned()))
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Amount, E> {
                Ok(Amount(number.to_string()))
            }

            fn visit_f64<E: de::Error>(self, _: f64) -> Result<Amount, E> {
                Err(E::custom(
                    "an amount with a decimal point must be written as text, like \"0.024\", to \
                     stay exact",
                ))
            }
        }
        deserializer.deserialize_any(AmountVisitor)
    }
}
