//! What is sold, and how a catalog says so.

use std::fmt::Write as _;

use super::number::{CREDIT, Number, credits_text, half_even, number, tens};

/// A limit on carried-over allowance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cap {
    /// In 10⁻⁹ credit.
    Credits(i128),
    /// In percent of the allowance.
    Percent(Number),
}

/// Months after its own in which something can be used; none: for ever.
pub type Term = Option<i64>;

/// A plan.
#[derive(Debug, Clone)]
pub struct Plan {
    pub id: &'static str,
    pub allowance: i128,
    pub signup: i128,
    /// By currency; empty: free.
    pub fee: Vec<(&'static str, i128)>,
    pub advance: bool,
    pub rollover: Term,
    pub cap: Option<Cap>,
    /// By currency; empty: it pauses.
    pub overage: Vec<(&'static str, Number)>,
    pub prorate_fee: bool,
    pub prorate_allowance: bool,
}

/// Id, whole credits, own prices by currency.
pub type Package = (&'static str, i128, Vec<(&'static str, i128)>);

/// Everything a catalog says before its meters.
#[derive(Debug, Clone)]
pub struct Prices {
    pub plans: Vec<Plan>,
    /// Price of a credit by currency.
    pub book: Vec<(&'static str, Number)>,
    /// Id, whole credits, own prices by currency.
    pub packages: Vec<Package>,
    pub grace_hours: i64,
    pub look_back_days: i64,
    pub purchase: Term,
    pub promotional: Term,
    pub adjustment: Term,
}

/// Currencies with their decimals.
pub const CURRENCIES: [(&str, u32); 5] =
    [("USD", 2), ("EUR", 2), ("GBP", 2), ("JPY", 0), ("KWD", 3)];

/// Decimals of a currency.
pub fn exponent(currency: &str) -> u32 {
    CURRENCIES.iter().find(|(code, _)| *code == currency).map_or(2, |(_, decimals)| *decimals)
}

/// Of a list by currency.
pub fn of<T: Copy>(list: &[(&'static str, T)], currency: &str) -> Option<T> {
    list.iter().find(|(code, _)| *code == currency).map(|(_, value)| *value)
}

fn plan(id: &'static str, allowance: i128, rollover: i64) -> Plan {
    Plan {
        id,
        allowance: allowance * CREDIT,
        signup: 0,
        fee: Vec::new(),
        advance: false,
        rollover: Some(rollover),
        cap: None,
        overage: Vec::new(),
        prorate_fee: true,
        prorate_allowance: false,
    }
}

fn fees(minor: [i128; 5]) -> Vec<(&'static str, i128)> {
    CURRENCIES.iter().map(|(code, _)| *code).zip(minor).collect()
}

impl Prices {
    /// The catalog that `init` writes.
    pub fn shipped() -> Self {
        let standard = [4_900, 4_500, 3_900, 7_500, 15_000];
        let professional = [19_900, 18_500, 15_900, 30_000, 61_000];
        Self {
            plans: vec![
                Plan { signup: 500 * CREDIT, ..plan("starter", 0, 0) },
                Plan { fee: fees(standard), ..plan("standard", 1_000, 0) },
                Plan { fee: fees(professional), ..plan("professional", 5_000, 3) },
                plan("enterprise", 0, 0),
            ],
            book: vec![
                ("USD", number(1, 0)),
                ("EUR", number(92, 2)),
                ("GBP", number(79, 2)),
                ("JPY", number(150, 0)),
                ("KWD", number(307, 3)),
            ],
            packages: vec![
                ("small", 100, Vec::new()),
                ("standard", 1_000, Vec::new()),
                ("professional", 5_000, Vec::new()),
                ("large", 10_000, Vec::new()),
            ],
            grace_hours: 2,
            look_back_days: 62,
            purchase: Some(12),
            promotional: None,
            adjustment: None,
        }
    }

    /// A plan by its id.
    pub fn plan(&self, id: &str) -> &Plan {
        self.plans.iter().find(|plan| plan.id == id).unwrap_or(&self.plans[0])
    }

    /// Whole credits of a package and its own price, if it has one.
    pub fn package(&self, id: &str, currency: &str) -> (i128, Option<i128>) {
        let found = self.packages.iter().find(|(known, ..)| *known == id);
        found.map_or((0, None), |(_, credits, own)| (*credits, of(own, currency)))
    }

    /// The catalog's text: everything but meters and rates, which are the shipped ones.
    pub fn text(&self, shipped: &str) -> String {
        let (_, meters) = shipped.split_once("# --- Meters").unwrap_or_default();
        let mut text = format!(
            "[usage]\ngrace_hours = {}\nlook_back_days = {}\n\n[price_book]\n",
            self.grace_hours, self.look_back_days
        );
        for (code, price) in &self.book {
            let _ = writeln!(text, "{code} = \"{price}\"");
        }
        let _ = writeln!(
            text,
            "\n[grants]\npurchase_cycles = {}\npromotional_cycles = {}\nadjustment_cycles = {}\n",
            term(self.purchase),
            term(self.promotional),
            term(self.adjustment)
        );
        for plan in &self.plans {
            plan_text(&mut text, plan);
        }
        for (id, credits, own) in &self.packages {
            let _ =
                writeln!(text, "[packages.{id}]\nname = \"{id} of credits\"\ncredits = {credits}");
            if !own.is_empty() {
                let _ = writeln!(text, "price = {{ {} }}", money_list(own));
            }
        }
        format!("{text}\n# --- Meters{meters}")
    }
}

fn term(term: Term) -> String {
    term.map_or("\"never\"".to_owned(), |months| months.to_string())
}

fn money_list(list: &[(&'static str, i128)]) -> String {
    let parts: Vec<String> = list
        .iter()
        .map(|(code, minor)| format!("{code} = \"{}\"", number(*minor, exponent(code))))
        .collect();
    parts.join(", ")
}

/// A cap as both files write it.
pub fn cap_text(cap: Cap) -> String {
    match cap {
        Cap::Credits(nano) => credits_text(nano),
        Cap::Percent(rate) => format!("{rate}%"),
    }
}

fn plan_text(text: &mut String, plan: &Plan) {
    let _ = writeln!(
        text,
        "[plans.{id}]\nname = \"Plan {id}\"\nallowance = \"{}\"\nsignup_credits = \"{}\"\nfee_timing = \"{}\"\n\
         rollover_cycles = {}\nprorate_fee = {}\nprorate_allowance = {}\ndepletion = \"{}\"",
        credits_text(plan.allowance),
        credits_text(plan.signup),
        if plan.advance { "advance" } else { "arrears" },
        term(plan.rollover),
        plan.prorate_fee,
        plan.prorate_allowance,
        if plan.overage.is_empty() { "pause" } else { "overage" },
        id = plan.id,
    );
    if !plan.fee.is_empty() {
        let _ = writeln!(text, "fee = {{ {} }}", money_list(&plan.fee));
    }
    if let Some(cap) = plan.cap {
        let _ = writeln!(text, "rollover_cap = \"{}\"", cap_text(cap));
    }
    if !plan.overage.is_empty() {
        let parts: Vec<String> =
            plan.overage.iter().map(|(code, price)| format!("{code} = \"{price}\"")).collect();
        let _ = writeln!(text, "overage_price = {{ {} }}", parts.join(", "));
    }
    text.push('\n');
}

/// Meters that are used: dimensions with 10⁻⁹ credit per unit (§3, §4). None of the dimensions: it costs nothing.
pub const METERS: [(&str, &[(&str, i128)]); 11] = [
    ("prompt", &[("executions", CREDIT)]),
    ("flow_step", &[("executions", CREDIT)]),
    ("dynamic_column", &[("cells", CREDIT)]),
    ("log", &[]),
    ("training", &[("gpu_hours", 12 * CREDIT)]),
    ("data_processing", &[("gigabytes", CREDIT / 2)]),
    (
        "compute_job",
        &[("minutes", CREDIT / 10), ("gigabytes", CREDIT / 2), ("gpu_hours", 12 * CREDIT)],
    ),
    (
        "inference",
        &[("input_tokens", 2_500), ("output_tokens", 10_000), ("cached_input_tokens", 1_250)],
    ),
    ("translation", &[("characters", 10_000)]),
    ("transcription", &[("minutes", 24_000_000)]),
    ("text_generation", &[("tokens", 60_000)]),
];

/// What an event comes to: the exact sum of its parts, rounded once (D14).
pub fn rated(meter: &str, quantities: &[(&'static str, Number)]) -> i128 {
    let Some((_, rates)) = METERS.iter().find(|(name, _)| *name == meter) else { return 0 };
    let most = quantities.iter().map(|(_, quantity)| quantity.decimals).max().unwrap_or(0);
    let parts = quantities.iter().filter_map(|(dimension, quantity)| {
        let rate = of(rates, dimension)?;
        Some(quantity.digits * tens(most - quantity.decimals) * rate)
    });
    half_even(parts.sum(), tens(most))
}
