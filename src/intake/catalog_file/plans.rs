//! Plans and packages of a catalog (S32–S39, S51–S52, D8–D10).

use std::collections::BTreeMap;

use super::check::Checker;
use super::shape::{self, File};
use crate::domain::catalog::Package;
use crate::domain::credits::Credits;
use crate::domain::plan::{Depletion, FeeTiming, Plan, Term};

/// All plans, by id.
pub(super) fn plans(check: &mut Checker, file: &File) -> BTreeMap<String, Plan> {
    let mut plans = BTreeMap::new();
    for (id, shape) in &file.plans {
        let id = check.id("plans", id);
        plans.insert(id.clone(), plan(check, id, shape));
    }
    if plans.is_empty() {
        check.problem(None, "plans", "a catalog has at least one plan");
    }
    plans
}

fn plan(check: &mut Checker, id: String, shape: &shape::Plan) -> Plan {
    let field = |name: &str| format!("plans.{id}.{name}");
    let depletion = shape.depletion.as_ref().map_or(Depletion::Pause, |value| *value.get_ref());
    if depletion == Depletion::Overage && shape.overage_price.is_empty() {
        check.problem(
            shape.depletion.as_ref().map(toml::Spanned::span),
            &field("depletion"),
            "\"overage\" needs an overage_price, the money price of one credit by currency, like \
             overage_price = { USD = \"1.00\" } (or choose \"pause\")",
        );
    }
    Plan {
        name: check.name(&field("name"), &shape.name),
        allowance: check.credits(&field("allowance"), &shape.allowance),
        signup_credits: shape
            .signup_credits
            .as_ref()
            .map_or(Credits::ZERO, |value| check.credits(&field("signup_credits"), value)),
        fee: check.money(&field("fee"), &shape.fee),
        fee_timing: shape.fee_timing.unwrap_or(FeeTiming::Arrears),
        rollover: check.term(
            &field("rollover_cycles"),
            shape.rollover_cycles.as_ref(),
            Term::Cycles(0),
        ),
        rollover_cap: check.cap(&field("rollover_cap"), shape.rollover_cap.as_ref()),
        depletion,
        overage_price: check.prices(&field("overage_price"), &shape.overage_price),
        // D13: the full allowance, the fee by days.
        prorate_fee: shape.prorate_fee.unwrap_or(true),
        prorate_allowance: shape.prorate_allowance.unwrap_or(false),
        id,
    }
}

/// All packages, by id.
pub(super) fn packages(check: &mut Checker, file: &File) -> BTreeMap<String, Package> {
    let mut packages = BTreeMap::new();
    for (id, shape) in &file.packages {
        let id = check.id("packages", id);
        let field = |name: &str| format!("packages.{id}.{name}");
        let problems = check.count();
        let credits = check.credits(&field("credits"), &shape.credits);
        if !credits.is_positive() && check.count() == problems {
            check.problem(
                Some(shape.credits.span()),
                &field("credits"),
                "a package has more than 0 credits",
            );
        }
        let package = Package {
            name: check.name(&field("name"), &shape.name),
            credits,
            price: check.money(&field("price"), &shape.price),
            id: id.clone(),
        };
        packages.insert(id, package);
    }
    packages
}
