//! Every fixed text of the documents, in one place; English for now.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::domain::cycle::{Cycle, month_name};
use crate::domain::grant::Source;
use crate::domain::money::Currency;

pub const INVOICE: &str = "Invoice";
pub const SELLER: &str = "From";
pub const BUYER: &str = "Billed to";
pub const TAX_ID: &str = "Tax ID";
pub const DETAILS: &str = "Details";
pub const NUMBER: &str = "Invoice number";
pub const ISSUED_ON: &str = "Issued";
pub const DUE_ON: &str = "Due";
pub const PERIOD: &str = "Period";
pub const ZONE: &str = "Time zone";
pub const PLAN: &str = "Plan";
pub const ORGANIZATION: &str = "Organization";

pub const DESCRIPTION: &str = "Description";
pub const QUANTITY: &str = "Quantity";
pub const UNIT: &str = "Unit";
pub const UNIT_PRICE: &str = "Unit price";
pub const AMOUNT: &str = "Amount";

pub const SUBTOTAL: &str = "Subtotal";
pub const TAX: &str = "Tax";
pub const TOTAL: &str = "Total";
pub const PREPAID: &str = "Already paid";
pub const AMOUNT_DUE: &str = "Amount due";

pub const PAYMENT: &str = "Payment";
pub const NOTHING_DUE: &str = "Nothing is due. No payment is needed.";
pub const BANK_TRANSFER: &str = "Please transfer the amount due, with the invoice number, to:";

pub const STATEMENT: &str = "Credit statement";
pub const SOURCE: &str = "Source";
pub const GRANTED_IN: &str = "Granted in";
pub const OPENING: &str = "Opening";
pub const GRANTED: &str = "Granted";
pub const USED: &str = "Used";
pub const EXPIRED: &str = "Expired";
pub const CLOSING: &str = "Closing";
pub const EXPIRES: &str = "Last day";
pub const NEVER: &str = "no expiry";
pub const RATED: &str = "Rated use of this cycle";
pub const DEFICIT_BROUGHT: &str = "Use beyond credits brought from earlier cycles";
pub const FROM_GRANTS: &str = "Taken from credits";
pub const OVERAGE: &str = "Billed as overage";
pub const DEFICIT: &str = "Use beyond credits carried into the next cycle";
pub const NO_GRANTS: &str = "No credits in this cycle.";
pub const CREDITS: &str = "Credits";

pub const USAGE: &str = "Use by meter";
pub const METER: &str = "Meter";
pub const CYCLE: &str = "Cycle";
pub const EVENTS: &str = "Events";

pub const RECEIPT: &str = "Receipt";
pub const RECEIPT_NUMBER: &str = "Receipt number";
pub const PAID_ON: &str = "Paid";
pub const BOUGHT_IN: &str = "Bought in";
pub const AMOUNT_PAID: &str = "Amount paid";
pub const NOTHING_LEFT: &str = "Nothing is left to pay.";
pub const CREDITS_BOUGHT: &str = "Credits bought";
pub const ON_THE_INVOICE: &str = "On your invoice";

pub const CREDIT_NOTE: &str = "Credit note";
pub const CREDIT_NOTE_NUMBER: &str = "Credit note number";
pub const CORRECTS: &str = "Corrects";
pub const REASON: &str = "Reason";
pub const TOTAL_CREDITED: &str = "Total credited";
pub const SETTLEMENT: &str = "What happens to it";
pub const NO_MONEY: &str = "No money moves with this credit note.";
pub const TRANSFER: &str = "We transfer this amount to your bank account.";
pub const CREDITS_RETURNED: &str = "Credits returned";
pub const RETURNED: &str = "These credits are back on your balance, usable as long as before: until the last day shown here.";
pub const CREDITS_TAKEN_BACK: &str = "Credits taken back";
pub const TAKEN_BACK: &str =
    "These credits were bought with the money given back, and can no longer be used.";

pub const SUPPORT: &str = "Questions?";

/// `1 November 2026`.
pub fn date(date: NaiveDate) -> String {
    format!("{} {} {}", date.day(), month_name(date.month()), date.year())
}

