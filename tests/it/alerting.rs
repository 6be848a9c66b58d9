//! Usage alerts and notices of expiry: each thing once, nothing missed.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::HashMap;

use chrono::{DateTime, Duration, Utc};
use monthend::domain::grant::Source;
use monthend::services::{contacts, credits};

use crate::harness::world::{at, whole};
use crate::harness::{Org, World, both_engines, events};

/// What was told or armed again, in order: organization, cycle, rule, what, threshold.
async fn told(world: &World) -> Vec<String> {
    let sql = "SELECT organization || ' ' || cycle || ' ' || rule || ' ' || kind || ' ' || \
               CAST(threshold AS TEXT) FROM alert ORDER BY recorded_at, organization, rule";
    world.table(sql).await.concat()
}

/// Rules in place of the shipped ones.
async fn rules(world: &World, tables: &str) {
    world.restart(&[("[runner]", &format!("{tables}\n[runner]"))]).await;
}

fn rule(id: &str, measure: &str, thresholds: &str) -> String {
    format!("[[alerts]]\nid = \"{id}\"\nmeasure = \"{measure}\"\nthresholds = {thresholds}\n")
}

async fn used(world: &World, id: &str, organization: &str, credits: &str) {
    let now = world.app().clock.now().to_rfc3339();
    world.accepted_usage(&events(&[(id, organization, &now, credits)])).await;
}

/// Mails of alerts and expiries that were sent.
async fn mailed(world: &World) -> i64 {
    let mails = "mail m JOIN notice n ON n.organization = m.organization AND n.id = m.subject_id \
                 WHERE m.kind = 'notice' AND m.state = 'sent' AND n.kind IN ('alert', 'expiry')";
    world.count(mails).await
}

async fn notices(world: &World, kind: &str) -> Vec<String> {
    let sql = format!(
        "SELECT organization || ' ' || key FROM notice WHERE kind = '{kind}' ORDER BY created_at, key"
    );
    world.table(&sql).await.concat()
}

// S27: 50, 80 and 100 crossed at once are one mail, the highest; the next month is armed again; a second
// tick finds nothing.
both_engines!(the_highest_alone_once_a_month, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-01-03T09:30:00Z");
    used(&world, "1", "acme", "510").await;
    world.set_clock("2026-01-03T10:00:00Z");
    world.clean_tick().await;
    used(&world, "2", "acme", "600").await;
    for minutes in [60, 0, 60, 60] {
        world.pass(minutes * 60);
        world.clean_tick().await;
    }
    let days_left = "acme 2026-01 days_left told 3";
    assert_eq!(
        told(&world).await,
        ["acme 2026-01 allowance told 50", days_left, "acme 2026-01 allowance told 100"]
    );
    assert_eq!(mailed(&world).await, 3);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(told(&world).await.len(), 3, "nothing new at the close");
    world.set_clock("2026-02-01T03:30:00Z");
    used(&world, "3", "acme", "420").await;
    world.set_clock("2026-02-01T04:00:00Z");
    world.clean_tick().await;
    // 110 of January's use came first: the deficit is no use of February.
    assert_eq!(told(&world).await[3..], ["acme 2026-02 days_left told 3"]);
    used(&world, "4", "acme", "80").await;
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!(told(&world).await[4..], ["acme 2026-02 allowance told 50"]);
});

// A crossing in the last hour, or while monthend was down, is told by the close, once, for its own cycle.
both_engines!(the_close_tells_what_nobody_saw, |world| {
    let spend = rule("value", "spend", "[\"900\"]") + "currency = \"USD\"\n";
    rules(&world, &(rule("share", "allowance_used", "[80, 100]") + &spend)).await;
    world.set_clock("2026-01-01T09:00:00Z");
    let orgs = ["late", "down", "calm"].map(|id| Org::new(id, "standard", "2026-01-01"));
    world.organizations(&orgs).await;
    world.set_clock("2026-01-31T23:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-01-31T23:40:00Z");
    used(&world, "1", "late", "950").await;
    used(&world, "2", "down", "1300").await;
    used(&world, "3", "calm", "799.999999999").await;
    // Down for a day: the hourly look sees February alone, the close January.
    world.set_clock("2026-02-02T06:00:00Z");
    world.clean_tick().await;
    let expected = [
        "down 2026-01 share told 100",
        "down 2026-01 value told 90000",
        "late 2026-01 share told 80",
        "late 2026-01 value told 90000",
    ];
    assert_eq!(told(&world).await, expected);
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!(told(&world).await, expected);
    assert_eq!(mailed(&world).await, 4);
});

