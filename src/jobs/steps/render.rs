//! Renders and stores a chunk's documents, then makes the charges and mails: the document exists before
//! anybody is told of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::task::JoinHandle;

use super::{Range, StepError, cycle_of, mail_steps, range_of, run_of, subject_step};
use crate::app::App;
use crate::cores;
use crate::documents::csv::render_csv;
use crate::documents::pdf::Draws;
use crate::domain::cycle::Cycle;
use crate::domain::dunning::NoMethod;
use crate::domain::ids;
use crate::domain::invoice::PaymentTerms;
use crate::domain::money::Money;
use crate::domain::organization::Organization;
use crate::files::{FileError, store_batch};
use crate::jobs::StepKind;
use crate::services::charging::{self, Intent};
use crate::services::mails::{self, Kind};
use crate::services::methods::Wallets;
use crate::storage::artifacts::{self, Artifact};
use crate::storage::charges::Subject;
use crate::storage::invoices::{self, DocumentRow, Row, payment_status};
use crate::storage::steps::Step;
use crate::storage::{Key, Tx, charges, ledger, organizations, steps};

/// Documents rendered before they are stored: enough that a sync of the disk costs each of them little, few enough
/// that they take little memory.
const AT_ONCE: usize = 250;

/// One file of a batch: where it goes and what it is.
struct Made {
    artifact: Artifact,
    bytes: Vec<u8>,
}

pub(super) async fn execute(app: &App, step: &Step) -> Result<(), StepError> {
    let range = range_of(step);
    let mut tx = app.db.read().await?;
    let run = run_of(&mut tx, step).await?;
    let cycle = cycle_of(&run)?;
    let stored = artifacts::in_range(&mut tx, range.first, range.last, cycle).await?;
    let all = (range.first, range.last);
    let issued = invoices::issued_ids(&mut tx, all, cycle, "", i64::MAX).await?;
    drop(tx);
    let missing = missing_documents(app, &issued, &stored).await?;
    let artifacts = render_and_store(app, cycle, &missing, &stored).await?;

    let now = app.clock.now();
    let mut tx = app.db.write().await?;
    steps::hold(&mut tx, step, now + app.lease()).await?;
    ledger::lock(&mut tx, range.first, range.last).await?;
    artifacts::add(&mut tx, &artifacts).await?;
    let drawn = issued.into_iter().collect();
    follow_up(app, &mut tx, step, cycle, &drawn).await?;
    steps::finish(&mut tx, step, now).await?;
    tx.commit().await?;
    tracing::info!(documents = artifacts.len(), "stored {} documents of {cycle}", artifacts.len());
    Ok(())
}

/// Invoices whose documents are not on disk as they were sent; all of them on the first run.
async fn missing_documents(
    app: &App,
    issued: &[Key],
    stored: &[Artifact],
) -> Result<Vec<Key>, StepError> {
    let folder = app.documents();
    let looked = cores::each(stored.to_vec(), move |artifact| {
        let bytes = std::fs::read(folder.join(&artifact.path)).unwrap_or_default();
        let is_intact = ids::sha256_hex(&bytes) == artifact.sha256;
        is_intact.then_some((artifact.organization, artifact.invoice_id))
    });
    let looked = looked
        .await
        .map_err(|error| StepError::Park(format!("documents cannot be looked at: {error}")))?;
    let mut intact: HashMap<Key, usize> = HashMap::new();
    for key in looked.into_iter().flatten() {
        *intact.entry(key).or_default() += 1;
    }
    let kinds = ["pdf", "csv"].len();
    Ok(issued.iter().filter(|key| intact.get(*key) != Some(&kinds)).cloned().collect())
}

