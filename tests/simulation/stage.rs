//! What a history is played with: catalogs, organizations, events, and the moods of the provider, all by chance.

use monthend::domain::payment::ChargeRequest;

use super::chance::Chance;
use super::naive::account::{Contract, Row};
use super::naive::calendar::{self, DAY, HOUR};
use super::naive::number::{CREDIT, Number, credits_text, number};
use super::naive::prices::{CURRENCIES, Cap, METERS, Plan, Prices, cap_text, exponent};
use super::naive::town::Event;
use crate::harness::Org;
use crate::harness::scripted::{Answer, LookUps, Script};

/// Catalogs there are; the first is the shipped one.
pub const CATALOGS: u32 = 8;

const ZONES: [chrono_tz::Tz; 16] = [
    chrono_tz::UTC,
    chrono_tz::Europe::Berlin,
    chrono_tz::America::New_York,
    chrono_tz::America::Havana,
    chrono_tz::America::St_Johns,
    chrono_tz::America::Santiago,
    chrono_tz::Asia::Kolkata,
    chrono_tz::Asia::Kathmandu,
    chrono_tz::Asia::Tehran,
    chrono_tz::Asia::Beirut,
    chrono_tz::Africa::Cairo,
    chrono_tz::Atlantic::Azores,
    chrono_tz::Australia::Lord_Howe,
    chrono_tz::Pacific::Chatham,
    chrono_tz::Pacific::Kiritimati,
    chrono_tz::Pacific::Pago_Pago,
];

/// A catalog by its number.
pub fn catalog(variant: u32) -> Prices {
    let mut prices = Prices::shipped();
    if variant == 0 {
        return prices;
    }
    let mut chance = Chance::of(variant.into(), &["catalog"]);
    for plan in &mut prices.plans {
        vary(plan, &mut chance);
    }
    for (code, price) in &mut prices.book {
        let decimals = u32::try_from(chance.between(0, 7)).unwrap_or(0);
        let whole = exponent(code) == 0;
        *price =
            number(i128::from(chance.between(1, 9_999)) * if whole { 100 } else { 1 }, decimals);
    }
    let own = CURRENCIES.map(|(code, _)| (code, i128::from(chance.between(1, 90_001))));
    prices.packages[0].2 = own.to_vec();
    prices.packages[1].1 = i128::from(chance.between(1, 3_000));
    prices.grace_hours = chance.between(0, 30);
    prices.look_back_days = chance.between(20, 90);
    prices.purchase = chance.percent(70).then(|| chance.between(0, 14));
    prices.promotional = chance.percent(60).then(|| chance.between(0, 5));
    prices.adjustment = chance.percent(50).then(|| chance.between(0, 3));
    prices
}

fn vary(plan: &mut Plan, chance: &mut Chance) {
    plan.advance = chance.percent(40);
    plan.prorate_fee = chance.percent(60);
    plan.prorate_allowance = chance.percent(50);
    if chance.percent(60) {
        plan.rollover = chance.percent(80).then(|| chance.between(0, 5));
    }
    if chance.percent(40) {
        plan.cap = Some(cap(chance));
    }
    if chance.percent(40) {
        plan.overage = CURRENCIES.iter().map(|(code, _)| (*code, unit_price(chance))).collect();
    }
    if chance.percent(40) {
        plan.signup = i128::from(chance.between(1, 700)) * CREDIT;
    }
    if chance.percent(40) {
        plan.allowance = i128::from(chance.between(0, 4_000_000_000_000));
    }
    if plan.id == "enterprise" && chance.percent(60) {
        let fee = |code| (code, i128::from(chance.clone().between(0, 500_000)));
        plan.fee = CURRENCIES.iter().map(|(code, _)| fee(*code)).collect();
    }
}

fn cap(chance: &mut Chance) -> Cap {
    if chance.percent(50) {
        return Cap::Credits(i128::from(chance.between(0, 9_000)) * CREDIT / 4);
    }
    let decimals = u32::try_from(chance.between(0, 3)).unwrap_or(0);
    Cap::Percent(number(i128::from(chance.between(1, 15_000)), decimals))
}

