//! Saved payment methods: which one to charge, how it is shown, what the provider knows of it.
//!
//! The organization's default method is charged first. Without a default an organization pays by
//! transfer; other saved methods are fallbacks of the default, never a replacement for it.

use std::collections::{HashMap, HashSet};

use super::{ServiceError, identity, no_organization};
use crate::app::App;
use crate::domain::dunning::{self, Candidate, NoMethod};
use crate::domain::organization::Organization;
use crate::domain::payment::{Payer, VOIDED};
use crate::storage::charges::{self, Charge};
use crate::storage::methods::{self, Method};
use crate::storage::{Tx, audit, dunning as dunning_rows, ledger, organizations};

/// Saved methods and failed attempts of a range of organizations, read once.
#[derive(Debug, Default)]
pub struct Wallets {
    methods: HashMap<String, Vec<Method>>,
    failed: HashMap<(String, String), i64>,
    held: HashSet<String>,
}

impl Wallets {
    /// Reads a range of organizations.
    ///
    /// # Errors
    /// The database fails.
    pub async fn read(
        app: &App,
        tx: &mut Tx,
        first: &str,
        last: &str,
    ) -> Result<Self, ServiceError> {
        let since = app.calendar().window_begins(app.clock.now());
        let mut wallets = Self {
            failed: charges::failed_by_method(tx, first, last, since).await?,
            held: charges::mismatched(tx, first, last).await?,
            ..Self::default()
        };
        for method in methods::in_range(tx, first, last).await? {
            wallets.methods.entry(method.organization.clone()).or_default().push(method);
        }
        Ok(wallets)
    }

    /// An organization's methods, the default one first.
    #[must_use]
    pub fn of(&self, organization: &Organization) -> Vec<&Method> {
        let default = organization.payment_method.as_deref();
        let mut all: Vec<&Method> =
            self.methods.get(&organization.id).into_iter().flatten().collect();
        all.sort_by_key(|method| Some(method.token.as_str()) != default);
        all
    }

    /// The method to charge for something that was tried with `attempts` before.
    ///
    /// # Errors
    /// Why there is none.
    pub fn choose(
        &self,
        app: &App,
        organization: &Organization,
        attempts: &[Charge],
    ) -> Result<String, NoMethod> {
        if organization.payment_method.is_none() {
            return Err(NoMethod::Missing);
        }
        if self.held.contains(&organization.id) {
            return Err(NoMethod::Held);
        }
        let candidates: Vec<Candidate> = self
            .of(organization)
            .into_iter()
            .map(|method| {
                let key = (organization.id.clone(), method.token.clone());
                let here = attempts.iter().filter(|charge| {
                    charge.request.payment_method == method.token && counts(charge)
                });
                Candidate {
                    token: method.token.clone(),
                    refused: method.state == methods::REFUSED,
                    failed: self.failed.get(&key).copied().unwrap_or_default(),
                    failed_here: i64::try_from(here.count()).unwrap_or(i64::MAX),
                }
            })
            .collect();
        dunning::choose(&candidates, &app.calendar()).map(|chosen| chosen.token.clone())
    }

    /// How a method is shown, without its token.
    #[must_use]
    pub fn label(&self, app: &App, organization: &str, token: &str) -> String {
        self.methods
            .get(organization)
            .into_iter()
            .flatten()
            .find(|method| method.token == token)
            .and_then(Method::label)
            .unwrap_or_else(|| app.gateway.describe(token))
    }
}

/// Was an attempt declined by the provider, and not called off by us or a person?
fn counts(charge: &Charge) -> bool {
    let called_off = [VOIDED, crate::domain::payment::CANCELED];
    charge.decline_code.as_deref().is_some_and(|code| !called_off.contains(&code))
}

/// How a method is shown, without its token.
///
/// # Errors
/// The database fails.
pub async fn label(
    app: &App,
    tx: &mut Tx,
    organization: &str,
    token: &str,
) -> Result<String, ServiceError> {
    let stored = methods::get(tx, organization, token).await?;
    Ok(stored.and_then(|method| method.label()).unwrap_or_else(|| app.gateway.describe(token)))
}

/// A token for people who need to tell two apart: its last four characters.
#[must_use]
pub fn masked(token: &str) -> String {
    let last: Vec<char> = token.chars().rev().take(4).collect();
    format!("…{}", last.into_iter().rev().collect::<String>())
}

/// An organization as its provider knows it.
///
/// # Errors
/// There is no such organization.
pub async fn payer(tx: &mut Tx, id: &str) -> Result<Payer, ServiceError> {
    let stored = organizations::get(tx, id).await?.ok_or_else(|| no_organization(id))?;
    let organization = stored.organization;
    let mut saved: Vec<String> = organization.payment_method.iter().cloned().collect();
    for method in methods::in_range(tx, id, id).await? {
        if !saved.contains(&method.token) {
            saved.push(method.token);
        }
    }
    Ok(Payer {
        organization: organization.id,
        name: organization.name,
        email: organization.billing_emails.first().cloned().unwrap_or_default(),
        methods: saved,
    })
}

