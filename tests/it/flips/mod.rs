//! One value flipped anywhere in ledger, invoices and documents: `verify` finds it and says where.
//!
//! A seed says which row, which column, which bit. `MONTHEND_FLIPS_SEED=7 cargo test --test it -- flips` replays one;
//! `MONTHEND_FLIPS=1000` asks for so many on each engine.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]
#![expect(clippy::print_stdout, reason = "what was counted is said")]

mod alter;

use monthend::app::{App, open_database};
use monthend::files::write_durably;
use monthend::jobs::requests::{self, record_transfer};
use monthend::services::charging::Transfer;
use monthend::services::credit_notes;
use monthend::services::purchases::Wanted;
use monthend::verify::{Check, verify};

use crate::harness::world::whole;
use crate::harness::{Engine, Org, World, both_engines, events, run};
use crate::simulation::chance::Chance;

/// Tables whose rows are flipped, with the columns that name a row.
const TABLES: [(&str, &[&str]); 17] = [
    ("ledger_transaction", &["organization", "seq"]),
    ("ledger_entry", &["organization", "seq", "line"]),
    ("ledger_head", &["organization"]),
    ("credit_grant", &["organization", "id"]),
    ("credit_balance", &["organization", "grant_id"]),
    ("invoice", &["organization", "id"]),
    ("document", &["organization", "id"]),
    ("artifact", &["organization", "invoice_id", "kind"]),
    ("payment", &["organization", "id"]),
    ("payment_reversal", &["organization", "payment_id"]),
    ("purchase", &["organization", "id"]),
    ("usage_event", &["organization", "source", "event_id"]),
    (
        "usage_rollup",
        &[
            "organization",
            "billed_cycle",
            "cycle",
            "day",
            "meter",
            "project",
            "member",
            "environment",
            "model",
            "supplier",
        ],
    ),
    ("billing_cycle", &["organization", "cycle"]),
    ("audit", &["seq"]),
    ("series", &["name"]),
    ("catalog_version", &["version"]),
];

/// Columns that may be flipped unseen, and why.
const FREE: [(&str, &str, &str); 9] = [
    ("invoice", "issued_at", "on no document and in no book; only its order is checked"),
    ("document", "issued_at", "the same"),
    ("purchase", "created_at", "its millisecond is in its id; nothing says its microseconds"),
    ("usage_event", "event_id", "names it and is in no hash: another name is another event"),
    ("usage_event", "batch", "which call stored it"),
    ("usage_event", "recorded_at", "when it came in, of no bearing on any figure"),
    ("payment", "received_on", "of a transfer: finance's word alone says it"),
    ("billing_cycle", "terms", "corrected by finance; checked as far as a figure depends on them"),
    ("billing_cycle", "fee_billed", "the same"),
];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Three closed months: purchases with receipts, a refunded credit note, a transfer, dunning, a gift.
async fn three_months(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    world
        .organizations(&[
            Org::new("acme", "professional", "2026-01-01").pays("ok").with("tax_percent", "19"),
            Org::new("bolt", "standard", "2026-01-01").pays("declined").with("currency", "EUR"),
            Org::new("cora", "standard", "2026-01-01").with("zone", "Asia/Tokyo"),
        ])
        .await;
    for (month, id) in [("01", "1"), ("02", "2"), ("03", "3")] {
        let at = format!("2026-{month}-19T09:00:00Z");
        world.set_clock(&format!("2026-{month}-20T09:00:00Z"));
        world
            .accepted_usage(&events(&[
                (id, "acme", &at, "10"),
                (id, "bolt", &at, "3"),
                (id, "cora", &at, "1100"),
            ]))
            .await;
        requests::buy(&world.app(), "acme", &Wanted::Credits(whole(5))).await.unwrap();
        let app = world.app();
        let gift = monthend::domain::grant::Source::Promotional;
        monthend::services::credits::grant(&app, "bolt", whole(2), gift, "a gift").await.unwrap();
        let next = month.parse::<u8>().unwrap() + 1;
        world.set_clock(&format!("2026-0{next}-01T03:10:00Z"));
        world.tick(None).await.unwrap();
    }
    let paid = world.invoices("acme").await.remove(0).number.unwrap();
    let wanted =
        credit_notes::Wanted { number: &paid, amount: Some("1.00"), credits: None, reason: "test" };
    requests::credit(&world.app(), &wanted).await.unwrap();
    let due = world.invoices("cora").await.remove(0).number.unwrap();
    let transfer = Transfer {
        number: &due,
        amount: None,
        received_on: "2026-03-31".parse().unwrap(),
        reference: "bank 17",
        reason: "arrived",
    };
    record_transfer(&world.app(), &transfer).await.unwrap();
    requests::reverse_transfer(&world.app(), &due, "another's").await.unwrap();
    let again = Transfer { reference: "bank 18", ..transfer };
    record_transfer(&world.app(), &again).await.unwrap();
    world.verify_ok().await;
    world.do_damage();
}

