//! Unpaid invoices: tried again on the days of the calendar and no others, reminded, given up, and left alone as
//! soon as they are paid. Attempts are counted in the provider's journal, not in our own tables.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use chrono::NaiveDate;
use monthend::domain::admission::Reason;
use monthend::domain::payment::ChargeOutcome;
use monthend::jobs::requests::{self, record_transfer};
use monthend::services::charging::Transfer;
use monthend::services::purchases::{self, Wanted};
use monthend::services::{admission, methods};

use crate::harness::world::{at, whole};
use crate::harness::{Org, World, both_engines};

/// The hour January is closed and first charged: day 0 of the calendar.
const DAY_0: &str = "2026-02-01T02:10:00Z";

/// Attempts that the provider declined, each with the day it happened on.
#[derive(Default)]
struct Log {
    seen: usize,
    declined: Vec<(i64, String)>,
}

impl Log {
    /// Notes what the provider declined since this was last asked.
    fn note(&mut self, world: &World) {
        let journal = world.journal();
        let day = (world.now() - at(DAY_0)).num_days();
        for record in &journal[self.seen..] {
            if matches!(record.outcome, Some(ChargeOutcome::Declined { .. })) {
                self.declined.push((day, record.reference.clone()));
            }
        }
        self.seen = journal.len();
    }

    /// Days on which a reference was declined.
    fn days(&self, reference: &str) -> Vec<i64> {
        let of = self.declined.iter().filter(|(_, of)| of == reference);
        of.map(|(day, _)| *day).collect()
    }

    /// Never more than the budget in any window.
    fn is_within_budget(&self) {
        for (day, _) in &self.declined {
            let window = *day - 29..=*day;
            let count = self.declined.iter().filter(|(other, _)| window.contains(other)).count();
            assert!(count <= 8, "{count} within 30 days before day {day}: {:?}", self.declined);
        }
    }
}

/// Everyone joins in January; the clock stands before its close.
async fn joined(world: &World, rows: &[(&str, &str)]) {
    world.set_clock("2026-01-01T09:00:00Z");
    let org = |(id, how): &(&str, &str)| {
        let org = Org::new(id, "standard", "2026-01-01");
        if how.is_empty() { org } else { org.pays(how) }
    };
    world.organizations(&rows.iter().map(org).collect::<Vec<_>>()).await;
    world.set_clock(DAY_0);
}

/// Ticks four times a day, up to the last tick before a day's hour.
async fn until(world: &World, day: i64, log: &mut Log) {
    let end = at(DAY_0) + chrono::Duration::days(day);
    while world.now() < end {
        world.clean_tick().await;
        log.note(world);
        world.pass(6 * 3_600);
    }
}

async fn stands(world: &World, organization: &str, invoice: usize) -> (String, String) {
    let row = world.invoices(organization).await.remove(invoice);
    (row.status, row.payment_status)
}

fn words(status: &str, payment: &str) -> (String, String) {
    (status.to_owned(), payment.to_owned())
}

async fn number(world: &World, organization: &str, invoice: usize) -> String {
    world.invoices(organization).await.remove(invoice).number.unwrap()
}

async fn is_paused(world: &World, organization: &str) -> bool {
    let reason = admission::of(&world.app(), organization).await.unwrap().reason;
    assert!(reason.is_none_or(|reason| reason == Reason::Unpaid));
    reason.is_some()
}

async fn transfer(world: &World, number: &str) {
    let received_on: NaiveDate = world.now().date_naive();
    let transfer =
        Transfer { number, amount: None, received_on, reference: "bank 4711", reason: "statement" };
    assert!(record_transfer(&world.app(), &transfer).await.unwrap().is_clean());
}

async fn bought(world: &World, organization: &str) -> String {
    let wanted = Wanted::Credits(whole(10));
    let (id, _) = requests::buy(&world.app(), organization, &wanted).await.unwrap();
    let purchase = purchases::get(&world.app(), organization, &id).await.unwrap();
    purchases::status(&world.app(), &purchase).await.unwrap()
}

fn count(all: &[String], kind: &str) -> usize {
    all.iter().filter(|found| *found == kind).count()
}

