//! The command line: parses, calls, prints, sets the exit code. No rule of the business lives here.

mod alert;
mod arguments;
mod catalog;
mod credits;
mod demo;
mod deployment;
mod document;
mod feed;
mod forecast;
mod history;
mod init;
mod invoice;
mod jobs;
mod method;
mod org;
mod output;
mod payment;
mod recharge;
mod rehearse;
mod usage;
mod usage_report;
mod verify;
mod webhook;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;

use self::arguments::{Arguments, Command};
use self::output::Output;
use crate::app::{App, Options};
use crate::clock::{Clock, FixedClock, SystemClock};
use crate::cores;
use crate::jobs::serve::Signals;
use crate::telemetry;

/// How a command ended; the exit code of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done, or nothing was due: 0.
    Done,
    /// Finished, but something failed, was parked or quarantined: 1.
    Trouble,
}

/// How long `serve` waits for its connections when it ends.
const CLOSING: std::time::Duration = std::time::Duration::from_millis(500);
/// Could not run: usage, configuration, database.
const CANNOT_RUN: u8 = 2;

/// Runs the program and gives its exit code.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage_error(&error),
    };
    let level = match arguments.command {
        Command::Serve { .. } => "info",
        // With --json, stderr holds the error object alone; the result lists what is parked and why.
        _ if arguments.quiet || arguments.json => "error",
        _ => "warn",
    };
    telemetry::start(level);
    let output = Output::new(arguments.json, arguments.quiet);
    // Statements of an embedded database run on the thread that asks: beside one that writes and one that reads, others
    // answer. More threads would cost each command their start and their memory.
    let threads = cores::count() + 2;
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = match runtime.worker_threads(threads).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&output, &anyhow::Error::new(error)),
    };
    let done = runtime.block_on(dispatch(arguments, &output));
    // A blocked worker must not hold the exit back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::Trouble) => {
            output.trouble();
            ExitCode::from(1)
        }
        Err(error) => failed(&output, &error),
    }
}

/// Help and version go to stdout with 0; anything else is a mistake in the command: 2.
fn usage_error(error: &clap::Error) -> ExitCode {
    let json = std::env::args().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let message = text.trim_start_matches("error: ").trim().to_owned();
        Output::new(true, false).error("usage", &message);
    } else {
        let _ = error.print();
    }
    if error.use_stderr() { ExitCode::from(CANNOT_RUN) } else { ExitCode::SUCCESS }
}

fn failed(output: &Output, error: &anyhow::Error) -> ExitCode {
    // What was done before it is told, too.
    output.trouble();
    output.error(output::code_of(error), &chain(error));
    ExitCode::from(CANNOT_RUN)
}

/// An error and its causes; a cause that the text before it has already told is not told again.
fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

async fn dispatch(arguments: Arguments, output: &Output) -> Result<Outcome> {
    let options = options(&arguments)?;
    match arguments.command {
        Command::Init { live } => init::run(options, live, output).await,
        Command::Demo => demo::run(&arguments.dir, output).await,
        Command::Doctor => verify::doctor(options, output).await,
        Command::RehearseStripe { listen, webhook } => {
            rehearse::run(options, listen, webhook, output).await
        }
        Command::Serve { http } => {
            // Heard before the database is opened: SIGTERM ends `serve` with 0 at any time.
            let mut signals = Signals::new()?;
            let app = tokio::select! {
                app = App::open(options) => Arc::new(app?),
                () = signals.next() => return Ok(Outcome::Done),
            };
            let done = jobs::serve(&app, http, signals).await;
            // A statement that waits for a lock does not hold the exit back; the server undoes its transaction.
            let _ = tokio::time::timeout(CLOSING, app.db.close()).await;
            done
        }
        command => {
            let app = Arc::new(App::open(options).await?);
            let done = with_app(&app, command, output).await;
            app.db.close().await;
            done
        }
    }
}

async fn with_app(app: &Arc<App>, command: Command, output: &Output) -> Result<Outcome> {
    match command {
        Command::Catalog(command) => catalog::run(app, command, output).await,
        Command::Org(command) => org::run(app, command, output).await,
        Command::Usage(command) => usage::run(app, command, output).await,
        Command::Feed(command) => feed::run(app, command, output).await,
        Command::Credits(command) => credits::run(app, command, output).await,
        Command::Invoice(command) => invoice::run(app, command, output).await,
        Command::Payment(command) => payment::run(app, command, output).await,
        Command::Refund(command) => payment::refund(app, command, output).await,
        Command::Method(command) => method::run(app, command, output).await,
        Command::Recharge(command) => recharge::run(app, command, output).await,
        Command::History { organization } => history::run(app, &organization, output).await,
        Command::Alert(command) => alert::run(app, command, output).await,
        Command::Contact(command) => alert::contact(app, command, output).await,
        Command::Tick { catch_up } => jobs::tick(app, catch_up, output).await,
        Command::Webhook(command) => webhook::run(app, command, output).await,
        Command::Deployment(command) => deployment::run(app, command, output).await,
        Command::Job(command) => jobs::job(app, command, output).await,
        Command::Run(command) => jobs::run(app, command, output).await,
        Command::Verify => verify::verify(app, output).await,
        Command::Init { .. }
        | Command::Demo
        | Command::Doctor
        | Command::RehearseStripe { .. }
        | Command::Serve { .. } => Ok(Outcome::Done),
    }
}

fn options(arguments: &Arguments) -> Result<Options> {
    let clock: Arc<dyn Clock> = match &arguments.now {
        None => Arc::new(SystemClock),
        Some(text) => {
            let at = chrono::DateTime::parse_from_rfc3339(text).with_context(|| {
                format!("--now {text:?} is not an RFC 3339 instant (like 2026-02-01T03:00:00Z)")
            })?;
            Arc::new(FixedClock::new(at.with_timezone(&chrono::Utc)))
        }
    };
    let database = std::env::var("MONTHEND_DATABASE_URL").ok().filter(|url| !url.is_empty());
    if let Some(url) = &database
        && !crate::config::is_postgres(url)
    {
        anyhow::bail!("MONTHEND_DATABASE_URL must begin with postgres://");
    }
    let actor = ["MONTHEND_ACTOR", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "operator".to_owned());
    Ok(Options {
        home: arguments.dir.clone(),
        database,
        clock,
        clock_is_set: arguments.now.is_some(),
        actor: crate::domain::text::clipped(&actor, 80),
    })
}