// Credits that bring the balance back arm the rule; use alone never does.
both_engines!(a_grant_arms_again, |world| {
    rules(&world, &rule("low", "credits_left", "[100, 10]")).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-01-05T09:30:00Z");
    let steps = [(950, 0), (45, 0), (0, 5), (0, 500), (480, 0), (25, 0)];
    for (place, (use_up, give)) in steps.into_iter().enumerate() {
        if use_up > 0 {
            used(&world, &place.to_string(), "acme", &use_up.to_string()).await;
        }
        if give > 0 {
            let app = world.app();
            credits::grant(&app, "acme", whole(give), Source::Promotional, "test").await.unwrap();
        }
        world.pass(3_600);
        world.clean_tick().await;
    }
    let (hundred, ten) = (whole(100).nano(), whole(10).nano());
    let line = |what: &str, threshold: i64| format!("acme 2026-01 low {what} {threshold}");
    assert_eq!(
        told(&world).await,
        [
            line("told", hundred),
            line("told", ten),
            line("recovered", ten),
            line("told", hundred),
            line("told", ten)
        ]
    );
});

// S41: a project alone, people by role; a role nobody holds goes to billing.
both_engines!(projects_and_roles, |world| {
    let of = |id: &str, more: &str| rule(id, "allowance_used", "[10]") + more;
    let tables = of("p", "project = \"search\"\nrecipients = [\"tech\", \"billing\"]\n")
        + &of("o", "organizations = [\"beta\"]\nrecipients = [\"tech\"]\n")
        + &of("q", "plans = [\"professional\"]\n");
    rules(&world, &tables).await;
    world.set_clock("2026-01-01T09:00:00Z");
    let orgs = ["acme", "beta"].map(|id| Org::new(id, "standard", "2026-01-01"));
    world.organizations(&orgs).await;
    let file = "organization,role,email\nacme,tech,ops@acme.example\nacme,tech,dev@acme.example\n\
                nobody,tech,x@x.example\n";
    let imported = contacts::import(&world.app(), file.as_bytes()).await.unwrap();
    assert_eq!((imported.contacts, imported.rejected.len()), (2, 1));
    world.set_clock("2026-01-05T09:30:00Z");
    let text = "id,organization,at,meter,executions,project\n\
                1,acme,2026-01-05T09:00:00Z,prompt,500,other\n\
                2,acme,2026-01-05T09:00:00Z,prompt,99,search\n\
                3,beta,2026-01-05T09:00:00Z,prompt,100,other\n";
    world.accepted_usage(text).await;
    world.pass(1_800);
    world.clean_tick().await;
    assert_eq!(told(&world).await, ["beta 2026-01 o told 10"]);
    world.accepted_usage("id,organization,at,meter,executions,project\n4,acme,2026-01-05T10:00:00Z,prompt,1,search\n").await;
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!(told(&world).await[1..], ["acme 2026-01 p told 10"]);
    let sql =
        "SELECT recipient FROM mail WHERE kind = 'notice' AND state = 'sent' ORDER BY recipient";
    assert_eq!(
        world.table(sql).await.concat(),
        ["billing@acme.example", "billing@beta.example", "dev@acme.example", "ops@acme.example"]
    );
});

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// The rules told again, naively: everything that was ever told since the last arming is remembered.
#[derive(Default)]
struct Naive {
    used: i64,
    given: i64,
    grants: usize,
    told: HashMap<&'static str, (usize, Vec<i64>)>,
    lines: Vec<String>,
}

