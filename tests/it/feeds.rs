//! A source that always had use and is silent for a day: nobody it serves is closed on that silence.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use chrono::{Datelike, NaiveDate, Weekday};
use monthend::jobs::report::Held;
use monthend::jobs::requests::{self, Rerun};
use monthend::services::feeds;

use crate::harness::world::{cycle, whole};
use crate::harness::{Org, World, both_engines};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// So few events a weekday are enough in these tests.
async fn small_feeds(world: &World) {
    let edit = ("# [brakes]\n", "[brakes]\nfeed_min_events = 2\n");
    world.restart(&[edit]).await;
}

/// Two events of one credit each, on each of these days, for each of these organizations.
async fn use_of(world: &World, source: &str, ids: &[&str], days: impl Iterator<Item = NaiveDate>) {
    let mut text = "id,organization,at,meter,executions,source\n".to_owned();
    for day in days {
        for id in ids {
            for hour in ["09", "23"] {
                text += &format!("{id}-{day}-{hour},{id},{day}T{hour}:30:00Z,prompt,1,{source}\n");
            }
        }
    }
    world.accepted_usage(&text).await;
}

/// January and February, day by day.
fn days() -> impl Iterator<Item = NaiveDate> {
    day("2026-01-01").iter_days().take(59)
}

/// acme and bolt are served by "app", cora by "batch"; dora uses nothing. January is closed, February is over.
async fn two_months(world: &World, app_comes: impl Fn(NaiveDate) -> bool) {
    two_months_of(world, |source, day| source != "app" || app_comes(day)).await;
}

/// The same, with days on which a source is silent.
async fn two_months_of(world: &World, comes: impl Fn(&str, NaiveDate) -> bool) {
    small_feeds(world).await;
    world.set_clock("2026-01-01T00:00:00Z");
    let rows = ["acme", "bolt", "cora", "dora"].map(|id| Org::new(id, "standard", "2026-01-01"));
    world.organizations(&rows).await;
    for (now, from, to) in [
        ("2026-02-01T02:00:00Z", day("2026-01-01"), day("2026-01-31")),
        ("2026-03-01T02:00:00Z", day("2026-02-01"), day("2026-02-28")),
    ] {
        world.set_clock(now);
        let month = || days().filter(|day| (from..=to).contains(day));
        for (source, ids) in [("app", &["acme", "bolt"][..]), ("batch", &["cora"])] {
            use_of(world, source, ids, month().filter(|day| comes(source, *day))).await;
        }
        if to == day("2026-01-31") {
            world.clean_tick().await;
        }
    }
}

async fn closed(world: &World, of: &str) -> Vec<String> {
    let sql = format!(
        "SELECT organization FROM billing_cycle WHERE cycle = '{of}' AND state = 'closed' ORDER BY organization"
    );
    world.table(&sql).await.concat()
}

/// Organizations that wait, with the sources and days they wait for.
type Waiting = (Vec<String>, Vec<(String, Vec<NaiveDate>)>);

/// Those who wait for feeds.
fn waiting(held: &[Held]) -> Vec<Waiting> {
    held.iter()
        .map(|held| {
            let feeds = held.feeds.iter().map(|feed| (feed.source.clone(), feed.days.clone()));
            (held.names.clone(), feeds.collect())
        })
        .collect()
}

const SILENT: &str = "2026-02-24";

fn on_the_silent_day(from: &str) -> Vec<Waiting> {
    let names = vec!["acme".to_owned(), "bolt".to_owned()];
    vec![(names, vec![(from.to_owned(), vec![day(SILENT)])])]
}

// L24: a step does all that its range holds, and this one stood between two that were closed.
both_engines!(one_that_waits_between_others_is_left_alone, |world| {
    two_months_of(&world, |source, day| source != "batch" || day != self::day(SILENT)).await;
    let report = world.tick(None).await.unwrap();
    let cora = (vec!["cora".to_owned()], vec![("batch".to_owned(), vec![day(SILENT)])]);
    assert_eq!(waiting(&report.held), [cora]);
    assert_eq!(closed(&world, "2026-02").await, ["acme", "bolt", "dora"]);
    assert_eq!(world.count("invoice WHERE organization = 'cora' AND cycle = '2026-02'").await, 0);
    use_of(&world, "batch", &["cora"], [day(SILENT)].into_iter()).await;
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-02").await, ["acme", "bolt", "cora", "dora"]);
});

