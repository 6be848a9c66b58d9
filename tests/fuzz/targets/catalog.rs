//! `catalog.toml`: refused with lines, or taken and usable.

use chrono::NaiveDate;
use monthend::domain::close::joining_allowance;
use monthend::domain::cycle::Cycle;
use monthend::domain::organization::Contract;
use monthend::intake::catalog_file;

use super::assert_reason;

/// A catalog.
pub fn target(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match catalog_file::parse("catalog.toml", text) {
        Err(error) => {
            assert!(!error.problems.is_empty());
            let most = text.lines().count() + 1;
            for problem in &error.problems {
                assert!(problem.line <= most, "{problem} of {most} lines");
                assert!(problem.to_string().starts_with("catalog.toml"));
                assert_reason(&problem.reason);
            }
        }
        Ok(catalog) => {
            assert_eq!(catalog_file::parse("catalog.toml", text).as_ref(), Ok(&catalog));
            let (cycle, day) = (Cycle::new(2026, 2), NaiveDate::from_ymd_opt(2026, 2, 15));
            let (cycle, day) = (cycle.expect("a month"), day.expect("a day"));
            for plan in catalog.plans.values() {
                for currency in catalog.price_book.keys() {
                    let contract = Contract::default();
                    let terms = plan.terms(&contract, *currency, 1, catalog.grace_hours);
                    let Ok(terms) = terms else { continue };
                    let joined = joining_allowance(&terms, cycle, day).expect("an allowance");
                    assert!(joined <= terms.allowance);
                }
            }
        }
    }
}
