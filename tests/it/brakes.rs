//! A run whose figures moved too far, or with an invoice too large, waits for a person (F61).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use monthend::app::App;
use monthend::files::write_durably;
use monthend::jobs::report::Report;
use monthend::jobs::requests::{self, Rerun};
use monthend::jobs::runner::Runner;
use tokio_util::sync::CancellationToken;

use crate::harness::world::cycle;
use crate::harness::{Org, World, both_engines, events};

/// One more than are never compared.
const MANY: usize = 21;

fn payer(n: usize, fee: &str) -> Org {
    Org::new(&format!("o{n:03}"), "standard", "2026-01-01").pays("ok").with("fee", fee)
}

/// From the next cycle on, everybody pays this.
async fn everybody_pays(world: &World, count: usize, fee: &str) {
    let rows: Vec<Org> = (0..count).map(|n| payer(n, fee)).collect();
    world.organizations(&rows).await;
}

/// January was billed at 100.00 each; February will be at `fee`.
async fn january_then(world: &World, count: usize, fee: &str) {
    world.set_clock("2026-01-01T09:00:00Z");
    everybody_pays(world, count, "100.00").await;
    world.set_clock("2026-01-20T09:00:00Z");
    everybody_pays(world, count, fee).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-03-01T02:00:00Z");
}

/// The one run that is held, with what it says.
fn held(report: &Report) -> (String, String) {
    assert!(!report.is_clean());
    let runs: Vec<_> = report.runs.iter().filter(|run| run.run.state == "held").collect();
    assert_eq!(runs.len(), 1, "{report:?}");
    let looks: Vec<_> = runs[0].troubled.iter().filter(|step| step.kind == "brake").collect();
    assert_eq!((looks.len(), looks[0].state.as_str()), (1, "parked"));
    (runs[0].run.id.clone(), looks[0].error.clone().unwrap())
}

/// Of a month nothing left the house: no number, no charge, no letter.
async fn nothing_left(world: &World, of: &str, drafts: usize) {
    let drafts = i64::try_from(drafts).unwrap();
    let of_cycle = format!("invoice WHERE cycle = '{of}'");
    assert_eq!(world.count(&format!("{of_cycle} AND status = 'draft'")).await, drafts);
    assert_eq!(world.count(&format!("{of_cycle} AND number IS NOT NULL")).await, 0);
    let charged = format!(
        "charge c JOIN invoice i ON i.organization = c.organization AND i.id = c.subject_id WHERE i.cycle = '{of}'"
    );
    assert_eq!(world.count(&charged).await, 0);
    let told = format!(
        "mail m JOIN invoice i ON i.organization = m.organization AND i.id = m.subject_id WHERE i.cycle = '{of}'"
    );
    assert_eq!(world.count(&told).await, 0);
    world.verify_ok().await;
}

async fn confirm(world: &World, run: &str) -> Report {
    let figures = held_figures(world).await;
    requests::confirm(&world.app(), run, &figures, "the new price list").await.unwrap()
}

/// The figures of the latest hold, as its message names them.
async fn held_figures(world: &World) -> String {
    let sql = "SELECT error FROM step WHERE kind = 'brake' AND state = 'parked'";
    let told = world.table(sql).await[0][0].clone();
    let after = told.split_once(" --figures ").unwrap().1;
    after.split_whitespace().next().unwrap().to_owned()
}

