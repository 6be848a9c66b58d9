//! The whole way of the money with Stripe, against its rehearsal over real HTTP: charges, notifications in any
//! order, pages to pay on, saved methods, refunds. The rehearsal's books are the other witness.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::net::SocketAddr;
use std::sync::Arc;

use monthend::domain::secret::Secret;
use monthend::files::write_durably;
use monthend::http::{Doors, Tokens, bind, router, serve};
use monthend::jobs::requests;
use monthend::payments::stripe_rehearsal::{Fault, Rehearsal, RehearsalOptions, Script};
use monthend::services::credit_notes::Wanted;
use monthend::services::{purchases, refunds};
use tokio_util::sync::CancellationToken;

use crate::harness::web::Client;
use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines};

const SECRET: &str = "whsec_of_a_rehearsal";

/// A deployment that collects by Stripe, and the Stripe it collects by.
async fn begin(world: &World) -> Rehearsal {
    let app = world.app();
    let clock = app.clock.clone();
    let rehearsal = Rehearsal::start(RehearsalOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        now: Arc::new(move || clock.now()),
        webhook: None,
    })
    .await
    .unwrap();
    write_durably(&world.home().join("stripe-key"), b"sk_test_canary_of_a_key\n").unwrap();
    let gateway = format!(
        "gateway = \"stripe\"\nstripe.base_url = \"{}\"\nstripe.key_file = \"stripe-key\"\n\
         stripe.requests_per_second = 100",
        rehearsal.base_url()
    );
    world.restart(&[("gateway = \"sandbox\"", gateway.as_str())]).await;
    rehearsal
}

/// The same with an address customers reach.
async fn begin_with_links(world: &World) -> Rehearsal {
    let rehearsal = begin(world).await;
    let file = world.home().join("monthend.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = format!("{text}\n[http]\npublic_url = \"https://billing.example.com/\"\n");
    write_durably(&file, text.as_bytes()).unwrap();
    world.restart(&[]).await;
    rehearsal
}

fn paying(id: &str, card: &str) -> Org {
    Org::new(id, "standard", "2026-01-01").with("payment_method", &format!("cus_{id}/{card}"))
}

async fn listen(world: &World) -> SocketAddr {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let tokens = Tokens::new(&["a-token-that-is-long-enough".to_owned()]);
    let routes = router(Doors::new(world.app(), tokens, vec![Secret::new(SECRET)]));
    tokio::spawn(serve(listener, routes, CancellationToken::new()));
    address
}

/// Posts a text and gives the status and the head of the answer.
async fn post(address: SocketAddr, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut client = Client::new(address).await;
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    client.say(&request).await;
    let answer = client.answer().await.unwrap();
    (answer.status, answer.head)
}

async fn notify(address: SocketAddr, (body, signature): &(String, String)) -> u16 {
    let headers = format!("stripe-signature: {signature}\r\n");
    post(address, "/v1/webhooks/stripe", &headers, body).await.0
}

async fn stands(world: &World, id: &str) -> (String, String) {
    let row = world.invoice(id).await;
    (row.status, row.payment_status)
}

fn words(status: &str, payment: &str) -> (String, String) {
    (status.to_owned(), payment.to_owned())
}

fn taken(rehearsal: &Rehearsal, id: &str) -> usize {
    rehearsal.journal().iter().filter(|paid| paid.organization == id && paid.is_taken()).count()
}

// S31, F62, F63, F66, F70: every card has its end; a bank debit settles when its notification comes, whoever sends
// it how often.
both_engines!(a_month_with_stripe, |world| {
    let rehearsal = begin(&world).await;
    world.set_clock("2026-01-01T09:00:00Z");
    let ends = [
        ("visa", "pm_card_visa", "settled", "paid", 1),
        ("wallet", "pm_card_google_pay", "settled", "paid", 1),
        ("poor", "pm_card_declined", "issued", "declined", 0),
        ("stolen", "pm_card_stolen", "issued", "declined", 0),
        ("before", "pm_card_timeout_before", "settled", "paid", 1),
        ("after", "pm_card_timeout_after", "settled", "paid", 1),
        ("debit", "pm_card_processing", "issued", "pending", 0),
    ];
    let rows: Vec<Org> = ends.iter().map(|(id, card, ..)| paying(id, card)).collect();
    world.organizations(&rows).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    world.pass(120);
    world.tick(None).await.unwrap();
    for (id, _, status, payment, times) in ends {
        assert_eq!(stands(&world, id).await, words(status, payment), "{id}");
        assert_eq!(taken(&rehearsal, id), times, "{id}");
    }
    let keys = world.table("SELECT key FROM charge").await.concat();
    assert!(rehearsal.journal().iter().all(|paid| keys.contains(&paid.key)), "C4");
    // The debit settles; its notification comes twice, once forged, once for somebody else's secret.
    let key = world.table("SELECT key FROM charge WHERE organization = 'debit'").await.concat();
    assert!(rehearsal.settle(&key[0], None));
    let address = listen(&world).await;
    let news = rehearsal.notifications(&Secret::new(SECRET));
    for forged in rehearsal.notifications(&Secret::new("whsec_of_someone_else")) {
        assert_eq!(notify(address, &forged).await, 400);
    }
    assert_eq!(world.count("provider_event").await, 0);
    for _ in 0..2 {
        for event in news.iter().rev() {
            assert_eq!(notify(address, event).await, 200);
        }
    }
    world.clean_tick().await;
    assert_eq!(stands(&world, "debit").await, words("settled", "paid"));
    assert_eq!((taken(&rehearsal, "debit"), world.mails("debit").await.len()), (1, 2));
});

