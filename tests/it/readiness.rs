//! Before the 1st: whose payment method will not work, and how much money that is.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;

use monthend::jobs::requests;
use monthend::services::purchases::Wanted;
use monthend::services::{methods, readiness};

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

/// Trouble and amount by organization.
async fn risks(world: &World) -> BTreeMap<String, (&'static str, i64)> {
    let found = readiness::list(&world.app()).await.unwrap();
    let row = |risk: readiness::Risk| {
        (risk.organization, (readiness::word(risk.trouble), risk.expected.minor()))
    };
    found.into_iter().map(row).collect()
}

async fn told(world: &World, organization: &str) -> usize {
    let told = world.notices(organization).await;
    assert!(told.iter().all(|kind| kind == "payment_method"), "{told:?}");
    told.len()
}

async fn everyone(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |id: &str, plan: &str| Org::new(id, plan, "2026-01-01").with("tax_percent", "20");
    let contract = org("failed", "enterprise").with("allowance", "100");
    let rows = [
        org("removed", "standard").pays("ok"),
        org("expiring", "standard").pays("ok"),
        org("lasting", "standard").pays("ok"),
        contract.with("overage_price", "0.333").with("fee", "10.00").pays("declined"),
        org("stolen", "standard").pays("stolen"),
        org("never", "standard"),
        org("free", "starter").pays("ok"),
    ];
    world.organizations(&rows).await;
    world.set_clock("2026-01-05T09:00:00Z");
    for id in ["removed", "free"] {
        methods::remove(&world.app(), id, "pm_sandbox_ok", "asked to").await.unwrap();
    }
    for (id, last) in [("expiring", "2026-01"), ("lasting", "2026-02")] {
        let set =
            format!("UPDATE payment_method SET expires = '{last}' WHERE organization = '{id}'");
        assert_eq!(world.execute(&set).await.unwrap(), 1);
    }
    for id in ["failed", "stolen"] {
        requests::buy(&world.app(), id, &Wanted::Credits(whole(10))).await.unwrap();
    }
    world.accepted_usage(&events(&[("1", "failed", "2026-01-05T08:00:00Z", "257")])).await;
}

const AT_RISK: [(&str, &str); 4] =
    [("expiring", "expires"), ("failed", "failed"), ("removed", "missing"), ("stolen", "failed")];

// S31: told on the 20th and the 27th, once each; the amount is what the close then bills.
both_engines!(methods_that_will_fail_are_told_before_the_first, |world| {
    everyone(&world).await;
    for (now, letters) in [
        ("2026-01-20T08:55:00Z", 0),
        ("2026-01-20T09:00:00Z", 1),
        ("2026-01-20T09:05:00Z", 1),
        ("2026-01-21T12:00:00Z", 1),
        ("2026-01-27T09:00:00Z", 2),
        ("2026-01-27T18:00:00Z", 2),
        ("2026-01-31T23:00:00Z", 2),
    ] {
        world.set_clock(now);
        world.clean_tick().await;
        for (id, _) in AT_RISK {
            assert_eq!(told(&world, id).await, letters, "{id} at {now}");
        }
        for id in ["lasting", "never", "free"] {
            assert_eq!(told(&world, id).await, 0, "{id} at {now}");
        }
    }
    let expected = risks(&world).await;
    let words: Vec<_> = expected.iter().map(|(id, (word, _))| (id.as_str(), *word)).collect();
    assert_eq!(words, AT_RISK);
    // 49.00 and 20 %; 10.00 and 157 · 0.333 = 52.28, with tax 74.74.
    assert_eq!((expected["removed"].1, expected["failed"].1), (5_880, 7_474));
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    for (id, (_, amount)) in expected {
        assert_eq!(world.invoice(&id).await.amount_due, amount, "{id}");
    }
});

// Mended in time, nobody is told again.
both_engines!(who_saves_another_method_is_not_told_again, |world| {
    everyone(&world).await;
    world.set_clock("2026-01-20T09:00:00Z");
    world.clean_tick().await;
    for (id, _) in AT_RISK {
        methods::add(&world.app(), id, "pm_sandbox_timeout_after", true, "a new card")
            .await
            .unwrap();
    }
    assert_eq!(risks(&world).await.len(), 0);
    world.set_clock("2026-01-27T09:00:00Z");
    world.clean_tick().await;
    for (id, _) in AT_RISK {
        assert_eq!(told(&world, id).await, 1, "{id}");
    }
});

// Looked at two days late, it would come too late to help.
both_engines!(a_missed_look_is_not_made_up_for, |world| {
    everyone(&world).await;
    world.set_clock("2026-01-22T12:00:00Z");
    world.clean_tick().await;
    assert_eq!(told(&world, "removed").await, 0);
});
