//! Organizations: the billed parties, each with one balance shared by its projects and members (S17, S18).

use chrono::NaiveDate;
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::credits::Credits;
use super::money::{Currency, Money};
use super::plan::{RolloverCap, Term};

/// A billed party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organization {
    /// `[a-z0-9][a-z0-9_-]{0,62}`.
    pub id: String,
    /// Name on documents; cleaned of control characters.
    pub name: String,
    /// Who gets the mails; at least one.
    pub billing_emails: Vec<String>,
    /// The plan's id, effective from the next cycle that opens.
    pub plan: String,
    /// The day it joined, in its own zone.
    pub joined_on: NaiveDate,
    /// Whose midnight ends its cycles (D6); fixed at sign-up.
    pub zone: Tz,
    /// Currency of its invoices; fixed at sign-up.
    pub currency: Currency,
    /// ISO 3166 country code or name.
    pub country: Option<String>,
    /// Postal address, lines separated by a line feed.
    pub address: Option<String>,
    /// Tax registration.
    pub tax_id: Option<String>,
    /// Tax on everything it buys, in percent.
    pub tax_percent: Decimal,
    /// Language of its documents and mails.
    pub language: String,
    /// Token of the stored payment method (S61); never card data.
    pub payment_method: Option<String>,
    /// Its own terms, above the plan's (S34, S39).
    pub contract: Contract,
}

/// Terms agreed with one organization; blank means the plan's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contract {
    /// Credits granted each cycle.
    pub allowance: Option<Credits>,
    /// How long an allowance can be used.
    pub rollover: Option<Term>,
    /// Limit on carried-over allowance.
    pub rollover_cap: Option<RolloverCap>,
    /// Fee of a cycle, in the organization's currency.
    pub fee: Option<Money>,
    /// Money price of one credit of overage; giving it makes overage billed instead of paused.
    pub overage_price: Option<Decimal>,
}
