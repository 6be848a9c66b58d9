//! What becomes due, or is issued, while other work goes on.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use monthend::app::App;
use monthend::documents::pdf::{Draws, PdfError, RenderedPdf};
use monthend::domain::document::Document;
use monthend::domain::invoice::InvoiceDocument;
use monthend::jobs::StepKind;
use monthend::jobs::plan::{self, Question};
use monthend::jobs::runner::Runner;
use monthend::mail::{Composed, Handed, MailError, Mailer};
use tokio_util::sync::CancellationToken;

use crate::harness::{Org, World, both_engines};

fn runner(app: Arc<App>) -> Runner {
    Runner::new(app, CancellationToken::new()).unwrap()
}

/// Says when it begins to draw, and draws when it is told to.
struct Patient {
    inner: Arc<dyn Draws>,
    begins: Mutex<Sender<()>>,
    goes_on: Mutex<Receiver<()>>,
}

impl Draws for Patient {
    fn invoice(&self, document: &InvoiceDocument) -> Result<RenderedPdf, PdfError> {
        // The first is waited for by the test, and waits for it.
        let _ = self.begins.lock().unwrap().send(());
        let _ = self.goes_on.lock().unwrap().recv();
        self.inner.invoice(document)
    }

    fn document(&self, document: &Document) -> Result<RenderedPdf, PdfError> {
        self.inner.document(document)
    }
}

async fn run_of(world: &World, organization: &str) -> String {
    let sql = format!(
        "SELECT run_id FROM step WHERE kind = 'close' AND first_organization = '{organization}'"
    );
    world.table(&sql).await[0][0].clone()
}

// Ranges of two zones' runs overlap: an invoice of the one, issued while the other's were drawn, was charged and mailed
// with them, before it had a document; its mail had no PDF.
both_engines!(an_invoice_issued_meanwhile_waits_for_its_own_document, |world| {
    world.set_clock("2026-01-01T12:00:00Z");
    let organization = |id| Org::new(id, "professional", "2026-01-01").pays("ok");
    let berlin = organization("beta").with("zone", "Europe/Berlin");
    world.organizations(&[organization("alpha"), berlin, organization("gamma")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    runner(world.app()).up_to(StepKind::Brake).tick(None).await.unwrap();
    let (of_utc, of_berlin) = (run_of(&world, "alpha").await, run_of(&world, "beta").await);
    assert_ne!(of_utc, of_berlin);
    let mut nothing = BTreeSet::new();
    runner(world.app()).up_to(StepKind::Issue).work(Some(&of_utc), &mut nothing).await.unwrap();

    let ((begins, begun), (go_on, goes_on)) = (channel(), channel());
    let mut app = world.another_app().await;
    let inner = app.renderer().unwrap();
    let patient = Patient { inner, begins: Mutex::new(begins), goes_on: Mutex::new(goes_on) };
    Arc::get_mut(&mut app).unwrap().draw_with(Arc::new(patient));
    let drawing = {
        let (app, run) = (app.clone(), of_utc.clone());
        tokio::spawn(async move {
            let mut touched = BTreeSet::new();
            runner(app).up_to(StepKind::Render).work(Some(&run), &mut touched).await.unwrap();
        })
    };
    tokio::task::spawn_blocking(move || begun.recv()).await.unwrap().unwrap();
    runner(world.app()).up_to(StepKind::Issue).work(Some(&of_berlin), &mut nothing).await.unwrap();
    drop(go_on);
    drawing.await.unwrap();
    app.db.close().await;

    assert_eq!(world.count("invoice WHERE number IS NOT NULL").await, 3);
    for (id, told) in [("alpha", 1), ("beta", 0), ("gamma", 1)] {
        for what in ["charge", "mail", "artifact WHERE kind = 'pdf' AND 0 = 0"] {
            let and = if what.contains("WHERE") { "AND" } else { "WHERE" };
            let found = world.count(&format!("{what} {and} organization = '{id}'")).await;
            assert_eq!(found, told, "{what} of {id}");
        }
    }
    world.clean_tick().await;
    assert_eq!(
        (world.taken("beta"), world.mails("beta").await),
        (1, { vec!["invoice".to_owned(), "receipt".to_owned()] })
    );
    world.verify_ok().await;
});

/// A server that takes twenty seconds for a mail, by the clock of the rehearsal.
struct Slow {
    world: Arc<World>,
    taken: Mutex<Vec<String>>,
}

#[async_trait]
impl Mailer for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    async fn hand_over(&self, mail: &Composed) -> Result<Handed, MailError> {
        self.world.pass(20);
        self.taken.lock().unwrap().push(mail.recipient.clone());
        Ok(Handed::default())
    }
}

// Whoever plans went on mailing until nothing was left to mail: another zone's month waited for all of it.
both_engines!(what_becomes_due_waits_for_no_queue_of_mails, |world| {
    const MANY: usize = 60;
    world.set_clock("2026-01-01T12:00:00Z");
    let organization = |id: &str| Org::new(id, "professional", "2026-01-01").pays("ok");
    let mut all: Vec<Org> = (0..MANY).map(|n| organization(&format!("o{n:02}"))).collect();
    // A quarter of an hour after the first mail; they take forty minutes.
    all.push(organization("azores").with("zone", "Atlantic/Azores"));
    world.organizations(&all).await;
    world.set_clock("2026-02-01T02:45:00Z");
    let mut app = world.another_app().await;
    let slow = Arc::new(Slow { world: world.clone(), taken: Mutex::default() });
    Arc::get_mut(&mut app).unwrap().mailer = slow.clone();
    runner(app.clone()).tick(None).await.unwrap();
    app.db.close().await;
    let taken = slow.taken.lock().unwrap().clone();
    assert_eq!(taken.len(), 2 * (MANY + 1));
    let of_azores = taken.iter().position(|to| to == "billing@azores.example").unwrap();
    assert!(of_azores > 0 && of_azores < taken.len() - MANY / 4, "{of_azores}: {taken:?}");
    world.verify_ok().await;
});

/// A server after whose so-many-th mail the worker is stopped.
struct Counts {
    left: AtomicUsize,
    stop: CancellationToken,
}

#[async_trait]
impl Mailer for Counts {
    fn name(&self) -> &'static str {
        "counts"
    }

    async fn hand_over(&self, _: &Composed) -> Result<Handed, MailError> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.stop.cancel();
        }
        Ok(Handed::default())
    }
}