// F61: exactly 50 % more is billed; one cent more is held, whatever is tried, until a person confirms it.
both_engines!(one_cent_above_the_limit_waits_for_a_person, |world| {
    january_then(&world, MANY, "150.00").await;
    world.set_clock("2026-02-20T09:00:00Z");
    everybody_pays(&world, MANY - 1, "225.00").await;
    world.organizations(&[payer(MANY - 1, "225.01")]).await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-04-01T02:00:00Z");

    let (run, reason) = held(&world.tick(None).await.unwrap());
    let figures =
        "21 invoices for 4725.01 USD are to be issued to organizations that had 21 for 3150.00 USD";
    assert!(reason.starts_with(figures) && reason.contains("+50.1 %"), "{reason}");
    assert!(reason.contains(&format!("monthend run confirm {run} --figures ")), "{reason}");
    nothing_left(&world, "2026-03", MANY).await;
    // Who looks is told who moved: one cent more than the others, and alike these in the order of their names.
    let movers = requests::movers(&world.app(), &run).await.unwrap();
    let told = |nth: usize| {
        format!("{} {} {}", movers[nth].organization, movers[nth].now, movers[nth].before)
    };
    assert_eq!((told(0), movers.len()), ("o020 225.01 USD 150.00 USD".to_owned(), 10));
    assert_eq!(told(1), "o000 225.00 USD 150.00 USD");
    // Neither time, nor a new process, nor asking again lets it go.
    world.restart(&[]).await;
    world.pass(3_600);
    assert_eq!(held(&world.tick(None).await.unwrap()), (run.clone(), reason.clone()));
    assert_eq!(held(&world.retry(&run, None).await).1, reason);
    let again = Rerun {
        job: "monthly_close",
        cycle: Some(cycle("2026-03")),
        organizations: &[],
        reason: "again",
    };
    assert_eq!(held(&requests::rerun(&world.app(), &again).await.unwrap()).1, reason);
    nothing_left(&world, "2026-03", MANY).await;
    assert_eq!(world.count("brake").await, 1);

    world.restart(&[]).await;
    // Those of another message are not these.
    let figures_now = held_figures(&world).await;
    let other = requests::confirm(&world.app(), &run, "00000000", "read too early").await;
    let other = other.unwrap_err().to_string();
    assert!(other.contains(&figures_now) && other.contains("nothing was confirmed"), "{other}");
    nothing_left(&world, "2026-03", MANY).await;
    let report = confirm(&world, &run).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.runs[0].run.state, "done");
    assert_eq!(world.count("invoice WHERE status = 'settled'").await, 63);
    assert_eq!((world.taken("o000"), world.mails("o000").await.len()), (3, 6));
    let audited =
        world.table("SELECT command, reason FROM audit WHERE command LIKE 'run confirm %'").await;
    assert!(audited[0][0].contains(&run) && audited[0][0].contains(figures), "{audited:?}");
    assert_eq!((audited.len(), audited[0][1].as_str()), (1, "the new price list"));
    assert!(requests::confirm(&world.app(), &run, &figures_now, "twice").await.is_err());
    assert!(requests::confirm(&world.app(), "run_none", &figures_now, "none").await.is_err());
    world.clean_tick().await;
});

// F61: February's mistake is held, March has the same one: compared with February it would not show.
both_engines!(a_month_waits_for_one_that_is_held, |world| {
    january_then(&world, MANY, "200.00").await;
    let (run, _) = held(&world.tick(None).await.unwrap());
    world.set_clock("2026-04-01T02:00:00Z");
    world.tick(None).await.unwrap();
    nothing_left(&world, "2026-02", MANY).await;
    nothing_left(&world, "2026-03", MANY).await;
    confirm(&world, &run).await;
    world.pass(61);
    world.clean_tick().await;
    let issued = "invoice WHERE cycle = '2026-03' AND number IS NOT NULL";
    assert_eq!(world.count(issued).await, i64::try_from(MANY).unwrap());
});

// F61: twenty organizations are too few to compare, and the very first month has nothing to be compared with.
both_engines!(twenty_organizations_are_not_compared, |world| {
    january_then(&world, MANY - 1, "5000.00").await;
    world.clean_tick().await;
    assert_eq!(world.count("invoice WHERE status = 'settled'").await, 40);
    assert_eq!(world.count("brake").await, 0);
});

// F61: fewer are held as well: half the customers do not vanish in a month.
both_engines!(a_month_that_lost_its_fees_is_held, |world| {
    january_then(&world, MANY, "49.99").await;
    let (run, reason) = held(&world.tick(None).await.unwrap());
    assert!(reason.contains("the total moved by -50.1 %"), "{reason}");
    // Other limits, and the same look lets it go: no confirmation is needed for what is in order.
    let edit = ("# [brakes]\n# total_percent = 50 ", "[brakes]\ntotal_percent = 60 ");
    world.restart(&[edit]).await;
    assert!(world.retry(&run, None).await.is_clean());
    assert_eq!(world.count("invoice WHERE status = 'settled'").await, 42);
});

