//! The same history on both engines is the same history, hash by hash and byte by byte.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::fmt::Write;
use std::sync::Arc;

use monthend::domain::grant::Source;
use monthend::domain::ids::sha256_hex;
use monthend::jobs::requests;
use monthend::services::charging::Transfer;
use monthend::services::credits;
use monthend::services::purchases::Wanted;

use crate::harness::world::whole;
use crate::harness::{Engine, Org, World, events, run};

/// Several zones, currencies, taxes, contracts and ways to pay.
fn customers() -> Vec<Org> {
    let org = |id, plan, joined| Org::new(id, plan, joined);
    vec![
        org("acme", "standard", "2026-01-01").pays("ok"),
        org("berlin", "professional", "2026-01-15")
            .with("zone", "Europe/Berlin")
            .with("currency", "EUR")
            .with("tax_percent", "19")
            .with("billing_email", "a@berlin.example;b@berlin.example")
            .pays("timeout_after"),
        org("kuwait", "enterprise", "2026-01-01")
            .with("zone", "Asia/Kuwait")
            .with("currency", "KWD")
            .with("allowance", "100.5")
            .with("rollover_cycles", "2")
            .with("rollover_cap", "50%")
            .with("overage_price", "0.30715")
            .with("fee", "12.345")
            .pays("declined"),
        // Sorts differently by the rules of a language than by bytes.
        org("o-10", "starter", "2026-01-01").with("zone", "Pacific/Kiritimati"),
        org("o1", "standard", "2026-01-01").with("currency", "JPY").with("tax_percent", "10"),
        org("o_1", "standard", "2026-01-01").with("zone", "Pacific/Pago_Pago").pays("needs_action"),
        org("tokyo", "professional", "2026-01-31")
            .with("zone", "Asia/Tokyo")
            .with("name", "株式会社 Ω «Ünïcode» =1+1")
            .with("currency", "JPY")
            .pays("timeout_before"),
    ]
}

async fn january(world: &World) {
    world.set_clock("2026-01-01T00:00:00Z");
    world.organizations(&customers()).await;
    world.set_clock("2026-01-31T15:30:00.123456Z");
    world
        .accepted_usage(&events(&[
            ("z", "acme", "2026-01-05T10:00:00Z", "1250.000000001"),
            ("a", "acme", "2026-01-05T10:00:00Z", "0.1"),
            ("1", "berlin", "2026-01-31T14:59:59.999999Z", "77"),
            ("1", "kuwait", "2026-01-20T10:00:00Z", "333.333333333"),
            ("1", "o-10", "2026-01-31T09:59:59Z", "20"),
            ("2", "o-10", "2026-01-31T10:00:00Z", "30"),
            ("1", "tokyo", "2026-01-31T15:00:00Z", "5"),
        ]))
        .await;
    let quarantined = world
        .usage(&events(&[
            ("9", "nobody", "2026-01-05T10:00:00Z", "1"),
            ("z", "acme", "2026-01-05T10:00:00Z", "2"),
        ]))
        .await;
    assert_eq!(quarantined.quarantined.len(), 2);
    for (buyer, wanted) in [
        ("acme", Wanted::Package("standard".to_owned())),
        ("kuwait", Wanted::Credits(whole(7))),
        ("berlin", Wanted::Credits("12.345678901".parse().unwrap())),
    ] {
        requests::buy(&world.app(), buyer, &wanted).await.unwrap();
    }
    let app = world.app();
    credits::grant(&app, "o1", whole(3), Source::Promotional, "sorry").await.unwrap();
}

