//! Automatic purchases: once below the threshold, within limits, never twice for one unclear answer, and not
//! endlessly with a dead card (S35).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::jobs::requests;
use monthend::services::purchases::Wanted;
use monthend::services::recharges::{self, Settings};
use monthend::services::{ServiceError, admission, methods};

use crate::harness::provider::{Flaky, Line};
use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

async fn on(world: &World, monthly_limit: &str) -> Result<(), ServiceError> {
    let settings =
        Settings { threshold: whole(100), package: "small", monthly_limit, cool_off_minutes: 60 };
    recharges::set(&world.app(), "acme", &settings, "the customer asked").await.map(|_| ())
}

/// 500 credits at sign-up; 100 more cost 120.00 with tax.
async fn joined(world: &World, how: &str) {
    world.set_clock("2026-01-10T09:00:00Z");
    let acme = Org::new("acme", "starter", "2026-01-01").with("tax_percent", "20").pays(how);
    world.organizations(&[acme]).await;
    on(world, "250.00").await.unwrap();
}

async fn uses(world: &World, id: &str, credits: &str) {
    let now = world.now() - chrono::Duration::minutes(1);
    let now = now.format("%Y-%m-%dT%H:%M:%SZ").to_string();
    world.accepted_usage(&events(&[(id, "acme", &now, credits)])).await;
}

/// Ticks every five minutes.
async fn minutes(world: &World, minutes: i64) {
    for _ in 0..minutes / 5 {
        world.pass(300);
        world.tick(None).await.unwrap();
    }
}

async fn available(world: &World) -> i64 {
    world.balance("acme").await.available.nano() / 1_000_000_000
}

/// Receipts that were mailed.
async fn receipts(world: &World) -> i64 {
    world.count("mail WHERE kind = 'receipt' AND state = 'sent'").await
}

async fn state(world: &World) -> (String, i64) {
    let all = recharges::list(&world.app()).await.unwrap();
    (all[0].recharge.state.clone(), all[0].recharge.failures)
}

// S35: at the threshold nothing; below it one package, an hour's rest, and never beyond the month's limit.
both_engines!(bought_below_the_threshold_within_limits, |world| {
    joined(&world, "ok").await;
    let refused = on(&world, "119.99").await.unwrap_err().to_string();
    assert!(refused.contains("costs 120.00 USD with tax"), "{refused}");
    uses(&world, "1", "400").await;
    minutes(&world, 10).await;
    assert_eq!((available(&world).await, world.taken("acme")), (100, 0));
    uses(&world, "2", "1").await;
    minutes(&world, 5).await;
    assert_eq!((available(&world).await, world.taken("acme")), (199, 1));
    uses(&world, "3", "150").await;
    minutes(&world, 55).await;
    assert_eq!((available(&world).await, world.taken("acme")), (49, 1), "it rests");
    minutes(&world, 10).await;
    assert_eq!((available(&world).await, world.taken("acme")), (149, 2));
    // 240 of 250 are spent.
    uses(&world, "4", "100").await;
    minutes(&world, 120).await;
    assert_eq!((available(&world).await, world.taken("acme")), (49, 2));
    let amounts: Vec<i64> = world.journal().iter().map(|record| record.amount.minor()).collect();
    assert_eq!(amounts, [12_000, 12_000]);
    // A new month, a new limit.
    world.set_clock("2026-02-01T02:05:00Z");
    world.clean_tick().await;
    assert_eq!((available(&world).await, world.taken("acme")), (149, 3));
    recharges::off(&world.app(), "acme", "asked to").await.unwrap();
    uses(&world, "5", "100").await;
    minutes(&world, 120).await;
    assert_eq!((world.taken("acme"), state(&world).await.0), (3, "off".to_owned()));
});

// S35: the receipt and its mail say that it bought itself.
both_engines!(it_says_that_it_was_automatic, |world| {
    joined(&world, "ok").await;
    uses(&world, "1", "450").await;
    minutes(&world, 5).await;
    assert_eq!(receipts(&world).await, 1);
    let receipt = world.table("SELECT content FROM document").await[0][0].clone();
    assert!(receipt.contains("automatically"), "{receipt}");
    let letters = std::fs::read_dir(world.home().join("outbox")).unwrap();
    let letters = letters.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let mut letters = letters.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(letters.any(|letter| letter.contains("automatically")));
    let bought = world.count("purchase WHERE automatic").await;
    assert_eq!((bought, state(&world).await), (1, ("on".to_owned(), 0)));
});

