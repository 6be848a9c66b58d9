//! Form-encoded bodies and queries, as Stripe reads them: `metadata[monthend_key]=…&amount=100`.

/// Fields of a request in the order they were added: the same request is the same bytes.
#[derive(Default)]
pub(super) struct Form(String);

impl Form {
    /// Adds a field.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        encode(name, &mut self.0);
        self.0.push('=');
        encode(value, &mut self.0);
        self
    }

    /// Adds a field where there is a value; Stripe takes an empty one as "unset this".
    pub(super) fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value.filter(|value| !value.is_empty()) {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The encoded text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Percent-encodes everything but letters, digits and the four marks that never need it.
fn encode(text: &str, into: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.push('%');
            into.push(char::from(DIGITS[usize::from(byte >> 4)]));
            into.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// A metadata value in Stripe's search language: `metadata['name']:'value'`.
pub(super) fn metadata_query(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("metadata['{name}']:'{value}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_could_end_a_field_is_encoded() {
        let form = Form::default()
            .with("metadata[monthend_reference]", "A&B=C d+é")
            .with_some("customer", None)
            .with_some("email", Some(""))
            .with_some("amount", Some("100"));
        assert_eq!(
            form.as_str(),
            "metadata%5Bmonthend_reference%5D=A%26B%3DC%20d%2B%C3%A9&amount=100"
        );
    }

    #[test]
    fn a_quote_does_not_end_a_searched_value() {
        assert_eq!(metadata_query("k", r"o'ne\"), r"metadata['k']:'o\'ne\\'");
    }
}