impl Naive {
    fn look(&mut self, id: &str) {
        let left = 1_000 + self.given - self.used;
        let share = self.used / 10;
        for (rule, figure, thresholds, up) in [
            ("low", left, [300, 50], false),
            ("share", share, [50, 90], true),
            ("value", self.used, [200, 700], true),
        ] {
            let beyond = |t: &i64| if up { figure >= *t } else { figure <= *t };
            let (armed, told) = self.told.entry(rule).or_default();
            if !told.is_empty() && self.grants > *armed && !told.last().is_some_and(&beyond) {
                *armed = self.grants;
                told.retain(beyond);
            }
            // From the least severe on: the last crossed one is the worst.
            let Some(worst) = thresholds.iter().rev().find(|t| beyond(t)) else { continue };
            if !told.contains(worst) && !told.contains(&thresholds[1]) {
                told.push(*worst);
                self.lines.push(format!("{id} {rule} {worst}"));
            }
        }
    }
}

// A month of hourly looks over random use and gifts: the same alerts at the same hours as a naive model.
both_engines!(a_month_of_hours_agrees_with_a_naive_model, |world| {
    const SEED: u64 = 20_260_119;
    let (mut dice, ids) = (Dice(SEED), ["a", "b", "c", "d"]);
    let spend = rule("value", "spend", "[200, 700]") + "currency = \"USD\"\n";
    let share = rule("share", "allowance_used", "[50, 90]");
    rules(&world, &(rule("low", "credits_left", "[300, 50]") + &share + &spend)).await;
    world.set_clock("2026-01-01T00:10:00Z");
    world.organizations(&ids.map(|id| Org::new(id, "standard", "2026-01-01"))).await;
    let mut naive: HashMap<&str, Naive> = ids.iter().map(|id| (*id, Naive::default())).collect();
    let (mut now, mut seen) = (at("2026-01-01T00:30:00Z"), Vec::new());
    for hour in 0..31 * 24 - 1 {
        world.set_clock(&now.to_rfc3339());
        for (place, id) in ids.iter().enumerate() {
            let model = naive.get_mut(id).unwrap();
            if dice.below(8) == 0 {
                let credits = i64::try_from(dice.below(20 * (1 + place as u64)) + 1).unwrap();
                used(&world, &hour.to_string(), id, &credits.to_string()).await;
                model.used += credits;
            }
            if dice.below(200) == 0 {
                let credits = i64::try_from(dice.below(600) + 1).unwrap();
                let app = world.app();
                credits::grant(&app, id, whole(credits), Source::Promotional, "t").await.unwrap();
                (model.given, model.grants) = (model.given + credits, model.grants + 1);
            }
            model.look(id);
            seen.append(&mut model.lines);
        }
        world.set_clock(&(now + Duration::minutes(30)).to_rfc3339());
        world.clean_tick().await;
        now += Duration::hours(1);
    }
    let unit = |rule: &str, number: &str| match rule {
        "low" => whole(number.parse().unwrap()).nano().to_string(),
        "value" => format!("{number}00"),
        _ => number.to_owned(),
    };
    let expected: Vec<String> = seen
        .iter()
        .map(|line| {
            let parts: Vec<&str> = line.split(' ').collect();
            format!("{} 2026-01 {} told {}", parts[0], parts[1], unit(parts[1], parts[2]))
        })
        .collect();
    let mut real = told(&world).await;
    real.retain(|line| line.contains(" told "));
    assert_eq!(real, expected, "seed {SEED}");
    assert!(expected.len() > 15, "seed {SEED}: {expected:?}");
});

