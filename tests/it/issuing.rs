//! What issued documents say of who sells and who buys, and the order of their instants and numbers.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::invoice::Party;
use monthend::jobs::requests::{Rerun, rerun};
use monthend::storage::invoices;

use crate::harness::world::cycle;
use crate::harness::{Org, World, both_engines};

async fn joined(world: &World, ids: &[&str]) {
    world.set_clock("2026-01-01T09:00:00Z");
    let row = |id: &&str| {
        Org::new(id, "standard", "2026-01-01")
            .with("address", "1 Way| |2 Town")
            .with("country", "DE")
            .with("tax_id", "DE1")
    };
    world.organizations(&ids.iter().map(row).collect::<Vec<_>>()).await;
}

/// The invoice of one organization alone, closed and issued now.
async fn issued(world: &World, id: &str) {
    let organizations = [id.to_owned()];
    let request = Rerun {
        job: "monthly_close",
        cycle: Some(cycle("2026-01")),
        organizations: &organizations,
        reason: "one after the other",
    };
    assert!(rerun(&world.app(), &request).await.unwrap().is_clean());
}

// EN 16931, BG-4 and BG-7: both parties stand on the invoice, without empty lines.
both_engines!(both_parties_stand_on_an_invoice, |world| {
    joined(&world, &["acme"]).await;
    world.set_clock("2026-02-01T02:10:00Z");
    world.clean_tick().await;
    let id = world.table("SELECT id FROM invoice").await.concat().concat();
    let mut tx = world.app().db.read().await.unwrap();
    let row = invoices::document(&mut tx, "acme", &id).await.unwrap().unwrap();
    let header = row.document().unwrap().header;
    let lines = |lines: [&str; 2]| lines.map(str::to_owned).to_vec();
    let text = |text: &str| Some(text.to_owned());
    let seller = Party {
        name: "Example AI Platform Ltd".to_owned(),
        address: lines(["1 Example Street", "10000 Example City"]),
        country: text("XX"),
        tax_id: text("XX000000000"),
        email: None,
    };
    assert_eq!(header.seller, seller);
    assert_eq!(header.buyer.address, lines(["1 Way", "2 Town"]));
    assert_eq!((header.buyer.country, header.buyer.tax_id), (text("DE"), text("DE1")));
    assert!(!header.buyer.name.is_empty() && header.buyer.email.is_some());
});

// V3: a later number is never issued earlier, though another host's clock is some minutes behind.
both_engines!(a_later_number_is_not_issued_earlier, |world| {
    joined(&world, &["acme", "globex"]).await;
    world.set_clock("2026-02-01T02:10:00Z");
    issued(&world, "acme").await;
    world.set_clock("2026-02-01T02:07:00Z");
    issued(&world, "globex").await;
    let instants = "SELECT CAST(issued_at AS TEXT) FROM invoice ORDER BY series_number";
    let instants = world.table(instants).await.concat();
    assert_eq!(instants.len(), 2);
    assert!(instants[0] <= instants[1], "{instants:?}");
});
