//! `rehearse-stripe`: a Stripe on this machine that moves no money.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Outcome;
use super::output::Output;
use crate::app::Options;
use crate::domain::secret::Secret;
use crate::payments::stripe_rehearsal::{Rehearsal, RehearsalOptions, WebhookTarget};

/// What signs the notifications; the same as the deployment that gets them.
const SECRET: &str = "MONTHEND_STRIPE_WEBHOOK_SECRET";

pub(super) async fn run(
    options: Options,
    listen: SocketAddr,
    webhook: Option<String>,
    output: &Output,
) -> Result<Outcome> {
    let webhook = webhook.map(target).transpose()?;
    let clock = options.clock;
    let now = Arc::new(move || clock.now());
    let rehearsal = Rehearsal::start(RehearsalOptions { listen, now, webhook })
        .await
        .context("the rehearsal cannot begin")?;
    let base = rehearsal.base_url();
    output.result(
        &json!({"base_url": base, "journal": format!("{base}/_rehearsal/journal")}),
        || {
            format!(
                "A rehearsal of Stripe listens on {base}; no money moves, nothing outlives it.\n\n\
             In monthend.toml:\n\n  [payments]\n  gateway = \"stripe\"\n\n  [payments.stripe]\n  \
             base_url = \"{base}\"\n\n\
             Any secret key that begins with sk_test_ is accepted. Payment methods:\n  \
             cus_ORG/pm_card_visa, pm_card_declined, pm_card_stolen, pm_card_requires_action,\n  \
             pm_card_processing, pm_card_timeout_before, pm_card_timeout_after …\n\n\
             Its books:  curl {base}/_rehearsal/journal\n\
             A fault:    curl {base}/_rehearsal/script -d \
             '{{\"path\":\"/v1/payment_intents\",\"method\":\"POST\",\"fault\":\"hang_after\"}}'\n\
             Settle:     curl {base}/_rehearsal/settle -d '{{\"key\":\"…\"}}'\n\n\
             Ctrl-C ends it."
            )
        },
    );
    crate::jobs::serve::Signals::new()?.next().await;
    rehearsal.shutdown();
    Ok(Outcome::Done)
}

fn target(url: String) -> Result<WebhookTarget> {
    let secret = std::env::var(SECRET).unwrap_or_default();
    if secret.is_empty() {
        bail!("--webhook needs {SECRET}, the secret notifications are signed with (whsec_…)");
    }
    Ok(WebhookTarget { url, secret: Secret::new(secret) })
}
