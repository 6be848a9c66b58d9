//! A copy of a deployment reads; it charges nobody and sends nothing until a person says that it may (F72).

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::path::Path;
use std::sync::Arc;

use monthend::app::{App, Options, open_database};
use monthend::config::Config;
use monthend::jobs::report::Report;
use monthend::jobs::requests;
use monthend::jobs::runner::Runner;
use monthend::services::purchases::Wanted;
use monthend::services::{identity, pay_pages, webhooks};
use monthend::verify::verify;
use tokio_util::sync::CancellationToken;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines};

/// January is over; one organization waits to be charged and told.
async fn january_is_over(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
}

/// The same database, opened from another folder.
async fn opened_from(world: &World, home: &Path) -> Arc<App> {
    let options = Options { home: home.to_owned(), ..world.options() };
    let db = open_database(&options.database.clone().unwrap()).await.unwrap();
    let config = Config::load(home).unwrap();
    Arc::new(App::with_database(options, config, db).await.unwrap())
}

/// A folder with everything of the world's home but its database, as a copy or a dump beside a staging
/// configuration has it.
fn copied(world: &World, with_deployment: bool) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["documents", "outbox", "inbox", "inbox/done"] {
        std::fs::create_dir(copy.path().join(name)).unwrap();
    }
    for name in ["monthend.toml", "catalog.toml", "deployment"] {
        if with_deployment || name != "deployment" {
            std::fs::copy(world.home().join(name), copy.path().join(name)).unwrap();
        }
    }
    copy
}

async fn tick(app: &Arc<App>) -> Report {
    Runner::new(app.clone(), CancellationToken::new()).unwrap().tick(None).await.unwrap()
}

