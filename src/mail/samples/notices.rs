//! Sample notices: every kind, and every branch of its templates.

use chrono::NaiveDate;

use super::{attach, credits, day, invoice, mail, october, usd};
use crate::domain::document::CreditSettlement;
use crate::domain::grant::Source;
use crate::domain::invoice::PaymentTerms;
use crate::domain::plan::Depletion;
use crate::mail::facts::{MailFacts, Occasion};
use crate::mail::notices::{
    AlertMeasure, ExpiringGrant, MethodTrouble, Notice, PauseReason, UnpaidInvoice,
};

/// A hosted page of the payment provider; its parameters must survive every escape.
fn page(name: &str) -> String {
    format!("https://pay.example/{name}?org=acme&to=2026-11")
}

fn card() -> String {
    "card ending 4242".to_owned()
}

fn notice(notice: Notice) -> MailFacts {
    let document = match &notice {
        Notice::PaymentReminder { .. }
        | Notice::PaymentReversed { .. }
        | Notice::Uncollectible { .. } => Some("INV-2026-000001"),
        Notice::CreditNote { .. } => Some("CN-2026-000003"),
        _ => None,
    };
    let mut facts = mail(&format!("mail-{}-1", notice.template()), Occasion::Notice(notice));
    if let Some(number) = document {
        attach(&mut facts, number);
    }
    facts
}

/// A reminder that is followed by another attempt and then by a pause.
pub(crate) fn reminder() -> MailFacts {
    notice(Notice::PaymentReminder {
        invoice: invoice(),
        outstanding: usd(113_450),
        payment: PaymentTerms::StoredMethod { label: card() },
        next_attempt_on: Some(day(2026, 11, 18)),
        pause_on: Some(day(2026, 11, 29)),
        pay_link: Some(page("invoice")),
    })
}

/// A reminder with nothing automatic behind it.
pub(crate) fn reminder_without_attempt() -> MailFacts {
    notice(Notice::PaymentReminder {
        invoice: invoice(),
        outstanding: usd(113_450),
        payment: PaymentTerms::StoredMethod { label: card() },
        next_attempt_on: None,
        pause_on: None,
        pay_link: None,
    })
}

/// A reminder to transfer the money.
pub(crate) fn reminder_of_transfer() -> MailFacts {
    notice(Notice::PaymentReminder {
        invoice: invoice(),
        outstanding: usd(113_450),
        payment: PaymentTerms::BankTransfer {
            details: vec!["IBAN DE02 1203 0000 0000 2020 51".to_owned(), "Example Bank".to_owned()],
        },
        next_attempt_on: None,
        pause_on: Some(day(2026, 11, 29)),
        pay_link: None,
    })
}

fn reversed(payment: PaymentTerms, next_attempt_on: Option<NaiveDate>, link: bool) -> MailFacts {
    notice(Notice::PaymentReversed {
        invoice: invoice(),
        amount: usd(113_450),
        received_on: day(2026, 11, 10),
        outstanding: usd(113_450),
        payment,
        next_attempt_on,
        pay_link: link.then(|| page("invoice")),
    })
}

/// A transfer that was taken back: of an invoice that is charged, or of one that is transferred.
pub(crate) fn reversals() -> [MailFacts; 3] {
    let bank = PaymentTerms::BankTransfer {
        details: vec!["IBAN DE02 1203 0000 0000 2020 51".to_owned(), "Example Bank".to_owned()],
    };
    let stored = PaymentTerms::StoredMethod { label: card() };
    [
        reversed(stored.clone(), Some(day(2026, 11, 18)), true),
        reversed(stored, None, false),
        reversed(bank, None, false),
    ]
}

/// An invoice that was given up, with or without a pause.
pub(crate) fn uncollectible(paused: bool) -> MailFacts {
    let pay_link = paused.then(|| page("invoice"));
    notice(Notice::Uncollectible {
        invoice: invoice(),
        outstanding: usd(113_450),
        paused,
        pay_link,
    })
}

/// A credit note whose money goes where said, with credits returned and taken back.
pub(crate) fn credit_note(settled: CreditSettlement) -> MailFacts {
    let is_money = settled != CreditSettlement::None;
    let taken_back = if matches!(settled, CreditSettlement::Refund { .. }) { 500 } else { 0 };
    let returned = if settled == CreditSettlement::Transfer { 0 } else { 1_200 };
    notice(Notice::CreditNote {
        number: "CN-2026-000003".to_owned(),
        corrects: "INV-2026-000001".to_owned(),
        reason: "A fault of ours repeated requests on 14 October 2026.".to_owned(),
        total: usd(if is_money { 11_900 } else { 0 }),
        settled,
        returned: credits(returned),
        taken_back: credits(taken_back),
    })
}

