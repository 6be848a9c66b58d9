//! Payments: what money came in for invoices, by a charge or by a transfer.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use macro_rules_attribute::derive;

use super::db::{Record, execute, fetch_all, fetch_keyed, insert};
use super::{Key, StorageError, Tx, by_organization, one_or_all, parsed};
use crate::domain::ids;
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
    /// When finance took it back, if it did: it was recorded by mistake, and counts no more.
    pub reversed_at: Option<DateTime<Utc>>,
}

/// The columns of [`Payment`], with what was taken back; what follows is the condition and the order.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.organization, p.id, p.invoice_id, p.currency, p.amount, p.method, p.reference, p.received_on, \
             r.reversed_at FROM payment p \
             LEFT JOIN payment_reversal r ON r.organization = p.organization AND r.payment_id = p.id ",
            $rest
        )
    };
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
        select!("WHERE p.organization = $1 AND p.invoice_id = $2 ORDER BY p.id"),
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
        select!("WHERE p.organization BETWEEN $1 AND $2 ORDER BY p.organization, p.id"),
        first,
        last
    );
    by_organization(rows.into_iter().map(|row| Ok((row.organization.clone(), row))))
}

/// The id of a recorded transfer. One that is recorded again, after `earlier` ones of its invoice were taken back,
/// is another payment, even at the same instant.
#[must_use]
pub fn transfer_id(
    organization: &str,
    invoice: &str,
    reference: &str,
    earlier: usize,
    recorded_at: DateTime<Utc>,
) -> String {
    let again = earlier.to_string();
    let mut parts = vec![organization, invoice, reference];
    if earlier > 0 {
        parts.push(&again);
    }
    ids::derived("pay", recorded_at, &parts)
}

/// Takes a recorded transfer back: the payment stays, and does not count any more.
pub async fn reverse(
    tx: &mut Tx,
    payment: &Payment,
    now: DateTime<Utc>,
) -> Result<(), StorageError> {
    execute!(
        tx,
        "INSERT INTO payment_reversal (organization, payment_id, reversed_at) VALUES ($1, $2, $3)",
        payment.organization.clone(),
        payment.id.clone(),
        now
    );
    Ok(())
}

/// Of the named invoices those of which payments were taken back, and how many.
pub async fn taken_back(
    tx: &mut Tx,
    invoices: &[Key],
) -> Result<HashMap<Key, usize>, StorageError> {
    let head = "SELECT p.organization, p.invoice_id FROM payment p JOIN payment_reversal r \
                ON r.organization = p.organization AND r.payment_id = p.id WHERE (p.organization, p.invoice_id)";
    let mut counts = HashMap::new();
    for invoice in fetch_keyed!(tx, Key, head, invoices) {
        *counts.entry(invoice).or_default() += 1;
    }
    Ok(counts)
}

/// How many payments of an invoice were taken back.
pub async fn times_taken_back(
    tx: &mut Tx,
    organization: &str,
    invoice_id: &str,
) -> Result<usize, StorageError> {
    let invoice = [(organization.to_owned(), invoice_id.to_owned())];
    Ok(taken_back(tx, &invoice).await?.into_values().next().unwrap_or_default())
}

/// The numbers of invoices for which a transfer of this reference counts already, whoever's they are.
pub async fn invoices_with(tx: &mut Tx, reference: &str) -> Result<Vec<String>, StorageError> {
    let rows = fetch_all!(
        tx,
        (String,),
        "SELECT i.number FROM payment p \
         JOIN invoice i ON i.organization = p.organization AND i.id = p.invoice_id \
         WHERE p.method = 'transfer' AND p.reference = $1 AND i.number IS NOT NULL AND NOT EXISTS \
         (SELECT 1 FROM payment_reversal r WHERE r.organization = p.organization AND r.payment_id = p.id) \
         ORDER BY i.number",
        reference
    );
    Ok(rows.into_iter().map(|(number,)| number).collect())
}

impl Payment {
    /// Does it count? Not once it was taken back.
    #[must_use]
    pub const fn counts(&self) -> bool {
        self.reversed_at.is_none()
    }

    /// `received`, or `reversed` once it was taken back.
    #[must_use]
    pub const fn state(&self) -> &'static str {
        if self.counts() { "received" } else { "reversed" }
    }

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
        select!("WHERE p.method = 'transfer' AND p.organization BETWEEN $1 AND $2 ORDER BY p.id"),
        first,
        last
    ))
}
