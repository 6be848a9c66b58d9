//! Usage that arrives at the same time, or in quantities nobody has.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::io::{BufRead, Read};
use std::sync::Arc;

use monthend::app::App;
use monthend::services::usage::{Imported, import, retry_quarantine};

use crate::harness::world::whole;
use crate::harness::{Org, both_engines, events};

async fn imported(app: Arc<App>, text: String) -> Imported {
    tokio::spawn(
        async move { import(&app, "usage.csv", std::io::Cursor::new(text)).await.unwrap() },
    )
    .await
    .unwrap()
}

/// A file whose disk goes away in a way nobody thought of.
struct Broken(std::io::Cursor<String>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for Broken {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        assert!(self.0.fill_buf().is_ok_and(|rest| !rest.is_empty()), "the disk is gone");
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

// The reader's end was taken for the file's: what it had not read would have been put away as imported.
both_engines!(a_reader_that_fails_is_not_the_end_of_the_file, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "enterprise", "2026-01-01")]).await;
    let text = events(&[("1", "acme", "2026-01-09T09:00:00Z", "1")]);
    let broken = Broken(std::io::Cursor::new(text));
    let error = import(&world.app(), "usage.csv", broken).await.unwrap_err().to_string();
    assert!(error.contains("usage.csv was not read to its end"), "{error}");
});

// F24, F56: one file, two processes, organizations whose ledger has no row to lock yet.
both_engines!(two_imports_of_one_file_count_once, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let ids: Vec<String> = (0..8).map(|n| format!("o{n}")).collect();
    let row = |id: &String| Org::new(id, "enterprise", "2026-01-01");
    world.organizations(&ids.iter().map(row).collect::<Vec<_>>()).await;
    let numbers: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    let row = |n: usize| (numbers[n].as_str(), ids[n % 8].as_str(), "2026-01-09T09:00:00Z", "1");
    let forwards: Vec<_> = (0..5_000).map(row).collect();
    let backwards: Vec<_> = (0..5_000).rev().map(row).collect();
    let other = world.another_app().await;
    let (one, two) = tokio::join!(
        imported(world.app(), events(&forwards)),
        imported(other.clone(), events(&backwards))
    );
    other.db.close().await;
    assert_eq!((one.accepted + two.accepted, one.duplicates + two.duplicates), (5_000, 5_000));
    assert_eq!(world.count("usage_event").await, 5_000);
    for id in &ids {
        assert_eq!(world.balance(id).await.unbilled, whole(625), "{id}");
    }
});

// F23, F24: an import and a close of the same organizations: each event falls in exactly one month.
both_engines!(an_import_during_the_close_is_billed_once, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let ids: Vec<String> = (0..40).map(|n| format!("o{n:02}")).collect();
    let row = |id: &String| Org::new(id, "enterprise", "2026-01-01").with("overage_price", "1");
    world.organizations(&ids.iter().map(row).collect::<Vec<_>>()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let numbers: Vec<String> = (0..4_000).map(|n| n.to_string()).collect();
    let row = |n: usize| (numbers[n].as_str(), ids[n % 40].as_str(), "2026-01-31T23:59:59Z", "1");
    let rows: Vec<_> = (0..4_000).map(row).collect();
    let other = world.another_app().await;
    let closing = {
        let world = world.clone();
        tokio::spawn(async move { world.clean_tick().await })
    };
    let counted = imported(other.clone(), events(&rows)).await;
    closing.await.unwrap();
    other.db.close().await;
    assert_eq!(counted.accepted, 4_000);
    world.verify_ok().await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    for id in &ids {
        let billed: i64 = world.invoices(id).await.iter().map(|row| row.total).sum();
        assert_eq!(billed, 10_000, "{id}");
    }
});

// F52: more credits than there are: those rows are set aside, nobody else's.
both_engines!(use_beyond_all_numbers_is_set_aside, |world| {
    const MILLION: &str = "1000000";
    world.set_clock("2026-01-10T09:00:00Z");
    let row = |id| Org::new(id, "standard", "2026-01-01");
    world.organizations(&[row("acme"), row("globex")]).await;
    let ids: Vec<String> = (0..9_010).map(|n| format!("{n:05}")).collect();
    let at = "2026-01-09T09:00:00Z";
    let mut rows: Vec<_> = ids.iter().map(|id| (id.as_str(), "acme", at, MILLION)).collect();
    rows.push(("1", "globex", at, "1"));
    rows.push(("2", "globex", at, "99999999999"));
    let told = world.usage(&events(&rows)).await;
    // A day's sum of one meter holds 9,000 of the largest events.
    assert_eq!((told.accepted, told.quarantined.len()), (9_001, 11));
    let reasons: Vec<_> = told.quarantined.iter().map(|row| row.reason.as_str()).collect();
    assert!(reasons.iter().all(|reason| reason.contains("range")), "{reasons:?}");
    assert_eq!(world.balance("globex").await.available, whole(999));
    // Tried again, they are set aside again, and hold up nobody.
    let retried = retry_quarantine(&world.app()).await.unwrap();
    assert_eq!((retried.rows, retried.imported.accepted), (11, 0));
    assert_eq!(world.count("usage_event").await, 9_001);
});
