//! Stored methods: whose they are, and what may be shown of them.

use serde_json::Value;

use super::Stripe;
use super::answers::{name_in, needed, reference_in};
use super::client::Failure;
use super::form::Form;
use super::token::Token;
use crate::domain::cycle::Cycle;
use crate::domain::payment::MethodDetails;
use crate::domain::text;
use crate::payments::GatewayError;

/// Longest name of a brand that is shown.
const MAX_BRAND_CHARS: usize = 40;

impl Stripe {
    /// The customer a method belongs to; none: there is no such method, or it is nobody's any more.
    pub(super) async fn customer_of(&self, method: &str) -> Result<Option<String>, GatewayError> {
        if let Some(customer) = self.remembered(method) {
            return Ok(Some(customer));
        }
        let customer = self.stored(method).await?.and_then(|it| reference_in(&it, "customer"));
        if let Some(customer) = &customer {
            self.remember(method, customer);
        }
        Ok(customer)
    }

    /// Does a method still belong to this customer? Asked afresh, whatever is remembered.
    pub(super) async fn belongs(
        &self,
        method: &str,
        customer: Option<&str>,
    ) -> Result<bool, GatewayError> {
        let owner = self.stored(method).await?.and_then(|it| reference_in(&it, "customer"));
        Ok(owner.is_some() && owner.as_deref() == customer)
    }

    pub(super) async fn method_details(
        &self,
        token: &str,
    ) -> Result<Option<MethodDetails>, GatewayError> {
        let token = Token::parse(token)?;
        let Some(method) = token.method else { return Ok(None) };
        let Some(stored) = self.stored(method).await? else { return Ok(None) };
        let customer = reference_in(&stored, "customer");
        let is_whole =
            customer.is_some() && token.customer.is_none_or(|c| Some(c) == customer.as_deref());
        if is_whole { details(&stored).map(Some) } else { Ok(None) }
    }

    async fn stored(&self, method: &str) -> Result<Option<Value>, GatewayError> {
        match self.client.get(&format!("/v1/payment_methods/{method}"), &Form::default()).await {
            Ok(reply) => Ok(Some(reply.body)),
            Err(Failure::Refused(refusal)) if refusal.is("resource_missing") => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }
}

/// What a method may be shown as: never more than the last four digits (S61).
fn details(method: &Value) -> Result<MethodDetails, GatewayError> {
    let kind = needed(method, "type")?;
    let empty = Value::Null;
    let about = method.get(&kind).unwrap_or(&empty);
    let brand = name_in(about, "brand").unwrap_or(kind);
    let wallet = about.get("wallet").and_then(|wallet| name_in(wallet, "type"));
    let brand = match wallet.as_deref() {
        Some("google_pay") => format!("{brand} (Google Pay)"),
        Some("apple_pay") => format!("{brand} (Apple Pay)"),
        Some("samsung_pay") => format!("{brand} (Samsung Pay)"),
        Some("link") => format!("{brand} (Link)"),
        _ => brand,
    };
    let whole = |field| about.get(field).and_then(Value::as_i64);
    let expires = whole("exp_year").zip(whole("exp_month")).and_then(|(year, month)| {
        Cycle::new(i32::try_from(year).ok()?, u32::try_from(month).ok()?).ok()
    });
    let is_short = |digits: &String| digits.len() <= 4;
    let last4 = name_in(about, "last4").filter(is_short);
    Ok(MethodDetails { brand: text::clipped(&brand, MAX_BRAND_CHARS), last4, expires })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    // S61
    #[test]
    fn methods_are_shown_by_brand_wallet_and_last_digits() {
        let card = |wallet: Value| {
            json!({"type": "card", "card": {"brand": "visa", "last4": "4242", "exp_month": 3,
                "exp_year": 2027, "wallet": wallet}})
        };
        let expires = Some("2027-03".parse().unwrap());
        let debit = json!({"type": "sepa_debit", "sepa_debit": {"last4": "3000"}});
        for (method, brand, last4, expires) in [
            (card(Value::Null), "visa", Some("4242"), expires),
            (card(json!({"type": "google_pay"})), "visa (Google Pay)", Some("4242"), expires),
            (debit, "sepa_debit", Some("3000"), None),
            (json!({"type": "paypal"}), "paypal", None, None),
            (json!({"type": "card", "card": {"last4": "4242424242424242"}}), "card", None, None),
        ] {
            let (brand, last4) = (brand.to_owned(), last4.map(str::to_owned));
            assert_eq!(details(&method), Ok(MethodDetails { brand, last4, expires }), "{method}");
        }
        assert!(details(&json!({})).is_err());
    }
}
