//! Notices: mails about something other than an issued invoice or a payment. Their facts are frozen when
//! the notice is made, so that a mail sent late still tells what was true then.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::facts::{self, InvoiceFacts};
use crate::domain::credits::Credits;
use crate::domain::cycle::Cycle;
use crate::domain::document::CreditSettlement;
use crate::domain::grant::Source;
use crate::domain::invoice::PaymentTerms;
use crate::domain::money::Money;
use crate::domain::plan::Depletion;

/// What a notice tells, with every figure its template may show. Days are those of the organization's zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Notice {
    /// An invoice is still unpaid; sent on the days of the dunning calendar.
    PaymentReminder {
        /// The invoice.
        invoice: InvoiceFacts,
        /// What is still to be paid.
        outstanding: Money,
        /// How the invoice says it is paid: a transfer needs its bank details.
        payment: PaymentTerms,
        /// When the next automatic attempt takes place; none: there will be none.
        next_attempt_on: Option<NaiveDate>,
        /// The day the organization is paused if it is not paid by then; none: no pause is planned for it.
        pause_on: Option<NaiveDate>,
        /// A page to pay it on.
        pay_link: Option<String>,
    },
    /// A transfer that was recorded for an invoice by mistake was taken back; the invoice is to be paid again.
    PaymentReversed {
        /// The invoice.
        invoice: InvoiceFacts,
        /// The transfer's amount. Its reference is not told: it may be another customer's.
        amount: Money,
        /// The day it was said to have arrived.
        received_on: NaiveDate,
        /// What is still to be paid.
        outstanding: Money,
        /// How the invoice says it is paid: a transfer needs its bank details.
        payment: PaymentTerms,
        /// When the next automatic attempt takes place; none: there will be none.
        next_attempt_on: Option<NaiveDate>,
        /// A page to pay it on.
        pay_link: Option<String>,
    },
    /// An invoice was given up after the whole dunning calendar.
    Uncollectible {
        /// The invoice.
        invoice: InvoiceFacts,
        /// What is still to be paid.
        outstanding: Money,
        /// Was the organization paused for it?
        paused: bool,
        /// A page to pay it on.
        pay_link: Option<String>,
    },
    /// A credit note was issued; the document is attached.
    CreditNote {
        /// Its number.
        number: String,
        /// The number of the invoice or receipt it corrects.
        corrects: String,
        /// Why, in finance's words.
        reason: String,
        /// Total with tax; above zero, or zero where only credits are returned.
        total: Money,
        /// What happens to the money.
        settled: CreditSettlement,
        /// Credits given back to the grants they came from.
        returned: Credits,
        /// Credits taken off the balance with the money that paid for them.
        taken_back: Credits,
    },
    /// Money went back.
    Refunded {
        /// The credit note it belongs to.
        number: String,
        /// How much.
        amount: Money,
        /// When.
        refunded_on: NaiveDate,
        /// To which payment method, without secrets.
        label: String,
    },
    /// The stored payment method will probably not work when the next invoice is charged.
    PaymentMethod {
        /// What is wrong.
        trouble: MethodTrouble,
        /// The method, without secrets; none: there is none.
        label: Option<String>,
        /// The last month it is valid in.
        expires: Option<Cycle>,
        /// The day the next invoice is charged.
        needed_on: NaiveDate,
        /// What that invoice would come to today.
        expected: Option<Money>,
        /// A page to save another method on.
        link: Option<String>,
    },
    /// A threshold was crossed (S27).
    Alert {
        /// The rule's id, as configured.
        rule: String,
        /// What is measured and compared.
        measure: AlertMeasure,
        /// The project, where the rule watches one alone.
        project: Option<String>,
        /// The cycle it counts for.
        cycle: Cycle,
        /// Credits available now; below zero where more was used than there is.
        available: Credits,
        /// Rated use of the cycle so far; of the project alone, where there is one.
        used: Credits,
        /// What happens when the credits are used up.
        depletion: Depletion,
        /// The last day the credits last at the present pace; none: beyond the cycle's end, or no use.
        runs_out_on: Option<NaiveDate>,
        /// The last day of the cycle.
        cycle_ends_on: NaiveDate,
        /// Is the cycle over? Then these are its last figures.
        #[serde(default)]
        is_over: bool,
        /// A page to buy credits on.
        link: Option<String>,
    },
    /// Credits are about to lapse (D1, D2).
    Expiry {
        /// How many days are left: 30, 7 or 1.
        days: u16,
        /// The last day they can be used.
        usable_until: NaiveDate,
        /// All that lapses then, unless it is used before.
        total: Credits,
        /// What that is worth at the price of a credit, where there is one.
        value: Option<Money>,
        /// The grants it is in.
        grants: Vec<ExpiringGrant>,
        /// What will probably lapse at the present pace; zero: all will be used in time.
        unused: Credits,
        /// What of it lapses because it is more than the plan carries on, at the present pace.
        #[serde(default)]
        over_cap: Credits,
    },
    /// New operations are paused (S49).
    Paused {
        /// Why.
        reason: PauseReason,
        /// The invoice to pay, where that is the reason.
        unpaid: Option<UnpaidInvoice>,
        /// Credits available; zero or below where that is the reason.
        available: Credits,
        /// When new credits come by themselves: the first day of the next cycle.
        next_credits_on: Option<NaiveDate>,
        /// A page to buy credits or pay on.
        link: Option<String>,
    },
    /// Operations go on (S50).
    Resumed {
        /// Credits available now.
        available: Credits,
    },
    /// Automatic purchases of credits stopped until a person turns them on again.
    RechargeStopped {
        /// How many credits each would have bought; zero: their package is gone from the catalog.
        credits: Credits,
        /// Why, as a full sentence.
        reason: String,
        /// When they stopped.
        stopped_on: NaiveDate,
        /// Credits available now.
        available: Credits,
        /// A page to save another payment method on.
        link: Option<String>,
    },
}

