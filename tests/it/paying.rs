//! Invoices are paid once, declined politely, or wait for a transfer.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::sync::Arc;

use monthend::jobs::report::Report;
use monthend::jobs::requests::{self, record_transfer};
use monthend::services::charging::Transfer;
use monthend::services::{ServiceError, methods};
use monthend::storage::methods as saved;

use crate::harness::provider::{Flaky, Line};
use crate::harness::{Org, World, both_engines};

/// How each organization pays, and what becomes of its invoice: status, payment status, times the
/// provider took money, the mail that tells it.
const ENDS: [(&str, &str, &str, usize, Option<&str>); 7] = [
    ("ok", "settled", "paid", 1, Some("receipt")),
    ("declined", "issued", "declined", 0, Some("payment_failed")),
    ("stolen", "issued", "declined", 0, Some("payment_failed")),
    ("needs_action", "issued", "needs_action", 0, Some("payment_failed")),
    ("timeout_before", "settled", "paid", 1, Some("receipt")),
    ("timeout_after", "settled", "paid", 1, Some("receipt")),
    ("none", "issued", "due", 0, None),
];

fn paying(how: &str) -> Org {
    let org = Org::new(how, "standard", "2026-01-01");
    if how == "none" { org } else { org.pays(how) }
}

async fn everybody_is_billed(world: &World) -> String {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&ENDS.map(|(how, ..)| paying(how))).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let mut report = world.clean_tick().await;
    assert_eq!(report.runs.len(), 1);
    report.runs.remove(0).run.id
}

/// Where an organization's one invoice stands.
async fn stands(world: &World, organization: &str) -> (String, String) {
    let row = world.invoice(organization).await;
    (row.status, row.payment_status)
}

fn paid() -> (String, String) {
    ("settled".to_owned(), "paid".to_owned())
}

// F62, F63, F66: one close, every kind of answer; a decline is an outcome, not an error.
both_engines!(every_answer_has_its_end, |world| {
    everybody_is_billed(&world).await;
    for (how, status, payment, taken, mail) in ENDS {
        assert_eq!(stands(&world, how).await, (status.to_owned(), payment.to_owned()), "{how}");
        assert_eq!(world.taken(how), taken, "{how}");
        let mut mails = vec!["invoice"];
        mails.extend(mail);
        assert_eq!(world.mails(how).await, mails, "{how}");
    }
    // Every key that the provider knows is one of ours (C4), and paid invoices are in the books (C1).
    let keys = world.table("SELECT key FROM charge").await.concat();
    assert!(world.journal().iter().all(|record| keys.contains(&record.key)));
    assert_eq!(world.count("payment").await, 3);
    assert_eq!(world.count("ledger_transaction WHERE kind = 'payment'").await, 3);
});

// F66: a new attempt has a new key, and only after the last one is final (C5).
both_engines!(a_declined_invoice_is_paid_with_a_new_method, |world| {
    let run = everybody_is_billed(&world).await;
    // The card that was declined softly may be tried again: declined again.
    world.retry(&run, Some("declined")).await;
    assert_eq!(stands(&world, "declined").await.1, "declined");
    assert_eq!(world.count("charge WHERE organization = 'declined'").await, 2);
    // Who must act first is asked for again, and not charged around.
    world.retry(&run, Some("needs_action")).await;
    assert_eq!(stands(&world, "needs_action").await.1, "needs_action");
    assert_eq!(world.count("charge WHERE organization = 'needs_action'").await, 1);
    // The stolen one may not be tried again.
    for how in ["stolen", "none"] {
        let refused = requests::retry(&world.app(), &run, Some(how), "test").await;
        assert!(matches!(refused, Err(ServiceError::Refused(_))), "{how}: {refused:?}");
    }
    for how in ["declined", "stolen"] {
        world.organizations(&[paying(how).pays("ok")]).await;
        let report = world.retry(&run, Some(how)).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!(stands(&world, how).await, paid());
        assert_eq!(
            (world.taken(how), world.mails(how).await.contains(&"receipt".to_owned())),
            (1, true)
        );
    }
    // Paid is paid.
    for how in ["declined", "stolen"] {
        assert!(requests::retry(&world.app(), &run, Some(how), "test").await.is_err());
    }
    world.clean_tick().await;
    assert_eq!((world.taken("declined"), world.taken("stolen")), (1, 1));
});

async fn transfer(
    world: &World,
    number: &str,
    amount: Option<&str>,
) -> Result<Report, ServiceError> {
    let received_on = "2026-02-01".parse().unwrap();
    let transfer =
        Transfer { number, amount, received_on, reference: "bank 4711", reason: "statement 12" };
    record_transfer(&world.app(), &transfer).await
}

