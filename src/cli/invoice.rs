//! `invoice list`, `invoice show`, `invoice credit`.

use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};

use super::Outcome;
use super::arguments::InvoiceCommand;
use super::credits::{statement_json, statement_text};
use super::document;
use super::output::{Output, instant, path, table};
use crate::app::App;
use crate::domain::decimal;
use crate::domain::invoice::InvoiceLine;
use crate::domain::money::Money;
use crate::jobs::requests;
use crate::services::credit_notes;
use crate::services::invoices::{self, Shown};
use crate::storage::invoices::Row;
use crate::storage::payments::Payment;

pub(super) async fn run(
    app: &Arc<App>,
    command: InvoiceCommand,
    output: &Output,
) -> Result<Outcome> {
    match command {
        InvoiceCommand::List { organization, cycle } => {
            let rows = invoices::list(app, organization.as_deref(), cycle).await?;
            let objects = rows.iter().map(|row| row_json(app, row)).collect::<Result<Vec<_>>>()?;
            let lines = rows.iter().map(cells).collect::<Result<Vec<_>>>()?;
            output.result(&json!({"invoices": objects}), || {
                if rows.is_empty() {
                    return "There is no such invoice.".to_owned();
                }
                let header = [
                    "number",
                    "organization",
                    "cycle",
                    "issued on",
                    "status",
                    "payment",
                    "total",
                    "due",
                    "",
                ];
                table(&header, &[6, 7], lines)
            });
        }
        InvoiceCommand::Show { number } => {
            if document::print(app, &number, output).await? {
                return Ok(Outcome::Done);
            }
            let shown = invoices::show(app, &number).await?;
            let object = shown_json(app, &shown)?;
            let text = shown_text(app, &shown)?;
            output.result(&object, || text);
        }
        InvoiceCommand::Credit { number, amount, credits, reason } => {
            let wanted = credit_notes::Wanted {
                number: &number,
                amount: amount.as_deref(),
                credits,
                reason: &reason,
            };
            let (note, report) = requests::credit(app, &wanted).await?;
            document::print(app, &note, output).await?;
            return Ok(super::payment::outcome(&report));
        }
    }
    Ok(Outcome::Done)
}

/// What is still to be paid: nothing once the invoice is settled.
fn amount_due(row: &Row) -> Result<Money> {
    let settled = row.status == "settled";
    Ok(if settled { row.money(0)? } else { row.outstanding()? })
}

pub(super) fn row_json(app: &App, row: &Row) -> Result<Value> {
    let file = |relative: &Option<String>| {
        relative.as_ref().map(|relative| path(&app.documents().join(relative)))
    };
    Ok(json!({
        "number": row.number, "organization": row.organization, "cycle": row.cycle,
        "issued_on": row.issued_on, "status": row.status, "payment_status": row.payment_status,
        "subtotal": row.money(row.subtotal)?, "tax": row.money(row.tax)?, "total": row.money(row.total)?,
        "prepaid": row.money(row.prepaid)?, "amount_due": amount_due(row)?,
        "pdf": file(&row.pdf), "csv": file(&row.csv),
    }))
}

fn cells(row: &Row) -> Result<Vec<String>> {
    Ok(vec![
        row.number.clone().unwrap_or_default(),
        row.organization.clone(),
        row.cycle.clone(),
        row.issued_on.map(|on| on.to_string()).unwrap_or_default(),
        row.status.clone(),
        row.payment_status.clone(),
        row.money(row.total)?.amount_text(),
        amount_due(row)?.amount_text(),
        row.currency.clone(),
    ])
}

/// Lines of any issued document.
pub(super) fn lines_json(lines: &[InvoiceLine]) -> Value {
    let line = |line: &InvoiceLine| {
        json!({"description": line.description, "kind": line.kind, "quantity": decimal::text(line.quantity),
            "unit": line.unit, "unit_price": decimal::text(line.unit_price), "amount": line.amount,
            "cycle": line.cycle})
    };
    lines.iter().map(line).collect()
}

/// Lines of any issued document, for people.
pub(super) fn lines_table(lines: &[InvoiceLine]) -> String {
    let cells = |line: &InvoiceLine| {
        vec![
            line.description.clone(),
            line.cycle.to_string(),
            decimal::text(line.quantity),
            line.unit.clone(),
            decimal::text(line.unit_price),
            line.amount.amount_text(),
        ]
    };
    let rows = lines.iter().map(cells).collect();
    table(&["line", "cycle", "quantity", "unit", "unit price", "amount"], &[2, 4, 5], rows)
}

