//! Tokens of stored methods: `pm_…`, `cus_…/pm_…`, and `hosted` for a page of Stripe.

use super::answers::is_name;
use crate::payments::GatewayError;

/// The method of a request that is paid on a page.
pub(super) const HOSTED: &str = "hosted";

/// A token taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Stripe's id of the customer, where the token names it.
    pub(super) customer: Option<&'a str>,
    /// Stripe's id of the method; none: the customer pays on a page.
    pub(super) method: Option<&'a str>,
}

impl<'a> Token<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`GatewayError::Misuse`]: it cannot be one of Stripe's. It is not repeated, as it may be a
    /// secret in the wrong place (F88).
    pub(super) fn parse(text: &'a str) -> Result<Self, GatewayError> {
        let (customer, method) = match text.split_once('/') {
            Some((customer, method)) => (Some(customer), method),
            None => (None, text),
        };
        let is_customer = |id: &str| id.starts_with("cus_") && is_name(id);
        if !is_name(method) || !customer.is_none_or(is_customer) {
            return Err(GatewayError::Misuse(
                "the payment method is none of Stripe's (pm_…, or cus_…/pm_…); save it again"
                    .to_owned(),
            ));
        }
        Ok(Self { customer, method: (method != HOSTED).then_some(method) })
    }

    /// The token of a customer's method.
    pub(super) fn join(customer: &str, method: &str) -> String {
        format!("{customer}/{method}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_with_and_without_a_customer() {
        let token = |customer, method| Token { customer, method };
        for (text, expected) in [
            ("pm_1", token(None, Some("pm_1"))),
            ("cus_a/pm_1", token(Some("cus_a"), Some("pm_1"))),
            ("cus_a/hosted", token(Some("cus_a"), None)),
            ("hosted", token(None, None)),
        ] {
            assert_eq!(Token::parse(text), Ok(expected), "{text}");
        }
    }

    // F88
    #[test]
    fn what_would_change_an_address_is_refused_and_not_repeated() {
        for text in
            ["", "/", "a/pm_1", "cus_a/", "pm_CANARY/../x", "pm_CANARY?x", "cus_a/pm/CANARY"]
        {
            let error = Token::parse(text).unwrap_err();
            assert!(matches!(error, GatewayError::Misuse(_)), "{text}");
            assert!(!error.to_string().contains("CANARY"), "{error}");
        }
    }
}
