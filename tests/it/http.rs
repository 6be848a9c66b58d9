//! The HTTP server: the same answer as the command line, to those who have a token.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::net::SocketAddr;
use std::sync::Arc;

use monthend::domain::grant::Source;
use monthend::http::{Doors, Tokens, bind, router, serve};
use monthend::services::{admission, credits};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::web::Client;
use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

const TOKEN: &str = "a-token-that-is-long-enough";
const OTHER: &str = "another-token-for-rotation";

/// A server on a deployment.
async fn listen(world: &World) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tokens = Tokens::new(&[TOKEN.to_owned(), OTHER.to_owned()]);
    let routes = router(Doors::new(world.app(), tokens, Vec::new()));
    (address, stop.clone(), tokio::spawn(serve(listener, routes, stop)))
}

fn path(id: &str) -> String {
    format!("/v1/organizations/{id}/authorization")
}

both_engines!(an_answer_has_its_shape, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01")]).await;
    let (address, stop, server) = listen(&world).await;
    let mut client = Client::new(address).await;
    let answer = client.get("/health", None).await;
    assert_eq!((answer.status, answer.body), (200, json!({"status": "ok"})));
    let answer = client.get(&path("acme"), Some(TOKEN)).await;
    assert!(answer.head.contains("cache-control: no-store"), "{answer:?}");
    let active = json!({"organization": "acme", "allowed": true, "state": "active", "reason": null,
        "available": "500", "as_of": "2026-01-10T09:00:00Z", "version": 0});
    assert_eq!((answer.status, answer.body), (200, active));
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T08:00:00Z", "600")])).await;
    let answer = client.get(&path("acme"), Some(OTHER)).await;
    let paused = json!({"organization": "acme", "allowed": false, "state": "paused",
        "reason": "out_of_credits", "available": "-100", "as_of": "2026-01-10T09:00:00Z", "version": 1});
    assert_eq!((answer.status, answer.body), (200, paused));
    stop.cancel();
    server.await.unwrap();
    assert!(client.answer().await.is_none(), "an idle connection is closed");
});

both_engines!(who_may_not_ask_learns_nothing, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01")]).await;
    let (address, _stop, _server) = listen(&world).await;
    let mut client = Client::new(address).await;
    for id in ["acme", "nobody"] {
        for token in [None, Some("wrong"), Some(""), Some("a-token-that-is-long-enougH")] {
            let answer = client.get(&path(id), token).await;
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
            assert_eq!(answer.body["error"]["code"], "unauthorized");
        }
    }
    let long = "a".repeat(4_000);
    for id in ["nobody", "..%2f..%2fetc", "%00", "%ff", "ACME", "acme'%20OR%201=1--", "~", &long] {
        let answer = client.get(&path(id), Some(TOKEN)).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (404, &json!("not_found")),
            "{id}"
        );
        assert!(!answer.body.to_string().contains("etc"), "{answer:?}");
    }
    for wrong in ["/", "/v1/organizations/acme/authorization/x", "/v1//authorization", "/../health"]
    {
        let answer = client.get(wrong, Some(TOKEN)).await;
        assert_eq!(
            (answer.status, &answer.body["error"]["code"]),
            (404, &json!("not_found")),
            "{wrong}"
        );
    }
    client.say("DELETE /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 405);
    // Headers without end close the connection, and no other one.
    let mut rude = Client::new(address).await;
    rude.say(&format!("GET /health HTTP/1.1\r\nx: {}\r\n", "y".repeat(200_000))).await;
    assert!(rude.answer().await.is_none_or(|answer| answer.status == 431));
    assert_eq!(client.get("/health", None).await.status, 200);
});

/// The next of a row of numbers that only looks random.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % sides
}

// Whatever happened, the endpoint, `credits balance` and `org list` say the same.
both_engines!(it_says_the_same_as_the_command_line, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    let plans = ["starter", "standard", "professional", "starter"];
    let ids = ["acme", "bolt", "cora", "dime"];
    let zones = ["UTC", "Asia/Tokyo", "America/New_York", "Europe/Berlin"];
    let rows: Vec<Org> =
        (0..4).map(|i| Org::new(ids[i], plans[i], "2026-01-01").with("zone", zones[i])).collect();
    world.organizations(&rows).await;
    let app = world.app();
    let (address, _stop, _server) = listen(&world).await;
    let mut client = Client::new(address).await;
    let mut state = 20_260_110;
    let (mut paused, mut active) = (0, 0);
    for situation in 0..200 {
        let id = ids[usize::try_from(roll(&mut state, 4)).unwrap()];
        match roll(&mut state, 10) {
            0..=3 => {
                let (event, now) = (format!("e{situation}"), app.clock.now().to_rfc3339());
                let much = (1 + roll(&mut state, 700)).to_string();
                world.accepted_usage(&events(&[(&event, id, &now, &much)])).await;
            }
            4 => drop(credits::grant(&app, id, whole(50), Source::Promotional, "x").await.unwrap()),
            5 => drop(admission::pause(&app, id, "x").await),
            6 => drop(admission::resume(&app, id, "x").await),
            7 => drop(world.tick(Some(9)).await.unwrap()),
            _ => world.pass(i64::try_from(roll(&mut state, 10 * 24 * 3_600)).unwrap()),
        }
        let all = admission::of_all(&app).await.unwrap();
        for id in ids {
            let answer = client.get(&path(id), Some(TOKEN)).await.body;
            let balance = world.balance(id).await;
            let said = json!({"reason": balance.reason, "available": balance.available});
            assert_eq!(answer["reason"], said["reason"], "{situation} {id}");
            assert_eq!(answer["available"], said["available"], "{situation} {id}");
            assert_eq!(answer["allowed"], json!(balance.reason.is_none()));
            let listed = (all[id].reason, all[id].available);
            assert_eq!(listed, (balance.reason, balance.available), "{situation} {id}");
            if balance.reason.is_some() { paused += 1 } else { active += 1 }
        }
    }
    assert!(paused > 50 && active > 50, "{paused} paused, {active} active");
});

// Many at once are answered or asked to come back; the runner goes on meanwhile.
both_engines!(a_crowd_does_not_stop_the_runner, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    let (address, _stop, _server) = listen(&world).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::new(address).await;
                let mut statuses = Vec::new();
                for _ in 0..10 {
                    statuses.push(client.get(&path("acme"), Some(TOKEN)).await.status);
                }
                statuses
            })
        })
        .collect();
    world.clean_tick().await;
    for client in crowd {
        let statuses = client.await.unwrap();
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    }
    assert_eq!(world.invoice("acme").await.payment_status, "paid");
    let _: Arc<_> = world.app();
});
