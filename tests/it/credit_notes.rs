//! Corrections of what was issued: credit notes for unpaid and paid invoices and for receipts, in money and in
//! credits. The money is compared with plain arithmetic of this file's own.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::document::{CreditSettlement, Document};
use monthend::domain::statement::CreditStatement;
use monthend::jobs::report::Report;
use monthend::jobs::requests::{self, record_transfer};
use monthend::services::charging::Transfer;
use monthend::services::credit_notes::Wanted;
use monthend::services::purchases::Wanted as Buy;
use monthend::services::{ServiceError, credits, documents};

use crate::harness::provider::{Flaky, Line};
use crate::harness::world::{cycle, whole};
use crate::harness::{Org, World, both_engines, events};

/// Standard at 19 % tax: 49.00 and 9.31.
const NET: i64 = 4_900;
const TAX: i64 = 931;

/// `tax · part / net`, half to even: the rule, written once more.
fn share(tax: i64, part: i64, net: i64) -> i64 {
    let (whole, rest) = (tax * part / net, tax * part % net);
    whole + i64::from(rest * 2 > net || (rest * 2 == net && whole % 2 == 1))
}

fn minor(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap()
}

async fn joined(world: &World, plan: &str, how: &str) {
    world.set_clock("2026-01-01T09:00:00Z");
    let acme = Org::new("acme", plan, "2026-01-01").with("tax_percent", "19").pays(how);
    world.organizations(&[acme]).await;
}

async fn billed(world: &World, how: &str) -> String {
    joined(world, "standard", how).await;
    world.set_clock("2026-02-01T02:10:00Z");
    world.clean_tick().await;
    let row = world.invoice("acme").await;
    assert_eq!((row.subtotal, row.tax, row.total), (NET, TAX, NET + TAX));
    row.number.unwrap()
}

async fn credit(
    world: &World,
    number: &str,
    amount: Option<&str>,
    credits: Option<i64>,
) -> Result<(String, Report), ServiceError> {
    let credits = credits.map(whole);
    requests::credit(&world.app(), &Wanted { number, amount, credits, reason: "as agreed" }).await
}

/// A credit note that must be issued: its number.
async fn credited(world: &World, number: &str, amount: Option<&str>) -> String {
    let (note, report) = credit(world, number, amount, None).await.unwrap();
    assert!(report.is_clean(), "{report:?}");
    note
}

async fn refused(
    world: &World,
    number: &str,
    amount: Option<&str>,
    credits: Option<i64>,
) -> String {
    credit(world, number, amount, credits).await.unwrap_err().to_string()
}

/// Net, tax and total of a credit note, and what happens to its money.
async fn note(world: &World, number: &str) -> ([i64; 3], CreditSettlement) {
    let shown = documents::show(&world.app(), number).await.unwrap().unwrap();
    let Document::CreditNote(note) = shown.document else { unreachable!("{number}") };
    let amounts = [note.subtotal, note.tax, note.total].map(monthend::domain::money::Money::minor);
    assert_eq!(amounts[0] + amounts[1], amounts[2]);
    (amounts, note.settled)
}

async fn stands(world: &World) -> (String, String, i64) {
    let row = world.invoice("acme").await;
    let outstanding = row.outstanding().unwrap().minor();
    (row.status, row.payment_status, outstanding)
}

async fn transfer(world: &World, number: &str, amount: &str) -> Result<Report, ServiceError> {
    let transfer = Transfer {
        number,
        amount: Some(amount),
        received_on: world.now().date_naive(),
        reference: "bank 4711",
        reason: "statement",
    };
    record_transfer(&world.app(), &transfer).await
}

/// What the provider gave back, refund by refund.
fn given_back(world: &World) -> Vec<i64> {
    let refunds = world.journal().into_iter().filter(|record| record.refund.is_some());
    refunds.map(|record| record.amount.minor()).collect()
}

