//! `verify` finds what somebody changed behind the program's back, and says where.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::files::write_durably;
use monthend::jobs::requests;
use monthend::services::credit_notes;
use monthend::services::purchases::Wanted;

use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines, events};

async fn two_months(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&[
            Org::new("acme", "professional", "2026-01-01").pays("ok"),
            Org::new("globex", "standard", "2026-01-01"),
        ])
        .await;
    world.set_clock("2026-01-20T09:00:00Z");
    world
        .accepted_usage(&events(&[
            ("1", "acme", "2026-01-19T09:00:00Z", "10"),
            ("1", "globex", "2026-01-19T09:00:00Z", "1100"),
        ]))
        .await;
    requests::buy(&world.app(), "acme", &Wanted::Credits(whole(5))).await.unwrap();
    requests::buy(&world.app(), "acme", &Wanted::Credits(whole(7))).await.unwrap();
    let receipt = world.table("SELECT MAX(number) FROM document").await.concat().remove(0);
    let back =
        credit_notes::Wanted { number: &receipt, amount: None, credits: None, reason: "test" };
    requests::credit(&world.app(), &back).await.unwrap();
    for instant in ["2026-02-01T02:00:00Z", "2026-03-01T02:00:00Z"] {
        world.set_clock(instant);
        world.clean_tick().await;
    }
    world.verify_ok().await;
    world.do_damage();
}

/// Takes the database's own guards away, as somebody with the administrator's rights could.
async fn unguard(world: &World) {
    let sqlite = world.app().db.engine() == "sqlite";
    if sqlite {
        let triggers = world.table("SELECT name FROM sqlite_master WHERE type = 'trigger'").await;
        assert!(triggers.len() > 10);
        for trigger in triggers.concat() {
            world.execute(&format!("DROP TRIGGER {trigger}")).await.unwrap();
        }
    } else {
        world.execute("DROP FUNCTION refuse_change() CASCADE").await.unwrap();
    }
}

/// Names of checks that fail after one statement, which is undone by another.
async fn broken_by(world: &World, damage: &str, repair: &str) -> Vec<&'static str> {
    assert!(world.execute(damage).await.unwrap() > 0, "{damage}");
    let broken = world.broken().await;
    assert!(broken.iter().all(|check| !check.detail().is_empty()));
    world.execute(repair).await.unwrap();
    assert_eq!(world.broken().await, [], "{repair} does not undo {damage}");
    broken.into_iter().map(|check| check.name).collect()
}

/// What, the change, how it is undone, and the check that must find it.
const DAMAGE: [(&str, &str, &str); 18] = [
    (
        "UPDATE ledger_entry SET amount = amount + 1 WHERE organization = 'acme' AND seq = 1 AND line = 1",
        "UPDATE ledger_entry SET amount = amount - 1 WHERE organization = 'acme' AND seq = 1 AND line = 1",
        "ledger_balanced",
    ),
    // Balanced on both sides, so that only the chain can tell.
    (
        "UPDATE ledger_entry SET amount = amount * 2 WHERE organization = 'acme' AND seq = 1",
        "UPDATE ledger_entry SET amount = amount / 2 WHERE organization = 'acme' AND seq = 1",
        "ledger_chained",
    ),
    (
        "UPDATE ledger_transaction SET kind = 'gift' WHERE organization = 'globex' AND seq = 1",
        "UPDATE ledger_transaction SET kind = 'grant' WHERE organization = 'globex' AND seq = 1",
        "ledger_chained",
    ),
    (
        "UPDATE ledger_head SET seq = seq - 1 WHERE organization = 'acme'",
        "UPDATE ledger_head SET seq = seq + 1 WHERE organization = 'acme'",
        "ledger_chained",
    ),
    (
        "UPDATE credit_balance SET remaining = remaining + 1 WHERE organization = 'acme'",
        "UPDATE credit_balance SET remaining = remaining - 1 WHERE organization = 'acme'",
        "grants_foot",
    ),
    (
        "UPDATE billing_cycle SET deficit_brought = 5 WHERE state = 'open' AND organization = 'acme'",
        "UPDATE billing_cycle SET deficit_brought = 0 WHERE state = 'open' AND organization = 'acme'",
        "deficits_carried",
    ),
    (
        "UPDATE usage_rollup SET credits = credits + 1 WHERE organization = 'acme'",
        "UPDATE usage_rollup SET credits = credits - 1 WHERE organization = 'acme'",
        "usage_rolled_up",
    ),
    (
        "UPDATE usage_event SET credits = credits + 1 WHERE organization = 'globex'",
        "UPDATE usage_event SET credits = credits - 1 WHERE organization = 'globex'",
        "usage_rolled_up",
    ),
    (
        "UPDATE usage_event SET credits = credits - 1 WHERE organization = 'acme'",
        "UPDATE usage_event SET credits = credits + 1 WHERE organization = 'acme'",
        "usage_rolled_up",
    ),
    (
        "UPDATE invoice SET draft = REPLACE(draft, 'Professional', 'Prof') WHERE organization = 'acme'",
        "UPDATE invoice SET draft = REPLACE(draft, 'Prof', 'Professional') WHERE organization = 'acme'",
        "invoices_intact",
    ),
    (
        "UPDATE invoice SET subtotal = subtotal + 1, total = total + 1, amount_due = amount_due + 1 WHERE organization = 'globex'",
        "UPDATE invoice SET subtotal = subtotal - 1, total = total - 1, amount_due = amount_due - 1 WHERE organization = 'globex'",
        "receivables_agree",
    ),
    // Less is given back than the credit note says.
    (
        "UPDATE refund SET amount = amount - 1 WHERE organization = 'acme'",
        "UPDATE refund SET amount = amount + 1 WHERE organization = 'acme'",
        "refunds_fit",
    ),
    (
        "UPDATE invoice SET series_number = series_number + 10 WHERE number = 'INV-2026-000004'",
        "UPDATE invoice SET series_number = series_number - 10 WHERE number = 'INV-2026-000004'",
        "numbers_gapless",
    ),
    (
        "UPDATE series SET last = last + 1 WHERE name LIKE 'INV%'",
        "UPDATE series SET last = last - 1 WHERE name LIKE 'INV%'",
        "numbers_gapless",
    ),
    (
        "UPDATE billing_cycle SET statement = REPLACE(statement, '2026-01', '2026-02') WHERE cycle = '2026-01' AND organization = 'acme'",
        "UPDATE billing_cycle SET statement = REPLACE(statement, '2026-02', '2026-01') WHERE cycle = '2026-01' AND organization = 'acme'",
        "closes_reproducible",
    ),
    (
        "UPDATE payment SET amount = amount - 1",
        "UPDATE payment SET amount = amount + 1",
        "payments_match_invoices",
    ),
    (
        "UPDATE purchase SET grant_id = NULL",
        "UPDATE purchase SET grant_id = (SELECT id FROM credit_grant WHERE source = 'purchase' AND granted = credits)",
        "purchases_granted_once",
    ),
    (
        "UPDATE audit SET reason = 'nothing to see here' WHERE seq = 1",
        "UPDATE audit SET reason = 'new catalog version' WHERE seq = 1",
        "audit_chained",
    ),
];

