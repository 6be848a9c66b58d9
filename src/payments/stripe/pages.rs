//! Pages of Stripe: pay a bill, save a method, see and change what is saved.

use serde_json::Value;

use super::answers::{name_in, needed};
use super::charges::{checked, labels};
use super::form::Form;
use super::lists::ORGANIZATION;
use super::sessions::{SESSIONS, address};
use super::token::Token;
use super::{Stripe, amounts, intents};
use crate::domain::ids;
use crate::domain::payment::{ChargeRequest, HostedPage, Payer};
use crate::domain::text;
use crate::payments::GatewayError;

pub(super) const CUSTOMERS: &str = "/v1/customers";
/// Longest name Stripe keeps.
const MAX_NAME_CHARS: usize = 256;

impl Stripe {
    pub(super) async fn open_pay_page(
        &self,
        request: &ChargeRequest,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let amount = checked(request)?;
        let token = Token::parse(&request.payment_method)?;
        if token.method.is_some() {
            return Err(GatewayError::Misuse(format!(
                "{} is charged to a saved method, not paid on a page",
                request.reference
            )));
        }
        if let Some(session) = self.find_session(request).await? {
            return page(&session, request);
        }
        let customer = match token.customer {
            Some(customer) => customer.to_owned(),
            None => self.customer_for(payer).await?,
        };
        let form = Form::default().with("mode", "payment").with("customer", &customer);
        let form =
            labels(labels(form, "metadata", request), "payment_intent_data[metadata]", request)
                .with("payment_intent_data[description]", &request.reference)
                .with("client_reference_id", &request.reference)
                .with("line_items[0][quantity]", "1")
                .with("line_items[0][price_data][currency]", &amounts::currency(request.amount))
                .with("line_items[0][price_data][unit_amount]", &amount.to_string())
                .with("line_items[0][price_data][product_data][name]", &request.reference)
                .with("success_url", return_url)
                .with("cancel_url", return_url);
        let reply = self.client.post(SESSIONS, &form, Some(&request.key)).await?;
        page(&reply.body, request)
    }

    pub(super) async fn open_save_page(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let customer = self.customer_for(payer).await?;
        // Cards, with the wallets that hold cards: other kinds would need a currency here.
        let form = Form::default()
            .with("mode", "setup")
            .with("customer", &customer)
            .with("payment_method_types[0]", "card")
            .with(&format!("metadata[{ORGANIZATION}]"), &payer.organization)
            .with(&format!("setup_intent_data[metadata][{ORGANIZATION}]"), &payer.organization)
            .with("success_url", return_url)
            .with("cancel_url", return_url);
        let session = self.client.post(SESSIONS, &form, None).await?.body;
        Ok(HostedPage { provider_id: needed(&session, "id")?, url: address(&session)? })
    }

    pub(super) async fn open_portal(
        &self,
        payer: &Payer,
        return_url: &str,
    ) -> Result<HostedPage, GatewayError> {
        let customer = self.customer_for(payer).await?;
        let form = Form::default().with("customer", &customer).with("return_url", return_url);
        let session = self.client.post("/v1/billing_portal/sessions", &form, None).await?.body;
        Ok(HostedPage { provider_id: needed(&session, "id")?, url: address(&session)? })
    }

    /// The customer of an organization: the one its methods belong to, or the one that carries its
    /// id, or a new one.
    async fn customer_for(&self, payer: &Payer) -> Result<String, GatewayError> {
        for token in payer.methods.iter().filter_map(|token| Token::parse(token).ok()) {
            let customer = match (token.customer, token.method) {
                (Some(customer), _) => Some(customer.to_owned()),
                (None, Some(method)) => self.customer_of(method).await?,
                (None, None) => None,
            };
            if let Some(customer) = customer {
                return Ok(customer);
            }
        }
        let name = format!("organization {}", payer.organization);
        if let Some(customer) = self.remembered(&name) {
            return Ok(customer);
        }
        let path = format!("{CUSTOMERS}/search");
        let found = self.searched(&path, ORGANIZATION, &payer.organization).await?;
        let customer = match found.iter().find_map(|customer| name_in(customer, "id")) {
            Some(customer) => customer,
            None => self.new_customer(payer).await?,
        };
        self.remember(&name, &customer);
        Ok(customer)
    }

    /// Makes the customer once, also when the index does not show it yet.
    async fn new_customer(&self, payer: &Payer) -> Result<String, GatewayError> {
        let name = text::clipped(&payer.name, MAX_NAME_CHARS);
        let form = Form::default()
            .with_some("name", Some(&name))
            .with_some("email", Some(&payer.email))
            .with(&format!("metadata[{ORGANIZATION}]"), &payer.organization);
        let key = ids::key("customer", &[&payer.organization, &name, &payer.email]);
        needed(&self.client.post(CUSTOMERS, &form, Some(&key)).await?.body, "id")
    }
}

/// An open page of this request.
fn page(session: &Value, request: &ChargeRequest) -> Result<HostedPage, GatewayError> {
    intents::fits(session, "amount_total", request)?;
    let provider_id = needed(session, "id")?;
    if needed(session, "status")? == "open" {
        return Ok(HostedPage { provider_id, url: address(session)? });
    }
    Err(GatewayError::Unclear(format!(
        "the page for {} was paid or is over; look the payment up",
        request.reference
    )))
}
