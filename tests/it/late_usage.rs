//! Use that comes late, early, twice, or from nobody: billed once, or set aside with a reason.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::invoice::LineKind;
use monthend::services::invoices;
use monthend::services::usage::{Imported, retry_quarantine};
use monthend::services::usage_reports::{Key, events as list_events, sums};
use monthend::storage::usage_reports::Filter;

use crate::harness::world::{cycle, whole};
use crate::harness::{Org, World, both_engines, events};

/// Bills each credit at 2 USD from the first on.
fn metered(id: &str, joined_on: &str) -> Org {
    Org::new(id, "enterprise", joined_on).with("overage_price", "2").pays("ok")
}

async fn document_bytes(world: &World, organization: &str) -> Vec<Vec<u8>> {
    let mut bytes = Vec::new();
    for row in world.invoices(organization).await {
        for path in [row.pdf, row.csv].into_iter().flatten() {
            bytes.push(std::fs::read(world.home().join("documents").join(path)).unwrap());
        }
    }
    bytes
}

// F45, D7: what comes after the grace is billed next month, on a line that names its own.
both_engines!(late_use_is_billed_in_the_next_cycle, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[metered("acme", "2026-01-01")]).await;
    world.set_clock("2026-02-01T01:59:00Z");
    // Within the grace: still January's.
    world.accepted_usage(&events(&[("1", "acme", "2026-01-31T23:59:59Z", "100")])).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let (closed, bytes) =
        (world.statement("acme", "2026-01").await, document_bytes(&world, "acme").await);
    assert_eq!(world.invoice("acme").await.total, 20_000);

    world.set_clock("2026-02-10T09:00:00Z");
    world
        .accepted_usage(&events(&[
            ("2", "acme", "2026-01-20T10:00:00Z", "30"),
            ("3", "acme", "2026-02-09T10:00:00Z", "50"),
        ]))
        .await;
    assert_eq!(world.balance("acme").await.unbilled, whole(80));
    // Reports tell the two apart, and find the event.
    let sums = sums(&world.app(), "acme", cycle("2026-02"), &[Key::Cycle, Key::Day]).await.unwrap();
    let told: Vec<_> = sums.rows.iter().map(|(keys, sum)| (keys.join(" "), sum.credits)).collect();
    let late = ("2026-01 2026-01-20".to_owned(), whole(30));
    assert_eq!(told, [late, ("2026-02 2026-02-09".to_owned(), whole(50))]);
    let filter = Filter { day: "2026-01-20".parse().ok(), ..Filter::default() };
    let found = list_events(&world.app(), "acme", cycle("2026-02"), &filter, 5).await.unwrap();
    assert_eq!((found.0.credits, found.1[0].event_id.as_str()), (whole(30), "2"));
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;

    assert_eq!(world.statement("acme", "2026-01").await, closed);
    assert_eq!(document_bytes(&world, "acme").await[..2], bytes);
    let rows = world.invoices("acme").await;
    let shown = invoices::show(&world.app(), rows[1].number.as_deref().unwrap()).await.unwrap();
    let lines: Vec<_> = shown
        .document
        .draft
        .lines
        .iter()
        .map(|line| (line.kind, line.cycle.to_string(), line.amount.minor()))
        .collect();
    assert_eq!(
        lines,
        [
            (LineKind::Overage, "2026-02".to_owned(), 10_000),
            (LineKind::PriorCycle, "2026-01".to_owned(), 6_000)
        ]
    );
});

fn reasons(imported: &Imported) -> Vec<(u64, String)> {
    imported.quarantined.iter().map(|row| (row.line, row.reason.clone())).collect()
}

// F46: outside [−62 d, +5 min] nothing is billed; on the edge it is.
both_engines!(future_and_ancient_use_is_set_aside, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[metered("acme", "2026-01-01")]).await;
    world.set_clock("2026-03-10T12:00:00Z");
    assert!(world.tick(None).await.unwrap().is_clean());
    let imported = world
        .usage(&events(&[
            ("1", "acme", "2026-03-10T12:05:00Z", "1"),
            ("2", "acme", "2026-03-10T12:05:00.000001Z", "10"),
            ("3", "acme", "2026-01-07T12:00:00Z", "100"),
            ("4", "acme", "2026-01-07T11:59:59.999999Z", "1000"),
        ]))
        .await;
    assert_eq!((imported.accepted, imported.credits), (2, whole(101)));
    let told = reasons(&imported);
    assert_eq!(told.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 5]);
    assert!(told[0].1.contains("future") && told[1].1.contains("62 days back"), "{told:?}");
    // The future arrives; the past does not.
    world.set_clock("2026-03-10T12:06:00Z");
    let retried = retry_quarantine(&world.app()).await.unwrap();
    assert_eq!((retried.rows, retried.imported.accepted), (2, 1));
    assert_eq!(retried.imported.credits, whole(10));
});

// Set aside until the organization is there, then billed once.
both_engines!(use_of_an_unknown_organization_waits_for_it, |world| {
    world.set_clock("2026-01-05T09:00:00Z");
    let file = events(&[("1", "acme", "2026-01-05T08:00:00Z", "7")]);
    let imported = world.usage(&file).await;
    assert_eq!(imported.accepted, 0);
    assert!(imported.quarantined[0].reason.contains("not known"), "{imported:?}");
    // The same file again is the same row, set aside once.
    world.usage(&file).await;
    assert_eq!(world.count("usage_quarantine").await, 1);
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    let retried = retry_quarantine(&world.app()).await.unwrap();
    assert_eq!((retried.rows, retried.imported.accepted), (1, 1));
    assert_eq!(retry_quarantine(&world.app()).await.unwrap().rows, 0);
    assert_eq!(world.balance("acme").await.available, whole(993));
    let again = world.usage(&file).await;
    assert_eq!((again.accepted, again.duplicates), (0, 1));
});

// F56: in one file, across files, and across the batches one file is stored in.
both_engines!(an_id_names_one_event_only, |world| {
    world.set_clock("2026-01-05T09:00:00Z");
    world.organizations(&[Org::new("acme", "professional", "2026-01-01")]).await;
    let (first, other) =
        (("1", "acme", "2026-01-05T08:00:00Z", "5"), ("1", "acme", "2026-01-05T08:00:00Z", "6"));
    let one_file = world.usage(&events(&[first, first, other])).await;
    assert_eq!((one_file.accepted, one_file.duplicates), (1, 1));
    assert_eq!(reasons(&one_file).len(), 1);
    assert!(reasons(&one_file)[0].1.contains("ids must not be used again"));

    let next_file = world.usage(&events(&[first, other])).await;
    assert_eq!((next_file.accepted, next_file.duplicates, next_file.quarantined.len()), (0, 1, 1));

    let ids: Vec<String> = (2..2_600).map(|n| n.to_string()).collect();
    let mut rows: Vec<_> =
        ids.iter().map(|id| (id.as_str(), "acme", "2026-01-05T08:30:00Z", "1")).collect();
    rows.push(("2", "acme", "2026-01-05T08:30:00Z", "1"));
    rows.push(("3", "acme", "2026-01-05T08:30:00Z", "2"));
    let batches = world.usage(&events(&rows)).await;
    assert_eq!((batches.accepted, batches.duplicates, batches.quarantined.len()), (2_598, 1, 1));
    assert_eq!(world.balance("acme").await.unbilled, whole(2_603));
    // Another source may use the same id: it is another event.
    let text = "id,organization,at,meter,source,executions\n\
                1,acme,2026-01-05T08:00:00Z,prompt,other,6\n";
    assert_eq!(world.usage(text).await.accepted, 1);
});
