//! The price map as JSON: an object of objects in which no name comes twice.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

/// Names and values of one model, in the order of the file.
pub(super) type Fields = Vec<(String, Value)>;

/// All models, in the order of the file. Errors carry line and column; nesting deeper than the
/// parser's limit is one of them.
pub(super) fn models(text: &str) -> Result<Vec<(String, Fields)>, serde_json::Error> {
    let Unique(models) = serde_json::from_str::<Unique<Unique<Value>>>(text)?;
    Ok(models.into_iter().map(|(model, Unique(fields))| (model, fields)).collect())
}

/// An object whose names are all different: of two prices of one name neither can be trusted.
struct Unique<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Unique<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> de::Visitor<'de> for UniqueVisitor<T> {
            type Value = Unique<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of models, each an object of its prices")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Unique<T>, A::Error> {
                let mut names = HashSet::new();
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if !names.insert(name.clone()) {
                        let name = crate::intake::shown(&name);
                        return Err(de::Error::custom(format!("{name} is there twice")));
                    }
                    entries.push((name, map.next_value()?));
                }
                Ok(Unique(entries))
            }
        }
        deserializer.deserialize_map(UniqueVisitor(std::marker::PhantomData))
    }
}
