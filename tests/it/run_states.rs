//! A run's state is what its steps say, whoever ended the last of them.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::payment::ChargeRequest;
use monthend::jobs::requests::{self, Rerun};

use crate::harness::scripted::{Answer, LookUps, Script, Scripted};
use crate::harness::{Org, both_engines, events};

const OPEN: &str = "run WHERE state = 'open'";

both_engines!(
    /// A rerun for somebody who has nothing to render left its run open for ever.
    a_rerun_that_finds_nothing_to_do_leaves_no_run_open,
    |world| {
        world.set_clock("2026-01-01T00:00:00Z");
        let free = Org::new("free", "starter", "2026-01-01");
        world.organizations(&[free, Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
        world.set_clock("2026-02-01T03:00:00Z");
        world.clean_tick().await;
        assert_eq!(world.count(OPEN).await, 0);
        let request = Rerun {
            job: "monthly_close",
            cycle: Some("2026-01".parse().unwrap()),
            organizations: &["free".to_owned()],
            reason: "test",
        };
        requests::rerun(&world.app(), &request).await.unwrap();
        assert_eq!(world.count(OPEN).await, 0);
        assert_eq!(world.count("run WHERE finished_at IS NULL").await, 0);
    }
);

both_engines!(
    /// A charge that finance closed by hand was the last step of its run, which stayed open for ever.
    a_charge_closed_by_hand_ends_its_run,
    |world| {
        world.set_clock("2026-01-01T00:00:00Z");
        world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
        let plot = |_: &ChargeRequest, _: usize| Script {
            answer: Answer::Expires(1_000),
            look_ups: LookUps::Truth,
            kills: false,
        };
        world.collect_by(Scripted::new(world.app().clock.clone(), plot)).await;
        world.accepted_usage(&events(&[("1", "acme", "2026-01-01T00:00:00Z", "5")])).await;
        world.set_clock("2026-02-01T03:00:00Z");
        world.tick(None).await.unwrap();
        assert_eq!(world.count("run WHERE job = 'monthly_close' AND state = 'open'").await, 1);
        let number = world.invoice("acme").await.number.unwrap();
        requests::void_charge(&world.app(), &number, "test").await.unwrap();
        world.pass(60);
        world.tick(None).await.unwrap();
        assert_eq!(world.count("run WHERE job = 'monthly_close' AND state = 'open'").await, 0);
    }
);