async fn refunds(world: &World) -> Vec<Vec<String>> {
    world
        .table("SELECT method, state, CAST(amount AS TEXT) FROM refund ORDER BY created_at, method")
        .await
}

// S42, V4: a part lowers what is due; the next attempt and the transfer are over the rest.
both_engines!(a_part_of_an_unpaid_invoice, |world| {
    let number = billed(&world, "declined").await;
    let first = credited(&world, &number, Some("10.00")).await;
    let tax = share(TAX, 1_000, NET);
    let due = NET + TAX - 1_000 - tax;
    let (amounts, settled) = note(&world, &first).await;
    assert_eq!(amounts, [1_000, tax, 1_000 + tax]);
    let CreditSettlement::Offset { still_due } = settled else {
        unreachable!("an unpaid invoice is offset: {settled:?}")
    };
    assert_eq!(still_due.minor(), due);
    assert_eq!(stands(&world).await, ("issued".to_owned(), "declined".to_owned(), due));
    world.set_clock("2026-02-02T02:10:00Z");
    world.clean_tick().await;
    let tried: Vec<i64> = world.journal().iter().map(|record| record.amount.minor()).collect();
    assert_eq!(tried, [NET + TAX, due], "the second attempt is over the rest");
    credited(&world, &number, Some("0.01")).await;
    let due = NET + TAX - 1_001 - share(TAX, 1_001, NET);
    assert_eq!(stands(&world).await.2, due);
    assert!(transfer(&world, &number, "58.31").await.is_err());
    let rest = format!("{}.{:02}", due / 100, due % 100);
    assert!(transfer(&world, &number, &rest).await.unwrap().is_clean());
    assert_eq!(stands(&world).await.0, "settled");
    assert_eq!(world.table("SELECT CAST(amount AS TEXT) FROM payment").await, [[due.to_string()]]);
    assert_eq!(given_back(&world), [] as [i64; 0]);
});

// S42: all of it, and nothing is left to pay, to try or to credit.
both_engines!(the_whole_of_an_unpaid_invoice, |world| {
    let number = billed(&world, "declined").await;
    let first = credited(&world, &number, None).await;
    assert_eq!(note(&world, &first).await.0, [NET, TAX, NET + TAX]);
    assert_eq!(stands(&world).await, ("settled".to_owned(), "credited".to_owned(), 0));
    for day in 2..25 {
        world.set_clock(&format!("2026-02-{day:02}T02:10:00Z"));
        world.clean_tick().await;
    }
    assert_eq!((world.journal().len(), world.count("refund").await), (1, 0));
    assert!(transfer(&world, &number, "58.31").await.is_err());
    refused(&world, &number, None, None).await;
    refused(&world, &number, Some("0.01"), None).await;
    let told = world.notices("acme").await;
    assert_eq!(told.iter().filter(|kind| *kind == "credit_note").count(), 1);
    assert_eq!(told.iter().filter(|kind| *kind == "payment_reminder").count(), 0);
});

// V3, V4: seven parts of a paid invoice; taxes and refunds sum to the whole, numbers have no gap.
both_engines!(the_parts_of_a_paid_invoice_are_the_whole, |world| {
    let number = billed(&world, "ok").await;
    let parts = ["0.01", "3.33", "9.99", "0.49", "17.00", "6.66", "11.52"];
    assert_eq!(parts.iter().map(|part| minor(part)).sum::<i64>(), NET);
    let (mut net, mut taxes, mut back) = (0, 0, Vec::new());
    for (part, ordinal) in parts.iter().zip(1..) {
        let more = format!("{}.{:02}", (NET - net + 1) / 100, (NET - net + 1) % 100);
        let said = refused(&world, &number, Some(&more), None).await;
        assert!(said.contains("more than"), "{said}");
        let issued = credited(&world, &number, Some(part)).await;
        assert_eq!(issued, format!("CN-2026-{ordinal:06}"));
        net += minor(part);
        let tax = share(TAX, net, NET) - taxes;
        taxes += tax;
        let (amounts, settled) = note(&world, &issued).await;
        assert_eq!(amounts, [minor(part), tax, minor(part) + tax]);
        assert!(matches!(settled, CreditSettlement::Refund { .. }), "{settled:?}");
        back.push(minor(part) + tax);
    }
    assert_eq!((net, taxes, back.iter().sum()), (NET, TAX, NET + TAX));
    assert_eq!(given_back(&world), back);
    refused(&world, &number, None, None).await;
    world.clean_tick().await;
    let told = world.notices("acme").await;
    let count = |kind: &str| told.iter().filter(|found| *found == kind).count();
    assert_eq!((count("credit_note"), count("refunded")), (7, 7));
    assert_eq!(stands(&world).await.1, "paid");
});

