//! `init`: starter files and the database.

use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::json;

use super::Outcome;
use super::output::{Output, path};
use crate::app::{App, Options, database_address, open_database_for, refuse_moved_clock};
use crate::config::{self, Config};
use crate::files::write_durably;
use crate::intake::catalog_file;
use crate::services::catalogs;
use crate::storage::catalog;

/// Folders of a home.
const FOLDERS: [&str; 4] = ["documents", "outbox", "inbox", "inbox/done"];

pub(super) async fn run(options: Options, live: bool, output: &Output) -> Result<Outcome> {
    let home = options.home.clone();
    if live && options.clock_is_set {
        bail!("--now is a test clock; a live deployment is made at the real time: leave --now out");
    }
    let created = files(&home, live)?;
    let config = Config::load(&home)?;
    refuse_moved_clock(&options, &config)?;
    let mode = config.mode;
    let db = open_database_for(&database_address(&options, &config), &config.runner).await?;
    restrict(&home)?;
    let app = App::with_database(options, config, db).await?;
    let mut tx = app.db.read().await?;
    let first = catalog::latest(&mut tx).await?.is_none();
    drop(tx);
    if first {
        let file = home.join("catalog.toml");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        catalogs::apply(&app, &path(&file), &text).await?;
    }
    app.db.close().await;
    output.result(&json!({"created": created, "database": app.db.engine(), "mode": mode.as_str()}), || {
        if created.is_empty() {
            return format!(
                "{} is ready, in {} mode; nothing had to be written.",
                home.display(),
                mode.as_str()
            );
        }
        format!(
            "Wrote {} in {}, in {} mode.\nEdit monthend.toml and catalog.toml (`catalog apply`), then `org import`, `usage import`, `tick`.\n`doctor` checks everything.",
            created.join(", "),
            home.display(),
            mode.as_str()
        )
    });
    Ok(Outcome::Done)
}

/// Writes what is missing; overwrites nothing.
pub(super) fn files(home: &Path, live: bool) -> Result<Vec<String>> {
    let mut created = Vec::new();
    for folder in [""].iter().chain(&FOLDERS) {
        let folder = home.join(folder);
        if !folder.exists() {
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
    }
    let config = if live {
        config::STARTER.replace("\nmode = \"test\"", "\nmode = \"live\"")
    } else {
        config::STARTER.to_owned()
    };
    for (name, text) in
        [("monthend.toml", config.as_str()), ("catalog.toml", catalog_file::STARTER)]
    {
        let file = home.join(name);
        if !file.exists() {
            write_durably(&file, text.as_bytes())?;
            created.push(name.to_owned());
        }
    }
    if !home.join("monthend.db").exists() && std::env::var_os("MONTHEND_DATABASE_URL").is_none() {
        created.push("monthend.db".to_owned());
    }
    Ok(created)
}

/// The embedded database is for its owner alone.
fn restrict(home: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let file = home.join("monthend.db");
    if file.exists() {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot restrict {}", file.display()))?;
    }
    Ok(())
}
