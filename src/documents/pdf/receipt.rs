//! The receipt of a purchase: what was paid, when and how, and the credits it bought.

use super::cover::{Cover, Panel};
use super::flow::Flow;
use super::sections::{self, prose, result};
use crate::documents::{figures, words};
use crate::domain::document::Receipt;

/// Its frame.
pub fn cover(receipt: &Receipt) -> Cover<'_> {
    let head = &receipt.head;
    Cover {
        title: words::RECEIPT,
        number: &head.number,
        issued_on: head.issued_on,
        subject: words::credits_bought_in(receipt.cycle),
        seller: &head.seller,
        buyer: &head.buyer,
        support: &head.support,
        facts: vec![
            (words::RECEIPT_NUMBER, head.number.clone()),
            (words::ISSUED_ON, words::date(head.issued_on)),
            (words::PAID_ON, words::date(receipt.paid_on)),
            (words::BOUGHT_IN, words::cycle(receipt.cycle)),
            (words::ZONE, head.zone.clone()),
            (words::ORGANIZATION, receipt.organization.clone()),
        ],
        panel: Panel {
            label: words::AMOUNT_PAID,
            figure: figures::money(receipt.total),
            about: words::PAYMENT.to_owned(),
            sentence: words::paid(receipt.paid_on, &receipt.paid_with),
            details: vec![words::NOTHING_LEFT.to_owned()],
        },
    }
}

/// All that follows the head.
pub fn draw(flow: &mut Flow<'_>, receipt: &Receipt) {
    sections::lines(flow, &receipt.lines, receipt.total.currency());
    let mut sums =
        sections::taxed(receipt.subtotal, &receipt.tax_subtotals, receipt.tax, words::tax);
    sums.push(result(words::TOTAL, figures::money(receipt.total)));
    sections::totals(flow, &sums);
    flow.heading(words::CREDITS_BOUGHT, 30_000);
    prose(flow, &words::bought(&figures::credits(receipt.credits), receipt.usable_until));
    flow.heading(words::ON_THE_INVOICE, 30_000);
    prose(flow, &words::stated_again(receipt.cycle, !receipt.tax.is_zero()));
    let mut notes = vec![words::purchase(&receipt.purchase)];
    notes.extend_from_slice(&receipt.head.notes);
    sections::notes(flow, &notes);
}
