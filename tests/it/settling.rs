//! The provider's word is settled once: what contradicts an end leaves nothing, and what was called off is nobody's
//! decline.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::payment::{ChargeOutcome, Decline};
use monthend::jobs::requests;
use monthend::services::charging::attempts::Next;
use monthend::services::charging::{self, Transfer};
use monthend::services::methods;
use monthend::storage::charges;
use monthend::storage::invoices::Row;

use crate::harness::provider::{Flaky, Line};
use crate::harness::{Org, World, both_engines};

async fn closed_january(world: &World, how: &str) {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays(how)]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
}

/// Invoices, payments, calendars, mails, postings and methods that are not to be charged.
async fn stands(world: &World) -> Vec<String> {
    let invoice = world.invoice("acme").await;
    let mut stands = vec![invoice.status, invoice.payment_status];
    for from in [
        "payment",
        "dunning",
        "mail",
        "notice",
        "step",
        "ledger_transaction",
        "payment_method WHERE state <> 'usable'",
    ] {
        stands.push(format!("{from} {}", world.count(from).await));
    }
    stands
}

/// The provider says something about the charge of the one invoice.
async fn says(world: &World, outcome: ChargeOutcome) {
    let (app, invoice) = (world.app(), world.invoice("acme").await);
    let mut tx = app.db.write().await.unwrap();
    let charge = charges::of_subject(&mut tx, "acme", &invoice.id).await.unwrap().remove(0);
    let follows = charging::settle(&app, &mut tx, &charge, &outcome).await.unwrap();
    tx.commit().await.unwrap();
    assert!(follows.mails.is_empty() && follows.documents.is_empty(), "{follows:?}");
    assert!(follows.refunds.is_empty() && follows.charges.is_empty(), "{follows:?}");
}

fn declined(hard: bool) -> ChargeOutcome {
    let decline = Decline { code: "stolen_card".to_owned(), hard, message: "Stolen.".to_owned() };
    ChargeOutcome::Declined { provider_id: Some("pi_late".to_owned()), decline }
}

fn succeeded() -> ChargeOutcome {
    ChargeOutcome::Succeeded { provider_id: "pi_late".to_owned() }
}

// F69: late or out of order, an answer about a charge that took money takes nothing back.
both_engines!(a_decline_after_a_capture_changes_nothing, |world| {
    closed_january(&world, "ok").await;
    let before = stands(&world).await;
    assert_eq!(before[..2], ["settled", "paid"]);
    for outcome in [declined(true), declined(false), succeeded()] {
        says(&world, outcome).await;
        assert_eq!(stands(&world).await, before);
    }
});

// F69: nor does one about a declined charge book money: a person compares with the provider.
both_engines!(a_capture_after_a_decline_changes_nothing, |world| {
    closed_january(&world, "declined").await;
    let before = stands(&world).await;
    assert_eq!(before[..2], ["issued", "declined"]);
    for outcome in [succeeded(), declined(true)] {
        says(&world, outcome).await;
        assert_eq!(stands(&world).await, before);
    }
});

// A charge that never reached the provider is closed by a person: nobody declined it, so no letter says so and the
// calendar does not begin with it.
both_engines!(a_voided_charge_is_nobodys_decline, |world| {
    let provider = Flaky::new(world.home(), Line::LosesRequests);
    world.collect_by(provider.clone()).await;
    closed_january(&world, "ok").await;
    let invoice = world.invoice("acme").await;
    let letters = "mail WHERE kind = 'payment_failed'";
    assert_eq!((invoice.payment_status.as_str(), world.count(letters).await), ("unknown", 0));
    world.pass(3 * 24 * 3_600);
    provider.set(Line::Works);
    let number = invoice.number.unwrap();
    requests::void_charge(&world.app(), &number, "it never arrived").await.unwrap();
    assert_eq!(world.invoice("acme").await.payment_status, "declined");
    assert_eq!((world.count(letters).await, world.count("dunning").await), (0, 0));
});

/// What may be charged of an invoice as it was read some time ago.
async fn may_charge(world: &World, row: &Row) -> Next {
    let app = world.app();
    let mut tx = app.db.write().await.unwrap();
    charging::next_attempt(&app, &mut tx, row).await.unwrap()
}

// F66: who read an invoice while it was unpaid looks again under the lock: paid meanwhile, it is not charged. Nor is
// anything where nobody collects.
both_engines!(what_is_paid_meanwhile_is_not_charged, |world| {
    closed_january(&world, "declined").await;
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "a new card").await.unwrap();
    let read = world.invoice("acme").await;
    assert!(matches!(may_charge(&world, &read).await, Next::Attempt(_)));
    let number = read.number.clone().unwrap();
    let transfer = Transfer {
        number: &number,
        amount: None,
        received_on: "2026-02-01".parse().unwrap(),
        reference: "bank 1",
        reason: "arrived",
    };
    world.restart(&[("gateway = \"sandbox\"", "gateway = \"manual\"")]).await;
    assert!(matches!(may_charge(&world, &read).await, Next::NothingToPay));
    world.restart(&[("gateway = \"manual\"", "gateway = \"sandbox\"")]).await;
    requests::record_transfer(&world.app(), &transfer).await.unwrap();
    assert!(matches!(may_charge(&world, &read).await, Next::NothingToPay));
    assert_eq!(world.count("charge").await, 1);
});

// A transfer is recorded once it has arrived, for the whole amount, and not before the month it pays began.
both_engines!(transfers_that_cannot_be_are_refused, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&["acme", "bolt"].map(|id| Org::new(id, "standard", "2026-01-01"))).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let record = async |id: &str, received_on: &str, amount: Option<&str>| {
        let number = world.invoice(id).await.number.unwrap();
        let transfer = Transfer {
            number: &number,
            amount,
            received_on: received_on.parse().unwrap(),
            reference: "bank 1",
            reason: "arrived",
        };
        requests::record_transfer(&world.app(), &transfer).await
    };
    for (received_on, amount, why) in [
        ("2026-02-02", None, "lies in the future"),
        ("2025-12-31", None, "lies before the cycle 2026-01"),
        ("2026-02-01", Some("1.00"), "is due 49.00 USD, not 1.00 USD"),
        ("2026-02-01", Some("49.01"), "is due 49.00 USD, not 49.01 USD"),
    ] {
        let refused = record("acme", received_on, amount).await.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
    assert_eq!(world.count("payment").await, 0);
    assert!(record("acme", "2026-02-01", Some("49.00")).await.unwrap().is_clean());
    assert!(record("bolt", "2026-01-01", None).await.unwrap().is_clean());
    let again = record("acme", "2026-02-01", None).await.unwrap_err().to_string();
    assert!(again.contains("is settled already"), "{again}");
    assert_eq!(world.count("payment").await, 2);
});