/// Every settlement.
pub(crate) fn settlements() -> [CreditSettlement; 4] {
    [
        CreditSettlement::Refund { label: card() },
        CreditSettlement::Offset { still_due: usd(101_550) },
        CreditSettlement::Transfer,
        CreditSettlement::None,
    ]
}

/// Money that went back.
pub(crate) fn refunded() -> MailFacts {
    notice(Notice::Refunded {
        number: "CN-2026-000003".to_owned(),
        amount: usd(11_900),
        refunded_on: day(2026, 11, 5),
        label: card(),
    })
}

/// A payment method that is missing, expires or failed.
pub(crate) fn payment_method(trouble: MethodTrouble) -> MailFacts {
    let is_there = trouble != MethodTrouble::Missing;
    notice(Notice::PaymentMethod {
        trouble,
        label: is_there.then(card),
        expires: (trouble == MethodTrouble::Expires).then(october),
        needed_on: day(2026, 11, 1),
        expected: (trouble != MethodTrouble::Failed).then(|| usd(113_450)),
        link: is_there.then(|| page("method")),
    })
}

/// An alert: what is measured, by whom, what is left and until when it lasts.
fn alert(
    rule: &str,
    measure: AlertMeasure,
    (project, used, available): (Option<&str>, i64, i64),
    (runs_out_on, depletion): (Option<u32>, Depletion),
) -> MailFacts {
    let link = project.is_none().then(|| page("credits"));
    notice(Notice::Alert {
        rule: rule.to_owned(),
        measure,
        project: project.map(str::to_owned),
        cycle: october(),
        available: credits(available),
        used: credits(used),
        depletion,
        runs_out_on: runs_out_on.map(|date| day(2026, 10, date)),
        cycle_ends_on: day(2026, 10, 31),
        is_over: false,
        link,
    })
}

/// Four fifths of the allowance are used, and the rest will not last.
pub(crate) fn alert_of_allowance() -> MailFacts {
    let measure = AlertMeasure::AllowanceUsed {
        threshold_percent: 80,
        percent: 81,
        allowance: credits(1_000),
    };
    alert("allowance-80", measure, (None, 812, 1_188), (Some(23), Depletion::Pause))
}

/// A project that used more than the whole allowance.
pub(crate) fn alert_of_a_project() -> MailFacts {
    let measure = AlertMeasure::AllowanceUsed {
        threshold_percent: 100,
        percent: 104,
        allowance: credits(1_000),
    };
    alert("atlas-all", measure, (Some("atlas"), 1_040, 5_000), (None, Depletion::Overage))
}

/// The same of a cycle that is over.
pub(crate) fn of_the_past(mut alert: MailFacts) -> MailFacts {
    if let Occasion::Notice(Notice::Alert { is_over, runs_out_on, .. }) = &mut alert.occasion {
        (*is_over, *runs_out_on) = (true, None);
    }
    alert
}

/// Few credits are left, or none.
pub(crate) fn alert_of_credits(available: i64, depletion: Depletion) -> MailFacts {
    let measure = AlertMeasure::CreditsLeft { threshold: credits(500) };
    let runs_out_on = (available > 0).then_some(23);
    alert("low-credits", measure, (None, 4_560, available), (runs_out_on, depletion))
}

/// The use is worth more than a limit.
pub(crate) fn alert_of_spend(project: Option<&str>) -> MailFacts {
    let measure = AlertMeasure::Spend { threshold: usd(50_000), spent: usd(51_200) };
    alert("spend-500", measure, (project, 5_120, 900), (Some(29), Depletion::Overage))
}

/// The credits last so many days.
pub(crate) fn alert_of_days(days: u32) -> MailFacts {
    let measure = AlertMeasure::DaysLeft { threshold_days: 7, days };
    alert("week-left", measure, (None, 4_560, 440), (Some(18 + days), Depletion::Pause))
}

