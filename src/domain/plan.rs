//! Plans and the terms a cycle freezes from them (S32–S39, D1–D5, D8, D13).

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::credits::Credits;
use super::cycle::Cycle;
use super::money::{Currency, Money};
use super::organization::Contract;
use super::rounding::{self, RoundingError};

/// When a plan's fee is billed (D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FeeTiming {
    /// The closed cycle's fee.
    Arrears,
    /// The coming cycle's fee.
    Advance,
}

/// What happens when the credits are used up (D8, S49).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Depletion {
    /// New operations pause; use beyond is carried as a deficit.
    Pause,
    /// Use beyond is billed at the overage price.
    Overage,
}

/// How long a grant can be used after the cycle it was granted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Term {
    /// Through the end of that many cycles after its own; 0: its own only (D1).
    Cycles(u16),
    /// For ever.
    Never,
}

impl Term {
    /// The last cycle a grant of `cycle` can be used in; none: never expires.
    #[must_use]
    pub fn last_cycle(self, cycle: Cycle) -> Option<Cycle> {
        match self {
            Self::Cycles(cycles) => Some(cycle.plus(i32::from(cycles))),
            Self::Never => None,
        }
    }
}

/// A limit on carried-over allowance (D4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RolloverCap {
    /// At most so many credits.
    Credits(Credits),
    /// At most this percentage of the cycle's allowance.
    Percent(#[serde(with = "rust_decimal::serde::str")] Decimal),
}

impl RolloverCap {
    /// The cap in credits for an allowance.
    ///
    /// # Errors
    /// Out of range.
    pub fn in_credits(self, allowance: Credits) -> Result<Credits, RoundingError> {
        match self {
            Self::Credits(credits) => Ok(credits),
            Self::Percent(percent) => rounding::percent_of_allowance(allowance, percent),
        }
    }
}

/// A plan as the catalog states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its id: `standard`.
    pub id: String,
    /// Its name on documents.
    pub name: String,
    /// Credits granted each cycle (S20).
    pub allowance: Credits,
    /// Credits granted once at sign-up (S2, D10).
    pub signup_credits: Credits,
    /// Fee of a cycle by currency; empty: free in every currency.
    pub fee: BTreeMap<Currency, Money>,
    /// When the fee is billed.
    pub fee_timing: FeeTiming,
    /// How long an allowance can be used.
    pub rollover: Term,
    /// Limit on carried-over allowance.
    pub rollover_cap: Option<RolloverCap>,
    /// What happens when the credits are used up.
    pub depletion: Depletion,
    /// Money price of one credit of overage by currency; needed where depletion is overage.
    pub overage_price: BTreeMap<Currency, Decimal>,
    /// Is the fee of the joining cycle prorated by days (D13)?
    pub prorate_fee: bool,
    /// Is the allowance of the joining cycle prorated by days (D13)?
    pub prorate_allowance: bool,
}

/// The terms one organization has in one cycle: plan and contract, frozen when the cycle opens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CycleTerms {
    /// The plan's id.
    pub plan: String,
    /// The plan's name on documents.
    pub plan_name: String,
    /// The catalog version they come from.
    pub catalog_version: i64,
    /// Credits granted for the cycle.
    pub allowance: Credits,
    /// The cycle's whole fee.
    pub fee: Money,
    /// When it is billed.
    pub fee_timing: FeeTiming,
    /// How long the cycle's allowance can be used.
    pub rollover: Term,
    /// Limit on carried-over allowance at the end of the cycle.
    pub rollover_cap: Option<RolloverCap>,
    /// Money price of a credit of overage; none: the plan pauses and carries a deficit.
    #[serde(with = "rust_decimal::serde::str_option")]
    pub overage_price: Option<Decimal>,
    /// Is the fee of the joining cycle prorated?
    pub prorate_fee: bool,
    /// Is the allowance of the joining cycle prorated?
    pub prorate_allowance: bool,
    /// Hours after the cycle's end in which late use still counts (D7).
    pub grace_hours: u16,
}

/// Why an organization cannot have a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The catalog has no such plan.
    #[error("plan {plan:?} is not in the catalog; it has: {known}")]
    UnknownPlan {
        /// What was asked for.
        plan: String,
        /// What there is.
        known: String,
    },
    /// The plan has no fee in the organization's currency and the contract gives none.
    #[error(
        "plan {plan:?} has no fee in {currency}; add it to the catalog or give the organization's own `fee`"
    )]
    NoFee {
        /// The plan.
        plan: String,
        /// The organization's currency.
        currency: Currency,
    },
    /// The plan bills overage but has no price in the organization's currency.
    #[error(
        "plan {plan:?} bills overage but has no overage_price in {currency}; add it to the catalog or give the organization's own `overage_price`"
    )]
    NoOveragePrice {
        /// The plan.
        plan: String,
        /// The organization's currency.
        currency: Currency,
    },
}

impl Plan {
    /// The terms of a cycle under this plan with an organization's contract on top.
    ///
    /// # Errors
    /// No fee or overage price in the currency.
    pub fn terms(
        &self,
        contract: &Contract,
        currency: Currency,
        catalog_version: i64,
        grace_hours: u16,
    ) -> Result<CycleTerms, TermsError> {
        let fee = match (contract.fee, self.fee.get(&currency)) {
            (Some(fee), _) => fee,
            (None, Some(fee)) => *fee,
            (None, None) if self.fee.is_empty() => Money::zero(currency),
            (None, None) => {
                return Err(TermsError::NoFee { plan: self.id.clone(), currency });
            }
        };
        let overage_price = match (contract.overage_price, self.depletion) {
            (Some(price), _) => Some(price),
            (None, Depletion::Pause) => None,
            (None, Depletion::Overage) => {
                Some(*self.overage_price.get(&currency).ok_or_else(|| {
                    TermsError::NoOveragePrice { plan: self.id.clone(), currency }
                })?)
            }
        };
        Ok(CycleTerms {
            plan: self.id.clone(),
            plan_name: self.name.clone(),
            catalog_version,
            allowance: contract.allowance.unwrap_or(self.allowance),
            fee,
            fee_timing: self.fee_timing,
            rollover: contract.rollover.unwrap_or(self.rollover),
            rollover_cap: contract.rollover_cap.or(self.rollover_cap),
            overage_price,
            prorate_fee: self.prorate_fee,
            prorate_allowance: self.prorate_allowance,
            grace_hours,
        })
    }
}
