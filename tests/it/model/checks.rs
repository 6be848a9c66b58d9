//! What must hold after every close, whatever happened in the month.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;

use monthend::domain::close::{CycleInput, CycleOutcome};
use monthend::domain::credits::Credits;
use monthend::domain::grant::{Grant, OpenGrant, Source};
use monthend::domain::invoice::{InvoiceDraft, LineKind};
use monthend::domain::ledger::Account;
use monthend::domain::plan::{FeeTiming, RolloverCap};
use monthend::domain::statement::{CreditStatement, StatementGrant, StatementState};
use rust_decimal::Decimal;

use super::year::Year;

fn nano(credits: Credits) -> i128 {
    i128::from(credits.nano())
}

/// The statement equations, in total and per grant, and that it speaks of the input's grants.
fn foots(input: &CycleInput, statement: &CreditStatement) {
    let s = statement;
    assert_eq!(s.cycle, input.cycle);
    assert_eq!(
        nano(s.opening) + nano(s.granted) + nano(s.purchased),
        nano(s.used) + nano(s.expired) + nano(s.closing),
        "{}: the statement does not foot",
        s.cycle
    );
    assert_eq!(
        nano(s.rated) + nano(s.deficit_brought),
        nano(s.used) + nano(s.overage) + nano(s.deficit),
        "{}: use is not accounted for",
        s.cycle
    );
    assert_eq!(s.deficit_brought, input.deficit_brought);
    assert_eq!(nano(s.rated), input.usage.iter().map(|usage| nano(usage.credits)).sum::<i128>());
    let sum = |part: fn(&StatementGrant) -> Credits| -> i128 {
        s.grants.iter().map(|grant| nano(part(grant))).sum()
    };
    assert_eq!(sum(|g| g.opening), nano(s.opening));
    assert_eq!(sum(|g| g.granted), nano(s.granted) + nano(s.purchased));
    assert_eq!(sum(|g| g.used), nano(s.used));
    assert_eq!(sum(|g| g.expired), nano(s.expired));
    assert_eq!(sum(|g| g.closing), nano(s.closing));
    assert_eq!(s.grants.len(), input.grants.len());
    for open in &input.grants {
        let line = s.grants.iter().find(|line| line.id == open.grant.id).unwrap();
        foots_grant(input, open, line);
    }
}

fn foots_grant(input: &CycleInput, open: &OpenGrant, line: &StatementGrant) {
    assert_eq!(
        nano(line.opening) + nano(line.granted),
        nano(line.used) + nano(line.expired) + nano(line.closing),
        "{}: grant {} does not foot",
        input.cycle,
        line.id
    );
    for part in [line.opening, line.granted, line.used, line.expired, line.closing] {
        assert!(part >= Credits::ZERO, "{}: grant {}: L4", input.cycle, line.id);
    }
    let new = open.grant.cycle == input.cycle;
    let (before, during) =
        if new { (line.opening, line.granted) } else { (line.granted, line.opening) };
    assert_eq!((before, during), (Credits::ZERO, open.remaining), "grant {}", line.id);
    assert_eq!(line.source, open.grant.source);
    assert_eq!(line.cycle, open.grant.cycle);
    assert_eq!(line.expires_at, open.grant.expires_at);
}

/// The statement of the month while it is open: the same use, and nothing lapsed.
pub fn preview(input: &CycleInput, statement: &CreditStatement) {
    foots(input, statement);
    assert_eq!(statement.state, StatementState::Open);
    assert_eq!(statement.expired, Credits::ZERO);
}

/// All that one close must keep to.
pub fn outcome(input: &CycleInput, outcome: &CycleOutcome) {
    let statement = &outcome.statement;
    foots(input, statement);
    assert_eq!(statement.state, StatementState::Closed);
    match input.terms.overage_price {
        Some(_) => assert_eq!(statement.deficit, Credits::ZERO, "D8: overage is billed"),
        None => assert_eq!(statement.overage, Credits::ZERO, "D8: a pause is not billed"),
    }
    if statement.overage.is_positive() || statement.deficit.is_positive() {
        assert_eq!(statement.closing, Credits::ZERO, "D8: credits are left beside use beyond them");
    }
    let grants: BTreeMap<&str, &Grant> =
        input.grants.iter().map(|open| (open.grant.id.as_str(), &open.grant)).collect();
    burn_order(&grants, statement);
    expiry(input, &grants, statement);
    remaining(input, outcome);
    opens_next(input, outcome);
    postings(input, outcome);
    if let Some(draft) = &outcome.invoice {
        invoice(input, outcome, draft);
    } else {
        assert!(input.usage.is_empty() && input.purchases.is_empty(), "use without an invoice");
    }
}

