//! `doctor`: can this deployment do its work? Looks, changes nothing.

use anyhow::{Context, Result, bail};

use super::ServiceError;
use super::catalogs::History;
use super::clocks::ClockCheck;
use crate::app::{App, Options};
use crate::config::Mode;
use crate::jobs::plan::{self, CLOCK_SLACK, Question};
use crate::storage::{
    Db, StorageError, Tx, cycles, meta, quarantine, refunds, rights, settings, steps,
};

/// From here on the write-ahead log of an embedded database is a trouble (F29).
const LARGEST_LOG_MIB: u64 = 1_024;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// Is it as it should be?
    pub ok: bool,
    /// What was found, and what to do.
    pub detail: String,
}

/// Looks at everything; an unreadable configuration or database ends it early.
pub async fn examine(options: Options) -> Vec<Finding> {
    let mut findings = Vec::new();
    let app = match App::open(options).await {
        Ok(app) => app,
        Err(error) => {
            findings.push(Finding { name: "open", ok: false, detail: format!("{error:#}") });
            return findings;
        }
    };
    let mut note = |name, found: Result<String>| {
        let ok = found.is_ok();
        let detail = found.unwrap_or_else(|error| format!("{error:#}"));
        findings.push(Finding { name, ok, detail });
    };
    note("configuration", Ok(configuration(&app)));
    note("database", database(&app).await);
    note("deployment", identity(&app));
    note("rights", history_rights(&app).await);
    note("clock", clock(&app).await);
    note("catalog", catalog(&app).await);
    note(
        "templates",
        app.templates.check().map(|()| "all mails render".to_owned()).map_err(Into::into),
    );
    note("fonts", fonts(&app));
    note("mail", mail(&app).await);
    note("gateway", gateway(&app).await);
    note("folders", folders(&app));
    note("due", due(&app).await);
    note("held", held(&app).await);
    note("parked", parked(&app).await);
    note("set aside", set_aside(&app).await);
    note("refunds", owed(&app).await);
    app.db.close().await;
    findings
}

fn configuration(app: &App) -> String {
    let mode = app.config.mode.as_str();
    format!("mode {mode}, {} jobs, seller {}", app.jobs.len(), app.config.seller.name)
}

fn identity(app: &App) -> Result<String> {
    match app.identity.refusal() {
        None => Ok(format!("{}: this folder may charge and send for it", app.deployment)),
        Some(refusal) => bail!("{refusal}"),
    }
}

/// Runs and closes that wait for a confirmation.
async fn held(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let looks = steps::held(&mut tx).await?;
    drop(tx);
    let mut waits: Vec<String> = looks
        .into_iter()
        .map(|look| format!("run {}: {}", look.run_id, look.error.unwrap_or_default()))
        .collect();
    if let Ok(groups) = plan::due(app, &Question::default()).await {
        let silent = groups.iter().filter(|group| !group.waits_for_feeds.is_empty());
        waits.extend(
            silent.flat_map(|group| group.waits_for_feeds.iter().map(super::feeds::Silent::told)),
        );
    }
    if waits.is_empty() {
        Ok("nothing waits for a confirmation".to_owned())
    } else {
        bail!(waits.join("; "))
    }
}

async fn database(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let settings = settings::read(&mut tx).await?;
    let weak: Vec<String> = settings
        .iter()
        .filter(|setting| !setting.ok())
        .map(|setting| format!("{} is {}, must be {}", setting.name, setting.value, setting.wanted))
        .collect();
    if !weak.is_empty() {
        bail!("a committed fact could be lost: {}", weak.join("; "));
    }
    let mut said: Vec<String> =
        settings.iter().map(|setting| format!("{} {}", setting.name, setting.value)).collect();
    if let Some(log) = settings::write_ahead_log(&mut tx).await? {
        let mebibytes = std::fs::metadata(&log).map_or(0, |log| log.len()) >> 20;
        if mebibytes >= LARGEST_LOG_MIB {
            bail!(
                "the write-ahead log {} has {mebibytes} MiB: a reader that never ends, such as a shell or a copy \
                 in progress, keeps it from being put away; end it",
                log.display()
            );
        }
        said.push(format!("write-ahead log {mebibytes} MiB"));
    }
    Ok(format!("{}, schema current, {}", app.db.engine(), said.join(", ")))
}

/// Whether the role at work could change history is said, not refused: a small deployment has one role.
async fn history_rights(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    Ok(match rights::role(&mut tx).await? {
        None => "triggers refuse changes of history; SQLite has no roles".to_owned(),
        Some(role) if role.may_change_history => format!(
            "role {} could change history, only triggers refuse it; OPERATIONS.md, PostgreSQL, tells how to work \
             as a role that cannot",
            role.name
        ),
        Some(role) => format!("role {} can add to history, not change it", role.name),
    })
}

async fn clock(app: &App) -> Result<String> {
    ClockCheck::default().refuse_far_clock(app).await?;
    let mut tx = app.db.read().await?;
    let now = app.clock.now();
    match meta::high_water(&mut tx).await? {
        Some(high) if now < high - CLOCK_SLACK => {
            bail!("the clock says {}, but work was done at {}", now.to_rfc3339(), high.to_rfc3339())
        }
        _ => Ok(now.to_rfc3339()),
    }
}