// F63, F68: the answer to a refund is lost; the money goes back once.
both_engines!(a_refund_whose_answer_is_lost_is_made_once, |world| {
    let number = billed(&world, "ok").await;
    let provider = Flaky::new(world.home(), Line::LosesAnswers);
    world.collect_by(provider.clone()).await;
    let (issued, report) = credit(&world, &number, None, None).await.unwrap();
    assert!(!report.is_clean());
    assert_eq!(provider.refunds_sent(), 1);
    for minutes in [1, 5] {
        world.pass(minutes * 60);
        world.tick(None).await.unwrap();
    }
    assert_eq!(refunds(&world).await, [["charge", "unknown", "5831"]]);
    provider.set(Line::Works);
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!((provider.refunds_sent(), given_back(&world)), (1, vec![NET + TAX]));
    assert_eq!(refunds(&world).await, [["charge", "succeeded", "5831"]]);
    assert_eq!(world.notices("acme").await, ["credit_note", "refunded"]);
    assert!(requests::record_refund(&world.app(), &issued, "bank 1", "twice?").await.is_err());
});

// F73: a provider that is away all day delays a refund; it asks for no person.
async fn is_refunded_a_day_later(world: &World, line: Line) {
    let number = billed(world, "ok").await;
    let provider = Flaky::new(world.home(), line);
    world.collect_by(provider.clone()).await;
    assert!(!credit(world, &number, None, None).await.unwrap().1.is_clean());
    for _ in 0..24 {
        world.pass(3_600);
        world.tick(None).await.unwrap();
    }
    assert_eq!((world.parked().await.len(), provider.refunds_sent()), (0, 0));
    provider.set(Line::Works);
    world.pass(2 * 3_600);
    world.clean_tick().await;
    assert_eq!((provider.refunds_sent(), given_back(world)), (1, vec![NET + TAX]));
}

both_engines!(a_refund_waits_for_a_provider_out_of_reach, |world| {
    is_refunded_a_day_later(&world, Line::Down).await;
});

both_engines!(a_refund_waits_for_a_silent_provider, |world| {
    is_refunded_a_day_later(&world, Line::Silent).await;
});

// The provider gives nothing back: finance transfers it and says so, once.
both_engines!(a_refused_refund_becomes_a_transfer, |world| {
    let number = billed(&world, "ok").await;
    let provider = Flaky::new(world.home(), Line::RefusesRefunds);
    world.collect_by(provider.clone()).await;
    let (issued, _) = credit(&world, &number, Some("9.00"), None).await.unwrap();
    let amount = (900 + share(TAX, 900, NET)).to_string();
    let rows = [["charge", "failed", &amount], ["transfer", "intended", &amount]];
    assert_eq!(refunds(&world).await, rows);
    world.clean_tick().await;
    assert_eq!(world.notices("acme").await, ["credit_note"]);
    let record = async || requests::record_refund(&world.app(), &issued, "bank 1", "sent").await;
    assert!(record().await.unwrap().is_clean());
    assert_eq!(refunds(&world).await[1], ["transfer", "succeeded", &amount]);
    assert_eq!(world.notices("acme").await, ["credit_note", "refunded"]);
    assert!(record().await.is_err());
    let unknown = requests::record_refund(&world.app(), "CN-2026-000099", "bank 1", "sent").await;
    assert!(matches!(unknown, Err(ServiceError::NotFound(_))), "{unknown:?}");
    assert_eq!((provider.refunds_sent(), given_back(&world)), (1, Vec::new()));
});

