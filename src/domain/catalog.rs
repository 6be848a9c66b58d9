//! The catalog: plans, packages, price book, meters and rates, as one version states them.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::credits::Credits;
use super::money::{Currency, Money};
use super::organization::Organization;
use super::plan::{CycleTerms, Plan, Term, TermsError};
use super::rounding::{self, RoundingError};

/// One version of everything that is sold and how it is priced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Catalog {
    /// Hours after a cycle's end in which late use still counts for it (D7).
    pub grace_hours: u16,
    /// Days back from now that late use may reach (D7).
    pub look_back_days: u16,
    /// Money price of one credit by currency (D9).
    pub price_book: BTreeMap<Currency, Decimal>,
    /// How long bought credits can be used (D2).
    pub purchase_term: Term,
    /// How long promotional credits can be used.
    pub promotional_term: Term,
    /// How long adjustments by finance can be used.
    pub adjustment_term: Term,
    /// Plans by id.
    pub plans: BTreeMap<String, Plan>,
    /// Packages by id (S33–S35).
    pub packages: BTreeMap<String, Package>,
    /// Meters by id.
    pub meters: BTreeMap<String, Meter>,
    /// All rates.
    pub rates: Vec<Rate>,
}

/// Credits sold at once (S51, S52).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its id.
    pub id: String,
    /// Its name on documents.
    pub name: String,
    /// How many credits.
    pub credits: Credits,
    /// Its own price by currency; where none is given, the price book's.
    pub price: BTreeMap<Currency, Money>,
}

/// Something that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meter {
    /// Its id, as usage events name it.
    pub id: String,
    /// Is its use billed? Where not, it is recorded and costs nothing (S11–S13).
    pub billable: bool,
    /// The quantities it reports, for information and checks of the catalog; rates decide.
    pub dimensions: Vec<String>,
}

/// The price of one dimension, or of the product of several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Which meter.
    pub meter: String,
    /// The dimension, or the dimensions whose product is priced (S69).
    pub dimensions: Vec<String>,
    /// Only for this model; none: for every model that has no rates of its own.
    pub model: Option<String>,
    /// Exact credits per one unit.
    pub unit_price: Decimal,
    /// First day (UTC) it holds.
    pub effective_on: NaiveDate,
}

/// Why credits cannot be sold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// No such package.
    #[error("package {package:?} is not in the catalog; it has: {known}")]
    UnknownPackage {
        /// What was asked for.
        package: String,
        /// What there is.
        known: String,
    },
    /// The price book has no price in a currency.
    #[error(
        "the price book has no price of a credit in {0}; add it to [price_book] in the catalog"
    )]
    NoPrice(Currency),
    /// Out of range.
    #[error(transparent)]
    Rounding(#[from] RoundingError),
}

impl Catalog {
    /// A plan.
    ///
    /// # Errors
    /// There is none of that id.
    pub fn plan(&self, id: &str) -> Result<&Plan, TermsError> {
        self.plans.get(id).ok_or_else(|| TermsError::UnknownPlan {
            plan: id.chars().take(60).collect(),
            known: self.plans.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// The terms an organization has in a cycle that opens under this version.
    ///
    /// # Errors
    /// Unknown plan, or no price in the organization's currency.
    pub fn terms(
        &self,
        organization: &Organization,
        version: i64,
    ) -> Result<CycleTerms, TermsError> {
        self.plan(&organization.plan)?.terms(
            &organization.contract,
            organization.currency,
            version,
            self.grace_hours,
        )
    }

    /// The net price of any number of credits, by the price book (D9, S60).
    ///
    /// # Errors
    /// No price in the currency, or out of range.
    pub fn price_of(&self, credits: Credits, currency: Currency) -> Result<Money, PriceError> {
        let price = self.price_book.get(&currency).ok_or(PriceError::NoPrice(currency))?;
        Ok(rounding::credits_at_price(credits, *price, currency)?)
    }

    /// A package and its net price in a currency.
    ///
    /// # Errors
    /// Unknown package, no price in the currency, or out of range.
    pub fn package(&self, id: &str, currency: Currency) -> Result<(&Package, Money), PriceError> {
        let package = self.packages.get(id).ok_or_else(|| PriceError::UnknownPackage {
            package: id.chars().take(60).collect(),
            known: self.packages.keys().cloned().collect::<Vec<_>>().join(", "),
        })?;
        let price = match package.price.get(&currency) {
            Some(price) => *price,
            None => self.price_of(package.credits, currency)?,
        };
        Ok((package, price))
    }
}
