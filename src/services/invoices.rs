//! Invoices as people ask for them: lists, and one with its lines and statement.

use super::{ServiceError, documents, methods, no_organization};
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::document::CreditNote;
use crate::domain::invoice::InvoiceDocument;
use crate::storage::charges::{self, Charge};
use crate::storage::invoices::{self, Row};
use crate::storage::organizations;
use crate::storage::payments::{self, Payment};

/// An invoice with everything about it.
#[derive(Debug)]
pub struct Shown {
    /// Its row.
    pub row: Row,
    /// What is printed.
    pub document: InvoiceDocument,
    /// Every attempt to charge it, and how its method is shown.
    pub charges: Vec<(Charge, String)>,
    /// Money that came in for it.
    pub payments: Vec<Payment>,
    /// What was corrected since, in the order of their numbers.
    pub credit_notes: Vec<CreditNote>,
}

/// A number that no invoice has.
pub(crate) fn no_invoice(number: &str) -> ServiceError {
    ServiceError::NotFound(format!(
        "there is no invoice {:?}; `monthend invoice list` shows all",
        number.chars().take(60).collect::<String>()
    ))
}

/// Issued invoices of an organization, a cycle, or all, by number.
///
/// # Errors
/// There is no such organization, or the database fails.
pub async fn list(
    app: &App,
    organization: Option<&str>,
    cycle: Option<Cycle>,
) -> Result<Vec<Row>, ServiceError> {
    let mut tx = app.db.read().await?;
    if let Some(id) = organization {
        organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    }
    let mut rows = invoices::list(&mut tx, organization, cycle).await?;
    rows.retain(|row| row.number.is_some());
    Ok(rows)
}

/// One issued invoice.
///
/// # Errors
/// There is none of that number.
pub async fn show(app: &App, number: &str) -> Result<Shown, ServiceError> {
    let mut tx = app.db.read().await?;
    let row = invoices::by_number(&mut tx, number).await?.ok_or_else(|| no_invoice(number))?;
    let document = invoices::document(&mut tx, &row.organization, &row.id)
        .await?
        .ok_or_else(|| no_invoice(number))?
        .document()?;
    let mut charges = Vec::new();
    for charge in charges::of_subject(&mut tx, &row.organization, &row.id).await? {
        let token = &charge.request.payment_method;
        let method = methods::label(app, &mut tx, &row.organization, token).await?;
        charges.push((charge, method));
    }
    let payments = payments::of_invoice(&mut tx, &row.organization, &row.id).await?;
    let credit_notes = documents::credit_notes_of(&mut tx, &row.organization, &row.id).await?;
    Ok(Shown { row, document, charges, payments, credit_notes })
}
