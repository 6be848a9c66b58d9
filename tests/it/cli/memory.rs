//! How much memory a month takes: the high-water mark of the process that does it.
//!
//! `MONTHEND_MEMORY_ORGANIZATIONS=10000` measures the full size, some minutes unoptimized.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::home::{Home, program};

/// What a month of 10,000 organizations may take.
const MOST_MIB: u64 = 256;

/// The kernel's high-water mark of a process, in KiB; none once it has ended.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

// F83: chunks bound what is held at once, so a month's peak hardly grows with the number of organizations.
#[test]
fn a_month_of_many_organizations_stays_small() {
    let asked = std::env::var("MONTHEND_MEMORY_ORGANIZATIONS").ok();
    let all: usize = asked.map_or(150, |text| text.parse().unwrap());
    let mut rows = String::new();
    for n in 0..all {
        writeln!(
            rows,
            "o{n:05},Org {n},billing@o{n}.example,standard,2026-01-01,,pm_sandbox_ok,,,,,20,"
        )
        .unwrap();
    }
    let home = Home::with(rows.trim_end());
    let mut child = program()
        .args([
            "--dir",
            home.path().to_str().unwrap(),
            "--now",
            "2026-02-01T03:00:00Z",
            "--quiet",
            "tick",
        ])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let ended = loop {
        // Read before it is reaped: the mark only rises, so the last reading is the peak but for its last moment.
        peak = high_water(child.id()).map_or(peak, |mark| mark.max(peak));
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    assert_eq!(ended.code(), Some(0));
    assert!(peak > 1_024 && peak <= MOST_MIB * 1_024, "{all} organizations: {peak} KiB");
    let now = "2026-02-01T03:00:00Z";
    let invoices = home.json(now, "invoice list", 0);
    assert_eq!(invoices["invoices"].as_array().unwrap().len(), all);
    println!("a month of {all} organizations: at most {} MiB", peak / 1_024);
}
