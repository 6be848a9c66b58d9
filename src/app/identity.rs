//! Does this home, and does this gateway, belong to the deployment of the database (F72)?
//!
//! The deployment's id is in the database and in the file `deployment` of each home that may act for it. A
//! database restored beside another configuration finds no such file, or another's; in live mode the file also
//! knows where it was written, so that a copied folder is told from the original. What does not belong may read,
//! and may not charge, refund, mail or send webhooks.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use super::secrets;
use crate::config::{Config, Gateway, Mode};
use crate::domain::ids;
use crate::files::write_durably;
use crate::storage::Db;
use crate::storage::meta::{self, names};

/// The file of a home that says which deployment it acts for.
pub const FILE: &str = "deployment";

/// Whether effects are allowed, and whose gateway is configured.
#[derive(Debug)]
pub struct Identity {
    refusal: Option<String>,
    gateway: Option<String>,
    /// Was the gateway found, or written, in the database?
    noted: AtomicBool,
}

impl Identity {
    /// Why nothing may leave; none: it may.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Names the configured provider account without telling a secret; none: nobody's money is touched.
    #[must_use]
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    pub(crate) fn is_noted(&self) -> bool {
        self.noted.load(Ordering::Acquire)
    }

    pub(crate) fn note(&self) {
        self.noted.store(true, Ordering::Release);
    }
}

/// Looks at the home's file and the configured gateway. Where the database knows of no home yet, because it was
/// made just now or by an earlier program, this one is its home.
pub(super) async fn look(
    home: &Path,
    config: &Config,
    db: &Db,
    deployment: &str,
) -> Result<Identity> {
    let mut tx = db.read().await?;
    let has_home = meta::get(&mut tx, names::HOME).await?.is_some();
    let known_gateway = meta::get(&mut tx, names::GATEWAY).await?;
    drop(tx);
    let gateway = account(home, config)?;
    let mut refusal = of_home(home, config, deployment, has_home);
    if refusal.is_none() && !has_home {
        let mut tx = db.write().await?;
        meta::get_or_set(&mut tx, names::HOME, "known").await?;
        tx.commit().await?;
    }
    if let (None, Some(known), Some(named)) = (&refusal, &known_gateway, &gateway)
        && known != named
    {
        refusal = Some(other_gateway(known, named));
    }
    let noted = AtomicBool::new(known_gateway.is_some() || gateway.is_none());
    Ok(Identity { refusal, gateway, noted })
}

/// What is said of a gateway that is not the deployment's.
pub(crate) fn other_gateway(known: &str, named: &str) -> String {
    format!(
        "nothing is charged or sent: this deployment's money is collected by {known}, but the configuration names \
         {named}; if that is right, say so: `monthend deployment adopt-gateway --reason …`"
    )
}

fn of_home(home: &Path, config: &Config, deployment: &str, has_home: bool) -> Option<String> {
    let way_out = format!(
        "a copy for tests needs a database of its own (`init`); if this folder is to charge and send as \
         deployment {deployment}: `monthend deployment join --reason …`"
    );
    let refused = |why: &str| Some(format!("nothing is charged or sent: {why}; {way_out}"));
    if let Some(said) = &config.deployment {
        let why =
            format!("monthend.toml says deployment = {said:?}, and the database is another's");
        return (said != deployment).then(|| refused(&why)).flatten();
    }
    if !has_home {
        return write(home, deployment).err().and_then(|error| {
            tracing::warn!(error = format!("{error:#}"), "the file `deployment` cannot be written");
            refused("the file `deployment` cannot be written here")
        });
    }
    match read(home) {
        None => refused("this folder was never said to belong to the database's deployment"),
        Some((said, _)) if said != deployment => refused(&format!(
            "this folder belongs to deployment {said}, and the database to another"
        )),
        Some((_, place))
            if config.mode == Mode::Live && self::place(home).as_ref() != Some(&place) =>
        {
            refused("this folder was copied or restored from elsewhere")
        }
        Some(_) => None,
    }
}

/// The file's deployment and place.
fn read(home: &Path) -> Option<(String, String)> {
    let text = std::fs::read_to_string(home.join(FILE)).ok()?;
    let of = |key: &str| {
        text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    Some((of("deployment").unwrap_or_default(), of("place").unwrap_or_default()))
}

/// Says in a home that it acts for a deployment.
///
/// # Errors
/// The file cannot be written.
pub fn write(home: &Path, deployment: &str) -> Result<()> {
    let file = home.join(FILE);
    let text = |place: &str| {
        format!(
            "# This folder acts for this deployment. Written by monthend; do not copy it to another folder.\n\
             deployment = {deployment}\nplace = {place}\n"
        )
    };
    // Written once to have a place, and then in place: a file that is replaced would be another one.
    write_durably(&file, text("").as_bytes())?;
    let place = place(home).context("the new file cannot be looked at")?;
    let mut open = std::fs::File::options().write(true).truncate(true).open(&file)?;
    std::io::Write::write_all(&mut open, text(&place).as_bytes())?;
    open.sync_all()?;
    Ok(())
}

/// Where the file is: its number in the file system, another for each copy of it and the same for as long as it
/// stays, for each host that shares the folder.
fn place(home: &Path) -> Option<String> {
    let number = std::fs::metadata(home.join(FILE)).ok()?.ino();
    Some(ids::sha256_hex(format!("monthend-place-1\n{number}").as_bytes())[..32].to_owned())
}

/// The configured provider account, by a hash of its key: it names an account and tells no secret.
fn account(home: &Path, config: &Config) -> Result<Option<String>> {
    Ok(match config.payments.gateway {
        Gateway::Manual => None,
        Gateway::Sandbox => Some("the sandbox".to_owned()),
        Gateway::Stripe => {
            let key = secrets::stripe_key(home, config)?;
            let hash = ids::sha256_hex(format!("monthend-account-1\n{}", key.expose()).as_bytes());
            let mode = if secrets::is_live_key(key.expose()) { "live" } else { "test" };
            Some(format!("Stripe ({mode} key {})", &hash[..16]))
        }
    })
}