// S62: a customer whose card was declined pays on the provider's page, once, and the card is charged no more.
both_engines!(a_customer_pays_on_a_page, |world| {
    let rehearsal = begin_with_links(&world).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[paying("poor", "pm_card_declined")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    let address = listen(&world).await;
    // The mail carries our link; looking at it changes nothing.
    let mails: Vec<String> = std::fs::read_dir(world.home().join("outbox"))
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap().replace("=\r\n", ""))
        .collect();
    let letter = mails.iter().find(|mail| mail.contains("/pay/poor/")).unwrap();
    let from = letter.find("/pay/poor/").unwrap();
    let path: String =
        letter[from..].chars().take_while(|c| !c.is_whitespace() && *c != '"').collect();
    let mut client = Client::new(address).await;
    let shown = client.get(&path, None).await;
    assert_eq!((shown.status, world.count("charge").await), (200, 1));
    let wrong = format!("{}0", &path[..path.len() - 1]);
    if wrong != path {
        assert_eq!(client.get(&wrong, None).await.status, 404);
    }
    // The button opens the page; a second press leads to the same one.
    let (status, first) = post(address, &path, "", "").await;
    let (_, second) = post(address, &path, "", "").await;
    assert_eq!(status, 303, "{first}");
    let place = |head: &str| {
        head.lines().find_map(|line| line.strip_prefix("location: ").map(str::to_owned)).unwrap()
    };
    assert_eq!(place(&first), place(&second));
    assert_eq!(world.count("charge").await, 2);
    // The calendar's first day finds the page open: nothing is charged beside it.
    world.set_clock("2026-02-01T12:00:00Z");
    world.tick(None).await.unwrap();
    assert_eq!(world.count("charge").await, 2);
    let key = world.table("SELECT key FROM charge ORDER BY attempt DESC").await.concat();
    assert!(rehearsal.act_on_page(&key[0], "pm_card_visa").is_some());
    for event in rehearsal.notifications(&Secret::new(SECRET)) {
        assert_eq!(notify(address, &event).await, 200);
    }
    world.tick(None).await.unwrap();
    assert_eq!(stands(&world, "poor").await, words("settled", "paid"));
    for day in ["2026-02-03", "2026-02-08", "2026-02-20"] {
        world.set_clock(&format!("{day}T12:00:00Z"));
        world.tick(None).await.unwrap();
    }
    assert_eq!((taken(&rehearsal, "poor"), world.count("charge").await), (1, 2));
    assert!(rehearsal.journal().iter().filter(|paid| paid.is_taken()).count() == 1);
});

// S61: a method saved on the provider's page becomes the default, and what could not be collected is tried at once.
both_engines!(a_saved_method_collects_at_once, |world| {
    let rehearsal = begin_with_links(&world).await;
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[paying("acme", "pm_card_stolen")]).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    let address = listen(&world).await;
    let app = world.app();
    let page = monthend::services::pay_pages::save_method(&app, "acme").await.unwrap();
    let token = rehearsal.act_on_page(&page, "pm_card_mastercard").unwrap();
    for event in rehearsal.notifications(&Secret::new(SECRET)) {
        assert_eq!(notify(address, &event).await, 200);
    }
    let rows = world
        .table(
            "SELECT token, state, COALESCE(brand, '') FROM payment_method ORDER BY added_at, token",
        )
        .await;
    assert!(rows.iter().any(|row| row[0].ends_with(&token) && row[2] == "mastercard"), "{rows:?}");
    world.set_clock("2026-02-01T03:10:00Z");
    world.tick(None).await.unwrap();
    assert_eq!(stands(&world, "acme").await, words("settled", "paid"));
    assert_eq!(taken(&rehearsal, "acme"), 1);
});

