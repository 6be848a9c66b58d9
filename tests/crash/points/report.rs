//! What was counted: a table for people, one line of JSON for the ladder.

use std::collections::BTreeMap;
use std::time::Instant;

use clap::ValueEnum as _;
use serde_json::json;

use super::{Point, replay};
use crate::options::{Fault, PointsOptions};

/// Failures that are told in full.
const TOLD: usize = 20;

/// The points of a command under one fault.
pub struct Row {
    command: &'static str,
    fault: String,
    fired: u64,
    recovered: u64,
    failed: u64,
    again: usize,
    most_again: usize,
    relapses: usize,
    slowest: f64,
    longest_clock: i64,
    /// Calls at which the fault fired, by what they touched.
    by_class: BTreeMap<String, u64>,
    pub not_reached_from: Option<u64>,
}

impl Row {
    pub fn new(command: &'static str, fault: Fault) -> Self {
        let fault = fault.to_possible_value().map(|value| value.get_name().to_owned());
        Self {
            command,
            fault: fault.unwrap_or_default(),
            fired: 0,
            recovered: 0,
            failed: 0,
            again: 0,
            most_again: 0,
            relapses: 0,
            slowest: 0.0,
            longest_clock: 0,
            by_class: BTreeMap::new(),
            not_reached_from: None,
        }
    }

    pub fn add(&mut self, options: &PointsOptions, at: u64, point: &Point) {
        self.fired += 1;
        self.again += point.again;
        self.relapses += point.relapses;
        self.most_again = self.most_again.max(point.again);
        self.slowest = self.slowest.max(point.seconds);
        self.longest_clock = self.longest_clock.max(point.clock);
        let call = point.traced.fired.as_ref().map_or("", |(_, call)| call.as_str());
        let class = call.split(' ').nth(1).unwrap_or_default();
        *self.by_class.entry(class.to_owned()).or_default() += 1;
        if point.problems.is_empty() {
            self.recovered += 1;
        } else {
            let mut problems = vec![format!("at {call}, end {:?}", point.traced.end)];
            problems.extend(point.problems.iter().cloned());
            self.fail(options, at, &problems);
        }
        if options.calls {
            println!("{} {} {at}: {call}, again {}", self.command, self.fault, point.again);
        }
    }

    pub fn fail(&mut self, options: &PointsOptions, at: u64, problems: &[String]) {
        self.failed += 1;
        if usize::try_from(self.failed).unwrap_or(usize::MAX) > TOLD {
            return;
        }
        println!("FAILED: {} under {} at {at}", self.command, self.fault);
        for problem in problems {
            println!("  {}", problem.chars().take(1_500).collect::<String>());
        }
        println!("  replay: {}", replay(options, self.command, &self.fault, at));
    }
}

/// All of them.
pub struct Table<'a> {
    options: &'a PointsOptions,
    rows: Vec<Row>,
    begun: Instant,
}

impl<'a> Table<'a> {
    pub fn new(options: &'a PointsOptions) -> Self {
        Self { options, rows: Vec::new(), begun: Instant::now() }
    }

    pub fn add(&mut self, row: Row) {
        if self.rows.is_empty() {
            println!(
                "{:<14}{:<8}{:>7}{:>11}{:>8}{:>7}{:>6}{:>10}{:>9}  calls",
                "command",
                "fault",
                "points",
                "recovered",
                "failed",
                "again",
                "most",
                "slowest s",
                "clock s"
            );
        }
        let classes: Vec<String> =
            row.by_class.iter().map(|(class, count)| format!("{class} {count}")).collect();
        println!(
            "{:<14}{:<8}{:>7}{:>11}{:>8}{:>7}{:>6}{:>10.2}{:>9}  {}",
            row.command,
            row.fault,
            row.fired,
            row.recovered,
            row.failed,
            row.again,
            row.most_again,
            row.slowest,
            row.longest_clock,
            classes.join(", ")
        );
        if row.relapses > 0 {
            println!("  {} restarts were killed as well", row.relapses);
        }
        if let Some(from) = row.not_reached_from {
            println!("  the time was up: points from {from} on were not reached");
        }
        self.rows.push(row);
    }

    /// Prints the line of JSON. True: everything held.
    pub fn print(&self) -> bool {
        let failed: u64 = self.rows.iter().map(|row| row.failed).sum();
        let fired: u64 = self.rows.iter().map(|row| row.fired).sum();
        let rows: Vec<_> = self.rows.iter().map(|row| json!({
            "command": row.command, "fault": row.fault, "points": row.fired, "recovered": row.recovered,
            "failed": row.failed, "duplicate_mails": row.again, "most_duplicates_at_once": row.most_again,
            "slowest_recovery_s": (row.slowest * 100.0).round() / 100.0,
            "killed_restarts": row.relapses, "longest_clock_s": row.longest_clock, "by_class": row.by_class,
            "not_reached_from": row.not_reached_from,
        })).collect();
        let most = self.rows.iter().map(|row| row.most_again).max().unwrap_or_default();
        println!(
            "{}",
            json!({"test": "points", "engine": self.options.engine.name(), "every": self.options.which.every,
                "points": fired, "failed": failed, "most_duplicates_at_once": most,
                "seconds": self.begun.elapsed().as_secs(), "rows": rows})
        );
        failed == 0 && fired > 0
    }
}