// L24: those the source serves wait, with all their credits; the others are closed. The day's use lets them go.
both_engines!(a_silent_day_holds_those_it_serves_until_it_arrives, |world| {
    two_months(&world, |day| day != self::day(SILENT)).await;
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!(waiting(&report.held), on_the_silent_day("app"));
    let reason = report.held[0].reason();
    for part in
        ["\"app\"", "Tuesday 2026-02-24", "monthend feed confirm app --day 2026-02-24 --reason"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert_eq!(closed(&world, "2026-02").await, ["cora", "dora"]);
    // Nothing expired, nothing was granted: February's credits of acme are still there.
    assert_eq!(world.count("credit_grant WHERE organization = 'acme'").await, 2);
    // Finance's rerun and a new process do not slip past.
    world.restart(&[]).await;
    let again = Rerun {
        job: "monthly_close",
        cycle: Some(cycle("2026-02")),
        organizations: &["acme".to_owned()],
        reason: "again",
    };
    let rerun = requests::rerun(&world.app(), &again).await.unwrap();
    assert!(!rerun.is_clean() && rerun.held[0].names == ["acme"], "{rerun:?}");
    assert_eq!(waiting(&world.tick(None).await.unwrap().held), on_the_silent_day("app"));
    world.verify_ok().await;

    use_of(&world, "app", &["acme"], std::iter::once(day(SILENT))).await;
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-02").await.len(), 4);
    // What arrived was billed in its own month.
    assert_eq!(world.statement("acme", "2026-02").await.used, whole(56));
});

// L24: a person may say that there was no use; use that comes after all is the next month's (D7).
both_engines!(a_confirmed_silence_closes, |world| {
    two_months(&world, |day| day != self::day(SILENT)).await;
    world.tick(None).await.unwrap();
    let app = world.app();
    for (source, silent) in [("nobody", SILENT), ("app", "2026-02-23"), ("app", "2026-03-01")] {
        assert!(feeds::confirm(&app, source, day(silent), "x").await.is_err(), "{source} {silent}");
    }
    feeds::confirm(&app, "app", day(SILENT), "a public holiday").await.unwrap();
    assert!(feeds::confirm(&app, "app", day(SILENT), "twice").await.is_err());
    let audited =
        world.table("SELECT command, reason FROM audit WHERE command LIKE 'feed %'").await;
    assert_eq!(audited, [["feed confirm \"app\" --day 2026-02-24", "a public holiday"]]);
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-02").await.len(), 4);
    use_of(&world, "app", &["acme"], std::iter::once(day(SILENT))).await;
    assert_eq!(world.statement("acme", "2026-02").await.used, whole(54));
    let late = "usage_event WHERE cycle = '2026-02' AND billed_cycle = '2026-03'";
    assert_eq!(world.count(late).await, 2);
});

// L24: the last day of the month is a day like any other.
both_engines!(the_last_day_of_the_month, |world| {
    two_months(&world, |day| day != self::day("2026-02-28")).await;
    let report = world.tick(None).await.unwrap();
    assert_eq!(report.held[0].feeds[0].days, [day("2026-02-28")]);
    assert_eq!(closed(&world, "2026-02").await, ["cora", "dora"]);
});

// L24: weekends off are no loss, and one organization that uses nothing any more is not the feed's silence.
both_engines!(weekends_off_and_customers_who_stop, |world| {
    let works = |day: NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun);
    two_months(&world, works).await;
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-02").await.len(), 4);
    // In March bolt is gone; acme goes on.
    world.set_clock("2026-04-01T02:00:00Z");
    let march = || day("2026-03-01").iter_days().take(31);
    use_of(&world, "app", &["acme"], march().filter(|day| works(*day))).await;
    use_of(&world, "batch", &["cora"], march()).await;
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-03").await.len(), 4);
});

// L24: switched off, a silence is read as none.
both_engines!(feeds_can_be_left_alone, |world| {
    two_months(&world, |day| day != self::day(SILENT)).await;
    world.restart(&[("feed_min_events = 2", "feed_min_events = 2\nfeed_history_days = 0")]).await;
    world.clean_tick().await;
    assert_eq!(closed(&world, "2026-02").await.len(), 4);
});

// A database from before feeds were counted knows them from its events: the migration's own sentence.
both_engines!(old_use_is_history_too, |world| {
    two_months(&world, |_| true).await;
    let counted =
        "SELECT source, CAST(day AS TEXT), CAST(events AS TEXT) FROM feed ORDER BY source, day";
    let served = "SELECT source, organization, CAST(first_day AS TEXT), CAST(last_day AS TEXT) \
                  FROM feed_organization ORDER BY source, organization";
    let before = (world.table(counted).await, world.table(served).await);
    assert_eq!((before.0.len(), before.1.len()), (118, 3));
    world.execute("DELETE FROM feed").await.unwrap();
    world.execute("DELETE FROM feed_organization").await.unwrap();
    assert_eq!(world.broken().await.len(), 1);
    let migration = match world.app().db.engine() {
        "sqlite" => include_str!("../../migrations/sqlite/0010_brake_history.sql"),
        _ => include_str!("../../migrations/postgres/0010_brake_history.sql"),
    };
    let (_, fills) = migration.split_once("-- Use that is here already").unwrap();
    let (_, fills) = fills.split_once('\n').unwrap();
    for sentence in fills.split(';').filter(|sentence| !sentence.trim().is_empty()) {
        world.execute(sentence).await.unwrap();
    }
    assert_eq!((world.table(counted).await, world.table(served).await), before);
});