/// Ticks at ten o'clock UTC of each day; gives the days on which notices of expiry were made.
async fn ten_o_clock(world: &World, from: &str, days: i64) -> Vec<String> {
    let (mut made, mut count) = (Vec::new(), 0);
    let from: DateTime<Utc> = at(from);
    for day in 0..days {
        let now = from + Duration::days(day);
        world.set_clock(&now.to_rfc3339());
        world.tick(Some(12)).await.unwrap();
        let all = notices(world, "expiry").await;
        made.extend(all[count..].iter().map(|_| now.date_naive().to_string()));
        count = all.len();
    }
    made
}

// D2: 30, 7 and 1 days before, in the organization's zone, across a changed clock; nothing left, nothing told.
both_engines!(expiries_are_told_at_their_marks, |world| {
    world.restart(&[("mode = \"test\"", "mode = \"test\"\nalerts = []")]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.change_catalog(&[("promotional_cycles = \"never\"", "promotional_cycles = 2")]).await;
    let zones = [("berlin", "Europe/Berlin"), ("spent", "America/Adak")];
    world
        .organizations(
            &zones.map(|(id, zone)| Org::new(id, "starter", "2026-01-01").with("zone", zone)),
        )
        .await;
    // 500 credits through March, the month of the changed clock; one of them uses all of it in January.
    world.set_clock("2026-01-10T09:00:00Z");
    used(&world, "1", "spent", "500").await;
    let days = ten_o_clock(&world, "2026-02-25T10:00:00Z", 36).await;
    assert_eq!(days, ["2026-03-02", "2026-03-25", "2026-03-31"]);
    let told = notices(&world, "expiry").await;
    assert!(told.iter().all(|line| line.starts_with("berlin ")), "{told:?}");
    assert_eq!(mailed(&world).await, 3);
    let unused = world.table("SELECT CAST(unused AS TEXT) FROM expiry_notice").await.concat();
    assert_eq!(unused, vec![whole(500).nano().to_string(); 3]);
});

// Missed days are made up for by the nearest mark alone; an allowance that ends with its month is no news.
both_engines!(missed_marks_are_caught_up_once, |world| {
    world.restart(&[("mode = \"test\"", "mode = \"test\"\nalerts = []")]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.change_catalog(&[("promotional_cycles = \"never\"", "promotional_cycles = 1")]).await;
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    let app = world.app();
    credits::grant(&app, "acme", whole(90), Source::Promotional, "hello").await.unwrap();
    assert_eq!(ten_o_clock(&world, "2026-01-02T10:00:00Z", 3).await, Vec::<String>::new());
    // Down from 5 January to 24 February: five days are left, and the seven are told.
    world.set_clock("2026-02-24T10:00:00Z");
    let days = ten_o_clock(&world, "2026-02-24T10:00:00Z", 6).await;
    assert_eq!(days, ["2026-02-24", "2026-02-28"]);
    let rows =
        "SELECT CAST(mark AS TEXT) || ' ' || CAST(days AS TEXT) FROM expiry_notice ORDER BY mark";
    assert_eq!(world.table(rows).await.concat(), ["1 1", "7 5"]);
});

// What the plan's cap takes at the month's end was announced to nobody.
both_engines!(what_the_cap_takes_is_told_in_the_last_week, |world| {
    world.restart(&[("mode = \"test\"", "mode = \"test\"\nalerts = []")]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    let acme = Org::new("acme", "standard", "2026-01-01")
        .with("allowance", "1000")
        .with("rollover_cycles", "3")
        .with("rollover_cap", "400");
    world.organizations(&[acme]).await;
    used(&world, "1", "acme", "100").await;
    assert_eq!(ten_o_clock(&world, "2026-01-20T10:00:00Z", 12).await, ["2026-01-25", "2026-01-31"]);
    let totals = world.table("SELECT CAST(total AS TEXT) FROM expiry_notice").await.concat();
    assert_eq!(totals, vec![whole(500).nano().to_string(); 2]);
    let facts = world.table("SELECT facts FROM notice WHERE kind = 'expiry'").await.concat();
    assert!(facts.iter().all(|facts| facts.contains("\"over_cap\":\"500\"")), "{facts:?}");
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.statement("acme", "2026-01").await.expired, whole(500));
});
