//! A payment provider in a process of its own: `rehearse-stripe`. It outlives every kill, so its books
//! say what money was really taken.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// A running provider; it ends when this is dropped.
pub struct Provider {
    child: Child,
    /// `http://127.0.0.1:…`
    pub base_url: String,
}

/// One payment in the provider's books.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Booked {
    /// Number of the invoice, or id of the purchase.
    pub reference: String,
    pub key: String,
    pub organization: String,
    /// In the provider's unit.
    pub amount: i64,
    pub currency: String,
    /// Was money taken?
    pub is_taken: bool,
}

impl Provider {
    /// Starts one on a free port.
    pub fn start(binary: &Path) -> Result<Self> {
        let mut child = Command::new(binary)
            .args(["--json", "rehearse-stripe", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| binary.display().to_string())?;
        let stdout = child.stdout.take().context("the provider's output")?;
        let mut provider = Self { child, base_url: String::new() };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let said: Value = serde_json::from_str(&line).context("the provider did not start")?;
        said["base_url"].as_str().context("no base_url")?.clone_into(&mut provider.base_url);
        Ok(provider)
    }

    /// Its books, oldest first.
    pub fn books(&self) -> Result<Vec<Booked>> {
        let body = get(&self.base_url, "/_rehearsal/journal")?;
        let said: Value = serde_json::from_str(&body).context("the provider's books")?;
        let payments = said["payments"].as_array().context("no payments in the books")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let booked = |payment: &Value| Booked {
            reference: text(&payment["reference"]),
            key: text(&payment["key"]),
            organization: text(&payment["organization"]),
            amount: payment["amount"].as_i64().unwrap_or_default(),
            currency: text(&payment["currency"]),
            is_taken: payment["status"] == "succeeded",
        };
        Ok(payments.iter().map(booked).collect())
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The body of a page on this machine.
fn get(base: &str, path: &str) -> Result<String> {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).with_context(|| format!("no answer at {base}"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
    ensure!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{path}: a chunked answer");
    Ok(body.to_owned())
}
