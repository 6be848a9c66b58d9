use proptest::prelude::*;

use super::*;

fn problems(text: &str) -> Vec<String> {
    match parse("catalog.toml", text) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.iter().map(ToString::to_string).collect(),
    }
}

/// The starter catalog with one text replaced by another.
fn changed(from: &str, to: &str) -> String {
    assert!(STARTER.contains(from), "{from:?} is not in the starter catalog");
    STARTER.replacen(from, to, 1)
}

fn line_of(text: &str, part: &str) -> usize {
    1 + text[..text.find(part).unwrap()].matches('\n').count()
}

#[test]
fn the_starter_catalog_has_no_problems() {
    assert_eq!(problems(STARTER), Vec::<String>::new());
    let catalog = parse("catalog.toml", STARTER).unwrap();
    let packages: Vec<_> =
        catalog.packages.values().map(|package| package.credits.to_string()).collect();
    assert_eq!(packages, ["10000", "5000", "100", "1000"]);
    assert_eq!((catalog.grace_hours, catalog.look_back_days), (2, 62)); // D7
    assert_eq!(catalog.purchase_term, Term::Cycles(12)); // D2
    assert_eq!((catalog.promotional_term, catalog.adjustment_term), (Term::Never, Term::Never));
}

/// What stands in the starter catalog, a wrong value in its place, the field and the reason that name it.
const WRONG: [(&str, &str, &str, &str); 28] = [
    ("grace_hours = 2", "grace_hours = 241", "usage.grace_hours", "from 0 to 240"),
    ("look_back_days = 62", "look_back_days = 0", "usage.look_back_days", "from 1 to 366"),
    ("USD = \"1\"", "USD = \"0\"", "price_book.USD", "above zero"),
    ("EUR = \"0.92\"", "EUX = \"0.92\"", "price_book.EUX", "ISO 4217"),
    ("GBP = \"0.79\"", "GBP = \"-0.79\"", "price_book.GBP", "below zero"),
    ("purchase_cycles = 12", "purchase_cycles = 1201", "grants.purchase_cycles", "1200"),
    ("purchase_cycles = 12", "purchase_cycles = \"ever\"", "grants.purchase_cycles", "never"),
    ("[plans.starter]", "[plans.Starter]", "plans.Starter", "a-z"),
    ("name = \"Starter\"", "name = \"\"", "plans.starter.name", "1 to 200"),
    ("allowance = 1000", "allowance = -1", "plans.standard.allowance", "below zero"),
    ("USD = \"49.00\"", "USD = \"49.001\"", "plans.standard.fee.USD", "2 decimals"),
    ("JPY = \"7500\"", "JPY = \"7500.5\"", "plans.standard.fee.JPY", "0 decimals"),
    ("USD = \"199.00\"", "USD = \"-1\"", "plans.professional.fee.USD", "below zero"),
    (
        "rollover_cycles = 3",
        "rollover_cycles = 3\nrollover_cap = \"half\"",
        "plans.professional.rollover_cap",
        "50%",
    ),
    (
        "depletion = \"pause\"",
        "depletion = \"overage\"",
        "plans.starter.depletion",
        "overage_price",
    ),
    ("credits = 100\n", "credits = 0\n", "packages.small.credits", "more than 0"),
    (
        "[meters.prompt]\ndimensions = [\"executions\"]",
        "[meters.prompt]\ndimensions = [\"Executions\"]",
        "meters.prompt.dimensions",
        "not a dimension",
    ),
    (
        "[meters.prompt]",
        "[meters.unpriced]\ndimensions = [\"x\"]\n[meters.prompt]",
        "meters.unpriced",
        "at least one",
    ),
    ("meter = \"prompt\"", "meter = \"promt\"", "rates[1].meter", "not in [meters]"),
    ("meter = \"prompt\"", "meter = \"log\"", "rates[1].meter", "not billable"),
    ("dimension = \"executions\"", "dimension = \"rows\"", "rates[1].dimension", "executions"),
    ("credits = \"0.024\"", "credits = \"-0.024\"", "rates[15].credits", "below zero"),
    ("per = 1000000", "per = 0", "rates[11].per", "more than 0"),
    ("per = 1000000", "per = 3", "rates[11].per", "exact decimal"),
    ("meter = \"flow_step\"", "meter = \"prompt\"", "rates[2]", "rates[1] already"),
    (
        "dimension = \"executions\"\ncredits = 1",
        "dimension = \"executions\"\ncredits = 1\neffective_on = \"2026-02-30\"",
        "rates[1].effective_on",
        "YYYY-MM-DD",
    ),
    (
        "dimension = \"rows\"\n",
        "dimensions = [\"rows\", \"rows\"]\n",
        "rates[3].dimension",
        "there twice",
    ),
    ("dimension = \"rows\"\n", "", "rates[3]", "either `dimension`"),
];

