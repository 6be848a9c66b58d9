//! From the import to the mail, unattended; and a second tick that has nothing left to do.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::storage::invoices::Row;

use crate::harness::world::{cycle, whole};
use crate::harness::{Org, World, both_engines, events};

/// Everything a tick can leave behind.
const TABLES: [&str; 11] = [
    // The watch looks every five minutes, and leaves that it looked.
    "run WHERE job <> 'admission'",
    "step WHERE kind <> 'admission'",
    "ledger_transaction",
    "ledger_entry",
    "mail",
    "charge",
    "payment",
    "invoice",
    "artifact",
    "billing_cycle",
    "credit_grant",
];

async fn rows(world: &World) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in TABLES {
        counts.push(world.count(table).await);
    }
    counts
}

async fn january(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let globex = Org::new("globex", "professional", "2026-01-01").pays("ok");
    world
        .organizations(&[
            Org::new("acme", "standard", "2026-01-01").pays("ok"),
            globex
                .with("zone", "Europe/Berlin")
                .with("currency", "EUR")
                .with("tax_percent", "19")
                .with("billing_email", "one@globex.example;two@globex.example"),
        ])
        .await;
    world.set_clock("2026-01-20T12:00:00Z");
    world
        .accepted_usage(&events(&[
            ("1", "acme", "2026-01-05T10:00:00Z", "150"),
            ("2", "acme", "2026-01-19T10:00:00Z", "250"),
            ("3", "globex", "2026-01-07T10:00:00Z", "1000"),
        ]))
        .await;
}

// S28–S31, S34, S36, S38: the numbers of the month, to the last credit.
both_engines!(import_close_issue_render_charge_mail, |world| {
    january(&world).await;
    assert_eq!(world.balance("acme").await.available, whole(600));
    world.set_clock("2026-02-01T02:00:00Z");
    let report = world.clean_tick().await;
    let states: Vec<_> =
        report.runs.iter().map(|run| (run.run.cycle.as_str(), run.run.state.as_str())).collect();
    // Berlin's January ended an hour before UTC's: a run of its own.
    assert_eq!(states, [("2026-01", "done"), ("2026-01", "done")]);

    let statement = world.statement("acme", "2026-01").await;
    assert_eq!((statement.used, statement.expired), (whole(400), whole(600)));
    assert_eq!(world.balance("acme").await.available, whole(1000));
    assert_eq!(world.balance("globex").await.available, whole(9000));

    let (acme, globex) = (world.invoice("acme").await, world.invoice("globex").await);
    assert_eq!((acme.total, acme.amount_due, acme.currency.as_str()), (4900, 4900, "USD"));
    assert_eq!((globex.subtotal, globex.tax, globex.total), (18500, 3515, 22015));
    for row in [&acme, &globex] {
        assert_eq!((row.status.as_str(), row.payment_status.as_str()), ("settled", "paid"));
        assert_eq!(row.issued_on.unwrap(), cycle("2026-02").first_day());
    }
    assert_eq!((world.taken("acme"), world.taken("globex")), (1, 1));
    assert_eq!(world.mails("acme").await, ["invoice", "receipt"]);
    // Two addresses, two facts.
    assert_eq!(world.mails("globex").await, ["invoice", "invoice", "receipt", "receipt"]);
    files(&world, &acme, &globex);
});

fn files(world: &World, acme: &Row, globex: &Row) {
    for path in [&acme.pdf, &acme.csv, &globex.pdf, &globex.csv] {
        let bytes = std::fs::read(world.home().join("documents").join(path.as_ref().unwrap()));
        assert!(bytes.unwrap().len() > 100, "{path:?}");
    }
    let mails: Vec<String> = std::fs::read_dir(world.home().join("outbox"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(mails.len(), 6);
    let attached = |name: &str| mails.iter().filter(|mail| mail.contains(name)).count();
    for (row, recipients) in [(acme, 1), (globex, 2)] {
        assert_eq!(attached(&format!("{}.pdf", row.number.as_ref().unwrap())), recipients);
    }
}

// F20, F36: a tick is only a hint.
both_engines!(a_second_tick_does_nothing, |world| {
    january(&world).await;
    world.set_clock("2026-02-01T01:59:59Z");
    let before = rows(&world).await;
    let report = world.clean_tick().await;
    // Berlin is due (its midnight and two hours of grace have passed), UTC is not, by one second.
    assert_eq!(report.runs.len(), 1);
    assert_eq!(world.invoices("acme").await.len(), 0);
    assert_ne!(rows(&world).await, before);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let (after, charged) = (rows(&world).await, world.journal().len());
    for instant in ["2026-02-01T02:00:00Z", "2026-02-01T03:00:00Z", "2026-02-28T23:59:59Z"] {
        world.set_clock(instant);
        let report = world.clean_tick().await;
        assert!(report.runs.is_empty() && report.held.is_empty(), "{report:?}");
        assert_eq!(rows(&world).await, after, "{instant}");
        assert_eq!(world.journal().len(), charged);
    }
});