/// A document that was sent before must come out the same, byte by byte; nothing is written otherwise.
fn refuse_other_bytes(made: &[Made], stored: &[Artifact]) -> Result<(), StepError> {
    let sent: HashMap<&str, &str> =
        stored.iter().map(|artifact| (artifact.path.as_str(), artifact.sha256.as_str())).collect();
    let other = made.iter().map(|made| &made.artifact).find(|artifact| {
        sent.get(artifact.path.as_str()).is_some_and(|hash| *hash != artifact.sha256)
    });
    match other {
        None => Ok(()),
        Some(artifact) => Err(StepError::Park(format!(
            "{} of organization {} would come out different from what was sent (other fonts or logo?); it was not \
             written: restore the file from a backup, or the old fonts and logo",
            artifact.path, artifact.organization
        ))),
    }
}

/// Stores some documents while it renders the next.
async fn render_and_store(
    app: &App,
    cycle: Cycle,
    invoices: &[Key],
    stored: &[Artifact],
) -> Result<Vec<Artifact>, StepError> {
    let mut artifacts = Vec::with_capacity(2 * invoices.len());
    let mut storing: Option<Storing> = None;
    for part in invoices.chunks(AT_ONCE) {
        let renderer = app.renderer().map_err(|error| StepError::Park(format!("{error:#}")))?;
        let mut tx = app.db.read().await?;
        let mut rows = invoices::documents_of(&mut tx, part).await?;
        drop(tx);
        let rows = part.iter().filter_map(|key| rows.remove(key)).collect();
        let made = render_all(&renderer, cycle, rows).await?;
        refuse_other_bytes(&made, stored)?;
        if let Some(before) = storing.take() {
            artifacts.extend(before.end().await?);
        }
        storing = Some(Storing::begin(app, made));
    }
    if let Some(last) = storing {
        artifacts.extend(last.end().await?);
    }
    Ok(artifacts)
}

/// Documents on their way to the disk.
struct Storing(JoinHandle<Result<Vec<Artifact>, FileError>>);

impl Storing {
    fn begin(app: &App, made: Vec<Made>) -> Self {
        let folder = app.documents();
        Self(tokio::task::spawn_blocking(move || {
            let files: Vec<(&str, &[u8])> = made
                .iter()
                .map(|made| (made.artifact.path.as_str(), made.bytes.as_slice()))
                .collect();
            store_batch(&folder, &files)?;
            Ok(made.into_iter().map(|made| made.artifact).collect())
        }))
    }

    async fn end(self) -> Result<Vec<Artifact>, StepError> {
        let retry = |reason: String| StepError::Retry { reason, after: None };
        match self.0.await {
            Ok(stored) => stored.map_err(|error| retry(error.to_string())),
            Err(error) => Err(retry(format!("storing documents was cut off: {error}"))),
        }
    }
}

/// Renders on all cores; the bytes do not depend on which one.
async fn render_all(
    renderer: &Arc<dyn Draws>,
    cycle: Cycle,
    rows: Vec<DocumentRow>,
) -> Result<Vec<Made>, StepError> {
    let renderer = renderer.clone();
    let drawn = cores::each(rows, move |row| render_one(renderer.as_ref(), cycle, &row)).await;
    let drawn = drawn
        .map_err(|error| StepError::Park(format!("a document cannot be rendered: {error}")))?;
    let mut made = Vec::with_capacity(2 * drawn.len());
    for files in drawn {
        made.extend(files?);
    }
    Ok(made)
}

fn render_one(
    renderer: &dyn Draws,
    cycle: Cycle,
    row: &DocumentRow,
) -> Result<[Made; 2], StepError> {
    let park = |problem: String| {
        StepError::Park(format!("the documents of organization {}: {problem}", row.organization))
    };
    let document = row.document().map_err(|error| park(error.to_string()))?;
    let number = &document.header.number;
    let pdf = renderer.invoice(&document).map_err(|error| park(error.to_string()))?;
    if !pdf.missing.is_empty() {
        let missing: String = pdf.missing.iter().collect();
        tracing::warn!(
            organization = row.organization,
            number,
            missing,
            "no font has {} characters of this invoice; add a font under [documents] fonts",
            pdf.missing.len()
        );
    }
    let csv = render_csv(&document).map_err(|error| park(error.to_string()))?;
    let made = |kind: &str, bytes: Vec<u8>| Made {
        artifact: Artifact {
            organization: row.organization.clone(),
            invoice_id: row.id.clone(),
            kind: kind.to_owned(),
            path: format!("{cycle}/{number}.{kind}"),
            sha256: ids::sha256_hex(&bytes),
            length: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        },
        bytes,
    };
    Ok([made("pdf", pdf.bytes), made("csv", csv)])
}