// What was paid by transfer goes back by transfer.
both_engines!(an_invoice_paid_by_transfer, |world| {
    let number = billed(&world, "declined").await;
    assert!(transfer(&world, &number, "58.31").await.unwrap().is_clean());
    let issued = credited(&world, &number, Some("49.00")).await;
    assert_eq!(note(&world, &issued).await.1, CreditSettlement::Transfer);
    assert_eq!(refunds(&world).await, [["transfer", "intended", "5831"]]);
    let done = requests::record_refund(&world.app(), &issued, "bank 1", "sent").await.unwrap();
    assert!(done.is_clean());
    assert_eq!(given_back(&world), [] as [i64; 0]);
});

// S42: the document and its table are stored, and go out with the mail.
both_engines!(documents_are_stored_and_mailed, |world| {
    let number = billed(&world, "ok").await;
    let issued = credited(&world, &number, Some("10.00")).await;
    let files = documents::show(&world.app(), &issued).await.unwrap().unwrap().files;
    let mut kinds: Vec<&str> = files.iter().map(|file| file.kind.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["csv", "pdf"]);
    for file in &files {
        let bytes = std::fs::read(world.home().join("documents").join(&file.path)).unwrap();
        assert_eq!(i64::try_from(bytes.len()).unwrap(), file.length);
        assert_eq!(bytes.starts_with(b"%PDF-"), file.kind == "pdf");
    }
    let attached = |letter: &String| {
        ["pdf", "csv"].iter().all(|kind| letter.contains(&format!("{issued}.{kind}")))
    };
    let letters = std::fs::read_dir(world.home().join("outbox")).unwrap();
    let letters = letters.map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    let letters = letters.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(letters.filter(attached).count(), 1);
});

/// Both equations, in total and for each grant.
fn foots(statement: &CreditStatement) {
    let s = statement;
    let sum = |credits: &[monthend::domain::credits::Credits]| -> i128 {
        credits.iter().map(|credits| i128::from(credits.nano())).sum()
    };
    assert_eq!(
        sum(&[s.opening, s.granted, s.purchased]),
        sum(&[s.used, s.expired, s.closing]),
        "{s:?}"
    );
    for grant in &s.grants {
        let (came, went) =
            ([grant.opening, grant.granted], [grant.used, grant.expired, grant.closing]);
        assert_eq!(sum(&came), sum(&went), "{s:?}");
    }
    let all = |of: fn(&monthend::domain::statement::StatementGrant) -> i64| -> i128 {
        s.grants.iter().map(|grant| i128::from(of(grant))).sum()
    };
    assert_eq!(all(|grant| grant.closing.nano()), i128::from(s.closing.nano()));
    assert_eq!(all(|grant| grant.opening.nano()), i128::from(s.opening.nano()));
    assert_eq!(all(|grant| grant.used.nano()), i128::from(s.used.nano()));
}

/// What is left of the grants of a cycle.
async fn left(world: &World, of: &str) -> i64 {
    let balance = credits::balance(&world.app(), "acme").await.unwrap();
    let grants = balance.grants.iter().filter(|open| open.grant.cycle == cycle(of));
    grants.map(|open| open.remaining.nano() / 1_000_000_000).sum()
}

