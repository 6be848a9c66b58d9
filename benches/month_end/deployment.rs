//! Deployments that are measured: made once for each size, copied for each run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use monthend::app::{App, Options, open_database, sqlite_address};
use monthend::clock::HandClock;
use monthend::config::{Config, STARTER};
use monthend::files::write_durably;
use monthend::services::{catalogs, organizations, usage};
use serde::{Deserialize, Serialize};

use crate::input::{self, Skew};

/// A home folder and its database.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Place {
    pub home: PathBuf,
    pub database: String,
}

impl Place {
    /// An embedded one.
    pub fn embedded(home: &Path) -> Self {
        Self { home: home.to_owned(), database: sqlite_address(home) }
    }

    /// The embedded database's file.
    pub fn file(&self) -> Result<PathBuf> {
        Ok(self.database.strip_prefix("sqlite:").context("not an embedded database")?.into())
    }

    /// A copy of the folder's files, and with them of an embedded database, that nobody has open.
    pub fn copy(&self, home: &Path) -> Result<()> {
        std::fs::create_dir_all(home)?;
        for entry in std::fs::read_dir(&self.home)? {
            let entry = entry?;
            if entry.file_type()?.is_file() && entry.file_name() != "usage.csv" {
                std::fs::copy(entry.path(), home.join(entry.file_name()))?;
            }
        }
        // What is still to be written must not fall into the measured time.
        rustix::fs::sync();
        Ok(())
    }
}

/// An instant of the rehearsal.
pub fn instant(text: &str) -> Result<DateTime<Utc>> {
    Ok(DateTime::parse_from_rfc3339(text)?.with_timezone(&Utc))
}

/// Opens a deployment at a moment.
pub async fn open(place: &Place, at: &str) -> Result<(Arc<App>, Arc<HandClock>)> {
    let clock = Arc::new(HandClock::new(instant(at)?));
    let options = Options {
        home: place.home.clone(),
        database: None,
        clock: clock.clone(),
        clock_is_set: true,
        actor: "bench".to_owned(),
    };
    let db = open_database(&place.database).await?;
    let app = App::with_database(options, Config::load(&place.home)?, db).await?;
    Ok((Arc::new(app), clock))
}

/// Makes a deployment with its organizations; `more` is added to the starter's configuration.
pub async fn make(place: &Place, count: usize) -> Result<(Arc<App>, Arc<HandClock>)> {
    std::fs::create_dir_all(&place.home)?;
    write_durably(&place.home.join("monthend.toml"), STARTER.as_bytes())?;
    let (app, clock) = open(place, input::BEGINS_AT).await?;
    catalogs::apply(&app, "catalog.toml", &input::catalog()).await?;
    let imported = organizations::import(&app, input::organizations_csv(count).as_bytes()).await?;
    if let Some(rejected) = imported.rejected.first() {
        anyhow::bail!("an organization was rejected: {rejected}");
    }
    clock.set(instant(input::USED_BY)?);
    Ok((app, clock))
}

/// Makes a deployment whose month is used and can be closed.
pub async fn prepare(place: &Place, count: usize, events: usize) -> Result<()> {
    let (app, _) = make(place, count).await?;
    let csv = place.home.join("usage.csv");
    let written = input::write_usage(&csv, count, events, Skew::Usual)?;
    let file = std::io::BufReader::new(std::fs::File::open(&csv)?);
    let imported = usage::import(&app, "usage.csv", file).await?;
    if let Some(row) = imported.quarantined.first() {
        anyhow::bail!("a row was set aside: {}", row.reason);
    }
    ensure!(imported.accepted == written, "not every event was stored");
    app.db.close().await;
    Ok(())
}
