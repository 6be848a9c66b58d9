//! Pages, the whole night, mails, growth, and one question of a person.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use monthend::files::write_durably;

use crate::Bench;
use crate::child::Task;
use crate::deployment::Place;
use crate::input;
use crate::measure::{Measured, median};
use crate::night::{PARTS, busy_in};
use crate::report::{Side, Target, same, say};
use crate::smtp::{self, Sink};

const PAGES: usize = 1_000;
/// Organizations whose mails are sent.
const MAILS: usize = 1_000;
/// Events where only the number of organizations matters.
const FEW_EVENTS: usize = 10;
/// Questions asked.
const ASKED: usize = 21;

pub fn pages(bench: &mut Bench) -> Result<()> {
    say("one-page invoices as PDF, one core");
    let folder = bench.folder.path().to_owned();
    let mut ours = Side::new("ours");
    let mut typst = Side::new("typst");
    for _ in 0..bench.arguments.repeats {
        ours.run(&folder, || Task::Pages { count: PAGES }.run())?;
        if let Some(program) = bench.arguments.typst.clone() {
            typst.run(&folder, || typst_pages(&program))?;
        }
    }
    ours.print("pages");
    if typst.runs.is_empty() {
        bench.table.figure(("P6", "one-page invoices, one core"), ours.rate(), "/s", None);
    } else {
        typst.print("pages");
        let rates = (ours.rate(), typst.rate());
        let name = ("P6", "one-page invoices / typst");
        bench.table.ratio(name, (&ours, &typst), rates, None);
    }
    Ok(())
}

