//! The parts of a deployment, built from its configuration: database, clock, gateway, mailer, documents.

pub mod identity;
pub mod secrets;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::Clock;
use crate::config::{Config, Gateway, Mode, Runner, Tls, Transport};
use crate::documents::pdf::{DocumentStyle, Draws, Renderer};
use crate::domain::dunning::Calendar;
use crate::jobs::definition::{self, Job};
use crate::mail::{Mailer, Outbox, Secret, Smtp, SmtpConfig, SmtpTls, Templates};
use crate::payments::{Manual, PaymentGateway, Sandbox, Stripe, StripeSettings};
use crate::storage::meta::{self, names};
use crate::storage::{Db, migrations};
use crate::webhooks::Webhooks;

/// A deployment, ready to work.
pub struct App {
    /// The home folder.
    pub home: PathBuf,
    /// `monthend.toml`.
    pub config: Config,
    /// The database, at this program's schema.
    pub db: Db,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Random id of this deployment: part of every derived key.
    pub deployment: String,
    /// May this home and gateway act for it?
    pub identity: identity::Identity,
    /// Who works at the command line.
    pub actor: String,
    /// Who collects the money.
    pub gateway: Arc<dyn PaymentGateway>,
    /// How mails leave.
    pub mailer: Arc<dyn Mailer>,
    /// Who is told what changes.
    pub webhooks: Webhooks,
    /// Texts of mails.
    pub templates: Templates,
    /// Job definitions.
    pub jobs: Vec<Job>,
    renderer: OnceLock<Arc<dyn Draws>>,
}

/// What the command line decides about a deployment.
pub struct Options {
    /// The home folder.
    pub home: PathBuf,
    /// `MONTHEND_DATABASE_URL`, above the file.
    pub database: Option<String>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Was the clock set by `--now`?
    pub clock_is_set: bool,
    /// Who works at the command line.
    pub actor: String,
}

/// Address of the embedded database of a home folder.
#[must_use]
pub fn sqlite_address(home: &Path) -> String {
    format!("sqlite:{}", home.join("monthend.db").display())
}

/// The address of a deployment's database.
#[must_use]
pub fn database_address(options: &Options, config: &Config) -> String {
    options
        .database
        .clone()
        .or_else(|| config.database.as_ref().map(|address| address.expose().to_owned()))
        .unwrap_or_else(|| sqlite_address(&options.home))
}

/// Opens a database for a runner as shipped, and brings it to this program's schema.
pub async fn open_database(address: &str) -> Result<Db> {
    open_database_for(address, &Runner::default()).await
}

/// How long a transaction that writes may stand still: far longer than any does between two statements.
const LONGEST_IDLE: Duration = Duration::from_secs(10);

/// Opens a database and brings it to this program's schema. A process that is stopped in a transaction keeps its rows
/// locked for a third of the runner's lease at most.
pub async fn open_database_for(address: &str, runner: &Runner) -> Result<Db> {
    // The address may hold a password: it is not repeated.
    let place = address.strip_prefix("sqlite:").unwrap_or("the PostgreSQL server");
    let lease = Duration::from_secs(u64::from(runner.lease_s));
    let db = Db::open(address, (lease / 3).min(LONGEST_IDLE))
        .await
        .with_context(|| format!("cannot open {place}"))?;
    migrations::migrate(&db).await.with_context(|| format!("cannot migrate {place}"))?;
    Ok(db)
}

/// A live deployment works at the real time.
///
/// # Errors
/// `--now` was given and the mode is live.
pub fn refuse_moved_clock(options: &Options, config: &Config) -> Result<()> {
    if options.clock_is_set && config.mode != Mode::Test {
        bail!("--now is a test clock; monthend.toml says mode = \"live\"");
    }
    Ok(())
}

