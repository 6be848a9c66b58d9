//! Who may work: paused when the credits are gone, going on when there are some again, told each time once.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::admission::Reason;
use monthend::domain::grant::Source;
use monthend::jobs::runner::Runner;
use monthend::jobs::{StepKind, requests};
use monthend::services::purchases::Wanted;
use monthend::services::{admission, credits};
use monthend::storage::admission::Who;
use tokio_util::sync::CancellationToken;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

async fn reason(world: &World, id: &str) -> Option<Reason> {
    let standing = admission::of(&world.app(), id).await.unwrap();
    assert_eq!(standing.reason, world.balance(id).await.reason, "one rule");
    let all = admission::of_all(&world.app()).await.unwrap();
    assert_eq!(all[id], standing, "one rule");
    standing.reason
}

/// Versions and words told of an organization, in order.
async fn told(world: &World, id: &str) -> Vec<String> {
    let sql = format!(
        "SELECT kind || ' ' || key FROM notice WHERE organization = '{id}' AND key LIKE 'admission-%' ORDER BY key"
    );
    world.table(&sql).await.into_iter().flatten().collect()
}

const PAUSED: &str = "paused admission-1";
const RESUMED: &str = "resumed admission-2";

// S49, S50: the last credit pauses, a purchase lets it go on; each is told once.
both_engines!(out_of_credits_and_a_purchase, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01").pays("ok")]).await;
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T08:00:00Z", "499")])).await;
    assert_eq!((reason(&world, "acme").await, told(&world, "acme").await.len()), (None, 0));
    world.accepted_usage(&events(&[("2", "acme", "2026-01-10T08:30:00Z", "1")])).await;
    assert_eq!(reason(&world, "acme").await, Some(Reason::OutOfCredits));
    assert_eq!(told(&world, "acme").await, [PAUSED]);
    world.clean_tick().await;
    assert_eq!(world.count("notice WHERE kind = 'paused'").await, 1);
    assert_eq!(world.count("mail WHERE state <> 'sent'").await, 0);
    let again = world.clean_tick().await;
    assert_eq!((again.runs.len(), told(&world, "acme").await.len()), (0, 1));
    requests::buy(&world.app(), "acme", &Wanted::Credits(whole(10))).await.unwrap();
    assert_eq!(reason(&world, "acme").await, None);
    assert_eq!(told(&world, "acme").await, [PAUSED, RESUMED]);
    world.clean_tick().await;
    assert_eq!(world.mails("acme").await, ["notice", "notice", "notice", "receipt"]);
});

// S50: the next month's allowance resumes with the close; one who still owes stays paused, told once.
both_engines!(the_close_resumes, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let rows = ["acme", "bolt"].map(|id| Org::new(id, "standard", "2026-01-01"));
    world.organizations(&rows).await;
    let used = [
        ("1", "acme", "2026-01-10T08:00:00Z", "1100"),
        ("2", "bolt", "2026-01-10T08:00:00Z", "5000"),
    ];
    world.accepted_usage(&events(&used)).await;
    assert_eq!((told(&world, "acme").await.len(), told(&world, "bolt").await.len()), (1, 1));
    world.set_clock("2026-02-01T02:00:00Z");
    let close = Runner::new(world.app(), CancellationToken::new()).unwrap().up_to(StepKind::Close);
    close.tick(None).await.unwrap();
    assert_eq!(told(&world, "acme").await, [PAUSED, RESUMED]);
    world.clean_tick().await;
    assert_eq!((reason(&world, "acme").await, told(&world, "acme").await.len()), (None, 2));
    assert_eq!(reason(&world, "bolt").await, Some(Reason::OutOfCredits));
    assert_eq!(told(&world, "bolt").await, [PAUSED]);
});

