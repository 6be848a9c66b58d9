//! The timer and a person at the same moment, again and again: one set of facts.
//!
//! `MONTHEND_RERUN_PAIRS=500` asks for more pairs than the twelve of an ordinary run.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use monthend::app::App;
use monthend::jobs::requests::{Rerun, rerun};
use monthend::jobs::runner::Runner;
use tokio_util::sync::CancellationToken;

use crate::harness::world::cycle;
use crate::harness::{Org, both_engines};

// F20: each pair fires in the instant a month is due; in the next the same month is run again by both.
both_engines!(a_tick_and_a_rerun_at_once_make_one_month, |world| {
    let asked = std::env::var("MONTHEND_RERUN_PAIRS").ok();
    let pairs: i32 = asked.map_or(12, |text| text.parse().unwrap());
    world.set_clock("2026-01-01T09:00:00Z");
    let ids = ["acme", "globex", "initech"];
    world.organizations(&ids.map(|id| Org::new(id, "standard", "2026-01-01").pays("ok"))).await;
    let other = world.another_app().await;
    let mut months = 0;
    for pair in 0..pairs {
        months += 1 - pair % 2;
        let month = cycle("2026-01").plus(months - 1);
        if pair % 2 == 0 {
            world.set_clock(&format!("{}T02:00:00Z", month.next().first_day()));
        } else {
            world.pass(120);
        }
        let runner = Runner::new(world.app(), CancellationToken::new()).unwrap();
        let timer = tokio::spawn(async move { runner.tick(None).await.unwrap() });
        let app: Arc<App> = other.clone();
        let person = tokio::spawn(async move {
            let request = Rerun {
                job: "monthly_close",
                cycle: Some(month),
                organizations: &[],
                reason: "at once",
            };
            rerun(&app, &request).await.unwrap()
        });
        let (timer, person) = (timer.await.unwrap(), person.await.unwrap());
        assert!(timer.held.is_empty() && person.held.is_empty(), "pair {pair}");
        world.tick(None).await.unwrap();
        let (all, billed) = (usize::try_from(months).unwrap(), 3 * i64::from(months));
        for (what, expected) in [
            ("step WHERE state <> 'done'", 0),
            ("run WHERE job = 'monthly_close'", i64::from(months)),
            ("invoice WHERE payment_status = 'paid'", billed),
            ("charge", billed),
            ("mail WHERE kind = 'receipt' AND state = 'sent'", billed),
        ] {
            assert_eq!(world.count(what).await, expected, "pair {pair}: {what}");
        }
        for id in ids {
            assert_eq!(
                (world.taken(id), world.invoices(id).await.len()),
                (all, all),
                "pair {pair}"
            );
        }
    }
    assert_eq!(world.count("audit WHERE reason = 'at once'").await, i64::from(pairs));
    other.db.close().await;
});