// A worker that does mails first did nothing else while there were any: a close that was planned waited for all of them.
both_engines!(a_worker_for_mails_does_a_fact_in_between, |world| {
    world.set_clock("2026-01-01T12:00:00Z");
    let all: Vec<Org> = (0..40)
        .map(|n| Org::new(&format!("o{n:02}"), "professional", "2026-01-01").pays("ok"))
        .collect();
    world.organizations(&all).await;
    world.set_clock("2026-02-01T02:00:00Z");
    runner(world.app()).up_to(StepKind::Document).tick(None).await.unwrap();
    runner(world.app()).up_to(StepKind::Charge).work(None, &mut BTreeSet::new()).await.unwrap();
    world.set_clock("2026-03-01T02:00:00Z");
    let stop = CancellationToken::new();
    let mut due = plan::due(&world.app(), &Question::default()).await.unwrap();
    due.retain(|group| group.job == "monthly_close");
    for group in due {
        plan::plan(&world.app(), &group, "test").await.unwrap();
    }
    // One claim holds 32 mails: the next claim is a fact, the one after that mails again.
    let mut app = world.another_app().await;
    let counts = Counts { left: AtomicUsize::new(33), stop: stop.clone() };
    Arc::get_mut(&mut app).unwrap().mailer = Arc::new(counts);
    let worker = Runner::new(app.clone(), stop.clone()).unwrap().as_worker(1);
    worker.work(None, &mut BTreeSet::new()).await.unwrap();
    assert!(stop.is_cancelled());
    app.db.close().await;
    assert_eq!(world.count("step WHERE kind = 'close' AND state <> 'done'").await, 0);
    assert!(world.count("step WHERE kind = 'mail' AND state <> 'done'").await > 0);
    world.clean_tick().await;
});