// S43: bank transfers are recorded once, for the whole amount, and never beside a live charge.
both_engines!(a_transfer_settles_an_invoice_once, |world| {
    everybody_is_billed(&world).await;
    let number = world.invoice("none").await.number.unwrap();
    let short = transfer(&world, &number, Some("48.99")).await.unwrap_err().to_string();
    assert!(short.contains("49.00"), "{short}");
    assert!(transfer(&world, &number, Some("49.00")).await.unwrap().is_clean());
    assert_eq!(stands(&world, "none").await, paid());
    assert_eq!(world.mails("none").await, ["invoice", "receipt"]);
    assert!(transfer(&world, &number, None).await.is_err());
    let live = world.invoice("needs_action").await.number.unwrap();
    let refused = transfer(&world, &live, None).await.unwrap_err().to_string();
    assert!(refused.contains("may still take the money"), "{refused}");
    // A declined one is nobody's but the bank's now.
    let declined = world.invoice("declined").await.number.unwrap();
    transfer(&world, &declined, None).await.unwrap();
    assert_eq!((stands(&world, "declined").await, world.taken("declined")), (paid(), 0));
    assert_eq!(world.count("payment WHERE method = 'transfer'").await, 2);
});

// Without a provider nothing is charged, whatever method is stored.
both_engines!(the_manual_gateway_waits_for_transfers, |world| {
    world.restart(&[("gateway = \"sandbox\"", "gateway = \"manual\"")]).await;
    everybody_is_billed(&world).await;
    assert_eq!((world.count("charge").await, world.journal().len()), (0, 0));
    for (how, ..) in ENDS {
        assert_eq!(stands(&world, how).await.1, "due", "{how}");
        assert_eq!(world.mails(how).await, ["invoice"]);
    }
    let number = world.invoice("ok").await.number.unwrap();
    transfer(&world, &number, None).await.unwrap();
    assert_eq!(stands(&world, "ok").await, paid());
});

// F68, F73: nobody knows what became of the charges; nothing else waits for it, nothing is sent twice.
both_engines!(a_provider_that_loses_its_answers_charges_once, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let rows: Vec<Org> = (0..20)
        .map(|n| Org::new(&format!("o{n:02}"), "standard", "2026-01-01").pays("ok"))
        .collect();
    world.organizations(&rows).await;
    let provider = Flaky::new(world.home(), Line::LosesAnswers);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    // Documents and mails are out all the same.
    assert_eq!(world.count("mail WHERE kind = 'invoice' AND state = 'sent'").await, 20);
    // Some are unknown; the others wait: after five questions without an answer nothing more is sent.
    let unknown = world.count("invoice WHERE payment_status = 'unknown'").await;
    assert!((5..=20).contains(&unknown), "{unknown}");
    let sent = provider.sent();
    for minutes in [1, 5, 15] {
        world.pass(minutes * 60);
        world.tick(None).await.unwrap();
    }
    world.verify_ok().await;
    assert!(provider.sent() <= sent + 8, "{} after {sent}", provider.sent());
    provider.set(Line::Works);
    for _ in 0..4 {
        world.pass(3_600);
        world.tick(None).await.unwrap();
    }
    assert!(world.tick(None).await.unwrap().is_clean());
    assert_eq!(provider.sent(), 20);
    assert_eq!(world.count("invoice WHERE payment_status = 'paid'").await, 20);
    assert!(rows.iter().zip(0..).all(|(_, n)| world.taken(&format!("o{n:02}")) == 1));
});

// F67: a key older than the provider's window is never sent again; a person decides.
both_engines!(an_old_key_is_not_sent_again, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    let provider = Flaky::new(world.home(), Line::LosesRequests);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    assert_eq!((provider.sent(), stands(&world, "acme").await.1.as_str()), (1, "unknown"));
    provider.set(Line::Works);
    world.pass(23 * 3_600);
    let report = world.tick(None).await.unwrap();
    assert!(!report.is_clean());
    let parked = world.parked().await;
    assert_eq!((parked.len(), provider.sent(), world.taken("acme")), (1, 1, 0));
    let reason = parked[0].error.clone().unwrap();
    assert!(reason.contains("check with the provider"), "{reason}");
    // Nobody charges around it, and the transfer must wait for the provider's word.
    let number = world.invoice("acme").await.number.unwrap();
    assert!(transfer(&world, &number, None).await.is_err());
});

