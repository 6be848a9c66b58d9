//! The database is lost and an older copy takes its place, by hand or because a standby lagged: the provider
//! still knows what it took.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::jobs::StepKind;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::services::purchases::Wanted;
use tokio_util::sync::CancellationToken;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

const HOW: [(&str, &str, usize); 4] = [
    ("ok", "paid", 1),
    ("timeout_after", "paid", 1),
    ("timeout_before", "paid", 1),
    ("declined", "declined", 0),
];

async fn everyone(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&HOW.map(|(how, ..)| Org::new(how, "standard", "2026-01-01").pays(how)))
        .await;
    world.set_clock("2026-01-20T09:00:00Z");
    let rows = HOW.map(|(how, ..)| ("1", how, "2026-01-19T09:00:00Z", "10"));
    world.accepted_usage(&events(&rows)).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

/// What a customer holds in the hand.
async fn documents(world: &World) -> Vec<Vec<String>> {
    let sql = "SELECT organization, number, CAST(total AS TEXT), payment_status FROM invoice ORDER BY number";
    world.table(sql).await
}

async fn once_each(world: &World) {
    for (how, status, times) in HOW {
        assert_eq!(world.taken(how), times, "{how}");
        assert_eq!(world.invoice(how).await.payment_status, status, "{how}");
    }
    let keys = world.table("SELECT key FROM charge").await.concat();
    assert!(world.journal().iter().all(|record| keys.contains(&record.key)), "C4: adopted again");
}

// F31, F71: the copy is older than the close. It is done again with the same numbers and keys, and what the
// provider took is found, not taken again.
both_engines!(a_copy_older_than_the_close_charges_nobody_twice, |world| {
    everyone(&world).await;
    world.keep_a_copy().await;
    world.tick(None).await.unwrap();
    let (before, taken) = (documents(&world).await, world.journal().len());
    once_each(&world).await;
    world.restore_the_copy().await;
    assert_eq!(world.count("invoice").await, 0);
    world.pass(7_200);
    world.tick(None).await.unwrap();
    assert_eq!(documents(&world).await, before);
    assert_eq!(world.journal().len(), taken, "no new key");
    once_each(&world).await;
});

// F31, F71: the copy was taken between the intents and the charges.
both_engines!(a_copy_with_open_intents_charges_nobody_twice, |world| {
    everyone(&world).await;
    let runner =
        Runner::new(world.app(), CancellationToken::new()).unwrap().up_to(StepKind::Render);
    runner.tick(None).await.unwrap();
    assert_eq!(world.count("charge WHERE state = 'intended'").await, 4);
    drop(runner);
    world.keep_a_copy().await;
    world.tick(None).await.unwrap();
    let before = documents(&world).await;
    world.restore_the_copy().await;
    assert_eq!(world.count("charge WHERE state = 'intended'").await, 4);
    world.pass(26 * 3_600);
    world.tick(None).await.unwrap();
    let after = documents(&world).await;
    // A day later the calendar has begun for the declined one: its word may differ, its money may not.
    let money =
        |rows: Vec<Vec<String>>| rows.into_iter().map(|row| row[..3].to_vec()).collect::<Vec<_>>();
    assert_eq!(money(after), money(before));
    for (how, _, times) in HOW {
        assert_eq!(world.taken(how), times, "{how}");
    }
});

// F71: a purchase that was paid after the copy. Asked for again it is a new purchase; the old money stays at the
// provider, under a key that only the provider knows, and nothing here pretends to have granted it.
both_engines!(a_purchase_after_the_copy_is_the_providers_to_tell, |world| {
    everyone(&world).await;
    world.set_clock("2026-01-25T09:00:00Z");
    world.keep_a_copy().await;
    requests::buy(&world.app(), "ok", &Wanted::Credits(whole(5))).await.unwrap();
    assert_eq!((world.taken("ok"), world.balance("ok").await.available), (1, whole(995)));
    world.restore_the_copy().await;
    assert_eq!((world.taken("ok"), world.balance("ok").await.available), (1, whole(990)));
    // The month goes on; it charges its own invoice, once.
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    assert_eq!((world.taken("ok"), world.invoice("ok").await.amount_due), (2, 4_900));
});
