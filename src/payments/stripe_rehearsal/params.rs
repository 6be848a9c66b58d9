//! Parameters of a request, as Stripe takes them: flat names with brackets, strictly known ones.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answer::Answer;

/// Parameters by their whole name.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Params(BTreeMap<String, String>);

impl Params {
    /// Reads a query or a form; none: it is not one.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut all = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            all.insert(decoded(name)?, decoded(value)?);
        }
        Some(Self(all))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// The metadata below a name.
    pub(super) fn metadata(&self, below: &str) -> Value {
        let mut all = Map::new();
        for (name, value) in &self.0 {
            let inner = name.strip_prefix(below).and_then(|rest| rest.strip_prefix('['));
            if let Some(inner) = inner.and_then(|rest| rest.strip_suffix(']')) {
                all.insert(inner.to_owned(), Value::from(value.as_str()));
            }
        }
        Value::Object(all)
    }

    /// Refuses a parameter this call does not have: a misspelt one must not pass in a rehearsal.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Answer> {
        for name in self.0.keys() {
            let family = name.split('[').next().unwrap_or_default();
            if !known.contains(&family) {
                return Err(Answer::invalid(400, Some("parameter_unknown"), Some(name)));
            }
        }
        Ok(())
    }

    /// A parameter the call cannot do without.
    pub(super) fn needed(&self, name: &str) -> Result<&str, Answer> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Answer::invalid(400, Some("parameter_missing"), Some(name)))
    }
}

fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_they_are_written() {
        let params = Params::read("metadata%5Bkey%5D=a%26b+c&amount=100&empty=").unwrap();
        assert_eq!(params.metadata("metadata"), serde_json::json!({"key": "a&b c"}));
        assert_eq!(params.get("amount"), Some("100"));
        assert!(params.needed("empty").is_err() && params.needed("amount").is_ok());
        assert!(params.only(&["metadata", "amount"]).is_err());
        assert!(params.only(&["metadata", "amount", "empty"]).is_ok());
        for broken in ["a", "a=%", "a=%zz", "a=%ff"] {
            assert_eq!(Params::read(broken), None, "{broken}");
        }
    }
}