// S31, complaints 32 and 33: sixty days of a card without money, three invoices and four purchases.
both_engines!(a_card_without_money_is_tried_on_four_days, |world| {
    joined(&world, &[("acme", "declined")]).await;
    let mut log = Log::default();
    until(&world, 1, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "declined"));
    until(&world, 15, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "past_due"));
    // Purchases use up what is left of the budget: 5 attempts, and three of these.
    for day in [15, 16, 17, 18] {
        until(&world, day, &mut log).await;
        assert_eq!(bought(&world, "acme").await, "declined");
        log.note(&world);
    }
    assert_eq!(log.declined.len(), 8, "the fourth was not asked for: {:?}", log.declined);
    until(&world, 21, &mut log).await;
    assert!(!is_paused(&world, "acme").await);
    world.clean_tick().await;
    assert_eq!(stands(&world, "acme", 0).await, words("uncollectible", "past_due"));
    assert!(is_paused(&world, "acme").await);
    until(&world, 60, &mut log).await;
    let numbers = [
        number(&world, "acme", 0).await,
        number(&world, "acme", 1).await,
        number(&world, "acme", 2).await,
    ];
    assert_eq!(log.days(&numbers[0]), [0, 1, 3, 7, 14]);
    // March began with the budget spent: reminded on its first day, tried when there was room again.
    assert_eq!(log.days(&numbers[1]), [31, 35, 42]);
    assert_eq!(log.days(&numbers[2]), [59]);
    assert_eq!(stands(&world, "acme", 1).await, words("uncollectible", "past_due"));
    log.is_within_budget();
    // Each is told once: what failed, the reminder, what was given up, the pause, the card before the 1st.
    let mails = world.mails("acme").await;
    assert_eq!((count(&mails, "invoice"), count(&mails, "payment_failed")), (3, 9));
    let told = world.notices("acme").await;
    let kinds = ["payment_reminder", "uncollectible", "paused", "payment_method"];
    assert_eq!(kinds.map(|kind| count(&told, kind)), [1, 2, 1, 4]);
    // One given-up invoice keeps it paused; the last one paid lifts the pause.
    transfer(&world, &numbers[0]).await;
    assert!(is_paused(&world, "acme").await);
    transfer(&world, &numbers[1]).await;
    assert!(!is_paused(&world, "acme").await);
});

// The budget is one for all invoices, also for those whose day comes in the same hour.
both_engines!(invoices_of_one_hour_share_one_budget, |world| {
    world.set_clock("2026-01-01T09:00:00Z");
    world.organizations(&[Org::new("acme", "standard", "2026-01-01").pays("declined")]).await;
    world.set_clock("2026-04-01T02:10:00Z");
    assert!(world.tick(Some(3)).await.unwrap().is_clean());
    let mut attempts = vec![world.journal().len()];
    for day in 1..=21 {
        world.pass(86_400);
        world.clean_tick().await;
        if [1, 3, 7, 14, 21].contains(&day) {
            attempts.push(world.journal().len());
        }
    }
    assert_eq!(attempts, [3, 6, 8, 8, 8, 8]);
    for invoice in 0..3 {
        assert_eq!(stands(&world, "acme", invoice).await, words("uncollectible", "past_due"));
    }
    let told = world.notices("acme").await;
    let kinds = ["payment_reminder", "uncollectible", "paused"];
    assert_eq!(kinds.map(|kind| count(&told, kind)), [7, 3, 1]);
});