async fn february(world: &World) {
    world.set_clock("2026-02-01T13:00:00Z");
    assert!(world.tick(None).await.unwrap().is_clean());
    world.set_clock("2026-02-10T08:00:00Z");
    // Late use, a new plan, a better card, a transfer.
    world
        .accepted_usage(&events(&[
            ("late", "kuwait", "2026-01-30T10:00:00Z", "40"),
            ("2", "kuwait", "2026-02-09T10:00:00Z", "90.25"),
            ("2", "berlin", "2026-02-09T10:00:00Z", "4000"),
        ]))
        .await;
    let mut changed = customers();
    let kuwait = changed.remove(2).pays("ok");
    world.organizations(&[kuwait, changed.remove(0).with("plan", "professional")]).await;
    let runs = world.table("SELECT id FROM run WHERE job = 'monthly_close' ORDER BY id").await;
    for run in runs.concat() {
        // Only one of the runs has anything to retry for it.
        requests::retry(&world.app(), &run, Some("kuwait"), "new card").await.ok();
    }
    assert_eq!(world.invoice("kuwait").await.payment_status, "paid");
    let number = world.invoice("o1").await.number.unwrap();
    let transfer = Transfer {
        number: &number,
        amount: None,
        received_on: "2026-02-09".parse().unwrap(),
        reference: "bank 1",
        reason: "statement",
    };
    requests::record_transfer(&world.app(), &transfer).await.unwrap();
    for instant in ["2026-03-01T13:00:00Z", "2026-04-01T13:00:00Z"] {
        world.set_clock(instant);
        assert!(world.tick(None).await.unwrap().is_clean());
    }
}

/// What must not depend on the engine: everything but random ids and what is derived from them.
const FACTS: [&str; 12] = [
    "SELECT organization, CAST(seq AS TEXT), hash FROM ledger_head ORDER BY 1",
    "SELECT organization, CAST(seq AS TEXT), kind, key, cycle, hash FROM ledger_transaction ORDER BY 1, CAST(seq AS BIGINT)",
    "SELECT organization, CAST(seq AS TEXT), CAST(line AS TEXT), account, grant_id, unit, CAST(amount AS TEXT) \
     FROM ledger_entry ORDER BY organization, ledger_entry.seq, ledger_entry.line",
    "SELECT number, organization, cycle, status, payment_status, content_hash, draft, header FROM invoice ORDER BY 2, 3",
    "SELECT path, sha256 FROM artifact ORDER BY 1",
    "SELECT organization, cycle, state, outcome, terms, statement FROM billing_cycle ORDER BY 1, 2",
    "SELECT organization, id, source, cycle, last_cycle FROM credit_grant ORDER BY 1, 2",
    "SELECT organization, grant_id, CAST(remaining AS TEXT) FROM credit_balance ORDER BY 1, 2",
    "SELECT organization, id, state, cycle, CAST(tax AS TEXT) FROM purchase ORDER BY 1, 2",
    "SELECT organization, id, CAST(attempt AS TEXT), state, decline_code FROM charge ORDER BY 1, 2",
    "SELECT organization, key, state, recipient FROM mail ORDER BY 1, 2",
    "SELECT id, kind, state, subject FROM step ORDER BY 1",
];

async fn told(world: Arc<World>) -> Vec<String> {
    january(&world).await;
    february(&world).await;
    let mut lines = Vec::new();
    for facts in FACTS {
        let rows = world.table(facts).await;
        assert!(!rows.is_empty(), "{facts}");
        lines.extend(rows.into_iter().map(|row| row.join(" | ")));
    }
    let mut documents = String::new();
    for row in world.all_invoices().await {
        for path in [row.pdf.unwrap(), row.csv.unwrap()] {
            let bytes = std::fs::read(world.home().join("documents").join(&path)).unwrap();
            writeln!(documents, "{path} {}", sha256_hex(&bytes)).unwrap();
        }
    }
    lines.extend(documents.lines().map(str::to_owned));
    for row in world.all_invoices().await {
        let statement = world.statement(&row.organization, &row.cycle).await;
        lines.push(format!("{statement:?}"));
    }
    lines
}

// One history, two engines, one truth.
#[test]
fn both_engines_tell_the_same_history() {
    let sqlite = run(Engine::Sqlite, told);
    let postgres = run(Engine::Postgres, told);
    assert!(sqlite.len() > 200, "{}", sqlite.len());
    for (one, other) in sqlite.iter().zip(&postgres) {
        assert_eq!(one, other);
    }
    assert_eq!(sqlite.len(), postgres.len());
}
