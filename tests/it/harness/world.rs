//! The world of one scenario: what a person at the command line, a timer and a customer can do.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, RwLock};

use chrono::{DateTime, Utc};
use monthend::app::{App, Options, open_database};
use monthend::clock::Clock;
use monthend::config::{self, Config};
use monthend::domain::credits::Credits;
use monthend::domain::cycle::Cycle;
use monthend::domain::statement::CreditStatement;
use monthend::files::write_durably;
use monthend::intake::catalog_file;
use monthend::jobs::report::Report;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::jobs::steps::{self, StepError};
use monthend::payments::{JournalRecord, PaymentGateway, Sandbox};
use monthend::services::credits::Balance;
use monthend::services::{ServiceError, catalogs, credits, invoices, organizations, usage};
use monthend::storage::StorageError;
use monthend::storage::invoices::Row as InvoiceRow;
use monthend::storage::steps::Step;
use monthend::verify::{Check, verify};
use tokio_util::sync::CancellationToken;

use super::database::{self, Place};
use super::{Engine, Org};

/// A clock that stands still until the test moves it.
pub struct TestClock(AtomicI64);

impl TestClock {
    fn set(&self, at: DateTime<Utc>) {
        self.0.store(at.timestamp_micros(), Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// An instant.
pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A cycle.
pub fn cycle(text: &str) -> Cycle {
    text.parse().unwrap()
}

/// Whole credits.
pub fn whole(amount: i64) -> Credits {
    Credits::whole(amount).unwrap()
}

/// A deployment with everything around it.
pub struct World {
    home: tempfile::TempDir,
    place: Place,
    clock: Arc<TestClock>,
    app: RwLock<Arc<App>>,
    damaged: AtomicBool,
}

/// Does one claimed step, as a worker that is not told to stop.
pub async fn execute(app: &Arc<App>, step: &Step) -> Result<(), StepError> {
    let never = CancellationToken::new();
    steps::execute(app, &never, std::slice::from_ref(step)).await?.into_iter().collect()
}

impl World {
    /// What `init` leaves, at the beginning of 2023.
    pub async fn new(engine: Engine) -> Self {
        Self::at_home(engine, tempfile::tempdir().unwrap()).await
    }

    /// The same in memory, where the machine has such a folder.
    pub async fn in_memory(engine: Engine) -> Self {
        let memory = std::path::Path::new("/dev/shm");
        let home = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Self::at_home(engine, home.unwrap()).await
    }

    async fn at_home(engine: Engine, home: tempfile::TempDir) -> Self {
        for folder in ["documents", "outbox", "inbox", "inbox/done"] {
            std::fs::create_dir(home.path().join(folder)).unwrap();
        }
        for (name, text) in
            [("monthend.toml", config::STARTER), ("catalog.toml", catalog_file::STARTER)]
        {
            write_durably(&home.path().join(name), text.as_bytes()).unwrap();
        }
        let place = Place::new(engine, home.path()).await;
        let clock = Arc::new(TestClock(AtomicI64::new(0)));
        clock.set(at("2023-01-01T00:00:00Z"));
        let app = open(home.path(), &place.address, clock.clone()).await;
        catalogs::apply(&app, "catalog.toml", catalog_file::STARTER).await.unwrap();
        let app = RwLock::new(app);
        Self { home, place, clock, app, damaged: AtomicBool::new(false) }
    }

    /// The deployment.
    pub fn app(&self) -> Arc<App> {
        self.app.read().unwrap().clone()
    }

    /// The same deployment, opened once more: another process.
    pub async fn another_app(&self) -> Arc<App> {
        open(self.home.path(), &self.place.address, self.clock.clone()).await
    }

    /// How the deployment is opened.
    pub fn options(&self) -> Options {
        options(self.home.path(), &self.place.address, self.clock.clone())
    }

    /// From now on the money is collected by another gateway.
    pub async fn collect_by(&self, gateway: Arc<dyn PaymentGateway>) {
        let mut app = self.another_app().await;
        Arc::get_mut(&mut app).unwrap().gateway = gateway;
        self.app().db.close().await;
        *self.app.write().unwrap() = app;
    }

    /// The address of the database for another role, whose password is `app`.
    pub fn address_as(&self, role: &str) -> String {
        let address = &self.place.address;
        let (scheme, rest) = address.split_once("://").unwrap();
        let host = rest.split_once('@').map_or(rest, |(_, host)| host);
        format!("{scheme}://{role}:app@{host}")
    }

    /// From now on the program works as another role; the owner's connections stay open.
    pub async fn work_as(&self, role: &str) {
        let app = open(self.home.path(), &self.address_as(role), self.clock.clone()).await;
        *self.app.write().unwrap() = app;
    }

    /// The process ends, and a new one starts with an edited `monthend.toml`.
    pub async fn restart(&self, edits: &[(&str, &str)]) {
        let file = self.home.path().join("monthend.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (from, to) in edits {
            assert!(text.contains(from), "{from} is not in monthend.toml");
            text = text.replace(from, to);
        }
        write_durably(&file, text.as_bytes()).unwrap();
        self.app().db.close().await;
        let app = self.another_app().await;
        *self.app.write().unwrap() = app;
    }

    /// Keeps a copy of the database as it is now.
    pub async fn keep_a_copy(&self) {
        self.app().db.close().await;
        self.place.keep().await;
        *self.app.write().unwrap() = self.another_app().await;
    }

    /// The database is lost; the copy takes its place. Documents, mails and the provider's books stay.
    pub async fn restore_the_copy(&self) {
        self.app().db.close().await;
        self.place.bring_back().await;
        *self.app.write().unwrap() = self.another_app().await;
    }

    /// Replaces parts of the catalog, from now on.
    pub async fn change_catalog(&self, edits: &[(&str, &str)]) {
        let file = self.home.path().join("catalog.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (from, to) in edits {
            assert!(text.contains(from), "{from} is not in catalog.toml");
            text = text.replace(from, to);
        }
        write_durably(&file, text.as_bytes()).unwrap();
        catalogs::apply(&self.app(), "catalog.toml", &text).await.unwrap();
    }

    /// The home folder.
    pub fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// Moves the clock.
    pub fn set_clock(&self, instant: &str) {
        self.clock.set(at(instant));
    }

    /// Moves the clock by seconds.
    pub fn pass(&self, seconds: i64) {
        self.clock.set(self.clock.now() + chrono::Duration::seconds(seconds));
    }

    /// Imports organizations, all of which must be taken.
    pub async fn organizations(&self, rows: &[Org]) {
        let file = Org::file(rows);
        let imported = organizations::import(&self.app(), file.as_bytes()).await.unwrap();
        assert!(imported.rejected.is_empty(), "{:?}", imported.rejected);
        assert_eq!(imported.created + imported.updated, rows.len());
    }

    /// Imports a usage file.
    pub async fn usage(&self, text: &str) -> usage::Imported {
        let file = std::io::Cursor::new(text.to_owned());
        usage::import(&self.app(), "usage.csv", file).await.unwrap()
    }

    /// Imports a usage file whose rows must all be new.
    pub async fn accepted_usage(&self, text: &str) {
        let imported = self.usage(text).await;
        let rows = u64::try_from(text.lines().count() - 1).unwrap();
        assert_eq!(imported.quarantined, []);
        assert_eq!((imported.accepted, imported.duplicates), (rows, 0));
    }

    /// Asks what is due and does it.
    pub async fn tick(&self, confirmed: Option<u32>) -> Result<Report, ServiceError> {
        let runner = Runner::new(self.app(), CancellationToken::new()).unwrap();
        runner.tick(confirmed).await
    }

    /// Does what is due; nothing may fail or wait.
    pub async fn clean_tick(&self) -> Report {
        let report = self.tick(None).await.unwrap();
        assert!(report.is_clean(), "{report:?}");
        report
    }

    /// Lets a run's parked and declined work go again.
    pub async fn retry(&self, run: &str, organization: Option<&str>) -> Report {
        requests::retry(&self.app(), run, organization, "test").await.unwrap()
    }

    /// The balance now.
    pub async fn balance(&self, organization: &str) -> Balance {
        credits::balance(&self.app(), organization).await.unwrap()
    }

    /// The statement of a cycle.
    pub async fn statement(&self, organization: &str, of: &str) -> CreditStatement {
        credits::statement(&self.app(), organization, cycle(of)).await.unwrap()
    }

    /// Issued invoices of an organization, by number.
    pub async fn invoices(&self, organization: &str) -> Vec<InvoiceRow> {
        invoices::list(&self.app(), Some(organization), None).await.unwrap()
    }

    /// The one invoice of an organization.
    pub async fn invoice(&self, organization: &str) -> InvoiceRow {
        let mut rows = self.invoices(organization).await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    /// All issued invoices, by number.
    pub async fn all_invoices(&self) -> Vec<InvoiceRow> {
        invoices::list(&self.app(), None, None).await.unwrap()
    }

    /// What the sandbox provider remembers.
    pub fn journal(&self) -> Vec<JournalRecord> {
        let path = self.home.path().join("sandbox-journal.jsonl");
        Sandbox::open(&path).unwrap().journal().unwrap()
    }

    /// How often the provider took an organization's money.
    pub fn taken(&self, organization: &str) -> usize {
        use monthend::domain::payment::ChargeOutcome::Succeeded;
        let records = self.journal();
        let succeeded = |record: &&JournalRecord| {
            record.organization == organization && matches!(record.outcome, Some(Succeeded { .. }))
        };
        records.iter().filter(succeeded).count()
    }

    /// Steps that wait for a person.
    pub async fn parked(&self) -> Vec<Step> {
        let mut tx = self.app().db.read().await.unwrap();
        monthend::storage::steps::parked(&mut tx).await.unwrap()
    }

    /// Any statement, past all the product's own doors.
    pub async fn execute(&self, sql: &str) -> Result<u64, StorageError> {
        database::execute(&self.app().db, sql).await
    }

    /// All rows of a query whose columns are all text.
    pub async fn table(&self, sql: &str) -> Vec<Vec<String>> {
        database::table(&self.app().db, sql).await
    }

    /// The number of rows a condition finds.
    pub async fn count(&self, what: &str) -> i64 {
        database::count(&self.app().db, what).await
    }

    /// Mails of an organization that were sent, by kind.
    pub async fn mails(&self, organization: &str) -> Vec<String> {
        let sql = format!(
            "SELECT kind FROM mail WHERE organization = '{organization}' AND state = 'sent' \
             ORDER BY kind"
        );
        self.table(&sql).await.into_iter().flatten().collect()
    }

    /// Mails of notices that were sent to an organization, by the notice's kind; alerts have tests of their own.
    pub async fn notices(&self, organization: &str) -> Vec<String> {
        let sql = format!(
            "SELECT n.kind FROM mail m JOIN notice n ON n.organization = m.organization AND n.id = m.subject_id \
             WHERE m.organization = '{organization}' AND m.kind = 'notice' AND m.state = 'sent' \
             AND n.kind NOT IN ('alert', 'expiry') ORDER BY n.kind"
        );
        self.table(&sql).await.into_iter().flatten().collect()
    }

    /// The instant the clock shows.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Every check that does not hold.
    pub async fn broken(&self) -> Vec<Check> {
        let mut checks = verify(&self.app()).await.unwrap();
        checks.retain(|check| !check.ok());
        checks
    }

    /// Every invariant holds.
    pub async fn verify_ok(&self) {
        assert_eq!(self.broken().await, []);
    }

    /// From here on the scenario breaks invariants on purpose.
    pub fn do_damage(&self) {
        self.damaged.store(true, Ordering::SeqCst);
    }

    pub(super) async fn verify_at_the_end(&self) {
        if !self.damaged.load(Ordering::SeqCst) {
            self.verify_ok().await;
        }
    }

    pub(super) async fn close(&self) {
        let app = self
            .app
            .read()
            .map_or_else(|poisoned| poisoned.into_inner().clone(), |app| app.clone());
        app.db.close().await;
        self.place.remove().await;
    }
}

fn options(home: &std::path::Path, address: &str, clock: Arc<TestClock>) -> Options {
    Options {
        home: home.to_owned(),
        database: Some(address.to_owned()),
        clock,
        clock_is_set: true,
        actor: "tester".to_owned(),
    }
}

async fn open(home: &std::path::Path, address: &str, clock: Arc<TestClock>) -> Arc<App> {
    let config = Config::load(home).unwrap();
    let db = open_database(address).await.unwrap();
    Arc::new(App::with_database(options(home, address, clock), config, db).await.unwrap())
}
