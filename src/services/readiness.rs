//! Card readiness: before the 1st, which payment methods will probably fail, and how much money that is.

use chrono::NaiveDate;

use super::credits;
use super::methods::Wallets;
use super::{ServiceError, notices, pay_pages};
use crate::app::App;
use crate::domain::cycle::Cycle;
use crate::domain::money::Money;
use crate::mail::Notice;
use crate::mail::notices::MethodTrouble;
use crate::storage::charges;
use crate::storage::mails::Mail;
use crate::storage::methods::{self};
use crate::storage::organizations::{self, Stored};
use crate::storage::{Tx, cycles};

/// A payment method that will probably not work.
#[derive(Debug, Clone)]
pub struct Risk {
    /// Whose.
    pub organization: String,
    /// What is wrong.
    pub trouble: MethodTrouble,
    /// The method, without secrets.
    pub label: Option<String>,
    /// The last month it is valid in.
    pub expires: Option<Cycle>,
    /// The day the next invoice is charged.
    pub needed_on: NaiveDate,
    /// What that invoice would come to today: the amount at risk.
    pub expected: Money,
}

/// Looks at a range of organizations. Where nothing is to be paid, nothing is at risk.
///
/// # Errors
/// The database fails.
pub async fn examine(
    app: &App,
    tx: &mut Tx,
    first: &str,
    last: &str,
) -> Result<Vec<(Stored, Risk)>, ServiceError> {
    if !app.gateway.collects() {
        return Ok(Vec::new());
    }
    let wallets = Wallets::read(app, tx, first, last).await?;
    let declined = charges::last_declined(tx, first, last).await?;
    let mut risks = Vec::new();
    for stored in organizations::range(tx, first, last).await? {
        let organization = &stored.organization;
        let Some(open) = cycles::open_of(tx, std::slice::from_ref(&organization.id)).await?.pop()
        else {
            continue;
        };
        let needed_on = open.open.cycle.next().first_day();
        let method = organization.payment_method.as_ref().and_then(|token| {
            wallets.of(organization).into_iter().find(|method| method.token == *token)
        });
        let expires: Option<Cycle> =
            method.and_then(|method| method.expires.as_deref()?.parse().ok());
        let trouble = match method {
            // Who never had a method pays by transfer, and nothing is at risk.
            None if methods::ever_had(tx, &organization.id).await? => MethodTrouble::Missing,
            Some(_) if expires.is_some_and(|last| last < Cycle::of_date(needed_on)) => {
                MethodTrouble::Expires
            }
            Some(method)
                if method.state == methods::REFUSED
                    || declined.contains(&(organization.id.clone(), method.token.clone())) =>
            {
                MethodTrouble::Failed
            }
            _ => continue,
        };
        // A cycle that cannot be closed in thought is parked when it ends; that is told then.
        let Ok(Some(expected)) = credits::expected_due(tx, &stored).await else { continue };
        if !expected.is_positive() {
            continue;
        }
        let label = method.map(|method| wallets.label(app, &organization.id, &method.token));
        let risk = Risk {
            organization: organization.id.clone(),
            trouble,
            label,
            expires,
            needed_on,
            expected,
        };
        risks.push((stored, risk));
    }
    Ok(risks)
}

/// Tells the customer, once for each day it is looked at.
///
/// # Errors
/// The database fails.
pub async fn tell(
    app: &App,
    tx: &mut Tx,
    stored: &Stored,
    risk: &Risk,
) -> Result<Vec<Mail>, ServiceError> {
    let now = app.clock.now();
    let organization = &stored.organization;
    let notice = Notice::PaymentMethod {
        trouble: risk.trouble,
        label: risk.label.clone(),
        expires: risk.expires,
        needed_on: risk.needed_on,
        expected: Some(risk.expected),
        link: pay_pages::method_link(app, tx, &organization.id).await?,
    };
    let today = now.with_timezone(&organization.zone).date_naive();
    let key = format!("payment-method-{}-{today}", risk.needed_on);
    notices::tell(tx, organization, &organization.billing_emails, &key, notice, now).await
}

/// Everything at risk now, for finance.
///
/// # Errors
/// The database fails.
pub async fn list(app: &App) -> Result<Vec<Risk>, ServiceError> {
    let mut tx = app.db.read().await?;
    let found = examine(app, &mut tx, "", "~").await?;
    Ok(found.into_iter().map(|(_, risk)| risk).collect())
}

/// The word for a trouble in tables and JSON.
#[must_use]
pub const fn word(trouble: MethodTrouble) -> &'static str {
    match trouble {
        MethodTrouble::Missing => "missing",
        MethodTrouble::Expires => "expires",
        MethodTrouble::Failed => "failed",
    }
}