/// What `verify` says, whichever way: checks that fail, or a row that cannot be read.
async fn said(app: &App) -> String {
    match verify(app).await {
        Err(error) => error.to_string(),
        Ok(checks) => {
            let broken = checks.iter().filter(|check| !check.ok());
            broken.map(Check::detail).collect::<Vec<_>>().join("\n")
        }
    }
}

/// One flip in the database, and back.
async fn flip_a_value(world: &World, random: &mut Chance, note: &str) {
    // A constraint may refuse what was chosen: another is chosen then.
    for _ in 0..200 {
        let (table, keys) = *random.pick(&TABLES).unwrap();
        let Some(flip) = alter::choose(world, random, table, keys, &FREE).await else { continue };
        if world.execute(&flip.damage).await.is_err() {
            continue;
        }
        let said = said(&world.app()).await;
        assert!(!said.is_empty(), "{note}: not found: {}", flip.damage);
        assert!(
            flip.names.iter().any(|name| said.contains(name.as_str())),
            "{note}: {} is not named ({:?}): {said}",
            flip.damage,
            flip.names
        );
        assert_eq!(world.execute(&flip.repair).await.unwrap(), 1, "{note}: {}", flip.repair);
        return;
    }
    unreachable!("{note}: nothing could be flipped");
}

/// One bit of one file, and back.
async fn flip_a_file(world: &World, random: &mut Chance, paths: &[String], note: &str) {
    let path = random.pick(paths).unwrap();
    let file = world.home().join("documents").join(path);
    let bytes = std::fs::read(&file).unwrap();
    let at = usize::try_from(random.below(u32::try_from(bytes.len()).unwrap())).unwrap();
    let mut flipped = bytes.clone();
    flipped[at] ^= 1 << random.below(8);
    write_durably(&file, &flipped).unwrap();
    let said = said(&world.app()).await;
    assert!(said.contains(path), "{note}: byte {at} of {path}: {said}");
    write_durably(&file, &bytes).unwrap();
}

both_engines!(each_flip_is_found_and_named, |world| {
    three_months(&world).await;
    alter::unguard(&world).await;
    let paths = world.table("SELECT path FROM artifact ORDER BY path").await.concat();
    assert!(paths.len() >= 20);
    let seed = number("MONTHEND_FLIPS_SEED").unwrap_or(1);
    let count = number("MONTHEND_FLIPS").unwrap_or(60);
    for at in 0..count {
        let note = format!("MONTHEND_FLIPS_SEED={seed}, flip {at}");
        let mut random = Chance::of(seed, &["flip", &at.to_string()]);
        if random.below(8) == 0 {
            flip_a_file(&world, &mut random, &paths, &note).await;
        } else {
            flip_a_value(&world, &mut random, &note).await;
        }
        // Back again: what is found next is the next flip.
        assert_eq!(said(&world.app()).await, "", "{note}: not repaired");
    }
    println!("{count} of {count} flips found on {} (seed {seed})", world.app().db.engine());
});

// A byte of the database file itself: it is reported, or no row that counts reads otherwise.
#[test]
fn each_flipped_byte_of_the_file_is_found_or_holds_no_fact() {
    run(Engine::Sqlite, async |world| {
        three_months(&world).await;
        let before = alter::dump(&world.app().db, &TABLES, &FREE).await.unwrap();
        world.app().db.close().await;
        let file = world.home().join("monthend.db");
        let bytes = std::fs::read(&file).unwrap();
        let seed = number("MONTHEND_FLIPS_SEED").unwrap_or(1);
        let count = number("MONTHEND_FLIPS").unwrap_or(60);
        let (mut found, mut free) = (0, 0);
        for at in 0..count {
            let mut random = Chance::of(seed, &["byte", &at.to_string()]);
            let place = usize::try_from(random.below(u32::try_from(bytes.len()).unwrap())).unwrap();
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << random.below(8);
            for rest in ["monthend.db-wal", "monthend.db-shm"] {
                let _ = std::fs::remove_file(world.home().join(rest));
            }
            write_durably(&file, &flipped).unwrap();
            if is_reported(&world).await {
                found += 1;
                continue;
            }
            let db = open_database(&world.options().database.unwrap()).await.unwrap();
            let after = alter::dump(&db, &TABLES, &FREE).await;
            db.close().await;
            assert!(
                after.is_ok_and(|after| after == before),
                "MONTHEND_FLIPS_SEED={seed}: byte {place} changed a row, and nothing says so"
            );
            free += 1;
        }
        write_durably(&file, &bytes).unwrap();
        println!("{count} bytes flipped (seed {seed}): {found} reported, {free} held no fact");
        assert_eq!(found + free, count);
    });
}

/// Does the engine or `verify` say that something is wrong?
async fn is_reported(world: &World) -> bool {
    let options = world.options();
    let Ok(db) = open_database(options.database.as_deref().unwrap()).await else { return true };
    let config = world.app().config.clone();
    let Ok(app) = App::with_database(options, config, db.clone()).await else {
        db.close().await;
        return true;
    };
    let reported = !said(&app).await.is_empty();
    app.db.close().await;
    reported
}