// F61: a run held anew says something else of the same figures: whoever read the first message has not read the second.
both_engines!(what_was_read_is_what_is_confirmed, |world| {
    january_then(&world, MANY, "200.00").await;
    let (run, moved) = held(&world.tick(None).await.unwrap());
    let read = held_figures(&world).await;
    let edit = ("# [brakes]\n", "[brakes]\ninvoice_cap = { USD = \"150.00\" }\n");
    world.restart(&[edit]).await;
    let (_, above) = held(&world.retry(&run, None).await);
    assert!(above.starts_with(moved.split("; if that").next().unwrap()), "{above}");
    assert!(above.contains("above the cap"), "{above}");
    let early = requests::confirm(&world.app(), &run, &read, "read before").await.unwrap_err();
    assert!(early.to_string().contains("above the cap"), "{early}");
    nothing_left(&world, "2026-02", MANY).await;
    assert!(confirm(&world, &run).await.is_clean());
    // The cap is gone again: what was confirmed is past, nothing is held.
    world.clean_tick().await;
});

// F61: one invoice above the cap holds its run, in the first month too; at the cap it does not.
both_engines!(one_invoice_above_the_cap, |world| {
    let edit = ("# [brakes]\n", "[brakes]\ninvoice_cap = { USD = \"150.00\" }\n");
    world.restart(&[edit]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[payer(1, "150.00"), payer(2, "100.00")]).await;
    world.set_clock("2026-01-20T09:00:00Z");
    world.organizations(&[payer(1, "150.01")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-03-01T02:00:00Z");
    let (run, reason) = held(&world.tick(None).await.unwrap());
    assert!(
        reason.starts_with("the invoice of o001 for 150.01 USD is above the cap of 150.00 USD")
    );
    nothing_left(&world, "2026-02", 2).await;
    assert!(confirm(&world, &run).await.is_clean());
    assert_eq!(world.invoices("o001").await.len(), 2);
});

// F61: a confirmation is for the figures that were confirmed; who joins the run later is looked at again.
both_engines!(who_joins_a_confirmed_run_is_looked_at_again, |world| {
    // Without the one that joins late there must still be enough to compare.
    const ALL: usize = MANY + 1;
    january_then(&world, ALL, "100.00").await;
    world.clean_tick().await;
    world.set_clock("2026-03-20T09:00:00Z");
    everybody_pays(&world, ALL, "500.00").await;
    // More money than there are integers for, once anything beyond the allowance is used.
    let poison = |price| payer(3, "500.00").with("overage_price", price);
    world.organizations(&[poison("9000000000000000")]).await;
    world.set_clock("2026-04-01T02:00:00Z");
    world.clean_tick().await;
    world.accepted_usage(&events(&[("1", "o003", "2026-04-01T01:00:00Z", "2000")])).await;
    world.set_clock("2026-05-01T02:00:00Z");
    let (run, _) = held(&world.tick(None).await.unwrap());
    nothing_left(&world, "2026-04", ALL - 1).await;
    let report = confirm(&world, &run).await;
    assert_eq!(report.runs[0].run.state, "attention");
    let issued = "invoice WHERE cycle = '2026-04' AND number IS NOT NULL";
    assert_eq!(world.count(issued).await, 21);

    world.organizations(&[poison("1.00")]).await;
    let (again, reason) = held(&world.retry(&run, Some("o003")).await);
    assert!(again == run && reason.contains("22 invoices"), "{reason}");
    assert_eq!((world.count(issued).await, world.count("brake").await), (21, 2));
    world.verify_ok().await;
    assert!(confirm(&world, &run).await.is_clean());
    assert_eq!((world.count(issued).await, world.taken("o003")), (22, 4));
});

// F61: each time zone's run is judged by its own figures, and one that goes on takes nothing of a held one along.
both_engines!(a_held_zone_does_not_hold_another, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    // Names of the two zones alternate: their ranges overlap.
    let zone = |n: usize| if n.is_multiple_of(2) { "UTC" } else { "America/New_York" };
    let org = |n: usize, fee| payer(n, fee).with("zone", zone(n)).with("joined_on", "2026-01-02");
    let all = 2 * MANY;
    world.organizations(&(0..all).map(|n| org(n, "100.00")).collect::<Vec<_>>()).await;
    world.set_clock("2026-01-20T09:00:00Z");
    let dearer = |n: &usize| n.is_multiple_of(2);
    let rows: Vec<Org> = (0..all).filter(dearer).map(|n| org(n, "900.00")).collect();
    world.organizations(&rows).await;
    world.set_clock("2026-02-01T09:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-03-01T02:00:00Z");
    let (run, _) = held(&world.tick(None).await.unwrap());
    world.set_clock("2026-03-01T09:00:00Z");
    held(&world.tick(None).await.unwrap());
    nothing_left_of_the_held(&world, MANY).await;
    assert!(confirm(&world, &run).await.is_clean());
    assert_eq!(world.count("invoice WHERE cycle = '2026-02' AND status = 'settled'").await, 42);
});

async fn nothing_left_of_the_held(world: &World, each: usize) {
    let each = i64::try_from(each).unwrap();
    let of = "invoice i JOIN organization o ON o.id = i.organization WHERE i.cycle = '2026-02'";
    let drafts = format!("{of} AND i.status = 'draft' AND o.zone = 'UTC'");
    let settled = format!("{of} AND i.status = 'settled' AND o.zone <> 'UTC'");
    assert_eq!((world.count(&drafts).await, world.count(&settled).await), (each, each));
    world.verify_ok().await;
}

/// Chunks of two, so that there is something to share.
async fn small_chunks(world: &World) {
    let folder = world.home().join("jobs");
    std::fs::create_dir(&folder).unwrap();
    let shipped = include_str!("../../jobs/monthly_close.toml");
    let job = shipped.replace("chunk_organizations = 1000", "chunk_organizations = 2");
    assert_ne!(job, shipped);
    write_durably(&folder.join("monthly_close.toml"), job.as_bytes()).unwrap();
    world.restart(&[("# jobs_dir", "jobs_dir")]).await;
}

fn tick(app: Arc<App>) -> tokio::task::JoinHandle<Report> {
    let runner = Runner::new(app, CancellationToken::new()).unwrap();
    tokio::spawn(async move { runner.tick(None).await.unwrap() })
}

// F19–F21, F61: two processes close one run, hold it once, and let it go once.
both_engines!(two_workers_hold_a_run_once, |world| {
    small_chunks(&world).await;
    january_then(&world, MANY, "400.00").await;
    let other = world.another_app().await;
    let (one, two) = tokio::join!(tick(world.app()), tick(other.clone()));
    one.unwrap();
    two.unwrap();
    // Whatever each of them saw of the other's work, what is there now is one held run.
    let (run, _) = held(&world.tick(None).await.unwrap());
    assert_eq!(world.count("brake").await, 1);
    assert_eq!(world.count("step WHERE kind = 'brake' AND state = 'parked'").await, 1);
    nothing_left(&world, "2026-02", MANY).await;
    let figures = held_figures(&world).await;
    let (confirmed, ticked) =
        tokio::join!(requests::confirm(&other, &run, &figures, "right"), tick(world.app()));
    confirmed.unwrap();
    ticked.unwrap();
    other.db.close().await;
    world.clean_tick().await;
    assert_eq!(world.count("invoice WHERE cycle = '2026-02' AND status = 'settled'").await, 21);
    assert_eq!(world.taken("o000"), 2);
});

// A close that parks last leaves the others' figures to be looked at: nobody waits for it.
both_engines!(a_parked_close_holds_up_nobody, |world| {
    small_chunks(&world).await;
    world.set_clock("2026-01-01T09:00:00Z");
    everybody_pays(&world, 4, "100.00").await;
    let poison = payer(4, "100.00").with("overage_price", "9000000000000000");
    world.organizations(&[poison]).await;
    world.accepted_usage(&events(&[("1", "o004", "2026-01-01T08:00:00Z", "2000")])).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let report = world.tick(None).await.unwrap();
    assert_eq!((report.runs[0].run.state.as_str(), world.parked().await.len()), ("attention", 1));
    assert_eq!(world.count("invoice WHERE status = 'settled'").await, 4);
});
