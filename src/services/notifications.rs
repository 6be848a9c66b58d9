//! The provider's notifications: hints where to look, never facts by themselves.
//!
//! They come late, twice, out of order, or from someone else. So each is remembered by its id, and all it
//! does is to let the step go that asks the provider how things stand, or to ask where the step is done.

use super::{ServiceError, identity, methods, refunds as money_back};
use crate::app::App;
use crate::domain::payment::{
    ChargeState, EventSubject, ProviderEvent, RefundOutcome, RefundRequest,
};
use crate::storage::refunds::Refund;
use crate::storage::{Tx, audit, charges, methods as saved, provider, refunds, steps};

/// Hears a notification. Hearing it again does nothing.
///
/// # Errors
/// The database or the provider fails: the provider sends it again.
pub async fn hear(app: &App, event: &ProviderEvent) -> Result<(), ServiceError> {
    match &event.about {
        EventSubject::Charge { key } => charge(app, event, key).await,
        EventSubject::Refund { key } => refund(app, event, key).await,
        EventSubject::MethodSaved { organization, token } => {
            if !is_new(app, event).await? {
                return Ok(());
            }
            // The token is asked about at the provider before it is believed.
            let reason = "saved on the provider's page";
            methods::add(app, organization, token, true, reason).await?;
            remember(app, event, Some((organization, token))).await
        }
        EventSubject::MethodChanged { token } => {
            if !is_new(app, event).await? {
                return Ok(());
            }
            let mut tx = app.db.read().await?;
            let known = saved::by_token(&mut tx, token).await?;
            drop(tx);
            for method in known {
                methods::refresh(app, &method.organization).await?;
            }
            remember(app, event, None).await
        }
        EventSubject::Dispute { key, provider_id } => {
            disputed(app, event, key.as_deref(), provider_id).await
        }
        EventSubject::Other => Ok(()),
    }
}

