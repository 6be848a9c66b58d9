//! A deployment in process, made from a prepared database: on SQLite a copied file, on PostgreSQL a template.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use monthend::app::{App, Options, open_database, sqlite_address};
use monthend::clock::{Clock as _, HandClock};
use monthend::config::{self, Config};
use monthend::intake::catalog_file;
use monthend::jobs::definition::Due;
use monthend::jobs::report::Report;
use monthend::jobs::runner::Runner;
use monthend::services::{ServiceError, catalogs};
use monthend::storage::Db;
use monthend::storage::meta::{self, names};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio_util::sync::CancellationToken;

use super::Look;
use super::naive::calendar::instant;
use super::naive::prices::Prices;
use super::post::{Plain, Post};
use crate::harness::Engine;
use crate::harness::database::{self, SERVER, beside};
use crate::harness::scripted::Scripted;

/// Prepared databases by catalog: the file's bytes, or the template's name.
static FILES: Mutex<BTreeMap<u32, Arc<Vec<u8>>>> = Mutex::new(BTreeMap::new());
static TEMPLATES: tokio::sync::Mutex<BTreeMap<u32, String>> =
    tokio::sync::Mutex::const_new(BTreeMap::new());
/// Databases of this process are numbered.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A deployment with the clock, provider and mail server of a history.
pub struct Deployment {
    home: tempfile::TempDir,
    address: String,
    /// Server and name of a database that has to be dropped.
    made: Option<(String, String)>,
    clock: Arc<HandClock>,
    look: Look,
    provider: Arc<Scripted>,
    post: Arc<Post>,
    app: Arc<App>,
}

fn options(home: &Path, address: &str, clock: &Arc<HandClock>) -> Options {
    Options {
        home: home.to_owned(),
        database: Some(address.to_owned()),
        clock: clock.clone(),
        clock_is_set: true,
        actor: "simulation".to_owned(),
    }
}

/// A home in memory, where the machine has such a folder.
fn home() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
    let home = home.unwrap();
    for folder in ["documents", "outbox", "inbox"] {
        std::fs::create_dir(home.path().join(folder)).unwrap();
    }
    // One effect after the other: the same seed is then the same history.
    let text = config::STARTER.replace("# effects_at_once = 8", "effects_at_once = 1");
    // Databases are copies of a prepared one, and this is their home.
    let text = text.replace("mode = \"test\"", "mode = \"test\"\ndeployment = \"dep_simulation\"");
    assert!(text.contains("\neffects_at_once = 1") && text.contains("\ndeployment = "));
    write(&home.path().join("monthend.toml"), text.as_bytes());
    home
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::File::create(path).unwrap().write_all(bytes).unwrap();
}

/// Brings an empty database to a deployment with a catalog and a fixed id, so that keys are the same on each engine.
async fn prepare(home: &Path, address: &str, prices: &Prices, shipped: bool) {
    let clock = Arc::new(HandClock::new("2023-01-01T00:00:00Z".parse().unwrap()));
    let db = open_database(address).await.unwrap();
    let mut tx = db.write().await.unwrap();
    meta::get_or_set(&mut tx, names::DEPLOYMENT, "dep_simulation").await.unwrap();
    tx.commit().await.unwrap();
    let config = Config::load(home).unwrap();
    let app = App::with_database(options(home, address, &clock), config, db).await.unwrap();
    let text =
        if shipped { catalog_file::STARTER.to_owned() } else { prices.text(catalog_file::STARTER) };
    catalogs::apply(&app, "catalog.toml", &text).await.unwrap();
    app.db.close().await;
}

async fn file_of(variant: u32, prices: &Prices) -> Arc<Vec<u8>> {
    let known = FILES.lock().unwrap().get(&variant).cloned();
    if let Some(known) = known {
        return known;
    }
    let home = home();
    prepare(home.path(), &sqlite_address(home.path()), prices, variant == 0).await;
    let bytes = Arc::new(std::fs::read(home.path().join("monthend.db")).unwrap());
    FILES.lock().unwrap().insert(variant, bytes.clone());
    bytes
}

fn server() -> String {
    std::env::var(SERVER).unwrap_or_else(|_| {
        unreachable!(
            "start tests with tests/run, or set {SERVER} to a server where databases may be created"
        )
    })
}