fn unit_price(chance: &mut Chance) -> Number {
    number(i128::from(chance.between(1, 40_000)), u32::try_from(chance.between(2, 6)).unwrap_or(4))
}

/// How many organizations: mostly one, seldom many.
pub fn how_many(chance: &mut Chance) -> usize {
    let many = match chance.below(100) {
        0..70 => 1,
        70..86 => 2,
        86..94 => 3,
        94..98 => chance.between(4, 7),
        _ => chance.between(8, 20),
    };
    usize::try_from(many).unwrap_or(1)
}

/// A new organization that joined within the last weeks.
pub fn row(id: &str, now: i64, chance: &mut Chance) -> Row {
    let zone = *chance.pick(&ZONES).unwrap_or(&ZONES[0]);
    let (currency, _) = *chance.pick(&CURRENCIES).unwrap_or(&CURRENCIES[0]);
    let ago = if chance.percent(40) { 0 } else { chance.between(0, 40) };
    let there = calendar::instant(now - ago * DAY).with_timezone(&zone);
    let day = if chance.percent(25) { 1 } else { chrono::Datelike::day(&there) };
    let joined = (chrono::Datelike::year(&there), chrono::Datelike::month(&there), day);
    let mut row = Row {
        id: id.to_owned(),
        plan: "starter",
        joined,
        zone,
        currency,
        tax: number(0, 0),
        contract: Contract::default(),
        method: None,
    };
    terms(&mut row, chance);
    if chance.percent(85) {
        row.method = Some("pm_sandbox_ok".to_owned());
    }
    row
}

/// Another plan, contract, tax.
pub fn terms(row: &mut Row, chance: &mut Chance) {
    const TAXES: [(i128, u32); 7] =
        [(0, 0), (0, 0), (19, 0), (77, 1), (825, 2), (255, 1), (20_000_001, 6)];
    let plans = ["starter", "standard", "professional", "enterprise"];
    row.plan = chance.pick(&plans).copied().unwrap_or("standard");
    if let Some((digits, decimals)) = chance.pick(&TAXES) {
        row.tax = number(*digits, *decimals);
    }
    let likely = if row.plan == "enterprise" { 70 } else { 12 };
    let allowance = chance.percent(likely).then(|| match chance.below(4) {
        0 => i128::from(chance.between(0, 20_000)) * CREDIT,
        1 => i128::from(chance.between(1, 2_000_000_000_001)),
        _ => i128::from(chance.between(1, 3_000)) * CREDIT,
    });
    row.contract = Contract {
        allowance,
        rollover: chance.percent(likely).then(|| chance.percent(85).then(|| chance.between(0, 6))),
        cap: chance.percent(likely / 2).then(|| cap(chance)),
        fee: chance.percent(likely).then(|| i128::from(chance.between(0, 100_000))),
        overage: chance.percent(likely / 2).then(|| unit_price(chance)),
    };
}

/// The row as an organizations file has it.
pub fn written(row: &Row) -> Org {
    let (year, month, day) = row.joined;
    let contract = &row.contract;
    let text = |value: Option<String>| value.unwrap_or_default();
    let rollover =
        contract.rollover.map(|term| term.map_or("never".to_owned(), |months| months.to_string()));
    let fee = contract.fee.map(|minor| number(minor, exponent(row.currency)).to_string());
    Org::new(&row.id, row.plan, &format!("{year:04}-{month:02}-{day:02}"))
        .with("zone", row.zone.name())
        .with("currency", row.currency)
        .with("tax_percent", &row.tax.to_string())
        .with("payment_method", &text(row.method.clone()))
        .with("allowance", &text(contract.allowance.map(credits_text)))
        .with("rollover_cycles", &text(rollover))
        .with("rollover_cap", &text(contract.cap.map(cap_text)))
        .with("fee", &text(fee))
        .with("overage_price", &text(contract.overage.map(|price| price.to_string())))
}