/// D3 said again: expiry, then source, then time, then id.
fn rank(grant: &Grant) -> (i64, u8, i64, String) {
    let expiry = grant.expires_at.map_or(i64::MAX, |at| at.timestamp());
    let source = match grant.source {
        Source::Allowance => 0,
        Source::Promotional => 1,
        Source::Adjustment => 2,
        Source::Purchase => 3,
    };
    (expiry, source, grant.granted_at.timestamp_micros(), grant.id.clone())
}

/// L12: what is used of a grant is used only when all before it are empty.
fn burn_order(grants: &BTreeMap<&str, &Grant>, statement: &CreditStatement) {
    for later in statement.grants.iter().filter(|line| line.used.is_positive()) {
        for earlier in &statement.grants {
            if rank(grants[earlier.id.as_str()]) < rank(grants[later.id.as_str()]) {
                assert_eq!(
                    nano(earlier.used),
                    nano(earlier.opening) + nano(earlier.granted),
                    "{}: {} was burned before {} was empty: L12",
                    statement.cycle,
                    later.id,
                    earlier.id
                );
            }
        }
    }
    let ranks: Vec<_> =
        statement.grants.iter().map(|line| rank(grants[line.id.as_str()])).collect();
    assert!(ranks.is_sorted(), "{}: the statement is not in burn order", statement.cycle);
}

/// L11 and D4: what is over lapses, and nothing else does.
fn expiry(input: &CycleInput, grants: &BTreeMap<&str, &Grant>, statement: &CreditStatement) {
    let ends = |line: &StatementGrant| {
        grants[line.id.as_str()].expires_at.is_some_and(|at| at <= input.bounds.ends_at)
    };
    let mut capped = 0;
    for line in &statement.grants {
        if ends(line) {
            assert_eq!(
                line.closing,
                Credits::ZERO,
                "{}: {} outlived its term",
                input.cycle,
                line.id
            );
        } else if line.expired.is_positive() {
            assert_eq!(line.source, Source::Allowance, "{}: {} lapsed early", input.cycle, line.id);
            capped += nano(line.expired);
        }
    }
    let carried = statement.grants.iter().filter(|line| line.source == Source::Allowance);
    let carried: i128 = carried.map(|line| nano(line.closing)).sum();
    match input.terms.rollover_cap {
        None => assert_eq!(capped, 0, "{}: lapsed without a cap", input.cycle),
        Some(cap) => {
            let limit = match cap {
                RolloverCap::Credits(credits) => nano(credits),
                RolloverCap::Percent(percent) => percent_of(input.terms.allowance, percent),
            };
            assert!(carried <= limit, "{}: {carried} carried over a cap of {limit}", input.cycle);
            assert!(capped == 0 || carried == limit, "{}: more lapsed than over", input.cycle);
        }
    }
}

fn percent_of(allowance: Credits, percent: Decimal) -> i128 {
    let exact = allowance.to_decimal() * percent / Decimal::ONE_HUNDRED;
    nano(exact.round_dp(9).to_string().parse().unwrap())
}

/// `remaining` names every grant that changed, and no other.
fn remaining(input: &CycleInput, outcome: &CycleOutcome) {
    let changed: BTreeMap<&str, Credits> =
        outcome.remaining.iter().map(|(id, left)| (id.as_str(), *left)).collect();
    for open in &input.grants {
        let id = open.grant.id.as_str();
        let line = outcome.statement.grants.iter().find(|line| line.id == id).unwrap();
        let left = changed.get(id).copied().unwrap_or(open.remaining);
        assert_eq!(left, line.closing, "{}: {id}", input.cycle);
        assert_eq!(changed.contains_key(id), left != open.remaining, "{}: {id}", input.cycle);
    }
}

/// The next month touches this one, has the next terms, and its allowance.
fn opens_next(input: &CycleInput, outcome: &CycleOutcome) {
    let next = &outcome.next;
    assert_eq!(next.cycle, input.cycle.next());
    assert_eq!(next.bounds.starts_at, input.bounds.ends_at, "{}: months must touch", next.cycle);
    assert_eq!(next.bounds, next.cycle.bounds(input.zone));
    assert_eq!(next.terms, input.next_terms);
    assert_eq!(next.fee_billed, input.next_terms.fee_timing == FeeTiming::Advance, "D11");
    let granted = outcome.next_grant.as_ref().map_or(Credits::ZERO, |grant| grant.granted);
    assert_eq!(granted, input.next_terms.allowance);
    if let Some(grant) = &outcome.next_grant {
        assert_eq!((grant.source, grant.cycle), (Source::Allowance, next.cycle));
        assert_eq!(grant.granted_at, next.bounds.starts_at);
        let expires_at = grant.last_cycle.map(|last| last.bounds(input.zone).ends_at);
        assert_eq!(grant.expires_at, expires_at);
    }
}