/// All saved methods of an organization, the default one first, with the failed attempts that count.
///
/// # Errors
/// There is no such organization.
pub async fn list(app: &App, id: &str) -> Result<(Organization, Vec<(Method, i64)>), ServiceError> {
    let mut tx = app.db.read().await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    let wallets = Wallets::read(app, &mut tx, id, id).await?;
    let rows = wallets
        .of(&stored.organization)
        .into_iter()
        .map(|method| {
            let key = (id.to_owned(), method.token.clone());
            (method.clone(), wallets.failed.get(&key).copied().unwrap_or_default())
        })
        .collect();
    Ok((stored.organization, rows))
}

/// Saves a method of an organization: its default where it has none, or `default` says so; else a fallback.
/// The provider is asked for what may be shown; one it does not know is refused.
///
/// # Errors
/// No such organization, a token the provider does not know, or a provider that does not answer.
pub async fn add(
    app: &App,
    id: &str,
    token: &str,
    default: bool,
    reason: &str,
) -> Result<(), ServiceError> {
    let token = &crate::intake::organizations::token(token).map_err(ServiceError::Input)?;
    let details = app
        .gateway
        .method(token)
        .await
        .map_err(|error| ServiceError::Refused(error.to_string()))?
        .ok_or_else(|| {
            ServiceError::Refused(format!(
                "the payment provider knows no usable method of this token ({})",
                masked(token)
            ))
        })?;
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    methods::save(&mut tx, &[(id.to_owned(), token.to_owned())], now).await?;
    methods::set_state(&mut tx, id, token, methods::USABLE).await?;
    methods::set_details(&mut tx, (id, token), app.gateway.name(), &details, now).await?;
    let current = stored.organization.payment_method.as_deref();
    let replaces = match current {
        None => true,
        Some(current) => {
            default
                || methods::get(&mut tx, id, current)
                    .await?
                    .is_some_and(|method| method.state == methods::REFUSED)
        }
    };
    if replaces && current != Some(token) {
        organizations::set_payment_method(&mut tx, id, Some(token), now).await?;
    }
    // What could not be collected is tried with it at once.
    dunning_rows::hurry(&mut tx, id, now).await?;
    let what = if replaces { "default" } else { "fallback" };
    let command = format!("method add {id} {} as {what}", masked(token));
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(())
}

/// Takes a method away: it is never charged again. A default one leaves the organization without.
///
/// # Errors
/// No such organization or method.
pub async fn remove(app: &App, id: &str, token: &str, reason: &str) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    ledger::lock(&mut tx, id, id).await?;
    let stored = organizations::get(&mut tx, id).await?.ok_or_else(|| no_organization(id))?;
    if !methods::set_state(&mut tx, id, token, methods::REMOVED).await? {
        return Err(ServiceError::NotFound(format!(
            "organization {id} has no saved payment method {}",
            masked(token)
        )));
    }
    if stored.organization.payment_method.as_deref() == Some(token) {
        organizations::set_payment_method(&mut tx, id, None, now).await?;
    }
    let command = format!("method remove {id} {}", masked(token));
    audit::append(&mut tx, now, &app.actor, &command, reason).await?;
    tx.commit().await?;
    Ok(())
}

/// Asks the provider about every saved method of an organization: what may be shown, what is gone. A card
/// that was renewed may be charged again. Gives how many changed.
///
/// # Errors
/// No such organization, or a provider that does not answer.
pub async fn refresh(app: &App, id: &str) -> Result<usize, ServiceError> {
    // Another account knows none of them: what it says of them is nothing.
    identity::allow_effects(app)?;
    let (_, saved) = list(app, id).await?;
    let mut changed = 0;
    for (method, _) in saved {
        let details = app
            .gateway
            .method(&method.token)
            .await
            .map_err(|error| ServiceError::Refused(error.to_string()))?;
        let now = app.clock.now();
        let mut tx = app.db.write().await?;
        ledger::lock(&mut tx, id, id).await?;
        let key = (id, method.token.as_str());
        match details {
            None => {
                methods::set_state(&mut tx, id, &method.token, methods::REMOVED).await?;
                // Another one may have become the default while the provider was asked.
                let current = organizations::get(&mut tx, id).await?;
                let default = current.and_then(|stored| stored.organization.payment_method);
                if default.as_deref() == Some(method.token.as_str()) {
                    organizations::set_payment_method(&mut tx, id, None, now).await?;
                }
                changed += 1;
            }
            Some(details) => {
                let expires = details.expires.map(|cycle| cycle.to_string());
                if method.checked_at.is_some() && expires > method.expires {
                    methods::renew(&mut tx, id, &method.token).await?;
                }
                let is_new = (method.brand.as_ref(), &method.last4, &method.expires)
                    != (Some(&details.brand), &details.last4, &expires);
                changed += usize::from(is_new);
                methods::set_details(&mut tx, key, app.gateway.name(), &details, now).await?;
            }
        }
        tx.commit().await?;
    }
    Ok(changed)
}
