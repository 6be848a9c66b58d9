//! A whole day without the payment provider, from the 1st on.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use crate::harness::provider::{Flaky, Line};
use crate::harness::{Org, World, both_engines};

const ALL: usize = 200;
/// Minutes after the close at which the program is woken while the provider is dead: often at first, then
/// hourly.
const WAKES: [i64; 5] = [0, 1, 5, 15, 30];
/// Most questions in one tick: what is under way at once, and as many that began before the first answer
/// failed to come.
const MOST_ASKED: usize = 24;

async fn everyone(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |n| Org::new(&format!("o{n:03}"), "standard", "2026-01-01").pays("ok");
    world.organizations(&(0..ALL).map(org).collect::<Vec<_>>()).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

async fn paid(world: &World) -> i64 {
    world.count("invoice WHERE payment_status = 'paid'").await
}

// F73: the night goes on without it; when it is back, everything is charged, once, and not in one second.
both_engines!(a_day_without_the_provider, |world| {
    everyone(&world).await;
    let provider = Flaky::new(world.home(), Line::Down);
    world.collect_by(provider.clone()).await;
    let (mut minute, mut asked) = (0, 0);
    let hours = (1..=24).map(|hour| hour * 60);
    for wake in WAKES.into_iter().chain(hours) {
        world.pass((wake - minute) * 60);
        minute = wake;
        assert!(!world.tick(None).await.unwrap().is_clean(), "minute {minute}");
        let now = provider.asked() - asked;
        assert!(now <= MOST_ASKED, "{now} questions in minute {minute}");
        asked += now;
        if minute == 0 {
            // Documents and mails do not wait for it.
            assert_eq!(world.count("artifact WHERE kind = 'pdf'").await, 200);
            assert_eq!(world.count("mail WHERE kind = 'invoice' AND state = 'sent'").await, 200);
        }
    }
    assert_eq!((provider.sent(), paid(&world).await), (0, 0));
    // Nobody needs to look at anything, and nobody was told a card was declined.
    assert_eq!(world.parked().await.len(), 0);
    assert_eq!(world.count("mail WHERE kind <> 'invoice'").await, 0);
    assert_eq!(world.count("dunning").await, 0);
    world.verify_ok().await;
    provider.set(Line::Works);
    let mut most = 0;
    for _ in 0..200 {
        world.pass(20);
        let before = provider.sent();
        world.tick(None).await.unwrap();
        most = most.max(provider.sent() - before);
        if paid(&world).await == 200 {
            break;
        }
    }
    assert!(most <= ALL / 2, "{most} sends within 20 seconds");
    assert_eq!((provider.sent(), paid(&world).await), (ALL, 200));
    assert!((0..ALL).all(|n| world.taken(&format!("o{n:03}")) == 1));
    assert!(world.tick(None).await.unwrap().is_clean());
    assert_eq!(world.count("mail WHERE kind = 'receipt' AND state = 'sent'").await, 200);
    assert_eq!(world.count("mail").await, 400);
});