/// `October 2026`.
pub fn cycle(cycle: Cycle) -> String {
    format!("{} {}", month_name(cycle.month()), cycle.year())
}

/// `1 – 31 October 2026`.
pub fn period(cycle: Cycle) -> String {
    format!("1 – {} {}", cycle.last_day().day(), self::cycle(cycle))
}

/// The last day on which a grant can be used, in a zone: the day that ends at `expires_at`.
pub fn last_day(expires_at: Option<DateTime<Utc>>, zone: Tz) -> String {
    expires_at.map_or_else(
        || NEVER.to_owned(),
        |at| {
            let last = at.checked_sub_signed(chrono::Duration::nanoseconds(1)).unwrap_or(at);
            date(last.with_timezone(&zone).date_naive())
        },
    )
}

/// The last day on which credits can be used.
pub fn last_day_or_never(usable_until: Option<NaiveDate>) -> String {
    usable_until.map_or_else(|| NEVER.to_owned(), date)
}

/// `Amount (USD)`.
pub fn amount_in(currency: Currency) -> String {
    format!("{AMOUNT} ({currency})")
}

/// `Tax 19 % on 1,234.50`.
pub fn tax(percent: &str, taxable: &str) -> String {
    format!("{TAX} {percent} % on {taxable}")
}

/// `Tax reversed, 19 % on 1,234.50`.
pub fn tax_reversed(percent: &str, taxable: &str) -> String {
    format!("{TAX} reversed, {percent} % on {taxable}")
}

/// When and how a purchase was paid.
pub fn paid(on: NaiveDate, with: &str) -> String {
    format!("Paid on {} with {with}.", date(on))
}

/// Which purchase a receipt is for.
pub fn purchase(id: &str) -> String {
    format!("Purchase {id}")
}

/// What a purchase is about.
pub fn credits_bought_in(cycle: Cycle) -> String {
    format!("Credits bought in {}", self::cycle(cycle))
}

/// How many credits were bought and until when they can be used.
pub fn bought(credits: &str, usable_until: Option<NaiveDate>) -> String {
    let until = usable_until.map_or_else(
        || "They do not expire.".to_owned(),
        |last| format!("They can be used until the end of {}.", date(last)),
    );
    format!("{credits} credits were added to your balance. {until}")
}

/// Why the cycle's invoice shows a purchase once more.
pub fn stated_again(cycle: Cycle, taxed: bool) -> String {
    let owed = if taxed { "its tax is not owed twice" } else { "nothing is owed twice" };
    format!(
        "The invoice for {} will state this purchase again, as already paid, so that {owed}.",
        self::cycle(cycle)
    )
}

/// Which document is corrected.
pub fn corrects(number: &str, issued_on: NaiveDate) -> String {
    format!("This credit note corrects {number} of {}.", date(issued_on))
}

/// Money that lowers what is still to be paid.
pub fn offset(number: &str) -> String {
    format!("Deducted from what is still to be paid on {number}.")
}

/// What is left to pay after that.
pub fn still_due(amount: &str) -> String {
    format!("Left to pay: {amount}")
}

/// Money that goes back to a payment method.
pub fn refund(label: &str) -> String {
    format!("This amount goes back to {label}.")
}

/// How a stored method is charged.
pub fn stored_method(label: &str) -> String {
    format!("Charged automatically to {label}.")
}

/// Heading of the statement.
pub fn statement_of(cycle: Cycle) -> String {
    format!("{STATEMENT}, {}", self::cycle(cycle))
}

/// `Due 15 November 2026`.
pub fn due(on: NaiveDate) -> String {
    format!("{DUE_ON} {}", date(on))
}

/// `Page 2 of 3`.
pub fn page(number: usize, count: usize) -> String {
    format!("Page {number} of {count}")
}

/// `Invoice INV-2026-000001`.
pub fn numbered(title: &str, number: &str) -> String {
    format!("{title} {number}")
}

/// A source with a capital.
pub const fn source(source: Source) -> &'static str {
    match source {
        Source::Allowance => "Plan allowance",
        Source::Promotional => "Promotional",
        Source::Adjustment => "Adjustment",
        Source::Purchase => "Purchase",
    }
}