// Within the grace January is not closed; the watch sees February's allowance, and the close tells nothing more.
both_engines!(the_watch_sees_through_the_end_of_a_month, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T08:00:00Z", "1100")])).await;
    world.clean_tick().await;
    world.set_clock("2026-02-01T00:30:00Z");
    assert_eq!(reason(&world, "acme").await, None);
    world.clean_tick().await;
    assert_eq!(told(&world, "acme").await, [PAUSED, RESUMED]);
    // Used up before January is closed: the import leaves it to the watch.
    world.accepted_usage(&events(&[("2", "acme", "2026-02-01T00:20:00Z", "900")])).await;
    assert_eq!(reason(&world, "acme").await, Some(Reason::OutOfCredits));
    world.pass(300);
    world.clean_tick().await;
    assert_eq!(told(&world, "acme").await.len(), 3);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!((told(&world, "acme").await.len(), world.count("admission").await), (3, 1));
    assert_eq!(world.balance("acme").await.available, whole(0));
});

// S34, S49: whose overage is billed is never paused by use.
both_engines!(overage_never_pauses, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let acme = Org::new("acme", "standard", "2026-01-01").with("overage_price", "0.02");
    world.organizations(&[acme]).await;
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T08:00:00Z", "5000")])).await;
    assert_eq!(reason(&world, "acme").await, None);
    world.clean_tick().await;
    for at in ["2026-02-01T00:30:00Z", "2026-02-01T02:00:00Z"] {
        world.set_clock(at);
        world.clean_tick().await;
        assert_eq!(reason(&world, "acme").await, None);
    }
    assert_eq!(world.count("admission").await, 0);
});

// A person's word and an unpaid invoice pause whatever credits there are; credits do not lift them.
both_engines!(by_hand_and_unpaid, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01")]).await;
    let app = world.app();
    admission::pause(&app, "acme", "suspected fraud").await.unwrap();
    assert_eq!(reason(&world, "acme").await, Some(Reason::ByHand));
    assert!(admission::pause(&app, "acme", "again").await.is_err());
    credits::grant(&app, "acme", whole(5), Source::Promotional, "sorry").await.unwrap();
    assert_eq!(told(&world, "acme").await, [PAUSED]);
    let now = app.clock.now();
    let mut tx = app.db.write().await.unwrap();
    assert!(admission::set_unpaid(&app, &mut tx, "acme", true, now).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(reason(&world, "acme").await, Some(Reason::ByHand));
    let resumed = admission::resume(&app, "acme", "cleared").await.unwrap();
    assert_eq!(
        (resumed.reason, told(&world, "acme").await),
        (None, vec![PAUSED.to_owned(), RESUMED.to_owned()])
    );
    let mut tx = app.db.write().await.unwrap();
    for unpaid in [true, true, false] {
        admission::set_unpaid(&app, &mut tx, "acme", unpaid, now).await.unwrap();
    }
    tx.commit().await.unwrap();
    let last = ["paused admission-3", "resumed admission-4"];
    assert_eq!(told(&world, "acme").await[2..], last);
    assert!(admission::resume(&app, "acme", "again").await.is_err());
    assert!(admission::resume(&app, "nobody", "x").await.is_err());
    world.clean_tick().await;
    let audited =
        world.table("SELECT command FROM audit WHERE command LIKE 'org %' ORDER BY seq").await;
    assert_eq!(audited.concat(), ["org pause acme", "org resume acme (unpaid)"]);
});

// What changed behind the product's back is found by the watch; a reason that changes is told as well.
both_engines!(the_watch_finds_the_rest, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let rows = ["acme", "bolt", "cora"].map(|id| Org::new(id, "starter", "2026-01-01"));
    world.organizations(&rows).await;
    world.execute("UPDATE organization SET unpaid = TRUE WHERE id = 'bolt'").await.unwrap();
    world.clean_tick().await;
    assert_eq!(told(&world, "bolt").await, [PAUSED]);
    world.execute("UPDATE organization SET state = 'paused' WHERE id = 'bolt'").await.unwrap();
    world.pass(300);
    let report = world.clean_tick().await;
    assert_eq!(told(&world, "bolt").await, [PAUSED, "paused admission-2"]);
    let jobs: Vec<&str> = report.runs.iter().map(|run| run.run.job.as_str()).collect();
    assert_eq!((jobs, world.count("admission").await), (vec!["admission"], 1));
    let app = world.app();
    let mut tx = app.db.read().await.unwrap();
    let left = admission::differing(&mut tx, Who::ALL, app.clock.now()).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
});