/// The facts: one close where anything moved, at the month's end; the next allowance at its own start.
fn postings(input: &CycleInput, outcome: &CycleOutcome) {
    let s = &outcome.statement;
    let moved = [s.rated, s.used, s.expired, s.overage].iter().any(|credits| credits.is_positive());
    let mut expected = Vec::new();
    if moved {
        expected.push((format!("close:{}", input.cycle), input.cycle, input.bounds.ends_at));
    }
    if let Some(grant) = &outcome.next_grant {
        expected.push((format!("grant:{}", grant.id), grant.cycle, grant.granted_at));
    }
    let posted = outcome.postings.iter();
    let posted: Vec<_> = posted.map(|p| (p.key.clone(), p.cycle, p.effective_at)).collect();
    assert_eq!(posted, expected, "{}", input.cycle);
}

/// V2 and D11: the invoice adds up, and shows what was bought as paid.
fn invoice(input: &CycleInput, outcome: &CycleOutcome, draft: &InvoiceDraft) {
    let lines: i64 = draft.lines.iter().map(|line| line.amount.minor()).sum();
    assert_eq!(lines, draft.subtotal.minor());
    let tax: i64 = draft.tax_subtotals.iter().map(|part| part.amount.minor()).sum();
    assert_eq!(tax, draft.tax.minor());
    assert_eq!(draft.total.minor(), lines + tax);
    let paid: i64 = input.purchases.iter().map(|purchase| purchase.gross.minor()).sum();
    assert_eq!(draft.prepaid.minor(), paid);
    assert_eq!(draft.amount_due.minor(), draft.total.minor() - paid);
    assert!(draft.amount_due.minor() >= 0);
    assert_eq!(draft.statement, outcome.statement);
    assert_eq!(draft.usage, input.usage);
    assert_eq!((draft.starts_at, draft.ends_at), (input.bounds.starts_at, input.bounds.ends_at));
    assert_eq!(draft.plan, input.terms.plan_name);
    let bought = draft.lines.iter().filter(|line| line.kind == LineKind::Purchase).count();
    assert_eq!(bought, input.purchases.len());
    for line in &draft.lines {
        assert_eq!(line.amount.currency(), draft.currency);
        match line.kind {
            LineKind::PriorCycle => assert!(line.cycle < input.cycle, "D7: {}", line.description),
            LineKind::Overage | LineKind::Purchase => assert_eq!(line.cycle, input.cycle),
            LineKind::PlanFee => {
                assert!([input.cycle, input.cycle.next()].contains(&line.cycle));
            }
            LineKind::Correction => unreachable!("a close corrects nothing"),
        }
    }
}

/// The whole history: the ledger agrees with the grants, and no credit came from or went nowhere.
pub fn year(year: &Year) {
    for (id, open) in &year.grants {
        assert_eq!(year.books.left(id), nano(open.remaining), "{id}: L3");
        assert!(
            open.remaining >= Credits::ZERO && open.remaining <= open.grant.granted,
            "{id}: L4"
        );
        let of = || year.closed.iter().flat_map(|s| &s.grants).filter(|line| line.id == *id);
        let used: i128 = of().map(|line| nano(line.used)).sum();
        let expired: i128 = of().map(|line| nano(line.expired)).sum();
        assert_eq!(nano(open.grant.granted), used + expired + nano(open.remaining), "{id}: L5");
    }
    let sum = |part: fn(&CreditStatement) -> Credits| -> i128 {
        year.closed.iter().map(|statement| nano(part(statement))).sum()
    };
    let books = &year.books;
    let left: i128 = year.grants.values().map(|open| nano(open.remaining)).sum();
    let granted: i128 = year.grants.values().map(|open| nano(open.grant.granted)).sum();
    assert_eq!(books.balance(Account::Grant), left);
    assert_eq!(books.balance(Account::Granted), -granted);
    assert_eq!(books.balance(Account::Used), sum(|s| s.rated));
    assert_eq!(books.balance(Account::Expired), sum(|s| s.expired));
    assert_eq!(books.balance(Account::Overage), -sum(|s| s.overage));
    assert_eq!(books.balance(Account::Deficit), -nano(year.deficit));
    assert_eq!(granted, sum(|s| s.used) + sum(|s| s.expired) + left, "credits are not conserved");
    books.verify();
    let [.., before, last] = year.closed.as_slice() else { return };
    assert_eq!(
        before.closing, last.opening,
        "{}: does not open as {} closed",
        last.cycle, before.cycle
    );
    assert_eq!(before.deficit, last.deficit_brought);
}
