//! The golden numbers: what use costs, through the starter catalog, to the last digit.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::NaiveDate;
use monthend::domain::catalog::{Catalog, Rate};
use monthend::domain::credits::Credits;
use monthend::domain::cycle::Cycle;
use monthend::domain::decimal;
use monthend::domain::money::Currency;
use monthend::domain::plan::{Depletion, Term};
use monthend::domain::rating::{RateCard, Rating, RatingError};
use monthend::domain::usage::UsageEvent;
use monthend::intake::catalog_file::{self, STARTER};
use monthend::intake::prices;
use monthend::intake::usage::UsageReader;
use rust_decimal::Decimal;

const PRICE_MAP: &str = include_str!("../data/model_prices_cut.json");
const TRACE: &str = include_str!("../data/azure_llm_code_2023.csv");

fn catalog() -> Catalog {
    catalog_file::parse("catalog.toml", STARTER).unwrap()
}

fn card() -> RateCard {
    let catalog = catalog();
    RateCard::new(catalog.meters.values(), catalog.rates.clone())
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The starter catalog with the suppliers' prices of the map, from the first day of 2026.
fn card_with_suppliers() -> RateCard {
    let catalog = catalog();
    let suppliers = prices::read(PRICE_MAP).unwrap().rates;
    let rates = suppliers.iter().map(|rate| rate.rate(day("2026-01-01")));
    RateCard::new(catalog.meters.values(), catalog.rates.iter().cloned().chain(rates))
}

/// An event of a meter, as a usage file would report it.
fn event(meter: &str, model: &str, quantities: &[(&str, &str)]) -> UsageEvent {
    let (mut names, mut cells) = (String::new(), String::new());
    for (name, quantity) in quantities {
        names.extend([",", name]);
        cells.extend([",", quantity]);
    }
    let text = format!(
        "id,organization,at,meter,model{names}\n1,acme,2026-03-01T12:00:00Z,{meter},{model}{cells}\n"
    );
    let row = UsageReader::new(text.as_bytes()).unwrap().next().unwrap().unwrap();
    row.event.unwrap()
}

fn rated(meter: &str, quantities: &[(&str, &str)]) -> Rating {
    card().rate(&event(meter, "", quantities)).unwrap()
}

fn credits(meter: &str, quantities: &[(&str, &str)]) -> String {
    rated(meter, quantities).credits.to_string()
}

// S1, S3, S4, S7–S9: one execution is one credit, whatever the model.
#[test]
fn an_execution_is_one_credit() {
    for meter in ["prompt", "flow_step"] {
        assert_eq!(credits(meter, &[("executions", "1")]), "1");
        let other = card().rate(&event(meter, "any-model", &[("executions", "3")])).unwrap();
        assert_eq!(other.credits.to_string(), "3");
    }
}

// S5, D12: an offline evaluation costs one credit per evaluated row.
#[test]
fn an_offline_evaluation_is_one_credit_per_row() {
    assert_eq!(credits("offline_eval", &[("rows", "200")]), "200");
}

// S6, S10: every generated cell is an execution; 50 rows of a dynamic column use 50 credits.
#[test]
fn fifty_rows_of_a_dynamic_column_are_fifty_credits() {
    assert_eq!(credits("dynamic_column", &[("cells", "50")]), "50");
    assert_eq!(credits("experiment", &[("cells", "7")]), "7");
}

// S11–S13: logs, online evaluations and annotations are recorded and cost nothing.
#[test]
fn logs_online_evaluations_and_annotations_cost_nothing() {
    for meter in ["log", "online_eval", "annotation"] {
        for quantities in [&[("executions", "50")][..], &[("anything", "1")], &[]] {
            let rating = rated(meter, quantities);
            assert_eq!((rating.credits, rating.components.len()), (Credits::ZERO, 0), "{meter}");
        }
    }
}

// S19, S23, S24, D15: training, inference and data processing have their own rates.
#[test]
fn each_kind_of_work_has_its_own_rate() {
    assert_eq!(credits("training", &[("gpu_hours", "2.5")]), "30");
    assert_eq!(credits("data_processing", &[("gigabytes", "3")]), "1.5");
    let inference = [
        ("input_tokens", "1000000"),
        ("output_tokens", "1000000"),
        ("cached_input_tokens", "1000000"),
    ];
    let parts: Vec<String> = rated("inference", &inference)
        .components
        .iter()
        .map(|part| decimal::text(part.credits))
        .collect();
    assert_eq!(parts, ["1.25", "2.5", "10"]);
}

// S54, S55, D15: time, data and compute of one operation, each part kept.
#[test]
fn a_complex_operation_is_the_sum_of_its_parts() {
    let quantities = [("minutes", "30"), ("gigabytes", "4.5"), ("gpu_hours", "0.25")];
    let rating = rated("compute_job", &quantities);
    assert_eq!(rating.credits.to_string(), "8.25");
    let parts: BTreeMap<&str, String> = rating
        .components
        .iter()
        .map(|part| (part.dimension.as_str(), decimal::text(part.credits)))
        .collect();
    assert_eq!(
        parts,
        BTreeMap::from([
            ("minutes", "3".to_owned()),
            ("gigabytes", "2.25".to_owned()),
            ("gpu_hours", "3".to_owned()),
        ])
    );
}

// S64: 10 credits per 1,000,000 characters.
#[test]
fn translation() {
    assert_eq!(credits("translation", &[("characters", "1000000")]), "10");
    assert_eq!(credits("translation", &[("characters", "100000")]), "1");
}

// S65: 0.024 credits per minute; 41 minutes 40 seconds are one credit, within the digits of a minute.
#[test]
fn transcription() {
    assert_eq!(credits("transcription", &[("minutes", "1")]), "0.024");
    assert_eq!(credits("transcription", &[("minutes", "125")]), "3");
    // 41 2/3 minutes have no exact decimal; at the twelve digits a file can hold it is one credit.
    assert_eq!(credits("transcription", &[("minutes", "41.666666666667")]), "1");
    assert_eq!(credits("transcription", &[("minutes", "41.67")]), "1.00008");
}

// S66: 60 credits per 1,000,000 tokens; 16,666 tokens are 0.99996 credits.
#[test]
fn text_generation() {
    assert_eq!(credits("text_generation", &[("tokens", "1000000")]), "60");
    assert_eq!(credits("text_generation", &[("tokens", "16666")]), "0.99996");
}

// S67: 16 credits per 1,000,000 characters; 62,500 characters are one credit.
#[test]
fn speech_synthesis() {
    assert_eq!(credits("speech_synthesis", &[("characters", "1000000")]), "16");
    assert_eq!(credits("speech_synthesis", &[("characters", "62500")]), "1");
}

// S68, S69: a benchmark costs by the product of model size and dataset size.
#[test]
fn a_benchmark_is_charged_by_model_and_dataset_size() {
    let size =
        |parameters, rows| [("model_billion_parameters", parameters), ("dataset_rows", rows)];
    assert_eq!(credits("benchmark", &size("7", "1000")), "7");
    assert_eq!(credits("benchmark", &size("70", "1000")), "70");
    assert_eq!(credits("benchmark", &size("0.5", "3")), "0.0015");
    let lacking = card().rate(&event("benchmark", "", &[("dataset_rows", "1000")]));
    assert!(matches!(lacking, Err(RatingError::MissingFactor { .. })));
}

// S56–S59, D14: a model costs what its supplier asks, to the last digit, and nothing on top.
#[test]
fn a_model_costs_its_suppliers_price() {
    let card = card_with_suppliers();
    let cost = |meter, model, quantities: &[(&str, &str)]| {
        card.rate(&event(meter, model, quantities)).unwrap().credits.to_string()
    };
    let million = [("input_tokens", "1000000"), ("output_tokens", "1000000")];
    assert_eq!(cost("inference", "gpt-4o", &million), "12.5");
    assert_eq!(cost("inference", "gpt-4o-mini", &[("cached_input_tokens", "1000000")]), "0.075");
    // One published price has sixteen decimals: 0.0002833333333333333 per second.
    let whisper = "azure/gpt-realtime-whisper";
    assert_eq!(cost("inference", whisper, &[("input_seconds", "1")]), "0.000283333");
    assert_eq!(cost("transcription", whisper, &[("minutes", "1000")]), "17");
    assert_eq!(cost("transcription", "another-model", &[("minutes", "1000")]), "24");
    // A model's own prices are all it has: nothing is filled in from the default model.
    let missing = card.rate(&event("inference", "whisper-1", &[("input_tokens", "5")]));
    assert!(matches!(missing, Err(RatingError::NoRate { .. })));
}

// S70, S71: a pipeline of three models costs exactly the sum of its parts.
#[test]
fn a_pipeline_costs_exactly_the_sum_of_its_three_models() {
    let card = card_with_suppliers();
    let parts = [
        event("transcription", "whisper-1", &[("minutes", "12.5")]),
        event("inference", "gpt-4o", &[("input_tokens", "1234"), ("output_tokens", "567")]),
        event("speech_synthesis", "tts-1", &[("characters", "4321")]),
    ];
    let exact = |event: &UsageEvent| {
        let parts = card.rate(event).unwrap().components;
        parts.iter().fold(Decimal::ZERO, |sum, part| decimal::sum(sum, part.credits).unwrap())
    };
    let sum = parts.iter().map(exact).fold(Decimal::ZERO, |a, b| decimal::sum(a, b).unwrap());
    // 12.5 × 0.006 + 1234 × 0.0000025 + 567 × 0.00001 + 4321 × 0.000015
    assert_eq!(decimal::text(sum), "0.14857");
    let total = Credits::total(parts.iter().map(|part| card.rate(part).unwrap().credits)).unwrap();
    assert_eq!(total.to_string(), "0.14857");
}

// S19 at real size: 8,819 calls of a production service, priced one by one and all at once.
#[test]
fn a_real_day_of_calls_costs_what_its_tokens_cost() {
    let mut usage = "id,organization,at,meter,model,input_tokens,output_tokens\n".to_owned();
    for (index, line) in TRACE.lines().skip(1).enumerate() {
        let [at, context, generated] = line.split(',').collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        writeln!(usage, "{index},acme,{at},inference,gpt-4o,{context},{generated}").unwrap();
    }
    let catalog = catalog();
    let suppliers = prices::read(PRICE_MAP).unwrap().rates;
    let rates: Vec<Rate> = suppliers.iter().map(|rate| rate.rate(day("2023-01-01"))).collect();
    let card = RateCard::new(catalog.meters.values(), rates);
    let (mut calls, mut total) = (0, Credits::ZERO);
    let (mut input, mut output) = (Decimal::ZERO, Decimal::ZERO);
    for row in UsageReader::new(usage.as_bytes()).unwrap() {
        let event = row.unwrap().event.unwrap();
        assert_eq!(event.at.date_naive(), day("2023-11-16"));
        input += event.quantities["input_tokens"];
        output += event.quantities["output_tokens"];
        total = total.plus(card.rate(&event).unwrap().credits).unwrap();
        calls += 1;
    }
    assert_eq!(calls, 8_819);
    let exact = input * "0.0000025".parse::<Decimal>().unwrap()
        + output * "0.00001".parse::<Decimal>().unwrap();
    assert_eq!(total.to_decimal().normalize(), exact.normalize());
}

// S2, S32–S39, D1, D8, D10: the plans as they are sold.
#[test]
fn plans_are_as_described() {
    let catalog = catalog();
    let seen: Vec<(&str, String, String, Term)> = catalog
        .plans
        .values()
        .map(|plan| {
            let (allowance, signup) = (plan.allowance.to_string(), plan.signup_credits.to_string());
            (plan.id.as_str(), allowance, signup, plan.rollover)
        })
        .collect();
    let plan = |id, allowance: &str, signup: &str, cycles| {
        (id, allowance.to_owned(), signup.to_owned(), Term::Cycles(cycles))
    };
    assert_eq!(
        seen,
        [
            plan("enterprise", "0", "0", 0),
            plan("professional", "5000", "0", 3),
            plan("standard", "1000", "0", 0),
            plan("starter", "0", "500", 0),
        ]
    );
    assert!(catalog.plans.values().all(|plan| plan.depletion == Depletion::Pause));
    assert!(catalog.plans["starter"].fee.is_empty());
    assert!(catalog.plans["standard"].prorate_fee && !catalog.plans["standard"].prorate_allowance);
    // D1: January's allowance is usable through the end of April.
    let january: Cycle = "2026-01".parse().unwrap();
    let last = catalog.plans["professional"].rollover.last_cycle(january).unwrap();
    assert_eq!(last.to_string(), "2026-04");
    // Fees exist in every currency of the price book.
    for currency in catalog.price_book.keys() {
        for id in ["standard", "professional"] {
            assert!(catalog.plans[id].fee[currency].is_positive(), "{id} {currency}");
        }
    }
}

// S33–S35, S51, S52, S56, D9: packages and their prices; 1 credit = 1 USD.
#[test]
fn packages_cost_what_the_price_book_says() {
    let catalog = catalog();
    let price = |id: &str, code: &str| {
        let (package, price) = catalog.package(id, code.parse().unwrap()).unwrap();
        format!("{} for {price}", package.credits)
    };
    assert_eq!(price("small", "USD"), "100 for 100.00 USD");
    assert_eq!(price("standard", "USD"), "1000 for 1000.00 USD");
    assert_eq!(price("professional", "JPY"), "5000 for 750000 JPY");
    assert_eq!(price("large", "KWD"), "10000 for 3070.000 KWD");
    let one = catalog.price_of(Credits::whole(1).unwrap(), Currency::USD).unwrap();
    assert_eq!(one.to_string(), "1.00 USD");
}

// What has no rate is refused, never priced at zero.
#[test]
fn use_without_a_rate_is_refused() {
    for (meter, quantities) in [
        ("teleportation", &[("metres", "1")][..]),
        ("prompt", &[("cells", "1")]),
        ("prompt", &[]),
        ("inference", &[("input_images", "1")]),
    ] {
        assert!(card().rate(&event(meter, "", quantities)).is_err(), "{meter}");
    }
}
