//! One process of `serve`: what it says, and the signals it gets.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::home::Home;

/// Lines that are kept for a report of what went wrong.
const KEPT: usize = 40;

/// What may be sent to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Kill,
    Stop,
    Continue,
    Terminate,
}

impl Signal {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "SIGKILL",
            Self::Stop => "SIGSTOP",
            Self::Continue => "SIGCONT",
            Self::Terminate => "SIGTERM",
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::Kill => "-KILL",
            Self::Stop => "-STOP",
            Self::Continue => "-CONT",
            Self::Terminate => "-TERM",
        }
    }
}

/// What a process said so far.
#[derive(Debug, Default)]
pub struct Told {
    /// Since when it works.
    pub serving_at: Option<Instant>,
    /// Steps it came to the end of after another had taken them over.
    pub refused: usize,
    /// It ended with work in hand.
    pub is_unfinished: bool,
    /// The program failed on a step.
    pub panics: Vec<String>,
    /// Its last lines.
    pub last: VecDeque<String>,
}

/// A running process.
pub struct Serve {
    child: Child,
    /// Its place in the battle, from 1; its connections carry it.
    pub number: u64,
    pub started_at: Instant,
    told: Arc<Mutex<Told>>,
    reader: Option<JoinHandle<()>>,
}

impl Serve {
    /// Starts one. Its connections say which one it is, so that the database can tell who did what.
    pub fn start(home: &Home, number: u64) -> Result<Self> {
        let database = home.database.as_deref().context("serve under load is for PostgreSQL")?;
        let mut child = home
            .command(None, &["serve"])
            .env("MONTHEND_DATABASE_URL", format!("{database}?options[kills.process]={number}"))
            .env("MONTHEND_LOG_FORMAT", "json")
            .env_remove("MONTHEND_LOG")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| home.binary.display().to_string())?;
        let stderr = child.stderr.take().context("what serve says")?;
        let told = Arc::new(Mutex::new(Told::default()));
        let heard = told.clone();
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                hear(&mut heard.lock().unwrap_or_else(PoisonError::into_inner), line);
            }
        });
        let reader = Some(reader);
        Ok(Self { child, number, started_at: Instant::now(), told, reader })
    }

    /// What it said so far.
    pub fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let sent =
            Command::new("kill").args([signal.option(), &self.child.id().to_string()]).status();
        let sent = sent.context("kill")?;
        ensure!(sent.success(), "{} for process {}: {sent}", signal.name(), self.number);
        Ok(())
    }

    /// How it ended, once it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() {
            self.heard_out();
        }
        Ok(status)
    }

    /// Waits for its end after SIGKILL.
    pub fn wait(&mut self) -> Result<()> {
        self.child.wait()?;
        self.heard_out();
        Ok(())
    }

    fn heard_out(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.wait();
    }
}

fn hear(told: &mut Told, line: String) {
    if line.contains("\"serving\"") {
        told.serving_at.get_or_insert_with(Instant::now);
    }
    told.refused += usize::from(line.contains("taken over by another worker"));
    told.is_unfinished |= line.contains("stopped with work in hand");
    if line.contains("panicked") || line.contains("the program failed on this step") {
        told.panics.push(line.clone());
    }
    if told.last.len() == KEPT {
        told.last.pop_front();
    }
    told.last.push_back(line);
}
