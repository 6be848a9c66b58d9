//! Sends mails. A kill between the server's yes and our commit sends that mail again with the same
//! Message-ID, by which mail programs show it once (F11).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{Ends, StepError, some_at_once};
use crate::app::App;
use crate::mail::{Composed, Handed, MailError};
use crate::services::mails;
use crate::storage::mails::{self as outbox, Mail};
use crate::storage::steps::{self, Step};
use crate::storage::{Key, StorageError};

pub(super) async fn execute(
    app: &Arc<App>,
    stop: &CancellationToken,
    steps: &[Step],
) -> Result<Ends, StepError> {
    let keys: Vec<Key> = steps.iter().filter_map(Step::key).collect();
    let mut tx = app.db.read().await?;
    let stored = outbox::these(&mut tx, &keys).await?;
    drop(tx);
    let mut found: Vec<Option<Mail>> =
        steps.iter().map(|step| stored.get(&step.key()?).cloned()).collect();
    let unsent: Vec<Mail> =
        found.iter().flatten().filter(|mail| mail.state == "ready").cloned().collect();
    let mut letters = mails::write(app, unsent).await?.into_iter();
    let deliveries: Vec<Delivery<'_>> = steps
        .iter()
        .zip(&mut found)
        .map(|(step, mail)| Delivery {
            step,
            letter: match mail.take() {
                None => Err(StepError::Park("the mail of this step is not stored".to_owned())),
                Some(mail) if mail.state == "ready" => letters
                    .next()
                    .unwrap_or_else(|| Err(crate::services::no_organization(&mail.organization)))
                    .map(Some)
                    .map_err(StepError::from),
                // Sent before; only its step was not done.
                Some(_) => Ok(None),
            },
        })
        .collect();
    if app.mailer.is_local() {
        return file(app, deliveries).await;
    }
    let each = deliveries.into_iter().map(|delivery| delivery.make(app, stop)).collect();
    Ok(some_at_once(app.config.runner.effects_at_once.into(), each).await)
}

/// A step with its mail, composed; none: it was sent before.
struct Delivery<'a> {
    step: &'a Step,
    letter: Result<Option<Composed>, StepError>,
}

impl Delivery<'_> {
    /// Hands one mail to a server and commits that, before another mail may be accepted.
    async fn make(self, app: &App, stop: &CancellationToken) -> Result<(), StepError> {
        let letter = self.letter?;
        if stop.is_cancelled() {
            return Err(StepError::NotBegun);
        }
        // Another may have taken it over while this one waited, or stood still: what was not begun is left to it.
        let mut tx = app.db.read().await?;
        let ours = steps::is_ours(&mut tx, self.step).await?;
        drop(tx);
        if !ours {
            return Err(StepError::Fenced);
        }
        let handed = match &letter {
            None => None,
            Some(letter) => Some(app.mailer.hand_over(letter).await.map_err(failed)?),
        };
        let sent = letter.and_then(|letter| Some((self.step.key()?, letter.message_id)));
        let now = app.clock.now();
        let mut tx = app.db.write().await?;
        steps::finish(&mut tx, self.step, now).await?;
        outbox::mark_sent(&mut tx, &Vec::from_iter(sent), now).await?;
        tx.commit().await?;
        // Kept until the commit: a kill before it repeats this mail and no other.
        drop::<Option<Handed>>(handed);
        Ok(())
    }
}

/// Files mails where a repeat finds its file: all of them, then one commit.
async fn file(app: &App, deliveries: Vec<Delivery<'_>>) -> Result<Ends, StepError> {
    let mut ends: Ends = Vec::with_capacity(deliveries.len());
    let (mut places, mut letters, mut done) = (Vec::new(), Vec::new(), Vec::new());
    for (place, Delivery { step, letter }) in deliveries.into_iter().enumerate() {
        let letter = letter.map(|letter| match letter {
            None => done.push((place, step, None)),
            Some(letter) => {
                places.push((place, step));
                letters.push(letter);
            }
        });
        ends.push(letter);
    }
    let handed = app.mailer.hand_over_all(&letters).await;
    for (((place, step), letter), handed) in places.into_iter().zip(letters).zip(handed) {
        match handed {
            Ok(_) => done.push((place, step, Some(letter.message_id))),
            Err(error) => ends[place] = Err(failed(error)),
        }
    }
    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    let steps: Vec<&Step> = done.iter().map(|(_, step, _)| *step).collect();
    let ours = steps::finish_together(&mut tx, &steps, now).await?;
    let mut sent = Vec::with_capacity(done.len());
    for (place, step, message_id) in done {
        if !ours.contains(&step.id) {
            ends[place] = Err(StorageError::Fenced(step.id.clone()).into());
        } else if let (Some(key), Some(message_id)) = (step.key(), message_id) {
            sent.push((key, message_id));
        }
    }
    outbox::mark_sent(&mut tx, &sent, now).await?;
    tx.commit().await?;
    Ok(ends)
}

fn failed(error: MailError) -> StepError {
    match error {
        MailError::Transient(_) | MailError::Unclear(_) => {
            StepError::Retry { reason: error.to_string(), after: None }
        }
        error => StepError::Park(error.to_string()),
    }
}