// F85, L1–L8, V2–V5, A1.
both_engines!(each_altered_fact_is_found, |world| {
    two_months(&world).await;
    unguard(&world).await;
    for (damage, repair, check) in DAMAGE {
        let broken = broken_by(&world, damage, repair).await;
        assert!(broken.contains(&check), "{damage}: only {broken:?}");
    }
});

/// What is cut out leaves a hole.
const CUT: [(&str, &str); 6] = [
    ("DELETE FROM ledger_entry WHERE organization = 'acme' AND seq = 2", "ledger_balanced"),
    ("DELETE FROM ledger_transaction WHERE organization = 'globex' AND seq = 1", "ledger_chained"),
    ("DELETE FROM usage_event WHERE organization = 'acme'", "usage_rolled_up"),
    ("DELETE FROM mail WHERE kind = 'invoice'", "mails_complete"),
    ("DELETE FROM audit WHERE seq = 1", "audit_chained"),
    ("DELETE FROM payment", "payments_match_invoices"),
];

both_engines!(each_missing_fact_is_found, |world| {
    two_months(&world).await;
    unguard(&world).await;
    for (damage, check) in CUT {
        assert!(world.execute(damage).await.unwrap() > 0);
        let names: Vec<_> = world.broken().await.into_iter().map(|check| check.name).collect();
        assert!(names.contains(&check), "{damage}: only {names:?}");
    }
});

// One bit of one document, or the whole of it.
both_engines!(an_altered_document_is_found, |world| {
    two_months(&world).await;
    for row in world.all_invoices().await {
        for path in [row.pdf.unwrap(), row.csv.unwrap()] {
            let file = world.home().join("documents").join(&path);
            let bytes = std::fs::read(&file).unwrap();
            for at in [0, bytes.len() / 2, bytes.len() - 1] {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1;
                write_durably(&file, &flipped).unwrap();
                let broken = world.broken().await;
                assert_eq!(broken.len(), 1, "{path} at {at}");
                assert_eq!(broken[0].name, "documents_intact");
                assert!(broken[0].detail().contains(&path), "{broken:?}");
            }
            std::fs::remove_file(&file).unwrap();
            assert_eq!(world.broken().await[0].name, "documents_intact");
            write_durably(&file, &bytes).unwrap();
        }
    }
    world.verify_ok().await;
});

// C6: what the provider says is what we say.
both_engines!(a_charge_the_provider_does_not_know_is_found, |world| {
    two_months(&world).await;
    std::fs::remove_file(world.home().join("sandbox-journal.jsonl")).unwrap();
    world.restart(&[]).await;
    let broken = world.broken().await;
    assert_eq!(
        broken.iter().map(|check| check.name).collect::<Vec<_>>(),
        ["charges_match_provider"]
    );
});