fn shown_json(app: &App, shown: &Shown) -> Result<Value> {
    let mut object = row_json(app, &shown.row)?;
    let draft = &shown.document.draft;
    let charges: Vec<Value> = shown
        .charges
        .iter()
        .map(|(charge, method)| {
            json!({"id": charge.id, "attempt": charge.attempt, "state": charge.state.as_str(),
                "amount": charge.request.amount, "message": charge.message, "method": method,
                "sent_at": charge.first_sent_at.map(instant)})
        })
        .collect();
    let payments = shown
        .payments
        .iter()
        .map(|payment| {
            Ok(json!({"id": payment.id, "method": payment.method, "amount": payment.money()?,
                "reference": payment.reference, "received_on": payment.received_on,
                "state": payment.state(), "reversed_at": payment.reversed_at.map(instant)}))
        })
        .collect::<Result<Vec<Value>>>()?;
    if let Some(fields) = object.as_object_mut() {
        fields.insert("due_on".to_owned(), json!(shown.document.header.due_on));
        fields.insert("lines".to_owned(), lines_json(&draft.lines));
        fields.insert("tax_subtotals".to_owned(), serde_json::to_value(&draft.tax_subtotals)?);
        fields.insert("usage".to_owned(), serde_json::to_value(&draft.usage)?);
        fields.insert("statement".to_owned(), statement_json(&draft.statement)?);
        fields.insert("charges".to_owned(), json!(charges));
        fields.insert("payments".to_owned(), json!(payments));
        fields.insert("credit_notes".to_owned(), document::credit_notes_json(&shown.credit_notes));
    }
    Ok(object)
}

fn shown_text(app: &App, shown: &Shown) -> Result<String> {
    let (row, draft) = (&shown.row, &shown.document.draft);
    let mut text = format!(
        "Invoice {} of {} for {}: {}, payment {}\n{}\n",
        row.number.as_deref().unwrap_or_default(),
        row.organization,
        row.cycle,
        row.status,
        row.payment_status,
        lines_table(&draft.lines)
    );
    text.push_str(&format!("  subtotal {}", draft.subtotal));
    for tax in &draft.tax_subtotals {
        text.push_str(&format!("\n  tax {} % on {}: {}", tax.percent, tax.taxable, tax.amount));
    }
    text.push_str(&format!("\n  total {}", draft.total));
    if !draft.prepaid.is_zero() {
        text.push_str(&format!("\n  already paid {}", draft.prepaid));
    }
    let paid = shown.payments.iter().filter(|payment| payment.counts());
    let paid =
        Money::total(row.currency()?, paid.map(Payment::money).collect::<Result<Vec<_>, _>>()?)?;
    if !paid.is_zero() {
        text.push_str(&format!("\n  paid since {paid}"));
    }
    text.push_str(&format!("\n  to pay {}\n\nUse by meter\n", amount_due(row)?));
    let usage = draft
        .usage
        .iter()
        .map(|u| {
            vec![u.meter.clone(), u.cycle.to_string(), u.events.to_string(), u.credits.to_string()]
        })
        .collect();
    text.push_str(&table(&["meter", "cycle", "events", "credits"], &[2, 3], usage));
    text.push_str(&format!("\n\n{}\n", statement_text(&draft.statement)));
    for (charge, method) in &shown.charges {
        let message = charge.message.as_ref().map(|text| format!(": {text}")).unwrap_or_default();
        text.push_str(&format!(
            "\ncharge {} by {method}: {}{message}",
            charge.attempt, charge.state
        ));
    }
    for payment in &shown.payments {
        let back = payment.reversed_at.map(|at| format!(", taken back at {}", instant(at)));
        text.push_str(&format!(
            "\npaid {} by {} on {} ({}){}",
            payment.money()?,
            payment.method,
            payment.received_on,
            payment.reference,
            back.unwrap_or_default()
        ));
    }
    text.push_str(&document::credit_notes_text(&shown.credit_notes));
    for file in [&row.pdf, &row.csv].into_iter().flatten() {
        text.push_str(&format!("\n{}", path(&app.documents().join(file))));
    }
    Ok(text)
}
