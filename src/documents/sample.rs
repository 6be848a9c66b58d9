//! Sample documents for tests, benchmarks and previews of a layout. All data is made up.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::domain::credits::{Credits, NANO};
use crate::domain::cycle::Cycle;
use crate::domain::document::{
    CreditNote, CreditSettlement, Document, DocumentHead, GrantCredits, Receipt,
};
use crate::domain::grant::Source;
use crate::domain::invoice::{
    InvoiceDocument, InvoiceDraft, InvoiceHeader, InvoiceLine, LineKind, Party, PaymentTerms,
    TaxSubtotal, UsageSummary,
};
use crate::domain::money::{Currency, Money};
use crate::domain::statement::{CreditStatement, StatementGrant, StatementState};

fn line(
    kind: LineKind,
    description: &str,
    quantity: i64,
    price: Decimal,
    cents: i64,
) -> InvoiceLine {
    InvoiceLine {
        kind,
        description: description.to_owned(),
        quantity: Decimal::from(quantity),
        unit: match kind {
            LineKind::PlanFee => "month",
            LineKind::Purchase | LineKind::Correction => "package",
            LineKind::Overage | LineKind::PriorCycle => "credit",
        }
        .to_owned(),
        unit_price: price,
        amount: Money::from_minor(cents, Currency::USD),
        cycle: october(),
    }
}

fn october() -> Cycle {
    Cycle::of_date(NaiveDate::from_ymd_opt(2026, 10, 1).unwrap_or_default())
}

fn grant(
    source: Source,
    cycle: Cycle,
    figures: [i64; 4],
    last_cycle: Option<Cycle>,
) -> StatementGrant {
    let [opening, granted, used, expired] = figures.map(|whole| whole * NANO);
    StatementGrant {
        id: format!("grt_{cycle}_{source}"),
        source,
        cycle,
        opening: Credits::from_nano(opening),
        granted: Credits::from_nano(granted),
        used: Credits::from_nano(used),
        expired: Credits::from_nano(expired),
        closing: Credits::from_nano(opening + granted - used - expired),
        expires_at: last_cycle.map(|last| last.bounds(chrono_tz::Europe::Berlin).ends_at),
    }
}

/// An ordinary invoice that fills one page: four lines, one tax rate, four grants, two meters.
#[must_use]
pub fn sample_document() -> InvoiceDocument {
    InvoiceDocument { header: header(), draft: draft() }
}

/// [`sample_document`] with so many lines and grants that it takes several pages.
#[must_use]
pub fn sample_of_size(lines: usize, grants: usize) -> InvoiceDocument {
    let mut document = sample_document();
    let draft = &mut document.draft;
    draft.lines = draft.lines.iter().cycle().take(lines).cloned().collect();
    for (index, line) in draft.lines.iter_mut().enumerate() {
        line.description = format!("{} ({})", line.description, index + 1);
    }
    draft.statement.grants = draft.statement.grants.iter().cycle().take(grants).cloned().collect();
    document
}

/// The receipt of a purchase in [`sample_document`].
#[must_use]
pub fn sample_receipt() -> Document {
    let lines =
        vec![line(LineKind::Purchase, "Package of 50,000 credits", 2, Decimal::from(400), 80_000)];
    Document::Receipt(Receipt {
        head: head("RCT-2026-000007", day(10, 12)),
        organization: "wydawnictwo-lodz".to_owned(),
        purchase: "pur_01K7BGA5V0Q2M8T4N6R9XCZEHW".to_owned(),
        cycle: october(),
        lines,
        tax_subtotals: vec![nineteen(80_000, 15_200)],
        subtotal: usd(80_000),
        tax: usd(15_200),
        total: usd(95_200),
        paid_on: day(10, 12),
        paid_with: "Visa ending in 4242".to_owned(),
        credits: Credits::from_nano(100_000 * NANO),
        usable_until: Some(october().plus(12).last_day()),
    })
}

/// A credit note for [`sample_document`]: money is refunded, credits are returned and taken back.
#[must_use]
pub fn sample_credit_note() -> Document {
    let cycle = october();
    let cent = Decimal::new(1, 2);
    let mut use_given_back =
        line(LineKind::Correction, "Use beyond included credits", 2_480, cent, 2_480);
    "credit".clone_into(&mut use_given_back.unit);
    let credits = |source, cycle: Cycle, whole: i64, usable_until| GrantCredits {
        grant: format!("grt_{cycle}_{source}"),
        source,
        cycle,
        credits: Credits::from_nano(whole * NANO),
        usable_until,
    };
    Document::CreditNote(CreditNote {
        head: head("CN-2026-000003", day(11, 4)),
        organization: "wydawnictwo-lodz".to_owned(),
        corrects: "INV-2026-000042".to_owned(),
        corrects_issued_on: day(11, 1),
        cycle,
        reason: "On 14 October 2026 a fault of ours repeated requests to chat.large; the use they \
                 made is given back, and one of the two packages was bought because of it."
            .to_owned(),
        lines: vec![
            use_given_back,
            line(LineKind::Correction, "Package of 50,000 credits", 1, Decimal::from(400), 40_000),
        ],
        tax_subtotals: vec![nineteen(42_480, 8_071)],
        subtotal: usd(42_480),
        tax: usd(8_071),
        total: usd(50_551),
        settled: CreditSettlement::Refund { label: "Visa ending in 4242".to_owned() },
        returned: vec![
            credits(Source::Allowance, cycle, 9_750, Some(cycle.next().last_day())),
            credits(Source::Adjustment, cycle, 250, None),
        ],
        taken_back: vec![credits(Source::Purchase, cycle, 50_000, Some(cycle.plus(12).last_day()))],
    })
}

