//! `catalog check`, `catalog apply`, `catalog import-prices`.

use serde_json::json;

use super::home::{Home, THREE};
use super::shape::{Kind, has};

#[test]
fn apply_makes_a_version_once() {
    let home = Home::with(THREE);
    assert_eq!(home.json("2026-01-02", "catalog apply", 0), json!({"version": 1}));
    home.edit("catalog.toml", "fee = { USD = \"49.00\"", "fee = { USD = \"59.00\"");
    assert_eq!(home.run("2026-01-02", "catalog check").code, 0);
    assert_eq!(home.json("2026-01-02", "catalog apply", 0), json!({"version": 2}));
    assert_eq!(home.json("2026-01-02", "catalog apply", 0), json!({"version": 2}));
}

// A cycle keeps the terms it began with: the new fee is on February's invoice, not on January's.
#[test]
fn past_cycles_keep_their_version() {
    let home = Home::with(THREE);
    home.edit("catalog.toml", "fee = { USD = \"49.00\"", "fee = { USD = \"59.00\"");
    home.json("2026-01-20", "catalog apply", 0);
    assert_eq!(home.run("2026-02-01T03:00:00Z", "tick").code, 0);
    assert_eq!(home.run("2026-03-01T03:00:00Z", "tick").code, 0);
    let subtotals: Vec<String> = home.json("2026-03-02", "invoice list --org acme", 0)["invoices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|invoice| {
            format!("{} {}", invoice["cycle"].as_str().unwrap(), invoice["subtotal"]["amount"])
        })
        .collect();
    assert!(subtotals.contains(&"2026-01 \"49.00\"".to_owned()), "{subtotals:?}");
    assert!(subtotals.contains(&"2026-02 \"59.00\"".to_owned()), "{subtotals:?}");
}

#[test]
fn a_bad_catalog_is_not_applied() {
    let home = Home::with(THREE);
    home.edit("catalog.toml", "allowance = 1000", "allowance = -1000");
    for words in ["catalog check", "catalog apply"] {
        let (code, message) = home.error("2026-01-02", words);
        assert_eq!(code, "input");
        assert!(message.contains("catalog.toml:") && message.contains("allowance"), "{message}");
    }
    home.edit("catalog.toml", "allowance = -1000", "allowance = 1000");
    assert_eq!(home.json("2026-01-02", "catalog apply", 0), json!({"version": 1}));
}

// A plan that organizations are on cannot vanish.
#[test]
fn a_catalog_that_leaves_an_organization_without_plan_is_refused() {
    let home = Home::with(THREE);
    home.edit("catalog.toml", "[plans.starter]", "[plans.beginner]");
    assert_eq!(home.run("2026-01-02", "catalog check").code, 0);
    let (code, message) = home.error("2026-01-02", "catalog apply");
    assert_eq!(code, "refused");
    assert!(message.contains("cora") && message.contains("starter"), "{message}");
}

// S56–S59: a supplier's price is the model's rate; what is not a price is listed with its reason.
#[test]
fn published_prices_become_rates() {
    let home = Home::with(THREE);
    let map = "{\"sample_spec\": {\"mode\": \"one of\"},\n\
               \"exact-1\": {\"mode\": \"chat\", \"litellm_provider\": \"acme\",\n\
               \"input_cost_per_token\": 1.25e-06, \"output_cost_per_token\": 0.00001},\n\
               \"video-1\": {\"mode\": \"video_generation\", \"output_cost_per_video_per_second\": 0.1}}";
    home.write("prices.json", map);
    let imported = home.json("2026-01-02", "catalog import-prices prices.json", 0);
    has(&imported, &[("imported", &[Kind::Count]), ("skipped", &[Kind::List])]);
    assert!(imported["imported"].as_u64().unwrap() >= 1, "{imported}");
    for skip in imported["skipped"].as_array().unwrap() {
        has(skip, &[("model", &[Kind::Text]), ("reason", &[Kind::Text])]);
    }
    let usage = "id,organization,at,meter,model,input_tokens,output_tokens\n\
                 1,acme,2026-01-02T00:00:00Z,inference,exact-1,1001,3\n";
    home.write("u.csv", usage);
    let answer = home.json("2026-01-02", "usage import u.csv", 0);
    assert_eq!(answer["credits"], "0.00128125");
    // From a day on: what was used before it keeps the earlier price.
    home.write("prices.json", map.replace("1.25e-06", "2e-06"));
    home.json("2026-01-02", "catalog import-prices prices.json --effective-on 2026-01-05", 0);
    home.write(
        "u.csv",
        "id,organization,at,meter,model,input_tokens\n\
         2,acme,2026-01-04T23:59:59Z,inference,exact-1,1000000\n\
         3,acme,2026-01-05T00:00:00Z,inference,exact-1,1000000\n",
    );
    assert_eq!(home.json("2026-01-06", "usage import u.csv", 0)["credits"], "3.25");
}

#[test]
fn what_is_no_price_map_is_refused_as_a_whole() {
    let home = Home::with(THREE);
    for text in [
        "",
        "[]",
        "{\"m\": 5}",
        "{\"m\": {\"input_cost_per_token\": 1e-6}",
        "model,price\nm,1",
        "{\"m\": {\"mode\": \"chat\"}, \"m\": {\"mode\": \"chat\"}}",
    ] {
        home.write("prices.json", text);
        let (_, message) = home.error("2026-01-02", "catalog import-prices prices.json");
        for part in ["prices.json", "line"] {
            assert!(message.contains(part), "{text:?}: {message}");
        }
    }
    home.run("2026-01-02", "catalog import-prices none.json").refuses(&["none.json"]);
    home.write("prices.json", b"\xFF\xFE{}");
    home.run("2026-01-02", "catalog import-prices prices.json").refuses(&["prices.json", "UTF-8"]);
    // A price that is none skips its model alone.
    for price in ["-1", "\"free\"", "1e400", "true", "[1]"] {
        let map = format!(
            "{{\"bad\": {{\"mode\": \"chat\", \"input_cost_per_token\": {price}}},\n\
             \"good\": {{\"mode\": \"chat\", \"input_cost_per_token\": 1e-6, \"output_cost_per_token\": 1e-6}}}}"
        );
        home.write("prices.json", map);
        let imported = home.json("2026-01-02", "catalog import-prices prices.json", 0);
        assert_eq!(imported["imported"], 1, "{price}: {imported}");
        assert_eq!(imported["skipped"][0]["model"], "bad", "{price}: {imported}");
    }
}

// A price that changes from the same day on re-prices what comes late; nothing said so.
#[test]
fn a_rate_that_is_changed_in_place_is_told() {
    let home = Home::with(THREE);
    let rate = "meter = \"prompt\"\ndimension = \"executions\"\ncredits = ";
    home.edit("catalog.toml", &format!("{rate}1"), &format!("{rate}2"));
    let answer = home.run("2026-01-10", "catalog apply");
    assert_eq!(answer.code, 0);
    assert!(
        answer.stderr.contains("a rate of prompt") && answer.stderr.contains("effective_on"),
        "{answer:?}"
    );
    home.edit("catalog.toml", "fee = { USD = \"49.00\"", "fee = { USD = \"59.00\"");
    assert_eq!(home.run("2026-01-10", "catalog apply").stderr, "");
}