async fn on_server(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::query(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn template_of(variant: u32, prices: &Prices) -> String {
    let mut templates = TEMPLATES.lock().await;
    if let Some(known) = templates.get(&variant) {
        return known.clone();
    }
    let server = server();
    let name = format!("monthend_sim_{}_template_{variant}", std::process::id());
    on_server(&server, format!("DROP DATABASE IF EXISTS {name}")).await;
    on_server(&server, format!("CREATE DATABASE {name}")).await;
    let home = home();
    prepare(home.path(), &beside(&server, &name), prices, variant == 0).await;
    templates.insert(variant, name.clone());
    name
}

/// Drops what was prepared on the server.
pub async fn clean_up() {
    for name in std::mem::take(&mut *TEMPLATES.lock().await).into_values() {
        on_server(&server(), format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
    }
}

/// Who is asked for money, and who takes the mails.
pub type Outside = (Arc<Scripted>, Arc<Post>);

impl Deployment {
    /// A fresh deployment with a catalog.
    pub async fn new(
        engine: Engine,
        (variant, prices): (u32, &Prices),
        clock: Arc<HandClock>,
        (provider, post): Outside,
        look: Look,
    ) -> Self {
        let home = home();
        let (address, made) = match engine {
            Engine::Sqlite => {
                let bytes = file_of(variant, prices).await;
                write(&home.path().join("monthend.db"), &bytes);
                (sqlite_address(home.path()), None)
            }
            Engine::Postgres => {
                let template = template_of(variant, prices).await;
                let server = server();
                let ordinal = MADE.fetch_add(1, Ordering::Relaxed);
                let name = format!("monthend_sim_{}_{ordinal}", std::process::id());
                on_server(&server, format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await;
                on_server(&server, format!("CREATE DATABASE {name} TEMPLATE {template}")).await;
                (beside(&server, &name), Some((server, name)))
            }
        };
        let app = open(home.path(), &address, &clock, (&provider, &post), look).await;
        Self { home, address, made, clock, look, provider, post, app }
    }

    /// The process ends, and a new one starts.
    pub async fn restart(&mut self) {
        self.app.db.close().await;
        let outside = (&self.provider, &self.post);
        self.app = open(self.home.path(), &self.address, &self.clock, outside, self.look).await;
    }

    /// The running process.
    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// The provider's side.
    pub fn provider(&self) -> &Scripted {
        &self.provider
    }

    /// The mail server's side.
    pub fn post(&self) -> &Post {
        &self.post
    }

    /// The instant the clock shows, in microseconds.
    pub fn now(&self) -> i64 {
        self.clock.now().timestamp_micros()
    }

    /// Moves the clock.
    pub fn set_clock(&self, micros: i64) {
        self.clock.set(instant(micros));
    }

    /// Asks what is due and does it.
    pub async fn tick(&self, confirmed: Option<u32>) -> Result<Report, ServiceError> {
        let runner = Runner::new(self.app(), CancellationToken::new())?;
        runner.tick(confirmed).await
    }

    /// All rows of a query whose columns are all text.
    pub async fn table(&self, sql: &str) -> Vec<Vec<String>> {
        database::table(&self.app.db, sql).await
    }

    /// The end: nothing of it is left.
    pub async fn remove(&self) {
        self.app.db.close().await;
        if let Some((server, name)) = &self.made {
            on_server(server, format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }
}

async fn open(
    home: &Path,
    address: &str,
    clock: &Arc<HandClock>,
    (provider, post): (&Arc<Scripted>, &Arc<Post>),
    look: Look,
) -> Arc<App> {
    let config = Config::load(home).unwrap();
    // The schema is this program's: it was prepared a moment ago.
    let db = Db::open(address, std::time::Duration::from_mins(1)).await.unwrap();
    let mut app = App::with_database(options(home, address, clock), config, db).await.unwrap();
    app.gateway = provider.clone();
    app.mailer = post.clone();
    if !look.paper {
        app.draw_with(Arc::new(Plain));
    }
    if !look.shipped_jobs {
        for job in &mut app.jobs {
            let seldom = match job.name.as_str() {
                "admission" => "20 4 * * 1",
                "alerts" => "40 4 15 * *",
                "expiry_notices" => "0 10 10 * *",
                "recharge" | "import_inbox" => "0 0 1 1 *",
                _ => continue,
            };
            if let Due::Schedule { pattern, .. } = &mut job.due {
                *pattern = seldom.parse().unwrap();
            }
        }
    }
    Arc::new(app)
}