// L5: credits go back to the grants they came from, the last burned first, under their old expiry.
both_engines!(credits_return_to_where_they_came_from, |world| {
    joined(&world, "professional", "ok").await;
    world.set_clock("2026-01-10T12:00:00Z");
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T09:00:00Z", "1000")])).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    world.set_clock("2026-02-10T12:00:00Z");
    world.accepted_usage(&events(&[("2", "acme", "2026-02-10T09:00:00Z", "4500")])).await;
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    // February burned January's last 4,000 and 500 of its own.
    assert_eq!((left(&world, "2026-01").await, left(&world, "2026-02").await), (0, 4_500));
    let february = world.invoices("acme").await[1].number.clone().unwrap();
    world.set_clock("2026-03-10T12:00:00Z");
    let closed = world.statement("acme", "2026-02").await;
    let (issued, report) = credit(&world, &february, None, Some(600)).await.unwrap();
    assert!(report.is_clean());
    assert_eq!(note(&world, &issued).await, ([0, 0, 0], CreditSettlement::None));
    assert_eq!((left(&world, "2026-01").await, left(&world, "2026-02").await), (100, 5_000));
    assert_eq!(world.statement("acme", "2026-02").await, closed, "what is closed stays");
    let open = world.statement("acme", "2026-03").await;
    foots(&open);
    assert_eq!(
        (open.closing, world.balance("acme").await.available),
        (whole(10_100), whole(10_100))
    );
    let january = open.grants.iter().find(|grant| grant.cycle == cycle("2026-01")).unwrap();
    let until = cycle("2026-04").bounds("UTC".parse().unwrap()).ends_at;
    assert_eq!((january.closing, january.expires_at), (whole(100), Some(until)));
    assert_eq!(given_back(&world), [] as [i64; 0]);
    let said = refused(&world, &february, None, Some(3_901)).await;
    assert!(said.contains("3900"), "{said}");
    // March ends: still footed. April is January's last month, then nothing of it can go back.
    world.set_clock("2026-04-01T02:00:00Z");
    world.clean_tick().await;
    let march = world.statement("acme", "2026-03").await;
    foots(&march);
    assert_eq!((march.closing, left(&world, "2026-01").await), (whole(10_100), 100));
    foots(&world.statement("acme", "2026-04").await);
    world.set_clock("2026-05-01T02:00:00Z");
    world.clean_tick().await;
    let april = world.statement("acme", "2026-04").await;
    foots(&april);
    assert_eq!((april.expired, left(&world, "2026-01").await), (whole(100), 0));
    let said = refused(&world, &february, None, Some(1)).await;
    assert!(said.contains("more than the 0"), "{said}");
});

async fn buys(world: &World) {
    let (_, report) = requests::buy(&world.app(), "acme", &Buy::Credits(whole(100))).await.unwrap();
    assert!(report.is_clean());
}

// S42: what is left of a purchase is taken back with its share of price and tax; what is used is not.
both_engines!(unused_credits_of_a_purchase_are_taken_back, |world| {
    joined(&world, "standard", "ok").await;
    world.set_clock("2026-01-10T09:00:00Z");
    buys(&world).await;
    buys(&world).await;
    let numbers = world.table("SELECT number FROM document ORDER BY number").await.concat();
    assert_eq!(numbers, ["RCT-2026-000001", "RCT-2026-000002"]);
    // The allowance first, then 30 of the older purchase.
    world.accepted_usage(&events(&[("1", "acme", "2026-01-10T08:00:00Z", "1030")])).await;
    let said = refused(&world, "RCT-2026-000001", None, Some(71)).await;
    assert!(said.contains("more than the 70"), "{said}");
    let (issued, report) = credit(&world, "RCT-2026-000001", None, None).await.unwrap();
    assert!(report.is_clean());
    let tax = share(1_900, 7_000, 10_000);
    assert_eq!(note(&world, &issued).await.0, [7_000, tax, 7_000 + tax]);
    assert_eq!(given_back(&world), [7_000 + tax]);
    assert_eq!(world.balance("acme").await.available, whole(100));
    foots(&world.statement("acme", "2026-01").await);
    let said = refused(&world, "RCT-2026-000001", None, None).await;
    assert!(said.contains("used or expired"), "{said}");
    // Used meanwhile, the other one stays bought; a part of its money may still go back.
    world.accepted_usage(&events(&[("2", "acme", "2026-01-10T08:30:00Z", "100")])).await;
    let said = refused(&world, "RCT-2026-000002", None, Some(1)).await;
    assert!(said.contains("used or expired"), "{said}");
    credited(&world, "RCT-2026-000002", Some("50.00")).await;
    assert_eq!(given_back(&world), [7_000 + tax, 5_950]);
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let january = world.statement("acme", "2026-01").await;
    foots(&january);
    assert_eq!((january.used, january.deficit), (whole(1_130), whole(0)));
    let row = world.invoice("acme").await;
    assert_eq!((row.prepaid, row.amount_due), (23_800, NET + TAX));
});

