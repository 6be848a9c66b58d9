//! A throw-away PostgreSQL for a run that was given none: in memory where that can be had, on a loopback port.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::harness::database::SERVER;

/// The folder of the newest server's programs.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut found: Vec<PathBuf> = versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists() && bin.join("pg_ctl").exists())
        .collect();
    found.sort();
    found.pop()
}

/// Runs one of them as a normal user: the server refuses to run as root.
fn run(program: &Path, words: &[&str], owner: Option<&str>) -> bool {
    let mut command = match owner {
        None => Command::new(program),
        Some(owner) => {
            let mut command = Command::new("setpriv");
            let (user, group) = (format!("--reuid={owner}"), format!("--regid={owner}"));
            command.args([&user, &group]).arg("--clear-groups").arg(program);
            command
        }
    };
    command.env("HOME", "/tmp").args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Starts this program once more beside a server of its own, and stops the server.
pub fn with_one() -> ExitCode {
    let home = tempfile::Builder::new().prefix("monthend-simulation").tempdir_in(memory());
    let (Some(bin), Ok(home)) = (programs(), home) else {
        println!(
            "there is no PostgreSQL here; set {SERVER} to a server where databases may be created"
        );
        return ExitCode::from(2);
    };
    let root = std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0);
    let owner = root.then_some("postgres");
    if let Some(owner) = owner {
        let path = home.path().display().to_string();
        run(Path::new("/usr/bin/chown"), &[owner, &path], None);
    }
    let data = home.path().join("data").display().to_string();
    let folder = home.path().display().to_string();
    let made = run(
        &bin.join("initdb"),
        &["-D", &data, "-A", "trust", "-U", "monthend", "--locale=C.UTF-8"],
        owner,
    );
    let first = 20_000 + std::process::id() % 20_000;
    let port = (first..first + 8).find(|port| {
        let settings = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} \
             -c max_connections=100 -c autovacuum=off"
        );
        made && run(&bin.join("pg_ctl"), &["-D", &data, "-w", "-o", &settings, "start"], owner)
    });
    let Some(port) = port else {
        println!(
            "PostgreSQL did not start; set {SERVER} to a server where databases may be created"
        );
        return ExitCode::from(2);
    };
    let this = std::env::current_exe().unwrap_or_default();
    let status = Command::new(this)
        .args(std::env::args().skip(1))
        // Its socket: each statement is a trip, and a quarter of one over the network is the network's.
        .env(SERVER, format!("postgres://monthend@localhost:{port}/postgres?host={folder}"))
        .status();
    run(&bin.join("pg_ctl"), &["-D", &data, "-m", "immediate", "stop"], owner);
    match status.ok().and_then(|status| status.code()) {
        Some(0) => ExitCode::SUCCESS,
        Some(code) => ExitCode::from(u8::try_from(code).unwrap_or(1)),
        None => ExitCode::FAILURE,
    }
}

fn memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
