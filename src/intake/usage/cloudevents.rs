//! Usage as CloudEvents 1.0: one JSON object per line, the quantities in `data`.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use super::fields::{self, Draft};
use super::{Rejected, unreadable};
use crate::domain::decimal;
use crate::domain::usage::UsageEvent;
use crate::intake::shown;

/// The attributes that are read; extensions are left alone, as the standard asks.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    specversion: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    subject: Option<Cow<'a, str>>,
    #[serde(borrow)]
    datacontenttype: Option<Cow<'a, str>>,
    #[serde(default)]
    data: Data,
}

/// `data` in the order it is written; a name that comes twice is an error.
#[derive(Default)]
struct Data(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DataVisitor;
        impl<'de> de::Visitor<'de> for DataVisitor {
            type Value = Data;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`data` as an object of names and quantities")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut data: Vec<(String, Value)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if data.iter().any(|(known, _)| *known == name) {
                        return Err(de::Error::custom(format!("data.{name} is there twice")));
                    }
                    data.push((name, value));
                }
                Ok(Data(data))
            }
        }
        deserializer.deserialize_map(DataVisitor)
    }
}

/// One line: the event, or why not and the row as JSON.
pub(super) fn read_line(line: &[u8]) -> Result<UsageEvent, (Rejected, String)> {
    event(line).map_err(|rejected| {
        // Only a rejected line is read twice: to keep it whole and to say whose it is.
        match serde_json::from_slice::<Value>(line) {
            Ok(Value::Object(object)) => {
                let organization = object.get("subject").and_then(Value::as_str).map(str::to_owned);
                let text = String::from_utf8_lossy(line).trim_ascii().to_owned();
                (Rejected { organization, ..rejected }, text)
            }
            _ => (rejected, unreadable(line)),
        }
    })
}

fn event(line: &[u8]) -> Result<UsageEvent, Rejected> {
    let event: Event = serde_json::from_slice(line)
        .map_err(|error| Rejected::row(format!("not a CloudEvent in JSON: {error}")))?;
    if event.specversion.as_deref() != Some("1.0") {
        return Err(Rejected::field("specversion", "it must be \"1.0\""));
    }
    if let Some(kind) = event.datacontenttype.as_deref().filter(|kind| !is_json(kind)) {
        let reason = format!("{} is not application/json", shown(kind));
        return Err(Rejected::field("datacontenttype", reason));
    }
    let mut draft = Draft::default();
    for (attribute, column, value) in [
        ("id", "id", &event.id),
        ("source", "source", &event.source),
        ("time", "at", &event.time),
        ("type", "meter", &event.r#type),
        ("subject", "organization", &event.subject),
    ] {
        let text = value.as_deref().filter(|text| !text.is_empty());
        let text =
            text.ok_or_else(|| Rejected::field(attribute, "it is missing or blank, but needed"))?;
        draft
            .put(column, text)
            .map_err(|rejected| Rejected { field: Some(attribute.to_owned()), ..rejected })?;
    }
    for (name, value) in &event.data.0 {
        datum(&mut draft, name, value).map_err(|rejected| Rejected {
            field: Some(format!("data.{}", crate::domain::text::clipped(name, 63))),
            ..rejected
        })?;
    }
    draft.finish()
}

/// One entry of `data`: a text by its name, or a quantity as a number or decimal text, exact.
fn datum(draft: &mut Draft, name: &str, value: &Value) -> Result<(), Rejected> {
    // `source` is an attribute of the event itself.
    if fields::OPTIONAL.contains(&name) && name != "source" {
        return match value {
            Value::String(text) => draft.put(name, text),
            Value::Null => Ok(()),
            _ => Err(Rejected::field(name, "it must be a text")),
        };
    }
    fields::checked_dimension(name).map_err(|reason| Rejected::field(name, reason))?;
    match value {
        Value::Number(number) => draft.quantity(name, decimal::parse_scientific(number.as_str())),
        Value::String(text) => draft.quantity(name, decimal::parse(text)),
        Value::Null => Ok(()),
        _ => Err(Rejected::field(name, "a quantity is a number or a decimal text")),
    }
}

fn is_json(kind: &str) -> bool {
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
        || kind.eq_ignore_ascii_case("text/json")
        || kind.to_ascii_lowercase().ends_with("+json")
}