/// The other package's program prints one line as our children do.
fn typst_pages(program: &Path) -> Result<Measured> {
    let output = Command::new(program)
        .arg(PAGES.to_string())
        // One core, as ours.
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .output();
    let output = output.with_context(|| program.display().to_string())?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

pub fn night(bench: &mut Bench) -> Result<()> {
    say("the whole night, SQLite: close, number, PDF and CSV, sandbox charge, mail files");
    let prepared = bench.prepared_embedded()?;
    let folder = bench.folder.path().to_owned();
    let mut ours = Side::new("ours");
    let mut parts = Side::new("ours, part by part");
    for repeat in 0..=bench.arguments.repeats {
        let run = tempfile::tempdir_in(&folder)?;
        let place = Place::embedded(&run.path().join("home"));
        prepared.copy(&place.home)?;
        let in_parts = repeat == bench.arguments.repeats;
        let side = if in_parts { &mut parts } else { &mut ours };
        side.run(&folder, || Task::Night { place, in_parts }.run())?;
    }
    ours.print("organizations");
    parts.print("organizations");
    for (name, _) in PARTS {
        let share = parts.part(name) / parts.seconds() * 100.0;
        let (seconds, cores) = (parts.part(name), parts.part(&busy_in(name)) / parts.part(name));
        say(&format!("    {name:<10} {seconds:>8.2} s  {share:>4.0} %  {cores:.2} cores busy"));
    }
    let table = &mut bench.table;
    table.figure(("P7", "whole night, SQLite, organizations"), ours.rate(), "/s", None);
    let times = (ours.part("rerun"), ours.seconds());
    let name = ("P12", "rerun of the closed month / its night, SQLite");
    table.ratio(name, (&ours, &ours), times, Target::AtMost(0.02));
    Ok(())
}

pub fn mail(bench: &mut Bench) -> Result<()> {
    say("mails with PDF to a server on loopback");
    let folder = bench.folder.path().to_owned();
    let files = tempfile::tempdir_in(&folder)?;
    let prepared = Place::embedded(&files.path().join("prepared"));
    let organizations = MAILS.min(bench.arguments.organizations);
    Task::Prepare { place: prepared.clone(), organizations, events: FEW_EVENTS }.run()?;
    let mut ours = Side::new("ours, up to the committed mail");
    let mut bare = Side::new("a pipelining client");
    let sink = Sink::start()?;
    for _ in 0..bench.arguments.repeats {
        let run = tempfile::tempdir_in(&folder)?;
        let place = Place::embedded(&run.path().join("home"));
        prepared.copy(&place.home)?;
        Task::WithoutMails { place: place.clone() }.run()?;
        let config = place.home.join("monthend.toml");
        let smtp = format!(
            "transport = \"smtp\"\n[mail.smtp]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"",
            sink.port
        );
        let text = std::fs::read_to_string(&config)?.replace("transport = \"outbox\"", &smtp);
        write_durably(&config, text.as_bytes())?;
        let sent = ours.run(&folder, || Task::Mails { place }.run())?.count;
        let messages = sink.take();
        same("number of mails", i64::try_from(sent)?, i64::try_from(messages.len())?)?;
        let path = run.path().join("mails");
        smtp::store(&messages, &path)?;
        bare.run(&folder, || Task::SendMails { path, port: sink.port }.run())?;
        ensure!(sink.take() == messages, "the client sent other mails");
    }
    ours.print("mails");
    bare.print("mails");
    let rates = (ours.rate(), bare.rate());
    let name = ("P8", "mails / a pipelining client");
    bench.table.ratio(name, (&ours, &bare), rates, Target::AtLeast(0.3));
    Ok(())
}

/// Memory and processor time at N and at several times N organizations, and a question among these.
pub fn growth(bench: &mut Bench) -> Result<()> {
    let (few, times) = (bench.arguments.organizations, bench.arguments.times);
    say(&format!("{few} and {} organizations, {FEW_EVENTS} events each, SQLite", few * times));
    let folder = bench.folder.path().to_owned();
    let mut sides = Vec::new();
    for organizations in [few, few * times] {
        let files = tempfile::tempdir_in(&folder)?;
        let prepared = Place::embedded(&files.path().join("prepared"));
        Task::Prepare { place: prepared.clone(), organizations, events: FEW_EVENTS }.run()?;
        let mut side = Side::new(&format!("close of {organizations}"));
        for _ in 0..bench.arguments.repeats {
            let run = tempfile::tempdir_in(&folder)?;
            let place = Place::embedded(&run.path().join("home"));
            prepared.copy(&place.home)?;
            side.run(&folder, || Task::Close { place }.run())?;
        }
        side.print("organizations");
        sides.push(side);
        if organizations > few && bench.arguments.wants("balance") {
            ask(bench, &prepared, organizations)?;
        }
    }
    if let [small, large] = sides.as_slice() {
        let table = &mut bench.table;
        if bench.arguments.wants("memory") {
            let name = ("P9", "most memory at the larger / the smaller number");
            // Memory is the same on a slow machine.
            let ratio = large.peak() / small.peak();
            table.figure(name, ratio, "×", Some(Target::AtMost(1.2)));
            let name = ("P9", "most memory at the larger number");
            table.figure(name, large.peak(), " MiB", Some(Target::AtMost(256.0)));
        }
        if bench.arguments.wants("cost") {
            let name = ("P10", "processor time each, the larger / the smaller");
            table.ratio(name, (large, small), (large.cpu(), small.cpu()), Target::AtMost(1.5));
        }
    }
    Ok(())
}

/// A person asks for one organization's balance: a whole process.
pub fn balance(bench: &mut Bench) -> Result<()> {
    let prepared = bench.prepared_embedded()?;
    let organizations = bench.arguments.organizations;
    ask(bench, &prepared, organizations)
}

fn ask(bench: &mut Bench, prepared: &Place, organizations: usize) -> Result<()> {
    say(&format!("credits balance of one of {organizations} organizations, as a whole process"));
    let id = input::customer(7, organizations).id;
    let mut times = Vec::with_capacity(ASKED);
    for _ in 0..ASKED {
        let began = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_monthend"))
            .args(["--now", input::CLOSED_AT, "--dir"])
            .arg(&prepared.home)
            .args(["credits", "balance", &id])
            .stdin(Stdio::null())
            .output()?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let name = ("P14", "credits balance, SQLite");
    bench.table.figure(name, median(times), " ms", Some(Target::AtMost(50.0)));
    Ok(())
}
