//! `catalog check`, `apply`, `import-prices`.

use anyhow::{Context, Result};
use serde_json::json;

use super::Outcome;
use super::arguments::CatalogCommand;
use super::output::{Output, path};
use crate::app::App;
use crate::intake::catalog_file;
use crate::services::{ServiceError, catalogs};

pub(super) async fn run(app: &App, command: CatalogCommand, output: &Output) -> Result<Outcome> {
    match command {
        CatalogCommand::Check => {
            let (file, text) = read(app)?;
            let catalog = catalog_file::parse(&file, &text)
                .map_err(|error| ServiceError::Input(error.to_string()))?;
            let counts = json!({"ok": true, "plans": catalog.plans.len(), "packages": catalog.packages.len(),
                "meters": catalog.meters.len(), "rates": catalog.rates.len()});
            output.result(&counts, || {
                format!(
                    "{file} is valid: {} plans, {} packages, {} meters, {} rates.",
                    catalog.plans.len(),
                    catalog.packages.len(),
                    catalog.meters.len(),
                    catalog.rates.len()
                )
            });
        }
        CatalogCommand::Apply => {
            let (file, text) = read(app)?;
            let version = catalogs::apply(app, &file, &text).await?;
            output.result(&json!({"version": version}), || {
                format!(
                    "Version {version} is effective: plans and packages for cycles that open from now on; rates, each \
                     from its effective_on, for all use that is imported from now on."
                )
            });
        }
        CatalogCommand::ImportPrices { file, effective_on } => {
            let text = std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let import = catalogs::import_prices(app, &text, effective_on)
                .await
                .map_err(|error| error.in_file(&file))?;
            let list = |skips: &[crate::intake::prices::Skip]| -> Vec<_> {
                skips
                    .iter()
                    .map(|skip| json!({"model": skip.model, "reason": skip.reason}))
                    .collect()
            };
            let object = json!({"imported": import.imported_models, "rates": import.rates.len(),
                "skipped": list(&import.skipped), "notes": list(&import.notes)});
            output.result(&object, || {
                let mut text = format!(
                    "Imported {} rates of {} models. Skipped {} models:\n",
                    import.rates.len(),
                    import.imported_models,
                    import.skipped.len()
                );
                for skip in &import.skipped {
                    text.push_str(&format!("  {}: {}\n", skip.model, skip.reason));
                }
                text.push_str(&format!(
                    "{} notes on imported models; --json lists them.",
                    import.notes.len()
                ));
                text
            });
        }
    }
    Ok(Outcome::Done)
}

fn read(app: &App) -> Result<(String, String)> {
    let file = app.home.join("catalog.toml");
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    Ok((path(&file), text))
}