/// Some use of an organization, at whatever time.
pub fn event(organization: &str, id: String, now: i64, chance: &mut Chance) -> Event {
    let at = match chance.below(100) {
        0..70 => now - chance.between(0, 9 * DAY),
        70..80 => now - chance.between(0, HOUR),
        80..93 => now - chance.between(9 * DAY, 58 * DAY),
        93..96 => now - chance.between(55 * DAY, 100 * DAY),
        96..98 => now + chance.between(0, 2 * DAY),
        _ => midnight(now, chance),
    };
    let (meter, dimensions) = chance.pick(&METERS).copied().unwrap_or(METERS[0]);
    let mut quantities = Vec::new();
    for (dimension, rate) in dimensions {
        if quantities.is_empty() || chance.percent(70) {
            quantities.push((*dimension, quantity(*rate, chance)));
        }
    }
    Event { organization: organization.to_owned(), id, at, meter, quantities }
}

/// Close to a midnight between two months, whoever's.
fn midnight(now: i64, chance: &mut Chance) -> i64 {
    let zone = *chance.pick(&ZONES).unwrap_or(&ZONES[0]);
    let start = calendar::start(zone, calendar::month_of(zone, now));
    start + *chance.pick(&[-1, 0, 1, -HOUR, HOUR / 2, 2 * HOUR]).unwrap_or(&0)
}

/// So much that it comes to some credits; now and then to very many.
fn quantity(rate: i128, chance: &mut Chance) -> Number {
    let credits = match chance.below(400) {
        0 => 1_000_001,
        1..20 => chance.between(1_000, 9_000),
        20..200 => chance.between(20, 600),
        _ => chance.between(1, 20),
    };
    let units = (i128::from(credits) * CREDIT / rate).max(1);
    let decimals = u32::try_from(chance.between(0, 9)).unwrap_or(0);
    if decimals < 4 {
        return number(units, 0);
    }
    let fraction = i128::from(chance.between(0, 999));
    number(units * 10_i128.pow(decimals) + fraction, decimals)
}

/// A usage file.
pub fn usage_file(events: &[Event]) -> String {
    let mut dimensions: Vec<&str> =
        events.iter().flat_map(|event| event.quantities.iter().map(|(name, _)| *name)).collect();
    dimensions.sort_unstable();
    dimensions.dedup();
    let mut text = String::from("id,organization,at,meter");
    for dimension in &dimensions {
        text.extend([",", dimension]);
    }
    for event in events {
        let at = calendar::instant(event.at).to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
        text.push_str(&format!("\n{},{},{at},{}", event.id, event.organization, event.meter));
        for dimension in &dimensions {
            let said = event.quantities.iter().find(|(name, _)| name == dimension);
            text.push(',');
            text.push_str(&said.map(|(_, quantity)| quantity.to_string()).unwrap_or_default());
        }
    }
    text + "\n"
}

/// How the n-th attempt for a reference goes at the provider.
pub fn plot(seed: u64, request: &ChargeRequest, nth: usize) -> Script {
    let words = [request.organization.as_str(), &request.reference, &nth.to_string()];
    let mut chance = Chance::of(seed, &words);
    let hours = chance.between(5, 200);
    let answer = match chance.below(100) {
        0..62 => Answer::Succeeds,
        62..74 => Answer::SoftDecline,
        74..76 => Answer::HardDecline,
        76..80 => Answer::Acts(hours),
        80..83 => Answer::Expires(hours),
        83..87 => Answer::SettlesLater(hours),
        87..90 => Answer::FailsLater(hours),
        90..94 => Answer::LostBefore,
        94..98 => Answer::LostAfter,
        _ => Answer::NotSent(1 + chance.below(3)),
    };
    let look_ups = match chance.below(12) {
        0 => LookUps::FailFor(chance.between(5, 3_000)),
        1 => LookUps::LagOnce,
        _ => LookUps::Truth,
    };
    Script { answer, look_ups, kills: false }
}

/// What a calm provider answers.
pub const CALM: Script =
    Script { answer: Answer::Succeeds, look_ups: LookUps::Truth, kills: false };
