//! A mail server in this process: takes every mail and remembers what it said yes to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};

/// A mail the server answered for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Accepted {
    pub recipient: String,
    pub subject: String,
    pub message_id: String,
}

/// A running mail server; it ends when this is dropped.
pub struct Sink {
    /// On 127.0.0.1.
    pub port: u16,
    accepted: Arc<Mutex<Vec<Accepted>>>,
    is_over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Sink {
    /// Starts one on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("the mail server")?;
        let port = listener.local_addr()?.port();
        let accepted = Arc::new(Mutex::new(Vec::new()));
        let is_over = Arc::new(AtomicBool::new(false));
        let (kept, over) = (accepted.clone(), is_over.clone());
        let listening = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    break;
                }
                let kept = kept.clone();
                if let Ok(stream) = stream {
                    // A client that was killed ends its conversation and nothing else.
                    std::thread::spawn(move || drop(converse(&stream, &kept)));
                }
            }
        });
        Ok(Self { port, accepted, is_over, listener: Some(listening) })
    }

    /// What was accepted so far, oldest first.
    pub fn accepted(&self) -> Vec<Accepted> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn converse(mut stream: &TcpStream, accepted: &Mutex<Vec<Accepted>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut lines = BufReader::new(stream);
    stream.write_all(b"220 crash.example ESMTP\r\n")?;
    let mut recipient = String::new();
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match verb.as_str() {
            "EHLO" => b"250-crash.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n",
            "RCPT" => {
                let address = line.split('<').nth(1).and_then(|rest| rest.split('>').next());
                address.unwrap_or_default().clone_into(&mut recipient);
                b"250 ok\r\n"
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n")?;
                let Some(mail) = content(&mut lines, &recipient)? else { return Ok(()) };
                // Kept before the answer: from here on the server has the mail.
                accepted.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n")?;
                return Ok(());
            }
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer)?;
    }
}

/// Reads a mail to its lone dot; none: the client went away before.
fn content(
    lines: &mut BufReader<&TcpStream>,
    recipient: &str,
) -> std::io::Result<Option<Accepted>> {
    let mut mail = Accepted {
        recipient: recipient.to_owned(),
        subject: String::new(),
        message_id: String::new(),
    };
    let mut in_head = true;
    loop {
        let mut line = Vec::new();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if line == b".\r\n" {
            return Ok(Some(mail));
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        in_head &= !text.is_empty();
        if in_head && let Some((name, value)) = text.split_once(':') {
            match name.to_ascii_lowercase().as_str() {
                "subject" => value.trim().clone_into(&mut mail.subject),
                "message-id" => value.trim().clone_into(&mut mail.message_id),
                _ => {}
            }
        }
    }
}
