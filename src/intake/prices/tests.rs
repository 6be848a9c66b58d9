use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::domain::decimal;

/// A cut of the published map, texts unchanged.
const CUT: &str = include_str!("../../../tests/data/model_prices_cut.json");

fn reason(fields: &str) -> String {
    let import = read(&format!("{{\"m\":{fields}}}")).unwrap();
    assert_eq!((import.imported_models, import.skipped.len()), (0, 1), "{fields}");
    import.skipped[0].reason.clone()
}

fn rates(fields: &str) -> Vec<(String, String, String)> {
    let import = read(&format!("{{\"m\":{fields}}}")).unwrap();
    let rates = import.rates.into_iter();
    rates.map(|r| (r.meter, r.dimension, decimal::text(r.unit_price))).collect()
}

fn rate(meter: &str, dimension: &str, price: &str) -> (String, String, String) {
    (meter.to_owned(), dimension.to_owned(), price.to_owned())
}

/// A JSON number written out by moving its point as text: an independent way to the same digits.
fn written_out(number: &str) -> String {
    let (base, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i32 = exponent.parse().unwrap();
    let (whole, part) = base.split_once('.').unwrap_or((base, ""));
    let digits = format!("{whole}{part}");
    let point = i32::try_from(whole.len()).unwrap() + exponent;
    let (before, after) = if point <= 0 {
        (String::new(), "0".repeat(point.unsigned_abs() as usize) + &digits)
    } else {
        let point = usize::try_from(point).unwrap();
        let padded = format!("{digits:0<point$}");
        (padded[..point].to_owned(), padded[point..].to_owned())
    };
    let (before, after) = (before.trim_start_matches('0'), after.trim_end_matches('0'));
    let before = if before.is_empty() { "0" } else { before };
    if after.is_empty() { before.to_owned() } else { format!("{before}.{after}") }
}

/// Every rate equals the text it came from; returns how many were compared.
fn compare_every_price(text: &str) -> usize {
    let import = read(text).unwrap();
    let map: Value = serde_json::from_str(text).unwrap();
    let models = map.as_object().unwrap();
    let imported: BTreeSet<&str> = import.rates.iter().map(|rate| rate.model.as_str()).collect();
    let skipped: BTreeSet<&str> = import.skipped.iter().map(|skip| skip.model.as_str()).collect();
    assert_eq!((imported.len(), skipped.len()), (import.imported_models, import.skipped.len()));
    assert!(imported.is_disjoint(&skipped));
    assert_eq!(imported.len() + skipped.len(), models.len());
    assert!(import.skipped.iter().chain(&import.notes).all(|skip| !skip.reason.is_empty()));

    let mut compared = 0;
    for rate in import.rates.iter().filter(|rate| rate.meter == "inference") {
        let name = match rate.dimension.as_str() {
            "input_tokens" => "input_cost_per_token",
            "output_tokens" => "output_cost_per_token",
            "cached_input_tokens" => "cache_read_input_token_cost",
            "input_characters" => "input_cost_per_character",
            "output_characters" => "output_cost_per_character",
            "input_seconds" => "input_cost_per_second",
            "output_seconds" => "output_cost_per_second",
            "input_images" => "input_cost_per_image",
            "output_images" => "output_cost_per_image",
            "input_pixels" => "input_cost_per_pixel",
            "output_pixels" => "output_cost_per_pixel",
            "pages" => "ocr_cost_per_page",
            "queries" => "input_cost_per_query",
            _ => "",
        };
        let entry = &models[&rate.model];
        let other_name = match rate.dimension.as_str() {
            "output_seconds" => "output_cost_per_video_per_second",
            _ => "input_cost_per_request",
        };
        let published = entry.get(name).or_else(|| entry.get(other_name)).unwrap();
        let published = published.as_number().unwrap().as_str();
        assert_eq!(decimal::text(rate.unit_price), written_out(published), "{}", rate.model);
        compared += 1;
    }
    // The meters for people repeat one of those prices; a minute is sixty seconds.
    for rate in import.rates.iter().filter(|rate| rate.meter != "inference") {
        let units = Decimal::from(if rate.dimension == "minutes" { 60 } else { 1 });
        let of_model = import.rates.iter().filter(|other| other.model == rate.model);
        let mut of_inference = of_model.filter(|other| other.meter == "inference");
        assert!(of_inference.any(|other| other.unit_price * units == rate.unit_price), "{rate:?}");
    }
    compared
}

// D14, S57, S58: a supplier's price to its last digit.
#[test]
fn every_price_of_the_cut_is_exactly_its_text() {
    let compared = compare_every_price(CUT);
    assert!(compared >= 100, "{compared}");
}

// Every rate of the import fits a meter of the starter catalog.
#[test]
fn the_starter_catalog_knows_every_meter_and_dimension() {
    let catalog =
        crate::intake::catalog_file::parse("", crate::intake::catalog_file::STARTER).unwrap();
    for rate in read(CUT).unwrap().rates {
        assert!(catalog.meters[&rate.meter].dimensions.contains(&rate.dimension), "{rate:?}");
    }
    for (_, dimension) in [("", "pages"), ("", "input_pixels"), ("", "queries")] {
        assert!(catalog.meters["inference"].dimensions.iter().any(|known| known == dimension));
    }
}

#[test]
fn modes_price_their_own_meter_too() {
    // S65: sixty seconds are a minute, exactly; heard seconds count, not both.
    assert_eq!(
        rates(
            r#"{"mode":"audio_transcription","input_cost_per_second":0.0002833333333333333,"output_cost_per_second":0.0}"#
        ),
        [
            rate("inference", "input_seconds", "0.0002833333333333333"),
            rate("inference", "output_seconds", "0"),
            rate("transcription", "minutes", "0.016999999999999998"),
        ]
    );
    assert_eq!(
        rates(
            r#"{"mode":"audio_transcription","input_cost_per_second":0.0,"output_cost_per_second":1e-4}"#
        )[2],
        rate("transcription", "minutes", "0.006")
    );
    assert_eq!(
        rates(r#"{"mode":"audio_speech","input_cost_per_character":1.5E-5}"#)[1],
        rate("speech_synthesis", "characters", "0.000015")
    );
    assert_eq!(
        rates(
            r#"{"mode":"image_generation","input_cost_per_image":0.0011,"output_cost_per_image":0.134}"#
        )[2],
        rate("image_generation", "images", "0.134")
    );
    assert_eq!(
        rates(r#"{"mode":"rerank","input_cost_per_query":0.002}"#)[1],
        rate("rerank", "queries", "0.002")
    );
    assert_eq!(
        rates(r#"{"mode":"search","input_cost_per_request":0.005}"#)[1],
        rate("search", "queries", "0.005")
    );
    // Paid by token: a zero per image would give the images away.
    assert_eq!(
        rates(
            r#"{"mode":"image_generation","input_cost_per_token":1e-6,"output_cost_per_image":0}"#
        )
        .len(),
        2
    );
}

#[test]
fn what_cannot_be_imported_has_a_reason_for_people() {
    for (fields, expected) in [
        ("{}", "no price is published"),
        (r#"{"mode":"chat","input_cost_per_token":null}"#, "no price is published"),
        (r#"{"tiered_pricing":[{"input_cost_per_token":1}]}"#, "depends on size"),
        (r#"{"input_cost_per_token":{"a":1}}"#, "depends on conditions"),
        (r#"{"code_interpreter_cost_per_session":0.03}"#, "units without a rate"),
        (r#"{"input_cost_per_token":-1e-6}"#, "below zero"),
        (r#"{"input_cost_per_token":"1e-6"}"#, "not a number"),
        (r#"{"input_cost_per_token":1e-29}"#, "too many digits"),
        (r#"{"input_cost_per_token":1e999999999999}"#, "input_cost_per_token"),
        (r#"{"input_cost_per_token":0,"guardrail_cost_per_unit":{"a":1}}"#, "by hand"),
        (r#"{"input_cost_per_token":0.0,"output_cost_per_second_4k":0.5}"#, "by hand"),
    ] {
        assert!(reason(fields).contains(expected), "{fields}: {}", reason(fields));
    }
    let import =
        read(r#"{"sample_spec":{"input_cost_per_token":0.0},"":{"input_cost_per_token":1}}"#)
            .unwrap();
    assert_eq!((import.imported_models, import.skipped.len()), (0, 2));
}

#[test]
fn a_free_model_and_prices_left_out_are_noted() {
    let text = r#"{"free":{"input_cost_per_token":0.0,"output_cost_per_token":0},
        "paid":{"input_cost_per_token":1e-6,"input_cost_per_token_batches":5e-7}}"#;
    let import = read(text).unwrap();
    assert_eq!((import.imported_models, import.rates.len()), (2, 3));
    assert!(import.rates[..2].iter().all(|rate| rate.unit_price.is_zero()));
    assert!(import.notes[0].model == "free" && import.notes[0].reason.contains("free"));
    assert!(import.notes[1].reason.ends_with("input_cost_per_token_batches"));
}

#[test]
fn a_file_that_is_no_price_map_says_where() {
    let nested = format!("{{\"m\":{{\"a\":{}", "[".repeat(100_000));
    for (text, expected) in [
        ("", "line 1"),
        ("[]", "an object of models"),
        ("{\"m\": 5}", "line 1 column"),
        ("{\"m\":{},\n\"m\":{}}", "\"m\" is there twice at line 2"),
        ("{\"m\":{\"input_cost_per_token\":1,\n\n\"input_cost_per_token\":2}}", "twice at line 3"),
        ("{\"m\":{\"input_cost_per_token\":NaN}}", "line 1"),
        ("{} {}", "trailing"),
        (&nested, "recursion limit"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

proptest! {
    #[test]
    fn hostile_text_never_panics(text in any::<String>(), at in 0..CUT.len(), part in "\\PC{0,5}") {
        let _ = read(&text);
        if CUT.is_char_boundary(at)
            && let Ok(import) = read(&format!("{}{part}{}", &CUT[..at], &CUT[at..]))
        {
            prop_assert!(import.imported_models + import.skipped.len() > 50);
        }
    }

    // Any number JSON can write is either exact or refused.
    #[test]
    fn any_number_is_exact_or_refused(whole in 0_u64..1000, part in "[0-9]{1,12}", exponent in -20_i32..5) {
        let number = format!("{whole}.{part}e{exponent}");
        let text = format!("{{\"m\":{{\"input_cost_per_token\":{number},\"output_cost_per_token\":1}}}}");
        let import = read(&text).unwrap();
        match import.rates.first() {
            Some(rate) => prop_assert_eq!(decimal::text(rate.unit_price), written_out(&number)),
            None => prop_assert!(import.skipped[0].reason.contains("too many digits")),
        }
    }
}

// A control character in the name of a price reached the terminal with the reason.
#[test]
fn names_of_prices_are_harmless_in_reasons() {
    let text = r#"{"a": {"mode": "chat", "input_cost_per\u001bpixel": 1}}"#;
    let import = read(text).unwrap();
    let reasons = import.skipped.iter().chain(&import.notes).map(|skip| skip.reason.as_str());
    let reasons: Vec<&str> = reasons.filter(|reason| reason.contains("pixel")).collect();
    assert_eq!(reasons.len(), 1, "{import:?}");
    assert!(!reasons[0].contains(char::is_control), "{reasons:?}");
}