// S43, S61: money by any route ends it at once, before the end of the calendar and after it.
both_engines!(paying_by_any_route_stops_it, |world| {
    let all = ["bank", "card", "late_bank", "late_card"];
    joined(&world, &all.map(|id| (id, "declined"))).await;
    let mut log = Log::default();
    until(&world, 2, &mut log).await;
    transfer(&world, &number(&world, "bank", 0).await).await;
    methods::add(&world.app(), "card", "pm_sandbox_ok", false, "by telephone").await.unwrap();
    assert_eq!(stands(&world, "bank", 0).await, words("settled", "paid"));
    until(&world, 4, &mut log).await;
    assert_eq!(stands(&world, "card", 0).await, words("settled", "paid"), "on its next day");
    until(&world, 22, &mut log).await;
    for id in ["bank", "card"] {
        assert_eq!(log.days(&number(&world, id, 0).await), [0, 1], "{id}");
        assert_eq!(count(&world.mails(id).await, "receipt"), 1, "{id}");
        assert!(!is_paused(&world, id).await);
    }
    for id in ["late_bank", "late_card"] {
        assert_eq!(stands(&world, id, 0).await, words("uncollectible", "past_due"));
        assert!(is_paused(&world, id).await);
    }
    transfer(&world, &number(&world, "late_bank", 0).await).await;
    methods::add(&world.app(), "late_card", "pm_sandbox_ok", true, "by telephone").await.unwrap();
    let run = world.table("SELECT id FROM run WHERE job = 'monthly_close'").await[0][0].clone();
    assert!(world.retry(&run, Some("late_card")).await.is_clean());
    for id in ["late_bank", "late_card"] {
        assert_eq!(stands(&world, id, 0).await, words("settled", "paid"), "{id}");
        assert!(!is_paused(&world, id).await);
    }
    until(&world, 27, &mut log).await;
    assert_eq!(all.map(|id| world.taken(id)), [0, 1, 0, 1]);
    for (id, times) in all.into_iter().zip([0, 0, 1, 1]) {
        let told = world.notices(id).await;
        assert_eq!((count(&told, "paused"), count(&told, "resumed")), (times, times), "{id}");
    }
});

// A stolen card is asked for once in its life, whatever is to be paid.
both_engines!(a_hard_decline_is_never_tried_again, |world| {
    joined(&world, &[("acme", "stolen")]).await;
    let mut log = Log::default();
    until(&world, 5, &mut log).await;
    assert_eq!(bought(&world, "acme").await, "declined");
    until(&world, 60, &mut log).await;
    assert_eq!((world.journal().len(), log.declined.len()), (1, 1));
    assert_eq!(log.declined[0].0, 0);
    let mails = world.mails("acme").await;
    assert_eq!((count(&mails, "invoice"), count(&mails, "payment_failed")), (3, 1));
    // Nothing can be charged: reminded on the four days of each invoice.
    let told = world.notices("acme").await;
    let kinds = ["payment_reminder", "uncollectible", "paused"];
    assert_eq!(kinds.map(|kind| count(&told, kind)), [8, 2, 1]);
});

// S61: the method that failed least for this invoice is next.
both_engines!(a_second_method_is_the_fallback, |world| {
    joined(&world, &[("acme", "declined")]).await;
    methods::add(&world.app(), "acme", "pm_sandbox_stolen", false, "second").await.unwrap();
    let mut log = Log::default();
    until(&world, 5, &mut log).await;
    methods::add(&world.app(), "acme", "pm_sandbox_ok", false, "third").await.unwrap();
    until(&world, 22, &mut log).await;
    let tried: Vec<String> = world.journal().into_iter().map(|record| record.method).collect();
    let ways = ["declined", "stolen", "declined", "ok"].map(|how| format!("pm_sandbox_{how}"));
    assert_eq!(tried, ways);
    assert_eq!(log.declined.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [0, 1, 3]);
    assert_eq!(stands(&world, "acme", 0).await, words("settled", "paid"));
});

// A card saved in the last week is tried before the invoice is given up; one that failed is not tried again.
both_engines!(only_a_new_method_is_tried_on_the_last_day, |world| {
    joined(&world, &[("late", "declined"), ("never", "declined")]).await;
    let mut log = Log::default();
    until(&world, 15, &mut log).await;
    methods::add(&world.app(), "late", "pm_sandbox_ok", false, "at last").await.unwrap();
    until(&world, 23, &mut log).await;
    assert_eq!(stands(&world, "late", 0).await, words("settled", "paid"));
    assert_eq!(stands(&world, "never", 0).await, words("uncollectible", "past_due"));
    assert_eq!((world.taken("late"), world.taken("never")), (1, 0));
    for id in ["late", "never"] {
        assert_eq!(log.days(&number(&world, id, 0).await), [0, 1, 3, 7, 14], "{id}");
    }
});

// Without a default method nothing is charged, also where another one is saved; it is reminded.
both_engines!(a_removed_default_is_not_replaced, |world| {
    joined(&world, &[("gone", "declined"), ("kept", "declined")]).await;
    let mut log = Log::default();
    world.clean_tick().await;
    methods::add(&world.app(), "kept", "pm_sandbox_ok", false, "second").await.unwrap();
    for id in ["gone", "kept"] {
        methods::remove(&world.app(), id, "pm_sandbox_declined", "asked to").await.unwrap();
    }
    until(&world, 22, &mut log).await;
    assert_eq!((world.journal().len(), world.taken("kept")), (2, 0));
    for id in ["gone", "kept"] {
        assert_eq!(stands(&world, id, 0).await, words("uncollectible", "past_due"));
        let told = world.notices(id).await;
        assert_eq!((count(&told, "payment_reminder"), count(&told, "uncollectible")), (4, 1));
    }
});