/// What is wrong with a payment method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MethodTrouble {
    /// There is none.
    Missing,
    /// Its last month is over when it is needed.
    Expires,
    /// The last charge with it was declined.
    Failed,
}

/// What an alert measured, with the figures that make its sentence honest: the denominator is always named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case", deny_unknown_fields)]
pub enum AlertMeasure {
    /// Percent of the cycle's allowance that is used.
    AllowanceUsed {
        /// The threshold crossed, in percent.
        threshold_percent: u32,
        /// Percent used, rounded down.
        percent: u64,
        /// The denominator: the allowance of the cycle.
        allowance: Credits,
    },
    /// Credits left are at or below the threshold.
    CreditsLeft {
        /// The threshold crossed.
        threshold: Credits,
    },
    /// Money value of the cycle's use so far, at the price of a credit, is at or above the threshold.
    Spend {
        /// The threshold crossed.
        threshold: Money,
        /// Spent so far.
        spent: Money,
    },
    /// At the present pace the credits last at most so many days.
    DaysLeft {
        /// The threshold crossed.
        threshold_days: u32,
        /// Whole days left.
        days: u32,
    },
}

/// One grant that is about to lapse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiringGrant {
    /// Its id.
    pub id: String,
    /// Where it came from.
    pub source: Source,
    /// The cycle it was granted in.
    pub cycle: Cycle,
    /// What is left of it after the use so far.
    pub remaining: Credits,
}

/// An invoice that pauses an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnpaidInvoice {
    /// Its number.
    pub number: String,
    /// What is still to be paid.
    pub outstanding: Money,
}

/// Why operations are paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// No credits are available under a plan that pauses (S49).
    OutOfCredits,
    /// An invoice was given up.
    Unpaid,
    /// Finance paused it.
    ByHand,
}

impl Notice {
    /// Name of its templates, and its `kind` in the stored facts.
    #[must_use]
    pub const fn template(&self) -> &'static str {
        match self {
            Self::PaymentReminder { .. } => "payment_reminder",
            Self::PaymentReversed { .. } => "payment_reversed",
            Self::Uncollectible { .. } => "uncollectible",
            Self::CreditNote { .. } => "credit_note",
            Self::Refunded { .. } => "refunded",
            Self::PaymentMethod { .. } => "payment_method",
            Self::Alert { .. } => "alert",
            Self::Expiry { .. } => "expiry",
            Self::Paused { .. } => "paused",
            Self::Resumed { .. } => "resumed",
            Self::RechargeStopped { .. } => "recharge_stopped",
        }
    }

    /// The same notice with every text made harmless (F76, F86) and no link but to a page of the web. The
    /// only free texts are those below; everything else is a number, a day or a word of ours.
    #[must_use]
    pub fn cleaned(mut self) -> Self {
        match &mut self {
            Self::PaymentReminder { invoice, payment, pay_link, .. }
            | Self::PaymentReversed { invoice, payment, pay_link, .. } => {
                facts::clip(&mut invoice.number);
                facts::clip_terms(payment);
                facts::keep_web_link(pay_link);
            }
            Self::Uncollectible { invoice, pay_link, .. } => {
                facts::clip(&mut invoice.number);
                facts::keep_web_link(pay_link);
            }
            Self::CreditNote { number, corrects, reason, settled, .. } => {
                [number, corrects, reason].into_iter().for_each(facts::clip);
                if let CreditSettlement::Refund { label } = settled {
                    facts::clip(label);
                }
            }
            Self::Refunded { number, label, .. } => {
                [number, label].into_iter().for_each(facts::clip);
            }
            Self::PaymentMethod { label, link, .. } => {
                label.iter_mut().for_each(facts::clip);
                facts::keep_web_link(link);
            }
            Self::Alert { rule, project, link, .. } => {
                facts::clip(rule);
                project.iter_mut().for_each(facts::clip);
                facts::keep_web_link(link);
            }
            Self::Expiry { grants, .. } => {
                for grant in grants {
                    facts::clip(&mut grant.id);
                }
            }
            Self::Paused { unpaid, link, .. } => {
                if let Some(unpaid) = unpaid {
                    facts::clip(&mut unpaid.number);
                }
                facts::keep_web_link(link);
            }
            Self::RechargeStopped { reason, link, .. } => {
                facts::clip(reason);
                facts::keep_web_link(link);
            }
            Self::Resumed { .. } => {}
        }
        self
    }
}