impl App {
    /// Opens a deployment that `init` has made.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub async fn open(options: Options) -> Result<Self> {
        let config = Config::load(&options.home)?;
        refuse_moved_clock(&options, &config)?;
        let address = database_address(&options, &config);
        if let Some(path) = address.strip_prefix("sqlite:")
            && !Path::new(path).exists()
        {
            bail!("there is no database at {path}; run `monthend init` first");
        }
        let db = open_database_for(&address, &config.runner).await?;
        Self::with_database(options, config, db).await
    }

    /// Builds a deployment on an open database.
    ///
    /// # Errors
    /// What is missing or wrong, and what to do.
    pub async fn with_database(options: Options, config: Config, db: Db) -> Result<Self> {
        let home = options.home;
        let deployment = deployment(&db, &config).await?;
        let identity = identity::look(&home, &config, &db, &deployment).await?;
        if config.http.public_url.is_some() {
            link_secret(&db).await?;
        }
        let gateway: Arc<dyn PaymentGateway> = match config.payments.gateway {
            Gateway::Manual => Arc::new(Manual),
            Gateway::Sandbox => {
                let journal = home.join("sandbox-journal.jsonl");
                Arc::new(Sandbox::open(&journal).context("cannot open the sandbox's journal")?)
            }
            Gateway::Stripe => stripe(&home, &config)?,
        };
        let templates_dir = config.templates_dir.as_ref().map(|dir| home.join(dir));
        let jobs_dir = config.jobs_dir.as_ref().map(|dir| home.join(dir));
        Ok(Self {
            mailer: mailer(&home, &config)?,
            webhooks: secrets::webhooks(&home, &config)?,
            templates: Templates::load(templates_dir.as_deref())?,
            jobs: definition::load(jobs_dir.as_deref())?,
            renderer: OnceLock::new(),
            home,
            config,
            db,
            clock: options.clock,
            deployment,
            identity,
            actor: options.actor,
            gateway,
        })
    }

    /// How long a claim holds that is not renewed.
    #[must_use]
    pub fn lease(&self) -> chrono::Duration {
        chrono::Duration::seconds(i64::from(self.config.runner.lease_s))
    }

    /// The folder of documents.
    #[must_use]
    pub fn documents(&self) -> PathBuf {
        self.home.join("documents")
    }

    /// The folder usage files are dropped into.
    #[must_use]
    pub fn inbox(&self) -> PathBuf {
        self.home.join("inbox")
    }

    /// A job by its name.
    ///
    /// # Errors
    /// There is none.
    pub fn job(&self, name: &str) -> Result<&Job> {
        self.jobs.iter().find(|job| job.name == name).with_context(|| {
            let known: Vec<&str> = self.jobs.iter().map(|job| job.name.as_str()).collect();
            format!("there is no job {name:?}; there are: {}", known.join(", "))
        })
    }

    /// When unpaid invoices are tried again, as the job that does it says.
    #[must_use]
    pub fn calendar(&self) -> Calendar {
        self.jobs.iter().find_map(|job| job.dunning.clone()).unwrap_or_default()
    }

    /// The address customers reach `serve --http` at, without a slash at its end.
    #[must_use]
    pub fn public_url(&self) -> Option<String> {
        self.config.http.public_url.as_ref().map(|url| url.trim_end_matches('/').to_owned())
    }

    /// The renderer of documents, with its fonts; made when first needed.
    ///
    /// # Errors
    /// A font or the logo cannot be used.
    pub fn renderer(&self) -> Result<Arc<dyn Draws>> {
        if let Some(renderer) = self.renderer.get() {
            return Ok(renderer.clone());
        }
        let made: Arc<dyn Draws> = Arc::new(self.make_renderer()?);
        Ok(self.renderer.get_or_init(|| made).clone())
    }

    /// Documents are drawn by another from now on: in rehearsals of very many months.
    pub fn draw_with(&mut self, other: Arc<dyn Draws>) {
        self.renderer = OnceLock::from(other);
    }

    fn make_renderer(&self) -> Result<Renderer> {
        let documents = &self.config.documents;
        let logo_png = documents
            .logo
            .as_ref()
            .map(|path| {
                let path = self.home.join(path);
                std::fs::read(&path)
                    .with_context(|| format!("cannot read the logo {}", path.display()))
            })
            .transpose()?;
        let style = DocumentStyle {
            logo_png,
            extra_fonts: documents.fonts.iter().map(|path| self.home.join(path)).collect(),
            ..DocumentStyle::default()
        };
        Renderer::new(&style).context("documents")
    }
}

