//! Renders and stores one receipt or credit note, then mails it: the document exists before anybody is told
//! of it.

use super::{StepError, mail_steps};
use crate::app::App;
use crate::documents::csv::document::render_document_csv;
use crate::domain::credits::Credits;
use crate::domain::document::{CreditNote, Document};
use crate::domain::ids;
use crate::domain::organization::Organization;
use crate::files::store_batch;
use crate::mail::Notice;
use crate::services::mails::{self, Kind};
use crate::services::{ServiceError, no_organization, notices};
use crate::storage::artifacts::{self, Artifact};
use crate::storage::documents::{self, Row};
use crate::storage::mails::Mail;
use crate::storage::steps::Step;
use crate::storage::{Tx, charges, ledger, organizations, steps};

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let (Some(organization), Some(id)) = (&step.organization, &step.subject) else {
        return Err(StepError::Park("this document step names no document".to_owned()));
    };
    let mut tx = app.db.read().await?;
    let row = documents::get(&mut tx, organization, id)
        .await?
        .ok_or_else(|| StepError::Park(format!("document {id} is not stored")))?;
    let stored = artifacts::of_invoice(&mut tx, organization, id).await?;
    drop(tx);
    let document = row.document()?;
    let made = render(app, &row, &document).await?;
    for (artifact, _) in &made {
        let sent = stored.iter().find(|sent| sent.kind == artifact.kind);
        if sent.is_some_and(|sent| sent.sha256 != artifact.sha256) {
            return Err(StepError::Park(format!(
                "{} would come out different from what was sent (other fonts or logo?); nothing was written",
                artifact.path
            )));
        }
    }
    let files: Vec<(&str, &[u8])> =
        made.iter().map(|(artifact, bytes)| (artifact.path.as_str(), bytes.as_slice())).collect();
    store_batch(&app.documents(), &files)
        .map_err(|error| StepError::Retry { reason: error.to_string(), after: None })?;
    let artifacts: Vec<Artifact> = made.into_iter().map(|(artifact, _)| artifact).collect();

    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    ledger::lock(&mut tx, organization, organization).await?;
    artifacts::add(&mut tx, &artifacts).await?;
    let stored = organizations::get(&mut tx, organization)
        .await?
        .ok_or_else(|| no_organization(organization))?;
    let letters = tell(&mut tx, &stored.organization, &row, &document, now).await?;
    steps::add(&mut tx, &mail_steps(&letters, &step.run_id, step.ordinal, now), now).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    Ok(())
}

async fn render(
    app: &App,
    row: &Row,
    document: &Document,
) -> Result<Vec<(Artifact, Vec<u8>)>, StepError> {
    let park = |problem: String| StepError::Park(format!("document {}: {problem}", row.number));
    let renderer = app.renderer().map_err(|error| StepError::Park(format!("{error:#}")))?;
    let copy = document.clone();
    let pdf = tokio::task::spawn_blocking(move || renderer.document(&copy))
        .await
        .map_err(|error| park(error.to_string()))?
        .map_err(|error| park(error.to_string()))?;
    if !pdf.missing.is_empty() {
        let missing: String = pdf.missing.iter().collect();
        tracing::warn!(
            number = row.number,
            missing,
            "no font has some characters of this document"
        );
    }
    let csv = render_document_csv(document).map_err(|error| park(error.to_string()))?;
    let made = |kind: &str, bytes: Vec<u8>| {
        let artifact = Artifact {
            organization: row.organization.clone(),
            invoice_id: row.id.clone(),
            kind: kind.to_owned(),
            path: format!("{}/{}.{kind}", row.cycle, row.number),
            sha256: ids::sha256_hex(&bytes),
            length: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        };
        (artifact, bytes)
    };
    Ok(vec![made("pdf", pdf.bytes), made("csv", csv)])
}

/// The mails that tell of a document; one that was told before is not told again.
async fn tell(
    tx: &mut Tx,
    organization: &Organization,
    row: &Row,
    document: &Document,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<Mail>, ServiceError> {
    match document {
        Document::Receipt(_) => {
            let attempts = charges::of_subject(tx, &row.organization, &row.subject_id).await?;
            let charge = attempts.last().map(|charge| charge.id.as_str());
            let rows = mails::of_fact(
                organization,
                Kind::Receipt(0),
                &row.subject_id,
                charge,
                row.issued_at,
            );
            mails::add_new(tx, rows).await
        }
        Document::CreditNote(note) => {
            let notice = notice(note)?;
            let key = format!("credit-note-{}", row.id);
            notices::tell(tx, organization, &organization.billing_emails, &key, notice, now).await
        }
    }
}

fn notice(note: &CreditNote) -> Result<Notice, ServiceError> {
    let total = |parts: &[crate::domain::document::GrantCredits]| {
        Credits::total(parts.iter().map(|part| part.credits))
    };
    Ok(Notice::CreditNote {
        number: note.head.number.clone(),
        corrects: note.corrects.clone(),
        reason: note.reason.clone(),
        total: note.total,
        settled: note.settled.clone(),
        returned: total(&note.returned)?,
        taken_back: total(&note.taken_back)?,
    })
}