/// Charges what is due and mails each invoice that was drawn; what was done before is not done again.
///
/// Ranges of several runs of a cycle overlap: an invoice issued while these were drawn has no document yet, and is told
/// and charged by its own step.
async fn follow_up(
    app: &App,
    tx: &mut Tx,
    step: &Step,
    cycle: Cycle,
    drawn: &HashSet<Key>,
) -> Result<(), StepError> {
    let now = app.clock.now();
    let Range { first, last, .. } = range_of(step);
    let buyers: HashMap<String, Organization> = organizations::range(tx, first, last)
        .await?
        .into_iter()
        .map(|stored| (stored.organization.id.clone(), stored.organization))
        .collect();
    let wallets = Wallets::read(app, tx, first, last).await?;
    let mut rows = invoices::issued_in_range(tx, first, last, cycle).await?;
    rows.retain(|row| drawn.contains(&key(row)));
    let charged = charges::of_subjects(tx, &rows.iter().map(key).collect::<Vec<Key>>()).await?;
    // An invoice that was charged before is not charged here again.
    let mut unpaid = Vec::new();
    for row in rows.iter().filter(|_| app.gateway.collects()) {
        if !charged.contains(&key(row)) && is_due(row)? {
            unpaid.push(key(row));
        }
    }
    // The frozen document says how it is paid; what was promised by transfer is never charged.
    let terms = invoices::payment_terms(tx, &unpaid).await?;
    let (mut intents, mut next, mut letters) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        let Some(buyer) = buyers.get(&row.organization) else { continue };
        if matches!(terms.get(&key(&row)), Some(PaymentTerms::StoredMethod { .. })) {
            let id = row.organization.as_str();
            let chosen = wallets.choose(app, buyer, &[]);
            if let Ok(method) = chosen {
                let amount = row.outstanding()?;
                let charge = charging::charge_of(app, &intent(&row, amount, &method), now);
                let (run, ordinal) = (&step.run_id, step.ordinal);
                let kind = StepKind::Charge;
                next.push(subject_step(kind, run, Some(id), &charge.id, ordinal, now));
                intents.push(charge);
            } else {
                // Declined for good, or too often lately: not asked again, reminded by the calendar.
                if chosen != Err(NoMethod::Held) {
                    let status = payment_status::DECLINED;
                    invoices::set_status(tx, id, &row.id, row.status()?, status).await?;
                }
                charging::begin_dunning(app, tx, id, &row.id, now).await?;
            }
        }
        letters.extend(mails::of_fact(buyer, Kind::Invoice, &row.id, None, now));
    }
    charges::intend(tx, &intents, now).await?;
    let new = mails::add_new(tx, letters).await?;
    next.extend(mail_steps(&new, &step.run_id, step.ordinal, now));
    steps::add(tx, &next, now).await?;
    Ok(())
}

fn intent<'a>(row: &'a Row, amount: Money, method: &'a str) -> Intent<'a> {
    Intent {
        subject: Subject::Invoice,
        subject_id: &row.id,
        organization: &row.organization,
        reference: row.number.as_deref().unwrap_or(&row.id),
        amount,
        payment_method: method,
        attempt: 1,
    }
}

fn is_due(row: &Row) -> Result<bool, StepError> {
    Ok(row.status == "issued" && row.payment_status == "due" && row.outstanding()?.is_positive())
}

fn key(row: &Row) -> Key {
    (row.organization.clone(), row.id.clone())
}