// F70: a debit that settles later is asked for daily, and paid when it is.
both_engines!(a_pending_debit_is_settled_later, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    let provider = Flaky::new(world.home(), Line::Pending);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    assert_eq!(stands(&world, "acme").await.1, "pending");
    world.pass(24 * 3_600);
    world.tick(None).await.unwrap();
    assert_eq!((stands(&world, "acme").await.1.as_str(), provider.sent()), ("pending", 1));
    world.verify_ok().await;
    assert_eq!(world.mails("acme").await, ["invoice"]);
    provider.set(Line::Works);
    world.pass(24 * 3_600);
    world.tick(None).await.unwrap();
    assert_eq!((stands(&world, "acme").await, provider.sent()), (paid(), 1));
    assert_eq!(world.mails("acme").await, ["invoice", "receipt"]);
});

/// A month is billed while the provider is away: nothing was sent.
async fn billed_while_down(world: &World, how: &str) -> Arc<Flaky> {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays(how)]).await;
    let provider = Flaky::new(world.home(), Line::Down);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    assert!(!world.tick(None).await.unwrap().is_clean());
    provider
}

// F73: a provider that cannot be reached is tried again; nobody is told their card was declined.
both_engines!(a_provider_that_is_down_is_tried_again, |world| {
    let provider = billed_while_down(&world, "ok").await;
    assert_eq!((provider.sent(), world.mails("acme").await), (0, vec!["invoice".to_owned()]));
    world.verify_ok().await;
    provider.set(Line::Works);
    world.pass(3_600);
    assert!(world.tick(None).await.unwrap().is_clean());
    assert_eq!((stands(&world, "acme").await, provider.sent()), (paid(), 1));
    assert_eq!(world.mails("acme").await, ["invoice", "receipt"]);
});

// F65, F73: away from Friday to Monday; every charge is made when it is back, and no person is needed.
both_engines!(a_provider_that_is_away_all_weekend_costs_nothing, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let rows: Vec<Org> = (0..20)
        .map(|n| Org::new(&format!("o{n:02}"), "standard", "2026-01-01").pays("ok"))
        .collect();
    world.organizations(&rows).await;
    let provider = Flaky::new(world.home(), Line::Down);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    for _ in 0..120 {
        world.tick(None).await.unwrap();
        world.pass(30 * 60);
    }
    assert_eq!((provider.sent(), world.parked().await.len()), (0, 0));
    provider.set(Line::Works);
    for _ in 0..4 {
        world.pass(3_600);
        world.tick(None).await.unwrap();
    }
    assert_eq!(
        (provider.sent(), world.count("invoice WHERE payment_status = 'paid'").await),
        (20, 20)
    );
});

// A card that was taken away while its charge waited was charged when the provider was back.
both_engines!(a_method_taken_away_meanwhile_is_not_charged, |world| {
    let provider = billed_while_down(&world, "ok").await;
    methods::remove(&world.app(), "acme", "pm_sandbox_ok", "asked to").await.unwrap();
    provider.set(Line::Works);
    world.pass(3_600);
    world.tick(None).await.unwrap();
    // Nothing was sent: the attempt is called off, and the customer is asked for another card.
    let attempts = "SELECT state || ' ' || decline_code FROM charge ORDER BY attempt";
    assert_eq!(world.table(attempts).await.concat(), ["declined canceled"]);
    assert_eq!((provider.sent(), world.parked().await.len()), (0, 0));
    assert_eq!(world.count("dunning").await, 1);
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "it is back").await.unwrap();
    world.pass(24 * 3_600);
    world.tick(None).await.unwrap();
    assert_eq!((stands(&world, "acme").await, provider.sent()), (paid(), 1));
});

// A card that was replaced while its charge waited: the new one pays.
both_engines!(a_method_replaced_meanwhile_leaves_it_to_the_new_one, |world| {
    let provider = billed_while_down(&world, "stolen").await;
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    provider.set(Line::Works);
    world.pass(3_600);
    world.tick(None).await.unwrap();
    assert_eq!((stands(&world, "acme").await, provider.sent()), (paid(), 1));
    let attempts = "SELECT state || ' ' || payment_method FROM charge ORDER BY attempt";
    assert_eq!(
        world.table(attempts).await.concat(),
        ["declined pm_sandbox_stolen", "succeeded pm_sandbox_ok"]
    );
});

// The bank's last word on a card that was taken away brought it back as a fallback.
both_engines!(a_refusal_brings_no_method_back, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("stolen")]).await;
    methods::remove(&world.app(), "acme", "pm_sandbox_stolen", "asked to").await.unwrap();
    let mut tx = world.app().db.write().await.unwrap();
    saved::refuse(&mut tx, "acme", "pm_sandbox_stolen").await.unwrap();
    saved::renew(&mut tx, "acme", "pm_sandbox_stolen").await.unwrap();
    tx.commit().await.unwrap();
    let states = world.table("SELECT state FROM payment_method").await.concat();
    assert_eq!(states, ["removed"]);
});