async fn catalog(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let history = History::load(&mut tx).await?;
    let version = history.in_force(app.clock.now());
    Ok(format!(
        "version {} in force: {} plans, {} meters, {} rates",
        version.number,
        version.catalog.plans.len(),
        version.catalog.meters.len(),
        version.catalog.rates.len()
    ))
}

fn fonts(app: &App) -> Result<String> {
    let renderer = app.renderer()?;
    let mut lacking = Vec::new();
    for (script, sample) in [
        ("Latin", "Łódź Việt Nam"),
        ("Greek", "Ελλάδα"),
        ("Cyrillic", "Москва"),
        ("Arabic", "العربية"),
        ("Chinese and Japanese", "東京"),
    ] {
        let mut document = crate::documents::sample::sample_document();
        sample.clone_into(&mut document.header.buyer.name);
        if !renderer.invoice(&document).context("a sample invoice")?.missing.is_empty() {
            lacking.push(script);
        }
    }
    if lacking.is_empty() {
        Ok("a sample invoice renders in all scripts tried".to_owned())
    } else {
        Ok(format!(
            "a sample invoice renders; no font for {}: install one or name it under [documents] fonts",
            lacking.join(", ")
        ))
    }
}

async fn mail(app: &App) -> Result<String> {
    let from = &app.config.mail.from;
    if !from.contains('@') {
        bail!("mail.from {from:?} has no address");
    }
    app.mailer.check().await?;
    Ok(format!("{} as {from}", app.mailer.name()))
}

async fn gateway(app: &App) -> Result<String> {
    let remark = match (app.gateway.name(), app.config.mode) {
        ("sandbox", Mode::Live) => "; it takes no money: mode is live",
        ("sandbox", Mode::Test) => "; it takes no money",
        _ => "",
    };
    Ok(format!("{}{remark}", app.gateway.check().await?))
}

fn folders(app: &App) -> Result<String> {
    for folder in [app.documents(), app.home.join("outbox"), app.inbox()] {
        let metadata = std::fs::symlink_metadata(&folder)
            .with_context(|| format!("{} is missing; run `monthend init`", folder.display()))?;
        if !metadata.is_dir() {
            bail!("{} is not a folder", folder.display());
        }
        if metadata.permissions().readonly() {
            bail!("{} cannot be written", folder.display());
        }
    }
    Ok("documents, outbox, inbox".to_owned())
}

async fn due(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let now = app.clock.now();
    let due = cycles::count_due(&mut tx, now).await?;
    let next = cycles::next_due(&mut tx, now).await?;
    let next = next.map_or_else(
        || "no other is open".to_owned(),
        |at| format!("the next becomes due at {}", at.to_rfc3339()),
    );
    Ok(format!("{due} cycles are due now; {next}"))
}

async fn parked(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let mut parked = steps::parked(&mut tx).await?;
    parked.retain(|step| step.kind != "brake");
    if parked.is_empty() {
        return Ok("nothing waits for a person".to_owned());
    }
    let first = parked.first().map(|step| {
        let who = step.organization.as_deref().unwrap_or("a chunk");
        format!("{who}: {}", step.error.as_deref().unwrap_or_default())
    });
    bail!(
        "{} steps wait for a person, the first of {}; `run show {}` tells more",
        parked.len(),
        first.unwrap_or_default(),
        parked.first().map_or("", |step| step.run_id.as_str())
    )
}

/// Usage nobody is billed for is told, not called a trouble: a row may be set aside for good reason, and for ever.
async fn set_aside(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    Ok(match quarantine::count_open(&mut tx).await? {
        0 => "no row of usage is set aside".to_owned(),
        rows => format!(
            "{rows} rows of usage are set aside and not billed; `usage quarantine list` says why"
        ),
    })
}

/// Money that finance owes customers is told, not called a trouble: a transfer takes its days.
async fn owed(app: &App) -> Result<String> {
    let mut tx = app.db.read().await?;
    let open = refunds::open(&mut tx).await?;
    let owed = open.iter().filter(|refund| refund.method == "transfer").count();
    Ok(match owed {
        0 => "no transfer to a customer is owed".to_owned(),
        owed => format!(
            "{owed} transfers to customers are owed; `refund list` names them, `refund record` notes one that was made"
        ),
    })
}

/// Does the database answer?
///
/// # Errors
/// It does not.
pub async fn reachable(app: &App) -> Result<(), ServiceError> {
    let mut tx = app.db.read().await?;
    meta::high_water(&mut tx).await?;
    Ok(())
}

/// The settings of a database that keep what is committed.
pub async fn refuse_weak_settings(db: &Db) -> Result<(), StorageError> {
    let mut tx: Tx = db.read().await?;
    for setting in settings::read(&mut tx).await? {
        if !setting.ok() {
            return Err(StorageError::Refused(format!(
                "the database's {} is {}, must be {}: a committed fact could be lost",
                setting.name, setting.value, setting.wanted
            )));
        }
    }
    Ok(())
}