/// It closes what is due, and nobody outside hears of it.
async fn reads_and_keeps_quiet(world: &World, copy: &Arc<App>) {
    let report = tick(copy).await;
    let refused = report.refused.clone().unwrap();
    assert!(!report.is_clean() && refused.starts_with("nothing is charged or sent"), "{refused}");
    assert_eq!(world.count("invoice WHERE status = 'issued'").await, 1);
    assert_eq!(world.count("charge WHERE state <> 'intended'").await, 0);
    assert_eq!(world.count("mail WHERE state = 'sent'").await, 0);
    assert_eq!(world.count("step WHERE kind IN ('charge', 'mail') AND attempts > 0").await, 0);
    let bought = requests::buy(copy, "acme", &Wanted::Credits(whole(10))).await.unwrap_err();
    assert_eq!((bought.to_string(), world.count("purchase").await), (refused.clone(), 0));
    let sent = webhooks::test(copy).await.unwrap_err();
    assert_eq!(sent.to_string(), refused);
    let paid = pay_pages::save_method(copy, "acme").await.unwrap_err();
    assert_eq!(paid.to_string(), refused);
    // Its documents, and what its sandbox took, are in a folder of its own: this one lacks them.
    world.do_damage();
    for folder in [copy.home.as_path(), world.home()] {
        assert_eq!(std::fs::read_dir(folder.join("outbox")).unwrap().count(), 0);
    }
    let checks = verify(copy).await.unwrap();
    let broken: Vec<_> =
        checks.iter().filter(|check| !check.ok()).map(|check| check.name).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

/// The one command that lets a folder act, and what it leaves in the audit trail.
async fn joins(world: &World, copy: Arc<App>, home: &Path) {
    identity::join(&copy, "the second host").await.unwrap();
    copy.db.close().await;
    let joined = opened_from(world, home).await;
    let report = tick(&joined).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(world.count("invoice WHERE status = 'settled'").await, 1);
    joined.db.close().await;
    let audited = world.table("SELECT command, reason FROM audit ORDER BY seq DESC LIMIT 1").await;
    assert_eq!(audited, [["deployment join", "the second host"]]);
}

// F72: the database, restored beside another configuration: it finds no word that it may act.
both_engines!(a_copied_database_charges_and_sends_nothing, |world| {
    january_is_over(&world).await;
    let home = copied(&world, false);
    let copy = opened_from(&world, home.path()).await;
    reads_and_keeps_quiet(&world, &copy).await;
    // The original is not disturbed, and the copy may still be let in.
    assert_eq!(world.app().identity.refusal(), None);
    joins(&world, copy, home.path()).await;
    world.clean_tick().await;
});

// F72: the whole folder, copied: in live mode it is not where it was written.
both_engines!(a_copied_home_charges_and_sends_nothing, |world| {
    january_is_over(&world).await;
    world.execute("UPDATE meta SET value = 'live' WHERE name = 'mode'").await.unwrap();
    world.restart(&[("\nmode = \"test\"", "\nmode = \"live\"")]).await;
    assert_eq!(world.app().identity.refusal(), None);
    let home = copied(&world, true);
    let copy = opened_from(&world, home.path()).await;
    reads_and_keeps_quiet(&world, &copy).await;
    joins(&world, copy, home.path()).await;
    // Opened again where it was written, each of the two may act.
    world.restart(&[]).await;
    assert_eq!(world.app().identity.refusal(), None);
});

// F72: a folder of another deployment beside this database.
both_engines!(another_deployments_home, |world| {
    january_is_over(&world).await;
    let home = copied(&world, false);
    let other = "deployment = dep_other\nplace = x\n";
    monthend::files::write_durably(&home.path().join("deployment"), other.as_bytes()).unwrap();
    let copy = opened_from(&world, home.path()).await;
    reads_and_keeps_quiet(&world, &copy).await;
    assert!(copy.identity.refusal().unwrap().contains("dep_other"));
    copy.db.close().await;
    // Where the folder keeps no file, the configuration may say it; but the right one.
    std::fs::remove_file(home.path().join("deployment")).unwrap();
    for (said, allowed) in [("dep_other", false), (world.app().deployment.as_str(), true)] {
        let text = std::fs::read_to_string(world.home().join("monthend.toml")).unwrap();
        let text = format!("deployment = \"{said}\"\n{text}");
        let file = home.path().join("monthend.toml");
        monthend::files::write_durably(&file, text.as_bytes()).unwrap();
        let copy = opened_from(&world, home.path()).await;
        assert_eq!(copy.identity.refusal().is_none(), allowed, "{said}");
        assert!(identity::join(&copy, "x").await.is_err());
        copy.db.close().await;
    }
});

// F72: another provider account than the one that was first used.
both_engines!(another_provider_account, |world| {
    january_is_over(&world).await;
    // Before money was asked for, no account is the deployment's.
    assert_eq!(identity::gateway(&world.app()).await.unwrap(), None);
    world.clean_tick().await;
    assert_eq!(identity::gateway(&world.app()).await.unwrap().as_deref(), Some("the sandbox"));
    assert!(identity::adopt_gateway(&world.app(), false, "the same").await.is_err());
    let key = "sk_test_canary_0123456789";
    monthend::files::write_durably(&world.home().join("key"), key.as_bytes()).unwrap();
    let stripe = "gateway = \"stripe\"";
    let section =
        "[payments.stripe]\nkey_file = \"key\"\nbase_url = \"http://127.0.0.1:9\"\n[runner]";
    world.restart(&[("gateway = \"sandbox\"", stripe), ("[runner]", section)]).await;
    world.set_clock("2026-03-01T02:00:00Z");
    let report = world.tick(None).await.unwrap();
    let refused = report.refused.unwrap();
    assert!(
        refused.contains("adopt-gateway") && refused.contains("Stripe (test key "),
        "{refused}"
    );
    assert!(!refused.contains("canary"));
    assert_eq!(world.count("charge WHERE state = 'intended'").await, 1);
    assert_eq!(world.count("mail WHERE state <> 'sent'").await, 1);
    // What was asked of the old account and has not ended is asked there, or nowhere.
    world.execute("UPDATE charge SET state = 'sent' WHERE state = 'intended'").await.unwrap();
    let refused = identity::adopt_gateway(&world.app(), false, "too early").await.unwrap_err();
    assert!(refused.to_string().contains("--same-account"), "{refused}");
    world.execute("UPDATE charge SET state = 'intended' WHERE state = 'sent'").await.unwrap();
    // Back to the old one, and it goes on; or the new one is adopted.
    let adopted = identity::adopt_gateway(&world.app(), false, "the new contract").await.unwrap();
    assert_eq!(adopted.as_deref(), Some("the sandbox"));
    world.restart(&[]).await;
    assert_eq!(world.app().identity.refusal(), None);
    world.restart(&[(stripe, "gateway = \"sandbox\"")]).await;
    assert!(world.app().identity.refusal().unwrap().contains("collected by Stripe"));
    identity::adopt_gateway(&world.app(), false, "back again").await.unwrap();
    world.restart(&[]).await;
    world.clean_tick().await;
    assert_eq!(world.taken("acme"), 2);
    let audited =
        world.table("SELECT command FROM audit WHERE command LIKE 'deployment %'").await.concat();
    assert!(audited.len() == 2 && !audited.concat().contains("canary"), "{audited:?}");
});

// A database of an earlier program knows of no home: the one that opens it first is its home.
both_engines!(an_older_deployment_goes_on, |world| {
    january_is_over(&world).await;
    world.execute("DELETE FROM meta WHERE name = 'home'").await.unwrap();
    std::fs::remove_file(world.home().join("deployment")).unwrap();
    world.restart(&[]).await;
    world.clean_tick().await;
    assert!(world.home().join("deployment").exists());
    // From then on another folder is told from it.
    let home = copied(&world, false);
    let copy = opened_from(&world, home.path()).await;
    assert!(copy.identity.refusal().is_some());
    copy.db.close().await;
});
