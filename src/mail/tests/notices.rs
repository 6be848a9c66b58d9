//! What notices say.

use super::super::samples::notices as samples;
use super::letters::text_of;
use crate::domain::document::CreditSettlement;
use crate::domain::plan::Depletion;
use crate::mail::notices::{MethodTrouble, Notice};

/// Samples of one kind in one snapshot, so that their wording can be compared.
fn all_of(samples: &[crate::mail::MailFacts]) -> String {
    samples.iter().map(text_of).collect::<Vec<_>>().join("\n==========\n\n")
}

#[test]
fn reminders() {
    insta::assert_snapshot!(all_of(&[
        samples::reminder(),
        samples::reminder_without_attempt(),
        samples::reminder_of_transfer(),
    ]));
}

#[test]
fn payments_taken_back() {
    insta::assert_snapshot!(all_of(&samples::reversals()));
}

#[test]
fn an_invoice_that_was_given_up() {
    insta::assert_snapshot!(all_of(&[samples::uncollectible(true), samples::uncollectible(false)]));
}

#[test]
fn credit_notes() {
    insta::assert_snapshot!(all_of(&samples::settlements().map(samples::credit_note)));
}

#[test]
fn a_refund() {
    insta::assert_snapshot!(text_of(&samples::refunded()));
}

#[test]
fn payment_methods() {
    let troubles = [MethodTrouble::Missing, MethodTrouble::Expires, MethodTrouble::Failed];
    insta::assert_snapshot!(all_of(&troubles.map(samples::payment_method)));
}

// S27
#[test]
fn alerts_of_the_allowance() {
    insta::assert_snapshot!(all_of(&[
        samples::alert_of_allowance(),
        samples::alert_of_a_project(),
    ]));
}

#[test]
fn alerts_of_credits_left() {
    insta::assert_snapshot!(all_of(&[
        samples::alert_of_credits(440, Depletion::Overage),
        samples::alert_of_credits(0, Depletion::Pause),
        samples::alert_of_credits(-60, Depletion::Overage),
    ]));
}

#[test]
fn alerts_of_spend() {
    insta::assert_snapshot!(all_of(&[
        samples::alert_of_spend(None),
        samples::alert_of_spend(Some("atlas")),
    ]));
}

// What the close finds is told of a month that is over.
#[test]
fn alerts_of_a_closed_month() {
    insta::assert_snapshot!(all_of(&[
        samples::of_the_past(samples::alert_of_allowance()),
        samples::of_the_past(samples::alert_of_credits(0, Depletion::Pause)),
        samples::of_the_past(samples::alert_of_credits(-60, Depletion::Overage)),
        samples::of_the_past(samples::alert_of_spend(None)),
    ]));
}

#[test]
fn alerts_of_days_left() {
    insta::assert_snapshot!(all_of(&[samples::alert_of_days(5), samples::alert_of_days(0)]));
}

// D1, D2
#[test]
fn expiries() {
    insta::assert_snapshot!(all_of(&[
        samples::expiry(800),
        samples::expiry(1_200),
        samples::expiry(0),
        samples::over_the_cap(),
    ]));
}

// S49
#[test]
fn pauses() {
    insta::assert_snapshot!(all_of(&[
        samples::paused_without_credits(true),
        samples::paused_without_credits(false),
        samples::paused_unpaid(true),
        samples::paused_unpaid(false),
        samples::paused_by_hand(),
    ]));
}

// S50
#[test]
fn the_end_of_a_pause() {
    insta::assert_snapshot!(all_of(&[samples::resumed(1_000), samples::resumed(0)]));
}

#[test]
fn the_end_of_automatic_purchases() {
    insta::assert_snapshot!(all_of(&[
        samples::recharge_stopped(true),
        samples::recharge_stopped(false),
    ]));
}

/// A notice is stored as JSON and told later: it must come back as it was.
#[test]
fn notices_come_back_from_their_stored_form() {
    for facts in samples::all() {
        let crate::mail::Occasion::Notice(notice) = facts.occasion else {
            unreachable!("no notice")
        };
        let stored = serde_json::to_value(&notice).unwrap();
        assert_eq!(stored["kind"], notice.template());
        assert_eq!(serde_json::from_value::<Notice>(stored).unwrap(), notice);
        assert_eq!(notice.clone().cleaned(), notice);
    }
    assert_eq!(samples::settlements().len(), 4);
    assert!(samples::settlements().contains(&CreditSettlement::None));
}
