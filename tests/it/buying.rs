//! Credits are granted when they are paid for, once, and not before.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use monthend::domain::credits::Credits;
use monthend::domain::document::Document;
use monthend::domain::grant::Source;
use monthend::jobs::requests;
use monthend::services::documents;
use monthend::services::purchases::{self, Wanted};

use crate::harness::provider::{Flaky, Line};
use crate::harness::world::whole;
use crate::harness::{Org, World, both_engines};

async fn buy(world: &World, organization: &str, wanted: &Wanted) -> (String, String) {
    let (id, _) = requests::buy(&world.app(), organization, wanted).await.unwrap();
    (id.clone(), status(world, organization, &id).await)
}

async fn status(world: &World, organization: &str, id: &str) -> String {
    let purchase = purchases::get(&world.app(), organization, id).await.unwrap();
    purchases::status(&world.app(), &purchase).await.unwrap()
}

fn hundred() -> Wanted {
    Wanted::Credits(whole(100))
}

// S35, S51, S60, F62, F63, F66: what each answer of the provider makes of a purchase.
both_engines!(each_answer_grants_or_does_not, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let ends = [
        ("ok", "paid", 100),
        ("timeout_before", "paid", 100),
        ("timeout_after", "paid", 100),
        ("declined", "declined", 0),
        ("stolen", "declined", 0),
        ("needs_action", "needs_action", 0),
    ];
    let rows = ends.map(|(how, ..)| Org::new(how, "standard", "2026-01-01").pays(how));
    world.organizations(&rows).await;
    for (how, end, bought) in ends {
        assert_eq!(buy(&world, how, &hundred()).await.1, end, "{how}");
        assert_eq!(world.balance(how).await.available, whole(1_000 + bought), "{how}");
        assert_eq!(world.taken(how), usize::from(bought > 0), "{how}");
        let receipts: &[&str] = if bought > 0 { &["receipt"] } else { &[] };
        assert_eq!(world.mails(how).await, receipts, "{how}");
    }
    world.clean_tick().await;
    assert_eq!(world.count("credit_grant WHERE source = 'purchase'").await, 3);
});

// The month's invoice shows what was bought as already paid (D11); it is not charged again.
both_engines!(purchases_are_shown_as_paid, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let acme = Org::new("acme", "standard", "2026-01-01").with("tax_percent", "7.7").pays("ok");
    world.organizations(&[acme]).await;
    for wanted in [hundred(), Wanted::Package("standard".to_owned()), hundred()] {
        assert_eq!(buy(&world, "acme", &wanted).await.1, "paid");
    }
    assert_eq!(world.balance("acme").await.available, whole(2_200));
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    let row = world.invoice("acme").await;
    // 49 + 100 + 1,000 + 100, taxed on the sum; the purchases' 1,292.40 are paid.
    assert_eq!((row.subtotal, row.tax, row.total), (124_900, 9_617, 134_517));
    assert_eq!((row.prepaid, row.amount_due), (129_240, 5_277));
    let taken: i64 = world.journal().iter().map(|record| record.amount.minor()).sum();
    assert_eq!((world.taken("acme"), taken), (4, row.total));
    let statement = world.statement("acme", "2026-01").await;
    assert_eq!((statement.purchased, statement.expired), (whole(1_200), whole(1_000)));
    // They outlive the plan's month: 12 cycles after the one they were bought in (D2).
    let left = world.balance("acme").await.grants;
    let bought: Vec<_> = left.iter().filter(|open| open.grant.source == Source::Purchase).collect();
    assert_eq!(bought.len(), 3);
    let last = bought.iter().filter_map(|open| open.grant.last_cycle).map(|last| last.to_string());
    assert!(last.eq(["2027-01", "2027-01", "2027-01"]));
});

// F68: an unknown outcome grants nothing until it is known, and then exactly once.
both_engines!(an_unknown_purchase_is_granted_once_when_known, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01").pays("ok")]).await;
    let provider = Flaky::new(world.home(), Line::LosesAnswers);
    world.collect_by(provider.clone()).await;
    let (id, end) = buy(&world, "acme", &hundred()).await;
    assert_eq!(end, "unknown");
    assert_eq!(world.balance("acme").await.available, whole(500));
    world.tick(None).await.unwrap();
    world.verify_ok().await;
    provider.set(Line::Works);
    world.pass(60);
    for _ in 0..3 {
        world.tick(None).await.unwrap();
        assert_eq!(status(&world, "acme", &id).await, "paid");
        assert_eq!(world.balance("acme").await.available, whole(600));
        world.pass(60);
    }
    assert_eq!((provider.sent(), world.taken("acme")), (1, 1));
    assert_eq!(world.mails("acme").await, ["receipt"]);
});

// F26: bought between the month's end and its close, it belongs to the new month, wholly.
both_engines!(a_purchase_before_the_close_is_the_next_months, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("ok")]).await;
    world.set_clock("2026-02-01T01:00:00Z");
    assert_eq!(buy(&world, "acme", &hundred()).await.1, "paid");
    world.set_clock("2026-02-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.statement("acme", "2026-01").await.purchased, whole(0));
    assert_eq!(world.invoice("acme").await.prepaid, 0);
    assert_eq!(world.balance("acme").await.available, whole(1_100));
    world.set_clock("2026-03-01T02:00:00Z");
    world.clean_tick().await;
    assert_eq!(world.statement("acme", "2026-02").await.purchased, whole(100));
    assert_eq!(world.invoices("acme").await[1].prepaid, 10_000);
});

// Nothing to charge with, nothing is bought.
both_engines!(a_purchase_needs_a_method, |world| {
    world.set_clock("2026-01-10T09:00:00Z");
    world.organizations(&[Org::new("acme", "starter", "2026-01-01")]).await;
    let refused = requests::buy(&world.app(), "acme", &hundred()).await.unwrap_err().to_string();
    assert!(refused.contains("payment_method"), "{refused}");
    assert_eq!((world.count("purchase").await, world.count("charge").await), (0, 0));
});

// EN 16931: a receipt names the rate its tax was reckoned by, also where the tax rounds to nothing; without a rate it
// names none.
both_engines!(a_receipt_names_its_rate, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    let [free, taxed] =
        ["free", "taxed"].map(|id| Org::new(id, "standard", "2026-01-01").pays("ok"));
    world.organizations(&[free, taxed.with("tax_percent", "20")]).await;
    let cent = Wanted::Credits(Credits::from_nano(10_000_000));
    let mut told = Vec::new();
    for (of, wanted) in
        [("free", &cent), ("taxed", &cent), ("free", &hundred()), ("taxed", &hundred())]
    {
        assert_eq!(buy(&world, of, wanted).await.1, "paid");
        let newest = "SELECT number FROM document ORDER BY series_number DESC LIMIT 1";
        let number = world.table(newest).await.concat().concat();
        let shown = documents::show(&world.app(), &number).await.unwrap().unwrap();
        let Document::Receipt(receipt) = shown.document else { unreachable!("{number}") };
        told.push(receipt.tax_subtotals.iter().map(|tax| tax.amount.minor()).collect::<Vec<_>>());
    }
    assert_eq!(told, [vec![], vec![0], vec![], vec![2_000]]);
});
