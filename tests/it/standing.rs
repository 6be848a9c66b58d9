//! How things stand at an instant: balances between a month's end and its close, charges closed by hand.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::credits::Credits;
use monthend::jobs::requests;
use monthend::payments::Sandbox;

use crate::harness::world::whole;
use crate::harness::{Org, both_engines, events};

// S25, S36: within the grace January is not closed, but its credits have expired all the same.
both_engines!(a_balance_shows_no_expired_credits, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-02-01T00:30:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-02-01T00:10:00Z", "5")])).await;
    let before = world.balance("acme").await;
    assert_eq!((before.available, before.unbilled), (whole(995), whole(5)));
    let cycles: Vec<String> =
        before.grants.iter().map(|open| open.grant.cycle.to_string()).collect();
    assert_eq!(cycles, ["2026-02"]);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let after = world.balance("acme").await;
    assert_eq!((after.available, after.posted), (before.available, before.posted));
    assert_eq!(after.grants, before.grants);
});

// S25, D8: months nobody has closed yet are seen through, deficits too.
both_engines!(a_balance_sees_through_missed_months, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "professional", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-01-20T09:00:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-01-20T08:00:00Z", "5600")])).await;
    world.set_clock("2026-06-10T09:00:00Z");
    let balance = world.balance("acme").await;
    // January ended 600 short; February's grant paid them and lapsed on 1 June with the rest.
    assert_eq!((balance.available, balance.deficit), (whole(20_000), Credits::ZERO));
    world.tick(Some(5)).await.unwrap();
    assert_eq!(world.balance("acme").await.grants, balance.grants);
});

// A charge that waits for a customer who never comes is closed by a person; then money can come in.
both_engines!(an_open_charge_is_closed_by_a_person, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("needs_action")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let report = world.tick(None).await.unwrap();
    let run = report.runs[0].run.id.clone();
    let number = world.invoice("acme").await.number.unwrap();
    let mails = world.mails("acme").await;
    world.pass(3 * 24 * 3_600);
    requests::void_charge(&world.app(), &number, "the customer gave up").await.unwrap();
    assert_eq!(world.invoice("acme").await.payment_status, "declined");
    assert_eq!(world.mails("acme").await, mails, "nobody declined anything: no letter");
    // It is called off at the provider, too: the customer cannot act later and pay beside the next attempt.
    let key = world.table("SELECT key FROM charge").await.concat().concat();
    let provider = Sandbox::open(&world.home().join("sandbox-journal.jsonl")).unwrap();
    assert!(!provider.pay(&key).unwrap());
    let again = requests::void_charge(&world.app(), &number, "again").await;
    assert!(again.unwrap_err().to_string().contains("no open charge"));
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.retry(&run, Some("acme")).await;
    assert_eq!(world.invoice("acme").await.payment_status, "paid");
    assert_eq!(world.taken("acme"), 1);
    world.verify_ok().await;
});