async fn charge(app: &App, event: &ProviderEvent, key: &str) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    let known = charges::by_key(&mut tx, key).await?;
    let about =
        known.as_ref().map(|charge| (charge.request.organization.as_str(), charge.id.as_str()));
    if wake(app, &mut tx, event, about).await?
        && let Some((organization, id)) = about
        && event.kind.ends_with(".succeeded")
        // Read once more: a worker may have closed it just before.
        && charges::get(&mut tx, organization, id)
            .await?
            .is_some_and(|charge| charge.state == ChargeState::Declined)
    {
        alarm(app, &mut tx, event, organization, id).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn refund(app: &App, event: &ProviderEvent, key: &str) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    let known = refunds::by_key(&mut tx, key).await?;
    if let Some(refund) = known.as_ref().filter(|refund| refund.has_arrived()) {
        // No transaction stays open while the provider is asked.
        let request = money_back::request(&mut tx, refund).await?;
        drop(tx);
        return arrived(app, event, refund, &request).await;
    }
    let about = known.as_ref().map(|refund| (refund.organization.as_str(), refund.id.as_str()));
    if wake(app, &mut tx, event, about).await?
        && let Some((organization, id)) = about
        && let Some(refund) = refunds::get(&mut tx, organization, id).await?
    {
        if refund.has_arrived() {
            // It went through just now. The provider says this again, and then it is asked.
            return Err(ServiceError::Refused("its step was done just now".to_owned()));
        }
        // Closed by hand as never made: any word of it is news.
        if refund.state == "failed" && refund.provider_id.is_none() {
            alarm(app, &mut tx, event, organization, id).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}

/// News of a refund that went through: it may have come back. Its step is done, so the provider is asked here; whether
/// this was heard before does not matter, as a return is booked once.
async fn arrived(
    app: &App,
    event: &ProviderEvent,
    refund: &Refund,
    request: &RefundRequest,
) -> Result<(), ServiceError> {
    identity::allow_effects(app)?;
    let is_failure = event.kind.ends_with(".failed");
    let said = app.gateway.lookup_refund(request).await;
    let said = said.map_err(|error| ServiceError::Refused(error.to_string()))?;
    let stands =
        matches!(said, Some(RefundOutcome::Succeeded { .. } | RefundOutcome::Pending { .. }));
    if is_failure && stands {
        // It does not know yet what it says: it says it again.
        let why = format!("asked, the provider says nothing of {} for this refund", event.kind);
        return Err(ServiceError::Refused(why));
    }
    let now = app.clock.now();
    let (organization, id) = (refund.organization.as_str(), refund.id.as_str());
    let mut tx = app.db.write().await?;
    let is_new =
        provider::hear(&mut tx, &event.id, &event.kind, Some((organization, id)), now).await?;
    if let Some(RefundOutcome::Failed { message, .. }) = said {
        if money_back::came_back(app, &mut tx, refund, &message).await? {
            let what = format!("refund of {} ({organization}) came back", request.reference);
            tracing::error!("the {what}; transfer the money and record it with `refund record`");
            audit::append(&mut tx, now, "payment provider", &what, &message).await?;
        }
    } else if said.is_none() && is_new {
        alarm(app, &mut tx, event, organization, id).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Remembers a notification and lets the step about its subject go, in one transaction. False: it was heard before.
///
/// # Errors
/// A worker has the step, and asked a moment too early: the provider sends this again, and it is heard then.
async fn wake(
    app: &App,
    tx: &mut Tx,
    event: &ProviderEvent,
    about: Option<(&str, &str)>,
) -> Result<bool, ServiceError> {
    let now = app.clock.now();
    let is_new = provider::hear(tx, &event.id, &event.kind, about, now).await?;
    if is_new && let Some((organization, subject)) = about {
        if steps::is_leased(tx, organization, subject).await? {
            return Err(ServiceError::Refused("its step is at work just now".to_owned()));
        }
        steps::hurry_subject(tx, organization, subject, now).await?;
    }
    Ok(is_new)
}

/// The provider says something of what had ended otherwise.
async fn alarm(
    app: &App,
    tx: &mut Tx,
    event: &ProviderEvent,
    organization: &str,
    subject: &str,
) -> Result<(), ServiceError> {
    let what = format!("{} about {subject} of {organization}, which ended otherwise", event.kind);
    tracing::error!("the provider says {what}; compare with its dashboard");
    let why = "news about what had ended; a person must compare";
    audit::append(tx, app.clock.now(), "payment provider", &what, why).await?;
    Ok(())
}

async fn is_new(app: &App, event: &ProviderEvent) -> Result<bool, ServiceError> {
    let mut tx = app.db.read().await?;
    Ok(!provider::heard(&mut tx, &event.id).await?)
}

async fn remember(
    app: &App,
    event: &ProviderEvent,
    about: Option<(&str, &str)>,
) -> Result<(), ServiceError> {
    let mut tx = app.db.write().await?;
    provider::hear(&mut tx, &event.id, &event.kind, about, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// A bank takes money back. What follows is for a person to decide; the audit trail and the log name it.
async fn disputed(
    app: &App,
    event: &ProviderEvent,
    key: Option<&str>,
    provider_id: &str,
) -> Result<(), ServiceError> {
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let charge = match key {
        Some(key) => charges::by_key(&mut tx, key).await?,
        None => None,
    };
    let about =
        charge.as_ref().map(|charge| (charge.request.organization.as_str(), charge.id.as_str()));
    if provider::hear(&mut tx, &event.id, &event.kind, about, now).await? {
        let what = charge.as_ref().map_or_else(
            || "an unknown charge".to_owned(),
            |charge| format!("{} of {}", charge.request.reference, charge.request.organization),
        );
        tracing::error!(
            "the payment of {what} is disputed ({provider_id}); answer it at the provider"
        );
        let command = format!("dispute {provider_id}: {what}");
        audit::append(&mut tx, now, "payment provider", &command, "a customer's bank disputes it")
            .await?;
    }
    tx.commit().await?;
    Ok(())
}