/// Credits that lapse, of which `unused` will not be used at the present pace.
pub(crate) fn expiry(unused: i64) -> MailFacts {
    let grant = |source, cycle, remaining| ExpiringGrant {
        id: format!("grt_{source}"),
        source,
        cycle,
        remaining: credits(remaining),
    };
    let mut grants = vec![
        grant(Source::Allowance, october().previous(), 650),
        grant(Source::Promotional, october(), 250),
        grant(Source::Adjustment, october(), 200),
        grant(Source::Purchase, october().plus(-12), 100),
    ];
    let has_many = unused == 0;
    if has_many {
        grants = vec![grant(Source::Purchase, october().plus(-12), 50); 24];
    }
    notice(Notice::Expiry {
        days: 7,
        usable_until: day(2026, 10, 31),
        total: credits(1_200),
        value: (!has_many).then(|| usd(120_000)),
        grants,
        unused: credits(unused),
        over_cap: credits(if unused == 800 { 300 } else { 0 }),
    })
}

/// Credits that lapse only because the plan does not carry so many on.
pub(crate) fn over_the_cap() -> MailFacts {
    let grant = ExpiringGrant {
        id: "grt_allowance".to_owned(),
        source: Source::Allowance,
        cycle: october().previous(),
        remaining: credits(600),
    };
    notice(Notice::Expiry {
        days: 7,
        usable_until: day(2026, 10, 31),
        total: credits(600),
        value: None,
        grants: vec![grant],
        unused: credits(600),
        over_cap: credits(600),
    })
}

/// A pause for lack of credits, with or without new ones to come.
pub(crate) fn paused_without_credits(returns: bool) -> MailFacts {
    notice(Notice::Paused {
        reason: PauseReason::OutOfCredits,
        unpaid: None,
        available: credits(if returns { -120 } else { 0 }),
        next_credits_on: returns.then(|| day(2026, 11, 1)),
        link: returns.then(|| page("credits")),
    })
}

/// A pause because of an invoice.
pub(crate) fn paused_unpaid(is_known: bool) -> MailFacts {
    let unpaid = UnpaidInvoice { number: "INV-2026-000001".to_owned(), outstanding: usd(113_450) };
    notice(Notice::Paused {
        reason: PauseReason::Unpaid,
        unpaid: is_known.then_some(unpaid),
        available: credits(2_000),
        next_credits_on: Some(day(2026, 12, 1)),
        link: is_known.then(|| page("invoice")),
    })
}

/// A pause by finance.
pub(crate) fn paused_by_hand() -> MailFacts {
    notice(Notice::Paused {
        reason: PauseReason::ByHand,
        unpaid: None,
        available: credits(2_000),
        next_credits_on: None,
        link: None,
    })
}

/// The end of a pause.
pub(crate) fn resumed(available: i64) -> MailFacts {
    notice(Notice::Resumed { available: credits(available) })
}

/// The end of automatic purchases; without a page their package is gone from the catalog, too.
pub(crate) fn recharge_stopped(with_page: bool) -> MailFacts {
    notice(Notice::RechargeStopped {
        credits: credits(if with_page { 5_000 } else { 0 }),
        reason: "The card was declined three times.".to_owned(),
        stopped_on: day(2026, 10, 12),
        available: credits(180),
        link: with_page.then(|| page("method")),
    })
}

/// All samples.
pub(crate) fn all() -> Vec<MailFacts> {
    let mut all = vec![
        reminder(),
        reminder_without_attempt(),
        reminder_of_transfer(),
        uncollectible(true),
        uncollectible(false),
        refunded(),
        payment_method(MethodTrouble::Missing),
        payment_method(MethodTrouble::Expires),
        payment_method(MethodTrouble::Failed),
        alert_of_allowance(),
        alert_of_a_project(),
        alert_of_credits(440, Depletion::Overage),
        alert_of_credits(0, Depletion::Pause),
        alert_of_credits(-60, Depletion::Overage),
        alert_of_spend(None),
        alert_of_spend(Some("atlas")),
        alert_of_days(5),
        alert_of_days(0),
        of_the_past(alert_of_credits(-60, Depletion::Overage)),
        expiry(800),
        expiry(1_200),
        expiry(0),
        over_the_cap(),
        paused_without_credits(true),
        paused_without_credits(false),
        paused_unpaid(true),
        paused_unpaid(false),
        paused_by_hand(),
        resumed(1_000),
        resumed(0),
        recharge_stopped(true),
        recharge_stopped(false),
    ];
    all.extend(reversals());
    all.extend(settlements().map(credit_note));
    all
}
