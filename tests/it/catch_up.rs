//! After a long silence: oldest first, every month its own, and nothing at all without a person's word.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

async fn three_months_down(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&[
            Org::new("acme", "professional", "2026-01-01").pays("ok"),
            Org::new("globex", "standard", "2026-01-01"),
        ])
        .await;
    world.set_clock("2026-01-31T12:00:00Z");
    world
        .accepted_usage(&events(&[
            ("1", "acme", "2026-01-05T10:00:00Z", "1000"),
            ("2", "globex", "2026-01-19T10:00:00Z", "400"),
        ]))
        .await;
    // April is not over: three closes are missed, not four.
    world.set_clock("2026-04-01T02:00:00Z");
}

// F35, F38: more than `max_catch_up` months wait for a person.
both_engines!(without_a_confirmation_nothing_is_closed, |world| {
    three_months_down(&world).await;
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    assert!(report.runs.iter().all(|run| run.run.job != "monthly_close"), "{report:?}");
    let held: Vec<_> = report
        .held
        .iter()
        .map(|held| (held.cycle.as_str(), held.missed, held.organizations))
        .collect();
    assert_eq!(held, [("2026-01", 3, 2)]);
    // Fewer than missed confirms nothing.
    assert_eq!(world.tick(Some(2)).await.unwrap().held, report.held);
    for table in [
        "run WHERE job = 'monthly_close'",
        "step WHERE kind = 'close'",
        "invoice",
        "billing_cycle WHERE state = 'closed'",
    ] {
        assert_eq!(world.count(table).await, 0, "{table}");
    }
});

// F34, F35: three closes in order, each with its own grants, expiries and invoices.
both_engines!(confirmed_months_are_closed_oldest_first, |world| {
    three_months_down(&world).await;
    let report = world.tick(Some(3)).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    let closes = report.runs.iter().filter(|run| run.run.job == "monthly_close");
    let cycles: Vec<_> = closes.map(|run| run.run.cycle.as_str()).collect();
    assert_eq!(cycles, ["2026-01", "2026-02", "2026-03"]);
    let issued: Vec<_> = world
        .all_invoices()
        .await
        .into_iter()
        .map(|row| (row.number.unwrap_or_default(), row.cycle, row.issued_on))
        .collect();
    let first_of = |month| chrono::NaiveDate::from_ymd_opt(2026, month, 1);
    let expected = [(1, "2026-01", 2), (2, "2026-01", 2), (3, "2026-02", 3), (4, "2026-02", 3)]
        .into_iter()
        .chain([(5, "2026-03", 4), (6, "2026-03", 4)])
        .map(|(n, cycle, month)| (format!("INV-2026-{n:06}"), cycle.to_owned(), first_of(month)));
    assert_eq!(issued, expected.collect::<Vec<_>>());
    for (cycle, used, expired) in
        [("2026-01", 400, 600), ("2026-02", 0, 1000), ("2026-03", 0, 1000)]
    {
        let statement = world.statement("globex", cycle).await;
        let figures = (statement.opening, statement.granted, statement.used, statement.expired);
        assert_eq!(figures, (whole(0), whole(1000), whole(used), whole(expired)), "{cycle}");
    }
    // Professional carries over: 4,000 + 5,000 + 5,000, and April's 5,000 (S38).
    assert_eq!(world.statement("acme", "2026-03").await.closing, whole(14_000));
    assert_eq!(world.balance("acme").await.available, whole(19_000));
    assert_eq!(world.taken("acme"), 3);
    assert_eq!(world.count("credit_grant WHERE organization = 'acme'").await, 4);
    assert!(world.clean_tick().await.runs.is_empty());
});

// An organization that finance opens in the past holds itself, nobody else.
both_engines!(a_backdated_organization_only_holds_itself, |world| {
    world.set_clock("2026-03-02T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-03-01").pays("ok")]).await;
    world.set_clock("2026-03-31T09:00:00Z");
    world.organizations(&[Org::new("late", "standard", "2025-10-15").pays("ok")]).await;
    world.set_clock("2026-04-01T02:00:00Z");
    let report = world.tick(None).await.unwrap();
    assert_eq!(report.held.len(), 1, "{report:?}");
    assert_eq!((report.held[0].organizations, report.held[0].missed), (1, 6));
    assert_eq!(world.invoice("acme").await.cycle, "2026-03");
    assert_eq!(world.count("invoice WHERE organization = 'late'").await, 0);
    world.verify_ok().await;

    assert!(world.tick(Some(6)).await.unwrap().is_clean());
    let cycles: Vec<_> = world.invoices("late").await.into_iter().map(|row| row.cycle).collect();
    assert_eq!(cycles, ["2025-10", "2025-11", "2025-12", "2026-01", "2026-02", "2026-03"]);
    // 17 of 31 days of the first month (D13).
    assert_eq!(world.invoices("late").await[0].total, 2687);
});