/// The deployment's id and mode, stored when first opened. A copy of a live database under a test
/// configuration, or the other way round, is refused (F72).
async fn deployment(db: &Db, config: &Config) -> Result<String> {
    let mut tx = db.read().await?;
    let stored =
        (meta::get(&mut tx, names::DEPLOYMENT).await?, meta::get(&mut tx, names::MODE).await?);
    drop(tx);
    let (deployment, mode) = if let (Some(deployment), Some(mode)) = stored {
        (deployment, mode)
    } else {
        let mut tx = db.write().await?;
        let fresh = random_id("dep")?;
        let deployment = meta::get_or_set(&mut tx, names::DEPLOYMENT, &fresh).await?;
        let mode = meta::get_or_set(&mut tx, names::MODE, config.mode.as_str()).await?;
        tx.commit().await?;
        (deployment, mode)
    };
    if mode != config.mode.as_str() {
        bail!(
            "the database belongs to a {mode} deployment, but monthend.toml says mode = \"{}\"; \
             a copy for tests needs a database of its own",
            config.mode.as_str()
        );
    }
    Ok(deployment)
}

/// The secret of the links in mails, made when there is first an address to link to.
async fn link_secret(db: &Db) -> Result<()> {
    let mut tx = db.read().await?;
    let known = meta::get(&mut tx, names::LINK_SECRET).await?.is_some();
    drop(tx);
    if !known {
        let mut tx = db.write().await?;
        meta::get_or_set(&mut tx, names::LINK_SECRET, &random_id("lnk")?).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// 128 random bits of the operating system, as text after a prefix.
///
/// # Errors
/// The system has none.
pub fn random_id(prefix: &str) -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("cannot read random bits")?;
    Ok(format!("{prefix}_{}", &crate::domain::ids::sha256_hex(&bytes)[..26]))
}

fn stripe(home: &Path, config: &Config) -> Result<Arc<dyn PaymentGateway>> {
    let given = &config.payments.stripe;
    let live = StripeSettings::live(secrets::stripe_key(home, config)?);
    let settings = StripeSettings {
        base_url: given.base_url.clone().unwrap_or(live.base_url),
        api_version: given.api_version.clone().unwrap_or(live.api_version),
        timeout: Duration::from_secs(u64::from(config.payments.timeout_s)),
        connect_timeout: Duration::from_secs(u64::from(given.connect_timeout_s)),
        requests_per_second: given.requests_per_second,
        key: live.key,
    };
    Ok(Arc::new(Stripe::new(settings).context("payments.stripe")?))
}

fn mailer(home: &Path, config: &Config) -> Result<Arc<dyn Mailer>> {
    let (Transport::Smtp, Some(smtp)) = (config.mail.transport, &config.mail.smtp) else {
        return Ok(Arc::new(Outbox::open(&home.join("outbox"))?));
    };
    let password = match (std::env::var("MONTHEND_SMTP_PASSWORD"), &smtp.password_file) {
        (Ok(password), _) => Some(Secret::new(password)),
        (Err(_), Some(path)) => {
            let path = home.join(path);
            let text = std::fs::read_to_string(&path).with_context(|| {
                format!("cannot read mail.smtp.password_file {}", path.display())
            })?;
            Some(Secret::new(text.trim_end()))
        }
        (Err(_), None) => None,
    };
    let settings = SmtpConfig {
        host: smtp.host.clone(),
        port: smtp.port,
        username: smtp.username.clone(),
        password,
        tls: match smtp.tls {
            Tls::Required => SmtpTls::Required,
            Tls::None => SmtpTls::None,
        },
        timeout_s: u64::from(smtp.timeout_s),
        messages_per_second: smtp.messages_per_second,
        helo_name: None,
    };
    Ok(Arc::new(Smtp::new(settings)?))
}
