//! A thousand organizations, one of them poisoned: it stops nobody else, and is mended afterwards.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::jobs::report::Report;

use crate::harness::{Org, World, both_engines, events};

const ALL: usize = 1_000;
const POISONED: &str = "o0500";

/// More money than there are integers for, once anything is used.
fn poisoned() -> Org {
    Org::new(POISONED, "enterprise", "2026-01-01").with("overage_price", "9000000000000000")
}

async fn a_thousand(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let ids: Vec<String> = (0..ALL).map(|n| format!("o{n:04}")).collect();
    let org = |id: &String| {
        if id == POISONED { poisoned() } else { Org::new(id, "standard", "2026-01-01") }
    };
    world.organizations(&ids.iter().map(org).collect::<Vec<_>>()).await;
    world.set_clock("2026-01-20T09:00:00Z");
    // All but the poisoned one keep some: who runs out is told, which is another test's matter.
    let used = |id: &str| if id == POISONED { "1000" } else { "900" };
    let rows: Vec<_> =
        ids.iter().map(|id| ("1", id.as_str(), "2026-01-10T09:00:00Z", used(id))).collect();
    world.accepted_usage(&events(&rows)).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

/// Numbers of issued invoices are 1…N.
async fn gapless(world: &World, count: usize) {
    let numbers: Vec<String> =
        world.all_invoices().await.into_iter().filter_map(|row| row.number).collect();
    let expected: Vec<String> = (1..=count).map(|n| format!("INV-2026-{n:06}")).collect();
    assert_eq!(numbers, expected);
}

fn run_of(report: &Report) -> &str {
    assert_eq!(report.runs.len(), 1);
    &report.runs[0].run.id
}

// F52: one overflow among a thousand; 999 invoices, one reason, no gap.
both_engines!(one_poisoned_organization_stops_nobody, |world| {
    a_thousand(&world).await;
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!(report.runs[0].run.state, "attention");
    gapless(&world, ALL - 1).await;
    assert_eq!(world.count("mail WHERE kind = 'invoice' AND state = 'sent'").await, 999);
    let parked = world.parked().await;
    assert_eq!((parked.len(), parked[0].organization.as_deref()), (1, Some(POISONED)));
    let reason = parked[0].error.clone().unwrap();
    assert!(reason.contains("2026-01") && reason.contains("out of range"), "{reason}");
    // … and says what to do.
    let command = format!("run retry {} --org {POISONED}", run_of(&report));
    assert!(reason.contains("org import") && reason.contains(&command), "{reason}");
    world.verify_ok().await;
    // It waits for a person: the next ticks leave it alone.
    assert!(world.clean_tick().await.runs.is_empty());
    // Retried unmended, it fails the same way, and costs no number.
    assert!(!world.retry(run_of(&report), Some(POISONED)).await.is_clean());
    gapless(&world, ALL - 1).await;

    world.organizations(&[poisoned().with("overage_price", "1.50")]).await;
    let mended = world.retry(run_of(&report), Some(POISONED)).await;
    assert!(mended.is_clean(), "{mended:?}");
    assert_eq!(mended.runs[0].run.state, "done");
    gapless(&world, ALL).await;
    let row = world.invoice(POISONED).await;
    assert_eq!((row.total, row.number.as_deref()), (150_000, Some("INV-2026-001000")));
    assert_eq!(world.mails(POISONED).await, ["invoice"]);
});
