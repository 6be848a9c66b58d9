//! Effects are for the deployment alone: a copy reads, and charges and sends nothing (F72).

use super::ServiceError;
use crate::app::{App, identity};
use crate::storage::meta::{self, names};
use crate::storage::{Tx, audit, charges};

/// May anything leave: mails, webhooks?
///
/// # Errors
/// This home or gateway is not the deployment's.
pub fn allow_effects(app: &App) -> Result<(), ServiceError> {
    match app.identity.refusal() {
        None => Ok(()),
        Some(refusal) => Err(ServiceError::Refused(refusal.to_owned())),
    }
}

/// May the provider be asked to move money? The first time, its account becomes the deployment's.
///
/// # Errors
/// As [`allow_effects`], or another process was first with another account.
pub async fn allow_money(app: &App) -> Result<(), ServiceError> {
    allow_effects(app)?;
    let Some(named) = app.identity.gateway().filter(|_| !app.identity.is_noted()) else {
        return Ok(());
    };
    let mut tx = app.db.write().await?;
    let known = meta::get_or_set(&mut tx, names::GATEWAY, named).await?;
    tx.commit().await?;
    if known != named {
        return Err(ServiceError::Refused(identity::other_gateway(&known, named)));
    }
    app.identity.note();
    Ok(())
}

/// Says that this home acts for the database's deployment from now on: a second host, or a restored one.
///
/// # Errors
/// `monthend.toml` names a deployment, or the file cannot be written.
pub async fn join(app: &App, reason: &str) -> Result<(), ServiceError> {
    if let Some(said) = &app.config.deployment {
        return Err(ServiceError::Refused(format!(
            "monthend.toml says deployment = {said:?}: correct it there, to {:?}",
            app.deployment
        )));
    }
    let mut tx = app.db.write().await?;
    // Audited first: a home that acts is one that somebody answered for.
    write_audit(app, &mut tx, "deployment join", reason).await?;
    meta::get_or_set(&mut tx, names::HOME, "known").await?;
    tx.commit().await?;
    identity::write(&app.home, &app.deployment).map_err(|error| {
        ServiceError::Refused(format!(
            "{error:#}; where it cannot be written, say deployment = {:?} in monthend.toml",
            app.deployment
        ))
    })
}

/// Says that the configured provider account is the deployment's from now on. Gives the one before. `same`: the key is
/// another one, the account is not.
///
/// # Errors
/// The gateway is manual, or is the deployment's already. Or it is another account, and money is under way at the one
/// before: nobody could tell any more whether it was taken, and it would be asked for again.
pub async fn adopt_gateway(
    app: &App,
    same: bool,
    reason: &str,
) -> Result<Option<String>, ServiceError> {
    let Some(named) = app.identity.gateway() else {
        return Err(ServiceError::Refused("the gateway is manual: it has no account".to_owned()));
    };
    let mut tx = app.db.write().await?;
    let before = meta::get(&mut tx, names::GATEWAY).await?;
    if before.as_deref() == Some(named) {
        return Err(ServiceError::Refused(format!("{named} is this deployment's already")));
    }
    let under_way = charges::under_way(&mut tx).await?;
    if under_way > 0 && !same && before.is_some() {
        return Err(ServiceError::Refused(format!(
            "{under_way} charges or refunds are under way at the account before: let them end first (`payment list`), or \
             say --same-account if only the key is another one"
        )));
    }
    meta::set(&mut tx, names::GATEWAY, named).await?;
    let was = before.as_deref().unwrap_or("none");
    let account = if same { ", the same account" } else { "" };
    let command = format!("deployment adopt-gateway {named}{account}, before: {was}");
    write_audit(app, &mut tx, &command, reason).await?;
    tx.commit().await?;
    Ok(before)
}

async fn write_audit(
    app: &App,
    tx: &mut Tx,
    command: &str,
    reason: &str,
) -> Result<(), ServiceError> {
    audit::append(tx, app.clock.now(), &app.actor, command, reason).await?;
    Ok(())
}

/// The provider account that was first used, or adopted since.
///
/// # Errors
/// The database fails.
pub async fn gateway(app: &App) -> Result<Option<String>, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(meta::get(&mut tx, names::GATEWAY).await?)
}
