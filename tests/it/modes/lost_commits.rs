//! The connection is lost at a commit: nobody here knows whether it happened.
//!
//! `MONTHEND_LOST_COMMITS=20` breaks the line at each of the first twenty commits of a month, not only six.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use monthend::app::{App, open_database};
use monthend::jobs::runner::Runner;
use tokio_util::sync::CancellationToken;

use super::cutter::Cutter;
use crate::harness::world::cycle;
use crate::harness::{Engine, Org, World, run};

/// Commits of a month at which the line breaks, each before and after the server has heard of it.
const COMMITS: usize = 6;

/// Wakes the program until everything is done.
async fn come_to_rest(world: &World, app: &Arc<App>) {
    let mut told = String::new();
    for _ in 0..8 {
        let runner = Runner::new(app.clone(), CancellationToken::new()).unwrap();
        match runner.tick(None).await {
            Ok(report) if report.is_clean() => return,
            ended => told = format!("{ended:?}"),
        }
        world.pass(app.lease().num_seconds() + 1);
    }
    assert_eq!(told, "", "the work does not come to an end");
}

// F30: at the n-th commit of a month the connection breaks, before or after the server did it. What is claimed
// again meets the facts that are there; nothing is done twice, nothing is missing, nothing waits for a person.
#[test]
fn a_connection_lost_at_any_commit_loses_and_doubles_nothing() {
    run(Engine::Postgres, |world| async move {
        world.set_clock("2026-01-01T09:00:00Z");
        world
            .organizations(&[
                Org::new("acme", "professional", "2026-01-01").pays("ok"),
                Org::new("globex", "standard", "2026-01-01").pays("timeout_after"),
            ])
            .await;
        let cutter = Arc::new(Cutter::default());
        let address = cutter.listen(&world.options().database.unwrap()).await;
        let db = open_database(&address).await.unwrap();
        let config = world.app().config.clone();
        let app = Arc::new(App::with_database(world.options(), config, db).await.unwrap());
        let mut months = 0;
        let asked = std::env::var("MONTHEND_LOST_COMMITS").ok();
        for nth in 1..=asked.map_or(COMMITS, |text| text.parse().unwrap()) {
            for after in [false, true] {
                months += 1;
                let ends = cycle("2026-01").plus(months).first_day();
                world.set_clock(&format!("{ends}T02:00:00Z"));
                cutter.arm(nth, after);
                come_to_rest(&world, &app).await;
                let parked = world.parked().await;
                assert!(parked.is_empty(), "commit {nth}, after {after}: {parked:?}");
            }
        }
        let all = usize::try_from(months).unwrap();
        assert_eq!(cutter.cuts(), all, "every cut was made");
        for id in ["acme", "globex"] {
            assert_eq!((world.invoices(id).await.len(), world.taken(id)), (all, all), "{id}");
            let mails = world.mails(id).await;
            let of = |kind: &str| mails.iter().filter(|mail| *mail == kind).count();
            assert_eq!((of("invoice"), of("receipt")), (all, all), "{id}");
        }
        let numbers =
            world.table("SELECT number FROM invoice ORDER BY series, series_number").await.concat();
        for series in ["INV-2026", "INV-2027", "INV-2028"] {
            let mine: Vec<_> = numbers.iter().filter(|number| number.starts_with(series)).collect();
            let gapless: Vec<String> =
                (1..=mine.len()).map(|n| format!("{series}-{n:06}")).collect();
            assert!(mine.iter().eq(&gapless.iter().collect::<Vec<_>>()), "{mine:?}");
        }
        app.db.close().await;
    });
}