// Each value that is wrong is named with its line, its field and what is allowed.
#[test]
fn every_wrong_value_is_named() {
    for (from, to, field, reason) in WRONG {
        let text = changed(from, to);
        let error = parse("catalog.toml", &text).unwrap_err();
        let named = error.problems.iter().any(|problem| {
            problem.line > 0 && problem.field == field && problem.reason.contains(reason)
        });
        assert!(named, "{to:?} gave:\n{error}");
    }
}

#[test]
fn all_problems_are_listed_at_once_with_their_lines() {
    let text = changed("allowance = 1000", "allowance = \"x\"")
        .replace("USD = \"199.00\"", "USD = \"1.999\"")
        .replace("credits = \"0.024\"", "credits = \"0,024\"");
    let error = parse("my.toml", &text).unwrap_err();
    let found: Vec<(usize, &str)> =
        error.problems.iter().map(|problem| (problem.line, problem.field.as_str())).collect();
    assert_eq!(
        found,
        [
            (line_of(&text, "allowance = \"x\""), "plans.standard.allowance"),
            (line_of(&text, "USD = \"1.999\""), "plans.professional.fee.USD"),
            (line_of(&text, "credits = \"0,024\""), "rates[15].credits"),
        ]
    );
    assert!(error.to_string().starts_with("my.toml:"), "{error}");
}

#[test]
fn unknown_fields_and_floats_are_refused_with_their_line() {
    for (from, to, reason) in [
        ("grace_hours = 2", "grace_hour = 2", "unknown field `grace_hour`"),
        ("allowance = 1000", "allowance = 1000.5", "must be written as text"),
        ("fee_timing = \"arrears\"", "fee_timing = \"later\"", "unknown variant `later`"),
        ("name = \"Standard\"\n", "", "missing field `name`"),
        ("[plans.standard]", "[plans.standard", "]"),
        ("[plans.standard]", "[plans.starter]", "duplicate key"),
    ] {
        let error = parse("catalog.toml", &changed(from, to)).unwrap_err();
        assert!(error.problems.len() == 1 && error.problems[0].line > 0, "{error}");
        assert!(error.problems[0].reason.contains(reason), "{to:?}: {error}");
    }
}

// S69: the same product is the same rate, however its factors are ordered.
#[test]
fn factors_stand_in_the_meters_order() {
    let text = changed(
        "dimensions = [\"model_billion_parameters\", \"dataset_rows\"]\ncredits",
        "dimensions = [\"dataset_rows\", \"model_billion_parameters\"]\ncredits",
    );
    assert_eq!(parse("catalog.toml", &text).unwrap(), parse("catalog.toml", STARTER).unwrap());
}

proptest! {
    // F86: whatever stands in the file, it is read or refused.
    #[test]
    fn hostile_text_never_panics(text in any::<String>(), at in 0..STARTER.len()) {
        let _ = parse("catalog.toml", &text);
        if STARTER.is_char_boundary(at) {
            let spoiled = format!("{}{}{}", &STARTER[..at], text, &STARTER[at..]);
            if let Err(error) = parse("catalog.toml", &spoiled) {
                prop_assert!(!error.problems.is_empty());
            }
        }
    }
}
