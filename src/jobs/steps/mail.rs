//! Sends one mail. A kill between the server's yes and our commit sends it again with the same
//! Message-ID, by which mail programs show it once (F11).

use super::StepError;
use crate::app::App;
use crate::mail::MailError;
use crate::services::mails;
use crate::storage::mails as outbox;
use crate::storage::steps::{self, Step};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let (Some(organization), Some(id)) = (&step.organization, &step.subject) else {
        return Err(StepError::Park("this mail step names no mail".to_owned()));
    };
    let mut tx = app.db.read().await?;
    let mail = outbox::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| StepError::Park(format!("mail {id} is not stored")))?;
    drop(tx);
    // Kept until the commit: a kill before it repeats this mail and no other.
    let handed = if mail.state == "ready" {
        let composed = mails::write(app, &mail).await?;
        match app.mailer.hand_over(&composed).await {
            Ok(handed) => Some((composed.message_id, handed)),
            Err(error @ (MailError::Transient(_) | MailError::Unclear(_))) => {
                return Err(StepError::Retry { reason: error.to_string(), after: None });
            }
            Err(error) => return Err(StepError::Park(error.to_string())),
        }
    } else {
        None
    };
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    if let Some((message_id, _)) = &handed {
        outbox::mark_sent(&mut tx, organization, id, message_id, now).await?;
    }
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    drop(handed);
    Ok(())
}
