//! What finance does by hand: run again, mend a contract, bring a lost document back.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::ids::sha256_hex;
use monthend::jobs::report::Report;
use monthend::jobs::requests::{Rerun, rerun};
use monthend::services::ServiceError;
use monthend::storage::audit;
use monthend::storage::catalog::{self, VersionRow};

use crate::harness::world::cycle;
use crate::harness::{Org, World, both_engines, events};

async fn again(world: &World, of: &str, organizations: &[String]) -> Result<Report, ServiceError> {
    let request =
        Rerun { job: "monthly_close", cycle: Some(cycle(of)), organizations, reason: "asked to" };
    rerun(&world.app(), &request).await
}

/// Tables that a rerun of what is done must leave alone.
async fn facts(world: &World) -> Vec<i64> {
    let mut counts = Vec::new();
    for table in ["ledger_entry", "invoice", "charge", "payment", "mail", "credit_grant", "run"] {
        counts.push(world.count(table).await);
    }
    counts
}

async fn closed_january(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let row = |id| Org::new(id, "standard", "2026-01-01").pays("ok");
    world.organizations(&[row("acme"), row("globex")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
}

// F20: a month that is done, run again, adds nothing; a lost document comes back as it was.
both_engines!(a_rerun_adds_nothing_and_restores_documents, |world| {
    closed_january(&world).await;
    let before = facts(&world).await;
    let pdf = world.home().join("documents").join(world.invoice("acme").await.pdf.unwrap());
    let bytes = std::fs::read(&pdf).unwrap();
    std::fs::remove_file(&pdf).unwrap();
    for organizations in [vec![], vec!["acme".to_owned()], vec![]] {
        world.pass(60);
        assert!(again(&world, "2026-01", &organizations).await.unwrap().is_clean());
        assert_eq!(facts(&world).await, before, "{organizations:?}");
        assert_eq!(std::fs::read(&pdf).unwrap(), bytes);
    }
    assert_eq!((world.taken("acme"), world.taken("globex")), (1, 1));
    assert_eq!(world.count("audit WHERE reason = 'asked to'").await, 3);
});

// F90: what makes no sense is refused with the reason, and leaves nothing.
both_engines!(a_rerun_of_what_is_not_there_is_refused, |world| {
    closed_january(&world).await;
    let named = |id: &str| vec![id.to_owned()];
    for (of, who, said) in [
        ("2026-02", named("acme"), "is not over"),
        ("2026-05", named("acme"), "no cycle 2026-05"),
        ("2026-01", named("nobody"), "there is no organization"),
    ] {
        let refused = again(&world, of, &who).await.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    assert_eq!(world.count("audit WHERE reason = 'asked to'").await, 0);
});

// One organization closed by hand before the others: each is still billed once.
both_engines!(one_organization_is_closed_by_hand, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let row = |id| Org::new(id, "standard", "2026-01-01").pays("ok");
    world.organizations(&[row("acme"), row("globex"), row("initech")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    assert!(again(&world, "2026-01", &["globex".to_owned()]).await.unwrap().is_clean());
    assert_eq!((world.all_invoices().await.len(), world.taken("globex")), (1, 1));
    world.verify_ok().await;
    world.clean_tick().await;
    assert_eq!(world.all_invoices().await.len(), 3);
    assert_eq!(world.taken("globex"), 1);
});

// A contract mended while its month was parked; the month before billed this one's fee in advance.
both_engines!(a_mended_contract_leaves_the_month_before_alone, |world| {
    world.change_catalog(&[("fee_timing = \"arrears\"", "fee_timing = \"advance\"")]).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.set_clock("2026-01-20T09:00:00Z");
    let poisoned =
        Org::new("acme", "standard", "2026-01-01").with("overage_price", "9000000000000000");
    world.organizations(&[poisoned]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-02-20T09:00:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-02-19T09:00:00Z", "2000")])).await;
    world.set_clock("2026-03-01T02:00:00Z");
    assert!(!world.tick(None).await.unwrap().is_clean());
    let mended = Org::new("acme", "standard", "2026-01-01").with("overage_price", "1");
    world.organizations(&[mended.with("fee", "10.00")]).await;
    let run = world.parked().await[0].run_id.clone();
    assert!(world.retry(&run, Some("acme")).await.is_clean());
    assert_eq!(world.invoices("acme").await.len(), 2);
});

// A catalog without the plan of an organization, as two hosts could store them at one moment: the month parks, and
// either correction lets it close.
both_engines!(terms_that_do_not_fit_are_corrected, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let both = ["acme", "bolt"].map(|id| Org::new(id, "professional", "2026-01-01"));
    world.organizations(&both).await;
    let good = std::fs::read_to_string(world.home().join("catalog.toml")).unwrap();
    let content = good.replace("[plans.professional]", "[plans.gone]");
    world.set_clock("2026-01-20T09:00:00Z");
    let row = VersionRow {
        version: 2,
        effective_at: world.now(),
        content_hash: sha256_hex(content.as_bytes()),
        content,
    };
    let mut tx = world.app().db.write().await.unwrap();
    catalog::add_version(&mut tx, &row, world.now()).await.unwrap();
    let command = "catalog apply: version 2";
    audit::append(&mut tx, world.now(), "test", command, "another host").await.unwrap();
    tx.commit().await.unwrap();
    world.set_clock("2026-02-01T02:00:00Z");
    assert!(!world.tick(None).await.unwrap().is_clean());
    let parked = world.parked().await;
    assert_eq!(parked.len(), 2);
    let told = parked[0].error.clone().unwrap();
    assert!(told.contains("professional") && told.contains("correct it with"), "{told}");
    let run = parked[0].run_id.clone();
    world.organizations(&[Org::new("acme", "standard", "2026-01-01")]).await;
    world.retry(&run, Some("acme")).await;
    let left = world.parked().await;
    assert_eq!((left.len(), left[0].organization.as_deref()), (1, Some("bolt")));
    world.change_catalog(&[("[plans.professional]", "# mended\n[plans.professional]")]).await;
    // Meant for March: the catalog was mended for February.
    world.set_clock("2026-02-20T02:00:00Z");
    world.organizations(&[Org::new("bolt", "enterprise", "2026-01-01")]).await;
    assert!(world.retry(&run, None).await.is_clean());
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    let plans = "SELECT organization FROM billing_cycle WHERE ";
    for (cycle, plan, who) in [
        ("2026-02", "standard", "acme"),
        ("2026-02", "professional", "bolt"),
        ("2026-03", "enterprise", "bolt"),
    ] {
        let of = format!("{plans} cycle = '{cycle}' AND terms LIKE '%\"plan\":\"{plan}\"%'");
        assert_eq!(world.table(&of).await.concat(), [who]);
    }
    // Both are named for whoever asks why.
    let told = "SELECT reason FROM audit WHERE command LIKE '% with terms that were corrected after it began' \
                ORDER BY seq";
    let told = world.table(told).await.concat();
    assert!(told[0].contains("acme: plan standard of catalog version 2"), "{told:?}");
    assert!(told[1].contains("bolt: plan professional of catalog version 3"), "{told:?}");
    assert_eq!(told.len(), 2);
});

// `run retry` of one zone's run charged the declined customers of another's.
both_engines!(a_retry_tries_the_declined_of_its_own_run, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let far = Org::new("far", "standard", "2026-01-01").with("zone", "Asia/Tokyo").pays("declined");
    world.organizations(&[Org::new("near", "standard", "2026-01-01").pays("ok"), far]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let runs = world
        .table("SELECT id FROM run WHERE job = 'monthly_close' ORDER BY due_at")
        .await
        .concat();
    let attempts = world.journal().len();
    assert_eq!((runs.len(), attempts), (2, 2));
    let none = monthend::jobs::requests::retry(&world.app(), &runs[1], None, "asked to").await;
    assert!(none.unwrap_err().to_string().contains("nothing to retry"));
    assert_eq!(world.journal().len(), attempts);
    world.retry(&runs[0], None).await;
    assert_eq!(world.journal().len(), attempts + 1);
});
