//! Structured logs on stderr: run, organization, cycle; no secrets, no addresses.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `MONTHEND_LOG` chooses what (default: warnings, for `serve` also information);
/// `MONTHEND_LOG_FORMAT=json` writes one JSON object per line.
pub fn start(default_level: &str) {
    let filter = EnvFilter::try_from_env("MONTHEND_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("warn,monthend={default_level}")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    let json = std::env::var("MONTHEND_LOG_FORMAT").is_ok_and(|format| format == "json");
    // A second start (tests) keeps the first.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
