//! Real calls at published prices: each invoice is what a straight decimal computation says.

#![expect(clippy::unwrap_used, reason = "in a test a failure is the answer")]

use std::collections::BTreeMap;
use std::fmt::Write;

use monthend::domain::credits::Credits;
use monthend::services::catalogs;
use rust_decimal::{Decimal, RoundingStrategy};

use crate::harness::{Org, World, both_engines};

const PRICE_MAP: &str = include_str!("../data/model_prices_cut.json");
const TRACE: &str = include_str!("../data/azure_llm_code_2023.csv");

/// Organization, currency, its decimals, price of a credit beyond the allowance, allowance, tax percent.
const BUYERS: [(&str, &str, u32, &str, &str, &str); 5] = [
    ("amber", "USD", 2, "1", "0", "0"),
    ("birch", "EUR", 2, "0.92", "3.5", "19"),
    ("cedar", "JPY", 0, "151.37", "0", "10"),
    ("dogwood", "KWD", 3, "0.3071", "0.000000001", "0"),
    ("elm", "GBP", 2, "0.7899", "1.25", "7.7"),
];
const MODELS: [&str; 4] = [
    "gpt-4o",
    "gpt-4o-mini",
    "databricks/databricks-claude-sonnet-4-1",
    "novita/nvidia/nemotron-3-nano-30b-a3b",
];

/// Prices of a token in and out, read without the product's help.
fn prices() -> BTreeMap<&'static str, (Decimal, Decimal)> {
    let map: serde_json::Value = serde_json::from_str(PRICE_MAP).unwrap();
    let price = |model: &str, field: &str| {
        let text = map[model][field].to_string();
        Decimal::from_scientific(&text).or_else(|_| text.parse()).unwrap()
    };
    MODELS
        .into_iter()
        .map(|model| {
            (model, (price(model, "input_cost_per_token"), price(model, "output_cost_per_token")))
        })
        .collect()
}

fn half_even(value: Decimal, decimals: u32) -> Decimal {
    value.round_dp_with_strategy(decimals, RoundingStrategy::MidpointNearestEven)
}

/// The trace as a usage file, and what each organization used.
fn calls() -> (String, BTreeMap<&'static str, Decimal>) {
    let prices = prices();
    let mut file = "id,organization,at,meter,model,input_tokens,output_tokens\n".to_owned();
    let mut used: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (n, line) in TRACE.lines().skip(1).filter(|line| !line.is_empty()).enumerate() {
        let cells: Vec<&str> = line.trim_end().split(',').collect();
        let [at, input, output] = cells[..] else { unreachable!("{line}") };
        let (buyer, model) = (BUYERS[n % BUYERS.len()].0, MODELS[(n / 7) % MODELS.len()]);
        writeln!(file, "{n},{buyer},{at},inference,{model},{input},{output}").unwrap();
        let (tokens_in, tokens_out): (Decimal, Decimal) =
            (input.parse().unwrap(), output.parse().unwrap());
        let (price_in, price_out) = prices[model];
        let exact = tokens_in * price_in + tokens_out * price_out;
        *used.entry(buyer).or_default() += half_even(exact, 9);
    }
    (file, used)
}

async fn rolled_up(world: &World, organization: &str) -> Decimal {
    let sql = format!(
        "SELECT CAST(CAST(SUM(credits) AS BIGINT) AS TEXT), CAST(CAST(SUM(events) AS BIGINT) AS TEXT) \
         FROM usage_rollup WHERE organization = '{organization}' AND billed_cycle = '2023-11'"
    );
    let row = world.table(&sql).await.remove(0);
    Credits::from_nano(row[0].parse().unwrap()).to_decimal()
}

// D14, F49–F51: 8,819 calls, to the last digit.
both_engines!(every_invoice_is_the_straight_computation, |world| {
    world.set_clock("2023-11-01T00:00:00Z");
    let day = "2023-11-01".parse().unwrap();
    catalogs::import_prices(&world.app(), PRICE_MAP, Some(day)).await.unwrap();
    let buyer = |(id, currency, _, price, allowance, tax): (&str, &str, u32, &str, &str, &str)| {
        Org::new(id, "enterprise", "2023-11-01")
            .with("currency", currency)
            .with("overage_price", price)
            .with("allowance", allowance)
            .with("tax_percent", tax)
            .pays("ok")
    };
    world.organizations(&BUYERS.map(buyer)).await;
    world.set_clock("2023-11-17T00:00:00Z");
    let (file, used) = calls();
    world.accepted_usage(&file).await;
    assert_eq!(world.count("usage_event").await, 8_819);
    let again = world.usage(&file).await;
    assert_eq!((again.accepted, again.duplicates), (0, 8_819));

    world.set_clock("2023-12-01T02:00:00Z");
    world.clean_tick().await;
    for (id, currency, decimals, price, allowance, tax) in BUYERS {
        let credits = used[id];
        assert_eq!(rolled_up(&world, id).await, credits, "{id}");
        let statement = world.statement(id, "2023-11").await;
        let allowance: Decimal = allowance.parse().unwrap();
        assert_eq!(statement.rated.to_decimal(), credits, "{id}");
        assert_eq!(statement.overage.to_decimal(), credits - allowance, "{id}");
        assert!(credits > allowance);

        let net = half_even((credits - allowance) * price.parse::<Decimal>().unwrap(), decimals);
        let percent = tax.parse::<Decimal>().unwrap() / Decimal::ONE_HUNDRED;
        let tax = half_even(net * percent, decimals);
        let row = world.invoice(id).await;
        let money = |minor: i64| Decimal::new(minor, decimals);
        assert_eq!((money(row.subtotal), money(row.tax)), (net, tax), "{id}");
        assert_eq!((money(row.total), row.currency.as_str()), (net + tax, currency), "{id}");
        assert!(row.total > 0 && row.payment_status == "paid", "{id}");
    }
});