// What would change under a statement or a charge has to wait.
both_engines!(what_is_not_settled_is_refused, |world| {
    joined(&world, "standard", "ok").await;
    let provider = Flaky::new(world.home(), Line::LosesAnswers);
    world.collect_by(provider.clone()).await;
    world.set_clock("2026-02-01T02:00:00Z");
    world.tick(None).await.unwrap();
    let number = world.invoice("acme").await.number.unwrap();
    let said = refused(&world, &number, Some("1.00"), None).await;
    assert!(said.contains("unknown"), "{said}");
    provider.set(Line::Works);
    world.pass(3_600);
    world.clean_tick().await;
    world.set_clock("2026-03-01T01:00:00Z");
    let said = refused(&world, &number, Some("1.00"), None).await;
    assert!(said.contains("not closed yet"), "{said}");
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    for (wrong, amount) in
        [(number.as_str(), "0"), (number.as_str(), "-1"), ("INV-2026-000099", "1")]
    {
        refused(&world, wrong, Some(amount), None).await;
    }
    assert_eq!(world.count("document").await, 0);
    assert_eq!(credited(&world, &number, Some("1.00")).await, "CN-2026-000001");
});

// F71: entered again after an older copy was restored, a credit note refunded once more.
both_engines!(a_credit_note_entered_again_after_a_restore_refunds_once, |world| {
    let number = billed(&world, "ok").await;
    world.keep_a_copy().await;
    credited(&world, &number, Some("9.00")).await;
    let given = given_back(&world);
    assert_eq!(given.len(), 1);
    world.restore_the_copy().await;
    world.pass(6 * 3_600);
    credited(&world, &number, Some("9.00")).await;
    assert_eq!(given_back(&world), given);
    // Another one of the same invoice is another refund.
    credited(&world, &number, Some("9.00")).await;
    assert_eq!(given_back(&world).len(), 2);
});

// A worker sent the refund while finance's command asked the provider: the transfer would have been a second one.
both_engines!(a_refund_that_moved_on_is_not_recorded_as_a_transfer, |world| {
    let number = billed(&world, "ok").await;
    let provider = Flaky::new(world.home(), Line::Down);
    world.collect_by(provider.clone()).await;
    let (issued, _) = credit(&world, &number, Some("9.00"), None).await.unwrap();
    provider.set(Line::Works);
    let (app, sent) = (world.app(), world.clone());
    provider.when_asked(Box::new(move || {
        let world = sent.clone();
        Box::pin(async move {
            let sql = "UPDATE refund SET state = 'sent', first_sent_at = created_at WHERE state = 'intended'";
            assert_eq!(world.execute(sql).await.unwrap(), 1);
        })
    }));
    let refused = requests::record_refund(&app, &issued, "bank 1", "sent").await.unwrap_err();
    assert!(refused.to_string().contains("moved on"), "{refused}");
    assert_eq!(refunds(&world).await.len(), 1);
    world.pass(3_600);
    world.clean_tick().await;
    assert_eq!(given_back(&world).len(), 1);
});
