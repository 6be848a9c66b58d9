//! A mail server that takes everything, and a client that does nothing but send.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use crate::measure::{Measured, Meter};

/// What arrived, with the dots as they came over the wire.
type Arrived = Arc<Mutex<Vec<Vec<u8>>>>;

/// A server on loopback, as long as this process lives.
pub struct Sink {
    pub port: u16,
    arrived: Arrived,
}

impl Sink {
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let arrived = Arrived::default();
        let shared = arrived.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    // A client that goes away in the middle has sent nothing more.
                    let _ = serve(stream, &shared);
                });
            }
        });
        Ok(Self { port, arrived })
    }

    /// Takes out what arrived.
    pub fn take(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(stream: TcpStream, arrived: &Arrived) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut answers = std::io::BufWriter::new(stream.try_clone()?);
    let mut lines = BufReader::with_capacity(1 << 16, stream);
    answers.write_all(b"220 sink ESMTP\r\n")?;
    let mut line = Vec::new();
    loop {
        // Answers go out when nothing more has come in: that is what pipelining saves.
        if lines.buffer().is_empty() {
            answers.flush()?;
        }
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        match line.get(..4).map(<[u8]>::to_ascii_uppercase).as_deref() {
            Some(b"EHLO") => {
                answers
                    .write_all(b"250-sink\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING\r\n")?;
            }
            Some(b"DATA") => {
                answers.write_all(b"354 go on\r\n")?;
                answers.flush()?;
                let message = content(&mut lines)?;
                arrived.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                answers.write_all(b"250 taken\r\n")?;
            }
            Some(b"QUIT") => {
                answers.write_all(b"221 bye\r\n")?;
                return Ok(answers.flush()?);
            }
            _ => answers.write_all(b"250 ok\r\n")?,
        }
    }
}

/// Up to the line that is a single dot, which is left off.
fn content(lines: &mut impl BufRead) -> Result<Vec<u8>> {
    let mut message = Vec::with_capacity(1 << 16);
    loop {
        let began = message.len();
        ensure!(lines.read_until(b'\n', &mut message)? > 0, "the connection ended in a message");
        if &message[began..] == b".\r\n" {
            message.truncate(began);
            return Ok(message);
        }
    }
}

/// Stores messages for a client in another process.
pub fn store(messages: &[Vec<u8>], path: &Path) -> Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for message in messages {
        file.write_all(&u64::try_from(message.len())?.to_le_bytes())?;
        file.write_all(message)?;
    }
    Ok(file.flush()?)
}

fn stored(path: &Path) -> Result<Vec<Vec<u8>>> {
    let mut file = BufReader::new(std::fs::File::open(path)?);
    let mut messages = Vec::new();
    let mut length = [0; 8];
    while file.read_exact(&mut length).is_ok() {
        let mut message = vec![0; usize::try_from(u64::from_le_bytes(length))?];
        file.read_exact(&mut message)?;
        messages.push(message);
    }
    Ok(messages)
}

/// Sends stored messages over one connection: with each content goes the next envelope.
pub fn send(path: &Path, port: u16) -> Result<Measured> {
    const ENVELOPE: &[u8] =
        b"MAIL FROM:<billing@example.com>\r\nRCPT TO:<customer@example.com>\r\nDATA\r\n";
    let messages = stored(path)?;
    let meter = Meter::start()?;
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    let mut answers = BufReader::new(stream.try_clone()?);
    expect(&mut answers, "220")?;
    stream.write_all(b"EHLO bench\r\n")?;
    expect(&mut answers, "250")?;
    stream.write_all(ENVELOPE)?;
    let mut bytes = Vec::new();
    for (place, message) in messages.iter().enumerate() {
        for code in ["250", "250", "354"] {
            expect(&mut answers, code)?;
        }
        bytes.clear();
        bytes.extend_from_slice(message);
        bytes.extend_from_slice(b".\r\n");
        let is_last = place + 1 == messages.len();
        bytes.extend_from_slice(if is_last { b"QUIT\r\n" } else { ENVELOPE });
        stream.write_all(&bytes)?;
        expect(&mut answers, "250")?;
    }
    meter.stop(messages.len())
}

/// Reads one answer, of any number of lines.
fn expect(answers: &mut impl BufRead, code: &str) -> Result<()> {
    loop {
        let mut line = String::new();
        answers.read_line(&mut line)?;
        ensure!(line.starts_with(code), "the server said {line:?} instead of {code}");
        if line.get(3..4).context("a short answer")? != "-" {
            return Ok(());
        }
    }
}