// S35, F63, F64: a purchase whose answer is lost, or whose 500 is stored and replayed, is granted once; its refund
// goes back once.
both_engines!(purchases_and_refunds_with_stripe, |world| {
    let rehearsal = begin(&world).await;
    world.set_clock("2026-01-05T09:00:00Z");
    world.organizations(&[paying("acme", "pm_card_visa")]).await;
    let wanted = purchases::Wanted::Package("standard".to_owned());
    for (fault, at) in [(None, 1), (Some(Fault::Error500After), 2), (Some(Fault::CloseAfter), 3)] {
        if let Some(fault) = fault {
            assert!(rehearsal.script(Script::on_path("POST", "/v1/payment_intents", fault)));
        }
        requests::buy(&world.app(), "acme", &wanted).await.unwrap();
        for _ in 0..3 {
            world.pass(3_600);
            world.tick(None).await.unwrap();
        }
        assert_eq!(world.balance("acme").await.available, whole(1_000 + at * 1_000), "{at}");
        assert_eq!(taken(&rehearsal, "acme"), usize::try_from(at).unwrap());
    }
    let receipts = world.table("SELECT number FROM document ORDER BY series_number").await.concat();
    assert_eq!(receipts.len(), 3);
    let credit = Wanted { number: &receipts[0], amount: None, credits: None, reason: "test" };
    let (_, report) = requests::credit(&world.app(), &credit).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(world.balance("acme").await.available, whole(3_000));
    let back: i64 = rehearsal.journal().iter().map(|paid| paid.refunded).sum();
    let paid = rehearsal.journal()[0].amount;
    assert_eq!((back, world.count("refund WHERE state = 'succeeded'").await), (paid, 1));
});

// A refund that went through comes back days later: the bank did not take it. The books say so once, and the money
// waits to be transferred.
both_engines!(a_refund_that_comes_back_is_owed_again, |world| {
    let rehearsal = begin(&world).await;
    world.set_clock("2026-01-05T09:00:00Z");
    world.organizations(&[paying("acme", "pm_card_visa")]).await;
    let wanted = purchases::Wanted::Package("standard".to_owned());
    requests::buy(&world.app(), "acme", &wanted).await.unwrap();
    let receipt = world.table("SELECT number FROM document").await.concat().remove(0);
    let credit = Wanted { number: &receipt, amount: None, credits: None, reason: "test" };
    let (note, _) = requests::credit(&world.app(), &credit).await.unwrap();
    assert_eq!(world.count("refund WHERE state = 'succeeded'").await, 1);

    let key = world.table("SELECT key FROM refund").await.concat().remove(0);
    assert!(rehearsal.settle_refund(&key, false));
    let address = listen(&world).await;
    let said = rehearsal.notifications(&Secret::new(SECRET));
    // An older program heard of it, and did nothing.
    let (failed, _) = said.iter().find(|(body, _)| body.contains("refund.failed")).unwrap();
    let failed: serde_json::Value = serde_json::from_str(failed).unwrap();
    let heard = format!(
        "INSERT INTO provider_event (id, kind, received_at) VALUES ('{}', 'refund.failed', '2026-01-05T09:00:00Z')",
        failed["id"].as_str().unwrap()
    );
    world.execute(&heard).await.unwrap();
    // That alone, twice, and all that was said before once more.
    let again = said.iter().filter(|(body, _)| body.contains("refund.failed"));
    for event in again.chain(&said).chain(&said) {
        assert_eq!(notify(address, event).await, 200);
    }
    let rows = "SELECT method, state, CASE WHEN returned_at IS NULL THEN 'kept' ELSE 'returned' END FROM refund \
         ORDER BY method";
    let stand = world.table(rows).await;
    assert_eq!(stand, [["charge", "succeeded", "returned"], ["transfer", "intended", "kept"]]);
    let postings = "SELECT kind FROM ledger_transaction WHERE kind LIKE 'refund%' ORDER BY seq";
    assert_eq!(world.table(postings).await.concat(), ["refund", "refund_returned"]);
    assert!(refunds::open(&world.app()).await.unwrap().iter().any(|(of, _, _)| *of == note));
    world.verify_ok().await;

    requests::record_refund(&world.app(), &note, "bank 1", "sent by hand").await.unwrap();
    let stand = world.table(rows).await;
    assert_eq!(stand, [["charge", "succeeded", "returned"], ["transfer", "succeeded", "kept"]]);
    assert_eq!(world.table(postings).await.concat(), ["refund", "refund_returned", "refund"]);
});