// Two weeks without the program: the days that went by are not made up for one after the other.
both_engines!(missed_days_are_not_made_up_for, |world| {
    joined(&world, &[("acme", "declined")]).await;
    let mut log = Log::default();
    until(&world, 1, &mut log).await;
    world.set_clock("2026-02-16T02:10:00Z");
    until(&world, 21, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "past_due"));
    until(&world, 25, &mut log).await;
    assert_eq!(log.declined.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [0, 15]);
    assert_eq!(stands(&world, "acme", 0).await, words("uncollectible", "past_due"));
    let mails = world.mails("acme").await;
    assert_eq!(count(&mails, "payment_failed"), 2);
});

// Paid by transfer: reminded after its due date, past due, and finance decides the rest.
both_engines!(a_transfer_is_reminded_and_never_given_up, |world| {
    joined(&world, &[("acme", "")]).await;
    let mut log = Log::default();
    // Due on 15 February: nothing before the 17th.
    until(&world, 15, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "due"));
    assert_eq!(world.notices("acme").await.len(), 0);
    until(&world, 17, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "past_due"));
    until(&world, 27, &mut log).await;
    assert_eq!(world.notices("acme").await, ["payment_reminder"; 3]);
    until(&world, 60, &mut log).await;
    assert_eq!(world.notices("acme").await, ["payment_reminder"; 8]);
    for invoice in [0, 1] {
        assert_eq!(stands(&world, "acme", invoice).await, words("issued", "past_due"));
    }
    assert!(!is_paused(&world, "acme").await);
    transfer(&world, &number(&world, "acme", 0).await).await;
    assert_eq!(stands(&world, "acme", 0).await, words("settled", "paid"));
});

// A database from before there was a calendar begins it when it is looked at.
both_engines!(a_declined_invoice_of_an_older_database_begins_its_calendar, |world| {
    joined(&world, &[("acme", "declined")]).await;
    world.clean_tick().await;
    assert_eq!(world.execute("DELETE FROM dunning").await.unwrap(), 1);
    let mut log = Log::default();
    log.note(&world);
    world.set_clock("2026-02-06T02:10:00Z");
    until(&world, 26, &mut log).await;
    assert_eq!(log.declined.iter().map(|(day, _)| *day).collect::<Vec<_>>(), [0, 6, 8, 12, 19]);
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "past_due"));
    until(&world, 27, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("uncollectible", "past_due"));
});

// A card saved before the due date of a transfer sent a reminder of an "unpaid" invoice, with a day of a charge that never comes.
both_engines!(a_card_saved_early_reminds_nobody_of_a_transfer, |world| {
    joined(&world, &[("acme", "")]).await;
    let mut log = Log::default();
    until(&world, 2, &mut log).await;
    methods::add(&world.app(), "acme", "pm_sandbox_ok", true, "saved").await.unwrap();
    until(&world, 15, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "due"));
    assert_eq!(world.notices("acme").await.len(), 0);
    until(&world, 27, &mut log).await;
    assert_eq!(world.notices("acme").await, ["payment_reminder"; 3]);
    assert_eq!(world.journal().len(), 0);
    let mails = std::fs::read_dir(world.home().join("outbox")).unwrap();
    for mail in mails.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap()) {
        assert!(!mail.contains("collect it again"), "{mail}");
    }
});

// The same card saved once more in the last week gave the invoice up at once.
both_engines!(a_card_saved_again_gives_nothing_up_early, |world| {
    joined(&world, &[("acme", "declined")]).await;
    let mut log = Log::default();
    until(&world, 15, &mut log).await;
    methods::add(&world.app(), "acme", "pm_sandbox_declined", true, "topped up").await.unwrap();
    until(&world, 20, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("issued", "past_due"));
    assert!(!is_paused(&world, "acme").await);
    until(&world, 23, &mut log).await;
    assert_eq!(stands(&world, "acme", 0).await, words("uncollectible", "past_due"));
});