fn usd(minor: i64) -> Money {
    Money::from_minor(minor, Currency::USD)
}

fn nineteen(taxable: i64, tax: i64) -> TaxSubtotal {
    TaxSubtotal { percent: Decimal::from(19), taxable: usd(taxable), amount: usd(tax) }
}

fn day(month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, month, day).unwrap_or_default()
}

/// Parties as on the invoice.
fn head(number: &str, issued_on: NaiveDate) -> DocumentHead {
    let InvoiceHeader { zone, seller, buyer, support, notes, .. } = header();
    DocumentHead { number: number.to_owned(), issued_on, zone, seller, buyer, support, notes }
}

fn header() -> InvoiceHeader {
    InvoiceHeader {
        number: "INV-2026-000042".to_owned(),
        issued_on: day(11, 1),
        due_on: day(11, 15),
        zone: "Europe/Berlin".to_owned(),
        seller: Party {
            name: "Lumen Inference GmbH".to_owned(),
            address: vec!["Torstraße 110".to_owned(), "10119 Berlin".to_owned()],
            country: Some("Germany".to_owned()),
            tax_id: Some("DE 123 456 789".to_owned()),
            email: Some("billing@lumen.example".to_owned()),
        },
        buyer: Party {
            name: "Wydawnictwo Łódź Sp. z o.o.".to_owned(),
            address: vec!["ul. Piotrkowska 86".to_owned(), "90-103 Łódź".to_owned()],
            country: Some("Poland".to_owned()),
            tax_id: Some("PL 725 18 01 126".to_owned()),
            email: Some("faktury@wydawnictwo.example".to_owned()),
        },
        payment: PaymentTerms::StoredMethod { label: "Visa ending in 4242".to_owned() },
        support: "support@lumen.example, lumen.example/help".to_owned(),
        notes: vec!["Credits are used in the order in which they expire. Thank you.".to_owned()],
    }
}

fn draft() -> InvoiceDraft {
    let cycle = october();
    let bounds = cycle.bounds(chrono_tz::Europe::Berlin);
    let cent = Decimal::new(1, 2);
    let mut late =
        line(LineKind::PriorCycle, "Late use of September 2026 beyond credits", 350, cent, 350);
    late.cycle = cycle.previous();
    InvoiceDraft {
        organization: "wydawnictwo-lodz".to_owned(),
        cycle,
        starts_at: bounds.starts_at,
        ends_at: bounds.ends_at,
        currency: Currency::USD,
        plan: "Team".to_owned(),
        tax_percent: Decimal::from(19),
        lines: vec![
            line(LineKind::PlanFee, "Team plan, October 2026", 1, Decimal::from(499), 49_900),
            line(LineKind::Overage, "Use beyond included credits", 12_480, cent, 12_480),
            late,
            line(LineKind::Purchase, "Package of 50,000 credits", 2, Decimal::from(400), 80_000),
        ],
        tax_subtotals: vec![nineteen(142_730, 27_119)],
        subtotal: usd(142_730),
        tax: usd(27_119),
        total: usd(169_849),
        prepaid: usd(95_200),
        amount_due: usd(74_649),
        statement: statement(),
        usage: vec![
            usage("chat.large.tokens", 1_204_551, 91_730),
            usage("chat.small.tokens", 8_120_004, 51_100),
        ],
    }
}

fn usage(meter: &str, events: i64, credits: i64) -> UsageSummary {
    UsageSummary {
        cycle: october(),
        meter: meter.to_owned(),
        events,
        credits: Credits::from_nano(credits * NANO),
    }
}

fn statement() -> CreditStatement {
    let cycle = october();
    let whole = |credits: i64| Credits::from_nano(credits * NANO);
    CreditStatement {
        organization: "wydawnictwo-lodz".to_owned(),
        cycle,
        state: StatementState::Closed,
        opening: whole(30_000),
        granted: whole(51_000),
        purchased: whole(100_000),
        used: whole(130_000),
        expired: whole(1_000),
        closing: whole(50_000),
        rated: whole(142_830),
        overage: whole(12_830),
        deficit_brought: Credits::ZERO,
        deficit: Credits::ZERO,
        grants: vec![
            grant(Source::Allowance, cycle.previous(), [30_000, 0, 30_000, 0], Some(cycle)),
            grant(Source::Promotional, cycle, [0, 1_000, 0, 1_000], Some(cycle)),
            grant(Source::Allowance, cycle, [0, 50_000, 50_000, 0], Some(cycle.next())),
            grant(Source::Purchase, cycle, [0, 100_000, 50_000, 0], Some(cycle.plus(12))),
        ],
    }
}
