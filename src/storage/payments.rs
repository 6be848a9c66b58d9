//! Payments: what money came in for invoices, by a charge or by a transfer.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, fetch_all, insert};
use super::{StorageError, Tx, by_organization, one_or_all, parsed};
use crate::domain::money::{Currency, Money};

/// Money that came in for an invoice.
#[derive(Debug, Clone, PartialEq, Eq, Record!)]
pub struct Payment {
    /// Whose.
    pub organization: String,
    /// Its id.
    pub id: String,
    /// For which invoice.
    pub invoice_id: String,
    /// ISO 4217.
    pub currency: String,
    /// Minor units.
    pub amount: i64,
    /// `charge` or `transfer`.
    pub method: String,
    /// The provider's id, or the bank's reference.
    pub reference: String,
    /// When it came in.
    pub received_on: NaiveDate,
}

/// Records payments.
pub async fn add(
    tx: &mut Tx,
    payments: &[Payment],
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    insert!(
        tx,
        "INSERT INTO payment (organization, id, invoice_id, currency, amount, method, reference, received_on, \
         recorded_at)",
        "",
        payments,
        payment => [
            &payment.organization,
            &payment.id,
            &payment.invoice_id,
            &payment.currency,
            payment.amount,
            &payment.method,
            &payment.reference,
            payment.received_on,
            now,
        ]
    );
    Ok(())
}

/// Payments of an invoice.
pub async fn of_invoice(
    tx: &mut Tx,
    organization: &str,
    invoice_id: &str,
) -> Result<Vec<Payment>, StorageError> {
    Ok(fetch_all!(
        tx,
        Payment,
        "SELECT organization, id, invoice_id, currency, amount, method, reference, received_on FROM payment \
         WHERE organization = $1 AND invoice_id = $2 ORDER BY id",
        organization,
        invoice_id
    ))
}

/// All payments of a range of organizations.
pub async fn in_range(
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<HashMap<String, Vec<Payment>>, StorageError> {
    let rows = fetch_all!(
        tx,
        Payment,
        "SELECT organization, id, invoice_id, currency, amount, method, reference, received_on FROM payment \
         WHERE organization BETWEEN $1 AND $2 ORDER BY organization, id",
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

impl Payment {
    /// The amount.
    pub fn money(&self) -> Result<Money, StorageError> {
        let currency: Currency = parsed("payment", "currency", &self.id, &self.currency)?;
        Ok(Money::from_minor(self.amount, currency))
    }
}

/// Bank transfers of one organization or of all, oldest first.
pub async fn transfers(
    tx: &mut Tx,
    organization: Option<&str>,
) -> Result<Vec<Payment>, StorageError> {
    let (first, last) = one_or_all(organization);
    Ok(fetch_all!(
        tx,
        Payment,
        "SELECT organization, id, invoice_id, currency, amount, method, reference, received_on FROM payment \
         WHERE method = 'transfer' AND organization BETWEEN $1 AND $2 ORDER BY id",
        first,
        last
    ))
}