// F68, F70: nobody knows, or the bank takes its time: it is not bought again, and granted once.
async fn is_granted_once(world: &World, line: Line) {
    joined(world, "ok").await;
    let provider = Flaky::new(world.home(), line);
    world.collect_by(provider.clone()).await;
    uses(world, "1", "450").await;
    minutes(world, 180).await;
    assert_eq!((provider.sent(), available(world).await), (1, 50));
    assert_eq!(world.count("purchase").await, 1);
    provider.set(Line::Works);
    world.pass(86_400);
    world.tick(None).await.unwrap();
    assert_eq!(available(world).await, 150);
    minutes(world, 120).await;
    assert_eq!((provider.sent(), world.taken("acme"), available(world).await), (1, 1, 150));
    assert_eq!(world.count("credit_grant WHERE source = 'purchase'").await, 1);
    assert_eq!(receipts(world).await, 1);
}

both_engines!(an_unknown_one_is_not_bought_again, |world| {
    is_granted_once(&world, Line::LosesAnswers).await;
});

both_engines!(a_pending_one_is_not_bought_again, |world| {
    is_granted_once(&world, Line::Pending).await;
});

// Complaint 33: three declines in a row, and it stops; told once; on again when somebody says so.
both_engines!(it_stops_after_three_declines, |world| {
    joined(&world, "declined").await;
    uses(&world, "1", "450").await;
    minutes(&world, 100).await;
    assert_eq!((world.journal().len(), state(&world).await), (2, ("on".to_owned(), 2)));
    assert_eq!(world.notices("acme").await.len(), 0);
    minutes(&world, 600).await;
    assert_eq!((world.journal().len(), state(&world).await), (3, ("stopped".to_owned(), 3)));
    assert_eq!(world.notices("acme").await, ["recharge_stopped"]);
    assert_eq!((receipts(&world).await, available(&world).await), (0, 50));
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "a new card").await.unwrap();
    minutes(&world, 120).await;
    assert_eq!(world.journal().len(), 3, "a new card alone starts nothing");
    on(&world, "250.00").await.unwrap();
    minutes(&world, 10).await;
    assert_eq!((world.taken("acme"), available(&world).await), (1, 150));
    assert_eq!(state(&world).await, ("on".to_owned(), 0));
});

// A success between makes the failures forgotten; two more do not stop it.
both_engines!(only_failures_in_a_row_count, |world| {
    joined(&world, "declined").await;
    uses(&world, "1", "450").await;
    minutes(&world, 70).await;
    assert_eq!(state(&world).await.1, 2);
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "a new card").await.unwrap();
    minutes(&world, 65).await;
    assert_eq!((world.taken("acme"), state(&world).await), (1, ("on".to_owned(), 0)));
});

// Without a card nothing can be bought: it cannot be turned on, and one whose card is taken off later stops like one
// that is declined. No tick fails for it.
both_engines!(without_a_card_nothing_is_bought, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01")]).await;
    let refused = on(&world, "250.00").await.unwrap_err().to_string();
    assert!(refused.contains("has no stored payment method"), "{refused}");
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "a card").await.unwrap();
    on(&world, "250.00").await.unwrap();
    methods::remove(&world.app(), "acme", "pm_sandbox_ok", "gone").await.unwrap();
    uses(&world, "1", "450").await;
    for _ in 0..40 {
        world.pass(300);
        world.clean_tick().await;
    }
    assert_eq!((world.journal().len(), state(&world).await), (0, ("stopped".to_owned(), 3)));
    assert_eq!(world.notices("acme").await, ["recharge_stopped"]);
    assert_eq!(world.count("purchase").await, 0);
});

// What a person buys by hand and is declined is no failure of automatic purchases.
both_engines!(a_decline_of_a_purchase_by_hand_is_not_counted, |world| {
    joined(&world, "declined").await;
    let wanted = Wanted::Package("small".to_owned());
    for _ in 0..3 {
        requests::buy(&world.app(), "acme", &wanted).await.unwrap();
        world.pass(60);
    }
    assert_eq!(world.count("purchase WHERE state = 'declined'").await, 3);
    assert_eq!(state(&world).await, ("on".to_owned(), 0));
});

// One that is paused by hand or for an invoice could use none of it, and bought on.
both_engines!(who_is_paused_buys_nothing, |world| {
    joined(&world, "ok").await;
    admission::pause(&world.app(), "acme", "asked to").await.unwrap();
    uses(&world, "1", "450").await;
    minutes(&world, 120).await;
    assert_eq!(world.count("purchase").await, 0);
    admission::resume(&world.app(), "acme", "settled").await.unwrap();
    minutes(&world, 10).await;
    assert_eq!(world.count("purchase WHERE state = 'paid'").await, 1);
    let listed = recharges::list(&world.app()).await.unwrap().remove(0);
    assert_eq!(
        (listed.limit.to_string(), listed.spent.to_string()),
        ("250.00 USD".to_owned(), "120.00 USD".to_owned())
    );
});
