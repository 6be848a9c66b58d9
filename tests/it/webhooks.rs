//! Webhooks: signed, sent at least once under one id, and nobody waits for an endpoint that is down.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::files::write_durably;
use monthend::services::{admission, webhooks};
use serde_json::json;

use crate::harness::web::{Receiver, SECRET, whsec};
use crate::harness::{Org, World, both_engines, events};

/// Endpoints of a deployment: name, address, further lines.
async fn endpoints(world: &World, all: &[(&str, &str, &str)]) {
    let mut text = String::new();
    for (name, url, more) in all {
        write_durably(&world.home().join(name), whsec(SECRET).as_bytes()).unwrap();
        text += &format!(
            "[[webhooks]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"{name}\"\n{more}\n"
        );
    }
    world.restart(&[("[runner]", &format!("{text}\n[runner]"))]).await;
}

async fn run_out(world: &World, id: &str) {
    world.organizations(&[Org::new(id, "standard", "2026-01-01")]).await;
    let at = "2026-01-10T08:00:00Z";
    world.accepted_usage(&events(&[(id, id, at, "1000")])).await;
}

/// State and attempts of every webhook.
async fn listed(world: &World) -> Vec<(String, String, i64)> {
    let all = webhooks::list(&world.app(), None).await.unwrap();
    all.into_iter().map(|row| (row.endpoint, row.state, row.attempts)).collect()
}

// S49, S50: what is told, how it is signed, in which order.
both_engines!(each_change_arrives_once_and_signed, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let receiver = Receiver::new().await;
    endpoints(&world, &[("product", &receiver.url, "")]).await;
    run_out(&world, "acme").await;
    world.clean_tick().await;
    let got = receiver.take();
    assert_eq!(got.len(), 1);
    assert!(got[0].is_signed_with(SECRET) && !got[0].is_signed_with([0; 32]));
    assert_eq!(got[0].headers["webhook-timestamp"], "1768035600");
    assert_eq!(
        got[0].json(),
        json!({"type": "organization.paused", "timestamp": "2026-01-10T09:00:00Z",
            "data": {"organization": "acme", "state": "paused", "reason": "out_of_credits",
                "version": 1, "available": "0"}})
    );
    world.pass(300);
    world.clean_tick().await;
    assert_eq!(receiver.take().len(), 0);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let got = receiver.take();
    let data = got[0].json()["data"].clone();
    assert_eq!((got.len(), &data["state"], &data["reason"]), (1, &json!("active"), &json!(null)));
    assert_eq!((&data["version"], &data["available"]), (&json!(2), &json!("1000")));
    assert_eq!(webhooks::test(&world.app()).await.unwrap(), [("product".to_owned(), None)]);
    assert_eq!(receiver.take()[0].json()["type"], "webhook.test");
});

// F73: one endpoint is down; mails and the other endpoint do not wait, and it gets the same id later.
both_engines!(an_endpoint_that_is_down_gets_it_later, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let (down, up) = (Receiver::new().await, Receiver::new().await);
    endpoints(&world, &[("down", &down.url, ""), ("up", &up.url, "")]).await;
    down.answers(503);
    run_out(&world, "acme").await;
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!((up.take().len(), world.count("mail WHERE state <> 'sent'").await), (1, 0));
    let first = down.take();
    assert_eq!(first.len(), 1);
    // A moment later it is left alone; then it is tried again.
    down.answers(200);
    world.pass(60);
    world.clean_tick().await;
    let second = down.take();
    assert_eq!((second.len(), second[0].id()), (1, first[0].id()));
    assert_eq!(second[0].body, first[0].body);
    assert!(second[0].is_signed_with(SECRET));
    assert_ne!(second[0].headers["webhook-timestamp"], first[0].headers["webhook-timestamp"]);
    let states = listed(&world).await;
    assert!(states.iter().all(|(_, state, _)| state == "sent"), "{states:?}");
});

// 410 is final; what is refused is offered a few times; a redirect is not followed; each waits for a person.
both_engines!(what_nobody_wants_waits_for_a_person, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let (gone, refuses, moved) =
        (Receiver::new().await, Receiver::new().await, Receiver::new().await);
    let all =
        [("gone", gone.url.as_str(), ""), ("refuses", &refuses.url, ""), ("moved", &moved.url, "")];
    endpoints(&world, &all).await;
    gone.answers(410);
    refuses.answers(400);
    moved.answers(307);
    run_out(&world, "acme").await;
    for _ in 0..6 {
        world.tick(None).await.unwrap();
        world.pass(600);
    }
    assert_eq!((gone.take().len(), refuses.take().len(), moved.take().len()), (1, 4, 4));
    let mut states = listed(&world).await;
    states.sort();
    let parked = |name: &str, attempts| (name.to_owned(), "parked".to_owned(), attempts);
    assert_eq!(states, [parked("gone", 1), parked("moved", 4), parked("refuses", 4)]);
    let why: Vec<String> = world.parked().await.into_iter().filter_map(|step| step.error).collect();
    assert!(
        why.iter().all(|why| why.starts_with("endpoint ") && !why.contains("canary")),
        "{why:?}"
    );
    // The person mends it and lets it go again.
    for receiver in [&gone, &refuses, &moved] {
        receiver.answers(200);
    }
    let run = world.parked().await[0].run_id.clone();
    world.retry(&run, None).await;
    assert!(listed(&world).await.iter().all(|(_, state, _)| state == "sent"));
});

// While a secret is replaced both sign: a receiver with either accepts.
both_engines!(secrets_are_replaced_without_a_gap, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let receiver = Receiver::new().await;
    endpoints(&world, &[("product", &receiver.url, "events = [\"organization.paused\"]")]).await;
    let next = *b"the-next-secret-it-is-32-bytes-!";
    let both = format!("{}\n{}\n", whsec(next), whsec(SECRET));
    write_durably(&world.home().join("product"), both.as_bytes()).unwrap();
    world.restart(&[]).await;
    run_out(&world, "acme").await;
    world.clean_tick().await;
    let got = receiver.take();
    assert!(got[0].is_signed_with(SECRET) && got[0].is_signed_with(next));
    // Only what it asked for is made for it.
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!((receiver.take().len(), world.count("webhook").await), (0, 1));
    assert_eq!(world.count("admission WHERE version = 2").await, 1);
});

// An endpoint that left the configuration is not forgotten silently.
both_engines!(an_endpoint_that_left_parks, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let receiver = Receiver::new().await;
    endpoints(&world, &[("product", &receiver.url, "")]).await;
    run_out(&world, "acme").await;
    world.restart(&[("name = \"product\"", "name = \"other\"")]).await;
    world.tick(None).await.unwrap();
    assert_eq!(listed(&world).await, [("product".to_owned(), "parked".to_owned(), 1)]);
    world.execute("UPDATE webhook SET payload = 'x'").await.unwrap_err();
    world.execute("DELETE FROM webhook").await.unwrap_err();
    let again = admission::of(&world.app(), "acme").await.unwrap();
    assert_eq!(again.version, 1);
});
