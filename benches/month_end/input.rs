//! The month that is closed: customers of every plan, a few of them busy, most of them quiet.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use monthend::intake::catalog_file;

/// The cycle that is closed.
pub const CYCLE: &str = "2026-01";
/// When organizations are imported.
pub const BEGINS_AT: &str = "2026-01-01T00:00:00Z";
/// When the last use has arrived.
pub const USED_BY: &str = "2026-01-31T23:30:00Z";
/// After the cycle's end in every zone, and the grace.
pub const CLOSED_AT: &str = "2026-02-01T12:00:00Z";

const DAYS: usize = 31;
const CREDIT: i64 = 1_000_000_000;

/// Who is billed, and on which terms. Comparators take terms from here: what the product makes of them must
/// come to the same total.
#[derive(Debug, Clone)]
pub struct Customer {
    pub id: String,
    pub plan: &'static str,
    pub joined_day: i64,
    pub tax_percent: i64,
    /// Minor units.
    pub fee: i64,
    pub allowance: i64,
    /// Carried allowance is cut to this.
    pub cap: Option<i64>,
    /// Minor units for one credit beyond the balance; none: a deficit is carried.
    pub price: Option<i64>,
}

/// The starter's catalog; every plan gives some credits at sign-up too, so that each has two grants to burn.
pub fn catalog() -> String {
    catalog_file::STARTER.replace("signup_credits = 0", "signup_credits = 100")
}

/// The organization of a number below `count`; ids are in no special order.
pub fn customer(number: usize, count: usize) -> Customer {
    let (plan, fee, allowance, cap, price) = match number % 10 {
        0..=2 => ("starter", 0, 0, None, None),
        3..=6 => ("standard", 4_900, 1_000, None, None),
        7 | 8 => ("professional", 19_900, 5_000, None, None),
        _ => ("enterprise", 150_000, 20_000, Some(8_000 * CREDIT), Some(80)),
    };
    let joined_day = if number.is_multiple_of(7) { 2 + number % 20 } else { 1 };
    Customer {
        id: id(number, count),
        plan,
        joined_day: i64::try_from(joined_day).unwrap_or(1),
        tax_percent: if number.is_multiple_of(3) { 19 } else { 0 },
        fee,
        allowance: allowance * CREDIT,
        cap,
        price,
    }
}

fn id(number: usize, count: usize) -> String {
    format!("org-{:07}-{number:07}", number * 7_919 % count)
}

/// The file of all organizations.
pub fn organizations_csv(count: usize) -> String {
    use std::fmt::Write as _;
    let mut csv = String::from(
        "id,name,billing_email,plan,joined_on,tax_percent,payment_method,allowance,rollover_cycles,rollover_cap,\
         fee,overage_price\n",
    );
    for number in 0..count {
        let Customer { id, plan, joined_day, tax_percent, .. } = customer(number, count);
        let contract = if plan == "enterprise" { "20000,2,8000,1500.00,0.80" } else { ",,,," };
        let _ = writeln!(
            csv,
            "{id},Organization {number},billing-{number}@example.com,{plan},2026-01-{joined_day:02},{tax_percent},\
             pm_sandbox_ok,{contract}"
        );
    }
    csv
}

/// Who makes how many of the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Skew {
    /// One in a hundred has 13 times the average, six in ten have less than half of it.
    Usual,
    /// Half of all events are one organization's.
    OneHalf,
}

/// Events of an organization, on so many days.
fn load(number: usize, count: usize, events: usize, skew: Skew) -> (usize, usize) {
    if skew == Skew::OneHalf {
        let others = count * events / 2 / (count - 1);
        return if number == 0 { (count * events / 2, DAYS) } else { (others, 8) };
    }
    let (tenths, days) = match number * 37 % 100 {
        0 => (130, 31),
        1..=9 => (30, 22),
        10..=39 => (12, 20),
        _ => (4, 8),
    };
    ((events * tenths / 10).max(1), days)
}

/// Writes the month's usage as it happened, day by day; gives the number of events.
pub fn write_usage(path: &Path, count: usize, events: usize, skew: Skew) -> Result<u64> {
    let file = std::fs::File::create(path).context("the usage file")?;
    let mut csv = std::io::BufWriter::with_capacity(1 << 20, file);
    writeln!(
        csv,
        "id,organization,at,meter,project,model,executions,input_tokens,output_tokens,characters,minutes"
    )?;
    let mut written = 0;
    for day in 1..=DAYS {
        for number in 0..count {
            let (total, active) = load(number, count, events, skew);
            let id = id(number, count);
            let joined = usize::try_from(customer(number, count).joined_day).unwrap_or(1);
            for slot in 0..active {
                // Everybody's days lie elsewhere; nobody uses anything before joining.
                if (1 + (number + slot * DAYS / active) % DAYS).max(joined) == day {
                    for event in (slot..total).step_by(active) {
                        write_event(&mut csv, (number, day, event), &id)?;
                        written += 1;
                    }
                }
            }
        }
    }
    csv.flush()?;
    Ok(written)
}

fn write_event(
    csv: &mut impl Write,
    (number, day, event): (usize, usize, usize),
    organization: &str,
) -> std::io::Result<()> {
    let (hour, minute, second) = (event % 12 + 6, event * 7 % 60, number % 60);
    let project = ["search", "assistant"][event % (1 + number % 2)];
    // One in twelve uses three times what its plan is made for.
    let size = [1, 2, 8, 30][[0, 0, 0, 1, 1, 1, 1, 2, 2, 3][number % 10]]
        * if number % 12 == 5 { 9 } else { 2 };
    write!(csv, "e-{event},{organization},2026-01-{day:02}T{hour:02}:{minute:02}:{second:02}Z,")?;
    match event % (2 + number % 3) {
        0 => writeln!(csv, "prompt,{project},,{},,,,", size * (1 + event % 3)),
        1 => writeln!(
            csv,
            "inference,{project},some-model,,{},{},,",
            size * 97_003 + event,
            size * 9_001 + number % 500
        ),
        2 => writeln!(csv, "translation,{project},,,,,{},", size * 31_337 + event),
        _ => writeln!(csv, "transcription,{project},,,,,,{}", size * 41),
    }
}
