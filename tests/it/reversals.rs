//! Transfers that finance recorded by mistake: taken back, told, and the invoice collected after all.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::admission::Reason;
use monthend::jobs::requests::{self, record_transfer};
use monthend::services::charging::Transfer;
use monthend::services::{ServiceError, admission, credit_notes, history, invoices, methods};
use monthend::storage::payments::Payment;

use crate::harness::world::at;
use crate::harness::{Org, World, both_engines};

/// January's invoices are issued: `bank` transfers, `card` has a card that is declined, `good` one that works.
async fn billed(world: &World) {
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |id| Org::new(id, "standard", "2026-01-01");
    world.organizations(&[org("bank"), org("card").pays("declined"), org("good").pays("ok")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
}

async fn number(world: &World, organization: &str) -> String {
    world.invoice(organization).await.number.unwrap()
}

async fn stands(world: &World, organization: &str) -> (String, String) {
    let row = world.invoice(organization).await;
    (row.status, row.payment_status)
}

fn words(status: &str, payment: &str) -> (String, String) {
    (status.to_owned(), payment.to_owned())
}

async fn transferred(world: &World, organization: &str) {
    let number = number(world, organization).await;
    let transfer = Transfer {
        number: &number,
        amount: None,
        received_on: world.now().date_naive(),
        reference: "bank 4711",
        reason: "statement 12",
    };
    assert!(record_transfer(&world.app(), &transfer).await.unwrap().is_clean());
    assert_eq!(stands(world, organization).await, words("settled", "paid"));
}

async fn taken_back(world: &World, organization: &str) {
    let number = number(world, organization).await;
    let report = requests::reverse_transfer(&world.app(), &number, "another's money").await;
    assert!(report.unwrap().is_clean());
    assert_eq!(stands(world, organization).await, words("issued", "due"));
    world.verify_ok().await;
}

async fn refused(world: &World, organization: &str) -> String {
    let number = number(world, organization).await;
    match requests::reverse_transfer(&world.app(), &number, "test").await {
        Err(ServiceError::Refused(why)) => why,
        other => unreachable!("{other:?}"),
    }
}

async fn told(world: &World, organization: &str, kind: &str) -> usize {
    world.notices(organization).await.iter().filter(|found| *found == kind).count()
}

/// What the ledger holds of an account, in minor units.
async fn booked(world: &World, organization: &str, account: &str) -> i64 {
    let sql = format!(
        "SELECT CAST(COALESCE(SUM(amount), 0) AS TEXT) FROM ledger_entry \
         WHERE organization = '{organization}' AND account = '{account}'"
    );
    world.table(&sql).await[0][0].parse().unwrap()
}

/// Ticks four times a day up to an instant.
async fn until(world: &World, end: &str) {
    while world.now() < at(end) {
        world.clean_tick().await;
        world.pass(6 * 3_600);
    }
}

// S43: the invoice is due again and the books are as before; the payment stays in history.
both_engines!(a_transfer_recorded_by_mistake_is_taken_back, |world| {
    billed(&world).await;
    let before = (booked(&world, "bank", "cash").await, booked(&world, "bank", "receivable").await);
    assert_eq!(before, (0, 4_900));
    assert!(refused(&world, "bank").await.contains("nothing to take back"));
    transferred(&world, "bank").await;
    assert_eq!(booked(&world, "bank", "cash").await, 4_900);
    taken_back(&world, "bank").await;
    let after = (booked(&world, "bank", "cash").await, booked(&world, "bank", "receivable").await);
    assert_eq!(after, before);
    assert_eq!(told(&world, "bank", "payment_reversed").await, 1);
    // The bank's words may be another customer's, or look like a command of ours.
    let facts = world.table("SELECT facts FROM notice WHERE kind = 'payment_reversed'").await;
    assert!(!facts.concat().concat().contains("4711"), "{facts:?}");
    assert!(refused(&world, "bank").await.contains("nothing to take back"));
    // Recorded once more, in the same second and with the same reference: another payment.
    transferred(&world, "bank").await;
    world.verify_ok().await;
    // A receipt of its own: a mailbox would drop a second one under the first one's Message-ID.
    let receipts = "SELECT COUNT(DISTINCT message_id) || '' FROM mail WHERE organization = 'bank' AND kind = 'receipt'";
    assert_eq!(world.table(receipts).await.concat(), ["2"]);
    let shown = invoices::show(&world.app(), &number(&world, "bank").await).await.unwrap();
    let mut states: Vec<&str> = shown.payments.iter().map(Payment::state).collect();
    states.sort_unstable();
    assert_eq!(states, ["received", "reversed"]);
    let entries = history::of_organization(&world.app(), "bank").await.unwrap().entries;
    let transfers = entries.iter().filter(|entry| entry.kind == "transfer");
    assert_eq!(transfers.filter(|entry| entry.status == "reversed").count(), 1);
    // And taken back once more: it is told again.
    taken_back(&world, "bank").await;
    assert_eq!(told(&world, "bank", "payment_reversed").await, 2);
    assert_eq!(world.count("payment_reversal").await, 2);
    let receipts = "SELECT key FROM mail WHERE organization = 'bank' AND kind = 'receipt' ORDER BY created_at, key";
    let keys = world.table(receipts).await.concat();
    assert!(keys[0].starts_with("receipt-") && keys[1].starts_with("receipt_2-"), "{keys:?}");
    // Told of all this, history is what it was.
    for statement in [
        "DELETE FROM payment_reversal",
        "UPDATE payment_reversal SET reversed_at = '2026-03-01T00:00:00Z'",
        "UPDATE invoice SET status = 'issued' WHERE status = 'settled'",
    ] {
        let refused = world.execute(statement).await.unwrap_err().to_string();
        assert!(refused.contains("history"), "{statement}: {refused}");
    }
});

// An invoice is reminded of from its due day on; after a mistake from the beginning, with letters of their own.
both_engines!(an_invoice_whose_transfer_was_taken_back_is_reminded_of_again, |world| {
    billed(&world).await;
    transferred(&world, "bank").await;
    world.pass(3_600);
    taken_back(&world, "bank").await;
    // Due on 15 February: not late before.
    until(&world, "2026-02-17T00:00:00Z").await;
    assert_eq!(told(&world, "bank", "payment_reminder").await, 0);
    until(&world, "2026-02-18T00:00:00Z").await;
    assert_eq!(told(&world, "bank", "payment_reminder").await, 1);
    transferred(&world, "bank").await;
    until(&world, "2026-02-19T00:00:00Z").await;
    taken_back(&world, "bank").await;
    until(&world, "2026-02-19T23:00:00Z").await;
    assert_eq!(told(&world, "bank", "payment_reminder").await, 1);
    until(&world, "2026-02-21T00:00:00Z").await;
    assert_eq!(told(&world, "bank", "payment_reminder").await, 2);
});

// Who has a method is charged a day later, once, and not before the letter.
both_engines!(an_invoice_whose_transfer_was_taken_back_is_charged, |world| {
    billed(&world).await;
    transferred(&world, "card").await;
    methods::add(&world.app(), "card", "pm_sandbox_ok", true, "test").await.unwrap();
    taken_back(&world, "card").await;
    let letter =
        "SELECT facts FROM notice WHERE kind = 'payment_reversed' AND organization = 'card'";
    let facts = world.table(letter).await.concat().concat();
    assert!(facts.contains("\"next_attempt_on\":\"2026-02-02\""), "{facts}");
    until(&world, "2026-02-02T01:00:00Z").await;
    assert_eq!((stands(&world, "card").await, world.taken("card")), (words("issued", "due"), 0));
    until(&world, "2026-02-04T00:00:00Z").await;
    assert_eq!((stands(&world, "card").await, world.taken("card")), (words("settled", "paid"), 1));
    world.verify_ok().await;
    // A receipt of its own, though a charge paid this time.
    let again =
        "SELECT COUNT(*) || '' FROM mail WHERE key LIKE 'receipt_2-%' AND organization = 'card'";
    assert_eq!(world.table(again).await.concat(), ["1"]);
    // What a charge took is not taken back by hand.
    for id in ["card", "good"] {
        assert!(refused(&world, id).await.contains("invoice credit"), "{id}");
    }
});

// What a credit note gave back of a transfer stays received; one that lowered the invoice before leaves the rest.
both_engines!(credit_notes_and_transfers_taken_back, |world| {
    billed(&world).await;
    let credit = async |id: &str, amount: Option<&str>| {
        let number = number(&world, id).await;
        let wanted =
            credit_notes::Wanted { number: &number, amount, credits: None, reason: "agreed" };
        requests::credit(&world.app(), &wanted).await.unwrap();
    };
    credit("bank", Some("9.00")).await;
    transferred(&world, "bank").await;
    taken_back(&world, "bank").await;
    assert_eq!(world.invoice("bank").await.outstanding().unwrap().to_string(), "40.00 USD");
    transferred(&world, "bank").await;
    credit("bank", Some("5.00")).await;
    let why = refused(&world, "bank").await;
    assert!(why.contains("CN-2026-000002"), "{why}");
    world.verify_ok().await;
});

// A customer whose pause a mistake had ended is not paused again at once, but dunned from the start.
both_engines!(a_calendar_that_had_ended_begins_again, |world| {
    billed(&world).await;
    until(&world, "2026-02-23T00:00:00Z").await;
    let paused = async || {
        let reason = admission::of(&world.app(), "card").await.unwrap().reason;
        reason == Some(Reason::Unpaid)
    };
    assert!(paused().await);
    transferred(&world, "card").await;
    assert!(!paused().await);
    taken_back(&world, "card").await;
    assert!(!paused().await);
    until(&world, "2026-02-28T00:00:00Z").await;
    assert_eq!((told(&world, "card", "uncollectible").await, paused().await), (1, false));
    // March's invoice joins; both go their way to the end.
    until(&world, "2026-04-01T00:00:00Z").await;
    let row = world.invoices("card").await.remove(0);
    assert_eq!(
        (row.status.as_str(), told(&world, "card", "uncollectible").await),
        ("uncollectible", 3)
    );
    assert!(paused().await);
    world.verify_ok().await;
});

// Finance need not wait for the calendar.
both_engines!(an_invoice_whose_transfer_was_taken_back_is_retried_by_hand, |world| {
    billed(&world).await;
    transferred(&world, "card").await;
    methods::add(&world.app(), "card", "pm_sandbox_ok", true, "test").await.unwrap();
    taken_back(&world, "card").await;
    let run =
        world.table("SELECT id FROM run WHERE job = 'monthly_close'").await.concat().remove(0);
    assert!(world.retry(&run, Some("card")).await.is_clean());
    assert_eq!((stands(&world, "card").await, world.taken("card")), (words("settled", "paid"), 1));
});

// The payer chooses the reference's words: one that looks like the end of a command made `verify` fail for good.
both_engines!(a_reference_is_no_command, |world| {
    billed(&world).await;
    let grant = world.table("SELECT id FROM credit_grant WHERE organization = 'good'").await;
    let (number, reference) = (number(&world, "bank").await, format!("Invoice: {}", grant[0][0]));
    let transfer = Transfer {
        number: &number,
        amount: None,
        received_on: world.now().date_naive(),
        reference: &reference,
        reason: "statement 12",
    };
    record_transfer(&world.app(), &transfer).await.unwrap();
    taken_back(&world, "bank").await;
});

// Kept back by a mail server that was down, a receipt says what is true when it leaves.
both_engines!(a_receipt_that_waited_says_that_it_was_taken_back, |world| {
    billed(&world).await;
    let (letters, away) = (world.home().join("outbox"), world.home().join("away"));
    std::fs::rename(&letters, &away).unwrap();
    std::fs::File::create(&letters).unwrap();
    let number = number(&world, "bank").await;
    let transfer = Transfer {
        number: &number,
        amount: None,
        received_on: world.now().date_naive(),
        reference: "bank 4711",
        reason: "statement 12",
    };
    assert!(!record_transfer(&world.app(), &transfer).await.unwrap().is_clean());
    requests::reverse_transfer(&world.app(), &number, "another's money").await.unwrap();
    std::fs::remove_file(&letters).unwrap();
    std::fs::rename(&away, &letters).unwrap();
    world.pass(24 * 3_600);
    world.tick(None).await.unwrap();
    assert_eq!(world.mails("bank").await, ["invoice", "notice", "receipt"]);
    let names = std::fs::read_dir(letters).unwrap().map(|file| file.unwrap().path());
    let receipts: Vec<String> = names
        .filter(|path| path.to_str().unwrap().contains("-receipt-"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .filter(|text| text.contains(&number))
        .collect();
    assert!(receipts.len() == 1 && receipts[0].contains("Receipt taken back"), "{receipts:?}");
});
