//! Clocks, zones, and what changes in the middle of a month.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::services::ServiceError;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

/// Cycles of an organization that are closed.
async fn closed(world: &World, organization: &str) -> Vec<String> {
    let sql = format!(
        "SELECT cycle FROM billing_cycle WHERE organization = '{organization}' AND state = 'closed' \
         ORDER BY cycle"
    );
    world.table(&sql).await.concat()
}

// F37: a clock that falls behind the work that was done closes nothing.
both_engines!(a_clock_behind_the_work_is_refused, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    // Due in the past of the work: joined in December, imported with the clock that is wrong.
    world.organizations(&[Org::new("late", "standard", "2025-12-01")]).await;
    for wrong in ["2026-02-01T01:54:59.999999Z", "2026-01-31T02:00:00Z", "2025-01-01T00:00:00Z"] {
        world.set_clock(wrong);
        let refused = world.tick(None).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains("correct the clock"), "{refused}");
    }
    assert_eq!(closed(&world, "late").await, Vec::<String>::new());
    // Five minutes are two machines that disagree a little.
    world.set_clock("2026-02-01T01:55:00Z");
    world.clean_tick().await;
    assert_eq!(closed(&world, "late").await, ["2025-12"]);
});

// D6, F40, F41: everybody's month ends at their own midnight; Asunción has none on 1 October 2023.
both_engines!(each_zone_closes_at_its_own_instant, |world| {
    let zones = [
        ("kiritimati", "Pacific/Kiritimati", "2023-09-30T12:00:00Z"),
        ("utc", "UTC", "2023-10-01T02:00:00Z"),
        ("asuncion", "America/Asuncion", "2023-10-01T06:00:00Z"),
        ("pago", "Pacific/Pago_Pago", "2023-10-01T13:00:00Z"),
    ];
    world.set_clock("2023-08-31T00:00:00Z");
    let rows = zones.map(|(id, zone, _)| Org::new(id, "standard", "2023-09-01").with("zone", zone));
    world.organizations(&rows).await;
    // One instant, two months: 1 October in Kiritimati, 30 September everywhere else.
    world.set_clock("2023-09-30T11:00:00Z");
    let used = zones.map(|(id, ..)| ("1", id, "2023-09-30T10:30:00Z", "7"));
    world.accepted_usage(&events(&used)).await;
    for (n, (id, _, due)) in zones.iter().enumerate() {
        let due: chrono::DateTime<chrono::Utc> = due.parse().unwrap();
        world.set_clock(&(due - chrono::Duration::microseconds(1)).to_rfc3339());
        assert!(world.clean_tick().await.runs.is_empty(), "{id}");
        world.set_clock(&due.to_rfc3339());
        assert_eq!(world.clean_tick().await.runs.len(), 1, "{id}");
        assert_eq!(closed(&world, id).await, ["2023-09"]);
        assert_eq!(world.all_invoices().await.len(), n + 1);
    }
    for (id, september) in [("kiritimati", 0), ("utc", 7), ("asuncion", 7), ("pago", 7)] {
        assert_eq!(world.statement(id, "2023-09").await.rated, whole(september), "{id}");
        assert_eq!(world.balance(id).await.unbilled, whole(7 - september), "{id}");
    }
});

// D13, F44: joining in the middle: the whole allowance, the fee by days.
both_engines!(joining_in_the_middle_of_a_month, |world| {
    world.set_clock("2026-02-14T23:30:00Z");
    world
        .organizations(&[
            Org::new("mid", "standard", "2026-02-15"),
            Org::new("last", "standard", "2026-02-28"),
            Org::new("first", "standard", "2026-02-01"),
        ])
        .await;
    assert_eq!(world.balance("mid").await.available, whole(1_000));
    world.set_clock("2026-02-20T09:00:00Z");
    // Before it joined, but in its first month: it counts.
    world.accepted_usage(&events(&[("1", "mid", "2026-02-01T00:00:00Z", "5")])).await;
    let before = world.usage(&events(&[("2", "mid", "2026-01-31T23:59:59Z", "5")])).await;
    assert!(before.quarantined[0].reason.contains("before the organization joined"));
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    for (id, total) in [("mid", 2_450), ("last", 175), ("first", 4_900)] {
        assert_eq!(world.invoice(id).await.total, total, "{id}");
    }
});

// D5, F44: a plan changed in the middle of a month takes effect with the next; grants keep their terms.
both_engines!(a_plan_change_takes_effect_next_month, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "professional", "2026-01-01")]).await;
    world.set_clock("2026-01-15T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    assert_eq!(world.balance("acme").await.available, whole(5_000));
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.invoice("acme").await.total, 19_900);
    // January's professional grant rolls over as it was granted.
    assert_eq!(world.balance("acme").await.available, whole(6_000));
    // Changed within the grace, after the month began: February stays standard.
    world.set_clock("2026-03-01T01:00:00Z");
    world.organizations(&[Org::new("acme", "professional", "2026-01-01")]).await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.invoices("acme").await[1].total, 4_900);
    // … and March too, since it had begun: 5,000 of January, 1,000 of March.
    assert_eq!(world.balance("acme").await.available, whole(6_000));
    world.set_clock("2026-04-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.invoices("acme").await[2].total, 4_900);
    assert_eq!(world.balance("acme").await.available, whole(10_000));
});

// F59: a new catalog is for months that begin after it; the open month keeps its price.
both_engines!(a_new_catalog_leaves_the_open_month_alone, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-01-15T09:00:00Z");
    world.change_catalog(&[("USD = \"49.00\"", "USD = \"59.00\"")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    let totals: Vec<i64> = world.invoices("acme").await.iter().map(|row| row.total).collect();
    assert_eq!(totals, [4_900, 5_900]);
});

// D8: beyond the balance, a plan that pauses carries a deficit which the next grant fills first.
both_engines!(a_deficit_is_carried_into_the_next_grant, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-01-20T09:00:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-01-19T09:00:00Z", "1200.5")])).await;
    let before = world.balance("acme").await;
    assert_eq!(before.available.to_decimal().to_string(), "-200.500000000");
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let after = world.balance("acme").await;
    assert_eq!(
        (after.posted, after.deficit.to_decimal().normalize().to_string()),
        (whole(1_000), "200.5".to_owned())
    );
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    let february = world.statement("acme", "2026-02").await;
    assert_eq!(february.used, february.deficit_brought);
    assert_eq!(world.balance("acme").await.available, whole(1_000));
});
