//! What all issued documents share: who sells, who buys, and the next number of a series.

use chrono::{DateTime, Datelike, NaiveDate, Utc};

use super::ServiceError;
use crate::app::App;
use crate::config::Series;
use crate::domain::document::{Document, DocumentHead, content_hash};
use crate::domain::invoice::Party;
use crate::domain::money::Money;
use crate::domain::organization::Organization;
use crate::domain::text;
use crate::storage::documents::{self, Row};
use crate::storage::{Tx, numbers, to_json};

/// Longest organization name that is kept on a document.
const MAX_NAME_CHARS: usize = 10_000;

/// The series a document of a day is numbered in: of the seller, or of the organization, each year anew.
#[must_use]
pub fn series_name(app: &App, prefix: &str, organization: &str, issued_on: NaiveDate) -> String {
    let year = issued_on.year();
    match app.config.invoices.series {
        Series::Seller => format!("{prefix}-{year}"),
        // Ids are safe in numbers and file names; upper case keeps them apart from the counter.
        Series::Organization => {
            format!("{prefix}-{}-{year}", organization.to_ascii_uppercase())
        }
    }
}

/// The seller, as printed.
#[must_use]
pub fn seller(app: &App) -> Party {
    let seller = &app.config.seller;
    Party {
        name: text::cleaned(&seller.name),
        address: seller.address.iter().map(|line| text::cleaned(line)).collect(),
        country: seller.country.clone(),
        tax_id: seller.tax_id.clone(),
        email: None,
    }
}

/// The buyer, as printed.
#[must_use]
pub fn buyer(organization: &Organization) -> Party {
    let lines = |text: &str| text.lines().map(text::cleaned).filter(|l| !l.is_empty()).collect();
    Party {
        name: text::clipped(&organization.name, MAX_NAME_CHARS),
        address: organization.address.as_deref().map(lines).unwrap_or_default(),
        country: organization.country.clone(),
        tax_id: organization.tax_id.clone(),
        email: organization.billing_emails.first().cloned(),
    }
}

/// What a receipt or credit note is about, and where it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Filing<'a> {
    /// Its id.
    pub id: &'a str,
    /// First part of its number.
    pub prefix: &'a str,
    /// `invoice` or `purchase`.
    pub subject: &'static str,
    /// Which one.
    pub subject_id: &'a str,
    /// The cycle it is shown with.
    pub cycle: crate::domain::cycle::Cycle,
    /// Net, tax and total.
    pub amounts: [Money; 3],
}

/// Numbers and freezes a receipt or credit note in the caller's transaction; `make` fills in the rest once
/// the head is known. Gives its number.
///
/// # Errors
/// The database fails.
pub async fn issue(
    app: &App,
    tx: &mut Tx,
    organization: &Organization,
    filing: &Filing<'_>,
    make: impl FnOnce(DocumentHead) -> Document,
) -> Result<String, ServiceError> {
    let now = app.clock.now();
    let issued_on = now.with_timezone(&organization.zone).date_naive();
    let series = series_name(app, filing.prefix, &organization.id, issued_on);
    let series_number = numbers::take(tx, &series, 1).await?;
    let number = format!("{series}-{series_number:06}");
    let document = make(DocumentHead {
        number: number.clone(),
        issued_on,
        zone: organization.zone.name().to_owned(),
        seller: seller(app),
        buyer: buyer(organization),
        support: text::cleaned(&app.config.seller.support),
        notes: app.config.invoices.notes.iter().map(|note| text::cleaned(note)).collect(),
    });
    let content = to_json("document", "content", filing.id, &document)?;
    let [subtotal, tax, total] = filing.amounts;
    let issued_at = issued_at(tx, &series, now).await?;
    documents::add(
        tx,
        &Row {
            organization: organization.id.clone(),
            id: filing.id.to_owned(),
            kind: document.kind().to_owned(),
            subject: filing.subject.to_owned(),
            subject_id: filing.subject_id.to_owned(),
            cycle: filing.cycle.to_string(),
            issued_at,
            series,
            series_number,
            number: number.clone(),
            currency: total.currency().to_string(),
            subtotal: subtotal.minor(),
            tax: tax.minor(),
            total: total.minor(),
            issued_on,
            content_hash: content_hash(&content),
            content,
        },
    )
    .await?;
    Ok(number)
}

/// Read under the series' lock: a later number was never issued earlier, whichever worker's clock runs
/// ahead (V3).
async fn issued_at(
    tx: &mut Tx,
    series: &str,
    now: DateTime<Utc>,
) -> Result<DateTime<Utc>, ServiceError> {
    let last = documents::last_issued_at(tx, series).await?;
    Ok(last.map_or(now, |last| last.max(now)))
}
